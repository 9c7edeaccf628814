package subscription

import (
	"cmp"
	"context"
	"crypto/rand"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/fairwaycd/fairway"
	"github.com/fairwaycd/fairway/internal/durable"
)

// Entry is a stored decision: events that belong together, in order.
type Entry struct {
	Seq    uint64
	At     time.Time
	Events []fairway.Event
}

// Source is where events are stored. Its shards are independent of each other.
type Source interface {
	Shards() int
	// Last is the sequence of the shard's last entry, 0 when there is none.
	Last(ctx context.Context, shard int) (uint64, error)
	// After returns at most limit entries after seq, in order.
	After(ctx context.Context, shard int, seq uint64, limit int) ([]Entry, error)
	// Changed tells that there may be more.
	Changed() (changed <-chan struct{}, cancel func())
}

// Options are what subscriptions work with.
type Options struct {
	Dir    string // below which each subscription has a directory
	Source Source
	Logger *slog.Logger
	// Traceparent is the trace that an event belongs to; nil: none.
	Traceparent func(fairway.Event) string
	// Observe counts what came of an attempt: sent, failed, dead. Nil: nobody.
	Observe func(id fairway.SubscriptionID, outcome string)
	// Wait and MaxWait bound the wait after a failure: it doubles from the one
	// to the other, and is a random part of it. Default 1 s and 10 min.
	Wait, MaxWait time.Duration
	Now           func() time.Time
}

// maxSubscriptions bounds how many there may be: each reads every event.
const maxSubscriptions = 100

// formerFor is how long a secret that was replaced signs too.
const formerFor = 24 * time.Hour

// Dispatcher sends events to everybody who subscribes. It is safe for
// concurrent use.
type Dispatcher struct {
	o       Options
	mu      sync.Mutex
	all     map[fairway.SubscriptionID]*worker
	running context.Context // nil before Start and after Stop
	stop    context.CancelFunc
	wg      sync.WaitGroup
}

// Open reads the subscriptions. Nothing is sent before Start.
func Open(o Options) (*Dispatcher, error) {
	o.Wait, o.MaxWait = cmp.Or(o.Wait, time.Second), cmp.Or(o.MaxWait, 10*time.Minute)
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Observe == nil {
		o.Observe = func(fairway.SubscriptionID, string) {}
	}
	if o.Traceparent == nil {
		o.Traceparent = func(fairway.Event) string { return "" }
	}
	if err := os.MkdirAll(o.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("make the directory of subscriptions: %w", err)
	}
	d := &Dispatcher{o: o, all: map[fairway.SubscriptionID]*worker{}}
	entries, err := os.ReadDir(o.Dir)
	if err != nil {
		return nil, fmt.Errorf("list subscriptions: %w", err)
	}
	for _, e := range entries {
		w := d.worker(files{filepath.Join(o.Dir, e.Name())})
		ok, err := w.open()
		if err != nil {
			return nil, fmt.Errorf("read subscription %s: %w", e.Name(), err)
		}
		if ok { // else it was being made or removed when the process ended
			d.all[w.sub.ID] = w
		}
	}
	return d, nil
}

func (d *Dispatcher) worker(f files) *worker {
	return &worker{o: &d.o, files: f, kick: make(chan struct{}, 1)}
}

// Start sends what is not sent until Stop.
func (d *Dispatcher) Start(ctx context.Context) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.running, d.stop = context.WithCancel(ctx)
	for _, w := range d.all {
		d.begin(w)
	}
}

func (d *Dispatcher) begin(w *worker) {
	if d.running == nil {
		return
	}
	ctx, cancel := context.WithCancel(d.running)
	w.cancel, w.ended = cancel, make(chan struct{})
	d.wg.Go(func() {
		defer close(w.ended)
		w.run(ctx)
	})
}

// Stop ends what is under way and stores how far it came.
func (d *Dispatcher) Stop() {
	d.mu.Lock()
	if d.stop != nil {
		d.stop()
	}
	d.running = nil
	d.mu.Unlock()
	d.wg.Wait()
}

