package app

import (
	"context"

	"github.com/fairwaycd/fairway/api"
	"github.com/fairwaycd/fairway/chart"
	"github.com/fairwaycd/fairway/project"
	"github.com/fairwaycd/fairway/sequence"
)

// UpdateProject implements [api.Backend].
func (b *backend) UpdateProject(ctx context.Context, r api.UpdateProject) (api.ProjectUpdate, error) {
	if err := b.taking(); err != nil {
		return api.ProjectUpdate{}, err
	}
	b.changing.RLock()
	defer b.changing.RUnlock()
	if err := b.notGoing(r.Name, sequence.WholeProject); err != nil {
		return api.ProjectUpdate{}, err
	}
	u, err := b.keeper.UpdateProject(ctx, project.Update{
		Actor: actorOf(ctx, ""), Reason: r.Reason, Project: r.Name, File: r.File, Shipyard: []byte(r.Shipyard), DryRun: r.DryRun,
	})
	if err != nil {
		return api.ProjectUpdate{}, err
	}
	return api.ProjectUpdate{Project: b.projectOf(u.Info), Changes: u.Changes}, nil
}

// UpdateService implements [api.Backend].
func (b *backend) UpdateService(ctx context.Context, r api.UpdateService) (api.ServiceUpdate, error) {
	var out api.ServiceUpdate
	if err := b.taking(); err != nil {
		return out, err
	}
	b.changing.RLock()
	defer b.changing.RUnlock()
	if err := b.notGoing(r.Project, r.Service); err != nil {
		return out, err
	}
	done, err := b.keeper.UpdateService(ctx, project.UpdateService{
		Actor: actorOf(ctx, ""), Reason: r.Reason, Project: r.Project, Service: r.Service, DryRun: r.DryRun,
		Definition: chart.Definition{
			Values: optional(r.Values), ValuesName: r.ValuesFile, Deployment: optional(r.Deployment), Service: optional(r.KService),
			Chart: r.Chart, ImageValues: r.ImageValues,
		},
	})
	if err != nil {
		return out, err
	}
	out.Warnings, out.Commit, out.Stages = done.Warnings, done.Commit, []api.StageDiff{}
	for _, d := range done.Diffs {
		out.Stages = append(out.Stages, api.StageDiff{Stage: d.Stage, Diff: d.Diff})
	}
	if id := sequence.PushedDelivery(r.Project, r.Service, "", done.Commit); done.Commit != "" {
		if d, err := b.view.Delivery(string(id)); err == nil {
			out.Delivery = d.ID
		}
	}
	return out, nil
}
