package harness

import (
	"context"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// Counts are answers by what they say, and failures by what went wrong.
type Counts struct {
	mu       sync.Mutex
	answers  map[string]int
	failures map[string]int
}

func (c *Counts) add(answer string, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err != nil {
		c.failures[err.Error()]++
		return
	}
	c.answers[answer]++
}

// Answers are the answers with status 200 so far, by their text.
func (c *Counts) Answers() map[string]int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return maps.Clone(c.answers)
}

// Failures are all other answers, and requests without one.
func (c *Counts) Failures() map[string]int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return maps.Clone(c.failures)
}

// Total is how many requests have ended.
func (c *Counts) Total() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	n := 0
	for _, m := range []map[string]int{c.answers, c.failures} {
		for v := range maps.Values(m) {
			n += v
		}
	}
	return n
}

func (c *Counts) String() string {
	var b strings.Builder
	for _, m := range []map[string]int{c.Answers(), c.Failures()} {
		for _, k := range slices.Sorted(maps.Keys(m)) {
			fmt.Fprintf(&b, "%6d  %s\n", m[k], k)
		}
	}
	return b.String()
}

// visitor asks one host at the gateway.
type visitor struct {
	client *http.Client
	url    string
	host   string
	Counts
}

func newVisitor(gateway, host, path string) *visitor {
	return &visitor{
		client: &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{MaxIdleConnsPerHost: 32}},
		url:    "http://" + gateway + path, host: host,
		Counts: Counts{answers: map[string]int{}, failures: map[string]int{}},
	}
}

func (v *visitor) ask(ctx context.Context) {
	q, err := http.NewRequestWithContext(ctx, http.MethodGet, v.url, nil)
	if err != nil {
		v.add("", err)
		return
	}
	q.Host = v.host
	answer, err := v.client.Do(q)
	if err != nil {
		if ctx.Err() == nil { // else it was the test that gave up
			v.add("", err)
		}
		return
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	text := strings.TrimSpace(string(body))
	if err == nil && answer.StatusCode != http.StatusOK {
		err = fmt.Errorf("%d %.200s", answer.StatusCode, text)
	}
	if err != nil && ctx.Err() != nil {
		return
	}
	v.add(text, err)
}

// Visit asks a host at the gateway, this often each second, until the test
// ends or stop is called. Requests do not wait for each other.
func Visit(t testing.TB, gateway, host, path string, rate int) (counts *Counts, stop func()) {
	t.Helper()
	v := newVisitor(gateway, host, path)
	ctx, cancel := context.WithCancel(t.Context())
	var all sync.WaitGroup
	all.Go(func() {
		tick := time.NewTicker(time.Second / time.Duration(rate))
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
				// One that has begun is let end, else the end of the client would
				// be counted as a failure of the server.
				all.Go(func() { v.ask(context.WithoutCancel(ctx)) })
			}
		}
	})
	stop = sync.OnceFunc(func() {
		cancel()
		all.Wait()
		v.client.CloseIdleConnections()
	})
	t.Cleanup(stop)
	return &v.Counts, stop
}

// Ask asks a host at the gateway n times, as fast as a few clients can.
func Ask(t testing.TB, gateway, host, path string, n int) *Counts {
	t.Helper()
	v := newVisitor(gateway, host, path)
	defer v.client.CloseIdleConnections()
	work := make(chan struct{})
	var all sync.WaitGroup
	for range min(n, 16) {
		all.Go(func() {
			for range work {
				v.ask(t.Context())
			}
		})
	}
	for range n {
		work <- struct{}{}
	}
	close(work)
	all.Wait()
	return &v.Counts
}
