package controller

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/fairwaycd/fairway"
	"github.com/fairwaycd/fairway/sequence"
)

// shard is the decider of a part of the services. Its fields below loop
// belong to the goroutine of run.
type shard struct {
	c     *Controller
	n     int
	in    chan queued
	inbox *mailbox

	states   map[service]*snapshot
	dirty    map[service]bool
	timed    map[service]time.Time // services with deadlines: when the earliest is
	ended    []fairway.Delivery
	last     uint64 // the log's last sequence
	saved    uint64 // the floor that is stored
	epoch    uint64
	number   uint64
	deadline *time.Timer
	saves    chan chan struct{}
}

// recentRecords is how many records of each shard are read at a start for
// their events alone.
const recentRecords = 200

// queued is an input from the queue; done is closed when it is decided.
type queued struct {
	fairway.QueuedInput
	done chan struct{}
}

func newShard(c *Controller, n int) *shard {
	t := time.NewTimer(time.Hour)
	t.Stop()
	return &shard{
		c: c, n: n, in: make(chan queued), inbox: newMailbox(), states: map[service]*snapshot{},
		dirty: map[service]bool{}, timed: map[service]time.Time{}, deadline: t, saves: make(chan chan struct{}),
	}
}

// takeOver loads the shard's states, replays what the snapshots lack, and
// fences off whoever owned the shard before.
func (s *shard) takeOver(ctx context.Context, all map[service]*snapshot) error {
	for k, snap := range all {
		if s.c.Log.Shard(k.project, k.name) == s.n {
			s.states[k] = snap
		}
	}
	var f floor
	if b, err := s.c.Log.Floor(ctx, s.n); err != nil {
		return err
	} else if b != nil {
		if err := json.Unmarshal(b, &f); err != nil {
			return fmt.Errorf("the floor cannot be read: %w", err)
		}
	}
	s.saved, s.epoch = f.Seq, f.Epoch
	last, err := s.c.Log.Last(ctx, s.n)
	if err != nil {
		return err
	}
	s.last = last
	// A little more than necessary is read, so that the latest events are known.
	if from := min(f.Seq, max(last, recentRecords)-recentRecords) + 1; from <= last {
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

func (s *shard) replayed(e fairway.LogEntry) error {
	r, err := decodeRecord(e)
	if err != nil {
		return err
	}
	s.last, s.epoch = max(s.last, e.Seq), max(s.epoch, r.Epoch)
	s.c.View.addEvents(r.Events)
	if r.State == nil || e.Seq <= s.saved {
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

// post hands an input over that is not in the queue.
func (s *shard) post(k service, in sequence.Input) { s.inbox.put(k, in) }

// consume feeds the queue's inputs to the loop, one after the other.
func (s *shard) consume() {
	for s.c.ctx.Err() == nil {
		err := s.c.Log.Inputs(s.c.ctx, s.n, func(in fairway.QueuedInput) {
			q := queued{in, make(chan struct{})}
			select {
			case s.in <- q:
			case <-s.c.ctx.Done():
				return
			}
			select {
			case <-q.done:
			case <-s.c.ctx.Done():
			}
		})
		if s.c.ctx.Err() != nil {
			return
		}
		s.c.Logger.Error("reading the queue failed and is tried again", "shard", s.n, "error", err)
		pause(s.c.ctx, time.Second)
	}
}

// run is the loop of the shard.
func (s *shard) run() {
	for {
		select {
		case <-s.c.ctx.Done():
			return
		case q := <-s.in:
			s.fromQueue(q)
			close(q.done)
		case <-s.inbox.ready:
			for _, m := range s.inbox.take() {
				s.decide(m.service, m.input, "")
			}
		case <-s.deadline.C:
			s.fireDeadlines()
		case done := <-s.saves:
			s.save(s.c.ctx)
			close(done)
		}
	}
}

func (s *shard) fromQueue(q queued) {
	var env envelope
	if err := json.Unmarshal(q.Body, &env); err != nil {
		// It was checked before it was stored; what cannot be read now was
		// written by another version. It must not block the service for ever.
		s.c.Logger.Error("an input of the queue cannot be read and is dropped", "project", q.Project, "service", q.Service, "seq", q.Seq, "error", err)
		s.ack(q)
		return
	}
	k := service{q.Project, q.Service}
	env.Input.Seq = q.Seq
	if a := env.Input.Artifact; a != nil {
		plan, err := s.c.Configuration.Plan(s.c.ctx, k.project, k.name)
		if s.c.ctx.Err() != nil {
			return
		}
		a.Plan = plan
		if err != nil {
			a.PlanError = err.Error()
		}
	}
	if s.decide(k, env.Input, env.Token) {
		s.ack(q)
	}
}

func (s *shard) ack(q queued) {
	s.c.Failpoint("input.before-ack")
	if err := q.Ack(); err != nil {
		s.c.Logger.Warn("an input was decided but not acknowledged; it comes again and is ignored then", "seq", q.Seq, "error", err)
	}
}

// decide asks the engine and stores its answer. It reports whether the input
// is settled; false means that the controller is stopping.
func (s *shard) decide(k service, in sequence.Input, token string) bool {
	snap := s.states[k]
	if snap == nil {
		snap = &snapshot{State: &sequence.State{Project: k.project, Service: k.name}}
	}
	d := sequence.Decide(snap.State, in, s.c.Now())
	if !d.Changed {
		s.c.waiters.tell(token, d)
		if in.Restart != nil {
			s.c.effects.sync(k, snap.State)
			s.clock(k)
		}
		return true
	}
	seq, ok := s.append(k, d)
	if !ok {
		return false
	}
	s.states[k] = &snapshot{Seq: seq, State: d.State}
	s.dirty[k] = true
	s.ended = append(s.ended, d.Ended...)
	s.c.View.apply(d)
	s.logDecision(k, d)
	s.c.waiters.tell(token, d)
	s.c.effects.sync(k, d.State)
	s.clock(k)
	return true
}

func (s *shard) logDecision(k service, d sequence.Decision) {
	s.c.Logger.Info(d.Reason, "project", k.project, "service", k.name, "keptnContext", d.Delivery)
}

// append stores the decision, however long that takes: nothing else of the
// shard can be decided before.
func (s *shard) append(k service, d sequence.Decision) (uint64, bool) {
	s.number++
	rec := Record{Epoch: s.epoch, Number: s.number, Reason: d.Reason, Events: d.Events, Ended: d.Ended, State: d.State}
	e := fairway.LogEntry{Project: k.project, Service: k.name, Delivery: d.Delivery, Body: rec.encode()}
	wait := 50 * time.Millisecond
	for {
		s.c.Failpoint("record.before-append")
		seq, err := s.c.Log.Append(s.c.ctx, s.n, e, s.last)
		if err == nil {
			s.c.Failpoint("record.after-append")
			s.last = seq
			s.c.View.setTrouble("log", nil)
			return seq, true
		}
		if s.c.ctx.Err() != nil {
			return 0, false
		}
		if errors.Is(err, fairway.ErrFenced) {
			if seq, ok := s.foundOwn(rec); ok {
				s.last = seq
				return seq, true
			}
			err = fmt.Errorf("another process writes to the log of shard %d; this one stops deciding there: %w", s.n, err)
			s.c.View.setTrouble("log", err)
			s.c.Logger.Error("lost a shard", "error", err)
			<-s.c.ctx.Done()
			return 0, false
		}
		s.c.View.setTrouble("log", err)
		s.c.Logger.Error("a decision cannot be stored and is tried again", "project", k.project, "service", k.name, "error", err)
		pause(s.c.ctx, wait)
		wait = min(2*wait, 5*time.Second)
	}
}

// foundOwn looks for the record at the log's tail: an append whose answer was
// lost has succeeded.
func (s *shard) foundOwn(rec Record) (seq uint64, ok bool) {
	err := s.c.Log.Replay(s.c.ctx, s.n, s.last+1, func(e fairway.LogEntry) error {
		r, err := decodeRecord(e)
		if err != nil {
			return err
		}
		seq, ok = e.Seq, r.Epoch == rec.Epoch && r.Number == rec.Number
		return nil
	})
	if err != nil {
		s.c.Logger.Error("the log's tail cannot be read", "shard", s.n, "error", err)
		return 0, false
	}
	return seq, ok
}

// clock notes when the service's earliest deadline is, and arms the timer.
func (s *shard) clock(k service) {
	now := s.c.Now()
	var next time.Time
	for _, l := range s.states[k].State.Deadlines {
		if at := s.c.effects.due(k, l, now); next.IsZero() || at.Before(next) {
			next = at
		}
	}
	if next.IsZero() {
		delete(s.timed, k)
	} else {
		s.timed[k] = next
	}
	s.arm()
}

// arm sets the timer to the earliest deadline of the shard.
func (s *shard) arm() {
	var next time.Time
	for _, at := range s.timed {
		if next.IsZero() || at.Before(next) {
			next = at
		}
	}
	s.deadline.Stop()
	if !next.IsZero() {
		s.deadline.Reset(max(next.Sub(s.c.Now()), 0) + time.Millisecond)
	}
}

// fireAgain is when a deadline is told again that could not be decided.
const fireAgain = time.Minute

func (s *shard) fireDeadlines() {
	now := s.c.Now()
	for k, at := range s.timed {
		if at.After(now) {
			continue
		}
		next := now.Add(fireAgain)
		for _, l := range s.states[k].State.Deadlines {
			if at := s.c.effects.due(k, l, now); at.After(now) {
				next = earlier(next, at)
				continue
			}
			s.post(k, sequence.Input{Timer: &sequence.Timer{Key: l.Key, Cause: s.c.effects.cause(k, l.Key)}})
		}
		s.timed[k] = next
	}
	s.arm()
}

func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}

// pause waits for d or the end of ctx.
func pause(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}
