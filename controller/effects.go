package controller

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"slices"
	"sync"
	"time"

	"github.com/fairwaycd/fairway"
	"github.com/fairwaycd/fairway/sequence"
)

// effects performs what states hold as pending. sync is told every new state
// of a service: it starts what is new and cancels what is gone.
type effects struct {
	c       *Controller
	mu      sync.Mutex
	running map[service]map[string]*effort // by the effect's key
	leaving map[spot][]*effort             // cancelled, and not returned yet
	wg      sync.WaitGroup
	tests   chan struct{}
	others  chan struct{}
}

// spot is where effects must not overlap: two of them would move the same
// traffic or start in the same place.
type spot struct {
	service service
	stage   fairway.StageName
}

// effort is one effect being performed. The last three fields are guarded by
// effects.mu.
type effort struct {
	e      sequence.Effect
	spot   spot
	cancel context.CancelCauseFunc
	done   chan struct{} // closed when it has returned
	cause  error         // why it is not done yet
	queued time.Time     // since when it waits for a slot; zero when it does not
	waited time.Duration // how long it has waited for its slot, or for room on the disk
}

var errNoLongerPending = errors.New("the delivery has moved on")

func newEffects(c *Controller) *effects {
	return &effects{
		c: c, running: map[service]map[string]*effort{}, leaving: map[spot][]*effort{},
		tests: make(chan struct{}, c.MaxTests), others: make(chan struct{}, c.MaxEffects),
	}
}

// cause returns why the effect is not done yet, or "".
func (f *effects) cause(k service, key string) string {
	f.mu.Lock()
	defer f.mu.Unlock()
	if w := f.running[k][key]; w != nil && w.cause != nil {
		return w.cause.Error()
	}
	return ""
}

func (f *effects) setCause(w *effort, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	w.cause = err
}

// due returns when the deadline really is: the time in which its effect waited
// for a slot does not count, since a step is not to fail because others are
// busy.
func (f *effects) due(k service, l sequence.Deadline, now time.Time) time.Time {
	f.mu.Lock()
	defer f.mu.Unlock()
	w := f.running[k][l.Key]
	switch {
	case w == nil:
		return l.At
	case w.queued.IsZero():
		return l.At.Add(w.waited)
	}
	at := l.At.Add(now.Sub(w.queued))
	if soon := now.Add(time.Second); at.Before(soon) {
		return soon
	}
	return at
}

// credit gives the steps of a shard that are under way the time back in which
// nothing could be stored.
func (f *effects) credit(shard int, d time.Duration) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for k, efforts := range f.running {
		if f.c.Log.Shard(k.project, k.name) != shard {
			continue
		}
		for _, w := range efforts {
			w.waited += d
		}
	}
}

func (f *effects) wait() { f.wg.Wait() }

func (f *effects) sync(k service, st *sequence.State) {
	f.mu.Lock()
	defer f.mu.Unlock()
	now := f.running[k]
	if now == nil {
		now = map[string]*effort{}
	}
	wanted := map[string]bool{}
	for _, e := range st.Pending {
		wanted[e.Key()] = true
	}
	for key, w := range now {
		if !wanted[key] {
			w.cancel(errNoLongerPending)
			delete(now, key)
			f.leave(w)
		}
	}
	for _, e := range st.Pending {
		if now[e.Key()] == nil && f.c.ctx.Err() == nil {
			now[e.Key()] = f.begin(k, e)
		}
	}
	f.running[k] = now
	if len(now) == 0 {
		delete(f.running, k)
	}
}

// leave keeps a cancelled effort until it has returned; the caller holds the
// lock.
func (f *effects) leave(w *effort) {
	select {
	case <-w.done:
	default:
		f.leaving[w.spot] = append(f.leaving[w.spot], w)
	}
}

// begin starts the effect once those have returned that were cancelled at the
// same spot: what they still do must not come after it. The caller holds the
// lock.
func (f *effects) begin(k service, e sequence.Effect) *effort {
	ctx, cancel := context.WithCancelCause(f.c.ctx)
	w := &effort{e: e, spot: spot{k, e.Stage}, cancel: cancel, done: make(chan struct{})}
	before := f.before(w)
	if len(before) == 0 {
		w.queued = f.c.Now()
	}
	f.wg.Go(func() {
		defer f.returned(w)
		for _, b := range before {
			f.setCause(w, fmt.Errorf("the %s before it (attempt %d) was cancelled and has not returned yet", b.e.Step, b.e.Attempt))
			select {
			case <-b.done:
			case <-ctx.Done():
				return
			}
		}
		f.setCause(w, nil)
		f.perform(ctx, k, w)
	})
	return w
}

