package gate_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fairwaycd/fairway"
	"github.com/fairwaycd/fairway/gate"
	"github.com/fairwaycd/fairway/quality"
)

// source answers by the text of the query.
type source struct {
	name string
	f    func(ctx context.Context, query string, n int) (fairway.Answer, error)

	mu    sync.Mutex
	asked []string
}

func (s *source) Name() string { return s.name }

func (s *source) Query(ctx context.Context, q fairway.Query) (fairway.Answer, error) {
	s.mu.Lock()
	s.asked = append(s.asked, string(q.Raw))
	n := len(s.asked)
	s.mu.Unlock()
	var text string
	if err := json.Unmarshal(q.Raw, &text); err != nil {
		text = string(q.Raw)
	}
	return s.f(ctx, text, n)
}

func samples(vs ...float64) fairway.Answer {
	a := fairway.Answer{Tied: true}
	for i, v := range vs {
		a.Samples = append(a.Samples, fairway.NewSample(fmt.Sprintf(`{"pod":"p%d"}`, i), start, v))
	}
	return a
}

func prometheus(f func(ctx context.Context, query string, n int) (fairway.Answer, error)) *source {
	return &source{name: "Prometheus", f: f}
}

func always(a fairway.Answer) *source {
	return prometheus(func(_ context.Context, query string, _ int) (fairway.Answer, error) {
		a := a
		a.Resolved = query + "{pinned}"
		return a, nil
	})
}

func newGate(o gate.Options, sources ...fairway.MetricSource) *gate.Gate {
	o.Now = func() time.Time { return start.Add(time.Hour) }
	if o.Backoff == 0 {
		o.Backoff = time.Microsecond
	}
	return gate.New(sources, o)
}

var start = time.Date(2026, 5, 4, 9, 5, 2, 0, time.UTC)

func request(spec string) gate.Request {
	r := gate.Request{
		Subject: fairway.Subject{Project: "sockshop", Stage: "staging", Place: fairway.Place{Namespace: "sockshop-staging", Service: "carts", Colour: fairway.Green}, Delivery: "d-1", Attempt: 1, Version: "0.6.1-2"},
		Window:  fairway.Window{Start: start, End: start.Add(9*time.Minute + 29*time.Second)},
		Commit:  "c0ffee",
		Stage:   fairway.Stage{Name: "staging", TestStrategy: fairway.PerformanceTests},
	}
	if spec != "" {
		r.Files = map[string][]byte{quality.PerfspecFile: []byte(spec)}
	}
	return r
}

func indicator(id, query string) string {
	q, _ := json.Marshal(query)
	return fmt.Sprintf(`{"id": %q, "source": "Prometheus", "query": %s, "grading": {"type": "Threshold", "thresholds": {"upperSevere": 1.0}, "metricScore": 100}}`, id, q)
}

func spec(indicators ...string) string {
	return `{"spec_version": "1.0", "indicators": [` + strings.Join(indicators, ",\n") + `], "objectives": {"pass": 90, "warning": 75}}`
}

func evaluate(t *testing.T, g *gate.Gate, r gate.Request) fairway.Evaluation {
	t.Helper()
	e, err := g.Evaluate(t.Context(), r)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := json.Marshal(e); err != nil {
		t.Errorf("the evaluation cannot be written: %v", err)
	}
	if e.Reason == "" || e.ID != gate.EvaluationID(r.Subject) || !e.EvaluatedAt.Equal(start.Add(time.Hour)) {
		t.Errorf("incomplete: %+v", e)
	}
	return e
}

