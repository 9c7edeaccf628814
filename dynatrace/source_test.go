package dynatrace_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/fairwaycd/fairway"
	"github.com/fairwaycd/fairway/dynatrace"
	"github.com/fairwaycd/fairway/dynatrace/simulator"
	"github.com/fairwaycd/fairway/gate"
	"github.com/fairwaycd/fairway/internal/outbound"
)

const (
	token        = "dt0c01.PUBLIC.secret-portion"
	responseTime = "builtin:service.response.time"
)

var start = time.Date(2026, 5, 4, 9, 5, 20, 0, time.UTC)

// window is of a test of five minutes.
var window = fairway.Window{Start: start, End: start.Add(5 * time.Minute)}

func patience(t testing.TB) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 60*time.Second)
	t.Cleanup(cancel)
	return ctx
}

func subject(s fairway.ServiceName, c fairway.Colour) fairway.Subject {
	return fairway.Subject{Project: "sockshop", Stage: "staging", Delivery: "d1", Attempt: 1, Version: "0.6.1",
		Place: fairway.Place{Namespace: "staging", Service: s, Colour: c}}
}

// environment has two services in two colours and two places each. Every
// entity answers in its own time: that of carts-green is slow.
func environment(t testing.TB) (*simulator.Server, *dynatrace.Source) {
	t.Helper()
	sim := &simulator.Server{}
	sim.Token(token, simulator.ScopeV1, simulator.ScopeV2)
	for i, e := range []struct {
		service, colour, environment string
		ms                           float64
	}{
		{"carts", "blue", "staging", 50}, {"carts", "green", "staging", 1100},
		{"orders", "blue", "staging", 2000}, {"orders", "green", "staging", 70},
		{"carts", "blue", "production", 3000}, {"carts", "green", "production", 30},
	} {
		id := fmt.Sprintf("SERVICE-%d", i)
		sim.Add(simulator.Entity{ID: id, Type: "SERVICE", Tags: []string{"service:" + e.service, "environment:" + e.environment, "deployment:" + e.service + "-" + e.colour, "tier:back"}})
		for at := window.Start; !at.After(window.End); at = at.Add(10 * time.Second) {
			sim.Record(id, responseTime, at, e.ms*1000)
			sim.Record(id, "calc:service.slowmethod", at, e.ms)
		}
	}
	return sim, source(t, sim, token)
}

func source(t testing.TB, sim *simulator.Server, token string) *dynatrace.Source {
	t.Helper()
	web := httptest.NewServer(sim)
	t.Cleanup(web.Close)
	return open(t, fairway.Connection{URL: web.URL, Token: fairway.Secret(token)})
}

