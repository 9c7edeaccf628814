package controller

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/fairwaycd/fairway"
	"github.com/fairwaycd/fairway/sequence"
)

// recentRecords is how many records of each shard are read at a start for
// their events alone.
const recentRecords = 200

// takeOver loads the shard's states, replays what the snapshots lack, and
// fences off whoever owned the shard before.
func (s *shard) takeOver(ctx context.Context, all map[service]*snapshot) error {
	last, err := s.c.Log.Last(ctx, s.n)
	if err != nil {
		return err
	}
	s.last = last
	if err := s.loadFloor(ctx); err != nil {
		return err
	}
	for k, snap := range all {
		if s.c.Log.Shard(k.project, k.name) == s.n {
			s.load(k, snap)
		}
	}
	// A little more than necessary is read, so that the latest events are known.
	if from := min(s.floor, max(last, recentRecords)-recentRecords) + 1; from <= last {
		if err := s.c.Log.Replay(ctx, s.n, from, s.replayed); err != nil {
			return err
		}
	}
	s.epoch++
	rec := Record{Epoch: s.epoch, Reason: "took over"}
	seq, err := s.c.Log.Append(ctx, s.n, fairway.LogEntry{Project: "_", Service: "_", Body: rec.encode()}, s.last)
	if err != nil {
		return err
	}
	s.last = seq
	for k, snap := range s.states {
		s.c.View.setService(snap.State)
		s.resume(k, snap)
	}
	return nil
}

// loadFloor reads how far the snapshots reach. Where the log has lost its end
// (in a power cut, when writes were not synced, or because an older copy of it
// was put back), they reach further than the log does; then all of the log is
// replayed, and they are written anew.
func (s *shard) loadFloor(ctx context.Context) error {
	b, err := s.c.Log.Floor(ctx, s.n)
	if err != nil || b == nil {
		return err
	}
	var f floor
	if err := json.Unmarshal(b, &f); err != nil {
		return fmt.Errorf("the floor cannot be read: %w", err)
	}
	s.floor, s.epoch = f.Seq, f.Epoch
	if f.Seq > s.last {
		s.c.Logger.Error("the log has lost its end; what it lacks is forgotten", "shard", s.n, "last", s.last, "snapshots", f.Seq)
		s.floor, s.stale = 0, true
	}
	return nil
}

// load takes a snapshot, or forgets one of what the log has lost: it would
// pass for a valid one when the log has grown again. The one before it was
// overwritten, so that all of the log has to be replayed then.
func (s *shard) load(k service, snap *snapshot) {
	if snap.Seq > s.last {
		snap = &snapshot{State: &sequence.State{Project: k.project, Service: k.name}}
		s.dirty[k] = true
		s.floor = 0
	}
	s.states[k] = snap
}

func (s *shard) replayed(e fairway.LogEntry) error {
	r, err := decodeRecord(e)
	if err != nil {
		return err
	}
	s.last, s.epoch = max(s.last, e.Seq), max(s.epoch, r.Epoch)
	s.c.View.addEvents(r.Events)
	if r.State == nil || e.Seq <= s.floor {
		return nil
	}
	k := service{e.Project, e.Service}
	if old := s.states[k]; old == nil || old.Seq < e.Seq {
		s.states[k] = &snapshot{Seq: e.Seq, State: r.State}
		s.dirty[k] = true
	}
	s.ended = append(s.ended, r.Ended...)
	for _, d := range r.Ended {
		s.c.View.setEnded(d)
	}
	return nil
}

// resume asks the engine what the restart means for the service. Effects and
// deadlines start once the loop runs.
func (s *shard) resume(k service, snap *snapshot) {
	s.post(k, sequence.Input{Restart: &sequence.Restart{Epoch: s.epoch}})
}
