package quality

import (
	"encoding/json"
	"math"
	"math/big"
	"strconv"
	"strings"

	"github.com/fairwaycd/fairway"
)

// Options change how a specification is applied.
type Options struct {
	// Compat gives Pitometer's answers even where the document does not ask
	// for them.
	Compat bool
	// Sources are the names of the metric sources that exist; the compatible
	// reading skips indicators of all others. Default: [KnownSources].
	Sources []string
}

// SourceResult is what a metric source answered for one indicator.
type SourceResult struct {
	Values  []Value // one per series; none means no data
	Failure string  // why the source could not answer; empty when it did
}

// Value is the value of one series. JSON is a number, or text that holds one
// as Prometheus writes it ("NaN" and "+Inf" included).
type Value struct {
	Key  string
	JSON json.RawMessage
}

// Judgement is the result of applying a specification to answers.
type Judgement struct {
	Verdict    fairway.Verdict
	TotalScore float64 // points; NaN only in the compatible reading
	Objectives fairway.Objectives
	// Indicators are in the order of the document; identity, score, limits,
	// violations, explanation and error are set. A score is NaN only in the
	// compatible reading.
	Indicators []fairway.IndicatorResult
	Reason     string // why the verdict is what it is
}

// The breaches that are no limits. The first is part of the format.
const (
	breachNoValues = "The indicator returned no values"
	breachNotANum  = "not a finite number"
)

// Evaluate applies spec to results, which are keyed by indicator id. What a
// source could not answer, and in the compatible reading whatever makes a run
// of the original fail, gives [fairway.VerdictError]. The error is of kind
// internal: an indicator without a result was handed over.
func Evaluate(spec Perfspec, results map[string]SourceResult, o Options) (Judgement, error) {
	if o.Sources == nil {
		o.Sources = KnownSources()
	}
	if spec.Compat || o.Compat {
		return evaluateCompat(spec, results, o)
	}
	j := Judgement{Objectives: spec.Objectives}
	var scores []float64
	for _, ind := range spec.Indicators {
		r, ok := results[ind.ID]
		if !ok {
			return Judgement{}, missingResult(ind.ID)
		}
		ir := ind.judge(r)
		scores = append(scores, ir.Score)
		j.Indicators = append(j.Indicators, ir)
	}
	j.TotalScore = sum(scores)
	j.decide()
	return j, nil
}

func missingResult(id string) error {
	return fairway.Errorf(fairway.KindInternal, "no result was handed over for indicator %q", id)
}

// sum adds scores as decimals, as a person would: 0.1 + 0.2 is 0.3, whatever
// their order.
func sum(scores []float64) float64 {
	total := new(big.Rat)
	for _, s := range scores {
		if r, ok := new(big.Rat).SetString(strconv.FormatFloat(s, 'g', -1, 64)); ok {
			total.Add(total, r)
		}
	}
	f, _ := total.Float64()
	return f
}

// judge grades every series; the worst one decides.
func (ind Indicator) judge(r SourceResult) fairway.IndicatorResult {
	g := ind.Grade
	ir := fairway.IndicatorResult{ID: ind.ID, Source: ind.Source, MaxScore: g.MetricScore, Limits: g.limits(), Violations: []fairway.Violation{}}
	if r.Failure != "" {
		ir.Error = r.Failure
		ir.Explanation = ind.ID + ": " + r.Failure
		return ir
	}
	if len(r.Values) == 0 {
		if g.IgnoreEmpty {
			ir.Score = g.MetricScore
		} else {
			ir.Violations = append(ir.Violations, fairway.Violation{Breach: breachNoValues})
		}
		ir.Explanation = explain(ind, nil)
		return ir
	}
	ir.Score = g.MetricScore
	var all []series
	for _, v := range r.Values {
		s := g.grade(v)
		ir.Score = min(ir.Score, s.score)
		ir.Violations = append(ir.Violations, s.violations(g.Metadata)...)
		all = append(all, s)
	}
	ir.Explanation = explain(ind, all)
	return ir
}

// series is one graded value.
type series struct {
	value  Value
	number float64
	finite bool
	score  float64
	broken []Limit
}

func (g Grading) grade(v Value) series {
	s := series{value: v, score: g.MetricScore}
	s.number, s.finite = finite(v.JSON)
	if !s.finite {
		s.score = 0
		return s
	}
	for _, side := range [][2]string{{"lowerSevere", "lowerWarning"}, {"upperSevere", "upperWarning"}} {
		severe, hasSevere := g.limit(side[0])
		warning, hasWarning := g.limit(side[1])
		switch {
		case hasSevere && severe.broken(s.number):
			s.score = 0
			s.broken = append(s.broken, severe)
		case hasWarning && warning.broken(s.number):
			s.score /= 2
			s.broken = append(s.broken, warning)
		}
	}
	return s
}

// finite reads a JSON number, or text that holds one.
func finite(raw json.RawMessage) (float64, bool) {
	text := string(raw)
	if len(raw) > 0 && raw[0] == '"' {
		if json.Unmarshal(raw, &text) != nil {
			return 0, false
		}
	}
	f, err := strconv.ParseFloat(text, 64)
	return f, err == nil && !math.IsNaN(f) && !math.IsInf(f, 0)
}

func (s series) violations(metadata json.RawMessage) []fairway.Violation {
	if !s.finite {
		return []fairway.Violation{{Key: s.value.Key, Value: jsonOrText(s.value.JSON), Breach: breachNotANum, Metadata: metadata}}
	}
	var vs []fairway.Violation
	for _, l := range s.broken {
		vs = append(vs, fairway.Violation{Key: s.value.Key, Value: s.value.JSON, Breach: l.Name, Threshold: &l.Value, Metadata: metadata})
	}
	return vs
}

// jsonOrText returns raw where it is JSON, and else what it says as JSON text,
// so that a violation can always be written.
func jsonOrText(raw json.RawMessage) json.RawMessage {
	if json.Valid(raw) {
		return raw
	}
	text, err := json.Marshal(string(raw))
	if err != nil {
		return json.RawMessage("null")
	}
	return text
}

// decide sets verdict and reason.
func (j *Judgement) decide() {
	var failed, lost, kept []string
	most := 0.0
	for _, ir := range j.Indicators {
		most += ir.MaxScore
		switch {
		case ir.Error != "":
			failed = append(failed, ir.Explanation)
		case !(ir.Score >= ir.MaxScore):
			lost = append(lost, ir.Explanation)
		default:
			kept = append(kept, ir.Explanation)
		}
	}
	total, o := number(j.TotalScore), j.Objectives
	switch {
	case len(failed) > 0:
		j.Verdict = fairway.VerdictError
		j.Reason = "could not be judged: " + strings.Join(failed, "; ")
		return
	case o.Pass <= j.TotalScore:
		j.Verdict = fairway.VerdictPass
		j.Reason = total + " of " + number(most) + " points reach the pass objective " + number(o.Pass)
	case o.Warning <= j.TotalScore:
		j.Verdict = fairway.VerdictWarning
		j.Reason = total + " of " + number(most) + " points reach the warning objective " + number(o.Warning) + ", not the pass objective " + number(o.Pass)
	default:
		j.Verdict = fairway.VerdictFail
		j.Reason = total + " of " + number(most) + " points are below the warning objective " + number(o.Warning)
	}
	why := lost
	if len(why) == 0 {
		why = kept[:min(len(kept), 3)]
	}
	if len(why) > 0 {
		j.Reason += ": " + strings.Join(why, "; ")
	}
}
