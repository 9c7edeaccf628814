package controller

import (
	"slices"
	"time"
)

// How long the shard waits before it tries a held service again.
const (
	laneWait    = 100 * time.Millisecond
	laneWaitMax = 5 * time.Second
)

// lanes are the inputs of services whose project could not be read. A service
// with one input in its lane gets all later ones into it, so that their order
// stays; the other services of the shard go on. What is held is not
// acknowledged and comes again after a restart, or after the queue's patience
// has ended: then the newer copy, whose acknowledgement still counts, replaces
// the older.
type lanes struct {
	held  map[service][]queued
	wait  time.Duration
	timer *time.Timer
}

func newLanes() *lanes {
	t := time.NewTimer(time.Hour)
	t.Stop()
	return &lanes{held: map[service][]queued{}, wait: laneWait, timer: t}
}

// hold puts the input where its sequence belongs.
func (l *lanes) hold(k service, q queued) {
	if len(l.held) == 0 {
		l.wait = laneWait
		l.timer.Reset(l.wait)
	}
	at, found := slices.BinarySearchFunc(l.held[k], q.Seq, func(x queued, seq uint64) int {
		switch {
		case x.Seq < seq:
			return -1
		case x.Seq > seq:
			return 1
		}
		return 0
	})
	if found {
		l.held[k][at] = q
		return
	}
	l.held[k] = slices.Insert(l.held[k], at, q)
}

// tryLanes decides what is held and can be read by now. Every project is asked
// about once.
func (s *shard) tryLanes() {
	l := s.lanes
	unread := map[service]bool{}
	for k, all := range l.held {
		project := service{project: k.project}
		for len(all) > 0 && !unread[project] && s.c.ctx.Err() == nil {
			if !s.settle(k, all[0]) {
				unread[project] = true
				break
			}
			all = all[1:]
		}
		if len(all) == 0 {
			delete(l.held, k)
		} else {
			l.held[k] = all
		}
	}
	if len(l.held) > 0 {
		l.wait = min(2*l.wait, laneWaitMax)
		l.timer.Reset(l.wait)
	}
}
