package api_test

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fairwaycd/fairway"
	"github.com/fairwaycd/fairway/api"
)

// TestWatchLeavesNothingBehind counts goroutines, so it does not run beside
// other tests.
func TestWatchLeavesNothingBehind(t *testing.T) {
	before := runtime.NumGoroutine()
	m := newMemory()
	s := httptest.NewServer(api.NewServer(m, api.ServerOptions{Heartbeat: time.Millisecond}))
	transport := &http.Transport{}
	c := api.NewClient(api.ClientOptions{URL: s.URL, HTTP: &http.Client{Transport: transport}})
	ctx, cancel := context.WithCancel(t.Context())
	const watchers = 20
	done := make(chan error)
	var seen atomic.Int32
	for range watchers {
		go func() {
			done <- c.Watch(ctx, func(ch api.Change) error {
				seen.Add(int32(len(ch.Events)))
				return nil
			})
		}()
	}
	until(t, "all to watch", func() bool { return m.watching() == watchers })
	m.publish(1)
	until(t, "all to see the event", func() bool { return seen.Load() == watchers })
	cancel()
	for range watchers {
		if err := <-done; !errors.Is(err, context.Canceled) {
			t.Errorf("Watch: %v", err)
		}
	}
	until(t, "the server to let them go", func() bool { return m.watching() == 0 })
	transport.CloseIdleConnections()
	s.Close()
	until(t, "all goroutines to end", func() bool { return runtime.NumGoroutine() <= before })
}

func TestWatchResumesWithoutGapOrRepetition(t *testing.T) {
	t.Parallel()
	m := newMemory()
	s := httptest.NewServer(api.NewServer(m, api.ServerOptions{}))
	defer s.Close()
	c := api.NewClient(api.ClientOptions{URL: s.URL})
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	const cuts, each = 4, 700 // more than one page is missed at a time
	seqs := make(chan uint64, cuts*each)
	connected := make(chan struct{}, 2*cuts)
	done := make(chan error)
	go func() {
		done <- c.Watch(ctx, func(ch api.Change) error {
			if len(ch.Events) == 0 {
				connected <- struct{}{}
			}
			for _, e := range ch.Events {
				seqs <- e.Seq
			}
			return nil
		})
	}()
	<-connected
	next := uint64(1)
	for range cuts {
		m.publish(1)
		if got := <-seqs; got != next {
			t.Fatalf("event %d, want %d", got, next)
		}
		s.CloseClientConnections()
		m.publish(each - 1)
		for n := next + 1; n < next+each; n++ {
			if got := <-seqs; got != n {
				t.Fatalf("event %d, want %d", got, n)
			}
		}
		next += each
	}
	cancel()
	<-done
	if len(seqs) > 0 {
		t.Errorf("%d events came twice", len(seqs))
	}
}

// raw reads a watch as a browser does, line by line.
func raw(t *testing.T, url, last string) *bufio.Scanner {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url+"/api/v1/watch", nil)
	if err != nil {
		t.Fatal(err)
	}
	if last != "" {
		r.Header.Set("Last-Event-ID", last)
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { resp.Body.Close() })
	if got := resp.Header.Get("Content-Type"); last != "x" && got != "text/event-stream" {
		t.Fatalf("content type %s", got)
	}
	return bufio.NewScanner(resp.Body)
}

// line reads up to a line that begins so, and returns it.
func line(t *testing.T, lines *bufio.Scanner, prefix string) string {
	t.Helper()
	for lines.Scan() {
		if strings.HasPrefix(lines.Text(), prefix) {
			return lines.Text()
		}
	}
	t.Fatalf("the stream ended before a line %q: %v", prefix, lines.Err())
	return ""
}

func TestWatchOnTheWire(t *testing.T) {
	t.Parallel()
	m := newMemory()
	m.publish(3)
	s := httptest.NewServer(api.NewServer(m, api.ServerOptions{Heartbeat: time.Millisecond}))
	t.Cleanup(s.Close)

	lines := raw(t, s.URL, "")
	line(t, lines, "retry: 1000")
	line(t, lines, "event: change")
	if got := line(t, lines, "data: "); !strings.HasPrefix(got, `data: {"events":[],"progress":[{`) {
		t.Errorf("first change: %s", got)
	}
	line(t, lines, ":") // a sign of life
	m.publish(2)
	if got := line(t, lines, "id: "); got != "id: 5" {
		t.Errorf("id of two events: %s", got)
	}
	if got := line(t, lines, "data: "); !strings.HasPrefix(got, `data: {"events":[{"seq":4,`) || !strings.Contains(got, "a <b> & c") {
		t.Errorf("change: %s", got)
	}

	lines = raw(t, s.URL, "4")
	if got := line(t, lines, "id: "); got != "id: 5" {
		t.Errorf("resumed after 4 with %s", got)
	}
	if got := line(t, lines, "data: "); strings.Count(got, `"seq":`) != 1 {
		t.Errorf("resumed after 4 with %s", got)
	}

	// A watcher that saw the events of another data directory hears of new ones.
	lines = raw(t, s.URL, "5000")
	line(t, lines, "event: change")
	m.publish(1)
	if got := line(t, lines, "id: "); got != "id: 6" {
		t.Errorf("resumed after 5000 with %s", got)
	}

	lines = raw(t, s.URL, "x")
	if got := line(t, lines, "{"); !strings.Contains(got, `"field":"Last-Event-ID"`) {
		t.Errorf("resumed after x: %s", got)
	}
}

// crowded is a Backend in which an event happens while missed ones are read,
// so that it is among them and among those of the watch.
type crowded struct {
	*memory
	once sync.Once
}

