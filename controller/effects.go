package controller

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
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
	running map[service]map[string]context.CancelCauseFunc
	causes  map[string]error // why an effect is being tried again, by its key
	wg      sync.WaitGroup
	tests   chan struct{}
	others  chan struct{}
}

var errNoLongerPending = errors.New("the delivery has moved on")

func newEffects(c *Controller) *effects {
	return &effects{
		c: c, running: map[service]map[string]context.CancelCauseFunc{}, causes: map[string]error{},
		tests: make(chan struct{}, c.MaxTests), others: make(chan struct{}, c.MaxEffects),
	}
}

// cause returns why the effect is being tried again, or "".
func (f *effects) cause(key string) string {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.causes[key]; err != nil {
		return err.Error()
	}
	return ""
}

func (f *effects) setCause(key string, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err == nil {
		delete(f.causes, key)
		return
	}
	f.causes[key] = err
}

func (f *effects) wait() { f.wg.Wait() }

func (f *effects) sync(k service, st *sequence.State) {
	f.mu.Lock()
	defer f.mu.Unlock()
	now := f.running[k]
	wanted := map[string]bool{}
	for _, e := range st.Pending {
		key := e.Key()
		wanted[key] = true
		if now[key] != nil || f.c.ctx.Err() != nil {
			continue
		}
		if now == nil {
			now = map[string]context.CancelCauseFunc{}
			f.running[k] = now
		}
		ctx, cancel := context.WithCancelCause(f.c.ctx)
		now[key] = cancel
		f.wg.Go(func() { f.perform(ctx, k, e) })
	}
	for key, cancel := range now {
		if !wanted[key] {
			cancel(errNoLongerPending)
			delete(now, key)
		}
	}
	if len(now) == 0 {
		delete(f.running, k)
	}
}

// perform runs one effect to its end, trying again what may go away, and
// hands the result over. A cancelled effect has no result.
func (f *effects) perform(ctx context.Context, k service, e sequence.Effect) {
	slots := f.others
	if e.Step == fairway.StepTest {
		slots = f.tests
	}
	select {
	case slots <- struct{}{}:
		defer func() { <-slots }()
	case <-ctx.Done():
		return
	}
	wait := 100 * time.Millisecond
	defer f.setCause(e.Key(), nil)
	for ctx.Err() == nil {
		r, err := f.once(ctx, k, e)
		if err == nil {
			r.Key = e.Key()
			f.c.fromEffect(k, r)
			return
		}
		if ctx.Err() != nil {
			return
		}
		log := f.c.Logger.With("project", k.project, "service", k.name, "keptnContext", e.Delivery, "stage", e.Stage, "step", e.Step, "attempt", e.Attempt)
		if !fairway.IsRetryable(err) {
			log.Warn("a step failed", "error", err)
			f.c.fromEffect(k, sequence.Result{Key: e.Key(), Reason: err.Error(), Refused: fairway.KindOf(err) == fairway.KindRefused})
			return
		}
		log.Warn("a step failed and is tried again", "error", err, "in", wait)
		f.setCause(e.Key(), err)
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
		Delivery: w.e.Delivery, Key: w.e.Key(),
	}
}

func (w work) subject(attempt int) fairway.Subject {
	return fairway.Subject{
		Project: w.service.project, Stage: w.e.Stage, Place: w.place, Delivery: w.e.Delivery,
		Attempt: attempt, Version: w.e.Artifact.Tag,
	}
}
