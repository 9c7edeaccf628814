package project_test

import (
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/fairwaycd/fairway"
	"github.com/fairwaycd/fairway/controller"
	"github.com/fairwaycd/fairway/git"
	"github.com/fairwaycd/fairway/project"
)

func keeper(t *testing.T) *project.Keeper {
	t.Helper()
	quiet := slog.New(slog.DiscardHandler)
	store, err := git.Open(t.TempDir(), git.Options{Logger: quiet, NoSync: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { store.Close() })
	var minutes atomic.Int64 // nothing may depend on two calls in one second
	now := func() time.Time { return time.Date(2026, 1, 1, 0, int(minutes.Add(1)), 0, 0, time.UTC) }
	return project.New(project.Options{Git: store, Domain: "localhost", Logger: quiet, Now: now})
}

func example(t *testing.T, name ...string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(append([]string{"..", "examples"}, name...)...))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func sockshop(t *testing.T) *project.Keeper {
	t.Helper()
	k := keeper(t)
	if _, err := k.Create(t.Context(), "ann", "sockshop", "", example(t, "onboarding-carts", "shipyard.yaml"), false); err != nil {
		t.Fatal(err)
	}
	if _, err := k.Onboard(t.Context(), "ann", project.Onboard{Project: "sockshop", Service: "carts", Values: example(t, "onboarding-carts", "values_carts.yaml")}); err != nil {
		t.Fatal(err)
	}
	return k
}

func TestProjectsAndServices(t *testing.T) {
	t.Parallel()
	k := sockshop(t)
	p, err := k.Project(t.Context(), "sockshop")
	if err != nil || len(p.Services) != 1 || p.Services[0] != "carts" || len(p.Shipyard.Stages) != 3 {
		t.Fatalf("%+v, %v", p, err)
	}
	// Doing it again changes nothing.
	if _, err := k.Create(t.Context(), "ann", "sockshop", "", example(t, "onboarding-carts", "shipyard.yaml"), false); err != nil {
		t.Errorf("creating it again: %v", err)
	}
	again, err := k.Onboard(t.Context(), "ann", project.Onboard{Project: "sockshop", Values: example(t, "onboarding-carts", "values_carts.yaml")})
	if err != nil || len(again.Files) != 0 {
		t.Errorf("onboarding it again: %+v, %v", again, err)
	}
	plan, err := k.Plan(t.Context(), "sockshop", "carts")
	if err != nil || len(plan) != 3 || plan[1].Gate != fairway.GateOptional || plan[2].DeploymentStrategy != fairway.BlueGreen {
		t.Errorf("plan %+v, %v", plan, err)
	}
	if _, s, ok, err := k.Owner(t.Context(), "sockshop/carts", "1.0"); !ok || s != "carts" || err != nil {
		t.Errorf("the owner of an image: %v %v %v", s, ok, err)
	}
	if _, _, ok, _ := k.Owner(t.Context(), "sockshop/carts", "latest"); ok {
		t.Error("a tag that moves starts deliveries")
	}
}

func TestWhatIsRefusedChangesNothing(t *testing.T) {
	t.Parallel()
	k := sockshop(t)
	before, err := k.Project(t.Context(), "sockshop")
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		do   func() error
		kind fairway.Kind
		want string
	}{
		"another shipyard under the name": {func() error {
			_, err := k.Create(t.Context(), "", "sockshop", "", []byte("registry: sockshop\nstages: [{name: dev}]\n"), false)
			return err
		}, fairway.KindConflict, "sockshop"},
		"a registry that is taken": {func() error {
			_, err := k.Create(t.Context(), "", "other", "", []byte("registry: sockshop\nstages: [{name: dev}]\n"), false)
			return err
		}, fairway.KindInvalid, "registry"},
		"an unknown project": {func() error {
			_, err := k.Onboard(t.Context(), "", project.Onboard{Project: "shop", Values: []byte("service: {name: carts}\n")})
			return err
		}, fairway.KindNotFound, "there are: sockshop"},
		"another name than the values'": {func() error {
			_, err := k.Onboard(t.Context(), "", project.Onboard{Project: "sockshop", Service: "orders", Values: []byte("service: {name: carts}\n")})
			return err
		}, fairway.KindInvalid, "service.name"},
		"a template that cannot be rendered": {func() error {
			_, err := k.Onboard(t.Context(), "", project.Onboard{Project: "sockshop", Values: []byte("service: {name: orders}\n"), Deployment: []byte("apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: {{ .Values.nothing.there }} }\n")})
			return err
		}, fairway.KindInvalid, "helm-chart/templates/orders"},
		"a perfspec that is wrong": {func() error {
			_, _, err := k.AddResources(t.Context(), "", "sockshop", "carts", nil, map[string][]byte{"perfspec/perfspec.json": []byte(`{"indicators": 3}`)}, false)
			return err
		}, fairway.KindInvalid, "perfspec/perfspec.json:1"},
		"resources of a service that is not there": {func() error {
			_, _, err := k.AddResources(t.Context(), "", "sockshop", "orders", nil, map[string][]byte{"tests/functional.yaml": []byte("requests: [{path: /}]\n")}, false)
			return err
		}, fairway.KindNotFound, "it has: carts"},
		"a stage that is not there": {func() error {
			_, _, err := k.AddResources(t.Context(), "", "sockshop", "carts", []fairway.StageName{"qa"}, map[string][]byte{"tests/functional.yaml": []byte("requests: [{name: x, path: /}]\n")}, false)
			return err
		}, fairway.KindNotFound, "dev, staging, production"},
	} {
		err := c.do()
		if fairway.KindOf(err) != c.kind || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v (kind %s), want kind %s and %q", name, err, fairway.KindOf(err), c.kind, c.want)
		}
	}
	after, err := k.Project(t.Context(), "sockshop")
	if err != nil || after.Commit != before.Commit || len(after.Services) != 1 {
		t.Errorf("something was changed: %+v, %v", after, err)
	}
}

