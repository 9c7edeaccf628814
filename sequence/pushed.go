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
	// Notes say what else the push changed, and when that holds.
	Notes []string `json:"notes,omitempty"`
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
	typ, where := fairway.TypeConfigurationPushed, "stage "+string(p.Stage)
	if p.Stage == "" {
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
