package promql_test

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"math"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/fairwaycd/fairway"
	"github.com/fairwaycd/fairway/internal/outbound"
	"github.com/fairwaycd/fairway/internal/testenv"
	"github.com/fairwaycd/fairway/metrics"
	"github.com/fairwaycd/fairway/promql"
)

// queriers are the ways in which a Prometheus is asked: each scrapes the
// address every fraction of a second as job carts.
var queriers = map[string]func(t *testing.T, scrape string) promql.Querier{
	"embedded": func(t *testing.T, scrape string) promql.Querier { return embedded(t, scrape) },
	"embedded over HTTP": func(t *testing.T, scrape string) promql.Querier {
		web := httptest.NewServer(embedded(t, scrape).Handler())
		t.Cleanup(web.Close)
		return client(t, promql.HTTPOptions{URL: web.URL})
	},
	"Debian's Prometheus": func(t *testing.T, scrape string) promql.Querier {
		p := testenv.Prometheus(t, testenv.Scrape{Job: "carts", Address: scrape})
		return client(t, promql.HTTPOptions{URL: p.URL})
	},
	"Debian's Prometheus behind a password and its own CA": func(t *testing.T, scrape string) promql.Querier {
		p := testenv.Prometheus(t, testenv.Scrape{Job: "carts", Address: scrape, TLS: true, User: "gate", Password: "s3cret-word"})
		return client(t, promql.HTTPOptions{Connection: fairway.Connection{URL: p.URL, CA: p.CA, Username: "gate", Password: "s3cret-word"}})
	},
}

func embedded(t *testing.T, scrape string) *metrics.Server {
	t.Helper()
	s, err := metrics.New(metrics.Options{Dir: t.TempDir(), Logger: slog.New(slog.DiscardHandler), ScrapeInterval: 100 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Stop() })
	if _, err := s.Track(patience(t), fairway.Target{Place: green.Place, Project: "sockshop", Address: scrape, Version: green.Version, Run: green.RunID()}); err != nil {
		t.Fatal(err)
	}
	return s
}

// TestQueriersAgree puts the same questions to every kind of Prometheus.
func TestQueriersAgree(t *testing.T) {
	t.Parallel()
	for name, open := range queriers {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			conform(t, open(t, strings.TrimPrefix(exporter(t).URL, "http://")))
		})
	}
}

func conform(t *testing.T, q promql.Querier) {
	ctx := patience(t)
	at := scraped(ctx, t, q, 3)
	for query, want := range map[string]string{
		`1 + 1`: "{}=2", `0/0`: "{}=NaN", `-1/0`: "{}=-Inf",
		`no_such_metric`:              "",
		`count(lat_sum{job="carts"})`: "{}=2",
		`sort(sum by (pod) (lat_sum*0+lat_count{job="carts"}*0))`: `{"pod":"carts-blue-1"}=0 {"pod":"carts-green-1"}=0`,
	} {
		got, _, err := q.Instant(ctx, query, at)
		if err != nil {
			t.Fatalf("%s: %v", query, err)
		}
		var text []string
		for _, s := range got {
			text = append(text, s.Key+"="+s.Text)
			if s.Time.UnixMilli() != at.UnixMilli() {
				t.Errorf("%s as of %s has the time %s", query, at, s.Time)
			}
		}
		if strings.Join(text, " ") != want {
			t.Errorf("%s: got %s, want %s", query, text, want)
		}
	}
	for query, says := range map[string]string{`rate(`: "parse error", `lat_sum[1m]`: "matrix", `"text"`: "string"} {
		if _, _, err := q.Instant(ctx, query, at); fairway.KindOf(err) != fairway.KindInvalid || fairway.IsRetryable(err) || !strings.Contains(err.Error(), says) {
			t.Errorf("%s: %v", query, err)
		}
	}
	course, err := q.(promql.Ranger).Range(ctx, `lat_count{pod="carts-green-1"}*0+7`, at.Add(-time.Second), at, 250*time.Millisecond)
	if n := len(course); err != nil || n < 1 || n > 5 || course[n-1].Text != "7" || course[n-1].Time.UnixMilli() != at.UnixMilli() || course[0].Key != course[n-1].Key || !strings.Contains(course[0].Key, "carts-green-1") {
		t.Errorf("the course up to %s: %v, %v", at, course, err)
	}
	if got, _, err := q.Instant(ctx, `time() - timestamp(lat_sum{pod="carts-green-1"})`, time.Time{}); err != nil || len(got) != 1 || got[0].Value > 30 {
		t.Errorf("as of now: %v, %v", got, err)
	}
}

