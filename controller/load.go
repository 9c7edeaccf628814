package controller

import "github.com/fairwaycd/fairway"

// Slots is how many effects of a kind are at work and wait for their turn.
type Slots struct {
	Slots   int `json:"slots"` // how many may work at once
	Busy    int `json:"busy"`
	Waiting int `json:"waiting"`
}

// ShardLoad is what is under way in one shard.
type ShardLoad struct {
	Services   int // that it has a state of
	Deliveries int // that have not ended
	Steps      int // that are being performed or wait for their turn
}

// Load is what is under way.
type Load struct {
	Tests  Slots
	Others Slots
	Shards []ShardLoad
}

// Load counts what is under way at this moment.
func (c *Controller) Load() Load {
	l := Load{Shards: make([]ShardLoad, c.Log.Shards())}
	c.effects.load(&l)
	c.View.load(func(p fairway.ProjectName, s fairway.ServiceName) *ShardLoad { return &l.Shards[c.Log.Shard(p, s)] })
	return l
}

func (f *effects) load(l *Load) {
	f.mu.Lock()
	defer f.mu.Unlock()
	l.Tests = Slots{Slots: cap(f.tests), Busy: len(f.tests)}
	l.Others = Slots{Slots: cap(f.others), Busy: len(f.others)}
	for k, efforts := range f.running {
		l.Shards[f.c.Log.Shard(k.project, k.name)].Steps += len(efforts)
		for _, w := range efforts {
			switch {
			case w.queued.IsZero():
			case w.e.Step == fairway.StepTest:
				l.Tests.Waiting++
			default:
				l.Others.Waiting++
			}
		}
	}
}

func (v *View) load(shard func(fairway.ProjectName, fairway.ServiceName) *ShardLoad) {
	v.mu.RLock()
	defer v.mu.RUnlock()
	for k := range v.services {
		shard(k.project, k.name).Services++
	}
	for _, r := range v.open {
		shard(r.d.Project, r.d.Service).Deliveries++
	}
}
