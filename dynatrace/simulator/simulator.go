package simulator

import (
	"encoding/json"
	"fmt"
	"math"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// The scopes of tokens.
const (
	ScopeV1 = "DataExport"
	ScopeV2 = "metrics.read"
)

// Entity is something that an environment monitors.
type Entity struct {
	ID   string // e.g. SERVICE-1A2B
	Type string // e.g. SERVICE
	Tags []string
}

// metric is one that the environment knows, under its names of both APIs.
type metric struct {
	v1, v2, unit string
	aggregations []string
}

var metrics = []metric{
	{"com.dynatrace.builtin:service.responsetime", "builtin:service.response.time", "MicroSecond (µs)", []string{"AVG", "COUNT", "MAX", "MEDIAN", "MIN", "PERCENTILE", "SUM"}},
	{"com.dynatrace.builtin:service.server_side_requests", "builtin:service.requestCount.server", "count", []string{"COUNT"}},
	{"com.dynatrace.builtin:service.failurerate", "builtin:service.errors.total.rate", "Percent (%)", []string{"AVG", "MAX", "MIN"}},
	{"com.dynatrace.builtin:host.cpu.system", "builtin:host.cpu.system", "Percent (%)", []string{"AVG", "MAX", "MIN"}},
	{"calc:service.slowmethod", "calc:service.slowmethod", "MilliSecond (ms)", []string{"AVG", "COUNT", "MAX", "MEDIAN", "MIN", "PERCENTILE", "SUM"}},
}

const (
	slot       = time.Minute
	maxTime    = 183 * 24 * time.Hour
	maxMetrics = 10
	maxText    = 2000
)

type value struct {
	at time.Time
	v  float64
}

// Server is an environment. It is an [http.Handler] and safe for concurrent
// use. The zero value knows nothing and takes no token.
type Server struct {
	mu       sync.Mutex
	tokens   map[string][]string // token → scopes
	entities []Entity
	values   map[string][]value // v2 metric + entity
	busy     int                // requests that are still turned away
	after    int                // seconds, said with that
	asked    int
	turned   int
	// PageSize is how many series one answer of v2 holds; 0 means all.
	PageSize int
	pages    map[string]page
}

// page is the rest of an answer.
type page struct {
	result []collection
}

// Token makes a token valid for the scopes.
func (s *Server) Token(token string, scopes ...string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.tokens == nil {
		s.tokens = map[string][]string{}
	}
	s.tokens[token] = scopes
}

// Add makes an entity known.
func (s *Server) Add(e Entity) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.entities = append(s.entities, e)
}

// Record stores a value of the metric, named as in the v2 API.
func (s *Server) Record(entity, metric string, at time.Time, v float64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.values == nil {
		s.values = map[string][]value{}
	}
	k := metric + " " + entity
	s.values[k] = append(s.values[k], value{at, v})
}

// Throttle turns the next n requests away with 429 and a Retry-After of so
// many seconds.
func (s *Server) Throttle(n, seconds int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.busy, s.after = n, seconds
}

// Asked returns how many requests came, and how many of them were turned away
// for there being too many.
func (s *Server) Asked() (all, throttled int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.asked, s.turned
}

// refused is an answer other than 200.
type refused struct {
	code int
	text string
}

func refuse(code int, format string, args ...any) *refused {
	return &refused{code, fmt.Sprintf(format, args...)}
}

// ServeHTTP implements [http.Handler].
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.asked++
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	if s.busy > 0 {
		s.busy--
		s.turned++
		w.Header().Set("Retry-After", strconv.Itoa(s.after))
		fail(w, refuse(http.StatusTooManyRequests, "Too many requests"))
		return
	}
	answer, err := s.route(r)
	if err != nil {
		fail(w, err)
		return
	}
	_ = json.NewEncoder(w).Encode(answer)
}

func fail(w http.ResponseWriter, err *refused) {
	w.WriteHeader(err.code)
	_ = json.NewEncoder(w).Encode(map[string]any{"error": map[string]any{"code": err.code, "message": err.text}})
}

func (s *Server) route(r *http.Request) (any, *refused) {
	switch {
	case strings.HasPrefix(r.URL.Path, "/api/v1/timeseries/"):
		if err := s.allowed(r, ScopeV1); err != nil {
			return nil, err
		}
		id := strings.TrimPrefix(r.URL.Path, "/api/v1/timeseries/")
		i := slices.IndexFunc(metrics, func(m metric) bool { return m.v1 == id })
		if i < 0 {
			return nil, refuse(http.StatusNotFound, "Unknown timeseries identifier: %s", id)
		}
		if r.Method == http.MethodGet {
			return map[string]any{"timeseriesId": id, "unit": metrics[i].unit, "aggregationTypes": metrics[i].aggregations}, nil
		}
		return s.postV1(r, metrics[i])
	case r.URL.Path == "/api/v2/metrics/query" && r.Method == http.MethodGet:
		if err := s.allowed(r, ScopeV2); err != nil {
			return nil, err
		}
		return s.queryV2(r)
	case strings.HasPrefix(r.URL.Path, "/api/v2/metrics/") && r.Method == http.MethodGet:
		if err := s.allowed(r, ScopeV2); err != nil {
			return nil, err
		}
		id := strings.TrimPrefix(r.URL.Path, "/api/v2/metrics/")
		if !slices.ContainsFunc(metrics, func(m metric) bool { return m.v2 == id }) {
			return nil, refuse(http.StatusNotFound, "The metric key %q is not known", id)
		}
		return map[string]any{"metricId": id}, nil
	}
	return nil, refuse(http.StatusNotFound, "Not found")
}

func (s *Server) allowed(r *http.Request, scope string) *refused {
	token, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Api-Token ")
	if !ok {
		return refuse(http.StatusUnauthorized, "Missing authorization parameter.")
	}
	scopes, ok := s.tokens[token]
	switch {
	case !ok:
		return refuse(http.StatusUnauthorized, "Token Authentication failed")
	case !slices.Contains(scopes, scope):
		return refuse(http.StatusForbidden, "Token is missing required scope. Use one of: %s", scope)
	}
	return nil
}

// spans cuts the values into whole minutes that the window touches.
func spans(all []value, from, to time.Time) map[int64][]float64 {
	out := map[int64][]float64{}
	for _, v := range all {
		begin := v.at.Truncate(slot)
		if begin.Before(to) && begin.Add(slot).After(from) {
			out[begin.UnixMilli()] = append(out[begin.UnixMilli()], v.v)
		}
	}
	return out
}

// aggregate reduces values; the percentile is from 1 to 99.
func aggregate(kind string, percentile float64, vs []float64) float64 {
	sorted := slices.Sorted(slices.Values(vs))
	sum := 0.0
	for _, v := range vs {
		sum += v
	}
	rank := func(p float64) float64 {
		return sorted[min(len(sorted)-1, int(math.Ceil(p/100*float64(len(sorted))))-1)]
	}
	switch kind {
	case "COUNT":
		return float64(len(vs))
	case "SUM":
		return sum
	case "MIN":
		return sorted[0]
	case "MAX":
		return sorted[len(sorted)-1]
	case "MEDIAN":
		return rank(50)
	case "PERCENTILE":
		return rank(percentile)
	}
	return sum / float64(len(vs))
}

func flat(spans map[int64][]float64) (all []float64) {
	for _, vs := range spans {
		all = append(all, vs...)
	}
	return all
}
