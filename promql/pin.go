package promql

import (
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/fairwaycd/fairway"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql/parser"
)

// The labels that tell one version, and one test run of it, from all others.
const (
	labelVersion = "version"
	labelRun     = "fairway_run"
)

// maxQueryBytes bounds what is parsed: the parser recurses over the text.
const maxQueryBytes = 16 << 10

// PinOptions say what the asked Prometheus knows about versions.
type PinOptions struct {
	// Window is the test's. It cuts ranges where Select is used, and it tells
	// whether a range is longer than the data. It may be zero without Select.
	Window fairway.Window
	// Foreign says that the Prometheus lacks the labels version and
	// fairway_run, since somebody else configured what it scrapes.
	Foreign bool
	// Select tells a foreign Prometheus' pods of one colour apart, as PromQL
	// matchers: pod=~"carts-{{colour}}-.*". {{colour}} becomes blue or green
	// (in a direct stage -{{colour}} disappears) and {{version}} the tag. It
	// implies Foreign.
	Select string
}

// Pinned is a query that has been tied to a version, as far as possible.
type Pinned struct {
	Query    string   // to be sent; normalised unless nothing was changed
	Tied     bool     // every selector was pinned, and there is one at least
	Pinned   int      // selectors that name the service
	Unpinned int      // selectors that do not, or that reach outside the test
	Notes    []string // sentences for people: what is not tied, what misleads
}

// Pin rewrites the selectors of a PromQL query that name the subject's service
// so that they match only the samples of the subject's test run.
//
// A selector names the service by one of the labels instance, job, service,
// app or Istio's destination_service, _service_name, _workload, _app and
// _canonical_service, if its value is, or as a regular expression matches, the
// service's name, its name with the stage, the namespace or project-stage
// appended, its workload of the subject's colour, or a host of these in the
// namespace. Such matchers are replaced by version and fairway_run (a job
// stays as job="SERVICE"); with [PinOptions.Select] they stay, the selecting
// matchers are added and ranges are cut to the window. Nothing else changes.
//
// A query that does not parse is an error of [fairway.KindInvalid] with line
// and column.
func Pin(query string, s fairway.Subject, o PinOptions) (Pinned, error) {
	expr, err := parse(query)
	if err != nil {
		return Pinned{}, err
	}
	p := &pinning{subject: s, names: namesOf(s), window: o.Window.Duration()}
	switch {
	case o.Select != "":
		if p.selecting, err = selectMatchers(o.Select, s); err != nil {
			return Pinned{}, err
		}
		if p.window <= 0 {
			return Pinned{}, fairway.Errorf(fairway.KindInternal, "the query %q cannot be cut to the test's window, which is empty", query)
		}
		parser.Inspect(expr, p.selectNode)
	case o.Foreign:
		p.note("this Prometheus has no labels version and fairway_run, and the service does not say how its pods are told apart; set metrics.select, e.g. pod=~%q", string(s.Place.Service)+"-{{colour}}-.*")
		parser.Inspect(expr, p.countNode)
	default:
		parser.Inspect(expr, p.pinNode)
	}
	return p.result(query, expr)
}

// pinning is one call of Pin.
type pinning struct {
	subject   fairway.Subject
	names     names
	selecting []*labels.Matcher
	window    time.Duration
	changed   bool // some selector was rewritten
	pinned    int
	unpinned  int
	notes     []string
}

func (p *pinning) note(format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	for _, n := range p.notes {
		if n == text {
			return
		}
	}
	p.notes = append(p.notes, text)
}

func (p *pinning) result(query string, expr parser.Expr) (Pinned, error) {
	if p.pinned+p.unpinned == 0 {
		p.note("the query selects no series, so it is not tied to version %s", p.subject.Version)
	}
	p.noteRates(expr)
	r := Pinned{Query: query, Tied: p.pinned > 0 && p.unpinned == 0, Pinned: p.pinned, Unpinned: p.unpinned, Notes: p.notes}
	if !p.changed {
		return r, nil
	}
	r.Query = expr.String()
	if again, err := parse(r.Query); err != nil || again.String() != r.Query {
		return Pinned{}, fairway.Errorf(fairway.KindInternal, "the query %q, pinned to %s, does not read back: %q", query, p.subject.Version, r.Query)
	}
	return r, nil
}

// pinNode pins a vector selector to the labels of the run.
func (p *pinning) pinNode(n parser.Node, path []parser.Node) error {
	v, ok := n.(*parser.VectorSelector)
	if !ok {
		return nil
	}
	kept, named, byJob := p.split(v)
	if !named {
		p.leave(v)
		return nil
	}
	p.pinned++
	p.changed = true
	if v.OriginalOffset > 0 || v.OriginalOffsetExpr != nil || v.Timestamp != nil {
		p.note("%s looks at another time than the test's end, where this test run may have no samples", v)
	}
	p.noteCounter(v, path)
	if byJob {
		kept = append(kept, equal("job", string(p.subject.Place.Service)))
	}
	v.LabelMatchers = addMissing(kept, equal(labelVersion, p.subject.Version), equal(labelRun, p.subject.RunID()))
	return nil
}

