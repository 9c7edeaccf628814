package controller

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
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
	ended    []Row
	last     uint64 // the log's last sequence
	floor    uint64 // what the snapshots include at the start
	epoch    uint64
	number   uint64
	deadline *time.Timer
	upsets   int // of time that followClock has seen
	lanes    *lanes
	stale    bool            // the stored floor is beyond the log
	saves    chan chan batch // asks for changes
	done     chan struct{}   // closed when the loop has ended
}

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
		dirty: map[service]bool{}, timed: map[service]time.Time{}, deadline: t, lanes: newLanes(), saves: make(chan chan batch), done: make(chan struct{}),
	}
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
	defer close(s.done)
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
		case <-s.lanes.timer.C:
			s.tryLanes()
		case ask := <-s.saves: // once a second
			s.followClock()
			ask <- s.changes()
		}
	}
}

// fromQueue decides the input, or holds it with its service's others.
func (s *shard) fromQueue(q queued) {
	k := service{q.Project, q.Service}
	if s.lanes.held[k] != nil || !s.settle(k, q) {
		s.lanes.hold(k, q)
	}
}

// settle decides and acknowledges an input. It reports false when the project
// cannot be read at this moment: what was acknowledged to its sender is not
// lost because of that.
func (s *shard) settle(k service, q queued) bool {
	var env envelope
	if err := json.Unmarshal(q.Body, &env); err != nil {
		// It was checked before it was stored; what cannot be read now was
		// written by another version. It must not block the service for ever.
		s.c.Logger.Error("an input of the queue cannot be read and is dropped", "project", q.Project, "service", q.Service, "seq", q.Seq, "error", err)
		s.ack(q)
		return true
	}
	env.Input.Seq = q.Seq
	if p := env.Input.Pushed; p != nil && p.Carried != nil {
		var ok bool
		if p.Plan, p.PlanError, ok = s.plan(k); !ok {
			return false
		}
	}
	if a := env.Input.Artifact; a != nil {
		if !s.prepare(k, a) {
			return false
		}
		defer s.c.View.release(a.Context, k)
	}
	if s.decide(k, env.Input, env.Token) {
		s.ack(q)
	}
	return true
}

// prepare adds to an artifact what the engine cannot know: the plan, and
// whether a delivery of it exists that the state has forgotten. It reports
// false when the plan cannot be read.
func (s *shard) prepare(k service, a *sequence.Artifact) bool {
	var ok bool
	if a.Plan, a.PlanError, ok = s.plan(k); !ok {
		return false
	}
	if !a.Pushed {
		a.Known = a.Known || s.c.View.hasEnded(sequence.NewID(k.project, k.name, a.Source, a.EventID), k)
	}
	if a.Context != "" && !s.c.View.claim(a.Context, k) {
		a.Context = "" // it is the correlation id of another service's delivery
	}
	return true
}

// plan returns the stages that hold now, or why there are none; ok is false
// when they cannot be read.
func (s *shard) plan(k service) (plan []fairway.Stage, why string, ok bool) {
	plan, err := s.c.Configuration.Plan(s.c.ctx, k.project, k.name)
	switch fairway.KindOf(err) {
	case fairway.KindNotFound, fairway.KindInvalid, fairway.KindRefused:
		return plan, err.Error(), true
	}
	if err != nil && s.c.ctx.Err() == nil {
		s.c.Logger.Error("a project cannot be read; its inputs are held and it is tried again", "project", k.project, "service", k.name, "error", err)
	}
	return plan, "", err == nil
}

func (s *shard) ack(q queued) {
	s.c.Failpoint("input.before-ack")
	if err := q.Ack(); err != nil {
		s.c.Logger.Warn("an input was decided but not acknowledged; it comes again and is ignored then", "seq", q.Seq, "error", err)
	}
}

// state returns what is known of the service.
func (s *shard) state(k service) *sequence.State {
	if snap := s.states[k]; snap != nil {
		return snap.State
	}
	return &sequence.State{Project: k.project, Service: k.name}
}

// decide asks the engine and stores its answer. It reports whether the input
// is settled; false means that the controller is stopping.
func (s *shard) decide(k service, in sequence.Input, token string) bool {
	if in.Restart == nil {
		s.followClock()
	}
	old := s.state(k)
	d := sequence.Decide(old, in, s.c.Now())
	if !d.Changed {
		s.c.waiters.tell(token, d)
		if in.Restart != nil {
			s.c.effects.sync(k, old)
			s.clock(k)
		}
		return true
	}
	ended := s.note(old, d)
	seq, err := s.append(k, d, ended)
	switch {
	case errors.Is(err, errMoved): // what the record says of its own sequence is wrong now
		return s.decide(k, in, token)
	case errors.Is(err, fairway.ErrTooLarge):
		return s.tooLarge(k, in, token, err)
	case err != nil:
		return false
	}
	s.states[k] = &snapshot{Seq: seq, State: d.State}
	s.dirty[k] = true
	s.ended = append(s.ended, ended...)
	s.c.View.apply(d, ended)
	s.logDecision(k, d)
	s.c.waiters.tell(token, d)
	s.c.effects.sync(k, d.State)
	s.clock(k)
	return true
}

// note tells every delivery that the decision has events about, but that its
// record is not named after, where the record is going to be: the append
// succeeds at the next sequence or not at all.
func (s *shard) note(old *sequence.State, d sequence.Decision) (ended []Row) {
	elsewhere := map[fairway.DeliveryID]bool{}
	for _, e := range d.Events {
		elsewhere[e.Context] = e.Context != d.Delivery
	}
	for _, x := range d.State.Open {
		if elsewhere[x.ID] {
			x.Also = append(x.Also, s.last+1)
		}
	}
	for _, e := range d.Ended {
		r := Row{Delivery: e}
		if x := old.Find(e.ID); x != nil {
			r.Also = slices.Clone(x.Also)
		}
		if elsewhere[e.ID] {
			r.Also = append(r.Also, s.last+1)
		}
		ended = append(ended, r)
	}
	return ended
}

