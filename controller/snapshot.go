package controller

import (
	"context"
	"encoding/json"
	"time"
)

// snapshots saves what has changed, every now and then. Snapshots are a
// cache: what they lack is replayed from the log.
func (c *Controller) snapshots() {
	t := time.NewTicker(c.SnapshotEvery)
	defer t.Stop()
	for {
		select {
		case <-c.ctx.Done():
			return
		case <-t.C:
		}
		for _, s := range c.shards {
			done := make(chan struct{})
			select {
			case s.saves <- done:
			case <-c.ctx.Done():
				return
			}
			select {
			case <-done:
			case <-c.ctx.Done():
				return
			}
		}
	}
}

// save stores the shard's changed states and ended deliveries, then the floor
// up to which they are complete. A failure is repaired by the next one.
func (s *shard) save(ctx context.Context) {
	if len(s.dirty) == 0 && len(s.ended) == 0 {
		return
	}
	if err := s.trySave(ctx); err != nil && ctx.Err() == nil {
		s.c.Logger.Warn("snapshots could not be saved and are tried again", "shard", s.n, "error", err)
	}
}

func (s *shard) trySave(ctx context.Context) error {
	for k := range s.dirty {
		body, err := json.Marshal(s.states[k])
		if err != nil {
			return err
		}
		if err := s.c.Log.SaveState(ctx, k.project, k.name, body); err != nil {
			return err
		}
		delete(s.dirty, k)
	}
	for len(s.ended) > 0 {
		body, err := json.Marshal(s.ended[0])
		if err != nil {
			return err
		}
		if err := s.c.Log.SaveEnded(ctx, s.ended[0], body); err != nil {
			return err
		}
		s.ended = s.ended[1:]
	}
	body, err := json.Marshal(floor{Seq: s.last, Epoch: s.epoch})
	if err != nil {
		return err
	}
	if err := s.c.Log.SaveFloor(ctx, s.n, body); err != nil {
		return err
	}
	s.saved = s.last
	return nil
}
