package subscription

import (
	"context"
	"encoding/json"
	"math/rand/v2"
	"net/http"
	"sync"
	"time"

	"github.com/fairwaycd/fairway"
)

const (
	settingsFile = "subscription.json"
	cursorFile   = "cursor.json"
	// atOnce is how many entries of a shard are read at a time.
	atOnce = 100
	// saveEvery is how often the cursor is stored while events go out: what a
	// crash takes back is sent again.
	saveEvery = time.Second
	// gather is how long more is waited for before the log is read.
	gather = 50 * time.Millisecond
	// look is how often the log is looked at without a word that it grew.
	look = 30 * time.Second
)

// worker sends the events of one subscription.
type worker struct {
	o      *Options
	files  files
	client *http.Client
	kick   chan struct{}
	cancel context.CancelFunc // of run; nil while it does not run
	ended  chan struct{}

	sub fairway.Subscription // never changes

	at    cursor // run's own, with all below
	saved time.Time
	moved bool // since it was stored

	mu      sync.Mutex
	kept    kept
	sent    uint64
	dropped uint64
	waiting int
	tried   int
	failed  string
	next    time.Time
	aside   int
}

// open reads what is stored; ok is false where there is no subscription.
func (w *worker) open() (ok bool, err error) {
	if ok, err = w.files.load(settingsFile, &w.kept); !ok || err != nil {
		return false, err
	}
	if _, err = w.files.load(cursorFile, &w.at); err != nil {
		return false, err
	}
	w.sub = w.kept.Subscription
	names, err := w.files.dead()
	w.aside = len(names)
	return true, err
}

func (w *worker) state() fairway.SubscriptionState {
	w.mu.Lock()
	defer w.mu.Unlock()
	s := fairway.SubscriptionState{
		Subscription: w.sub, Sent: w.sent, Waiting: w.waiting, Tried: w.tried, Error: w.failed, Dead: w.aside, Dropped: w.dropped,
	}
	if !w.next.IsZero() {
		next := w.next
		s.Next = &next
	}
	return s
}

// note changes what the state shows.
func (w *worker) note(f func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	f()
}

// run sends until ctx ends.
func (w *worker) run(ctx context.Context) {
	changed, cancel := w.o.Source.Changed()
	defer cancel()
	defer w.save()
	tick := time.NewTicker(look)
	defer tick.Stop()
	for ctx.Err() == nil {
		w.sendDead(ctx)
		items, err := w.read(ctx)
		if err != nil && ctx.Err() == nil {
			w.o.Logger.Warn("events cannot be read for a subscription; it is tried again", "subscription", w.sub.ID, "error", err)
		}
		for i, it := range items {
			w.note(func() { w.waiting = len(items) - i })
			if !w.take(ctx, it) {
				return
			}
		}
		w.note(func() { w.waiting = 0 })
		if len(items) > 0 {
			continue
		}
		w.save()
		select {
		case <-ctx.Done():
		case <-changed:
			pause(ctx, gather)
		case <-w.kick:
		case <-tick.C:
		}
	}
}

// item is an event and where the cursor stands once it is done with.
type item struct {
	event  fairway.Event
	shard  int
	seq    uint64
	within uint64 // how many of the entry's events are done with then
	last   bool   // of its entry
}

// read returns the next events of all shards: each shard's in its order, and
// all by time. It ends where a shard may have more that comes between.
func (w *worker) read(ctx context.Context) ([]item, error) {
	lists := make([][]Entry, w.o.Source.Shards())
	full := make([]bool, len(lists))
	for len(w.at.Shards) < len(lists) {
		w.at.Shards = append(w.at.Shards, 0)
	}
	for shard := range lists {
		list, err := w.o.Source.After(ctx, shard, w.at.Shards[shard], atOnce)
		if err != nil {
			return nil, err
		}
		lists[shard], full[shard] = list, len(list) == atOnce
	}
	var out []item
	for {
		first := -1
		for shard, list := range lists {
			if len(list) > 0 && (first < 0 || list[0].At.Before(lists[first][0].At)) {
				first = shard
			}
		}
		if first < 0 {
			return out, nil
		}
		e := lists[first][0]
		lists[first] = lists[first][1:]
		if len(e.Events) == 0 {
			out = append(out, item{shard: first, seq: e.Seq, last: true})
		}
		for i, ev := range e.Events {
			out = append(out, item{event: ev, shard: first, seq: e.Seq, within: uint64(i) + 1, last: i == len(e.Events)-1})
		}
		if len(lists[first]) == 0 && full[first] {
			return out, nil
		}
	}
}

// take sends the event, if the subscription wants it, until it is taken or
// laid aside, and moves the cursor on. It reports false when ctx ended.
func (w *worker) take(ctx context.Context, it item) bool {
	if w.wants(it) {
		if !w.deliver(ctx, it.event) {
			return false
		}
	}
	if it.last {
		w.at.Shards[it.shard] = it.seq
		delete(w.at.Within, it.shard)
	} else {
		if w.at.Within == nil {
			w.at.Within = map[int]uint64{}
		}
		w.at.Within[it.shard] = max(it.within, w.at.Within[it.shard]) // what is skipped was done with before
	}
	w.moved = true
	if w.o.Now().Sub(w.saved) >= saveEvery {
		w.save()
	}
	return true
}

