package sequence

import (
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/fairwaycd/fairway"
)

// Decision is what an input leads to. When Changed is false nothing has to be
// stored and State is the state that was given.
type Decision struct {
	State    *State
	Events   []fairway.Event
	Delivery fairway.DeliveryID // that the decision is about; empty for the service itself
	Reason   string             // one sentence
	Changed  bool
	Refused  error              // why a command makes no sense now
	Ended    []fairway.Delivery // deliveries that ended by it
}

// Decide answers an input. It never changes s.
func Decide(s *State, in Input, now time.Time) Decision {
	if in.Seq != 0 && in.Seq <= s.InSeq {
		return Decision{State: s, Reason: "the input was decided before"}
	}
	d := &decider{s: s.Clone(), seq: in.Seq, now: now.UTC()}
	switch {
	case in.Artifact != nil:
		d.artifact(*in.Artifact)
	case in.Onboard != nil:
		d.onboard(*in.Onboard)
	case in.Command != nil:
		d.command(*in.Command)
	case in.Pushed != nil:
		d.pushed(*in.Pushed)
	case in.Foreign != nil:
		d.foreign(*in.Foreign)
	case in.Result != nil:
		d.result(*in.Result)
	case in.Timer != nil:
		d.timer(*in.Timer)
	case in.Restart != nil:
		d.restart(in.Restart.what())
	}
	if !d.changed {
		return Decision{State: s, Reason: d.reason, Refused: d.refused, Delivery: d.about}
	}
	if in.Seq != 0 {
		d.s.InSeq = in.Seq
	}
	d.s.UpdatedAt = d.now
	return Decision{State: d.s, Events: d.events, Delivery: d.about, Reason: d.reason, Changed: true, Ended: d.ended, Refused: d.refused}
}

// decider is one decision in the making.
type decider struct {
	s       *State
	seq     uint64
	now     time.Time
	events  []fairway.Event
	ended   []fairway.Delivery
	about   fairway.DeliveryID
	reason  string
	refused error
	changed bool
}

func (d *decider) say(id fairway.DeliveryID, format string, args ...any) string {
	d.reason = fmt.Sprintf(format, args...)
	d.about = id
	return d.reason
}

// emit stores an event about the delivery in its present stage.
func (d *decider) emit(x *Delivery, typ, reason string, edit func(*fairway.EventData)) {
	data := fairway.EventData{
		Project: d.s.Project, Service: d.s.Service,
		Image: x.Artifact.Image, Tag: x.Artifact.Tag, Digest: x.Artifact.Digest,
	}
	if x.At < len(x.Plan) && x.Stage != "" {
		p := x.plan()
		data.Stage, data.DeploymentStrategy, data.TestStrategy = p.Name, p.DeploymentStrategy, p.TestStrategy
		data.Slot, data.Attempt, data.Commit = x.Colour, x.Attempt, x.record().Commit
	}
	if edit != nil {
		edit(&data)
	}
	d.store(x.ID, typ, reason, data)
}

func (d *decider) store(context fairway.DeliveryID, typ, reason string, data fairway.EventData) {
	b, err := json.Marshal(data)
	if err != nil {
		panic("sequence: event data cannot be encoded: " + err.Error())
	}
	id := NewID(d.s.Project, d.s.Service, string(context), string(data.Stage), typ,
		strconv.Itoa(data.Attempt), strconv.FormatUint(d.seq, 10), strconv.Itoa(len(d.events)), d.now.Format(time.RFC3339Nano))
	d.events = append(d.events, fairway.Event{
		SpecVersion: "1.0", ID: string(id), Source: d.s.source(),
		Type: typ, Time: d.now, Subject: string(data.Stage), ContentType: "application/json",
		Context: context, Reason: reason, Data: b,
	})
	d.changed = true
}

