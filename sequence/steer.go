package sequence

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/fairwaycd/fairway"
)

// command obeys a person, or says why the word makes no sense.
func (d *decider) command(c Command) {
	if why := d.s.whyGone(); why != "" && (c.Verb == SetRoute || c.Verb == Rollback) {
		d.refuse(c, why)
		return
	}
	switch c.Verb {
	case SetRoute:
		d.setRoute(c)
		return
	case Rollback:
		d.recall(c)
		return
	case Remove:
		d.remove(c)
		return
	}
	x := d.s.Find(c.Delivery)
	if x == nil {
		why := fmt.Sprintf("delivery %s is not under way", c.Delivery)
		if e, ok := d.s.ended(c.Delivery); ok {
			why = fmt.Sprintf("delivery %s has ended as %s", c.Delivery, e.Status)
		}
		d.refuse(c, why)
		return
	}
	switch c.Verb {
	case Approve, Reject:
		d.answer(x, c)
	case Abort:
		if x.Step == fairway.StepRollback {
			d.refuse(c, fmt.Sprintf("delivery %s is being rolled back already", c.Delivery.Short()))
			return
		}
		d.fail(x, fairway.StatusAborted, fmt.Sprintf("aborted by %s: %s", orSomebody(c.Actor), c.Reason))
	case Pause:
		d.pause(x, c)
	case Resume:
		d.resume(x, c)
	default:
		d.refuse(c, fmt.Sprintf("%q is not a verb; use approve, reject, abort, pause or resume", c.Verb))
	}
}

// answer is a person's word on a delivery that waits for it.
func (d *decider) answer(x *Delivery, c Command) {
	if x.Step != fairway.StepApprove {
		d.refuse(c, fmt.Sprintf("delivery %s does not wait for a person; it is at %s in stage %s", c.Delivery.Short(), x.Step, x.Stage))
		return
	}
	if d.s.stage(x.plan()).Route != "" {
		d.refuse(c, fmt.Sprintf("the weights of stage %s are being changed at this moment; say it again", x.Stage))
		return
	}
	if c.Verb == Reject {
		d.fail(x, fairway.StatusRejected, fmt.Sprintf("rejected by %s: %s", orSomebody(c.Actor), c.Reason))
		return
	}
	reason := fmt.Sprintf("approved by %s: %s", orSomebody(c.Actor), c.Reason)
	x.Reason = d.say(x.ID, "%s", reason)
	d.emit(x, fairway.TypeApprovalGiven, reason, func(v *fairway.EventData) { v.Actor = c.Actor })
	d.closeStep(x, "ok", reason)
	d.release(x)
}

// pause lets the step under way end and begins none after it.
func (d *decider) pause(x *Delivery, c Command) {
	switch {
	case x.Paused:
		d.refuse(c, fmt.Sprintf("delivery %s is paused already", c.Delivery.Short()))
		return
	case x.Step == fairway.StepRollback:
		d.refuse(c, fmt.Sprintf("delivery %s is being rolled back, which is not paused", c.Delivery.Short()))
		return
	}
	x.Paused = true
	x.Reason = d.say(x.ID, "paused by %s: %s; the step under way ends, none begins after it", orSomebody(c.Actor), c.Reason)
	d.emit(x, fairway.TypeDeliveryPaused, x.Reason, func(v *fairway.EventData) { v.Actor = c.Actor })
}

func (d *decider) resume(x *Delivery, c Command) {
	if !x.Paused {
		d.refuse(c, fmt.Sprintf("delivery %s is not paused", c.Delivery.Short()))
		return
	}
	x.Paused = false
	x.Reason = d.say(x.ID, "resumed by %s: %s", orSomebody(c.Actor), c.Reason)
	d.emit(x, fairway.TypeDeliveryResumed, x.Reason, func(v *fairway.EventData) { v.Actor = c.Actor })
	if e := x.Held; e != nil {
		x.Held = nil
		d.start(x, *e)
	}
}

// setRoute asks for weights that a person has chosen.
func (d *decider) setRoute(c Command) {
	st := d.s.Stages[c.Stage]
	if st == nil {
		d.refuse(c, fmt.Sprintf("nothing was delivered to stage %s yet", c.Stage))
		return
	}
	if why := d.whyNoRoute(st, c); why != "" {
		d.refuse(c, why)
		return
	}
	if c.Check {
		d.say("", "weights %s may be set in stage %s", c.Weights, c.Stage)
		return
	}
	id := d.route(st, c, c.Weights)
	d.say(id, "%s asks for weights blue/green %s in stage %s: %s", orSomebody(c.Actor), c.Weights, c.Stage, c.Reason)
}

// route begins a change of the weights that a person has asked for.
func (d *decider) route(st *Stage, c Command, w fairway.Weights) fairway.DeliveryID {
	id := NewID(d.s.Project, d.s.Service, "route", string(c.Stage), fmt.Sprint(d.seq), d.now.String())
	e := Effect{Delivery: id, Stage: c.Stage, Step: fairway.StepRoute, Attempt: 1, Plan: st.Plan, Weights: cloneWeights(w), Actor: c.Actor, Why: c.Reason, Commit: c.Commit}
	st.Route = e.Key()
	d.s.Pending = append(d.s.Pending, e)
	d.arm(e)
	d.changed = true
	return id
}

