package app

import (
	"context"
	"fmt"
	"time"

	"github.com/fairwaycd/fairway"
	"github.com/fairwaycd/fairway/api"
	"github.com/fairwaycd/fairway/git"
)

// ConfigureUpstream implements [api.Backend].
func (b *backend) ConfigureUpstream(ctx context.Context, r api.ConfigureUpstream) (fairway.UpstreamState, error) {
	if err := b.taking(); err != nil {
		return fairway.UpstreamState{}, err
	}
	if _, err := b.keeper.Project(ctx, r.Project); err != nil {
		return fairway.UpstreamState{}, err
	}
	b.changing.RLock()
	defer b.changing.RUnlock()
	if err := b.notGoing(r.Project, ""); err != nil {
		return fairway.UpstreamState{}, err
	}
	return b.git.SetUpstream(ctx, r.Project, git.Upstream{
		URL: r.URL, Username: r.Username, Password: r.Password, SSHKey: r.SSHKey, KnownHosts: r.KnownHosts, CA: r.CA,
		Poll: time.Duration(r.PollSeconds) * time.Second,
	})
}

// RemoveUpstream implements [api.Backend].
func (b *backend) RemoveUpstream(ctx context.Context, p fairway.ProjectName) (api.Project, error) {
	if err := b.taking(); err != nil {
		return api.Project{}, err
	}
	i, err := b.keeper.Project(ctx, p)
	if err != nil {
		return api.Project{}, err
	}
	existed, err := b.git.RemoveUpstream(p)
	if err == nil && !existed {
		err = fairway.Errorf(fairway.KindNotFound, "project %s has no upstream", p)
	}
	return b.projectOf(i), err
}

// SyncUpstream implements [api.Backend].
func (b *backend) SyncUpstream(ctx context.Context, r api.SyncUpstream) (fairway.UpstreamState, error) {
	if err := b.taking(); err != nil {
		return fairway.UpstreamState{}, err
	}
	if _, err := b.keeper.Project(ctx, r.Project); err != nil {
		return fairway.UpstreamState{}, err
	}
	message := fmt.Sprintf("Join the upstream's history, with the content of %s", r.Take)
	if r.Reason != "" {
		message += "\n\n" + r.Reason
	}
	return b.git.SyncUpstream(ctx, r.Project, git.Side(r.Take), git.CommitInfo{Message: message, Author: somebody(ctx), When: time.Now()})
}

// upstreamOf returns how the project's upstream stands, nil when it has none.
func (b *backend) upstreamOf(p fairway.ProjectName) *fairway.UpstreamState {
	if state, ok := b.git.Upstream(p); ok {
		return &state
	}
	return nil
}
