package process

import (
	"context"
	"sync"
	"time"
)

// eager is how often a startup or readiness probe is asked before its first
// success, at least: a delivery should not wait for the rest of a period.
const eager = 200 * time.Millisecond

// outcome is what a probe's answers add up to.
type outcome int

const (
	undecided outcome = iota
	passed
	failed
)

// tally counts answers in a row against a probe's thresholds.
type tally struct {
	successes, failures int // thresholds
	good, bad           int // in a row
}

func (t *tally) add(ok bool) outcome {
	if ok {
		t.good, t.bad = t.good+1, 0
		if t.good >= t.successes {
			return passed
		}
		return undecided
	}
	t.good, t.bad = 0, t.bad+1
	if t.bad >= t.failures {
		return failed
	}
	return undecided
}

// prober asks the probes of one process and reports.
type prober struct {
	spec      *spec
	ask       func(context.Context, *probe) error
	startedAt time.Time
	// ready is told of every outcome of the readiness probe; why is nil when
	// it passed.
	ready func(ok bool, why error)
	// dead is told once, by the startup or liveness probe.
	dead func(p *probe, why error)
}

// run goes on until ctx ends or dead was told.
func (r *prober) run(ctx context.Context) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	if p := r.spec.startup; p != nil && !r.startup(ctx, p) {
		return
	}
	var wg sync.WaitGroup
	wg.Go(func() { r.readiness(ctx, r.spec.readinessOrDefault()) })
	if p := r.spec.liveness; p != nil {
		wg.Go(func() {
			r.liveness(ctx, p)
			cancel()
		})
	}
	wg.Wait()
}

// startup reports whether the probe passed; if not, ctx ended or dead was told.
func (r *prober) startup(ctx context.Context, p *probe) bool {
	t := tally{successes: p.successes, failures: p.failures}
	if !wait(ctx, r.delay(p)) {
		return false
	}
	var counted time.Time
	for {
		asked := time.Now()
		err := r.ask(ctx, p)
		if ctx.Err() != nil {
			return false
		}
		if err == nil {
			if t.add(true) == passed {
				return true
			}
		} else {
			r.ready(false, err)
			if asked.Sub(counted) >= p.period { // the eager questions in between do not count
				counted = asked
				if t.add(false) == failed {
					r.dead(p, err)
					return false
				}
			}
		}
		if !wait(ctx, min(p.period, eager)-time.Since(asked)) {
			return false
		}
	}
}

func (r *prober) readiness(ctx context.Context, p *probe) {
	t := tally{successes: p.successes, failures: p.failures}
	if !wait(ctx, r.delay(p)) {
		return
	}
	answered, isReady := false, false
	for {
		asked := time.Now()
		err := r.ask(ctx, p)
		if ctx.Err() != nil {
			return
		}
		answered = answered || err == nil
		switch outcome := t.add(err == nil); {
		case outcome == passed:
			isReady = true
			r.ready(true, nil)
		case outcome == failed || err != nil && !isReady:
			isReady = false
			r.ready(false, err)
		}
		interval := p.period
		if !answered {
			interval = min(p.period, eager)
		}
		if !wait(ctx, interval-time.Since(asked)) {
			return
		}
	}
}

func (r *prober) liveness(ctx context.Context, p *probe) {
	t := tally{successes: p.successes, failures: p.failures}
	// Not before one period of life: a program that is not yet up when it has
	// just been started would be restarted for ever.
	if !wait(ctx, max(r.delay(p), p.period-time.Since(r.startedAt))) {
		return
	}
	for {
		asked := time.Now()
		err := r.ask(ctx, p)
		if ctx.Err() != nil {
			return
		}
		if t.add(err == nil) == failed {
			r.dead(p, err)
			return
		}
		if !wait(ctx, p.period-time.Since(asked)) {
			return
		}
	}
}

// delay returns what is left of the probe's initial delay.
func (r *prober) delay(p *probe) time.Duration {
	return p.initialDelay - time.Since(r.startedAt)
}

// wait reports false when ctx ended before d had passed.
func wait(ctx context.Context, d time.Duration) bool {
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