// selectNode adds the selecting matchers and cuts ranges to the window.
func (p *pinning) selectNode(n parser.Node, path []parser.Node) error {
	v, ok := n.(*parser.VectorSelector)
	if !ok {
		return nil
	}
	if _, named, _ := p.split(v); !named {
		p.leave(v)
		return nil
	}
	text := v.String()
	p.changed = true
	v.LabelMatchers = addMissing(v.LabelMatchers, p.selecting...)
	outside := v.OriginalOffset != 0 || v.OriginalOffsetExpr != nil || v.Timestamp != nil || v.StartOrEnd != 0
	for _, up := range path {
		switch up := up.(type) {
		case *parser.MatrixSelector:
			if up.RangeExpr != nil || up.Range > p.window {
				up.Range, up.RangeExpr = p.window, nil
				p.note("the range of %s was cut to the %s that the test took", text, p.window)
			}
		case *parser.SubqueryExpr:
			outside = true
		}
	}
	if !outside {
		p.pinned++
		return nil
	}
	p.unpinned++
	p.note("%s may look at samples from before the test (offset, @ or a subquery), so the query is not tied to version %s", text, p.subject.Version)
	return nil
}

// countNode leaves every selector as it is.
func (p *pinning) countNode(n parser.Node, _ []parser.Node) error {
	if _, ok := n.(*parser.VectorSelector); ok {
		p.unpinned++
	}
	return nil
}

// split returns the matchers of v that do not name the service, and whether
// others do.
func (p *pinning) split(v *parser.VectorSelector) (kept []*labels.Matcher, named, byJob bool) {
	for _, m := range v.LabelMatchers {
		if !p.names.match(m) {
			kept = append(kept, m)
			continue
		}
		named = true
		byJob = byJob || m.Name == "job"
	}
	return kept, named, byJob
}

// leave counts and explains a selector that does not name the service.
func (p *pinning) leave(v *parser.VectorSelector) {
	p.unpinned++
	for _, m := range v.LabelMatchers {
		if p.names.matchOther(m) {
			p.note("%s names the other colour, not the one under test, so the query is not tied to version %s; name the service without a colour", v, p.subject.Version)
			return
		}
	}
	p.note("%s does not name %s, so the query is not tied to version %s; name it by a label such as job=%q", v, p.subject.Place.Service, p.subject.Version, string(p.subject.Place.Service))
}

func equal(name, value string) *labels.Matcher {
	return labels.MustNewMatcher(labels.MatchEqual, name, value)
}

// addMissing appends the matchers that are not there in the same words.
func addMissing(ms []*labels.Matcher, more ...*labels.Matcher) []*labels.Matcher {
next:
	for _, m := range more {
		for _, have := range ms {
			if have.String() == m.String() {
				continue next
			}
		}
		ms = append(ms, m)
	}
	return ms
}

// selectMatchers reads the template of [PinOptions.Select].
func selectMatchers(template string, s fairway.Subject) ([]*labels.Matcher, error) {
	text := template
	if s.Place.Colour == fairway.Single {
		text = strings.ReplaceAll(text, "-{{colour}}", "")
		text = strings.ReplaceAll(text, "{{colour}}", "")
	}
	text = strings.NewReplacer("{{colour}}", string(s.Place.Colour), "{{version}}", s.Version).Replace(text)
	const remedy = `write PromQL matchers, with {{colour}} or {{version}} where they differ, e.g. pod=~"carts-{{colour}}-.*"`
	if strings.Contains(text, "{{") {
		return nil, fairway.Invalid("metrics.select", template, "has a placeholder that is neither {{colour}} nor {{version}}", remedy)
	}
	ms, err := newParser().ParseMetricSelector("{" + text + "}")
	if err != nil {
		return nil, fairway.Invalid("metrics.select", template, "is not a list of matchers: "+reason(err), remedy)
	}
	if len(ms) == 0 {
		return nil, fairway.Invalid("metrics.select", template, "selects nothing", remedy)
	}
	return ms, nil
}

func newParser() parser.Parser { return parser.NewParser(parser.Options{}) }

// parse reads a query; its errors carry line and column.
func parse(query string) (parser.Expr, error) {
	const remedy = "correct the PromQL query"
	if len(query) > maxQueryBytes {
		return nil, fairway.Invalid("query", query, fmt.Sprintf("is longer than %d bytes", maxQueryBytes), "write a shorter query, or a recording rule")
	}
	if !utf8.ValidString(query) {
		return nil, fairway.Invalid("query", query, "is not valid UTF-8", remedy)
	}
	expr, err := newParser().ParseExpr(query)
	if err == nil {
		return expr, nil
	}
	var errs parser.ParseErrors
	if !errors.As(err, &errs) {
		return nil, fairway.Invalid("query", query, err.Error(), remedy)
	}
	var ps []fairway.Problem
	for _, e := range errs {
		line, column := position(query, int(e.PositionRange.Start))
		ps = append(ps, fairway.Problem{Line: line, Column: column, Field: "query", Value: query, Message: e.Err.Error(), Remedy: remedy})
	}
	return nil, fairway.InvalidAll(ps)
}

// reason returns the first parse error without its position.
func reason(err error) string {
	var errs parser.ParseErrors
	if errors.As(err, &errs) && len(errs) > 0 {
		return errs[0].Err.Error()
	}
	return err.Error()
}

// position converts a byte offset to line and column, counted from one; the
// column counts characters.
func position(text string, offset int) (line, column int) {
	before := text[:max(0, min(offset, len(text)))]
	start := strings.LastIndexByte(before, '\n') + 1
	return 1 + strings.Count(before, "\n"), 1 + utf8.RuneCountInString(before[start:])
}
