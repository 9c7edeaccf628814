package project

import (
	"context"
	"fmt"
	"strings"

	"github.com/fairwaycd/fairway"
	"github.com/fairwaycd/fairway/chart"
	"github.com/fairwaycd/fairway/git"
	"github.com/fairwaycd/fairway/shipyard"
)

// CheckPush refuses a push that Fairway could not work with: everything is
// parsed and rendered before the branch moves. Weights and image tags cannot
// be pushed: they are what Fairway commits when it acts, and a commit alone
// would say what is not so.
func (k *Keeper) CheckPush(ctx context.Context, p git.Push) error {
	if p.Branch == mainBranch {
		return k.checkMain(p)
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

func (k *Keeper) checkMain(p git.Push) error {
	doc, ok, err := p.After().File(shipyardFile)
	if err != nil {
		return err
	}
	if !ok {
		return fairway.Invalid(shipyardFile, "", "is missing on main", "keep the shipyard there")
	}
	_, err = shipyard.Parse(shipyardFile, doc)
	return err
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
		if err := refuseByHand(c, stage.Name); err != nil {
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

func refuseByHand(c chart.ServiceChange, stage fairway.StageName) error {
	switch {
	case c.Added || c.Removed:
		return fairway.Errorf(fairway.KindInvalid, "service %s was added or removed by hand; use: fairway onboard service", c.Service)
	case c.Weights != nil:
		return fairway.Errorf(fairway.KindInvalid, "the weights of %s in stage %s were changed to %s by hand; they are changed by deliveries only", c.Service, stage, c.Weights)
	case len(c.Images) > 0:
		return fairway.Errorf(fairway.KindInvalid, "the image of %s in stage %s was changed by hand; start a delivery with: fairway send event new-artifact --service %s --stage %s --image IMAGE --tag TAG", c.Service, stage, c.Service, stage)
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
	if err := checkResources(s, own); err != nil {
		return err
	}
	strategy, err := chart.Strategy(after, s)
	if err != nil {
		return err
	}
	if err := renderAll(ctx, p.Project, forService(stage, strategy), s, after); err != nil {
		return fmt.Errorf("service %s: %w", s, err)
	}
	return nil
}

// AfterPush gives a stage that a push added to the shipyard its branch, from
// the stage before it.
func (k *Keeper) AfterPush(ctx context.Context, p git.Push) {
	if p.Branch == mainBranch {
		k.completeBranches(ctx, p.Project)
	}
}

// Complete gives every stage its branch; it is called at start, for pushes
// after which the process ended too early.
func (k *Keeper) Complete(ctx context.Context) error {
	names, err := k.Git.Projects(ctx)
	if err != nil {
		return err
	}
	for _, n := range names {
		k.completeBranches(ctx, n)
	}
	return nil
}

func (k *Keeper) completeBranches(ctx context.Context, p fairway.ProjectName) {
	y, _, err := k.shipyardOf(ctx, p)
	if err != nil {
		k.Logger.Error("the shipyard cannot be read", "project", p, "error", err)
		return
	}
	have, err := k.Git.Branches(ctx, p)
	if err != nil {
		k.Logger.Error("the branches cannot be read", "project", p, "error", err)
		return
	}
	from := ""
	for _, s := range y.Stages {
		if _, ok := have[string(s.Name)]; !ok && from != "" {
			if _, err := k.Git.CreateBranch(ctx, p, from, string(s.Name)); err != nil {
				k.Logger.Error("the new stage gets no branch", "project", p, "stage", s.Name, "error", err)
				return
			}
		}
		from = string(s.Name)
	}
}
