package app

import (
	"cmp"
	"context"
	"math"
	"slices"
	"time"

	"github.com/fairwaycd/fairway"
	"github.com/fairwaycd/fairway/api"
	"github.com/fairwaycd/fairway/controller"
	"github.com/fairwaycd/fairway/dora"
)

// How many commits are listed at once.
const (
	defaultCommits = 50
	maxCommits     = 500
)

// Commits implements [api.Backend].
func (b *backend) Commits(ctx context.Context, f api.CommitFilter) (api.CommitPage, error) {
	if f.Limit <= 0 {
		f.Limit = defaultCommits
	}
	list, more, err := b.git.LogAfter(ctx, f.Project, cmp.Or(f.Branch, fairway.MainBranch), f.Before, min(f.Limit, maxCommits))
	if err != nil {
		return api.CommitPage{}, err
	}
	page := api.CommitPage{Items: make([]api.Commit, len(list))}
	for i, c := range list {
		page.Items[i] = api.Commit{Hash: c.Hash, Parents: c.Parents, Author: c.Author, Email: c.Email, Time: c.When,
			Subject: c.Subject, Body: c.Body(), Delivery: c.Delivery}
	}
	if more {
		page.Next = list[len(list)-1].Hash
	}
	return page, nil
}

// doraSince is how far back figures reach unless somebody says so.
const doraSince = 30 * 24 * time.Hour

// Dora implements [api.Backend].
func (b *backend) Dora(ctx context.Context, f api.DoraFilter) (dora.Figures, error) {
	if err := b.reading(); err != nil {
		return dora.Figures{}, err
	}
	if err := b.known(ctx, f.Project, f.Service, ""); f.Service != "" && err != nil {
		return dora.Figures{}, err
	}
	i, err := b.keeper.Project(ctx, f.Project)
	if err != nil {
		return dora.Figures{}, err
	}
	w := fairway.Window{Start: f.Since.UTC(), End: time.Now().UTC()}
	if f.Since.IsZero() {
		w.Start = w.End.Add(-doraSince)
	}
	if w.Start.After(w.End) {
		return dora.Figures{}, fairway.Invalid("since", w.Start.Format(time.RFC3339), "is in the future", "name an instant that has passed")
	}
	since := map[fairway.ServiceName]time.Time{}
	for _, v := range b.view.Services(f.Project) {
		since[v.Service] = v.Since
	}
	ds := b.view.Deliveries(controller.DeliveryFilter{Project: f.Project, Service: f.Service, Limit: math.MaxInt})
	ds = slices.DeleteFunc(ds, func(d fairway.Delivery) bool {
		return d.StartedAt.Before(since[d.Service]) // another service of that name, which was deleted
	})
	return dora.Compute(ds, i.Shipyard.Stages[len(i.Shipyard.Stages)-1].Name, w), nil
}
