package app_test

import (
	"slices"
	"testing"
	"time"

	"github.com/fairwaycd/fairway"
	"github.com/fairwaycd/fairway/api"
)

// What was delivered shows in the figures, in git, and in how Fairway itself is.
func TestWhatWasDeliveredShows(t *testing.T) {
	t.Parallel()
	a, c := start(t, t.TempDir())
	defer stop(t, a)
	shop(t, c)
	pushWeb(t, a, "1")
	waitFor(t, c, 1)
	pushWeb(t, a, "2")
	ds := waitFor(t, c, 2)

	for _, f := range []api.DoraFilter{{Project: "shop"}, {Project: "shop", Service: "web", Since: time.Now().Add(-time.Hour)}} {
		d, err := c.Dora(t.Context(), f)
		if err != nil || d.Deployments != 0 || d.Production != "dev" || len(d.Series) < 2 { // what never got ready was not deployed
			t.Errorf("%+v: %+v, error %v", f, d, err)
		}
	}
	for _, f := range []api.DoraFilter{{Project: "nix"}, {Project: "shop", Service: "nix"}} {
		if _, err := c.Dora(t.Context(), f); fairway.KindOf(err) != fairway.KindNotFound {
			t.Errorf("%+v: %v", f, err)
		}
	}
	if _, err := c.Dora(t.Context(), api.DoraFilter{Project: "shop", Since: time.Now().Add(time.Hour)}); fairway.KindOf(err) != fairway.KindInvalid {
		t.Errorf("from the future on: %v", err)
	}

	p, err := c.Project(t.Context(), "shop")
	if err != nil {
		t.Fatal(err)
	}
	branch := string(p.Shipyard.Stages[0].Name)
	page, err := c.Commits(t.Context(), api.CommitFilter{Project: "shop", Branch: branch, Limit: 1})
	if err != nil || len(page.Items) != 1 || page.Next == "" || !slices.ContainsFunc(ds, func(d fairway.Delivery) bool { return d.ID == page.Items[0].Delivery }) {
		t.Errorf("the newest commit of %s: %+v, error %v", branch, page, err)
	}
	rest, err := c.Commits(t.Context(), api.CommitFilter{Project: "shop", Branch: branch, Before: page.Next})
	if err != nil || len(rest.Items) < 2 || rest.Next != "" || rest.Items[0].Hash == page.Items[0].Hash {
		t.Errorf("the rest: %+v, error %v", rest, err)
	}
	if all, err := c.Commits(t.Context(), api.CommitFilter{Project: "shop"}); err != nil || len(all.Items) == 0 {
		t.Errorf("main: %+v, error %v", all, err)
	}
	if _, err := c.Commits(t.Context(), api.CommitFilter{Project: "shop", Branch: "nix"}); fairway.KindOf(err) != fairway.KindNotFound {
		t.Errorf("an unknown branch: %v", err)
	}
}

func TestSystemSaysHowFairwayIs(t *testing.T) {
	t.Parallel()
	a, c := start(t, t.TempDir())
	defer stop(t, a)
	shop(t, c)
	pushWeb(t, a, "1")
	waitFor(t, c, 1)
	s, err := c.System(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if !s.Ready || s.Projects != 1 || s.Services != 1 || s.Counts["failed"] != 1 || s.Memory < 1<<20 || s.Disk.Total < s.Disk.Free || s.Disk.Free == 0 {
		t.Errorf("%+v", s)
	}
	if len(s.Shards) != 8 || len(s.Streams) != 12 || s.Inputs.Limit == 0 || s.Tests.Slots == 0 || s.Steps.Slots == 0 {
		t.Errorf("%d shards, %d streams, inputs %+v, tests %+v, steps %+v", len(s.Shards), len(s.Streams), s.Inputs, s.Tests, s.Steps)
	}
	records := uint64(0)
	for _, x := range s.Shards {
		records += x.Sequence
	}
	if records == 0 {
		t.Error("no shard has a record")
	}
	for _, name := range []string{"nats", "git", "registry", "images", "metrics"} {
		if !slices.ContainsFunc(s.Storage, func(x api.Storage) bool { return x.Name == name && x.Bytes > 0 && x.Files > 0 }) {
			t.Errorf("storage does not say what %s takes: %+v", name, s.Storage)
		}
	}
	for _, p := range s.Parts {
		if p.State == api.PartTrouble || p.Text == "" {
			t.Errorf("part %s: %s %s", p.Name, p.State, p.Text)
		}
	}
}
