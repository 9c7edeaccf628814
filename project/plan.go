package project

import (
	"context"
	"sync"

	"github.com/fairwaycd/fairway"
	"github.com/fairwaycd/fairway/chart"
)

func chartInit(name fairway.ProjectName, s fairway.Stage, domain string) map[string][]byte {
	return chart.Init(name, s.WithDefaults(), domain)
}

// read keeps what was read from the tips of branches: most calls see the same
// commit as the one before.
type read struct {
	mu       sync.Mutex
	yards    map[fairway.ProjectName]yardAt
	services map[branch]servicesAt
}

type branch struct {
	project fairway.ProjectName
	stage   fairway.StageName
}

type yardAt struct {
	commit string
	yard   fairway.Shipyard
}

type servicesAt struct {
	commit   string
	services []fairway.ServiceName
	images   map[fairway.ServiceName][]string // repositories that their values name
}

func newRead() *read {
	return &read{yards: map[fairway.ProjectName]yardAt{}, services: map[branch]servicesAt{}}
}

// values returns the values.yaml of a stage's branch, as the only file of a
// chart: what is known about a service without reading its templates.
func (k *Keeper) values(ctx context.Context, p fairway.ProjectName, stage fairway.StageName) (commit string, files map[string][]byte, err error) {
	snap, err := k.Git.Read(ctx, p, string(stage))
	if err != nil {
		return "", nil, err
	}
	body, _, err := snap.File(chart.ValuesFile)
	return snap.Commit, map[string][]byte{chart.ValuesFile: body}, err
}

// servicesOf lists the services of a stage's branch at its tip.
func (k *Keeper) servicesOf(ctx context.Context, p fairway.ProjectName, stage fairway.StageName) ([]fairway.ServiceName, error) {
	at, err := k.branchAt(ctx, p, stage)
	return at.services, err
}

func (k *Keeper) branchAt(ctx context.Context, p fairway.ProjectName, stage fairway.StageName) (servicesAt, error) {
	snap, err := k.Git.Read(ctx, p, string(stage))
	if err != nil {
		return servicesAt{}, err
	}
	k.read.mu.Lock()
	have := k.read.services[branch{p, stage}]
	k.read.mu.Unlock()
	if have.commit == snap.Commit {
		return have, nil
	}
	body, _, err := snap.File(chart.ValuesFile)
	if err != nil {
		return servicesAt{}, err
	}
	files := map[string][]byte{chart.ValuesFile: body}
	have = servicesAt{snap.Commit, chart.Services(files), chart.Repositories(files)}
	k.read.mu.Lock()
	k.read.services[branch{p, stage}] = have
	k.read.mu.Unlock()
	return have, nil
}

// Repositories returns for each service of the project the image repositories
// that its values name in any stage, as they are written; none where nothing
// has been delivered.
func (k *Keeper) Repositories(ctx context.Context, p fairway.ProjectName) (map[fairway.ServiceName][]string, error) {
	i, err := k.Project(ctx, p)
	if err != nil {
		return nil, err
	}
	out := map[fairway.ServiceName][]string{}
	for _, s := range i.Services {
		out[s] = nil
	}
	for _, stage := range i.Shipyard.Stages {
		at, err := k.branchAt(ctx, p, stage.Name)
		if err != nil {
			return nil, err
		}
		for s, images := range at.images {
			out[s] = append(out[s], images...)
		}
	}
	return out, nil
}

// Wants reports whether the project's shipyard takes the tag.
func (i Info) Wants(tag string) bool { return wanted(i.Shipyard, tag) }

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
		_, files, err := k.values(ctx, p, stage.Name)
		if err != nil {
			return nil, err
		}
		strategy, err := chart.Strategy(files, s)
		if fairway.KindOf(err) == fairway.KindNotFound {
			return nil, unknownService(p, s, chart.Services(files))
		}
		if err != nil {
			return nil, err
		}
		plan = append(plan, forService(stage, strategy))
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
