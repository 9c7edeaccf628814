package gateway

import (
	"maps"
	"net/http"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/fairwaycd/fairway"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// keepGone is how long the series of a version are exposed after it left its
// place: long enough to be scraped a last time, short enough that a delivery a
// second does not pile up. Evaluations find in the database what was scraped.
const keepGone = 2 * time.Minute

// unknown is what Istio writes where no workload got the request.
const unknown = "unknown"

// labelNames are Istio's, and the two by which a gate is tied to the version
// under test. The values of a meter stand in the same order.
var labelNames = []string{
	"reporter", "connection_security_policy",
	"destination_service", "destination_service_name", "destination_service_namespace",
	"destination_workload", "destination_workload_namespace",
	"destination_app", "destination_canonical_service", "destination_canonical_revision",
	"destination_version", "version", "fairway_run",
	"request_protocol", "response_code", "response_flags",
}

// buckets are the histogram bounds of Istio's proxy, in milliseconds.
var buckets = []float64{0.5, 1, 5, 10, 25, 50, 100, 250, 500, 1000, 2500, 5000, 10000, 30000, 60000, 300000, 600000, 1800000, 3600000}

// flag says, in the letters of Istio's proxy, what went wrong besides the
// response code.
type flag string

const (
	flagNone         flag = "-"
	flagNoUpstream   flag = "UH" // no version was ready
	flagNoConnection flag = "UF" // the version could not be reached
	flagBroken       flag = "UC" // the version broke the connection
	flagClient       flag = "DC" // the client went away
)

// outcome is what sets the series of one version apart.
type outcome struct {
	code int
	flag flag
	grpc bool
}

// metrics counts requests on a registry of its own.
type metrics struct {
	registry *prometheus.Registry
	requests *prometheus.CounterVec
	duration *prometheus.HistogramVec

	mu     sync.Mutex
	meters map[subject]*meter
}

// subject is whom a meter counts for. Two instances that are alike in it
// share a meter.
type subject struct {
	key
	workload, version, run string
}

// meter counts the requests of one subject.
type meter struct {
	owner  *metrics
	prefix []string // values of the labels before request_protocol
	gone   time.Time
	series atomic.Pointer[map[outcome]series]
}

type series struct {
	requests prometheus.Counter
	duration prometheus.Observer
}

func newMetrics(r *prometheus.Registry) (*metrics, error) {
	m := &metrics{
		registry: r, meters: make(map[subject]*meter),
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "istio_requests_total",
			Help: "Requests that the gateway answered, by version.",
		}, labelNames),
		duration: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "istio_request_duration_milliseconds",
			Help:    "Time from a request's arrival at the gateway to the end of its answer, or to its upgrade.",
			Buckets: buckets,
		}, labelNames),
	}
	for _, c := range []prometheus.Collector{m.requests, m.duration} {
		if err := r.Register(c); err != nil {
			return nil, fairway.Errorf(fairway.KindInternal, "gateway: metrics: %w", err)
		}
	}
	return m, nil
}

func (m *metrics) handler() http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{})
}

// meter returns the meter of the subject.
func (m *metrics) meter(s subject) *meter {
	m.mu.Lock()
	defer m.mu.Unlock()
	if found := m.meters[s]; found != nil {
		found.gone = time.Time{}
		return found
	}
	ns, name := string(s.ns), string(s.name)
	made := &meter{owner: m, prefix: []string{
		"destination", "none",
		name + "." + ns + ".svc.cluster.local", name, ns,
		s.workload, ns,
		name, name, s.version,
		s.version, s.version, s.run,
	}}
	made.series.Store(&map[outcome]series{})
	m.meters[s] = made
	return made
}

// of returns the meter of a backend.
func (m *metrics) of(b fairway.Backend) *meter {
	return m.meter(subject{key{b.Place.Namespace, b.Place.Service}, b.Place.Workload(), b.Version, b.Run})
}

// unserved returns the meter of the requests that no version of k got.
func (m *metrics) unserved(k key) *meter { return m.meter(subject{k, unknown, unknown, ""}) }

// count records one request.
func (t *meter) count(o outcome, took time.Duration) {
	s, ok := (*t.series.Load())[o]
	if !ok {
		s = t.add(o)
	}
	s.requests.Inc()
	s.duration.Observe(float64(took) / float64(time.Millisecond))
}

// add makes the series of an outcome that was not seen before.
func (t *meter) add(o outcome) series {
	t.owner.mu.Lock()
	defer t.owner.mu.Unlock()
	next := maps.Clone(*t.series.Load())
	v := t.values(o)
	next[o] = series{t.owner.requests.WithLabelValues(v...), t.owner.duration.WithLabelValues(v...)}
	t.series.Store(&next)
	return next[o]
}

func (t *meter) values(o outcome) []string {
	protocol := "http"
	if o.grpc {
		protocol = "grpc"
	}
	return append(t.prefix[:len(t.prefix):len(t.prefix)], protocol, strconv.Itoa(o.code), string(o.flag))
}

// sweep deletes the series of the meters that have not been in live for more
// than [keepGone].
func (m *metrics) sweep(now time.Time, live map[*meter]bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for s, t := range m.meters {
		switch {
		case live[t]:
			t.gone = time.Time{}
		case t.gone.IsZero():
			t.gone = now
		case now.Sub(t.gone) > keepGone:
			for o := range *t.series.Load() {
				m.requests.DeleteLabelValues(t.values(o)...)
				m.duration.DeleteLabelValues(t.values(o)...)
			}
			delete(m.meters, s)
		}
	}
}
