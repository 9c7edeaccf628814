package metrics_test

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/fairwaycd/fairway"
	"github.com/fairwaycd/fairway/metrics"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// eventually returns when f does so, and fails after 30 s.
func eventually(t testing.TB, f func() bool) {
	t.Helper()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	ctx := patience(t)
	for !f() {
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatal("the condition never came true")
		}
	}
}

func TestTrackIsFast(t *testing.T) {
	t.Parallel()
	s := start(t, metrics.Options{ScrapeInterval: 5 * time.Second})
	began := time.Now()
	r := begin(t, s, newCarts(t, 0.02), subjectOf(fairway.Green, "d1", "0.6.0-1", 1))
	if took := time.Since(began); took > 2*time.Second {
		t.Errorf("the first scrape came after %s: it waits for the interval", took)
	}
	if r.baseline.Before(began.Add(-time.Millisecond)) || r.baseline.After(time.Now()) {
		t.Errorf("baseline %s is not between %s and now", r.baseline, began)
	}
	again := begin(t, s, newCarts(t, 0.02), subjectOf(fairway.Green, "d2", "0.6.1-2", 1))
	if took := time.Since(began); took > 4*time.Second {
		t.Errorf("the first scrape after a relabelling came after %s", took)
	}
	if !again.baseline.After(r.baseline) {
		t.Errorf("the new baseline %s is not newer than %s", again.baseline, r.baseline)
	}
}

func TestTrackTwiceIsTheSameBaseline(t *testing.T) {
	t.Parallel()
	s := start(t, metrics.Options{})
	c := newCarts(t, 0.02)
	first := begin(t, s, c, subjectOf(fairway.Green, "d1", "0.6.0-1", 1))
	if _, err := s.Settle(patience(t), first.subject.Place, time.Now()); err != nil {
		t.Fatal(err)
	}
	second := begin(t, s, c, first.subject)
	if !second.baseline.Equal(first.baseline) {
		t.Errorf("baseline %s became %s", first.baseline, second.baseline)
	}
}

func TestTrackSaysWhatTheScrapeAnswered(t *testing.T) {
	t.Parallel()
	s := start(t, metrics.Options{})
	c := newCarts(t, 0.02)
	c.broken.Store(true)
	subject := subjectOf(fairway.Green, "d1", "0.6.0-1", 1)
	ctx, cancel := context.WithTimeout(patience(t), time.Second)
	defer cancel()
	_, err := s.Track(ctx, targetOf(c, subject))
	if fairway.KindOf(err) != fairway.KindUnavailable || !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("got %v", err)
	}
	for _, part := range []string{"staging/carts-green", c.address() + "/prometheus", "500 Internal Server Error"} {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("%q lacks %q", err, part)
		}
	}
	list := s.Targets()
	if len(list) != 1 || list[0].Health != "down" || list[0].Place != subject.Place || !strings.Contains(list[0].LastError, "500") || list[0].LastScrape.IsZero() {
		t.Errorf("targets: %+v", list)
	}
	c.broken.Store(false)
	begin(t, s, c, subject)
	if list := s.Targets(); list[0].Health != "up" || list[0].LastError != "" {
		t.Errorf("targets after it recovered: %+v", list)
	}
}

func TestTrackRefusesNonsense(t *testing.T) {
	t.Parallel()
	s := start(t, metrics.Options{})
	for _, address := range []string{"", "127.0.0.1", "http://127.0.0.1:80/"} {
		_, err := s.Track(patience(t), fairway.Target{Place: fairway.Place{Namespace: "dev", Service: "carts"}, Address: address})
		if fairway.KindOf(err) != fairway.KindInvalid {
			t.Errorf("address %q: %v", address, err)
		}
	}
	if err := s.TrackEndpoint(metrics.Endpoint{Name: "gateway"}); fairway.KindOf(err) != fairway.KindInvalid {
		t.Errorf("endpoint without address: %v", err)
	}
	if err := s.TrackEndpoint(metrics.Endpoint{Address: "127.0.0.1:80"}); fairway.KindOf(err) != fairway.KindInvalid {
		t.Errorf("endpoint without name: %v", err)
	}
}

