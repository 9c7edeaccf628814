package app_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/fairwaycd/fairway"
	"github.com/fairwaycd/fairway/api"
)

// names are the services of a board's items, in their order.
func names(b api.Board) string {
	var out []string
	for _, row := range b.Items {
		out = append(out, string(row.Project)+"/"+string(row.Service))
	}
	return strings.Join(out, " ")
}

func TestBoard(t *testing.T) {
	t.Parallel()
	a, c := start(t, t.TempDir())
	defer stop(t, a)
	board := func(f api.BoardFilter) api.Board {
		t.Helper()
		b, err := c.Board(t.Context(), f)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	if b := board(api.BoardFilter{}); len(b.Items) != 0 || b.From != 0 || b.Total != 0 {
		t.Errorf("an empty board: %+v", b)
	}
	shop(t, c)
	if _, err := c.CreateProject(t.Context(), api.CreateProject{Name: "other", Shipyard: "registry: other\nstages: [{name: dev, namespace: other-dev}, {name: live}]\n"}); err != nil {
		t.Fatal(err)
	}
	for i := range 3 {
		if _, err := c.OnboardService(t.Context(), api.OnboardService{Project: "shop", Values: fmt.Sprintf("service: {name: more-%d}\n", i)}); err != nil {
			t.Fatal(err)
		}
	}
	pushWeb(t, a, "7.0") // cannot be started
	waitFor(t, c, 1)

	all := board(api.BoardFilter{})
	if names(all) != "shop/more-0 shop/more-1 shop/more-2 shop/web" || all.Total != 4 || all.From != 1 || all.Next != "" || all.HasPrevious {
		t.Errorf("%s, %+v", names(all), all)
	}
	if c := all.Counts; c.All != 4 || c.Failed != 1 || c.People != 1 || c.Moving != 0 {
		t.Errorf("counts %+v", c)
	}
	if len(all.Attention) != 1 || all.Attention[0].Why != "failed" || all.Attention[0].Delivery.Service != "web" || all.Attention[0].Delivery.Reason == "" {
		t.Errorf("attention %+v", all.Attention)
	}
	if !slices.Equal(all.Names, []fairway.ProjectName{"other", "shop"}) || len(all.Projects) != 2 || all.Projects[0].Services != 0 || len(all.Projects[0].Stages) != 2 || all.Projects[1].Services != 4 {
		t.Errorf("names %v, projects %+v", all.Names, all.Projects)
	}
	if web := all.Items[3]; web.Latest == nil || web.Latest.Status != fairway.StatusFailed || len(web.Latest.Stages) != 0 || len(web.Stages) != 1 || web.Stages[0].Stage != "dev" {
		t.Errorf("%+v", web)
	}

	for search, want := range map[string]string{"we": "shop/web", "SHOP more 1": "shop/more-1", "nothing": "", "other": ""} {
		if b := board(api.BoardFilter{Search: search}); names(b) != want || b.Counts.All != b.Total {
			t.Errorf("search %q: %q, %+v", search, names(b), b.Counts)
		}
	}
	if b := board(api.BoardFilter{State: api.BoardFailed}); names(b) != "shop/web" || b.Counts.All != 4 {
		t.Errorf("failed: %s, %+v", names(b), b.Counts)
	}
	if b := board(api.BoardFilter{Project: "other"}); len(b.Items) != 0 || len(b.Projects) != 1 || len(b.Attention) != 0 {
		t.Errorf("one project: %+v", b)
	}
	first := board(api.BoardFilter{Limit: 2})
	second := board(api.BoardFilter{Limit: 2, After: first.Next})
	if names(first) != "shop/more-0 shop/more-1" || names(second) != "shop/more-2 shop/web" || second.From != 3 || !second.HasPrevious || second.Previous != "" || second.Next != "" {
		t.Errorf("pages %s, %s: %+v", names(first), names(second), second)
	}
	if third := board(api.BoardFilter{Limit: 1, After: "shop/more-1"}); names(third) != "shop/more-2" || third.Previous != "shop/more-0" {
		t.Errorf("%s after %q", names(third), third.Previous)
	}
	if _, err := c.Board(t.Context(), api.BoardFilter{Project: "nix"}); fairway.KindOf(err) != fairway.KindNotFound || !strings.Contains(err.Error(), "other, shop") {
		t.Errorf("an unknown project: %v", err)
	}
	if _, err := c.Board(t.Context(), api.BoardFilter{State: "sad"}); fairway.KindOf(err) != fairway.KindInvalid || !strings.Contains(err.Error(), "people") {
		t.Errorf("an unknown state: %v", err)
	}

	p, err := c.Project(t.Context(), "shop")
	if err != nil {
		t.Fatal(err)
	}
	diff, err := c.CommitDiff(t.Context(), "shop", p.Commit)
	if err != nil || diff.Parent != "" || len(diff.Files) != 1 || diff.Files[0].Path != "shipyard.yaml" || !strings.Contains(diff.Files[0].Diff, "+stages: [{name: dev}]\n") {
		t.Errorf("the project's first commit: %+v, %v", diff, err)
	}
}
