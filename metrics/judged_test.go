package metrics_test

import (
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"math"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/fairwaycd/fairway"
	"github.com/fairwaycd/fairway/metrics"
	"github.com/fairwaycd/fairway/promql"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// walkThrough is the query of the walk-through, for the namespace staging.
const walkThrough = `rate(requests_latency_seconds_sum{instance='carts.staging.svc.cluster.local:80',job='carts'}[3m])/rate(requests_latency_seconds_count{instance='carts.staging.svc.cluster.local:80',job='carts'}[3m])`

// start runs a metrics server for the test's length.
func start(t testing.TB, o metrics.Options) *metrics.Server {
	t.Helper()
	if o.Dir == "" {
		o.Dir = t.TempDir()
	}
	if o.ScrapeInterval == 0 {
		o.ScrapeInterval = 100 * time.Millisecond
	}
	o.Logger = slog.New(slog.DiscardHandler)
	s, err := metrics.New(o)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Stop(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func patience(t testing.TB) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	t.Cleanup(cancel)
	return ctx
}

// carts is one process of the sample service: every POST is measured as
// having taken the latency that is set.
type carts struct {
	*httptest.Server
	latency atomic.Uint64 // float64 bits, seconds
	broken  atomic.Bool   // metrics answer 500
}

func newCarts(t testing.TB, latency float64) *carts {
	t.Helper()
	c := &carts{}
	c.set(latency)
	registry := prometheus.NewRegistry()
	took := prometheus.NewHistogram(prometheus.HistogramOpts{Name: "requests_latency_seconds", Help: "Time to answer."})
	// A process cannot pass for another version by what it exports.
	lie := prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "lie", Help: "A false version."}, []string{"version", "fairway_run", "job"})
	lie.WithLabelValues("9.9.9", "another/run/1", "orders").Set(1)
	registry.MustRegister(took, lie)
	metricsHandler := promhttp.HandlerFor(registry, promhttp.HandlerOpts{EnableOpenMetrics: true, EnableOpenMetricsTextCreatedSamples: true})
	mux := http.NewServeMux()
	mux.HandleFunc("POST /carts/1/items", func(w http.ResponseWriter, _ *http.Request) {
		took.Observe(math.Float64frombits(c.latency.Load()))
		w.WriteHeader(http.StatusCreated)
	})
	mux.HandleFunc("GET /prometheus", func(w http.ResponseWriter, r *http.Request) {
		if c.broken.Load() {
			http.Error(w, "no", http.StatusInternalServerError)
			return
		}
		metricsHandler.ServeHTTP(w, r)
	})
	c.Server = httptest.NewServer(mux)
	t.Cleanup(c.Close)
	return c
}

func (c *carts) set(latency float64) { c.latency.Store(math.Float64bits(latency)) }

func (c *carts) address() string { return strings.TrimPrefix(c.URL, "http://") }

// buy posts n items.
func (c *carts) buy(t testing.TB, n int) {
	t.Helper()
	for range n {
		r, err := c.Client().Post(c.URL+"/carts/1/items", "application/json", strings.NewReader("{}"))
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.Copy(io.Discard, r.Body)
		_ = r.Body.Close()
	}
}

// run is one test of one version in a place.
type run struct {
	t        testing.TB
	server   *metrics.Server
	subject  fairway.Subject
	baseline time.Time
}

func begin(t testing.TB, s *metrics.Server, c *carts, subject fairway.Subject) *run {
	t.Helper()
	baseline, err := s.Track(patience(t), targetOf(c, subject))
	if err != nil {
		t.Fatal(err)
	}
	return &run{t: t, server: s, subject: subject, baseline: baseline}
}

func targetOf(c *carts, subject fairway.Subject) fairway.Target {
	return fairway.Target{Place: subject.Place, Project: subject.Project, Address: c.address(), Path: "/prometheus", Version: subject.Version, Run: subject.RunID()}
}

// judge settles and asks for the mean latency.
func (r *run) judge() (value float64, answer fairway.Answer) {
	r.t.Helper()
	end, err := r.server.Settle(patience(r.t), r.subject.Place, time.Now())
	if err != nil {
		r.t.Fatal(err)
	}
	raw, err := json.Marshal(walkThrough)
	if err != nil {
		r.t.Fatal(err)
	}
	source := promql.NewSource(r.server, promql.SourceOptions{})
	answer, err = source.Query(patience(r.t), fairway.Query{Raw: raw, Window: fairway.Window{Start: r.baseline, End: end}, Subject: r.subject})
	if err != nil {
		r.t.Fatal(err)
	}
	if len(answer.Samples) != 1 || !answer.Tied {
		r.t.Fatalf("got %+v, want one sample that is tied to the version", answer)
	}
	return answer.Samples[0].Value, answer
}

// want asks for the mean latency and compares it. Prometheus extrapolates the
// sum and the count each by itself, which may differ by less than a hundredth
// where a counter starts near zero.
func (r *run) want(mean float64) {
	r.t.Helper()
	got, answer := r.judge()
	if math.Abs(got-mean) > mean/100 {
		r.t.Fatalf("mean latency %v, want %v: a sample of somebody else counts\nquery %s", got, mean, answer.Resolved)
	}
}

