package quality

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math"
	"slices"

	"github.com/fairwaycd/fairway"
)

// Criteria are what both formats compile to: a list of measures, each with
// conditions from which it passes or warns, and the totals from which the
// whole does.
type Criteria struct {
	Measures   []Measure
	Objectives fairway.Objectives
	// Percent says that totals are percent of the points that could be had,
	// and not points.
	Percent    bool
	Comparison Comparison
	Notes      []string // sentences about what the document says without effect
}

// Measure is one indicator with its conditions.
type Measure struct {
	ID     string
	Title  string // for people; the ID where there is none
	Source string
	Query  json.RawMessage
	// Template is the query before what differs from test to test was put into
	// it; nil where nothing was.
	Template json.RawMessage
	Pass     []Set // one of them has to hold for all points; none: for information only
	Warning  []Set // one of them has to hold for half of the points
	Points   float64
	Key      bool // failing it fails the whole
	// IgnoreEmpty lets an indicator without data pass.
	IgnoreEmpty bool
	Metadata    json.RawMessage
}

// judged reports whether the measure counts.
func (m Measure) judged() bool { return len(m.Pass) > 0 }

// Set is a list of criteria that have to hold together.
type Set []Criterion

// Criterion is one condition on a value: value OP target. The target is fixed,
// or relative to earlier evaluations.
type Criterion struct {
	Name  string // what a violation is called: upperSevere, or the criterion as written
	Text  string // the target as written
	Op    string // <, <=, =, >= or >
	Value float64
	// Change says how the target follows from the earlier value: +1 above it,
	// -1 below it, 0 not at all. Percent says that Value is percent of it.
	Change  int
	Percent bool
	// NoWorse says that a value equal to the earlier one meets a relative
	// criterion: else no service without errors could keep its share of them.
	NoWorse bool
}

// target returns what a value is compared with, given the earlier value. It is
// finite, for it is part of the result.
func (c Criterion) target(earlier float64) float64 {
	t := earlier + float64(c.Change)*c.Value
	switch {
	case c.Change == 0:
		t = c.Value
	case c.Percent:
		t = earlier * (100 + float64(c.Change)*c.Value) / 100
	}
	return min(max(t, -math.MaxFloat64), math.MaxFloat64)
}

func (c Criterion) holds(v, target float64) bool {
	switch c.Op {
	case "<":
		return v < target
	case "<=":
		return v <= target
	case "=":
		return v == target
	case ">=":
		return v >= target
	}
	return v > target
}

// limit compiles a perfspec's limit, which is broken by a value that is equal
// to it or beyond it.
func (l Limit) criterion() Criterion {
	c := Criterion{Name: l.Name, Text: l.Text, Op: ">", Value: l.Value}
	if l.upper() {
		c.Op = "<"
	}
	if l.relative() {
		c.Percent, c.NoWorse, c.Change = true, true, -1
		if l.upper() {
			c.Change = 1
		}
	}
	return c
}

// Criteria compiles the specification. The compatible reading has none: it is
// judged by the original's arithmetic.
func (s Perfspec) Criteria() Criteria {
	c := Criteria{Objectives: s.Objectives, Comparison: Comparison{Include: IncludePassOrWarn, Results: 1, Aggregate: AggregateAvg}}
	for _, ind := range s.Indicators {
		c.Measures = append(c.Measures, ind.measure())
	}
	return c
}

func (ind Indicator) measure() Measure {
	m := Measure{ID: ind.ID, Source: ind.Source, Query: ind.Query, Template: ind.Template, Points: ind.Grade.MetricScore, IgnoreEmpty: ind.Grade.IgnoreEmpty, Metadata: ind.Grade.Metadata}
	var all, severe Set
	for _, l := range ind.Grade.Limits {
		all = append(all, l.criterion())
		if l.severe() {
			severe = append(severe, l.criterion())
		}
	}
	m.Pass, m.Warning = []Set{all}, []Set{severe}
	return m
}

