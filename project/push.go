package project

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/fairwaycd/fairway"
	"github.com/fairwaycd/fairway/chart"
	"github.com/fairwaycd/fairway/git"
	"github.com/fairwaycd/fairway/shipyard"
)

// Deciding keeps projects and services from being added while a push to main
// is checked and stored, since both ask whether a name is free in all projects.
func (k *Keeper) Deciding(_ fairway.ProjectName, branches []string) (decided func()) {
	if !slices.Contains(branches, mainBranch) {
		return func() {}
	}
	k.create.Lock()
	return k.create.Unlock
}

// CheckPush refuses a push that Fairway could not work with: everything is
// parsed and rendered before the branch moves, and weights have to make sense
// at this moment.
func (k *Keeper) CheckPush(ctx context.Context, p git.Push) error {
	if p.Branch == mainBranch {
		return k.checkMain(ctx, p)
	}
	y, err := k.pushedShipyard(ctx, p)
	if err != nil {
		return err
	}
	stage, _, ok := y.Stage(fairway.StageName(p.Branch))
	if !ok {
		return fairway.Invalid("branch", p.Branch, "is no stage of the shipyard", "push to main or to one of: "+y.StageNames())
	}
	return k.checkStage(ctx, p, stage)
}

// checkMain refuses a shipyard that is wrong, that takes what other projects
// have, or that asks for what nothing would follow.
func (k *Keeper) checkMain(ctx context.Context, p git.Push) error {
	doc, ok, err := p.After().File(shipyardFile)
	if err != nil {
		return err
	}
	if !ok {
		return fairway.Invalid(shipyardFile, "", "is missing on main", "keep the shipyard there")
	}
	y, err := shipyard.Parse(shipyardFile, doc)
	if err != nil {
		return err
	}
	if y.Registry == "" {
		y.Registry = string(p.Project)
	}
	all, err := k.Projects(ctx)
	if err != nil {
		return err
	}
	if err := registryIsFree(all, p.Project, y.Registry); err != nil {
		return err
	}
	if err := k.Agrees(p.Project, y); err != nil {
		return err
	}
	i := slices.IndexFunc(all, func(i Info) bool { return i.Name == p.Project })
	if i < 0 || all[i].Err != nil {
		return nil // what stands there cannot be read: the push may be its repair
	}
	for _, s := range all[i].Services {
		if err := placeIsFree(all, p.Project, y, s); err != nil {
			return err
		}
	}
	if err := k.checkStages(ctx, all[i], y); err != nil {
		return err
	}
	return k.checkDefinitions(ctx, p, all[i])
}

// checkStages refuses changes of stages with services that would be ignored,
// or would leave what runs there without an owner.
func (k *Keeper) checkStages(ctx context.Context, was Info, y fairway.Shipyard) error {
	var ps []fairway.Problem
	kept := false
	for _, old := range was.Shipyard.Stages {
		if _, _, ok := y.Stage(old.Name); ok {
			continue
		}
		services, err := k.servicesOf(ctx, was.Name, old.Name)
		if err != nil {
			return err
		}
		if len(services) > 0 {
			ps = append(ps, fairway.Problem{File: shipyardFile, Field: "stages", Message: fmt.Sprintf("lacks stage %s, which has services (%s): what runs there would be nobody's", old.Name, joined(services)),
				Remedy: "keep the stage; a stage is renamed by adding one under the new name, and goes with its project"})
		}
	}
	for i, now := range y.Stages {
		old, _, ok := was.Shipyard.Stage(now.Name)
		if !ok {
			continue
		}
		kept = true
		services, err := k.servicesOf(ctx, was.Name, now.Name)
		if err != nil {
			return err
		}
		if len(services) == 0 {
			continue
		}
		now = now.WithDefaults()
		refuse := func(key, value, was, why string) {
			ps = append(ps, fairway.Problem{File: shipyardFile, Field: fmt.Sprintf("stages[%d].%s", i, key), Value: value, Message: why, Remedy: "leave " + key + ": " + was + ", or add a stage under another name"})
		}
		if now.DeploymentStrategy != old.DeploymentStrategy {
			refuse("deployment_strategy", string(now.DeploymentStrategy), string(old.DeploymentStrategy),
				fmt.Sprintf("cannot be changed while stage %s has services: their charts are laid out for %s", now.Name, old.DeploymentStrategy))
		}
		if now.Namespace != old.Namespace {
			refuse("namespace", string(now.Namespace), string(old.Namespace),
				fmt.Sprintf("cannot be changed while stage %s has services: what runs in %s would be left there", now.Name, old.Namespace))
		}
	}
	if !kept {
		ps = append(ps, fairway.Problem{File: shipyardFile, Field: "stages", Message: "has none of the present stages (" + was.Shipyard.StageNames() + "), from which new ones get their services", Remedy: "keep at least one of them"})
	}
	return fairway.InvalidAll(ps)
}

func (k *Keeper) pushedShipyard(ctx context.Context, p git.Push) (fairway.Shipyard, error) {
	if main, ok := p.Beside(mainBranch); ok {
		if doc, ok, err := main.File(shipyardFile); err != nil || ok {
			if err != nil {
				return fairway.Shipyard{}, err
			}
			return shipyard.Parse(shipyardFile, doc)
		}
	}
	y, _, err := k.shipyardOf(ctx, p.Project)
	return y, err
}

func (k *Keeper) checkStage(ctx context.Context, p git.Push, stage fairway.Stage) error {
	var before map[string][]byte
	if b := p.Before(); b != nil {
		files, err := b.Files("")
		if err != nil {
			return err
		}
		before = files
	}
	after, err := p.After().Files("")
	if err != nil {
		return err
	}
	change, err := chart.Check(before, after)
	if err != nil {
		return err
	}
	for _, c := range change.Services {
		if err := refuseByHand(c); err != nil {
			return err
		}
		if err := k.checkWeights(ctx, p, stage, c, after); err != nil {
			return err
		}
	}
	for _, s := range chart.Services(after) {
		if err := k.checkService(ctx, p, stage, s, after); err != nil {
			return err
		}
	}
	return nil
}

// refuseByHand refuses what a push cannot say.
func refuseByHand(c chart.ServiceChange) error {
	if c.Added || c.Removed {
		return fairway.Errorf(fairway.KindInvalid, "service %s was added or removed by hand; use: fairway onboard service", c.Service)
	}
	for colour, a := range c.Images {
		if a.Image == "" {
			return fairway.InFile(chart.ValuesFile, fairway.Invalid(chart.ColourKey(c.Service, colour)+".image", "", "was taken away", "name the image and tag to deliver, or restore those that stood there"))
		}
	}
	return nil
}

func (k *Keeper) checkService(ctx context.Context, p git.Push, stage fairway.Stage, s fairway.ServiceName, after map[string][]byte) error {
	own := map[string][]byte{}
	for name, body := range after {
		if rest, ok := strings.CutPrefix(name, string(s)+"/"); ok {
			own[rest] = body
		}
	}
	if err := checkResources(own); err != nil {
		return err
	}
	strategy, err := chart.Strategy(after, s)
	if err != nil {
		return err
	}
	if err := k.renderAll(ctx, p.Project, forService(stage, strategy), s, after); err != nil {
		return fmt.Errorf("service %s: %w", s, err)
	}
	return nil
}
