package subscription_test

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/fairwaycd/fairway"
	"github.com/fairwaycd/fairway/subscription"
)

// log is a source of two shards in memory.
type log struct {
	mu      sync.Mutex
	shards  [2][]subscription.Entry
	changed chan struct{}
}

func (l *log) Shards() int { return len(l.shards) }

func (l *log) Last(_ context.Context, shard int) (uint64, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return uint64(len(l.shards[shard])), nil
}

func (l *log) After(_ context.Context, shard int, seq uint64, limit int) ([]subscription.Entry, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	list := l.shards[shard][min(seq, uint64(len(l.shards[shard]))):]
	return slices.Clone(list[:min(limit, len(list))]), nil
}

func (l *log) Changed() (<-chan struct{}, func()) { return l.changed, func() {} }

// add stores an entry with an event for each name.
func (l *log) add(shard int, project fairway.ProjectName, names ...string) {
	l.mu.Lock()
	e := subscription.Entry{Seq: uint64(len(l.shards[shard])) + 1, At: time.Now()}
	for _, n := range names {
		data, _ := json.Marshal(fairway.EventData{Project: project, Service: "cart", Stage: "dev", Result: "fail"})
		e.Events = append(e.Events, fairway.Event{SpecVersion: "1.0", ID: n, Source: "/fairway", Type: "dev.fairway.delivery." + strings.SplitN(n, "-", 2)[0], Time: time.Now().UTC(), Context: "d1", Data: data})
	}
	l.shards[shard] = append(l.shards[shard], e)
	l.mu.Unlock()
	select {
	case l.changed <- struct{}{}:
	default:
	}
}

// receiver takes events, and answers as it is told.
type receiver struct {
	*httptest.Server
	mu      sync.Mutex
	got     []string
	bodies  [][]byte
	headers []http.Header
	answer  func(id string, tries int) (status int, retryAfter string)
	tries   map[string]int
}

func receive(t *testing.T) *receiver {
	r := &receiver{tries: map[string]int{}}
	r.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		body, _ := io.ReadAll(q.Body)
		id := q.Header.Get("webhook-id")
		r.mu.Lock()
		defer r.mu.Unlock()
		r.tries[id]++
		status, after := 204, ""
		if r.answer != nil {
			status, after = r.answer(id, r.tries[id])
		}
		if after != "" {
			w.Header().Set("Retry-After", after)
		}
		if status < 300 {
			r.got, r.bodies, r.headers = append(r.got, id), append(r.bodies, body), append(r.headers, q.Header.Clone())
		}
		w.WriteHeader(status)
	}))
	t.Cleanup(r.Close)
	return r
}

func (r *receiver) has(t *testing.T, want ...string) {
	t.Helper()
	until(t, func() (string, bool) {
		r.mu.Lock()
		defer r.mu.Unlock()
		return fmt.Sprint(r.got), slices.Equal(r.got, want)
	})
}

func until(t *testing.T, ok func() (string, bool)) {
	t.Helper()
	deadline := time.After(20 * time.Second)
	for {
		last, done := ok()
		if done {
			return
		}
		select {
		case <-deadline:
			t.Fatalf("it came no further than %s", last)
		case <-time.After(5 * time.Millisecond):
		}
	}
}

func open(t *testing.T, dir string, l *log) *subscription.Dispatcher {
	t.Helper()
	d, err := subscription.Open(subscription.Options{
		Dir: dir, Source: l, Logger: slog.New(slog.DiscardHandler), Wait: time.Millisecond, MaxWait: 5 * time.Millisecond,
		Traceparent: func(e fairway.Event) string { return "00-0123456789abcdef0123456789abcdef-0123456789abcdef-01" },
	})
	if err != nil {
		t.Fatal(err)
	}
	d.Start(context.WithoutCancel(t.Context()))
	t.Cleanup(d.Stop)
	return d
}