func (d *decider) whyNoRoute(st *Stage, c Command) string {
	if st.Plan.DeploymentStrategy != fairway.BlueGreen {
		return fmt.Sprintf("stage %s is direct: its only version has all the traffic", c.Stage)
	}
	if err := c.Weights.Validate(); err != nil {
		return err.Error()
	}
	if st.Route != "" || st.Asked != nil {
		return fmt.Sprintf("the weights of stage %s are being changed at this moment; say it again", c.Stage)
	}
	if h := d.s.Find(st.Holder); h != nil && h.Step != fairway.StepApprove {
		return fmt.Sprintf("delivery %s of %s is at %s in stage %s and moves the weights itself; wait for its end, or abort it first", h.ID.Short(), h.Artifact.Tag, h.Step, c.Stage)
	}
	for colour, w := range c.Weights {
		o, ok := st.Occupants[colour]
		switch {
		case colour == fairway.Single:
			return fmt.Sprintf("stage %s has blue and green; write blue=70,green=30", c.Stage)
		case w == 0:
		case !ok || o.State == fairway.OccupantStopped || d.stopping(o):
			return fmt.Sprintf("no version runs in %s of stage %s", colour, c.Stage)
		case o.State == fairway.OccupantRejected && !c.Force:
			return fmt.Sprintf("%s in %s of stage %s was turned away; say --force to give it traffic all the same", o.Artifact.Tag, colour, c.Stage)
		}
	}
	return ""
}

// stopping reports whether the version is being stopped at this moment: it
// cannot be counted on.
func (d *decider) stopping(o fairway.Occupant) bool {
	return slices.ContainsFunc(d.s.Pending, func(e Effect) bool { return e.Step == fairway.StepRetire && e.Instance == o.Instance })
}

// routed takes what came of a person's weights.
func (d *decider) routed(e Effect, r Result) {
	st := d.s.stage(e.Plan)
	st.Route = ""
	if e.PutBack && r.OK {
		d.say(e.Delivery, "%s", r.Reason)
		d.admit(st)
		return
	}
	typ := fairway.TypeRouteRefused
	if r.OK {
		typ = fairway.TypeRouteChanged
		st.Weights, st.ByHand = cloneWeights(e.Weights), true
		if x := d.s.Find(st.Holder); x != nil {
			d.serves(x, e.Weights[x.Colour] > 0)
		}
	}
	reason := d.say(e.Delivery, "%s (%s: %s)", r.Reason, orSomebody(e.Actor), e.Why)
	d.store(e.Delivery, typ, reason, fairway.EventData{
		Project: d.s.Project, Service: d.s.Service, Stage: e.Stage, DeploymentStrategy: e.Plan.DeploymentStrategy,
		Weights: e.Weights, Actor: e.Actor, Commit: cmp.Or(e.Commit, r.Commit),
	})
	d.admit(st)
}

// RollbackSource is the source of rollbacks that need a delivery. With the
// request's id it makes a delivery's id, also where weights are enough.
const RollbackSource = "/fairway/rollback"

// recall calls the stage's previous version back by weights alone, while it
// still runs.
func (d *decider) recall(c Command) {
	st := d.s.Stages[c.Stage]
	if st == nil {
		d.refuse(c, fmt.Sprintf("nothing was delivered to stage %s yet", c.Stage))
		return
	}
	id := NewID(d.s.Project, d.s.Service, "rollback", string(c.Stage), fmt.Sprint(d.seq), d.now.String())
	if c.Request != "" {
		id = NewID(d.s.Project, d.s.Service, RollbackSource, c.Request)
	}
	if _, ended := d.s.ended(id); ended || d.s.Find(id) != nil {
		d.say(id, "the request was received before and started this delivery")
		return
	}
	lead, ok := st.Weights.Leader()
	previous := st.Occupants[lead.Other()]
	switch {
	case st.Holder != "" || st.Route != "":
		d.refuse(c, fmt.Sprintf("stage %s is held by delivery %s; wait for its end, or abort it first", c.Stage, st.Holder.Short()))
		return
	case !ok || lead == fairway.Single || previous.State != fairway.OccupantReleased || d.stopping(previous) || c.To != "" && c.To != previous.Artifact.Tag:
		d.refuse(c, fmt.Sprintf("no released version %s runs in stage %s beside the one that has the traffic", c.To, c.Stage))
		d.refused = fairway.Errorf(fairway.KindNotFound, "%s", d.reason)
		return
	}
	d.s.Accepted++
	x := &Delivery{
		Delivery: fairway.Delivery{
			ID: id, Project: d.s.Project, Service: d.s.Service, Artifact: previous.Artifact, Status: fairway.StatusRunning, Back: true,
			Stage: c.Stage, Colour: lead.Other(), StartedAt: d.now, UpdatedAt: d.now,
		},
		Order: d.s.Accepted, Plan: []fairway.Stage{st.Plan}, Recall: true, Instance: previous.Instance,
		Before: &Before{Weights: cloneWeights(st.Weights)},
	}
	x.Stages = []fairway.StageRecord{{Stage: c.Stage, Colour: x.Colour, EnteredAt: d.now}}
	d.s.Open = append(d.s.Open, x)
	st.Holder = x.ID
	x.Reason = d.say(x.ID, "%s asks for %s back in stage %s: %s", orSomebody(c.Actor), previous.Artifact.Tag, c.Stage, c.Reason)
	d.emit(x, fairway.TypeRollbackRequested, x.Reason, func(v *fairway.EventData) { v.Actor = c.Actor })
	d.start(x, Effect{Step: fairway.StepRelease, Weights: fairway.Full(x.Colour)})
}

func (d *decider) refuse(c Command, why string) {
	d.say(c.Delivery, "%s", why)
	d.refused = &fairway.Error{Kind: fairway.KindRefused, Message: why}
}