// Two projects must not own one place.
func TestAPlaceBelongsToOneProject(t *testing.T) {
	t.Parallel()
	k := sockshop(t)
	if _, err := k.Create(t.Context(), "", "shop2", "", []byte("stages: [{name: dev}]\n"), false); err != nil {
		t.Fatal(err)
	}
	_, err := k.Onboard(t.Context(), "", project.Onboard{Project: "shop2", Values: example(t, "onboarding-carts", "values_carts.yaml")})
	if err == nil || !strings.Contains(err.Error(), "namespace: shop2-dev") {
		t.Errorf("the second owner of dev/carts: %v", err)
	}
}

func TestEffectsAreCommittedOnce(t *testing.T) {
	t.Parallel()
	k := sockshop(t)
	plan, err := k.Plan(t.Context(), "sockshop", "carts")
	if err != nil {
		t.Fatal(err)
	}
	c := controller.Change{Project: "sockshop", Service: "carts", Stage: plan[1], Colour: fairway.Blue, Delivery: "d", Key: "d/staging/1/configure", Reason: "Use 007"}
	a := fairway.Artifact{Image: "127.0.0.1:8080/sockshop/carts", Tag: "007", Digest: "sha256:" + strings.Repeat("a", 64)}
	first, err := k.SetImage(t.Context(), c, a)
	if err != nil {
		t.Fatal(err)
	}
	other := c
	other.Key, other.Reason = "d/staging/1/release", "Send traffic"
	if _, err := k.SetWeights(t.Context(), other, fairway.Full(fairway.Blue)); err != nil {
		t.Fatal(err)
	}
	again, err := k.SetImage(t.Context(), c, a)
	if err != nil || again != first {
		t.Errorf("the effect was committed again: %s, %v; want %s", again, err, first)
	}
	out, err := k.Render(t.Context(), c, first, a)
	if err != nil || !strings.Contains(string(out.Manifests[0]), a.Image+":"+a.Tag+"@"+a.Digest) {
		t.Errorf("rendered %s, %v", out.Manifests, err)
	}
	back := c
	back.Key, back.Reason = "d/staging/1/rollback", "Take traffic back"
	if _, err := k.SetWeights(t.Context(), back, nil); err != nil {
		t.Errorf("taking the weights away: %v", err)
	}
}