// before returns the cancelled efforts that w has to wait for: those at its
// spot, or, for one that is about all stages, all of its service.
func (f *effects) before(w *effort) []*effort {
	if w.e.Step != fairway.StepRemove {
		return slices.Clone(f.leaving[w.spot])
	}
	var all []*effort
	for s, left := range f.leaving {
		if s.service == w.spot.service {
			all = append(all, left...)
		}
	}
	return all
}

func (f *effects) returned(w *effort) {
	w.cancel(nil)
	f.mu.Lock()
	defer f.mu.Unlock()
	close(w.done)
	f.leaving[w.spot] = slices.DeleteFunc(f.leaving[w.spot], func(o *effort) bool { return o == w })
	if len(f.leaving[w.spot]) == 0 {
		delete(f.leaving, w.spot)
	}
}

// slot waits for the right to work; ok is false when ctx ended first.
func (f *effects) slot(ctx context.Context, w *effort) (release func(), ok bool) {
	slots := f.others
	if w.e.Step == fairway.StepTest {
		slots = f.tests
	}
	f.mu.Lock()
	if w.queued.IsZero() {
		w.queued = f.c.Now()
	}
	f.mu.Unlock()
	defer func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		w.queued, w.waited = time.Time{}, w.waited+f.c.Now().Sub(w.queued)
	}()
	select {
	case slots <- struct{}{}:
		return func() { <-slots }, true
	case <-ctx.Done():
		return nil, false
	}
}

// perform runs one effect to its end, trying again what may go away, and
// hands the result over. A cancelled effect has no result.
func (f *effects) perform(ctx context.Context, k service, w *effort) {
	release, ok := f.slot(ctx, w)
	if !ok {
		return
	}
	defer release()
	e := w.e
	wait := 100 * time.Millisecond
	for ctx.Err() == nil {
		r, err := f.once(ctx, k, e)
		if ctx.Err() != nil {
			return
		}
		if err == nil {
			r.Key = e.Key()
			f.c.fromEffect(k, r)
			return
		}
		log := f.c.Logger.With("project", k.project, "service", k.name, "shkeptncontext", e.Delivery, "stage", e.Stage, "step", e.Step, "attempt", e.Attempt)
		if !fairway.IsRetryable(err) {
			log.Warn("a step failed", "error", err)
			f.c.fromEffect(k, sequence.Result{Key: e.Key(), Reason: err.Error(), Refused: fairway.KindOf(err) == fairway.KindRefused})
			return
		}
		log.Warn("a step failed and is tried again", "error", err, "in", wait)
		f.setCause(w, err)
		pause(ctx, wait)
		wait = min(2*wait, 10*time.Second)
	}
}

// once performs the effect; a panic in it fails the step and not the process.
func (f *effects) once(ctx context.Context, k service, e sequence.Effect) (r sequence.Result, err error) {
	defer func() {
		if p := recover(); p != nil {
			f.c.Logger.Error("a step panicked", "step", e.Step, "panic", p, "stack", string(debug.Stack()))
			err = fmt.Errorf("internal error in %s: %v", e.Step, p)
		}
	}()
	w := work{c: f.c, service: k, e: e, place: e.Place(k.name)}
	switch e.Step {
	case fairway.StepConfigure:
		return w.configure(ctx)
	case fairway.StepDeploy:
		return w.deploy(ctx)
	case fairway.StepTest:
		return w.test(ctx)
	case fairway.StepEvaluate:
		return w.evaluate(ctx)
	case fairway.StepRelease:
		return w.release(ctx)
	case fairway.StepRollback:
		return w.rollback(ctx)
	case fairway.StepRetire:
		return w.retire(ctx)
	case fairway.StepRoute:
		return w.routeByHand(ctx)
	case fairway.StepRemove:
		return w.remove(ctx)
	}
	return r, fmt.Errorf("no such step: %s", e.Step)
}

// work is one effect being performed.
type work struct {
	c       *Controller
	service service
	e       sequence.Effect
	place   fairway.Place
}

func (w work) change() Change {
	return Change{
		Project: w.service.project, Service: w.service.name, Stage: w.e.Plan, Colour: w.e.Colour,
		Delivery: w.e.Delivery, Key: w.e.Key(), Carried: w.e.Carried, Live: w.e.Live,
	}
}

func (w work) subject(attempt int) fairway.Subject {
	return fairway.Subject{
		Project: w.service.project, Stage: w.e.Stage, Place: w.place, Delivery: w.e.Delivery,
		Attempt: attempt, Version: w.e.Artifact.Tag,
	}
}