func TestEvaluatePasses(t *testing.T) {
	t.Parallel()
	r := request(spec(indicator("latency", "up{ns='ENV_PLACEHOLDER'}[$DURATION_MINUTESm]")))
	e := evaluate(t, newGate(gate.Options{}, always(samples(0.0523))), r)
	if e.Verdict != fairway.VerdictPass || e.TotalScore != 100 || !e.Tied || e.Commit != "c0ffee" || e.Subject != r.Subject || e.Window != r.Window {
		t.Errorf("%+v", e)
	}
	ir := e.IndicatorResults[0]
	if ir.Written != "up{ns='sockshop-staging'}[10m]" || ir.Query != ir.Written+"{pinned}" || ir.Source != "Prometheus" || ir.Limits["upperSevere"] != 1 || len(ir.Samples) != 1 || ir.MaxScore != 100 {
		t.Errorf("%+v", ir)
	}
	if ir.Explanation != "latency: 0.0523 is below upperSevere 1.0" {
		t.Error(ir.Explanation)
	}
}

func TestEvaluateFails(t *testing.T) {
	t.Parallel()
	for _, v := range []float64{1, 1.21, math.NaN(), math.Inf(1), math.Inf(-1)} {
		e := evaluate(t, newGate(gate.Options{}, always(samples(0.1, v))), request(spec(indicator("latency", "q"))))
		if e.Verdict != fairway.VerdictFail || e.TotalScore != 0 || !strings.Contains(e.Reason, `in 1 of 2 series; worst: carts-green 0.6.1-2 {"pod":"p1"}`) {
			t.Errorf("%v: %s %s", v, e.Verdict, e.Reason)
		}
	}
	e := evaluate(t, newGate(gate.Options{}, always(samples())), request(spec(indicator("latency", "q"))))
	if e.Verdict != fairway.VerdictFail || !strings.Contains(e.Reason, "latency: there are no data") {
		t.Errorf("no data: %s %s", e.Verdict, e.Reason)
	}
}

func TestGateRequired(t *testing.T) {
	t.Parallel()
	untied := samples(0.1)
	untied.Tied, untied.Notes = false, []string{"no selector names the service"}
	mixed := prometheus(func(_ context.Context, query string, _ int) (fairway.Answer, error) {
		a := samples(0.1)
		a.Tied = query == "tied"
		return a, nil
	})
	tests := []struct {
		name    string
		source  *source
		spec    string
		gate    fairway.GatePolicy
		verdict fairway.Verdict
		reason  string
	}{
		{"tied", always(samples(0.1)), spec(indicator("a", "q")), fairway.GateRequired, fairway.VerdictPass, "100 of 100 points"},
		{"not tied", always(untied), spec(indicator("a", "q")), fairway.GateRequired, fairway.VerdictFail, "not tied to the version"},
		{"not tied, optional", always(untied), spec(indicator("a", "q")), fairway.GateOptional, fairway.VerdictPass, "100 of 100 points"},
		{"not tied, default", always(untied), spec(indicator("a", "q")), "", fairway.VerdictPass, "100 of 100 points"},
		{"one of two not tied", mixed, spec(indicator("a", "other"), indicator("b", "tied")), fairway.GateRequired, fairway.VerdictFail, "not tied to the version"},
		{"no objectives", always(samples(0.1)), "", fairway.GateRequired, fairway.VerdictFail, "gate: required; add slo.yaml and sli.yaml, or perfspec/perfspec.json"},
		{"no objectives, optional", always(samples(0.1)), "", fairway.GateOptional, fairway.VerdictNotJudged, "no objectives"},
		{"error stays an error", always(samples(0.1)), "{", fairway.GateRequired, fairway.VerdictError, "cannot be read"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			r := request(tt.spec)
			r.Stage.Gate = tt.gate
			e := evaluate(t, newGate(gate.Options{}, tt.source), r)
			if e.Verdict != tt.verdict || !strings.Contains(e.Reason, tt.reason) {
				t.Errorf("got %s %q, want %s %q", e.Verdict, e.Reason, tt.verdict, tt.reason)
			}
		})
	}
	e := evaluate(t, newGate(gate.Options{}, always(untied)), request(spec(indicator("a", "q"))))
	if e.Tied || e.IndicatorResults[0].Tied || len(e.IndicatorResults[0].Notes) != 1 {
		t.Errorf("%+v", e)
	}
}

