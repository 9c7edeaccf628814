package promql_test

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"math"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/fairwaycd/fairway"
	"github.com/fairwaycd/fairway/internal/outbound"
	"github.com/fairwaycd/fairway/metrics"
	"github.com/fairwaycd/fairway/promql"
)

func patience(t testing.TB) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 60*time.Second)
	t.Cleanup(cancel)
	return ctx
}

// say answers every request with the body and status.
func say(t testing.TB, code int, body string) *httptest.Server {
	t.Helper()
	web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(code)
		_, _ = w.Write([]byte(body))
	}))
	t.Cleanup(web.Close)
	return web
}

func client(t testing.TB, o promql.HTTPOptions) *promql.HTTP {
	t.Helper()
	if o.Limits.Backoff == 0 {
		o.Limits.Backoff = time.Millisecond
	}
	h, err := promql.NewHTTP(o)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func TestHTTPAnswers(t *testing.T) {
	t.Parallel()
	vector := `{"status":"success","data":{"resultType":"vector","result":[` +
		`{"metric":{"job":"carts","b":"<"},"value":[1700000000.123,"NaN"]},{"metric":{},"value":[1700000000.123,"+Inf"]},{"metric":{"job":"c"},"value":[1700000000.123,"1e-7"]}]},"warnings":["w"]}`
	for _, c := range []struct {
		name string
		code int
		body string
		keys string // and values
		kind fairway.Kind
		text string
	}{
		{name: "vector", code: 200, body: vector, keys: `{"b":"\u003c","job":"carts"}=NaN {}=+Inf {"job":"c"}=0.0000001`},
		{name: "empty", code: 200, body: `{"status":"success","data":{"resultType":"vector","result":[]}}`},
		{name: "scalar", code: 200, body: `{"status":"success","data":{"resultType":"scalar","result":[1,"2.5"]}}`, keys: "{}=2.5"},
		{name: "matrix", code: 200, body: `{"status":"success","data":{"resultType":"matrix","result":[]}}`, kind: fairway.KindInvalid, text: "answers a matrix"},
		{name: "string", code: 200, body: `{"status":"success","data":{"resultType":"string","result":[1,"x"]}}`, kind: fairway.KindInvalid, text: "answers a string"},
		{name: "histogram", code: 200, body: `{"status":"success","data":{"resultType":"vector","result":[{"metric":{},"histogram":[1,{}]}]}}`, kind: fairway.KindRefused, text: "histogram"},
		{name: "error in a good answer", code: 200, body: `{"status":"error","errorType":"bad_data","error":"no"}`, kind: fairway.KindInvalid, text: "bad_data: no"},
		{name: "bad query", code: 400, body: `{"status":"error","errorType":"bad_data","error":"parse error"}`, kind: fairway.KindInvalid, text: "parse error"},
		{name: "no such page", code: 404, body: `not here`, kind: fairway.KindRefused, text: "not here"},
		{name: "no credentials", code: 401, kind: fairway.KindUnauthorized, text: "credentials"},
		{name: "a web page", code: 200, body: `<html>`, kind: fairway.KindRefused, text: "not that of a Prometheus API"},
		{name: "nonsense value", code: 200, body: `{"status":"success","data":{"resultType":"scalar","result":[1]}}`, kind: fairway.KindRefused, text: "1 values"},
		{name: "too long", code: 200, body: strings.Repeat(" ", 2000), kind: fairway.KindRefused, text: "more than 1000 bytes"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			h := client(t, promql.HTTPOptions{URL: say(t, c.code, c.body).URL, Limits: outbound.Options{MaxBody: 1000}})
			samples, notes, err := h.Instant(patience(t), "up", time.Now())
			if c.kind != "" {
				if fairway.KindOf(err) != c.kind || fairway.IsRetryable(err) || !strings.Contains(err.Error(), c.text) {
					t.Fatalf("got %v, want %s: %s", err, c.kind, c.text)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, s := range samples {
				got = append(got, s.Key+"="+s.Text)
			}
			if strings.Join(got, " ") != c.keys {
				t.Errorf("got %s", got)
			}
			if c.name == "vector" && (len(notes) != 1 || samples[0].Time.UnixMilli() != 1700000000123 || !math.IsNaN(samples[0].Value)) {
				t.Errorf("got %+v, notes %s", samples, notes)
			}
		})
	}
}

func TestHTTPRetries(t *testing.T) {
	t.Parallel()
	const good = `{"status":"success","data":{"resultType":"scalar","result":[1,"2"]}}`
	for _, c := range []struct {
		name    string
		retries int
		codes   []int // the last one repeats
		asked   int32
		ok      bool
	}{
		{"busy twice", 3, []int{429, 503, 200}, 3, true},
		{"broken for good", 2, []int{500}, 3, false},
		{"never again", -1, []int{503}, 1, false},
		{"wrong query", 3, []int{400}, 1, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			var asked atomic.Int32
			web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				n := int(asked.Add(1))
				if r.FormValue("query") != "up" || r.FormValue("time") != "1700000000.123" || r.Header.Get("Authorization") != "Bearer x" || r.URL.Path != "/base/api/v1/query" {
					t.Errorf("request: %s %v %v", r.URL, r.Form, r.Header)
				}
				w.WriteHeader(c.codes[min(n, len(c.codes))-1])
				_, _ = w.Write([]byte(good))
			}))
			defer web.Close()
			h := client(t, promql.HTTPOptions{Connection: fairway.Connection{URL: web.URL + "/base/", Token: "x"}, Limits: outbound.Options{Retries: c.retries}})
			samples, _, err := h.Instant(patience(t), "up", time.UnixMilli(1700000000123))
			if (err == nil) != c.ok || asked.Load() != c.asked || (c.ok && samples[0].Value != 2) {
				t.Errorf("%v, %v after %d requests", samples, err, asked.Load())
			}
			if !c.ok && fairway.IsRetryable(err) != (c.codes[0] != 400) {
				t.Errorf("%v: retryable %t", err, fairway.IsRetryable(err))
			}
		})
	}
}