func TestEventsComeInOrderUntilTheyAreTaken(t *testing.T) {
	t.Parallel()
	l, r := &log{changed: make(chan struct{}, 1)}, receive(t)
	r.answer = func(id string, tries int) (int, string) {
		if id == "finished-2" && tries < 4 {
			return 503, ""
		}
		return 204, ""
	}
	l.add(0, "shop", "finished-0") // before the subscription
	d := open(t, t.TempDir(), l)
	s, secret, err := d.Add(t.Context(), fairway.Subscription{URL: r.URL, Private: true, Types: []string{"delivery.f*"}, Projects: []fairway.ProjectName{"shop"}, Results: []string{"fail"}})
	if err != nil {
		t.Fatal(err)
	}
	l.add(0, "shop", "finished-1", "queued-1", "failed-1")
	l.add(1, "other", "finished-x")
	l.add(1, "shop", "finished-2")
	l.add(0, "shop", "finished-3")
	r.has(t, "finished-1", "failed-1", "finished-2", "finished-3")

	var e struct {
		fairway.Event
		Traceparent string
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if err := json.Unmarshal(r.bodies[0], &e); err != nil || e.Context != "d1" || e.Traceparent == "" || r.headers[0].Get("traceparent") != e.Traceparent {
		t.Errorf("sent %s with %v: %v", r.bodies[0], r.headers[0], err)
	}
	if !signed(r.headers[0], r.bodies[0], string(secret)) {
		t.Errorf("the signature is wrong: %v", r.headers[0])
	}
	until(t, func() (string, bool) {
		st := d.List()[0]
		return fmt.Sprintf("%+v", st), st.ID == s.ID && st.Sent == 4 && st.Dead == 0
	})
}

// signed checks as a receiver does.
func signed(h http.Header, body []byte, secret string) bool {
	key, _ := base64.StdEncoding.DecodeString(strings.TrimPrefix(secret, "whsec_"))
	mac := hmac.New(sha256.New, key)
	fmt.Fprintf(mac, "%s.%s.%s", h.Get("webhook-id"), h.Get("webhook-timestamp"), body)
	want := "v1," + base64.StdEncoding.EncodeToString(mac.Sum(nil))
	return slices.Contains(strings.Fields(h.Get("webhook-signature")), want)
}

func TestWhatIsNeverTakenIsLaidAside(t *testing.T) {
	t.Parallel()
	l, r, dir := &log{changed: make(chan struct{}, 1)}, receive(t), t.TempDir()
	var healed bool
	r.answer = func(id string, _ int) (int, string) {
		switch {
		case healed || id == "finished-3":
			return 204, ""
		case id == "finished-1":
			return 422, "" // never
		}
		return 500, ""
	}
	d := open(t, dir, l)
	s, _, err := d.Add(t.Context(), fairway.Subscription{URL: r.URL, Private: true, Tries: 5})
	if err != nil {
		t.Fatal(err)
	}
	l.add(0, "shop", "finished-1", "finished-2", "finished-3")
	r.has(t, "finished-3")
	until(t, func() (string, bool) { st := d.List()[0]; return fmt.Sprint(st.Sent), st.Sent == 1 }) // and the answer is known
	r.mu.Lock()
	if r.tries["finished-1"] != 3 || r.tries["finished-2"] != 5 {
		t.Errorf("tried %v", r.tries)
	}
	healed = true
	r.mu.Unlock()

	// Both outlive a restart, and come once more when they are asked for.
	d.Stop()
	d = open(t, dir, l)
	if st := d.List()[0]; st.Dead != 2 {
		t.Errorf("state %+v", st)
	}
	if _, err := d.Replay(s.ID, time.Time{}); err != nil {
		t.Fatal(err)
	}
	r.has(t, "finished-3", "finished-1", "finished-2")
	until(t, func() (string, bool) { st := d.List()[0]; return fmt.Sprint(st.Dead), st.Dead == 0 })

	// All that is stored since a time, too.
	if _, err := d.Replay(s.ID, time.Now().Add(-time.Hour)); err != nil {
		t.Fatal(err)
	}
	r.has(t, "finished-3", "finished-1", "finished-2", "finished-1", "finished-2", "finished-3")
}

// What was not told to be taken before the process ended comes again after it.
func TestNothingIsLostInBetween(t *testing.T) {
	t.Parallel()
	l, r, dir := &log{changed: make(chan struct{}, 1)}, receive(t), t.TempDir()
	reached := make(chan struct{}, 100)
	var up bool
	r.answer = func(id string, _ int) (int, string) {
		if id == "finished-2" && !up {
			reached <- struct{}{}
			return 503, ""
		}
		return 204, ""
	}
	d := open(t, dir, l)
	if _, _, err := d.Add(t.Context(), fairway.Subscription{URL: r.URL, Private: true}); err != nil {
		t.Fatal(err)
	}
	l.add(1, "shop", "finished-1", "finished-2", "finished-3")
	<-reached
	<-reached // so that the answer to the one before is known
	d.Stop()
	l.add(0, "shop", "finished-4") // while nobody sends
	r.mu.Lock()
	up = true
	r.mu.Unlock()
	open(t, dir, l)
	r.has(t, "finished-1", "finished-2", "finished-3", "finished-4")
}

func TestRetryAfterIsHeeded(t *testing.T) {
	t.Parallel()
	l, r := &log{changed: make(chan struct{}, 1)}, receive(t)
	r.answer = func(string, int) (int, string) { return 429, "1800" }
	d := open(t, t.TempDir(), l)
	if _, _, err := d.Add(t.Context(), fairway.Subscription{URL: r.URL, Private: true}); err != nil {
		t.Fatal(err)
	}
	l.add(0, "shop", "finished-1")
	until(t, func() (string, bool) {
		st := d.List()[0]
		return fmt.Sprintf("%+v", st), st.Next != nil && time.Until(*st.Next) > 25*time.Minute && strings.Contains(st.Error, "429")
	})
}

func TestASecretIsChangedWithoutAGap(t *testing.T) {
	t.Parallel()
	l, r, dir := &log{changed: make(chan struct{}, 1)}, receive(t), t.TempDir()
	d := open(t, dir, l)
	s, former, err := d.Add(t.Context(), fairway.Subscription{URL: r.URL, Private: true})
	if err != nil {
		t.Fatal(err)
	}
	_, next, err := d.Rotate(s.ID)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := d.Test(t.Context(), s.ID[:5]); err != nil {
		t.Fatal(err)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if !signed(r.headers[0], r.bodies[0], string(former)) || !signed(r.headers[0], r.bodies[0], string(next)) || former == next {
		t.Errorf("signed %v", r.headers[0])
	}
	if _, err := d.Remove(s.ID); err != nil || len(open(t, dir, l).List()) != 0 {
		t.Errorf("it is there after its removal: %v", err)
	}
}

// What only this machine can reach is not reached because somebody says so in
// a name.
func TestPrivateAddressesAreRefused(t *testing.T) {
	t.Parallel()
	l, r := &log{changed: make(chan struct{}, 1)}, receive(t)
	d := open(t, t.TempDir(), l)
	public := strings.Replace(r.URL, "http://127.0.0.1", "https://localhost", 1)
	s, _, err := d.Add(t.Context(), fairway.Subscription{URL: public})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := d.Test(t.Context(), s.ID); err == nil || !strings.Contains(err.Error(), "--private") {
		t.Errorf("a private address is answered %v", err)
	}
	for _, bad := range []string{"ftp://x", "https://u:p@example.com", "http://example.com", ""} {
		if _, _, err := d.Add(t.Context(), fairway.Subscription{URL: bad}); fairway.KindOf(err) != fairway.KindInvalid {
			t.Errorf("%q: %v", bad, err)
		}
	}
	meta, _, err := d.Add(t.Context(), fairway.Subscription{URL: "http://169.254.169.254/latest", Private: true})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := d.Test(t.Context(), meta.ID); err == nil || !strings.Contains(err.Error(), "is not an address") {
		t.Errorf("a link-local address is answered %v", err)
	}
}
