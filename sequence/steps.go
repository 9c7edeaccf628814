package sequence

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"

	"github.com/fairwaycd/fairway"
)

// contextPattern is what a sender's correlation id must look like to become a
// delivery's id: it is part of subjects, paths and labels.
var contextPattern = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_-]{7,63}$`)

// enter brings the delivery to the stage at its cursor: it takes the stage or
// queues for it.
func (d *decider) enter(x *Delivery) {
	p := x.plan()
	st := d.s.stage(p)
	x.Stage, x.Colour, x.Attempt = p.Name, fairway.Single, 0
	x.Moved, x.Served, x.Before, x.Instance, x.Window, x.Judged = false, nil, nil, "", nil, false
	x.Stages = append(x.Stages, fairway.StageRecord{Stage: p.Name, EnteredAt: d.now})
	if st.Holder == "" && st.Route == "" {
		d.take(x, st)
		return
	}
	d.queue(x, st)
}

// maxQueue bounds how many deliveries wait for a stage. All of them are part
// of the service's state, and with it of every record.
const maxQueue = 500

func (d *decider) queue(x *Delivery, st *Stage) {
	p := x.plan()
	holder := d.s.Find(st.Holder)
	for _, id := range slices.Clone(st.Queue) {
		w := d.s.Find(id)
		if w == nil {
			continue
		}
		older, newer := w, x
		if w.Order > x.Order {
			older, newer = x, w
		}
		if p.Supersede == fairway.SupersedeNever || !supersedes(newer, older) {
			continue
		}
		d.supersede(older, newer, "waited for stage "+string(p.Name))
		if older == x {
			return
		}
	}
	x.Status, x.Step = fairway.StatusWaiting, fairway.StepQueue
	d.openStep(x, fairway.StepQueue)
	if len(st.Queue) >= maxQueue {
		d.fail(x, fairway.StatusFailed, fmt.Sprintf("the queue of stage %s is full (%d)", p.Name, maxQueue))
		return
	}
	st.Queue = append(st.Queue, x.ID)
	x.Reason = d.say(x.ID, "stage %s is held by delivery %s of %s; this one waits for it", p.Name, st.Holder.Short(), tagOf(holder))
	if holder == nil {
		x.Reason = d.say(x.ID, "the weights of stage %s are being changed by hand; this one waits until that is done", p.Name)
	}
	d.emit(x, fairway.TypeDeliveryQueued, x.Reason, nil)
	if p.Supersede == fairway.SupersedeAlways && holder != nil && holder.Step == fairway.StepApprove && holder.Order < x.Order && supersedes(x, holder) {
		x.inherit(holder)
		d.fail(holder, fairway.StatusSuperseded, fmt.Sprintf("newer %s arrived while %s waited for a person, and the stage says supersede: always", x.Artifact.Tag, holder.Artifact.Tag))
	}
}

func tagOf(x *Delivery) string {
	if x == nil {
		return "another version"
	}
	return x.Artifact.Tag
}

func (d *decider) supersede(older, newer *Delivery, where string) {
	reason := fmt.Sprintf("%s was superseded by newer %s (delivery %s) while it %s", older.Artifact.Tag, newer.Artifact.Tag, newer.ID.Short(), where)
	older.Failure = &Failure{Status: fairway.StatusSuperseded, Step: older.Step, Reason: reason}
	newer.inherit(older)
	d.end(older)
}

// take makes the delivery the holder of the stage and starts its first step.
func (d *decider) take(x *Delivery, st *Stage) {
	p := x.plan()
	st.Holder, st.Plan = x.ID, p
	st.Queue = slices.DeleteFunc(st.Queue, func(id fairway.DeliveryID) bool { return id == x.ID })
	d.closeStep(x, "ok", "")
	x.Status = fairway.StatusRunning
	x.Colour = idle(p, st)
	x.record().Colour = x.Colour
	d.choose(x, st)
	x.Before = &Before{Weights: cloneWeights(st.Weights)}
	if o, ok := st.Occupants[x.Colour]; ok && x.Colour == fairway.Single && o.State == fairway.OccupantReleased {
		x.Before.Occupant = &o
	}
	if w := st.Weights[x.Colour]; w > 0 && p.DeploymentStrategy == fairway.BlueGreen {
		d.fail(x, fairway.StatusFailed, fmt.Sprintf("both colours of stage %s have traffic (%s), so there is no place for %s; give all to one with: fairway route set %s --project %s --stage %s blue=100,green=0 --reason WHY, then deliver again",
			p.Name, st.Weights, x.Artifact.Tag, d.s.Service, d.s.Project, p.Name))
		return
	}
	d.start(x, Effect{Step: fairway.StepConfigure})
}

// idle is the colour without traffic: blue at first.
func idle(p fairway.Stage, st *Stage) fairway.Colour {
	if p.DeploymentStrategy == fairway.Direct {
		return fairway.Single
	}
	if lead, ok := st.Weights.Leader(); ok && lead != fairway.Single {
		return lead.Other()
	}
	return fairway.Blue
}

func cloneWeights(w fairway.Weights) fairway.Weights {
	if w == nil {
		return nil
	}
	c := fairway.Weights{}
	for k, v := range w {
		c[k] = v
	}
	return c
}

// start makes e the delivery's effect under way.
func (d *decider) start(x *Delivery, e Effect) {
	p := x.plan()
	x.Step, x.Status = e.Step, fairway.StatusRunning
	if x.Paused && e.Step != fairway.StepRollback {
		x.Status, x.Held = fairway.StatusWaiting, &e
		x.Reason = d.say(x.ID, "%s is paused before %s in stage %s; run: fairway resume %s", x.Artifact.Tag, e.Step, p.Name, x.ID.Short())
		d.changed = true
		return
	}
	x.Attempt = 1 + d.attempts(x, e.Step)
	e.Delivery, e.Stage, e.Attempt = x.ID, p.Name, x.Attempt
	e.Plan, e.Colour, e.Artifact = p, x.Colour, x.Artifact
	e.Commit = x.record().Commit
	if e.Step == fairway.StepConfigure || e.PutBack {
		e.Live = liveCommit(d.s.stage(p), x.Colour)
	}
	if e.Step == fairway.StepConfigure {
		e.Carried = x.Carried
	}
	if e.Step == fairway.StepDeploy {
		x.Instance = InstanceID(x.ID, p.Name, x.Attempt)
	}
	e.Instance = x.Instance
	d.openStep(x, e.Step)
	d.s.Pending = append(d.s.Pending, e)
	d.arm(e)
	d.changed = true
}

// InstanceID names what a deploy or rollback starts. It is a file name.
func InstanceID(id fairway.DeliveryID, stage fairway.StageName, attempt int) string {
	return string(id) + "." + string(stage) + "." + strconv.Itoa(attempt)
}

func (d *decider) attempts(x *Delivery, step fairway.Step) int {
	n := 0
	for _, r := range x.record().Steps {
		if r.Step == step {
			n++
		}
	}
	return n
}

func (d *decider) arm(e Effect) {
	d.s.Deadlines = append(d.s.Deadlines, Deadline{Key: e.Key(), At: d.now.Add(limit(e.Step))})
}

func (d *decider) dropDeadline(key string) {
	d.s.Deadlines = slices.DeleteFunc(d.s.Deadlines, func(l Deadline) bool { return l.Key == key })
}

// dropEffects forgets every effect of the delivery's foreground.
func (d *decider) dropEffects(x *Delivery) {
	for _, e := range slices.Clone(d.s.Pending) {
		if e.Delivery == x.ID && e.Step != fairway.StepRetire {
			d.dropDeadline(e.Key())
			d.forget(e.Key())
		}
	}
}

func (d *decider) forget(key string) {
	d.s.Pending = slices.DeleteFunc(d.s.Pending, func(e Effect) bool { return e.Key() == key })
}

func (d *decider) openStep(x *Delivery, step fairway.Step) {
	r := x.record()
	attempt := x.Attempt
	if step == fairway.StepQueue || step == fairway.StepApprove {
		attempt = 1
	}
	r.Steps = append(r.Steps, fairway.StepRecord{Step: step, Attempt: attempt, StartedAt: d.now})
	x.UpdatedAt = d.now
}

func (d *decider) closeStep(x *Delivery, outcome, reason string) {
	r := x.record()
	if n := len(r.Steps); n > 0 && r.Steps[n-1].EndedAt == nil {
		now := d.now
		r.Steps[n-1].Outcome, r.Steps[n-1].Reason, r.Steps[n-1].EndedAt = outcome, reason, &now
	}
	x.UpdatedAt = d.now
}

// end ends the delivery as its Failure says, or as finished.
func (d *decider) end(x *Delivery) {
	typ, status := fairway.TypeDeliveryFinished, fairway.StatusFinished
	reason := x.Reason
	if x.Failure != nil {
		status, reason = x.Failure.Status, x.Failure.Reason
		typ = map[fairway.DeliveryStatus]string{
			fairway.StatusFailed: fairway.TypeDeliveryFailed, fairway.StatusRejected: fairway.TypeDeliveryRejected,
			fairway.StatusSuperseded: fairway.TypeDeliverySuperseded, fairway.StatusAborted: fairway.TypeDeliveryAborted,
		}[status]
	}
	d.closeStep(x, outcomeOf(status), reason)
	now := d.now
	if r := x.record(); r.EndedAt == nil {
		r.EndedAt = &now
	}
	x.EndedAt, x.UpdatedAt, x.Status, x.Reason = &now, now, status, reason
	d.say(x.ID, "%s", reason)
	d.emit(x, typ, reason, func(e *fairway.EventData) { e.Result = string(status) })
	d.dropEffects(x)
	d.s.Open = slices.DeleteFunc(d.s.Open, func(o *Delivery) bool { return o.ID == x.ID })
	d.s.Recent = append(d.s.Recent, Ended{ID: x.ID, Tag: x.Artifact.Tag, Status: status})
	if n := len(d.s.Recent) - keepRecent; n > 0 {
		d.s.Recent = slices.Delete(d.s.Recent, 0, n)
	}
	x.Step = fairway.StepDone
	d.ended = append(d.ended, x.Delivery)
	d.leave(x)
}

func outcomeOf(s fairway.DeliveryStatus) string {
	if s == fairway.StatusFinished {
		return "ok"
	}
	return "failed"
}

// leave gives the stage back and lets the next one in.
func (d *decider) leave(x *Delivery) {
	for _, st := range d.s.Stages {
		st.Queue = slices.DeleteFunc(st.Queue, func(id fairway.DeliveryID) bool { return id == x.ID })
	}
	st := d.s.Stages[x.Stage]
	if st == nil || st.Holder != x.ID {
		return
	}
	st.Holder = ""
	d.admit(st)
}

// admit lets the next delivery into a stage that is free.
func (d *decider) admit(st *Stage) {
	d.answerAsked(st)
	for st.Holder == "" && st.Route == "" && len(st.Queue) > 0 {
		next := d.s.Find(st.Queue[0])
		st.Queue = st.Queue[1:]
		if next != nil {
			about, reason := d.about, d.reason
			d.take(next, st)
			d.about, d.reason = about, reason
			return
		}
	}
}