func (s *shard) logDecision(k service, d sequence.Decision) {
	s.c.Logger.Info(d.Reason, "project", k.project, "service", k.name, "shkeptncontext", d.Delivery)
}

// append stores the decision, however long that takes: nothing else of the
// shard can be decided before, and no step loses time by it. The error is
// [fairway.ErrTooLarge], [errMoved], or says that nothing is decided here any
// more.
func (s *shard) append(k service, d sequence.Decision, ended []Row) (uint64, error) {
	s.number++
	rec := Record{Epoch: s.epoch, Number: s.number, Reason: d.Reason, Events: d.Events, Ended: ended, State: d.State}
	e := fairway.LogEntry{Project: k.project, Service: k.name, Delivery: d.Delivery, Body: rec.encode()}
	trouble := fmt.Sprintf("log of shard %d", s.n)
	wait := 50 * time.Millisecond
	for began, tries := s.c.Now(), 0; ; tries++ {
		s.c.Failpoint("record.before-append")
		seq, err := s.c.Log.Append(s.c.ctx, s.n, e, s.last)
		if err == nil {
			s.c.Failpoint("record.after-append")
		}
		if errors.Is(err, fairway.ErrFenced) {
			seq, err = s.foundOwn(rec)
		}
		switch {
		case err == nil:
			s.last = seq
			if tries > 0 {
				s.c.View.setTrouble(trouble, nil)
				s.c.effects.credit(s.n, s.c.Now().Sub(began))
			}
			return seq, nil
		case errors.Is(err, errMoved):
			return 0, err
		case s.c.ctx.Err() != nil:
			return 0, s.c.ctx.Err()
		case errors.Is(err, fairway.ErrTooLarge):
			return 0, fmt.Errorf("a record of %d bytes: %w", len(e.Body), err)
		}
		s.c.View.setTrouble(trouble, err)
		if errors.Is(err, errLost) {
			s.c.Logger.Error("lost a shard", "shard", s.n, "error", err)
			<-s.c.ctx.Done()
			return 0, err
		}
		s.c.Logger.Error("a decision cannot be stored and is tried again", "project", k.project, "service", k.name, "error", err)
		pause(s.c.ctx, wait)
		wait = min(2*wait, 5*time.Second)
	}
}

// errMoved says that the log's last sequence has grown without an entry: a
// write that the disk had no room for, and that nobody was told of.
var errMoved = errors.New("the log has skipped a sequence")

var errLost = errors.New("another process writes to the log; this one stops deciding there")

// foundOwn looks for the record at the log's tail: an append whose answer was
// lost has succeeded. Only a record of another owner means that the shard is
// lost ([errLost]); any other error may go away.
func (s *shard) foundOwn(rec Record) (seq uint64, err error) {
	empty := true
	err = s.c.Log.Replay(s.c.ctx, s.n, s.last+1, func(e fairway.LogEntry) error {
		empty = false
		r, err := decodeRecord(e)
		switch {
		case err != nil:
			return err
		case r.Epoch != rec.Epoch:
			return errLost
		case r.Number == rec.Number:
			seq = e.Seq
		}
		return nil
	})
	if err != nil {
		return 0, fmt.Errorf("read the log's tail: %w", err)
	}
	if seq != 0 {
		return seq, nil
	}
	last, err := s.c.Log.Last(s.c.ctx, s.n)
	if err != nil {
		return 0, fmt.Errorf("read the log's tail: %w", err)
	}
	if empty && last > s.last {
		s.last = last
		return 0, errMoved
	}
	return 0, fmt.Errorf("%w, and its tail does not say why", fairway.ErrFenced)
}

// tooLarge settles an input whose decision can never be stored. What came of
// a step fails it, in few words; whatever else it is gets refused.
func (s *shard) tooLarge(k service, in sequence.Input, token string, err error) bool {
	s.c.Logger.Error("a decision is too large to be stored", "project", k.project, "service", k.name, "error", err)
	why := fmt.Sprintf("it is too large to be stored: %s", err)
	switch {
	case in.Result != nil && len(in.Result.Reason)+len(in.Result.Detail) > len(why)+len(tooLargeStep):
		return s.decide(k, sequence.Input{Result: &sequence.Result{Key: in.Result.Key, Reason: tooLargeStep + why}}, token)
	case in.Timer != nil && in.Timer.Cause != "":
		return s.decide(k, sequence.Input{Timer: &sequence.Timer{Key: in.Timer.Key}}, token)
	case in.Restart != nil:
		s.c.effects.sync(k, s.states[k].State)
		s.clock(k)
	}
	s.c.waiters.tell(token, sequence.Decision{
		State: s.state(k), Reason: why, Refused: fairway.Errorf(fairway.KindRefused, "%s", why),
	})
	return true
}

// tooLargeStep begins the reason of a step whose result cannot be stored.
const tooLargeStep = "what came of the step is not known: "

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
	s.followClock()
	now := s.c.Now()
	for k, at := range s.timed {
		if at.After(now) {
			continue
		}
		next := now.Add(fireAgain)
		if s.c.Hold() {
			// Nothing can be done now, so that no step is to fail for want of time.
			s.c.effects.credit(s.n, fireAgain)
		}
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