// EvaluateCriteria judges results, which are keyed by measure. The error is of
// kind internal: a measure without a result was handed over.
func EvaluateCriteria(c Criteria, results map[string]SourceResult, o Options) (Judgement, error) {
	j := Judgement{Objectives: c.Objectives, Notes: c.Notes}
	b := c.base(o)
	var scores []float64
	most := 0.0
	for _, m := range c.Measures {
		r, ok := results[m.ID]
		if !ok {
			return Judgement{}, missingResult(m.ID)
		}
		ir, relative := m.judge(r, b)
		if relative {
			j.ComparedWith = b.ids
		}
		if m.Key && m.judged() && ir.Score == 0 && ir.Error == "" {
			j.keyFailed = append(j.keyFailed, ir.Explanation)
		}
		if !m.judged() && ir.Error != "" {
			j.Notes = append(j.Notes, ir.Explanation)
			ir.Notes, ir.Error = append(ir.Notes, ir.Error), ""
		}
		scores = append(scores, ir.Score)
		most += ir.MaxScore
		j.Indicators = append(j.Indicators, ir)
	}
	j.TotalScore = sum(scores)
	if c.Percent {
		j.percent = true
		j.TotalScore = 100
		if most > 0 {
			j.TotalScore = math.Round(100*sum(scores)/most*1e9) / 1e9
		}
	}
	j.decide()
	return j, nil
}

// judge grades every series; the worst one decides.
func (m Measure) judge(r SourceResult, b base) (ir fairway.IndicatorResult, relative bool) {
	ir = fairway.IndicatorResult{ID: m.ID, Title: m.Title, Source: m.Source, Key: m.Key, Definition: m.Definition(), Violations: []fairway.Violation{}}
	if m.judged() {
		ir.MaxScore = m.Points
	}
	if r.Failure != "" {
		ir.Error = r.Failure
		ir.Explanation = m.name() + ": " + r.Failure
		return ir, false
	}
	if len(r.Values) == 0 {
		switch {
		case m.IgnoreEmpty:
			ir.Score = ir.MaxScore
		case m.judged():
			ir.Violations = append(ir.Violations, fairway.Violation{Breach: breachNoValues})
		}
		ir.Explanation = m.explain(nil, b.now)
		return ir, false
	}
	ir.Score = ir.MaxScore
	relative = m.Relative()
	all := make([]series, 0, len(r.Values))
	for _, v := range r.Values {
		var earlier *float64
		if relative {
			earlier = b.of(m.ID, ir.Definition, v.Key, len(r.Values) == 1)
		}
		s := m.grade(v, earlier)
		ir.Score = min(ir.Score, s.score)
		if m.judged() {
			ir.Violations = append(ir.Violations, s.violations(m.Metadata)...)
		}
		all = append(all, s)
	}
	ir.Limits, ir.Compared = m.limits(all), m.compared(all)
	ir.Explanation = m.explain(all, b.now)
	return ir, len(ir.Compared) > 0
}

// compared lists what the series were compared with.
func (m Measure) compared(all []series) []fairway.Compared {
	var out []fairway.Compared
	relative := m.relative()
	if len(relative) == 0 {
		return nil
	}
	out = make([]fairway.Compared, 0, len(relative)*len(all))
	for _, s := range all {
		if s.earlier == nil {
			continue
		}
		for _, c := range relative {
			out = append(out, fairway.Compared{Key: s.value.Key, Limit: c.Name, Earlier: *s.earlier, Threshold: c.target(*s.earlier)})
		}
	}
	return out
}

// relative returns the criteria about earlier values, each once.
func (m Measure) relative() []Criterion {
	var out []Criterion
	for _, set := range slices.Concat(m.Pass, m.Warning) {
		for _, c := range set {
			if c.Change != 0 && !slices.Contains(out, c) {
				out = append(out, c)
			}
		}
	}
	return out
}

