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
	// Self is the id of the evaluation that is made, Subject what is judged:
	// an evaluation is not compared with itself, and series are found again
	// whatever colour and version they are of.
	Self    string
	Subject fairway.Subject
	// Earlier are evaluations of the same service and stage, the newest
	// first, to which relative criteria refer.
	Earlier []fairway.Evaluation
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
	// ComparedWith are the evaluations that relative criteria were about.
	ComparedWith []string
	Notes        []string

	percent   bool
	keyFailed []string
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
	return EvaluateCriteria(spec.Criteria(), results, o)
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
	reached := total + " of " + number(most) + " points"
	pass, warning := "the pass objective "+number(o.Pass), "the warning objective "+number(o.Warning)
	if j.percent {
		reached = number(math.Round(j.TotalScore*100)/100) + " % of the points"
		pass, warning = pass+" %", warning+" %"
	}
	switch {
	case len(failed) > 0:
		j.Verdict = fairway.VerdictError
		j.Reason = "could not be judged: " + strings.Join(failed, "; ")
		return
	case len(j.keyFailed) > 0:
		j.Verdict = fairway.VerdictFail
		j.Reason = "a key indicator failed: " + strings.Join(j.keyFailed, "; ")
		return
	case o.Pass <= j.TotalScore:
		j.Verdict = fairway.VerdictPass
		j.Reason = reached + " reach " + pass
	case o.Warning <= j.TotalScore:
		j.Verdict = fairway.VerdictWarning
		j.Reason = reached + " reach " + warning + ", not " + pass
	default:
		j.Verdict = fairway.VerdictFail
		j.Reason = reached + " are below " + warning
	}
	why := lost
	if len(why) == 0 {
		why = kept[:min(len(kept), 3)]
	}
	if len(why) > 0 {
		j.Reason += ": " + strings.Join(why, "; ")
	}
}