func TestReplacedAndUntrackedTargetsWakeWaiters(t *testing.T) {
	t.Parallel()
	s := start(t, metrics.Options{})
	broken, subject := newCarts(t, 0.02), subjectOf(fairway.Green, "d1", "0.6.0-1", 1)
	broken.broken.Store(true)
	failed := make(chan error)
	go func() {
		_, err := s.Track(patience(t), targetOf(broken, subject))
		failed <- err
	}()
	eventually(t, func() bool { return len(s.Targets()) == 1 })
	begin(t, s, newCarts(t, 0.02), subjectOf(fairway.Green, "d2", "0.6.1-2", 1))
	if err := <-failed; fairway.KindOf(err) != fairway.KindConflict || !strings.Contains(err.Error(), "0.6.0-1") {
		t.Errorf("a waiter for a replaced version got %v", err)
	}
	s.Untrack(subject.Place)
	s.Untrack(subject.Place)
	if _, err := s.Settle(patience(t), subject.Place, time.Now()); fairway.KindOf(err) != fairway.KindNotFound {
		t.Errorf("a wait for an untracked place gave %v", err)
	}
	if list := s.Targets(); len(list) != 0 {
		t.Errorf("targets: %+v", list)
	}
}

func TestSettleIsNewerThanAsked(t *testing.T) {
	t.Parallel()
	s := start(t, metrics.Options{})
	c := newCarts(t, 0.02)
	r := begin(t, s, c, subjectOf(fairway.Green, "d1", "0.6.0-1", 1))
	for n := 1; n <= 5; n++ {
		c.buy(t, 7)
		after := time.Now()
		at, err := s.Settle(patience(t), r.subject.Place, after)
		if err != nil || !at.After(after) {
			t.Fatalf("settled at %s for %s, %v", at, after, err)
		}
		got, _, err := s.Instant(patience(t), `requests_latency_seconds_count`, at)
		if err != nil || len(got) != 1 || got[0].Value != float64(7*n) || got[0].Text == "" || !got[0].Time.Equal(at) {
			t.Fatalf("after %d requests: %+v, %v", 7*n, got, err)
		}
	}
}

// The gateway speaks of versions other than its own, and its samples have to
// be there when the test's window ends.
func TestEndpointsKeepTheirLabels(t *testing.T) {
	t.Parallel()
	s := start(t, metrics.Options{})
	registry := prometheus.NewRegistry()
	requests := prometheus.NewCounterVec(prometheus.CounterOpts{Name: "istio_requests_total", Help: "Requests."}, []string{"version", "fairway_run", "job"})
	registry.MustRegister(requests)
	subject := subjectOf(fairway.Green, "d1", "0.6.0-1", 1)
	count := requests.WithLabelValues(subject.Version, subject.RunID(), "carts")
	if err := s.TrackEndpoint(metrics.Endpoint{Name: "gateway", Handler: promhttp.HandlerFor(registry, promhttp.HandlerOpts{})}); err != nil {
		t.Fatal(err)
	}
	c := newCarts(t, 0.02)
	begin(t, s, c, subject)
	settle := func() time.Time {
		t.Helper()
		at, err := s.Settle(patience(t), subject.Place, time.Now())
		if err != nil {
			t.Fatal(err)
		}
		return at
	}
	eventually(t, func() bool { return s.Targets()[1].Health == "up" })
	for n := 1; n <= 5; n++ {
		count.Inc()
		got, _, err := s.Instant(patience(t), `istio_requests_total`, settle())
		if err != nil || len(got) != 1 || got[0].Value != float64(n) {
			t.Fatalf("after %d requests: %+v, %v", n, got, err)
		}
		if want := `{"__name__":"istio_requests_total","fairway_run":"d1/staging/1","instance":"gateway","job":"carts","version":"0.6.0-1"}`; got[0].Key != want {
			t.Fatalf("got  %s\nwant %s", got[0].Key, want)
		}
	}
	list := s.Targets()
	if len(list) != 2 || list[0].Endpoint != "" || list[1].Endpoint != "gateway" {
		t.Errorf("targets: %+v", list)
	}
	// A second handler under the same name takes over.
	if err := s.TrackEndpoint(metrics.Endpoint{Name: "gateway", Handler: http.NotFoundHandler()}); err != nil {
		t.Fatal(err)
	}
	eventually(t, func() bool { return s.Targets()[1].Health == "down" })
	settle() // an endpoint that fails holds nobody up
}