// Add makes a subscription to what is stored from now on, and returns it with
// the secret that its events are signed with. The secret is told only once.
func (d *Dispatcher) Add(ctx context.Context, s fairway.Subscription) (fairway.Subscription, fairway.Secret, error) {
	s = s.WithDefaults()
	if err := s.Validate(); err != nil {
		return s, "", err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(d.all) >= maxSubscriptions {
		return s, "", fairway.Errorf(fairway.KindRefused, "there are %d subscriptions, and there may be no more; remove one: fairway subscription remove ID", len(d.all))
	}
	s.ID, s.CreatedAt = fairway.SubscriptionID(strings.ToLower(rand.Text()[:10])), d.o.Now().UTC()
	w := d.worker(files{filepath.Join(d.o.Dir, string(s.ID))})
	w.sub, w.kept = s, kept{Subscription: s, Secret: newSecret()}
	for shard := range d.o.Source.Shards() {
		last, err := d.o.Source.Last(ctx, shard)
		if err != nil {
			return s, "", err
		}
		w.at.Shards = append(w.at.Shards, last)
	}
	err := w.files.save(cursorFile, w.at)
	if err == nil { // the last file counts
		err = w.files.save(settingsFile, w.kept)
	}
	if err == nil {
		err = durable.Sync(d.o.Dir)
	}
	if err != nil {
		return s, "", fmt.Errorf("store the subscription: %w", err)
	}
	d.all[s.ID] = w
	d.begin(w)
	return s, w.kept.Secret, nil
}

// find takes a beginning of an id for the whole where it names one alone.
func (d *Dispatcher) find(id fairway.SubscriptionID) (*worker, error) {
	if w := d.all[id]; w != nil {
		return w, nil
	}
	var found []*worker
	for _, w := range d.all {
		if len(id) >= 4 && strings.HasPrefix(string(w.sub.ID), string(id)) {
			found = append(found, w)
		}
	}
	if len(found) != 1 {
		return nil, fairway.Errorf(fairway.KindNotFound, "there is no subscription %s; see: fairway subscription list", id)
	}
	return found[0], nil
}

// Remove ends a subscription and forgets all of it.
func (d *Dispatcher) Remove(id fairway.SubscriptionID) (fairway.Subscription, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	w, err := d.find(id)
	if err != nil {
		return fairway.Subscription{}, err
	}
	if w.cancel != nil {
		w.cancel()
		<-w.ended
	}
	if err := w.files.remove(settingsFile); err != nil {
		d.begin(w)
		return w.sub, fmt.Errorf("remove the subscription: %w", err)
	}
	delete(d.all, w.sub.ID)
	return w.sub, os.RemoveAll(w.files.dir)
}

// Rotate gives a subscription another secret. The former one signs too for a
// day, so that the receiver can change it in between.
func (d *Dispatcher) Rotate(id fairway.SubscriptionID) (fairway.Subscription, fairway.Secret, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	w, err := d.find(id)
	if err != nil {
		return fairway.Subscription{}, "", err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	next := w.kept
	next.Secret, next.Former, next.Until = newSecret(), w.kept.Secret, d.o.Now().Add(formerFor).UTC()
	if err := w.files.save(settingsFile, next); err != nil {
		return next.Subscription, "", fmt.Errorf("store the secret: %w", err)
	}
	w.kept = next
	return next.Subscription, next.Secret, nil
}

// List returns all subscriptions, the oldest first.
func (d *Dispatcher) List() []fairway.SubscriptionState {
	d.mu.Lock()
	defer d.mu.Unlock()
	out := []fairway.SubscriptionState{}
	for _, w := range d.all {
		out = append(out, w.state())
	}
	slices.SortFunc(out, func(a, b fairway.SubscriptionState) int {
		return cmp.Or(a.CreatedAt.Compare(b.CreatedAt), cmp.Compare(a.ID, b.ID))
	})
	return out
}

// Test sends one event of a type of its own at once, past the filter.
func (d *Dispatcher) Test(ctx context.Context, id fairway.SubscriptionID) (fairway.SubscriptionState, error) {
	d.mu.Lock()
	w, err := d.find(id)
	d.mu.Unlock()
	if err != nil {
		return fairway.SubscriptionState{}, err
	}
	now := d.o.Now().UTC()
	e := fairway.Event{SpecVersion: "1.0", ID: rand.Text(), Source: "/fairway/subscriptions/" + string(w.sub.ID), Type: fairway.TypeSubscriptionTest,
		Time: now, ContentType: "application/json", Reason: "somebody tests the subscription", Data: []byte(`{}`)}
	if f := w.attempt(ctx, e); f != nil {
		return w.state(), fairway.Errorf(fairway.KindRefused, "the test event was not taken: %s %s", w.sub.URL, f.reason)
	}
	return w.state(), nil
}

// Replay sends events again: those that were laid aside, or, with a time,
// everything that is stored since then and that the subscription wants.
func (d *Dispatcher) Replay(id fairway.SubscriptionID, since time.Time) (fairway.SubscriptionState, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	w, err := d.find(id)
	if err != nil {
		return fairway.SubscriptionState{}, err
	}
	if since.IsZero() {
		err = w.replayDead()
	} else {
		err = d.rewind(w, since)
	}
	if err != nil {
		return w.state(), fmt.Errorf("send again: %w", err)
	}
	select {
	case w.kick <- struct{}{}:
	default:
	}
	return w.state(), nil
}

// rewind puts the cursor back while the worker stands.
func (d *Dispatcher) rewind(w *worker, since time.Time) error {
	if w.cancel != nil {
		w.cancel()
		<-w.ended
	}
	defer d.begin(w)
	at := cursor{Shards: make([]uint64, d.o.Source.Shards()), Since: since.UTC()}
	if err := w.files.save(cursorFile, at); err != nil {
		return err
	}
	w.at = at
	return nil
}
