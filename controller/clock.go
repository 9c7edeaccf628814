package controller

import (
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/fairwaycd/fairway/sequence"
)

const (
	// clockJump is by how much the wall clock and the steady one may come apart
	// between two beats without being taken for a clock that was set, or for a
	// machine that slept.
	clockJump = 2 * time.Second
	// beatEvery is how often a process that runs notices that it does, and
	// standstill after what time without that it did not run.
	beatEvery  = 500 * time.Millisecond
	standstill = 4 * time.Second
)

// pulse notices when time did not pass evenly: the clock was set, the machine
// slept, or the process stood still. Deadlines are stored as times of the wall
// clock, so that they hold over a restart; a clock that is set forward would
// end every step at once. And a test has a gap in its samples then, or times
// that go back. So it counts as a restart does.
type pulse struct {
	log *slog.Logger

	mu     sync.Mutex
	last   time.Time
	upsets int
	what   string // was the latest one
}

// beat looks what has passed since the last beat, and returns how many upsets
// there were so far and what the latest was. now has to have a steady reading,
// as time.Now gives it.
func (p *pulse) beat(now time.Time) (upsets int, what string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	steady := now.Sub(p.last)
	set := now.Round(0).Sub(p.last.Round(0)) - steady
	first := p.last.IsZero()
	p.last = now
	switch {
	case first:
		return p.upsets, p.what
	case set.Abs() >= clockJump:
		p.what = "the clock was set"
	case steady >= standstill:
		p.what = fmt.Sprintf("Fairway stood still for %s", steady.Round(time.Second))
	default:
		return p.upsets, p.what
	}
	p.upsets++
	p.log.Warn(p.what+"; what is under way gets its full time, and tests run again", "set", set, "passed", steady)
	return p.upsets, p.what
}

// keepBeating is the goroutine that shows that the process runs.
func (c *Controller) keepBeating() {
	tick := time.NewTicker(beatEvery)
	defer tick.Stop()
	for {
		c.pulse.beat(time.Now())
		select {
		case <-c.ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// followClock asks the pulse before anything is decided, and treats an upset
// as a restart of what is under way.
func (s *shard) followClock() {
	upsets, what := s.c.pulse.beat(time.Now()) // real time, also where the one of decisions is not
	if upsets == s.upsets {
		return
	}
	s.upsets = upsets
	for k, snap := range s.states {
		if len(snap.State.Pending) > 0 {
			s.decide(k, sequence.Input{Restart: &sequence.Restart{Epoch: s.epoch, Cause: what}}, "")
		}
	}
}
