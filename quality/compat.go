package quality

import (
	"encoding/json"
	"slices"
	"strconv"
	"strings"

	"github.com/fairwaycd/fairway"
)

// This file is the compatible reading: the arithmetic of Pitometer 1.0.4 with
// its thresholds grader 1.0.1, down to JavaScript's comparisons. It interprets
// the document itself, because in it a limit may be text and points may be
// missing.

// loose fills spec from its document. Only what makes every run of the original
// fail is a problem.
func (c *checker) loose(spec *Perfspec) {
	root := spec.root
	if !c.is(root, "document", `start with {"spec_version": "1.0", …}`, kindObject) {
		return
	}
	list := c.need(root, "", "indicators", "list the indicators")
	if list != nil && c.is(list, "indicators", "write a list: [ {…} ]", kindList) {
		if len(list.items) > maxIndicators {
			c.add(list.start, "indicators", "", "has "+strconv.Itoa(len(list.items))+" entries", "keep at most "+strconv.Itoa(maxIndicators))
			return
		}
		for i, n := range list.items {
			if n.kind == kindNull {
				c.add(n.start, "indicators["+strconv.Itoa(i)+"]", "null", "is nothing", "write an object: {…}")
			}
		}
	}
	o := c.need(root, "", "objectives", `write "objectives": {"pass": 90, "warning": 75}`)
	if o != nil && o.kind == kindNull {
		c.add(o.start, "objectives", "null", "is nothing", `write {"pass": 90, "warning": 75}`)
	}
	if c.count() > 0 {
		return
	}
	spec.SpecVersion = toJS(root.get("spec_version")).text()
	spec.Objectives = fairway.Objectives{Pass: readable(o.get("pass")), Warning: readable(o.get("warning"))}
	for _, n := range inObjectOrder(list.items) {
		spec.Indicators = append(spec.Indicators, c.looseIndicator(n))
	}
}

// readable returns a number for people to look at; what is none becomes 0.
func readable(n *node) float64 {
	f := toJS(n).number()
	if f-f != 0 { // neither NaN nor infinite can be written as JSON
		return 0
	}
	return f
}

func (c *checker) looseIndicator(n *node) Indicator {
	ind := Indicator{ID: toJS(n.get("id")).text(), Source: toJS(n.get("source")).text()}
	if q := n.get("query"); q != nil {
		ind.Query = json.RawMessage(c.data[q.start:q.end])
	}
	g := n.get("grading")
	ind.Grade.MetricScore = readable(g.get("metricScore"))
	ind.Grade.IgnoreEmpty = toJS(g.get("ignoreEmpty")).truthy()
	if m := g.get("metadata"); toJS(m).truthy() {
		ind.Grade.Metadata = json.RawMessage(c.data[m.start:m.end])
	}
	for _, name := range limitNames {
		if l := g.get("thresholds").get(name); toJS(l).truthy() {
			ind.Grade.Limits = append(ind.Grade.Limits, Limit{Name: name, Value: readable(l), Text: strings.Trim(string(c.data[l.start:l.end]), `"`)})
		}
	}
	return ind
}

// inObjectOrder returns the indicators as JavaScript keeps them under their
// ids: the last definition of an id in the place of its first, ids that are
// whole numbers first and ascending.
func inObjectOrder(items []*node) []*node {
	var ids []string
	last := map[string]*node{}
	for _, n := range items {
		id := toJS(n.get("id")).text()
		if last[id] == nil {
			ids = append(ids, id)
		}
		last[id] = n
	}
	slices.SortStableFunc(ids, func(a, b string) int {
		i, aWhole := arrayIndex(a)
		j, bWhole := arrayIndex(b)
		switch {
		case aWhole && bWhole:
			return int(i) - int(j)
		case aWhole:
			return -1
		case bWhole:
			return 1
		}
		return 0
	})
	nodes := make([]*node, len(ids))
	for i, id := range ids {
		nodes[i] = last[id]
	}
	return nodes
}

// arrayIndex reports whether a property name is an array index.
func arrayIndex(s string) (uint64, bool) {
	i, err := strconv.ParseUint(s, 10, 32)
	return i, err == nil && i < 1<<32-1 && strconv.FormatUint(i, 10) == s
}