func TestSamplesSurviveARestart(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	o := metrics.Options{Dir: dir, ScrapeInterval: 100 * time.Millisecond, Logger: slog.New(slog.DiscardHandler)}
	c := newCarts(t, 0.02)
	subject := subjectOf(fairway.Green, "d1", "0.6.0-1", 1)
	var at time.Time
	for life := range 2 {
		s, err := metrics.New(o)
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		if life == 0 {
			begin(t, s, c, subject)
			c.buy(t, 3)
			if at, err = s.Settle(patience(t), subject.Place, time.Now()); err != nil {
				t.Fatal(err)
			}
		}
		got, _, err := s.Instant(patience(t), `requests_latency_seconds_count{fairway_run="d1/staging/1"}`, at)
		if err != nil || len(got) != 1 || got[0].Value != 3 {
			t.Errorf("life %d: %+v, %v", life, got, err)
		}
		if err := s.Stop(); err != nil {
			t.Error(err)
		}
		if err := s.Stop(); err != nil {
			t.Errorf("stopped twice: %v", err)
		}
		if _, _, err := s.Instant(patience(t), `up`, at); !fairway.IsRetryable(err) {
			t.Errorf("a query to a stopped server: %v", err)
		}
		if _, err := s.Track(patience(t), targetOf(c, subject)); fairway.KindOf(err) != fairway.KindUnavailable {
			t.Errorf("tracking with a stopped server: %v", err)
		}
		if err := s.Start(t.Context()); fairway.KindOf(err) != fairway.KindRefused {
			t.Errorf("started twice: %v", err)
		}
	}
}

func TestStopWakesWaiters(t *testing.T) {
	t.Parallel()
	s := start(t, metrics.Options{})
	c := newCarts(t, 0.02)
	c.broken.Store(true)
	failed := make(chan error)
	go func() {
		_, err := s.Track(patience(t), targetOf(c, subjectOf(fairway.Green, "d1", "0.6.0-1", 1)))
		failed <- err
	}()
	eventually(t, func() bool { return len(s.Targets()) == 1 && s.Targets()[0].Health == "down" })
	if err := s.Stop(); err != nil {
		t.Error(err)
	}
	if err := <-failed; fairway.KindOf(err) != fairway.KindUnavailable {
		t.Errorf("got %v", err)
	}
}

func TestInstantErrors(t *testing.T) {
	t.Parallel()
	s := start(t, metrics.Options{MaxSamples: 100})
	for query, part := range map[string]string{
		`rate(`:                           "unclosed left parenthesis",
		`up[1m]`:                          "answers a matrix",
		`"text"`:                          "answers a string",
		`sum_over_time(vector(1)[1h:1s])`: "too many samples",
	} {
		_, _, err := s.Instant(patience(t), query, time.Now())
		if fairway.KindOf(err) != fairway.KindInvalid || !strings.Contains(err.Error(), part) {
			t.Errorf("%s: %v, want %q", query, err, part)
		}
	}
	at := time.UnixMilli(1_700_000_000_123)
	got, _, err := s.Instant(patience(t), `0/0`, at)
	if err != nil || len(got) != 1 || got[0].Key != "{}" || got[0].Text != "NaN" || !got[0].Time.Equal(at) {
		t.Errorf("a scalar: %+v, %v", got, err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, _, err := s.Instant(ctx, `up`, at); !fairway.IsRetryable(err) {
		t.Errorf("a query whose caller has gone: %v", err)
	}
}

func TestOptions(t *testing.T) {
	t.Parallel()
	log := slog.New(slog.DiscardHandler)
	for name, o := range map[string]metrics.Options{
		"no directory":   {Logger: log},
		"no logger":      {Dir: "x"},
		"short interval": {Dir: "x", Logger: log, ScrapeInterval: time.Millisecond},
		"negative limit": {Dir: "x", Logger: log, MaxSamples: -1},
	} {
		if _, err := metrics.New(o); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}