func TestRetries(t *testing.T) {
	t.Parallel()
	down := fairway.Retryable(errors.New("connection refused"))
	tests := []struct {
		name    string
		fails   int // attempts that fail before the first answer
		err     error
		retries int
		verdict fairway.Verdict
		asked   int
		reason  string
	}{
		{"third attempt answers", 2, down, 3, fairway.VerdictPass, 3, ""},
		{"no attempt answers", 99, down, 3, fairway.VerdictError, 4, "Prometheus did not answer the query rate(x) in 4 attempts: connection refused"},
		{"no retries", 99, down, -1, fairway.VerdictError, 1, "did not answer the query rate(x): connection refused"},
		{"terminal", 99, errors.New("parse error at char 3"), 3, fairway.VerdictError, 1, "latency: Prometheus did not answer the query rate(x): parse error at char 3"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := prometheus(func(_ context.Context, _ string, n int) (fairway.Answer, error) {
				if n <= tt.fails {
					return fairway.Answer{}, tt.err
				}
				return samples(0.1), nil
			})
			e := evaluate(t, newGate(gate.Options{Retries: tt.retries}, s), request(spec(indicator("latency", "rate(x)"))))
			if e.Verdict != tt.verdict || len(s.asked) != tt.asked || !strings.Contains(e.Reason, tt.reason) {
				t.Errorf("%s after %d attempts: %s", e.Verdict, len(s.asked), e.Reason)
			}
			if tt.verdict == fairway.VerdictError && e.IndicatorResults[0].Error == "" {
				t.Errorf("%+v", e.IndicatorResults[0])
			}
		})
	}
}

// TestSlowSource runs on a false clock, since it is about time alone.
func TestSlowSource(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		s := prometheus(func(ctx context.Context, _ string, _ int) (fairway.Answer, error) {
			<-ctx.Done()
			return fairway.Answer{}, ctx.Err()
		})
		e := evaluate(t, newGate(gate.Options{Timeout: 10 * time.Second, Retries: 2, Backoff: time.Second}, s), request(spec(indicator("latency", "q"))))
		if e.Verdict != fairway.VerdictError || !strings.Contains(e.Reason, "in 3 attempts: no answer within 10s") {
			t.Errorf("%s %s", e.Verdict, e.Reason)
		}
		if took := time.Since(began); took != 33*time.Second {
			t.Errorf("took %s", took)
		}
	})
}

func TestInterrupted(t *testing.T) {
	t.Parallel()
	for _, inside := range []error{errors.New("terminal"), fairway.Retryable(errors.New("again"))} {
		ctx, cancel := context.WithCancelCause(t.Context())
		cause := errors.New("fairway is stopping")
		s := prometheus(func(context.Context, string, int) (fairway.Answer, error) {
			cancel(cause)
			return fairway.Answer{}, inside
		})
		_, err := newGate(gate.Options{Backoff: time.Hour}, s).Evaluate(ctx, request(spec(indicator("latency", "q"))))
		if !errors.Is(err, cause) || fairway.KindOf(err) != fairway.KindUnavailable {
			t.Errorf("got %v", err)
		}
	}
}

// TestConcurrencyIsBoundedOverAllEvaluations uses a bubble to know when nothing
// moves any more.
func TestConcurrencyIsBoundedOverAllEvaluations(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var under atomic.Int64
		release := make(chan struct{})
		s := prometheus(func(ctx context.Context, _ string, _ int) (fairway.Answer, error) {
			under.Add(1)
			defer under.Add(-1)
			select {
			case <-release:
				return samples(0.1), nil
			case <-ctx.Done():
				return fairway.Answer{}, ctx.Err()
			}
		})
		g := newGate(gate.Options{MaxConcurrent: 3}, s)
		var inds []string
		for i := range 10 {
			inds = append(inds, indicator(fmt.Sprint("i", i), "q"))
		}
		var wg sync.WaitGroup
		for range 3 {
			wg.Go(func() {
				if e := evaluate(t, g, request(spec(inds...))); e.Verdict != fairway.VerdictPass {
					t.Errorf("%s %s", e.Verdict, e.Reason)
				}
			})
		}
		synctest.Wait()
		if n := under.Load(); n != 3 {
			t.Errorf("%d queries are under way, want 3", n)
		}
		close(release)
		wg.Wait()
		if len(s.asked) != 30 {
			t.Errorf("%d queries in all", len(s.asked))
		}
	})
}