// scraped waits until a series has n samples and returns the newest's time.
func scraped(ctx context.Context, t *testing.T, q promql.Querier, n float64) time.Time {
	t.Helper()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		at := time.Now()
		got, _, err := q.Instant(ctx, `count_over_time(lat_sum{pod="carts-green-1"}[1m])`, at)
		if err != nil && !fairway.IsRetryable(err) {
			t.Fatal(err)
		}
		if len(got) == 1 && got[0].Value >= n {
			return at
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatalf("nothing was scraped: %v, %v", got, err)
		}
	}
}

const selectPods = `pod=~"carts-{{colour}}-.*"`

// A Prometheus that knows nothing of Fairway's labels: pods are told apart by
// their names, and the scrape after the test's end is waited for.
func TestForeignPrometheus(t *testing.T) {
	t.Parallel()
	p := testenv.Prometheus(t, testenv.Scrape{Job: "carts", Address: strings.TrimPrefix(exporter(t).URL, "http://")})
	h := client(t, promql.HTTPOptions{URL: p.URL, Limits: outbound.Options{Retries: 100}})
	ctx := patience(t)
	window := fairway.Window{Start: time.Now()}
	scraped(ctx, t, h, 3)
	window.End = time.Now()
	source := promql.NewSource(h, promql.SourceOptions{Foreign: true, Poll: 20 * time.Millisecond})
	ask := func(query, pods string) fairway.Answer {
		t.Helper()
		got, err := source.Query(ctx, fairway.Query{Raw: text(t, query), Window: window, Subject: green, Select: pods})
		if err != nil {
			t.Fatal(err)
		}
		return got
	}
	got := ask(mean, selectPods)
	if len(got.Samples) != 1 || !got.Tied || math.Abs(got.Samples[0].Value-0.5) > 0.01 || !strings.Contains(got.Samples[0].Key, `"pod":"carts-green-1"`) {
		t.Errorf("got %+v", got)
	}
	if got.Samples[0].Time.Before(window.End.Truncate(time.Millisecond)) || !strings.Contains(strings.Join(got.Notes, "\n"), "the first scrape after the test's end") {
		t.Errorf("no newer sample was waited for: %+v, of a window until %s", got.Samples, window.End)
	}
	// The range is the window's: what came before the test does not count.
	if strings.Contains(got.Resolved, "[3m]") {
		t.Errorf("the range was not cut: %s", got.Resolved)
	}
	if got := ask(mean, ""); len(got.Samples) != 2 || got.Tied || got.Resolved != mean {
		t.Errorf("without metrics.select: %+v", got)
	}
	if _, err := source.Query(ctx, fairway.Query{Raw: text(t, mean), Window: window, Subject: green, Select: "pod=~{{color}}"}); fairway.KindOf(err) != fairway.KindInvalid {
		t.Errorf("a select that cannot be read: %v", err)
	}
}

// Where no scrape comes after the test, the gate goes on and says so.
func TestForeignPrometheusThatScrapesNoMore(t *testing.T) {
	t.Parallel()
	h := client(t, promql.HTTPOptions{URL: say(t, 200, `{"status":"success","data":{"resultType":"vector","result":[{"metric":{},"value":[1,"1"]}]}}`).URL})
	source := promql.NewSource(h, promql.SourceOptions{Foreign: true, Settle: 50 * time.Millisecond, Poll: 5 * time.Millisecond})
	got, err := source.Query(patience(t), fairway.Query{Raw: text(t, `up{job="carts"}`), Window: fairway.Window{Start: time.Now().Add(-time.Minute), End: time.Now()}, Subject: green, Select: selectPods})
	if err != nil || !strings.Contains(strings.Join(got.Notes, "\n"), "no newer sample") {
		t.Errorf("%+v, %v", got, err)
	}
}

func TestEmbeddedSaysThatSelectIsNotUsed(t *testing.T) {
	t.Parallel()
	s := embedded(t, strings.TrimPrefix(exporter(t).URL, "http://"))
	got, err := promql.NewSource(s, promql.SourceOptions{}).Query(patience(t), fairway.Query{Raw: json.RawMessage(`"lat_sum{job='carts'}"`), Subject: green, Select: selectPods,
		Window: fairway.Window{Start: time.Now(), End: time.Now()}})
	if err != nil || !strings.Contains(fmt.Sprint(got.Notes), "metrics.select") || !got.Tied {
		t.Errorf("%+v, %v", got, err)
	}
}
