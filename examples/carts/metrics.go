package main

import (
	"bytes"
	"fmt"
	"strconv"
	"sync"
	"time"
)

// buckets are the upper bounds of the latency histogram in seconds.
var buckets = [...]float64{.005, .01, .025, .05, .075, .1, .25, .5, .75, 1, 2.5, 5, 7.5, 10}

// metrics measures the calls that add an item. It is safe for concurrent use.
type metrics struct {
	mu      sync.Mutex
	counts  [len(buckets) + 1]uint64 // by bucket, not cumulated; the last is +Inf
	seconds float64
}

// observe counts one call.
func (m *metrics) observe(took time.Duration) {
	m.mu.Lock()
	defer m.mu.Unlock()
	s := took.Seconds()
	i := 0
	for i < len(buckets) && s > buckets[i] {
		i++
	}
	m.counts[i]++
	m.seconds += s
}

// text renders the metrics in Prometheus's text format 0.0.4. Counter, sum
// and count are of the same instant, so that their quotient is a true mean.
func (m *metrics) text() []byte {
	m.mu.Lock()
	counts, seconds := m.counts, m.seconds
	m.mu.Unlock()
	var total uint64
	for _, n := range counts {
		total += n
	}
	var b bytes.Buffer
	fmt.Fprintf(&b, "# HELP requests_total Calls that add an item.\n# TYPE requests_total counter\nrequests_total %d\n", total)
	b.WriteString("# HELP requests_latency_seconds Duration of calls that add an item.\n# TYPE requests_latency_seconds histogram\n")
	var cumulated uint64
	for i, bound := range buckets {
		cumulated += counts[i]
		fmt.Fprintf(&b, "requests_latency_seconds_bucket{le=%q} %d\n", number(bound), cumulated)
	}
	fmt.Fprintf(&b, "requests_latency_seconds_bucket{le=\"+Inf\"} %d\n", total)
	fmt.Fprintf(&b, "requests_latency_seconds_sum %s\nrequests_latency_seconds_count %d\n", number(seconds), total)
	return b.Bytes()
}

func number(v float64) string { return strconv.FormatFloat(v, 'g', -1, 64) }
