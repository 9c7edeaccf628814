package controller

import (
	"context"
	"encoding/json"
	"fmt"
	"time"
)

// batch is what is to be saved of a shard: states and rows up to a sequence
// of the log. States are not changed after their decision, so the pointers
// can leave the loop that made them.
type batch struct {
	states map[service]*snapshot
	ended  []Row
	floor  floor
	any    bool
}

// changes hands over what has changed since it was asked last. It belongs to
// the shard's loop.
func (s *shard) changes() batch {
	b := batch{states: map[service]*snapshot{}, ended: s.ended, floor: floor{Seq: s.last, Epoch: s.epoch}}
	for k := range s.dirty {
		b.states[k] = s.states[k]
	}
	b.any = s.stale || len(b.states) > 0 || len(b.ended) > 0
	s.dirty, s.ended, s.stale = map[service]bool{}, nil, false
	return b
}

// merge adds a later batch.
func (b *batch) merge(later batch) {
	if b.states == nil {
		b.states = map[service]*snapshot{}
	}
	for k, snap := range later.states {
		b.states[k] = snap
	}
	b.ended = append(b.ended, later.ended...)
	b.floor, b.any = later.floor, b.any || later.any
}

// keep saves what the shard has changed, every now and then, and the rest when
// the loop has ended. Snapshots are a cache: what they lack is replayed from
// the log.
func (s *shard) keep() {
	t := time.NewTicker(s.c.SnapshotEvery)
	defer t.Stop()
	var b batch
	for s.c.ctx.Err() == nil {
		select {
		case <-s.c.ctx.Done():
			continue
		case <-t.C:
		}
		ask := make(chan batch, 1)
		select {
		case s.saves <- ask:
			b.merge(<-ask)
			s.save(s.c.ctx, &b)
		case <-s.c.ctx.Done():
		}
	}
	<-s.done
	b.merge(s.changes())
	s.save(context.WithoutCancel(s.c.ctx), &b)
}

func (s *shard) save(ctx context.Context, b *batch) {
	if !b.any {
		return
	}
	if err := s.trySave(ctx, b); err != nil && ctx.Err() == nil {
		s.c.Logger.Warn("snapshots could not be saved and are tried again", "shard", s.n, "error", err)
	}
}

// trySave stores the states and rows, then the floor up to which they are
// complete. What was stored leaves the batch.
func (s *shard) trySave(ctx context.Context, b *batch) error {
	for k, snap := range b.states {
		body, err := json.Marshal(snap)
		if err != nil {
			return fmt.Errorf("encode the state of %s/%s: %w", k.project, k.name, err)
		}
		s.c.Failpoint("snapshot.before-state")
		if err := s.c.Log.SaveState(ctx, k.project, k.name, body); err != nil {
			return err
		}
		delete(b.states, k)
	}
	for len(b.ended) > 0 {
		slim := b.ended[0]
		slim.Stages = nil // of what ended before the start they are read from the log
		body, err := json.Marshal(slim)
		if err != nil {
			return fmt.Errorf("encode delivery %s: %w", b.ended[0].ID, err)
		}
		s.c.Failpoint("snapshot.before-ended")
		if err := s.c.Log.SaveEnded(ctx, b.ended[0].Delivery, body); err != nil {
			return err
		}
		b.ended = b.ended[1:]
	}
	body, err := json.Marshal(b.floor)
	if err != nil {
		return fmt.Errorf("encode the floor: %w", err)
	}
	s.c.Failpoint("snapshot.before-floor")
	if err := s.c.Log.SaveFloor(ctx, s.n, body); err != nil {
		return err
	}
	b.any = false
	return nil
}
