package gate

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/fairwaycd/fairway"
	"github.com/fairwaycd/fairway/quality"
)

// Options change how a [Gate] asks. The zero value means the defaults.
type Options struct {
	Logger        *slog.Logger     // default: none
	MaxConcurrent int              // queries under way at once, over all evaluations; default 8
	Timeout       time.Duration    // for one attempt of one query; default 10 s
	Retries       int              // further attempts of a query; default 3, negative: none
	Backoff       time.Duration    // before the first further attempt, doubled for each next; default 250 ms
	Now           func() time.Time // default time.Now
}

func (o Options) withDefaults() Options {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.MaxConcurrent <= 0 {
		o.MaxConcurrent = 8
	}
	if o.Timeout <= 0 {
		o.Timeout = 10 * time.Second
	}
	switch {
	case o.Retries == 0:
		o.Retries = 3
	case o.Retries < 0:
		o.Retries = 0
	}
	if o.Backoff <= 0 {
		o.Backoff = 250 * time.Millisecond
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	return o
}

// Gate asks metric sources and judges. It is safe for concurrent use.
type Gate struct {
	sources map[string]fairway.MetricSource
	o       Options
	slots   chan struct{} // one for each query under way
}

// New returns a gate that asks the given sources. Of two sources with the same
// name the later one is asked.
func New(sources []fairway.MetricSource, o Options) *Gate {
	g := &Gate{sources: map[string]fairway.MetricSource{}, o: o.withDefaults()}
	for _, s := range sources {
		g.sources[s.Name()] = s
	}
	g.slots = make(chan struct{}, g.o.MaxConcurrent)
	return g
}

// Sources returns the names of the sources, sorted.
func (g *Gate) Sources() []string { return slices.Sorted(maps.Keys(g.sources)) }

// Request is what is to be judged, and by what.
type Request struct {
	Subject fairway.Subject
	Window  fairway.Window    // of the test; queries are asked as of its end
	Commit  string            // of the stage branch that holds Files
	Files   map[string][]byte // of the service by path; those of [quality.Files] count
	Stage   fairway.Stage
	// Connected are the sources that the project has connected; nil: not known.
	Connected []string
	Select    string // metrics.select of the service's values, for sources that need it
	Compat    bool   // judge a perfspec as Pitometer does, though it does not ask for it
	// Results are the answers, where they are known already: no source is
	// asked then. Indicators that are missing have no data.
	Results map[string][]Result
	Earlier []fairway.Evaluation // of the same service and stage, the newest first
}

// Result is the value of one series of an indicator, as somebody else read it.
type Result struct {
	Key   string          `json:"key"`
	Time  float64         `json:"timestamp"` // seconds since 1970
	Value json.RawMessage `json:"value"`     // a number, or text that holds one
}

// EvaluationID returns the id of the evaluation of one test run: 16 hexadecimal
// digits. Evaluating the same run again gives the same id.
func EvaluationID(s fairway.Subject) string {
	digest := sha256.Sum256([]byte(s.RunID()))
	return hex.EncodeToString(digest[:8])
}

// Evaluate judges the subject. A malformed specification, an unknown source and
// a query that is not answered give [fairway.VerdictError] with a reason. The
// only error is of kind unavailable, when ctx ended first; it wraps ctx's cause.
func (g *Gate) Evaluate(ctx context.Context, r Request) (fairway.Evaluation, error) {
	e := fairway.Evaluation{ID: EvaluationID(r.Subject), Subject: r.Subject, Window: r.Window, Commit: r.Commit, IndicatorResults: []fairway.IndicatorResult{}}
	spec, found, err := g.Read(r)
	required := r.Stage.WithDefaults().Gate == fairway.GateRequired
	switch {
	case !found:
		e.Verdict = fairway.VerdictNotJudged
		e.Reason = "not judged: the service has no objectives"
	case err != nil:
		e.Verdict, e.Reason = fairway.VerdictError, "the objectives cannot be read: "+redact(err.Error())
	default:
		g.judge(ctx, r, spec, &e)
	}
	if ctx.Err() != nil {
		return fairway.Evaluation{}, fairway.Errorf(fairway.KindUnavailable, "the evaluation of %s was interrupted: %w", r.Subject.RunID(), context.Cause(ctx))
	}
	if required {
		insist(&e)
	}
	e.EvaluatedAt = g.o.Now()
	g.o.Logger.Info("evaluated", "delivery", r.Subject.Delivery, "stage", r.Subject.Stage, "attempt", r.Subject.Attempt,
		"evaluation", e.ID, "result", e.Verdict, "score", e.TotalScore, "reason", e.Reason)
	return e, nil
}

// insist turns what "gate: required" does not let pass into a failure.
func insist(e *fairway.Evaluation) {
	switch e.Verdict {
	case fairway.VerdictNotJudged:
		e.Verdict = fairway.VerdictFail
		e.Reason = "the service has no objectives, but the stage says gate: required; add slo.yaml and sli.yaml, or perfspec/perfspec.json, to the service, or write gate: optional"
	case fairway.VerdictPass, fairway.VerdictWarning:
		if e.Tied {
			return
		}
		e.Reason = fmt.Sprintf("not tied to the version, but the stage says gate: required; without that it would be %s: %s", e.Verdict, e.Reason)
		e.Verdict = fairway.VerdictFail
	}
}

// Read reads the objectives as they hold for this request; ok is false when
// there are none. The error is of kind invalid and holds every problem.
func (g *Gate) Read(r Request) (quality.Spec, bool, error) {
	files := maps.Clone(r.Files)
	if text, ok := files[quality.PerfspecFile]; ok {
		files[quality.PerfspecFile] = replacePlaceholders(text, r.Subject.Place.Namespace, r.Window)
	}
	dir := ""
	if s := r.Subject.Place.Service; s != "" {
		dir = string(s) + "/"
	}
	return quality.Read(dir, files, quality.ParseOptions{Compat: r.Compat, Sources: g.Sources(), Connected: r.Connected, Written: r.Files[quality.PerfspecFile]})
}

// judge fills e with what the specification says about the subject.
func (g *Gate) judge(ctx context.Context, r Request, spec quality.Spec, e *fairway.Evaluation) {
	answers := g.ask(ctx, r, spec)
	results := map[string]quality.SourceResult{}
	for id, a := range answers {
		results[id] = a.result(spec.Compat())
	}
	o := quality.Options{Sources: g.Sources(), Earlier: r.Earlier, Subject: r.Subject}
	if r.Subject.Delivery != "" { // else no run can be told from another
		o.Self = e.ID
	}
	j, err := spec.Judge(results, o)
	if err != nil {
		e.Verdict, e.Reason = fairway.VerdictError, "could not be judged: "+redact(err.Error())
		return
	}
	e.Verdict, e.Reason, e.Objectives, e.TotalScore = j.Verdict, j.Reason, j.Objectives, writable(j.TotalScore)
	e.ComparedWith = j.ComparedWith
	if len(j.Notes) > 0 {
		e.Reason += "; " + strings.Join(j.Notes, "; ")
	}
	e.Tied = len(j.Indicators) > 0
	for _, ir := range j.Indicators {
		a := answers[ir.ID]
		a.describe(&ir)
		e.Tied = e.Tied && ir.Tied
		e.IndicatorResults = append(e.IndicatorResults, ir)
	}
}

// writable returns v, or 0 for what JSON cannot write. Only Pitometer's
// arithmetic gives such a score, and its verdict and reason say so.
func writable(v float64) float64 {
	if math.IsNaN(v) || math.IsInf(v, 0) {
		return 0
	}
	return v
}

// attempt asks once, within a slot and the timeout. A source that is too slow
// may be asked again.
func (g *Gate) attempt(ctx context.Context, s fairway.MetricSource, q fairway.Query) (fairway.Answer, error) {
	select {
	case g.slots <- struct{}{}:
		defer func() { <-g.slots }()
	case <-ctx.Done():
		return fairway.Answer{}, context.Cause(ctx)
	}
	limited, cancel := context.WithTimeout(ctx, g.o.Timeout)
	defer cancel()
	a, err := s.Query(limited, q)
	if err != nil && ctx.Err() == nil && errors.Is(limited.Err(), context.DeadlineExceeded) {
		return a, fairway.Retryable(fairway.Errorf(fairway.KindUnavailable, "no answer within %s: %w", g.o.Timeout, err))
	}
	return a, err
}
