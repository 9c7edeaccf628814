package project

import (
	"context"
	"fmt"
	"strings"

	"github.com/fairwaycd/fairway"
	"github.com/fairwaycd/fairway/chart"
	"github.com/fairwaycd/fairway/git"
	"github.com/fairwaycd/fairway/sequence"
)

// checkWeights refuses pushed weights that could not be set by hand now, with
// the place in the file where they stand.
func (k *Keeper) checkWeights(ctx context.Context, p git.Push, stage fairway.Stage, c chart.ServiceChange, after map[string][]byte) error {
	if c.Weights == nil {
		return nil
	}
	err := k.MayRoute(ctx, p.Project, c.Service, stage.Name, c.Weights)
	if kind := fairway.KindOf(err); kind != fairway.KindRefused && kind != fairway.KindInvalid {
		return err
	}
	file := chart.VirtualServiceFile(c.Service)
	line, column := chart.WeightsAt(file, after[file])
	return fairway.InvalidAll([]fairway.Problem{{
		File: file, Line: line, Column: column, Field: "weights", Value: c.Weights.String(), Message: "cannot be set now: " + err.Error(),
		Remedy: fmt.Sprintf("push without them, or see: fairway route show; fairway route set %s --project %s --stage %s says the same", c.Service, p.Project, stage.Name),
	}})
}

// AfterPush stores what a push means: for each service that it changes, or for
// the project. A stage that it added to the shipyard gets its branch first.
// The push is in git by then, so that the client's going away does not matter.
func (k *Keeper) AfterPush(ctx context.Context, p git.Push) error {
	ctx = context.WithoutCancel(ctx)
	if p.Branch == mainBranch {
		k.completeBranches(ctx, p.Project)
		return k.afterMain(ctx, p)
	}
	before, after, err := filesOf(p)
	if err != nil {
		return err
	}
	change, err := chart.Check(before, after)
	if err != nil {
		return err
	}
	m := meaning{k: k, push: p, before: before, after: after}
	for _, c := range m.services(change) {
		in, err := m.of(ctx, c)
		if err != nil {
			return err
		}
		if err := k.Store(ctx, p.Project, c.Service, in); err != nil {
			return fmt.Errorf("store what the push means for %s: %w", c.Service, err)
		}
	}
	return nil
}

// filesOf returns all files of the branch before and after the push.
func filesOf(p git.Push) (before, after map[string][]byte, err error) {
	if b := p.Before(); b != nil {
		if before, err = b.Files(""); err != nil {
			return nil, nil, err
		}
	}
	after, err = p.After().Files("")
	return before, after, err
}

func (k *Keeper) afterMain(ctx context.Context, p git.Push) error {
	services, changed, err := definedBy(p)
	if err != nil {
		return err
	}
	if err := k.define(ctx, p, services); err != nil {
		return err
	}
	if len(changed) == 0 && len(services) > 0 {
		return nil
	}
	note := "nothing changed"
	if len(changed) > 0 {
		note = strings.Join(changed, ", ") + " changed, which holds for deliveries that start after it"
	}
	return k.Store(ctx, p.Project, NoService, sequence.Pushed{Commit: p.New, Actor: p.Actor, Notes: []string{note}})
}

// HandleMissed stores what pushes mean after which the process ended too
// early, or could not store it.
func (k *Keeper) HandleMissed(ctx context.Context) error {
	left, err := k.Git.Unhandled(ctx)
	for _, p := range left {
		k.Logger.Warn("a push was stored and not handled, and is now", "project", p.Project, "branch", p.Branch, "commit", p.New)
		if err := k.AfterPush(ctx, p); err != nil {
			return fmt.Errorf("handle the push of %.8s to branch %s of project %s: %w", p.New, p.Branch, p.Project, err)
		}
		if err := k.Git.Handled(ctx, p); err != nil {
			return err
		}
	}
	return err
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

// completeBranches gives every stage without a branch one: from the stage
// before it, or for the first ones from the next that has one. Nothing was
// delivered there: images and weights stay behind.
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
		if _, ok := have[string(s.Name)]; ok {
			from = string(s.Name)
			break
		}
	}
	if from == "" {
		k.Logger.Error("no stage of the shipyard has a branch from which the others could get theirs", "project", p)
		return
	}
	for _, s := range y.Stages {
		if _, ok := have[string(s.Name)]; !ok {
			if err := k.branchOff(ctx, p, from, s.Name); err != nil {
				k.Logger.Error("the new stage gets no branch", "project", p, "stage", s.Name, "error", err)
				return
			}
		}
		from = string(s.Name)
	}
}

func (k *Keeper) branchOff(ctx context.Context, p fairway.ProjectName, from string, stage fairway.StageName) error {
	_, err := k.Git.CreateBranch(ctx, p, from, string(stage), git.CommitRequest{
		Info: k.info("", fmt.Sprintf("Begin stage %s, to which nothing was delivered yet", stage)),
		Edit: func(s *git.Snapshot) (map[string][]byte, error) {
			files, err := s.Files(chartDir)
			if err != nil {
				return nil, err
			}
			return chart.Blank(files)
		},
	})
	return err
}

func joined(services []fairway.ServiceName) string {
	texts := make([]string, len(services))
	for i, s := range services {
		texts[i] = string(s)
	}
	return strings.Join(texts, ", ")
}