func subjectOf(colour fairway.Colour, delivery, version string, attempt int) fairway.Subject {
	return fairway.Subject{
		Project: "sockshop", Stage: "staging", Delivery: fairway.DeliveryID(delivery), Attempt: attempt, Version: version,
		Place: fairway.Place{Namespace: "staging", Service: "carts", Colour: colour},
	}
}

// The query's range of three minutes reaches back over both versions; the
// gate's limit is 1.0 s.
func TestGateJudgesTheVersionUnderTestOnly(t *testing.T) {
	t.Parallel()
	const slow, fast = 1.25, 0.02
	for _, colour := range []fairway.Colour{fairway.Green, fairway.Single} {
		t.Run("slow after fast in "+colour.String(), func(t *testing.T) {
			t.Parallel()
			s := start(t, metrics.Options{})
			before := newCarts(t, fast)
			first := begin(t, s, before, subjectOf(colour, "d1", "0.6.0-1", 1))
			before.buy(t, 300)
			first.want(fast)
			after := newCarts(t, slow)
			second := begin(t, s, after, subjectOf(colour, "d2", "0.6.1-2", 1))
			before.buy(t, 50) // the old version still answers somebody
			after.buy(t, 20)
			second.want(slow)
		})
		t.Run("fast after slow in "+colour.String(), func(t *testing.T) {
			t.Parallel()
			s := start(t, metrics.Options{})
			before := newCarts(t, slow)
			first := begin(t, s, before, subjectOf(colour, "d2", "0.6.1-2", 1))
			before.buy(t, 300)
			first.want(slow)
			after := newCarts(t, fast)
			second := begin(t, s, after, subjectOf(colour, "d3", "0.6.2-3", 1))
			after.buy(t, 20)
			second.want(fast)
		})
		t.Run("another client before the baseline in "+colour.String(), func(t *testing.T) {
			t.Parallel()
			s := start(t, metrics.Options{})
			c := newCarts(t, slow)
			c.buy(t, 200)
			r := begin(t, s, c, subjectOf(colour, "d1", "0.6.0-1", 1))
			c.set(fast)
			c.buy(t, 20)
			r.want(fast)
		})
		t.Run("an interrupted attempt in "+colour.String(), func(t *testing.T) {
			t.Parallel()
			s := start(t, metrics.Options{})
			c := newCarts(t, slow)
			first := begin(t, s, c, subjectOf(colour, "d1", "0.6.0-1", 1))
			c.buy(t, 200)
			first.want(slow)
			second := begin(t, s, c, subjectOf(colour, "d1", "0.6.0-1", 2))
			c.set(fast)
			c.buy(t, 20)
			second.want(fast)
		})
		t.Run("the same version redelivered in "+colour.String(), func(t *testing.T) {
			t.Parallel()
			s := start(t, metrics.Options{})
			before := newCarts(t, slow)
			first := begin(t, s, before, subjectOf(colour, "d1", "0.6.0-1", 1))
			before.buy(t, 200)
			first.want(slow)
			after := newCarts(t, fast)
			second := begin(t, s, after, subjectOf(colour, "d2", "0.6.0-1", 1))
			after.buy(t, 20)
			second.want(fast)
		})
	}
}

// Without the pinning the same data lets a slow version pass: the test above
// would see it.
func TestUnpinnedQueryMixesVersions(t *testing.T) {
	t.Parallel()
	s := start(t, metrics.Options{})
	before := newCarts(t, 0.02)
	r := begin(t, s, before, subjectOf(fairway.Green, "d1", "0.6.0-1", 1))
	before.buy(t, 300)
	r.want(0.02)
	after := newCarts(t, 1.25)
	r = begin(t, s, after, subjectOf(fairway.Green, "d2", "0.6.1-2", 1))
	after.buy(t, 20)
	r.want(1.25)
	end, err := s.Settle(patience(t), r.subject.Place, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	samples, _, err := s.Instant(patience(t), `sum(rate(requests_latency_seconds_sum{job="carts"}[3m]))/sum(rate(requests_latency_seconds_count{job="carts"}[3m]))`, end)
	if err != nil || len(samples) != 1 {
		t.Fatalf("got %v, %v", samples, err)
	}
	if v := samples[0].Value; v >= 1 {
		t.Errorf("mean over both versions is %v; the judged tests prove nothing then", v)
	}
}

func TestLabelsCannotBeOverridden(t *testing.T) {
	t.Parallel()
	s := start(t, metrics.Options{})
	c := newCarts(t, 0.02)
	r := begin(t, s, c, subjectOf(fairway.Green, "d1", "0.6.0-1", 1))
	got, _, err := s.Instant(patience(t), `lie`, r.baseline)
	if err != nil || len(got) != 1 {
		t.Fatalf("got %v, %v", got, err)
	}
	want := `{"__name__":"lie","app":"carts","colour":"green","exported_fairway_run":"another/run/1","exported_job":"orders","exported_version":"9.9.9","fairway_run":"d1/staging/1","instance":"carts-green.staging.svc.cluster.local:80","job":"carts","namespace":"staging","project":"sockshop","service":"carts","version":"0.6.0-1"}`
	if got[0].Key != want {
		t.Errorf("got  %s\nwant %s", got[0].Key, want)
	}
}