func TestHTTPDown(t *testing.T) {
	t.Parallel()
	web := say(t, 200, "")
	web.Close()
	_, _, err := client(t, promql.HTTPOptions{URL: web.URL, Limits: outbound.Options{Retries: 1}}).Instant(patience(t), "up", time.Now())
	if !fairway.IsRetryable(err) || fairway.KindOf(err) == fairway.KindInvalid || !strings.Contains(err.Error(), `"up"`) {
		t.Errorf("got %v", err)
	}
	release := make(chan struct{})
	slow := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-release }))
	defer slow.Close()
	defer close(release)
	_, _, err = client(t, promql.HTTPOptions{URL: slow.URL, Limits: outbound.Options{Retries: -1, Timeout: 20 * time.Millisecond}}).Instant(patience(t), "up", time.Now())
	if !fairway.IsRetryable(err) {
		t.Errorf("a server that hangs: %v", err)
	}
	for _, u := range []string{"", "prometheus:9090", "ftp://x", "http://"} {
		if _, err := promql.NewHTTP(promql.HTTPOptions{URL: u}); fairway.KindOf(err) != fairway.KindInvalid {
			t.Errorf("URL %q: %v", u, err)
		}
	}
}

func TestSourceRefusals(t *testing.T) {
	t.Parallel()
	source := promql.NewSource(client(t, promql.HTTPOptions{URL: "http://127.0.0.1:1"}), promql.SourceOptions{})
	window := fairway.Window{Start: time.Now(), End: time.Now()}
	for raw, kind := range map[string]fairway.Kind{`{"a":1}`: fairway.KindInvalid, `5`: fairway.KindInvalid, `"rate("`: fairway.KindInvalid} {
		if _, err := source.Query(patience(t), fairway.Query{Raw: json.RawMessage(raw), Window: window}); fairway.KindOf(err) != kind {
			t.Errorf("%s: %v", raw, err)
		}
	}
	if _, err := source.Query(patience(t), fairway.Query{Raw: json.RawMessage(`"up"`)}); err == nil {
		t.Error("a window without an end was accepted")
	}
}

// exporter serves two pods' latencies, one of each colour.
func exporter(t testing.TB) *httptest.Server {
	t.Helper()
	var n atomic.Int64
	web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		i := n.Add(1)
		fmt.Fprintf(w, "lat_sum{pod=\"carts-blue-1\"} %d\nlat_count{pod=\"carts-blue-1\"} %d\n", 10*i, 5*i)
		fmt.Fprintf(w, "lat_sum{pod=\"carts-green-1\"} %d\nlat_count{pod=\"carts-green-1\"} %d\n", 3*i, 6*i)
	}))
	t.Cleanup(web.Close)
	return web
}

var green = fairway.Subject{
	Project: "sockshop", Stage: "staging", Delivery: "d1", Attempt: 1, Version: "0.6.1-2",
	Place: fairway.Place{Namespace: "staging", Service: "carts", Colour: fairway.Green},
}

// mean is the quotient that specifications ask for; text is its JSON form.
const mean = `rate(lat_sum{job="carts"}[3m]) / rate(lat_count{job="carts"}[3m])`

func text(t testing.TB, query string) json.RawMessage {
	t.Helper()
	b, err := json.Marshal(query)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// TestHTTPAgainstEmbedded asks the Prometheus inside the process both ways.
func TestHTTPAgainstEmbedded(t *testing.T) {
	t.Parallel()
	s, err := metrics.New(metrics.Options{Dir: t.TempDir(), Logger: slog.New(slog.DiscardHandler), ScrapeInterval: 100 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Stop() })
	web := httptest.NewServer(s.Handler())
	defer web.Close()
	start, err := s.Track(patience(t), fairway.Target{Place: green.Place, Project: "sockshop", Address: strings.TrimPrefix(exporter(t).URL, "http://"), Version: green.Version, Run: green.RunID()})
	if err != nil {
		t.Fatal(err)
	}
	end, err := s.Settle(patience(t), green.Place, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	q := fairway.Query{Raw: text(t, mean), Window: fairway.Window{Start: start, End: end}, Subject: green}
	inside, err := promql.NewSource(s, promql.SourceOptions{}).Query(patience(t), q)
	if err != nil {
		t.Fatal(err)
	}
	outside, err := promql.NewSource(client(t, promql.HTTPOptions{URL: web.URL}), promql.SourceOptions{}).Query(patience(t), q)
	if err != nil {
		t.Fatal(err)
	}
	if len(inside.Samples) != 2 || !inside.Tied {
		t.Fatalf("got %+v", inside)
	}
	if a, b := fmt.Sprint(inside), fmt.Sprint(outside); a != b {
		t.Errorf("inside  %s\noutside %s", a, b)
	}
	q.Raw = text(t, `lat_sum{job="carts",pod="none"}`)
	empty, err := promql.NewSource(s, promql.SourceOptions{}).Query(patience(t), q)
	if err != nil || len(empty.Samples) != 0 || !strings.Contains(strings.Join(empty.Notes, "\n"), "no series answered") {
		t.Errorf("got %+v, %v", empty, err)
	}
}