// onboard records that the service is known.
func (d *decider) onboard(in Onboard) {
	if why := d.s.whyGone(); d.s.Removal != nil || in.Resources && why != "" {
		d.say("", "%s", why)
		d.refused = &fairway.Error{Kind: fairway.KindConflict, Message: why}
		return
	}
	typ, reason := fairway.TypeServiceOnboarded, "the service was onboarded by "+orSomebody(in.Actor)
	if in.Resources {
		typ, reason = fairway.TypeResourcesChanged, in.Note+" by "+orSomebody(in.Actor)
	}
	if !d.s.Onboarded {
		d.s.Onboarded, d.s.Since, d.s.Gone = true, d.now, nil
	}
	d.say("", "%s", reason)
	d.store("", typ, reason, fairway.EventData{Project: d.s.Project, Service: d.s.Service, Commit: in.Commit, Actor: in.Actor})
}

func orSomebody(actor string) string {
	if actor == "" {
		return "somebody"
	}
	return actor
}

// artifact accepts a delivery, or says why it is none.
func (d *decider) artifact(in Artifact) {
	if d.duplicate(in) {
		return
	}
	if in.PlanError != "" || len(in.Plan) == 0 || !d.s.Onboarded || d.s.Removal != nil {
		d.ignoreArtifact(in, d.whyNoPlan(in))
		return
	}
	at, ok := d.startStage(in)
	if !ok {
		return
	}
	if in.Only {
		in.Plan, at = in.Plan[at:at+1], 0
	}
	d.s.Accepted++
	x := &Delivery{
		Delivery: fairway.Delivery{
			ID: d.newID(in), Project: d.s.Project, Service: d.s.Service, Artifact: in.Artifact,
			Status: fairway.StatusRunning, StartedAt: d.now, UpdatedAt: d.now, Carried: in.Carried, Back: in.Only && in.Carried == nil,
		},
		Order: d.s.Accepted, Plan: in.Plan, At: at, Only: in.Only,
	}
	if d.s.Defined != nil && x.Carried == nil && at == 0 && !in.Only {
		x.Carried, d.s.Defined = d.s.Defined, nil
	}
	d.s.Open = append(d.s.Open, x)
	if in.Pushed {
		d.s.rememberPush(in, x.ID)
	}
	x.Reason = d.say(x.ID, "%s was accepted from %s", in.Artifact, orSomebody(in.Actor))
	d.emit(x, fairway.TypeNewArtifact, x.Reason, func(e *fairway.EventData) { e.Actor = in.Actor })
	d.enter(x)
}

func (d *decider) whyNoPlan(in Artifact) string {
	switch why := d.s.whyGone(); {
	case why != "":
		return why
	case in.PlanError != "":
		return in.PlanError
	case !d.s.Onboarded:
		return fmt.Sprintf("service %s of project %s is not onboarded; run: fairway onboard service %s --project %s --values FILE", d.s.Service, d.s.Project, d.s.Service, d.s.Project)
	}
	return "the project's shipyard has no stages"
}

func (d *decider) startStage(in Artifact) (int, bool) {
	if in.From == "" {
		return 0, true
	}
	i := slices.IndexFunc(in.Plan, func(p fairway.Stage) bool { return p.Name == in.From })
	if i < 0 {
		d.ignoreArtifact(in, fmt.Sprintf("the shipyard has no stage %s; it has %s", in.From, fairway.Shipyard{Stages: in.Plan}.StageNames()))
		d.refused = fairway.Errorf(fairway.KindNotFound, "%s", d.reason)
		return 0, false
	}
	return i, true
}

func (d *decider) newID(in Artifact) fairway.DeliveryID {
	if in.Pushed {
		// The same tag may come back to a digest that it had before: the
		// count of acceptances tells the two pushes apart.
		return NewID(d.s.Project, d.s.Service, in.Source, in.Artifact.String(), in.Artifact.Digest, strconv.FormatUint(d.s.Accepted, 10))
	}
	return d.eventDelivery(in)
}