// Relative reports whether the measure is about earlier values.
func (m Measure) Relative() bool { return len(m.relative()) > 0 }

// Definition is the same for two measures that ask the same: only then are
// their values comparable, whatever they are called.
func (m Measure) Definition() string {
	query := m.Template
	if query == nil {
		query = m.Query
	}
	digest := sha256.Sum256(append([]byte(m.Source+"\x00"), query...))
	return hex.EncodeToString(digest[:6])
}

func (m Measure) name() string {
	if m.Title != "" {
		return m.Title
	}
	return m.ID
}

// series is one graded value.
type series struct {
	value   Value
	number  float64
	finite  bool
	score   float64
	earlier *float64 // nil: there is none to compare with
	broken  []broken
}

// broken is a criterion that a value does not meet.
type broken struct {
	Criterion
	target float64
}

func (m Measure) grade(v Value, earlier *float64) series {
	s := series{value: v, earlier: earlier}
	s.number, s.finite = finite(v.JSON)
	if !m.judged() || !s.finite {
		return s
	}
	missed := s.missed(m.Pass)
	if missed == nil {
		s.score = m.Points
		return s
	}
	s.broken = missed
	if len(m.Warning) > 0 {
		if worse := s.missed(m.Warning); worse == nil {
			s.score = m.Points / 2
		} else {
			s.broken = worse
		}
	}
	return s
}

// missed returns the criteria that the value does not meet, or nil when one of
// the sets holds. A criterion without an earlier value to compare with holds.
func (s series) missed(sets []Set) []broken {
	all := []broken{}
	for _, set := range sets {
		n := len(all)
		for _, c := range set {
			earlier := 0.0
			if c.Change != 0 {
				if s.earlier == nil {
					continue
				}
				earlier = *s.earlier
			}
			if c.NoWorse && s.number == earlier {
				continue
			}
			if t := c.target(earlier); !c.holds(s.number, t) {
				all = append(all, broken{c, t})
			}
		}
		if len(all) == n {
			return nil
		}
	}
	return all
}

func (s series) violations(metadata json.RawMessage) []fairway.Violation {
	if !s.finite {
		return []fairway.Violation{{Key: s.value.Key, Value: jsonOrText(s.value.JSON), Breach: breachNotANum, Metadata: metadata}}
	}
	var vs []fairway.Violation
	for _, b := range s.broken {
		vs = append(vs, fairway.Violation{Key: s.value.Key, Value: s.value.JSON, Breach: b.Name, Threshold: &b.target, Metadata: metadata})
	}
	return vs
}

// limits are the targets by name, for people to see. Where they differ from
// series to series, those of the worst are shown.
func (m Measure) limits(all []series) map[string]float64 {
	if !m.judged() || len(all) == 0 {
		return nil
	}
	worst := worstOf(all)
	out := map[string]float64{}
	for prefix, sets := range map[string][]Set{"": m.Pass, "warning ": m.Warning} {
		for _, set := range sets {
			for _, c := range set {
				name := c.Name
				if prefix != "" && name == c.written() {
					name = prefix + name
				}
				if c.Change == 0 {
					out[name] = c.Value
				} else if worst.earlier != nil {
					out[name] = c.target(*worst.earlier)
				}
			}
		}
	}
	if len(out) == 0 {
		return nil
	}
	return out
}

// written is the criterion as an SLO has it.
func (c Criterion) written() string { return c.Op + c.Text }

// fault says what a value is when it does not meet the criterion.
func (b broken) fault() string {
	text := "not " + b.written()
	if b.Name != b.written() {
		where := "at or below"
		if b.Op == "<" {
			where = "at or above"
		}
		text = where + " " + b.Name + " " + b.Text
	}
	if b.Change != 0 {
		text += fmt.Sprintf(" (%s)", number(b.target))
	}
	return text
}
