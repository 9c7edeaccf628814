package sequence

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/fairwaycd/fairway"
)

// WholeProject stands for the service in the state that belongs to a project
// itself: that it is being deleted, and that it was.
const WholeProject fairway.ServiceName = "_"

// Removal is a deletion: who asked for it, when, and why.
type Removal struct {
	Actor      string    `json:"actor"`
	Reason     string    `json:"reason,omitempty"`
	At         time.Time `json:"at"`
	Keep       bool      `json:"keep,omitempty"` // what runs goes on
	Repository string    `json:"repository,omitempty"`
}

// Remains is what a deletion leaves and what it takes away.
type Remains struct {
	Removal
	// Routes are the splits in force by namespace; a deletion that keeps
	// what runs keeps them too. Instances are what runs as far as it is known.
	Routes    map[fairway.Namespace]fairway.Weights `json:"routes,omitempty"`
	Instances []string                              `json:"instances,omitempty"`
}

// Kept reports whether the service was deleted and what runs of it was left
// alone.
func (s *State) Kept() bool { return !s.Onboarded && s.Gone != nil && len(s.Stages) > 0 }

func (s *State) source() string {
	if s.Service == WholeProject {
		return "/fairway/" + string(s.Project)
	}
	return "/fairway/" + string(s.Project) + "/" + string(s.Service)
}

// what names the service, or the project.
func (s *State) what() string {
	if s.Service == WholeProject {
		return "project " + string(s.Project)
	}
	return fmt.Sprintf("service %s of project %s", s.Service, s.Project)
}

// whyGone says that the service is being deleted or was; it is empty for one
// that lives.
func (s *State) whyGone() string {
	switch {
	case s.Removal != nil:
		return fmt.Sprintf("%s is being deleted by %s; try again in a moment", s.what(), s.Removal)
	case s.Gone != nil && !s.Onboarded:
		return GoneReason(s.Project, s.Service, *s.Gone)
	}
	return ""
}

// GoneReason says that a service was deleted, and how it comes back.
func GoneReason(p fairway.ProjectName, s fairway.ServiceName, r Removal) string {
	return fmt.Sprintf("service %s of project %s was deleted by %s; to have it again run: fairway onboard service %s --project %s --values FILE", s, p, r, s, p)
}

// String says who deleted it, when, and why.
func (r Removal) String() string {
	text := orSomebody(r.Actor) + " at " + r.At.UTC().Format(time.RFC3339)
	if r.Reason != "" {
		text += " (" + r.Reason + ")"
	}
	return text
}

// remove begins a deletion: every delivery ends, and one effect takes away
// what there is. From here on nothing is accepted for the name until it is
// done.
func (d *decider) remove(c Command) {
	whole := d.s.Service == WholeProject
	switch r := d.s.Removal; {
	case r != nil && r.Keep == c.Keep:
		d.say("", "%s", d.s.whyGone())
		return
	case r != nil:
		d.refuse(c, d.s.whyGone())
		return
	case !whole && !d.s.Onboarded && !d.s.Kept():
		d.refuse(c, "there is no "+d.s.what())
		d.refused = fairway.Errorf(fairway.KindNotFound, "%s", d.reason)
		return
	}
	r := Removal{Actor: c.Actor, Reason: c.Reason, At: d.now, Keep: c.Keep, Repository: c.Repository}
	d.s.Removal = &r
	id := NewID(d.s.Project, d.s.Service, "remove", fmt.Sprint(d.seq), d.now.String())
	e := Effect{Delivery: id, Step: fairway.StepRemove, Attempt: 1, Actor: c.Actor, Why: c.Reason, Remove: d.s.remains(r)}
	reason := fmt.Sprintf("%s asks to delete %s%s%s", orSomebody(c.Actor), d.s.what(), keeping(c.Keep), because(c.Reason))
	d.storeDeletion(id, fairway.TypeDeletionRequested, reason, r, nil)
	d.endAll(fmt.Sprintf("%s was deleted by %s", d.s.what(), r))
	d.s.Pending, d.s.Deadlines = []Effect{e}, nil
	d.arm(e)
	d.say(id, "%s", reason)
}

func keeping(keep bool) string {
	if keep {
		return " and to leave what runs alone"
	}
	return ""
}

func because(reason string) string {
	if reason == "" {
		return ""
	}
	return ": " + reason
}

// remains lists what the state knows to run.
func (s *State) remains(r Removal) *Remains {
	out := &Remains{Removal: r, Routes: map[fairway.Namespace]fairway.Weights{}}
	for _, name := range slices.Sorted(maps.Keys(s.Stages)) {
		st := s.Stages[name]
		out.Routes[st.Plan.Namespace] = cloneWeights(st.Weights)
		for _, o := range st.Occupants {
			if o.Instance != "" {
				out.Instances = append(out.Instances, o.Instance)
			}
		}
	}
	slices.Sort(out.Instances)
	return out
}

// endAll ends every delivery where it is, and what people wait for. The
// stages are emptied first, so that nobody is let in on the way.
func (d *decider) endAll(reason string) {
	for _, e := range d.s.Pending {
		if e.Step == fairway.StepRoute {
			d.store(e.Delivery, fairway.TypeRouteRefused, reason, fairway.EventData{
				Project: d.s.Project, Service: d.s.Service, Stage: e.Stage, Weights: e.Weights, Actor: e.Actor,
			})
		}
	}
	for _, st := range d.s.Stages {
		st.Holder, st.Queue, st.Route, st.Asked = "", nil, "", nil
	}
	for _, x := range slices.Clone(d.s.Open) {
		x.Failure = &Failure{Status: fairway.StatusAborted, Step: x.Step, Reason: reason}
		d.end(x)
	}
}

func (d *decider) storeDeletion(id fairway.DeliveryID, typ, reason string, r Removal, detail []byte) {
	data := fairway.EventData{Project: d.s.Project, Service: d.s.Service, Actor: r.Actor, Detail: json.RawMessage(detail)}
	if d.s.Service == WholeProject {
		data.Service = ""
	}
	d.store(id, typ, reason, data)
}

// removed takes what came of a deletion. What failed is tried again for as
// long as it takes: half of a service is nothing that anybody can work with.
func (d *decider) removed(e Effect, r Result) {
	rem := e.Remove.Removal
	if !r.OK {
		reason := d.say(e.Delivery, "deleting %s failed and is tried again until it is done: %s", d.s.what(), r.Reason)
		if e.Tries == 0 {
			d.storeDeletion(e.Delivery, fairway.TypeDeletionFailed, reason, rem, nil)
		}
		d.later(e)
		return
	}
	typ := fairway.TypeServiceDeleted
	if d.s.Service == WholeProject {
		typ = fairway.TypeProjectDeleted
	}
	reason := d.say(e.Delivery, "%s was deleted by %s; %s", d.s.what(), rem, r.Reason)
	d.storeDeletion(e.Delivery, typ, reason, rem, r.Detail)
	// Accepted goes on and Recent stays: by them ids of deliveries stay
	// different from those of the earlier life, which can still be read.
	after := &State{Project: d.s.Project, Service: d.s.Service, InSeq: d.s.InSeq, Accepted: d.s.Accepted, Recent: d.s.Recent, Gone: &rem, Lives: d.s.Lives + 1}
	if rem.Keep {
		after.Stages = d.s.Stages
	}
	d.s = after
}
