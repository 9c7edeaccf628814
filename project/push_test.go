package project_test

import (
	"context"
	"log/slog"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/fairwaycd/fairway"
	"github.com/fairwaycd/fairway/git"
	"github.com/fairwaycd/fairway/internal/testenv"
	"github.com/fairwaycd/fairway/project"
)

// served is a keeper whose repositories can be pushed to, and the address.
func served(t *testing.T) (*project.Keeper, *git.Store, string) {
	t.Helper()
	testenv.Need(t, "git")
	quiet := slog.New(slog.DiscardHandler)
	var k *project.Keeper
	store, err := git.Open(t.TempDir(), git.Options{
		Logger: quiet, NoSync: true,
		CheckPush: func(ctx context.Context, p git.Push) error { return k.CheckPush(ctx, p) },
		AfterPush: func(ctx context.Context, p git.Push) error {
			gone, cancel := context.WithCancel(ctx)
			cancel() // the client may be gone by now
			return k.AfterPush(gone, p)
		},
		Deciding: func(p fairway.ProjectName, branches []string) func() { return k.Deciding(p, branches) },
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { store.Close() })
	k = project.New(project.Options{Git: store, Domain: "localhost", Logger: quiet})
	s := httptest.NewServer(store.Handler())
	t.Cleanup(s.Close)
	return k, store, s.URL
}

// push commits a shipyard to main and pushes it; the answer is empty when it
// was taken.
func push(t *testing.T, url, doc string) string {
	t.Helper()
	dir := t.TempDir()
	git := func(arg ...string) string {
		cmd := exec.CommandContext(t.Context(), "git", append([]string{"-c", "user.name=t", "-c", "user.email=t@example.com", "-C", dir}, arg...)...)
		cmd.Env = append(os.Environ(), "GIT_CONFIG_GLOBAL=/dev/null", "GIT_CONFIG_NOSYSTEM=1", "GIT_TERMINAL_PROMPT=0")
		out, err := cmd.CombinedOutput()
		if err != nil && len(out) == 0 {
			return err.Error()
		}
		return string(out)
	}
	if out := git("clone", "-q", "-b", "main", url, "."); out != "" {
		t.Fatal(out)
	}
	if err := os.WriteFile(filepath.Join(dir, "shipyard.yaml"), []byte(doc), 0o600); err != nil {
		t.Fatal(err)
	}
	if out := git("commit", "-q", "-a", "-m", "Change the shipyard"); out != "" {
		t.Fatal(out)
	}
	return git("push", "-q", "origin", "main")
}

func create(t *testing.T, k *project.Keeper, name fairway.ProjectName, doc string, services ...string) {
	t.Helper()
	if _, err := k.Create(t.Context(), "ann", name, "", []byte(doc), false); err != nil {
		t.Fatal(err)
	}
	for _, s := range services {
		if _, err := k.Onboard(t.Context(), "ann", project.Onboard{Project: name, Values: []byte("service: {name: " + s + "}\n")}); err != nil {
			t.Fatal(err)
		}
	}
}

func TestANewFirstStageGetsItsBranch(t *testing.T) {
	t.Parallel()
	k, store, url := served(t)
	create(t, k, "shop", "stages: [{name: dev}]\n", "web")
	if out := push(t, url+"/shop.git", "stages: [{name: lab}, {name: rig}, {name: dev}, {name: live}]\n"); out != "" {
		t.Fatal(out)
	}
	have, err := store.Branches(t.Context(), "shop")
	if err != nil || len(have) != 5 {
		t.Fatalf("branches %v, %v", have, err)
	}
	if plan, err := k.Plan(t.Context(), "shop", "web"); err != nil || len(plan) != 4 {
		t.Errorf("plan %+v, %v", plan, err)
	}
}

func TestAShipyardThatWouldBreakWhatIsThereIsRefused(t *testing.T) {
	t.Parallel()
	k, _, url := served(t)
	create(t, k, "shop", "stages: [{name: dev}, {name: live, deployment_strategy: blue_green_service}]\n", "web")
	create(t, k, "mine", "stages: [{name: dev, namespace: mine-dev}]\n", "web")
	for doc, want := range map[string]string{
		"stages: [{name: dev}, {name: live}]\n":                    "deployment_strategy: blue_green_service",
		"stages: [{name: dev, namespace: d}, {name: live}]\n":      "namespace: dev",
		"registry: mine\nstages: [{name: dev}]\n":                  "registry of project mine",
		"stages: [{name: dev}, {name: qa, namespace: mine-dev}]\n": "of project mine",
		"stages: [{name: qa}]\n":                                   "keep at least one of them",
	} {
		if out := push(t, url+"/shop.git", doc); !strings.Contains(strings.Join(strings.Fields(strings.ReplaceAll(out, "remote:", "")), " "), want) {
			t.Errorf("%swas answered %q, want %q", doc, out, want)
		}
	}
	if out := push(t, url+"/shop.git", "stages: [{name: dev, namespace: dev}, {name: live, deployment_strategy: blue_green_service, approval: manual}]\n"); out != "" {
		t.Errorf("what can be followed was refused: %s", out)
	}
}

// A project that cannot be read is shown with its error and is nobody else's
// trouble.
func TestABrokenProjectIsShown(t *testing.T) {
	t.Parallel()
	k, store, _ := served(t)
	create(t, k, "shop", "stages: [{name: dev}]\n", "web")
	// A commit of Fairway's own is not checked as a push is.
	create(t, k, "broken", "stages: [{name: dev, namespace: x}]\n")
	_, _, err := store.Commit(t.Context(), "broken", "main", git.CommitRequest{
		Info: git.CommitInfo{Message: "Break it", Author: "t", When: time.Unix(1, 0)},
		Edit: func(*git.Snapshot) (map[string][]byte, error) {
			return map[string][]byte{"shipyard.yaml": []byte("stages: 3\n")}, nil
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	all, err := k.Projects(t.Context())
	if err != nil || len(all) != 2 || all[0].Err == nil || all[1].Err != nil || len(all[1].Services) != 1 {
		t.Fatalf("%+v, %v", all, err)
	}
	if p, _, ok, err := k.Owner(t.Context(), "shop/web", "1"); p != "shop" || !ok || err != nil {
		t.Errorf("the owner beside a broken project: %s, %v, %v", p, ok, err)
	}
	if _, _, _, err := k.Owner(t.Context(), "broken/web", "1"); err == nil || !strings.Contains(err.Error(), "project broken cannot be read") {
		t.Errorf("the owner of what may be the broken project's: %v", err)
	}
	create(t, k, "third", "stages: [{name: dev, namespace: third}]\n", "web")
}
