package project

import (
	"context"
	"slices"
	"sync"

	"github.com/fairwaycd/fairway"
	"github.com/fairwaycd/fairway/chart"
)

func chartInit(name fairway.ProjectName, s fairway.Stage, domain string) map[string][]byte {
	return chart.Init(name, s.WithDefaults(), domain)
}

// tree is a branch's content at one commit.
type tree struct {
	commit   string
	files    map[string][]byte
	services []fairway.ServiceName
	strategy map[fairway.ServiceName]fairway.DeploymentStrategy
}

type planKey struct {
	project fairway.ProjectName
	branch  string
}

type planEntry struct{ tree *tree }

// planCache keeps what was derived from a branch's last commit.
type planCache struct {
	mu sync.Mutex
	by map[planKey]planEntry
}

// tree returns the branch's content at its tip.
func (k *Keeper) tree(ctx context.Context, p fairway.ProjectName, branch string) (*tree, error) {
	snap, err := k.Git.Read(ctx, p, branch)
	if err != nil {
		return nil, err
	}
	key := planKey{p, branch}
	k.plans.mu.Lock()
	have := k.plans.by[key].tree
	k.plans.mu.Unlock()
	if have != nil && have.commit == snap.Commit {
		return have, nil
	}
	files, err := snap.Files("")
	if err != nil {
		return nil, err
	}
	t := &tree{commit: snap.Commit, files: files, services: chart.Services(files), strategy: map[fairway.ServiceName]fairway.DeploymentStrategy{}}
	for _, s := range t.services {
		st, err := chart.Strategy(files, s)
		if err != nil {
			return nil, err
		}
		t.strategy[s] = st
	}
	k.plans.mu.Lock()
	k.plans.by[key] = planEntry{t}
	k.plans.mu.Unlock()
	return t, nil
}

// Plan returns the stages that hold for a delivery of the service that starts
// now: the shipyard's, with the service's own strategy where it has one.
func (k *Keeper) Plan(ctx context.Context, p fairway.ProjectName, s fairway.ServiceName) ([]fairway.Stage, error) {
	ok, err := k.Git.Exists(ctx, p)
	if err != nil {
		return nil, err
	}
	if !ok {
		return nil, k.noProject(ctx, p)
	}
	y, _, err := k.shipyardOf(ctx, p)
	if err != nil {
		return nil, err
	}
	plan := make([]fairway.Stage, 0, len(y.Stages))
	for _, stage := range y.Stages {
		t, err := k.tree(ctx, p, string(stage.Name))
		if err != nil {
			return nil, err
		}
		if !slices.Contains(t.services, s) {
			return nil, unknownService(p, s, t.services)
		}
		plan = append(plan, forService(stage, t.strategy[s]))
	}
	return plan, nil
}

// forService is the stage as a service with its own strategy sees it.
func forService(stage fairway.Stage, strategy fairway.DeploymentStrategy) fairway.Stage {
	stage = stage.WithDefaults()
	if strategy != "" {
		stage.DeploymentStrategy = strategy
	}
	if stage.DeploymentStrategy == fairway.Direct {
		stage.Release = fairway.ReleaseAfterGate
	}
	return stage
}