// eventDelivery is the delivery that a sent event starts: its own correlation
// id where the sender gave one that is free, else one derived from source and id.
func (d *decider) eventDelivery(in Artifact) fairway.DeliveryID {
	derived := NewID(d.s.Project, d.s.Service, in.Source, in.EventID)
	if in.Context == "" || !contextPattern.MatchString(string(in.Context)) {
		return derived
	}
	if _, taken := d.s.ended(in.Context); taken || d.s.Find(in.Context) != nil {
		return derived
	}
	return in.Context
}

// duplicate handles what names a delivery that exists.
func (d *decider) duplicate(in Artifact) bool {
	if in.Pushed {
		return d.duplicatePush(in)
	}
	derived := NewID(d.s.Project, d.s.Service, in.Source, in.EventID)
	for _, id := range []fairway.DeliveryID{derived, in.Context} {
		if id == "" {
			continue
		}
		if x := d.s.Find(id); x != nil && x.Artifact.Same(in.Artifact) {
			d.say(id, "the event was received before and started this delivery")
			return true
		}
		if e, ok := d.s.ended(id); ok && e.Tag == in.Artifact.Tag {
			d.say(id, "the event was received before; its delivery has ended as %s", e.Status)
			return true
		}
	}
	if in.Known { // it ended too long ago for the state to remember
		d.say(derived, "the event was received before; its delivery has ended")
	}
	return in.Known
}

func (d *decider) duplicatePush(in Artifact) bool {
	p, ok := d.s.pushed(in)
	switch {
	case ok && p.Digest != in.Artifact.Digest, !ok && !in.Known:
		return false
	case ok && d.s.Find(p.Delivery) != nil:
		x := d.s.Find(p.Delivery)
		reason := d.say(x.ID, "%s was pushed again with the same digest and joins the delivery under way", in.Artifact)
		d.emit(x, fairway.TypeDeliveryJoined, reason, nil)
		return true
	}
	d.ignoreArtifact(in, fmt.Sprintf("%s was delivered before with the same digest; to deliver it again run: fairway send event new-artifact --project %s --service %s --image %s --tag %s",
		in.Artifact, d.s.Project, d.s.Service, in.Artifact.Image, in.Artifact.Tag))
	return true
}

func (d *decider) ignoreArtifact(in Artifact, why string) {
	d.say("", "%s", why)
	d.store(in.Context, fairway.TypeArtifactIgnored, why, fairway.EventData{
		Project: d.s.Project, Service: d.s.Service, Image: in.Artifact.Image, Tag: in.Artifact.Tag, Digest: in.Artifact.Digest, Actor: in.Actor,
	})
	d.refused = &fairway.Error{Kind: fairway.KindRefused, Message: why}
}

// restart gives every interrupted test a new attempt, since a test counts
// only as a whole. Everything else goes on under its old attempt, and with
// its full time: while Fairway did not run, nothing could be done; and when
// the clock was set, the time that is left is not known.
func (d *decider) restart(what string) {
	for i, e := range d.s.Pending {
		if x := d.s.Find(e.Delivery); x != nil && e.Step == fairway.StepTest {
			d.repeatTest(x, i, what)
			continue
		}
		d.dropDeadline(e.Key())
		d.arm(e)
		d.changed = true
	}
	if d.changed && d.reason == "" {
		d.say("", "%s; what was under way goes on", what)
	}
}

func (d *decider) repeatTest(x *Delivery, i int, what string) {
	d.dropDeadline(d.s.Pending[i].Key())
	d.closeStep(x, "interrupted", what+" during the test")
	x.Attempt++
	d.s.Pending[i].Attempt = x.Attempt
	d.openStep(x, fairway.StepTest)
	d.arm(d.s.Pending[i])
	reason := d.say(x.ID, "%s during the test, which runs again whole as attempt %d", what, x.Attempt)
	d.emit(x, fairway.TypeStepRestarted, reason, nil)
}
