package gate

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/fairwaycd/fairway"
	"github.com/fairwaycd/fairway/quality"
)

// maxKept bounds the samples and violations of one indicator that an evaluation
// keeps. All are judged; the explanation names the worst.
const maxKept = 100

// answer is what became of one indicator's query.
type answer struct {
	fairway.Answer
	indicator quality.Indicator
	given     []quality.Value // instead of the samples' values
	attempts  int
	err       error
}

// ask puts all indicators' queries at once and returns the answers by id. In a
// compatible specification indicators of unknown sources are left out.
func (g *Gate) ask(ctx context.Context, r Request, spec quality.Spec) map[string]answer {
	indicators := spec.Indicators()
	if r.Results != nil {
		return given(indicators, r.Results)
	}
	list := make([]answer, len(indicators))
	var wg sync.WaitGroup
	for i, ind := range indicators {
		source, ok := g.sources[ind.Source]
		if !ok {
			continue
		}
		wg.Go(func() {
			list[i] = g.persist(ctx, source, fairway.Query{Raw: forRun(ind.Query, r), Window: r.Window, Subject: r.Subject, Select: r.Select})
			list[i].indicator = ind
		})
	}
	wg.Wait()
	answers := map[string]answer{}
	for _, a := range list {
		if a.attempts > 0 {
			answers[a.indicator.ID] = a
		}
	}
	return answers
}

// given makes answers of results that are known already.
func given(indicators []quality.Indicator, results map[string][]Result) map[string]answer {
	answers := map[string]answer{}
	for _, ind := range indicators {
		a := answer{indicator: ind, attempts: 1, given: []quality.Value{}}
		a.Tied = true
		for _, r := range results[ind.ID] {
			a.given = append(a.given, quality.Value{Key: r.Key, JSON: r.Value})
			v, err := strconv.ParseFloat(strings.Trim(string(r.Value), `"`), 64)
			if err != nil && !math.IsInf(v, 0) {
				v = math.NaN()
			}
			whole, part := math.Modf(r.Time)
			a.Samples = append(a.Samples, fairway.NewSample(r.Key, time.Unix(int64(whole), int64(part*1e9)).UTC(), v))
		}
		answers[ind.ID] = a
	}
	return answers
}

// persist asks until there is an answer, an error that will not go away, or no
// attempt left.
func (g *Gate) persist(ctx context.Context, s fairway.MetricSource, q fairway.Query) answer {
	wait := g.o.Backoff
	for n := 1; ; n++ {
		a, err := g.attempt(ctx, s, q)
		if err == nil || !fairway.IsRetryable(err) || n > g.o.Retries || ctx.Err() != nil {
			return answer{Answer: a, attempts: n, err: err}
		}
		g.o.Logger.Warn("a metric source did not answer; asking again", "delivery", q.Subject.Delivery, "stage", q.Subject.Stage,
			"source", s.Name(), "attempt", n, "wait", wait, "error", redact(err.Error()))
		timer := time.NewTimer(wait)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return answer{Answer: a, attempts: n, err: context.Cause(ctx)}
		}
		wait *= 2
	}
}

// result returns the answer as the engine takes it.
func (a answer) result(compat bool) quality.SourceResult {
	if a.err != nil {
		tried := ""
		if a.attempts > 1 {
			tried = fmt.Sprintf(" in %d attempts", a.attempts)
		}
		return quality.SourceResult{Failure: fmt.Sprintf("%s did not answer the query %s%s: %s", a.indicator.Source, a.query(), tried, redact(a.err.Error()))}
	}
	if a.given != nil {
		return quality.SourceResult{Values: a.given}
	}
	r := quality.SourceResult{Values: make([]quality.Value, len(a.Samples))}
	for i, s := range a.Samples {
		r.Values[i] = quality.Value{Key: s.Key, JSON: valueJSON(s.Value, compat && a.indicator.Source == "Prometheus")}
	}
	return r
}

// valueJSON writes a value as a JSON number where it is one. The original's
// Prometheus source hands on text, which its comparisons can tell apart.
func valueJSON(v float64, asText bool) json.RawMessage {
	text := strconv.FormatFloat(v, 'f', -1, 64)
	if asText || math.IsNaN(v) || math.IsInf(v, 0) {
		text = strconv.Quote(text)
	}
	return json.RawMessage(text)
}

// query returns the query as it was sent, or else as it was written.
func (a answer) query() string {
	if a.Resolved != "" {
		return a.Resolved
	}
	return written(a.indicator.Query)
}

// written returns a query for people: PromQL without JSON's quoting.
func written(raw json.RawMessage) string {
	var text string
	if json.Unmarshal(raw, &text) == nil {
		return text
	}
	return string(raw)
}

// describe adds to an indicator's result what was asked and answered.
func (a answer) describe(ir *fairway.IndicatorResult) {
	ir.Written, ir.Query = written(a.indicator.Query), a.Resolved
	ir.Tied = a.err == nil && a.Tied
	ir.Notes = append(ir.Notes, a.Notes...)
	ir.Score, ir.MaxScore = writable(ir.Score), writable(ir.MaxScore)
	ir.Course = a.Course
	ir.Samples, ir.Compared = a.Samples, ir.Compared[:min(len(ir.Compared), maxKept)]
	if n := len(ir.Samples); n > maxKept {
		ir.Samples = ir.Samples[:maxKept]
		ir.Notes = append(ir.Notes, fmt.Sprintf("%d series were judged; %d of their samples are kept", n, maxKept))
	}
	if n := len(ir.Violations); n > maxKept {
		ir.Violations = ir.Violations[:maxKept]
		ir.Notes = append(ir.Notes, fmt.Sprintf("%d limits were broken; %d of them are kept", n, maxKept))
	}
}
