package project

import (
	"context"
	"slices"

	"github.com/fairwaycd/fairway"
	"github.com/fairwaycd/fairway/chart"
	"github.com/fairwaycd/fairway/git"
	"github.com/fairwaycd/fairway/helm"
	"github.com/fairwaycd/fairway/sequence"
)

// meaning finds out what a push to a stage's branch is for its services.
type meaning struct {
	k             *Keeper
	push          git.Push
	before, after map[string][]byte
}

// services lists what changed about each service; a change that is nobody's
// may be one of all.
func (m meaning) services(change chart.Change) []chart.ServiceChange {
	list := change.Services
	if !change.Chart || m.before == nil {
		return list
	}
	for _, s := range chart.Services(m.after) {
		if !slices.ContainsFunc(list, func(c chart.ServiceChange) bool { return c.Service == s }) {
			list = append(list, chart.ServiceChange{Service: s, Other: true})
		}
	}
	return list
}

// of returns the input for one service.
func (m meaning) of(ctx context.Context, c chart.ServiceChange) (sequence.Pushed, error) {
	in := sequence.Pushed{Stage: fairway.StageName(m.push.Branch), Commit: m.push.New, Actor: m.push.Actor, Weights: c.Weights}
	colours, scaled, err := m.rendered(ctx, c)
	if err != nil {
		return in, err
	}
	if len(colours) > 0 || len(c.Images) > 0 {
		in.Carried = &fairway.Carried{Branch: m.push.Branch, Commit: m.push.New, Colours: colours, Images: c.Images}
		in.Notes = append(in.Notes, "what runs changes with a delivery in this stage")
	}
	if c.Scale || scaled {
		in.Notes = append(in.Notes, "replicas or resources take effect in place; the local platform runs one process for each colour, and nothing is restarted")
	}
	if c.Resources {
		in.Notes = append(in.Notes, "tests and objectives hold for deliveries that come to the stage after it")
	}
	if len(in.Notes) == 0 && in.Weights == nil {
		in.Notes = append(in.Notes, "nothing that runs is changed by it")
	}
	return in, nil
}

// rendered returns the colours that would run otherwise after the push. scaled
// is set when only replicas or resources of one changed.
func (m meaning) rendered(ctx context.Context, c chart.ServiceChange) (colours []fairway.Colour, scaled bool, err error) {
	if !c.Other && !c.Chart && !c.Scale || m.before == nil || c.Added || c.Removed {
		return nil, false, nil
	}
	y, _, err := m.k.shipyardOf(ctx, m.push.Project)
	if err != nil {
		return nil, false, err
	}
	stage, _, _ := y.Stage(fairway.StageName(m.push.Branch))
	strategy, err := chart.Strategy(m.after, c.Service)
	if err != nil {
		return nil, false, err
	}
	stage = forService(stage, strategy)
	for _, colour := range stage.Colours() {
		d, err := helm.Compare(ctx, m.before, m.after, helm.Release{
			Project: m.push.Project, Stage: stage.Name, Namespace: stage.Namespace, Service: c.Service, Colour: colour,
		})
		if err != nil {
			return nil, false, err
		}
		if d.Template {
			colours = append(colours, colour)
		}
		scaled = scaled || d.Scale
	}
	return colours, scaled, nil
}
