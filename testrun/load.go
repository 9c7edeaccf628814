package testrun

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"
)

// load is a performance test under way: users who send the same list of
// requests, each waiting for its answers.
type load struct {
	spec   Performance
	send   func(ctx context.Context, c Call) outcome
	tally  *tally
	active atomic.Int64 // users who have started and not ended
}

func newLoad(spec Performance, send func(context.Context, Call) outcome) *load {
	l := &load{spec: spec, send: send, tally: newTally()}
	// A test that ends by its duration does not know how many requests are
	// still to come, and how many errors they could outweigh: planned is 0.
	l.tally.planned, l.tally.limit = spec.planned(), spec.Limits.Errors
	return l
}

// errDecided ends a test whose error limit can no longer be kept. A hung
// service would otherwise be asked for hours.
var errDecided = errors.New("the error limit cannot be kept any more")

// run returns when the last user has ended: all iterations done, the duration
// over, the error limit broken beyond repair (reported as true), or ctx
// ended.
func (l *load) run(ctx context.Context) (early bool) {
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	start := time.Now()
	var users sync.WaitGroup
	for i := range l.spec.Users {
		users.Go(func() {
			if !l.user(ctx, start, l.offset(i)) {
				stop(errDecided)
			}
		})
	}
	users.Wait()
	return context.Cause(ctx) == errDecided
}

// offset returns how long after the test's start user i starts.
func (l *load) offset(i int) time.Duration {
	return l.spec.RampUp * time.Duration(i) / time.Duration(l.spec.Users)
}

// user sends the list again and again. It returns false when the test is
// decided.
func (l *load) user(ctx context.Context, start time.Time, offset time.Duration) bool {
	if !pause(ctx, offset) {
		return true
	}
	l.active.Add(1)
	defer l.active.Add(-1)
	for first, round := true, 0; l.spec.Iterations == 0 || round < l.spec.Iterations; round++ {
		for _, c := range l.spec.Requests {
			if !first && !l.think(ctx, start) {
				return true
			}
			first = false
			o := l.send(ctx, c)
			if ctx.Err() != nil {
				return true
			}
			if !l.tally.add(o) {
				return false
			}
		}
	}
	return true
}

// think waits between two requests. It returns false when no further request
// is to be sent, at once if that is certain already.
func (l *load) think(ctx context.Context, start time.Time) bool {
	if l.spec.Duration > 0 && time.Since(start)+l.spec.Think >= l.spec.Duration {
		return false
	}
	return pause(ctx, l.spec.Think)
}

// pause waits for d; it returns false when ctx ended.
func pause(ctx context.Context, d time.Duration) bool {
	if d <= 0 {
		return ctx.Err() == nil
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
