package controller

import (
	"time"

	"github.com/fairwaycd/fairway/sequence"
)

// clockJump is by how much the wall clock and the steady one may come apart
// between two looks without being taken for a clock that was set, or for a
// machine that slept.
const clockJump = 2 * time.Second

// followClock looks whether the clock was set since the last look. Deadlines
// are stored as times of the wall clock, so that they hold over a restart; set
// forward, it would end every step at once, and a test's samples have a gap in
// them or go back. So what is under way gets its full time, and tests run
// again, as after a restart.
func (s *shard) followClock() {
	now := s.c.Now()
	by := now.Round(0).Sub(s.asked.Round(0)) - now.Sub(s.asked) // wall less steady
	s.asked = now
	if by.Abs() < clockJump {
		return
	}
	s.c.Logger.Warn("the clock was set, or the machine slept; what is under way gets its full time and tests run again", "shard", s.n, "by", by)
	for k, snap := range s.states {
		if len(snap.State.Pending) > 0 {
			s.decide(k, sequence.Input{Restart: &sequence.Restart{Epoch: s.epoch, ClockSet: true}}, "")
		}
	}
}
