package sequence

import (
	"fmt"
	"slices"
	"strings"

	"github.com/fairwaycd/fairway"
)

// Pushed is what a push to the project's repository means for one service, or
// for the project itself when it went to main: Stage is empty then.
type Pushed struct {
	Stage  fairway.StageName `json:"stage,omitempty"`
	Commit string            `json:"commit"`
	Actor  string            `json:"actor,omitempty"`
	// Weights is the split to reach; nil when the push leaves it alone.
	Weights fairway.Weights `json:"weights,omitempty"`
	// Carried asks for a delivery in the stage; nil when the push changes
	// nothing that runs.
	Carried *fairway.Carried `json:"carried,omitempty"`
	// Notes say what else the push changed, and when that holds.
	Notes []string `json:"notes,omitempty"`
	// Plan and PlanError are filled in by the decider, as those of an artifact.
	Plan      []fairway.Stage `json:"-"`
	PlanError string          `json:"-"`
}

// keepHandled is how many pushes are remembered, to know a repetition.
const keepHandled = 64

func (p Pushed) by() string { return orSomebody(p.Actor) }

func (p Pushed) commit() string { return p.Commit[:min(len(p.Commit), 8)] }

// pushed takes a push that is stored in git. A repetition, after a crash,
// decides nothing.
func (d *decider) pushed(p Pushed) {
	key := string(p.Stage) + "@" + p.Commit
	if slices.Contains(d.s.Handled, key) {
		d.say("", "the push of %s was handled before", p.commit())
		return
	}
	d.s.Handled = append(d.s.Handled, key)
	if n := len(d.s.Handled) - keepHandled; n > 0 {
		d.s.Handled = slices.Delete(d.s.Handled, 0, n)
	}
	what := slices.Clone(p.Notes)
	if p.Weights != nil {
		what = append([]string{"weights blue/green " + p.Weights.String()}, what...)
	}
	x := d.pushedVersion(p, &what)
	typ, where := fairway.TypeConfigurationPushed, "stage "+string(p.Stage)
	switch {
	case p.Stage == "" && p.Carried != nil:
		typ, where = fairway.TypeServiceUpdated, "main"
	case p.Stage == "":
		typ, where = fairway.TypeProjectChanged, "main"
	}
	reason := fmt.Sprintf("%s pushed commit %s to %s: %s", p.by(), p.commit(), where, strings.Join(what, "; "))
	d.store("", typ, reason, fairway.EventData{
		Project: d.s.Project, Service: d.s.Service, Stage: p.Stage, Commit: p.Commit, Actor: p.Actor, Weights: p.Weights,
	})
	if st := d.s.Stages[p.Stage]; st != nil && d.s.whyGone() == "" && p.Weights != nil && p.Weights.String() != st.Weights.String() {
		st.Asked = &Command{Verb: SetRoute, Stage: p.Stage, Weights: p.Weights, Actor: p.Actor, Reason: "pushed in commit " + p.commit(), Commit: p.Commit}
		d.answerAsked(st)
	}
	d.say("", "%s", reason)
	if x == nil {
		return
	}
	d.s.Accepted++
	x.Order = d.s.Accepted
	d.s.Open = append(d.s.Open, x)
	x.Reason = d.say(x.ID, "%s is delivered to stage %s with what %s pushed in commit %s", x.Artifact, p.Stage, p.by(), p.commit())
	if p.Stage == "" {
		x.Reason = d.say(x.ID, "%s is delivered with the definition of the service that %s gave in commit %s of main", x.Artifact, p.by(), p.commit())
	}
	d.emit(x, fairway.TypeNewArtifact, x.Reason, func(e *fairway.EventData) { e.Actor, e.Commit = "a push to git by "+p.by(), p.Commit })
	d.enter(x)
}

// pushedVersion returns the delivery, in the pushed stage alone, that brings
// the push to what runs; nil when there is nothing to do.
func (d *decider) pushedVersion(p Pushed, what *[]string) *Delivery {
	if p.Carried == nil {
		return nil
	}
	if why := d.s.whyGone(); why != "" {
		*what = append(*what, "no delivery: "+why)
		return nil
	}
	i := slices.IndexFunc(p.Plan, func(s fairway.Stage) bool { return s.Name == p.Stage || p.Stage == "" })
	if i < 0 {
		why := p.PlanError
		if why == "" {
			why = "the shipyard has no stage " + string(p.Stage)
		}
		*what = append(*what, "no delivery: "+why)
		return nil
	}
	plan := p.Plan[i : i+1]
	if p.Stage == "" {
		plan = p.Plan
		p.Carried.Order = d.s.Accepted + 1
	}
	x := &Delivery{
		Delivery: fairway.Delivery{
			ID: PushedDelivery(d.s.Project, d.s.Service, p.Stage, p.Commit), Project: d.s.Project, Service: d.s.Service,
			Status: fairway.StatusRunning, StartedAt: d.now, UpdatedAt: d.now, Carried: p.Carried,
		},
		Plan: plan,
	}
	switch x.Artifact = d.present(x); {
	case x.Artifact.Image != "":
		return x
	case p.Stage == "":
		d.s.Defined = d.s.Defined.With(x.Carried)
		*what = append(*what, "nothing was delivered yet, and the first delivery brings it along")
	default:
		*what = append(*what, "nothing was delivered to the stage yet, and the first delivery takes it")
	}
	return nil
}

