package app

import (
	"context"

	"github.com/fairwaycd/fairway/api"
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
