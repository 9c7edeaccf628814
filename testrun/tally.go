package testrun

import (
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"

	"github.com/fairwaycd/fairway"
)

// tally counts the outcomes of a check. It is safe for concurrent use.
type tally struct {
	mu       sync.Mutex
	latency  *hdrhistogram.Histogram // microseconds
	measured int64                   // answers and timeouts; what never got through has no latency
	sum      time.Duration
	max      time.Duration
	requests int
	errors   map[failKind]int
	first    string // reason of the first failure
	window   fairway.Window
	// Once more than the share limit of the planned requests has failed, the
	// tally is closed, and what comes later is not counted. With 0 planned it
	// stays open.
	planned int
	limit   float64
	closed  bool
}

func newTally() *tally {
	return &tally{latency: hdrhistogram.New(1, int64(time.Hour/time.Microsecond), 3), errors: map[failKind]int{}}
}

// add counts an outcome. It returns false once the tally is closed.
func (t *tally) add(o outcome) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed {
		return false
	}
	t.count(o)
	t.closed = t.planned > 0 && share(t.failed(), t.planned) > t.limit
	return !t.closed
}

// count does the work of add; mu is held.
func (t *tally) count(o outcome) {
	if t.requests == 0 || o.start.Before(t.window.Start) {
		t.window.Start = o.start
	}
	if o.end.After(t.window.End) {
		t.window.End = o.end
	}
	t.requests++
	if o.failed() {
		if t.failed() == 0 {
			t.first = o.reason
		}
		t.errors[o.kind]++
	}
	if o.kind == failConnection {
		return
	}
	took := o.took()
	t.measured++
	t.sum += took
	t.max = max(t.max, took)
	// A value out of range is an hour or more; no request lasts that long.
	_ = t.latency.RecordValue(max(took.Microseconds(), 1))
}

// failed returns the number of failed requests; mu is held.
func (t *tally) failed() int {
	n := 0
	for _, v := range t.errors {
		n += v
	}
	return n
}

// counts returns the requests so far and how many of them failed.
func (t *tally) counts() (requests, failed int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.requests, t.failed()
}

// figures are the results of a finished check.
type figures struct {
	requests, failed         int
	errors                   string // by kind
	first                    string
	window                   fairway.Window
	measured                 int64
	mean, p50, p90, p95, p99 time.Duration
	max                      time.Duration
}

func (t *tally) figures() figures {
	t.mu.Lock()
	defer t.mu.Unlock()
	f := figures{requests: t.requests, failed: t.failed(), errors: t.errorText(), first: t.first, window: t.window, measured: t.measured, max: t.max}
	if t.measured > 0 {
		f.mean = t.sum / time.Duration(t.measured)
		f.p50, f.p90, f.p95, f.p99 = t.quantile(50), t.quantile(90), t.quantile(95), t.quantile(99)
	}
	return f
}

// quantile returns the latency that q percent did not exceed. The histogram
// answers with the upper end of a bucket, which the maximum bounds.
func (t *tally) quantile(q float64) time.Duration {
	return min(time.Duration(t.latency.ValueAtQuantile(q))*time.Microsecond, t.max)
}

func (t *tally) errorText() string {
	var parts []string
	for _, k := range failKinds {
		if n := t.errors[k]; n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", n, k))
		}
	}
	return strings.Join(parts, ", ")
}

// summary returns the latencies in seconds, or nil when nothing was measured.
func (f figures) summary() *fairway.LatencySummary {
	if f.measured == 0 {
		return nil
	}
	return &fairway.LatencySummary{
		Mean: f.mean.Seconds(), P50: f.p50.Seconds(), P90: f.p90.Seconds(),
		P95: f.p95.Seconds(), P99: f.p99.Seconds(), Max: f.max.Seconds(),
	}
}

// errorRate is the share of failed requests.
func (f figures) errorRate() float64 { return share(f.failed, max(f.requests, 1)) }

// share is part of whole. All comparisons with a limit go through it, so that
// none is off by a rounding error from another.
func share(part, whole int) float64 { return float64(part) / float64(whole) }

// exceeded returns a sentence for each limit that was not kept.
func (l Limits) exceeded(f figures) []string {
	if f.requests == 0 {
		return []string{"no request was sent"}
	}
	var over []string
	if f.errorRate() > l.Errors {
		over = append(over, fmt.Sprintf("%d of %d requests failed (%s, limit %s): %s; the first: %s",
			f.failed, f.requests, percent(f.errorRate()), percent(l.Errors), f.errors, f.first))
	}
	for _, c := range []struct {
		name       string
		got, limit time.Duration
	}{
		{"mean", f.mean, l.Mean}, {"p50", f.p50, l.P50}, {"p90", f.p90, l.P90},
		{"p95", f.p95, l.P95}, {"p99", f.p99, l.P99}, {"max", f.max, l.Max},
	} {
		if c.limit > 0 && f.measured > 0 && c.got > c.limit {
			over = append(over, fmt.Sprintf("%s is %s, limit %s", c.name, c.got.Round(time.Microsecond), c.limit))
		}
	}
	return over
}

// percent prints a share with at most three digits, e.g. 12.5%.
func percent(share float64) string { return strconv.FormatFloat(100*share, 'g', 3, 64) + "%" }