// present is the artifact that a carried configuration is brought to as things
// stand: that of the first stage that has one. A definition of the service may
// also come with what is on its way to the first stage.
func (d *decider) present(x *Delivery) fairway.Artifact {
	for _, plan := range x.Plan {
		st := d.s.Stages[plan.Name]
		if st == nil {
			st = &Stage{}
		}
		if a := x.chosen(st, idle(plan, st)); a.Image != "" {
			return a
		}
	}
	if n := len(d.s.Open); n > 0 && !x.Carried.InStage() {
		return d.s.Open[n-1].Artifact
	}
	return fairway.Artifact{}
}

// PushedDelivery is the id of the delivery that a push starts: to a stage's
// branch, or to main when stage is empty.
func PushedDelivery(p fairway.ProjectName, s fairway.ServiceName, stage fairway.StageName, commit string) fairway.DeliveryID {
	return NewID(p, s, "push", string(stage), commit)
}

// chosen returns the artifact that a carried configuration is brought to: the
// one that it names, else the one that has the traffic, else the one that runs.
func (x *Delivery) chosen(st *Stage, c fairway.Colour) fairway.Artifact {
	live := c.Other()
	if _, ok := st.Weights.Leader(); !ok || c == fairway.Single {
		live = c
	}
	for _, from := range []fairway.Colour{x.Carried.Source(c, live), live, c} {
		if a, ok := x.Carried.Images[from]; ok {
			return a
		}
	}
	for _, from := range []fairway.Colour{live, c} {
		if o, ok := st.Occupants[from]; ok {
			return o.Artifact
		}
	}
	return x.Artifact
}

// choose settles which artifact the delivery is about, once it has the stage:
// another version may have got the traffic while it waited.
func (d *decider) choose(x *Delivery, st *Stage) {
	if x.Carried == nil || !x.Carried.InStage() && !x.Carried.Present {
		return
	}
	x.Artifact = x.chosen(st, x.Colour)
	if x.Carried.Present {
		c := *x.Carried
		c.Present = false
		x.Carried = &c
	}
}

// liveCommit returns the commit that the version beside the colour runs from;
// empty when none was released there, or it is not known.
func liveCommit(st *Stage, c fairway.Colour) string {
	if c == fairway.Single {
		return ""
	}
	if o := st.Occupants[c.Other()]; o.State == fairway.OccupantReleased {
		return o.Commit
	}
	return ""
}

// supersedes reports whether the newer delivery replaces the older one that
// waits. One that carries a configuration is about that: it replaces no newer
// artifact by the version that it is brought to, and what was pushed to a
// stage is not lost to an artifact.
func supersedes(newer, older *Delivery) bool {
	return newer.Carried == nil && !older.Carried.InStage()
}

// inherit takes over the configuration of a delivery that x supersedes.
func (x *Delivery) inherit(older *Delivery) {
	if older.Carried != nil && !x.Carried.InStage() {
		x.Carried = x.Carried.With(older.Carried)
	}
}

// answerAsked gives a stage the weights that a push has asked for, once nobody
// else moves them. Weights that make no sense by then are refused, and git
// says again what is in force.
func (d *decider) answerAsked(st *Stage) {
	h := d.s.Find(st.Holder)
	if st.Asked == nil || st.Route != "" || h != nil && h.Step != fairway.StepApprove {
		return
	}
	c := *st.Asked
	st.Asked = nil
	why := d.whyNoRoute(st, c)
	if why == "" {
		d.route(st, c, c.Weights)
		return
	}
	reason := fmt.Sprintf("weights blue/green %s, %s by %s, are refused: %s; branch %s gets back what is in force", c.Weights, c.Reason, orSomebody(c.Actor), why, c.Stage)
	id := d.route(st, c, st.Weights)
	d.s.Pending[len(d.s.Pending)-1].PutBack = true
	d.store(id, fairway.TypeRouteRefused, reason, fairway.EventData{
		Project: d.s.Project, Service: d.s.Service, Stage: c.Stage, DeploymentStrategy: st.Plan.DeploymentStrategy,
		Weights: c.Weights, Actor: c.Actor, Commit: c.Commit,
	})
}