func (c *crowded) Events(ctx context.Context, f api.EventFilter) ([]api.StoredEvent, error) {
	if f.After > 0 {
		c.once.Do(func() { c.publish(1) })
	}
	return c.memory.Events(ctx, f)
}

func TestWatchSendsOnceWhatIsMissedAndNew(t *testing.T) {
	t.Parallel()
	m := &crowded{memory: newMemory()}
	m.publish(3)
	s := httptest.NewServer(api.NewServer(m, api.ServerOptions{}))
	t.Cleanup(s.Close)
	lines := raw(t, s.URL, "2")
	if got := line(t, lines, "id: "); got != "id: 4" {
		t.Errorf("missed events end with %s", got)
	}
	line(t, lines, `data: {"events":[],"progress"`)
	m.publish(1)
	if got := line(t, lines, "data: "); strings.Contains(got, `"seq":4,`) {
		t.Errorf("event 4 came again: %s", got)
	}
}

func TestLogsThatBreakOff(t *testing.T) {
	t.Parallel()
	s := httptest.NewServer(api.NewServer(half{}, api.ServerOptions{}))
	t.Cleanup(s.Close)
	var out buffer
	err := api.NewClient(api.ClientOptions{URL: s.URL}).Logs(t.Context(), "d", &out, false)
	if fairway.KindOf(err) != fairway.KindUnavailable || !strings.Contains(err.Error(), "broke off") {
		t.Errorf("half a log: %v", err)
	}
}

// half is a Backend whose logs fail in the middle.
type half struct{ api.Backend }

func (half) Logs(_ context.Context, _ string, w io.Writer, _ bool) error {
	_, err := io.WriteString(w, strings.Repeat("line\n", 10000))
	return errors.Join(err, errors.New("disk"))
}

// network answers requests by a function, in place of connections, so that
// time can be a bubble's.
type network func(*http.Request) (*http.Response, error)

func (n network) RoundTrip(r *http.Request) (*http.Response, error) { return n(r) }

// stream is an answer that says text and then nothing until its request ends.
func stream(r *http.Request, text string) *http.Response {
	body, w := io.Pipe()
	context.AfterFunc(r.Context(), func() { w.CloseWithError(r.Context().Err()) })
	go io.WriteString(w, text)
	return &http.Response{StatusCode: 200, Header: http.Header{"Content-Type": {"text/event-stream"}}, Body: body}
}

const oneChange = "id: 7\nevent: change\ndata: {\"events\":[]}\n\n"

func TestWatchConnectsAgain(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		begin := time.Now()
		var at []time.Duration
		c := api.NewClient(api.ClientOptions{HTTP: &http.Client{Transport: network(func(r *http.Request) (*http.Response, error) {
			at = append(at, time.Since(begin))
			if id := r.Header.Get("Last-Event-ID"); len(at) > 1 && id != "7" {
				t.Errorf("resumes after %q", id)
			}
			if len(at) == 1 || len(at) == 4 {
				return stream(r, oneChange), nil
			}
			return nil, syscall.ECONNREFUSED
		})}})
		err := c.Watch(t.Context(), func(api.Change) error { return nil })
		if fairway.KindOf(err) != fairway.KindUnavailable || !strings.Contains(err.Error(), "fairway up") {
			t.Errorf("gave up with %v", err)
		}
		const silent = 45 * time.Second
		const ms = time.Millisecond
		want := []time.Duration{0, silent + 100*ms, silent + 300*ms, silent + 700*ms, 2*silent + 800*ms, 2*silent + 1000*ms}
		if len(at) < 6 || !slices.Equal(at[:6], want) {
			t.Errorf("tried at %v, want %v", at, want)
		}
		if last := at[len(at)-1] - 2*silent; last < 2*time.Minute || last > 2*time.Minute+10*time.Second || len(at) > 40 {
			t.Errorf("tried %d times until %v after the last connection", len(at), last)
		}
	})
}

func TestWatchDoesNotHurryAServerThatDropsIt(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		tries := 0
		c := api.NewClient(api.ClientOptions{HTTP: &http.Client{Transport: network(func(*http.Request) (*http.Response, error) {
			tries++
			return &http.Response{StatusCode: 200, Header: http.Header{"Content-Type": {"text/event-stream"}}, Body: io.NopCloser(strings.NewReader(oneChange))}, nil
		})}})
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
		defer cancel()
		if err := c.Watch(ctx, func(api.Change) error { return nil }); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Watch: %v", err)
		}
		if tries < 100 || tries > 130 {
			t.Errorf("%d connections in ten minutes", tries)
		}
	})
}

func TestWatchEndsAtARefusal(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		tries := 0
		c := api.NewClient(api.ClientOptions{HTTP: &http.Client{Transport: network(func(r *http.Request) (*http.Response, error) {
			if tries++; tries == 1 {
				return stream(r, oneChange), nil
			}
			return &http.Response{StatusCode: 401, Header: http.Header{}, Body: http.NoBody}, nil
		})}})
		err := c.Watch(t.Context(), func(api.Change) error { return nil })
		if fairway.KindOf(err) != fairway.KindUnauthorized || tries != 2 {
			t.Errorf("after %d tries: %v", tries, err)
		}
		tries = 0
		c = api.NewClient(api.ClientOptions{HTTP: &http.Client{Transport: network(func(r *http.Request) (*http.Response, error) {
			tries++
			return stream(r, "event: change\ndata: {\"events\":7}\n\n"), nil
		})}})
		err = c.Watch(t.Context(), func(api.Change) error { return nil })
		if fairway.KindOf(err) != fairway.KindInternal || tries != 1 {
			t.Errorf("after a change that is none, %d tries: %v", tries, err)
		}
	})
}