func open(t testing.TB, c fairway.Connection) *dynatrace.Source {
	t.Helper()
	s, err := dynatrace.New(c, dynatrace.Options{Settle: 80 * time.Millisecond, Poll: 10 * time.Millisecond, Limits: outbound.Options{Backoff: time.Millisecond}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

// samples are an answer's, as text.
func samples(a fairway.Answer) string {
	var out []string
	for _, s := range a.Samples {
		out = append(out, s.Key+"="+s.Text)
	}
	slices.Sort(out)
	return strings.Join(out, " ")
}

// The document of the walk-through, byte for byte.
func TestWalkThrough(t *testing.T) {
	t.Parallel()
	spec, err := os.ReadFile("testdata/walkthrough.json")
	if err != nil {
		t.Fatal(err)
	}
	_, s := environment(t)
	g := gate.New([]fairway.MetricSource{s}, gate.Options{})
	for _, c := range []struct {
		service fairway.ServiceName
		colour  fairway.Colour
		verdict fairway.Verdict
		samples string
	}{
		{"carts", fairway.Blue, fairway.VerdictPass, "SERVICE-0=50000"},
		{"carts", fairway.Green, fairway.VerdictFail, "SERVICE-1=1100000"},
		{"orders", fairway.Blue, fairway.VerdictFail, "SERVICE-2=2000000"},
		{"orders", fairway.Green, fairway.VerdictPass, "SERVICE-3=70000"},
		{"users", fairway.Blue, fairway.VerdictError, ""},
	} {
		e, err := g.Evaluate(patience(t), gate.Request{Subject: subject(c.service, c.colour), Window: window, Files: map[string][]byte{"perfspec/perfspec.json": spec},
			Stage: fairway.Stage{Name: "staging", Gate: fairway.GateRequired, TestStrategy: fairway.PerformanceTests}})
		if err != nil {
			t.Fatal(err)
		}
		got := ""
		if len(e.IndicatorResults) > 0 {
			got = samples(fairway.Answer{Samples: e.IndicatorResults[0].Samples})
		}
		if e.Verdict != c.verdict || got != c.samples {
			t.Errorf("%s %s: %s with %s: %s", c.service, c.colour, e.Verdict, got, e.Reason)
		}
		if c.verdict == fairway.VerdictPass && !e.Tied {
			t.Errorf("%s %s: not tied: %s", c.service, c.colour, e.IndicatorResults[0].Notes)
		}
	}
}

func TestQueries(t *testing.T) {
	t.Parallel()
	_, s := environment(t)
	const id = `"timeseriesId": "com.dynatrace.builtin:service.responsetime"`
	for _, c := range []struct {
		name, raw, samples string
		tied               bool
		says               string // in the notes, or in the error where there are no samples
	}{
		{"AVG", `{` + id + `, "aggregation": "AVG"}`, "SERVICE-0=50000", true, "MicroSecond"},
		{"avg", `{` + id + `, "aggregation": "avg"}`, "SERVICE-0=50000", true, ""},
		{"p95", `{` + id + `, "aggregation": "p95"}`, "SERVICE-0=50000", true, ""},
		{"percentile", `{` + id + `, "aggregationType": "percentile", "percentile": 90}`, "SERVICE-0=50000", true, ""},
		{"in ms", `{` + id + `, "aggregation": "avg", "unit": "ms"}`, "SERVICE-0=50", true, ""},
		{"in s", `{` + id + `, "aggregation": "avg", "unit": "s"}`, "SERVICE-0=0.05", true, ""},
		{"a metric in ms", `{"timeseriesId": "calc:service.slowmethod", "aggregation": "MAX"}`, "SERVICE-0=50", true, "MilliSecond"},
		{"a metric in ms as µs", `{"timeseriesId": "calc:service.slowmethod", "aggregation": "MAX", "unit": "µs"}`, "SERVICE-0=50000", true, ""},
		{"no unit of time", `{"timeseriesId": "com.dynatrace.builtin:service.failurerate", "aggregation": "AVG", "unit": "ms"}`, "", false, "no Dynatrace entity"},
		{"times are the test's", `{` + id + `, "aggregation": "AVG", "startTimestamp": "1", "endTimestamp": 5, "relativeTime": "day"}`, "SERVICE-0=50000", true, "relativeTime day of the query was not used"},
		{"empty times", `{` + id + `, "aggregation": "AVG", "startTimestamp": "", "endTimestamp": ""}`, "SERVICE-0=50000", true, ""},

		{"own tags", `{` + id + `, "aggregation": "AVG", "tags": ["tier:back"]}`, "SERVICE-0=50000", true, ""},
		{"own tags of all services", `{` + id + `, "aggregation": "AVG", "tags": ["service:orders"]}`, "SERVICE-2=2000000 SERVICE-3=70000", false, "not tied"},
		{"own entity", `{` + id + `, "aggregation": "AVG", "entityIds": ["SERVICE-0"]}`, "SERVICE-0=50000", true, ""},
		{"own and the other colour's entity", `{` + id + `, "aggregation": "AVG", "entityIds": ["SERVICE-0", "SERVICE-1"]}`, "SERVICE-0=50000", true, ""},
		{"a stranger's and the other colour's", `{` + id + `, "aggregation": "AVG", "entityIds": ["SERVICE-1", "SERVICE-3"]}`, "SERVICE-3=70000", false, "1 entities of the other colour (deployment:carts-green) did not count"},
		{"the other colour's alone", `{` + id + `, "aggregation": "AVG", "entityIds": ["SERVICE-1"]}`, "", false, "of the other colour do not count"},

		{"v2 object", `{"metricSelector": "builtin:service.response.time:avg"}`, "SERVICE-0=50000", true, ""},
		{"v2 text", `"metricSelector=builtin:service.response.time:avg&entitySelector=type(SERVICE)"`, "SERVICE-0=50", true, "from µs into ms"},
		{"v2 text, merged", `"metricSelector=builtin:service.response.time:merge(\"dt.entity.service\"):percentile(95)&entitySelector=type(SERVICE),tag(tier:back)"`, "{}=50", true, ""},
		{"v2 text, encoded", `"metricSelector=builtin%3Aservice.response.time%3AsplitBy%28%29%3Aavg"`, "{}=50", true, ""},
		{"v2 text, first form", `"builtin:service.response.time:merge(0):percentile(50)?scope=tag(service:$SERVICE),tag(environment:$STAGE)"`, "{}=50", true, ""},
		{"MV2", `"MV2;MicroSecond;metricSelector=calc:service.slowmethod:avg"`, "SERVICE-0=0.05", true, "divided by 1000"},
		{"v2, other tags", `"metricSelector=calc:service.slowmethod:avg&entitySelector=type(SERVICE),tag(service:orders)"`, "SERVICE-2=2000 SERVICE-3=70", false, "not tied"},
		{"v2, own id", `"metricSelector=calc:service.slowmethod:avg&entitySelector=entityId(SERVICE-0)"`, "SERVICE-0=50", true, ""},

		{"unknown metric", `{"timeseriesId": "com.dynatrace.builtin:nothing", "aggregation": "AVG"}`, "", false, "is not known to Dynatrace"},
		{"unknown v2 metric", `"metricSelector=builtin:nothing"`, "", false, "is not known to Dynatrace"},
		{"aggregation that the metric lacks", `{"timeseriesId": "com.dynatrace.builtin:service.server_side_requests", "aggregation": "AVG"}`, "", false, "not supported"},
		{"bad selector", `"metricSelector=builtin:service.response.time:nonsense"`, "", false, "unknown transformation"},
		{"bad entity selector", `"metricSelector=builtin:service.response.time&entitySelector=colour(blue),tag(a)"`, "", false, "unknown criterion"},
		{"no aggregation", `{` + id + `}`, "", false, "query.aggregation is missing"},
		{"unknown aggregation", `{` + id + `, "aggregation": "mean"}`, "", false, "is not an aggregation"},
		{"p100", `{` + id + `, "aggregation": "p100"}`, "", false, "is not a percentile"},
		{"no metric", `{"aggregation": "AVG"}`, "", false, "timeseriesId is missing"},
		{"unknown key", `{` + id + `, "aggregation": "AVG", "agregation": "AVG"}`, "", false, "unknown field"},
		{"unknown unit", `{` + id + `, "aggregation": "AVG", "unit": "weeks"}`, "", false, "not a unit of time"},
		{"an SLO", `"SLO;524ca177"`, "", false, "only MV2 is understood"},
		{"MV2 without a unit", `"MV2;Mile;metricSelector=x"`, "", false, "no unit after MV2"},
		{"no selector", `"entitySelector=type(SERVICE)"`, "", false, "no metricSelector"},
		{"a list", `[]`, "", false, "is no query of Dynatrace"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			a, err := s.Query(patience(t), fairway.Query{Raw: json.RawMessage(c.raw), Window: window, Subject: subject("carts", fairway.Blue)})
			if c.samples == "" {
				if err == nil || !strings.Contains(err.Error(), c.says) || fairway.KindOf(err) == fairway.KindInternal {
					t.Fatalf("got %v, %v, want the error %q", a, err, c.says)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if samples(a) != c.samples || a.Tied != c.tied || !strings.Contains(strings.Join(a.Notes, "\n"), c.says) {
				t.Errorf("got %s, tied %t, %s", samples(a), a.Tied, a.Notes)
			}
		})
	}
}

// A query that merges both colours cannot be taken apart again.
func TestMergedColoursAreRefused(t *testing.T) {
	t.Parallel()
	sim := &simulator.Server{}
	sim.Token(token, simulator.ScopeV2)
	for _, colour := range []string{"blue", "green"} {
		sim.Add(simulator.Entity{ID: "S-" + colour, Type: "SERVICE", Tags: []string{"keptn_service:carts"}})
		sim.Record("S-"+colour, responseTime, window.End, 1)
	}
	sim.Add(simulator.Entity{ID: "S-rival", Type: "SERVICE", Tags: []string{"keptn_service:carts", "service:carts", "environment:staging", "deployment:carts-green"}})
	sim.Record("S-rival", responseTime, window.End, 1)
	_, err := source(t, sim, token).Query(patience(t), fairway.Query{Raw: json.RawMessage(`"metricSelector=builtin:service.response.time:merge(0):avg&entitySelector=type(SERVICE),tag(keptn_service:carts)"`), Window: window, Subject: subject("carts", fairway.Blue)})
	if fairway.KindOf(err) != fairway.KindInvalid || !strings.Contains(err.Error(), "merges both colours") {
		t.Errorf("got %v", err)
	}
}

// Another rule for tags, as later versions of Keptn set them.
func TestChosenColourTag(t *testing.T) {
	t.Parallel()
	sim := &simulator.Server{}
	sim.Token(token, simulator.ScopeV2)
	for i, colour := range []string{"blue", "green"} {
		sim.Add(simulator.Entity{ID: "S-" + colour, Type: "SERVICE", Tags: []string{"keptn_service:carts", "keptn_deployment:" + colour}})
		sim.Record("S-"+colour, responseTime, window.End, float64(1000*(i+1)))
	}
	web := httptest.NewServer(sim)
	defer web.Close()
	s := open(t, fairway.Connection{URL: web.URL, Token: token, ColourTag: "keptn_deployment:{{colour}}"})
	a, err := s.Query(patience(t), fairway.Query{Raw: json.RawMessage(`"metricSelector=builtin:service.response.time:avg&entitySelector=type(SERVICE),tag(keptn_service:$SERVICE),tag(keptn_deployment:$DEPLOYMENT)"`), Window: window, Subject: subject("carts", fairway.Green)})
	if err != nil || samples(a) != "S-green=2" || !a.Tied {
		t.Errorf("%+v, %v", a, err)
	}
	for _, tag := range []string{"deployment:{{service}}", `a"{{colour}}`, "{{color}}{{colour}}"} {
		if _, err := dynatrace.New(fairway.Connection{URL: web.URL, Token: token, ColourTag: tag}, dynatrace.Options{}); fairway.KindOf(err) != fairway.KindInvalid {
			t.Errorf("colour tag %s: %v", tag, err)
		}
	}
}

// What the place's earlier occupant did in the minute in which the test began
// does not count.
func TestTheFirstMinuteIsLeftOut(t *testing.T) {
	t.Parallel()
	sim, s := environment(t)
	for range 1000 {
		sim.Record("SERVICE-1", responseTime, start.Add(-5*time.Second), 1)
	}
	ask := func(w fairway.Window) fairway.Answer {
		a, err := s.Query(patience(t), fairway.Query{Raw: json.RawMessage(`{"timeseriesId": "com.dynatrace.builtin:service.responsetime", "aggregation": "AVG"}`), Window: w, Subject: subject("carts", fairway.Green)})
		if err != nil {
			t.Fatal(err)
		}
		return a
	}
	a := ask(window)
	if samples(a) != "SERVICE-1=1100000" || !a.Tied || !strings.Contains(strings.Join(a.Notes, "\n"), "the first 40s of the test were left out") {
		t.Errorf("got %s %s", samples(a), a.Notes)
	}
	a = ask(fairway.Window{Start: start, End: start.Add(30 * time.Second)})
	if a.Tied || !strings.Contains(strings.Join(a.Notes, "\n"), "so short") {
		t.Errorf("a short test: %+v", a)
	}
}

// Agents are late. The last minute is waited for, and missed aloud.
func TestLateData(t *testing.T) {
	t.Parallel()
	sim := &simulator.Server{}
	sim.Token(token, simulator.ScopeV1)
	sim.Add(simulator.Entity{ID: "S", Type: "SERVICE", Tags: []string{"service:carts", "environment:staging"}})
	web := httptest.NewServer(sim)
	defer web.Close()
	s, err := dynatrace.New(fairway.Connection{URL: web.URL, Token: token}, dynatrace.Options{Settle: 30 * time.Second, Poll: time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	q := fairway.Query{Raw: json.RawMessage(`{"timeseriesId": "com.dynatrace.builtin:service.responsetime", "aggregation": "MAX"}`), Window: window, Subject: subject("carts", fairway.Single)}
	answered := make(chan fairway.Answer)
	go func() {
		a, err := s.Query(t.Context(), q)
		if err != nil {
			t.Error(err)
		}
		answered <- a
	}()
	asked := func(n int) {
		for all := 0; all < n; all, _ = sim.Asked() {
			time.Sleep(time.Millisecond)
		}
	}
	asked(2)
	sim.Record("S", responseTime, window.Start.Add(90*time.Second), 1)
	all, _ := sim.Asked()
	asked(all + 2)
	select {
	case a := <-answered:
		t.Fatalf("the test's last minute was not waited for: %+v", a)
	default:
	}
	sim.Record("S", responseTime, window.End, 9)
	if a := <-answered; samples(a) != "S=9" || !a.Tied {
		t.Errorf("got %+v", a)
	}
	late := q
	late.Window.End = window.End.Add(3 * time.Minute)
	a, err := open(t, fairway.Connection{URL: web.URL, Token: token}).Query(patience(t), late)
	if err != nil || !strings.Contains(strings.Join(a.Notes, "\n"), "did not know the test's last minute") {
		t.Errorf("%+v, %v", a, err)
	}
}

func TestRefusals(t *testing.T) {
	t.Parallel()
	sim, good := environment(t)
	sim.Token("dt0c01.OTHER.half", simulator.ScopeV2)
	q := fairway.Query{Raw: json.RawMessage(`{"timeseriesId": "com.dynatrace.builtin:service.responsetime", "aggregation": "AVG"}`), Window: window, Subject: subject("carts", fairway.Blue)}
	for name, c := range map[string]struct{ token, says string }{
		"wrong token": {"dt0c01.WRONG.wrong", "does not take the token"},
		"half token":  {"dt0c01.OTHER.half", "lacks the scope DataExport"},
	} {
		_, err := source(t, sim, c.token).Query(patience(t), q)
		if fairway.KindOf(err) != fairway.KindUnauthorized || fairway.IsRetryable(err) || !strings.Contains(err.Error(), c.says) || strings.Contains(err.Error(), c.token) {
			t.Errorf("%s: %v", name, err)
		}
	}
	sim.Throttle(2, 1)
	began := time.Now()
	a, err := good.Query(patience(t), q)
	if _, turned := sim.Asked(); err != nil || samples(a) != "SERVICE-0=50000" || turned != 2 {
		t.Errorf("429 twice: %+v, %v, %d turned away", a, err, turned)
	}
	if d := time.Since(began); d < 2*time.Second {
		t.Errorf("Retry-After of a second was not heeded twice: %s", d)
	}
	sim.Throttle(1000, 0)
	if _, err := good.Query(patience(t), q); !fairway.IsRetryable(err) || !strings.Contains(err.Error(), "Too Many Requests") {
		t.Errorf("429 for ever: %v", err)
	}
}

func TestPages(t *testing.T) {
	t.Parallel()
	sim := &simulator.Server{PageSize: 10}
	sim.Token(token, simulator.ScopeV2)
	for i := range 35 {
		id := fmt.Sprintf("S-%02d", i)
		sim.Add(simulator.Entity{ID: id, Type: "SERVICE", Tags: []string{"service:carts", "environment:staging", "deployment:carts-blue"}})
		sim.Record(id, responseTime, window.End, float64(i))
	}
	a, err := source(t, sim, token).Query(patience(t), fairway.Query{Raw: json.RawMessage(`{"metricSelector": "builtin:service.response.time:avg"}`), Window: window, Subject: subject("carts", fairway.Blue)})
	if err != nil || len(a.Samples) != 35 || a.Samples[34].Key != "S-34" {
		t.Errorf("%d samples, %v", len(a.Samples), err)
	}
}

func TestCheck(t *testing.T) {
	t.Parallel()
	sim, good := environment(t)
	for _, c := range good.Check(patience(t)) {
		if !c.OK {
			t.Errorf("%+v", c)
		}
	}
	sim.Token("dt0c01.OTHER.half", simulator.ScopeV2)
	got := source(t, sim, "dt0c01.OTHER.half").Check(patience(t))
	if got[0].OK || !strings.Contains(got[0].Text, "DataExport") || !got[1].OK {
		t.Errorf("%+v", got)
	}
}