func TestErrorsCarryNoCredentials(t *testing.T) {
	t.Parallel()
	var logged strings.Builder
	for _, text := range []string{
		`Get "https://admin:s3cr3t-value@prometheus.example/api/v1/query": EOF`,
		`POST https://t.example/api/v1/timeseries?Api-Token=s3cr3t-value&x=1: 401`,
		`unexpected answer, sent Authorization: Bearer s3cr3t-value`,
		`unexpected answer, sent {"Authorization": "Api-Token s3cr3t-value"}`,
		`header Authorization: Basic czNjcjN0-s3cr3t-value==`,
		`login with password=s3cr3t-value failed`,
		`login with client_secret: "s3cr3t-value" failed`,
	} {
		s := prometheus(func(context.Context, string, int) (fairway.Answer, error) {
			return fairway.Answer{}, fairway.Retryable(errors.New(text))
		})
		o := gate.Options{Logger: slog.New(slog.NewTextHandler(&logged, nil))}
		e := evaluate(t, newGate(o, s), request(spec(indicator("latency", "q"))))
		data, _ := json.Marshal(e)
		if strings.Contains(string(data), "s3cr3t") || !strings.Contains(string(data), "…") {
			t.Errorf("%s", data)
		}
	}
	if strings.Contains(logged.String(), "s3cr3t") || !strings.Contains(logged.String(), "asking again") {
		t.Errorf("%s", logged.String())
	}
}

func TestMalformedAndUnknown(t *testing.T) {
	t.Parallel()
	g := newGate(gate.Options{}, always(samples(0.1)), &source{name: "Dynatrace"})
	wrongCase := strings.Replace(spec(indicator("a", "q")), "Prometheus", "prometheus", 1)
	for in, want := range map[string]string{
		`{"indicators": []}`: "carts/perfspec/perfspec.json:1:16: indicators is empty",
		wrongCase:            "write Prometheus; spelling",
		strings.Replace(wrongCase, "prometheus", "Splunk", 1): "write one of Dynatrace, Prometheus",
	} {
		e := evaluate(t, g, request(in))
		if e.Verdict != fairway.VerdictError || !strings.Contains(e.Reason, want) {
			t.Errorf("%s: %s %s", in, e.Verdict, e.Reason)
		}
	}
}

func TestCompat(t *testing.T) {
	t.Parallel()
	r := request(strings.Replace(spec(indicator("a", "q"), indicator("b", "q")), `"source": "Prometheus"`, `"source": "Splunk"`, 1))
	r.Compat = true
	e := evaluate(t, newGate(gate.Options{}, always(samples(math.NaN()))), r)
	if e.Verdict != fairway.VerdictPass || len(e.IndicatorResults) != 1 || !strings.Contains(e.Reason, `a was skipped, because there is no source "Splunk"`) {
		t.Errorf("%s %s", e.Verdict, e.Reason)
	}

	r = request(`{"compat": "pitometer", ` + strings.Replace(spec(indicator("a", "q")), `, "metricScore": 100`, "", 1)[1:])
	e = evaluate(t, newGate(gate.Options{}, always(samples(0.5))), r)
	if e.Verdict != fairway.VerdictFail || e.TotalScore != 0 || e.IndicatorResults[0].Score != 0 || !strings.Contains(e.Reason, "NaN") {
		t.Errorf("points missing: %+v", e)
	}
	e = evaluate(t, newGate(gate.Options{}, always(samples(2))), r)
	if e.Verdict != fairway.VerdictFail || string(e.IndicatorResults[0].Violations[0].Value) != `"2"` {
		t.Errorf("a value is not handed on as text: %+v", e)
	}
}