func (w *worker) wants(it item) bool {
	if it.event.Type == "" || it.within <= w.at.Within[it.shard] || it.event.Time.Before(w.at.Since) {
		return false
	}
	var d fairway.EventData
	_ = json.Unmarshal(it.event.Data, &d) // data of others may be anything
	return w.sub.Wants(it.event, d)
}

// deliver reports false when ctx ended before the event was done with.
func (w *worker) deliver(ctx context.Context, e fairway.Event) bool {
	began, wait := w.o.Now(), w.o.Wait
	for tries := 1; ; tries++ {
		f := w.attempt(ctx, e)
		if ctx.Err() != nil && f != nil {
			return false
		}
		if f == nil {
			w.note(func() { w.sent++; w.tried, w.failed, w.next = 0, "", time.Time{} })
			w.o.Observe(w.sub.ID, "sent")
			return true
		}
		w.o.Observe(w.sub.ID, "failed")
		s := w.sub
		old := w.o.Now().Sub(began) >= time.Duration(s.MaxAgeSeconds)*time.Second
		if tries >= s.Tries || old || f.never && tries >= min(3, s.Tries) {
			return w.layAside(ctx, Dead{Event: e, Reason: f.reason, Tries: tries, At: w.o.Now().UTC()})
		}
		d := max(f.after, wait/2+rand.N(wait/2+1))
		wait = min(2*wait, w.o.MaxWait)
		w.o.Logger.Debug("an event was not taken", "subscription", s.ID, "event", e.ID, "shkeptncontext", e.Context, "try", tries, "again", d, "error", f.reason)
		w.note(func() { w.tried, w.failed, w.next = tries, f.reason, w.o.Now().Add(d).UTC() })
		if !pause(ctx, d) {
			return false
		}
	}
}

func (w *worker) attempt(ctx context.Context, e fairway.Event) *failure {
	w.mu.Lock()
	if w.client == nil {
		w.client = client(w.sub.Private)
	}
	c, k := w.client, w.kept
	w.mu.Unlock()
	now := w.o.Now()
	return send(ctx, c, w.sub.URL, k.secrets(now), Outgoing{e, w.o.Traceparent(e)}, now)
}

// layAside keeps the event until it is sent again or the bound is reached. It
// is tried until the disk takes it: only then the cursor may move on.
func (w *worker) layAside(ctx context.Context, d Dead) bool {
	for {
		dropped, err := w.files.layAside(d)
		if err == nil {
			w.o.Logger.Warn("an event was laid aside; send it again: fairway subscription replay "+string(w.sub.ID),
				"subscription", w.sub.ID, "event", d.Event.ID, "type", d.Event.Type, "shkeptncontext", d.Event.Context, "tries", d.Tries, "error", d.Reason)
			w.o.Observe(w.sub.ID, "dead")
			names, _ := w.files.dead() // a count for people
			w.note(func() {
				w.aside, w.tried, w.failed, w.next = len(names), 0, d.Reason, time.Time{}
				w.dropped += uint64(dropped)
			})
			return true
		}
		w.o.Logger.Error("an event cannot be laid aside; it is tried again", "subscription", w.sub.ID, "event", d.Event.ID, "error", err)
		if !pause(ctx, saveEvery) {
			return false
		}
	}
}

// replayDead marks all that was laid aside to be sent once more.
func (w *worker) replayDead() error {
	names, err := w.files.dead()
	if err != nil {
		return err
	}
	if len(names) == 0 {
		return fairway.Errorf(fairway.KindRefused, "no event of subscription %s was laid aside; to send stored events again: --since 1h", w.sub.ID)
	}
	for _, name := range names {
		var d Dead
		if ok, err := w.files.load(name, &d); err != nil || !ok {
			return err
		}
		d.Again = true
		if err := w.files.save(name, d); err != nil {
			return err
		}
	}
	return nil
}

// sendDead sends what was marked, each until it is taken or laid aside again.
func (w *worker) sendDead(ctx context.Context) {
	names, err := w.files.dead()
	for _, name := range names {
		var d Dead
		ok, loadErr := w.files.load(name, &d)
		if err = loadErr; err != nil || !ok || !d.Again {
			continue
		}
		if !w.deliver(ctx, d.Event) {
			return
		}
		var now Dead // laid aside again, it is not marked
		if _, err = w.files.load(name, &now); err == nil && now.Again {
			err = w.files.remove(name)
		}
		w.note(func() { w.aside = countDead(w.files) })
	}
	if err != nil {
		w.o.Logger.Error("events that were laid aside cannot be sent again", "subscription", w.sub.ID, "error", err)
	}
}

func countDead(f files) int {
	names, _ := f.dead()
	return len(names)
}

// save stores the cursor. It matters only to send less again.
func (w *worker) save() {
	if !w.moved {
		return
	}
	if err := w.files.save(cursorFile, w.at); err != nil {
		w.o.Logger.Error("how far a subscription has come cannot be stored; a restart would send events again", "subscription", w.sub.ID, "error", err)
		return
	}
	w.saved, w.moved = w.o.Now(), false
}

// pause waits, and reports false when ctx ends first.
func pause(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
		return true
	}
}