func evaluateCompat(spec Perfspec, results map[string]SourceResult, o Options) (Judgement, error) {
	j := Judgement{Objectives: spec.Objectives}
	if spec.root == nil {
		return Judgement{}, fairway.Errorf(fairway.KindInternal, "the specification was not read from a document")
	}
	total := js{kind: jsNumber}
	var skipped []string
	nodes := inObjectOrder(spec.root.get("indicators").items)
	for i, ind := range spec.Indicators {
		if !slices.Contains(o.Sources, ind.Source) {
			skipped = append(skipped, ind.ID+" was skipped, because there is no source "+strconv.Quote(ind.Source))
			continue
		}
		r, ok := results[ind.ID]
		if !ok {
			return Judgement{}, missingResult(ind.ID)
		}
		ir, score := ind.judgeCompat(nodes[i].get("grading"), r, o.Subject)
		total = total.plus(score)
		j.Indicators = append(j.Indicators, ir)
	}
	j.TotalScore = total.number()
	j.decide()
	if j.Verdict != fairway.VerdictError {
		j.compare(spec.root.get("objectives"), total)
	}
	if len(skipped) > 0 {
		j.Reason += "; " + strings.Join(skipped, "; ")
	}
	return j, nil
}

// compare sets the verdict by JavaScript's comparisons. Where it differs from
// the one that the numbers give, the reason says so.
func (j *Judgement) compare(objectives *node, total js) {
	verdict := fairway.VerdictFail
	switch {
	case toJS(objectives.get("pass")).atMost(total):
		verdict = fairway.VerdictPass
	case toJS(objectives.get("warning")).atMost(total):
		verdict = fairway.VerdictWarning
	}
	if verdict != j.Verdict {
		j.Reason = "the original's comparison of total " + strconv.Quote(total.text()) + " with its objectives gives " + string(verdict)
	}
	j.Verdict = verdict
}

// judgeCompat grades as the original does. The second result is the score that
// goes into its sum.
func (ind Indicator) judgeCompat(g *node, r SourceResult, now fairway.Subject) (fairway.IndicatorResult, js) {
	ir := fairway.IndicatorResult{ID: ind.ID, Source: ind.Source, MaxScore: ind.Grade.MetricScore, Limits: ind.Grade.limits(), Violations: []fairway.Violation{}}
	if failure := ind.rejected(g, r); failure != "" {
		ir.Error = failure
		ir.Explanation = ind.ID + ": " + failure
		return ir, js{kind: jsNumber}
	}
	metricScore := toJS(g.get("metricScore"))
	score := metricScore
	if len(r.Values) == 0 && !ind.Grade.IgnoreEmpty {
		ir.Violations = append(ir.Violations, fairway.Violation{Breach: breachNoValues})
		score = js{kind: jsNumber}
	}
	var all []series
	for i, v := range r.Values {
		s, points := ind.gradeCompat(g.get("thresholds"), v, metricScore)
		if i == 0 || points.less(score) {
			score = points
		}
		for _, l := range s.broken {
			ir.Violations = append(ir.Violations, violationCompat(l.Criterion, v, g.get("thresholds").get(l.Name), ind.Grade.Metadata))
		}
		all = append(all, s)
	}
	ir.Score = score.number()
	ir.Explanation = ind.measure().explain(all, now)
	return ir, score
}

// rejected says why a run of the original fails at this indicator, if it does.
func (ind Indicator) rejected(g *node, r SourceResult) string {
	t := g.get("thresholds")
	switch {
	case r.Failure != "":
		return r.Failure
	case g == nil || g.kind == kindNull:
		return "it has no grading; write one with type, thresholds and metricScore"
	case toJS(g.get("type")).text() != graderThreshold:
		return "its grader " + strconv.Quote(toJS(g.get("type")).text()) + ` does not exist; write "Threshold"`
	case len(r.Values) > 0 && (t == nil || t.kind == kindNull):
		return "it has no thresholds; write at least an empty object"
	}
	return ""
}

// gradeCompat grades one value. A value that JavaScript cannot compare breaks
// nothing.
func (ind Indicator) gradeCompat(thresholds *node, v Value, metricScore js) (series, js) {
	value, points := rawJS(v.JSON), metricScore
	s := series{value: v, number: value.number(), finite: true}
	breaks := func(name string) bool {
		limit := toJS(thresholds.get(name))
		if !limit.truthy() {
			return false
		}
		l, _ := ind.Grade.limit(name)
		beyond := value.atMost(limit)
		if l.upper() {
			beyond = limit.atMost(value)
		}
		if beyond {
			s.broken = append(s.broken, broken{l.criterion(), l.Value})
		}
		return beyond
	}
	for _, side := range []string{"lower", "upper"} {
		if breaks(side + "Severe") {
			points = js{kind: jsNumber}
		} else if breaks(side + "Warning") {
			points = points.half()
		}
	}
	s.score = points.number()
	return s, points
}

// violationCompat records a broken limit; a limit that is no number, which only
// the original can compare, is left to the explanation.
func violationCompat(l Criterion, v Value, limit *node, metadata json.RawMessage) fairway.Violation {
	violation := fairway.Violation{Key: v.Key, Value: v.JSON, Breach: l.Name, Metadata: metadata}
	if f := toJS(limit).number(); f-f == 0 {
		violation.Threshold = &f
	}
	return violation
}
