package metrics_test

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/fairwaycd/fairway"
	"github.com/fairwaycd/fairway/metrics"
	"github.com/prometheus/client_golang/api"
	v1 "github.com/prometheus/client_golang/api/prometheus/v1"
	"github.com/prometheus/common/model"
)

// serve mounts the handler as the application does.
func serve(t testing.TB, s *metrics.Server) *httptest.Server {
	t.Helper()
	web := httptest.NewServer(http.StripPrefix("/prometheus", s.Handler()))
	t.Cleanup(web.Close)
	return web
}

// Prometheus' own client is the judge of the format.
func TestAPIWithPrometheusClient(t *testing.T) {
	t.Parallel()
	s := start(t, metrics.Options{})
	c := newCarts(t, 0.02)
	r := begin(t, s, c, subjectOf(fairway.Green, "d1", "0.6.0-1", 1))
	c.buy(t, 3)
	end, err := s.Settle(patience(t), r.subject.Place, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	client, err := api.NewClient(api.Config{Address: serve(t, s).URL + "/prometheus"})
	if err != nil {
		t.Fatal(err)
	}
	prom, ctx := v1.NewAPI(client), patience(t)

	value, _, _, err := prom.Query(ctx, `requests_latency_seconds_count{job="carts"}`, end)
	if v, ok := value.(model.Vector); err != nil || !ok || len(v) != 1 || v[0].Value != 3 || v[0].Metric["version"] != "0.6.0-1" || v[0].Timestamp != model.TimeFromUnixNano(end.UnixNano()) {
		t.Errorf("query: %v, %v", value, err)
	}
	value, _, _, err = prom.Query(ctx, `absent_from_here`, end)
	if v, ok := value.(model.Vector); err != nil || !ok || len(v) != 0 {
		t.Errorf("query of nothing: %v, %v", value, err)
	}
	value, _, _, err = prom.Query(ctx, `42`, end)
	if v, ok := value.(*model.Scalar); err != nil || !ok || v.Value != 42 {
		t.Errorf("scalar: %v, %v", value, err)
	}
	value, _, _, err = prom.QueryRange(ctx, `up{job="carts"}`, v1.Range{Start: r.baseline, End: end, Step: 10 * time.Millisecond})
	if m, ok := value.(model.Matrix); err != nil || !ok || len(m) != 1 || len(m[0].Values) < 2 || m[0].Values[0].Value != 1 {
		t.Errorf("query_range: %v, %v", value, err)
	}
	series, _, _, err := prom.Series(ctx, []string{`up{job="carts"}`, `up`}, r.baseline, end)
	if err != nil || len(series) != 1 || series[0]["fairway_run"] != "d1/staging/1" {
		t.Errorf("series: %v, %v", series, err)
	}
	names, _, _, err := prom.LabelNames(ctx, nil, r.baseline, end)
	if err != nil || !slices.Contains(names, "fairway_run") || !slices.IsSorted(names) {
		t.Errorf("labels: %v, %v", names, err)
	}
	values, _, _, err := prom.LabelValues(ctx, "version", []string{`up`}, r.baseline, end)
	if err != nil || len(values) != 1 || values[0] != "0.6.0-1" {
		t.Errorf("label values: %v, %v", values, err)
	}
	targets, err := prom.Targets(ctx)
	if err != nil || len(targets.Active) != 1 || targets.Active[0].Health != v1.HealthGood || targets.Active[0].ScrapeURL != c.URL+"/prometheus" || targets.Active[0].Labels["instance"] != "carts-green.staging.svc.cluster.local:80" {
		t.Errorf("targets: %+v, %v", targets, err)
	}
}

func TestAPIRefusals(t *testing.T) {
	t.Parallel()
	s := start(t, metrics.Options{MaxSamples: 100})
	web := serve(t, s)
	for _, c := range []struct {
		path, query string
		code        int
		kind, text  string
	}{
		{"query", "query=rate(", 400, "bad_data", "parse error"},
		{"query", "query=up&time=yesterday", 400, "bad_data", `"yesterday"`},
		{"query", "query=up&timeout=-1", 400, "bad_data", "timeout"},
		{"query", "query=sum_over_time(vector(1)[1h:1s])", 422, "execution", "too many samples"},
		{"query_range", "query=up&end=1&step=1", 400, "bad_data", "start"},
		{"query_range", "query=up&start=2&end=1&step=1", 400, "bad_data", "before start"},
		{"query_range", "query=up&start=0&end=1000000&step=1", 400, "bad_data", "points"},
		{"query_range", "query=up&start=0&end=1&step=0", 400, "bad_data", "step"},
		{"query_range", "query=up&start=0&end=1&step=NaN", 400, "bad_data", "step"},
		{"series", "", 400, "bad_data", "match[]"},
		{"series", "match[]=up{", 400, "bad_data", "match[]"},
		{"labels", "limit=x", 400, "bad_data", "limit"},
	} {
		for _, method := range []string{http.MethodGet, http.MethodPost} {
			code, got := ask(t, web, method, c.path, c.query)
			if code != c.code || got.Status != "error" || got.ErrorType != c.kind || !strings.Contains(got.Error, c.text) {
				t.Errorf("%s %s?%s: %d %+v", method, c.path, c.query, code, got)
			}
		}
	}
	if code, _ := ask(t, web, http.MethodPost, "query", "query="+strings.Repeat("1", 2<<20)); code != 400 {
		t.Errorf("a body of 2 MiB: %d", code)
	}
	if err := s.Stop(); err != nil {
		t.Fatal(err)
	}
	if code, _ := ask(t, web, http.MethodGet, "query", "query=up"); code != 503 {
		t.Errorf("a stopped server: %d", code)
	}
}

func TestAPILimitsResults(t *testing.T) {
	t.Parallel()
	s := start(t, metrics.Options{})
	begin(t, s, newCarts(t, 0.02), subjectOf(fairway.Green, "d1", "0.6.0-1", 1))
	web := serve(t, s)
	_, got := ask(t, web, http.MethodGet, "labels", "limit=2")
	var names []string
	if err := json.Unmarshal(got.Data, &names); err != nil || len(names) != 2 || len(got.Warnings) != 1 {
		t.Errorf("got %+v, %v", got, err)
	}
}

func TestTargetsPage(t *testing.T) {
	t.Parallel()
	s := start(t, metrics.Options{})
	web := serve(t, s)
	page := func() string {
		r, err := web.Client().Get(web.URL + "/prometheus/targets")
		if err != nil {
			t.Fatal(err)
		}
		defer r.Body.Close()
		b, err := io.ReadAll(r.Body)
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	if got := page(); !strings.Contains(got, "Nothing is scraped.") {
		t.Error(got)
	}
	begin(t, s, newCarts(t, 0.02), subjectOf(fairway.Green, "d1", "<b>", 1))
	if got := page(); !strings.Contains(got, "carts-green.staging.svc.cluster.local:80") || !strings.Contains(got, "<td>up</td>") || strings.Contains(got, "<b>") {
		t.Error(got)
	}
}

type answer struct {
	Status    string          `json:"status"`
	ErrorType string          `json:"errorType"`
	Error     string          `json:"error"`
	Warnings  []string        `json:"warnings"`
	Data      json.RawMessage `json:"data"`
}

func ask(t testing.TB, web *httptest.Server, method, path, query string) (int, answer) {
	t.Helper()
	target := web.URL + "/prometheus/api/v1/" + path
	values := url.Values{}
	for _, pair := range strings.Split(query, "&") {
		k, v, _ := strings.Cut(pair, "=")
		values.Set(k, v)
	}
	var r *http.Response
	var err error
	if method == http.MethodPost {
		r, err = web.Client().PostForm(target, values)
	} else {
		r, err = web.Client().Get(target + "?" + values.Encode())
	}
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	var a answer
	if err := json.NewDecoder(r.Body).Decode(&a); err != nil {
		t.Fatalf("%s %s: %v", method, path, err)
	}
	return r.StatusCode, a
}
