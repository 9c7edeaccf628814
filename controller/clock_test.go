package controller

import (
	"log/slog"
	"testing"
	"time"
)

func TestStandingStillIsAnUpset(t *testing.T) {
	t.Parallel()
	p, now := &pulse{log: slog.New(slog.DiscardHandler)}, time.Now()
	for _, c := range []struct {
		pause  time.Duration
		upsets int
		what   string
	}{{0, 0, ""}, {beatEvery, 0, ""}, {standstill - 1, 0, ""}, {time.Minute, 1, "Fairway stood still for 1m0s"}, {beatEvery, 1, "Fairway stood still for 1m0s"}} {
		now = now.Add(c.pause)
		if upsets, what := p.beat(now); upsets != c.upsets || what != c.what {
			t.Errorf("after %s: %d upsets, %q", c.pause, upsets, what)
		}
	}
}