func TestManySeriesAreJudgedAndFewKept(t *testing.T) {
	t.Parallel()
	vs := make([]float64, 5000)
	for i := range vs {
		vs[i] = 2 + float64(i)
	}
	e := evaluate(t, newGate(gate.Options{}, always(samples(vs...))), request(spec(indicator("a", "q"))))
	ir := e.IndicatorResults[0]
	if len(ir.Samples) != 100 || len(ir.Violations) != 100 || len(ir.Notes) != 2 || !strings.Contains(ir.Explanation, "5001 is at or above upperSevere 1.0 in 5000 of 5000 series") {
		t.Errorf("%d samples, %d violations, %v, %s", len(ir.Samples), len(ir.Violations), ir.Notes, ir.Explanation)
	}
}

func TestEvaluationID(t *testing.T) {
	t.Parallel()
	s := request("").Subject
	again := s
	again.Attempt = 2
	if a := gate.EvaluationID(s); a != gate.EvaluationID(s) || len(a) != 16 || a == gate.EvaluationID(again) {
		t.Error(a)
	}
}

// TestAnSLOIsJudged with its placeholders, and compared with what was before.
func TestAnSLOIsJudged(t *testing.T) {
	t.Parallel()
	var asked []string
	source := sourceFunc(func(q fairway.Query) (fairway.Answer, error) {
		var text string
		if err := json.Unmarshal(q.Raw, &text); err != nil {
			return fairway.Answer{}, err
		}
		asked = append(asked, text)
		return fairway.Answer{Samples: []fairway.Sample{fairway.NewSample("{}", q.Window.End, 12)}, Resolved: text, Tied: true}, nil
	})
	r := request("")
	r.Files = map[string][]byte{
		quality.SLOFile: []byte("objectives: [{sli: latency, pass: [{criteria: ['<=+10%']}]}]\ntotal_score: {pass: 90%, warning: 75%}"),
		quality.SLIFile: []byte("indicators: {latency: 'x{p=\"$PROJECT-$STAGE\", s=\"$SERVICE\", e=\"$ENVIRONMENT\"}[$DURATION_SECONDS] + y[$DURATION_MINUTESm]'}"),
	}
	r.Earlier = []fairway.Evaluation{{ID: "before", Verdict: fairway.VerdictPass, IndicatorResults: []fairway.IndicatorResult{{ID: "latency", Samples: []fairway.Sample{fairway.NewSample("{}", start, 10)}}}}}
	e, err := gate.New([]fairway.MetricSource{source}, gate.Options{}).Evaluate(t.Context(), r)
	if err != nil || e.Verdict != fairway.VerdictFail || !slices.Equal(e.ComparedWith, []string{"before"}) || !strings.Contains(e.Reason, "latency: 12 is not <=+10% (11)") {
		t.Errorf("%+v, %v", e, err)
	}
	if want := `x{p="sockshop-staging", s="carts", e="sockshop-staging"}[569s] + y[10m]`; len(asked) != 1 || asked[0] != want {
		t.Errorf("asked %q, want %q", asked, want)
	}
	r.Files[quality.SLOFile] = []byte("objectives: [{sli: other}]\ntotal_score: {pass: 90%}")
	if e, err := gate.New([]fairway.MetricSource{source}, gate.Options{}).Evaluate(t.Context(), r); err != nil || e.Verdict != fairway.VerdictError || !strings.Contains(e.Reason, "carts/slo.yaml:1:20") {
		t.Errorf("%+v, %v", e, err)
	}
}

type sourceFunc func(q fairway.Query) (fairway.Answer, error)

func (sourceFunc) Name() string { return "Prometheus" }

func (f sourceFunc) Query(_ context.Context, q fairway.Query) (fairway.Answer, error) { return f(q) }
