package app_test

import (
	"log/slog"
	"os"
	"path/filepath"
	"testing"

	"github.com/fairwaycd/fairway/api"
	"github.com/fairwaycd/fairway/app"
	"github.com/fairwaycd/fairway/git"
	"github.com/fairwaycd/fairway/image"
	"github.com/fairwaycd/fairway/project"
)

func pushWeb(t *testing.T, a *app.App, tag string) {
	t.Helper()
	img, err := image.Pack(image.PackRequest{Binary: "app_test.go", Name: "web", Entrypoint: []string{"/app/none-" + tag}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := image.Push(t.Context(), img, a.Address()+"/shop/web:"+tag, image.Credentials{User: "t", Token: a.Token()}); err != nil {
		t.Fatal(err)
	}
}

// A tag that nobody wanted starts nothing by itself, but does when it is
// pushed again after its service was onboarded.
func TestATagPushedBeforeOnboardingCanBePushedAgain(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	a, c := start(t, dir)
	pushWeb(t, a, "1")
	shop(t, c)
	stop(t, a)
	a, c = start(t, dir)
	defer stop(t, a)
	if ds, err := c.Deliveries(t.Context(), api.DeliveryFilter{}); err != nil || len(ds) != 0 {
		t.Fatalf("a restart began %+v, %v", ds, err)
	}
	pushWeb(t, a, "1")
	waitFor(t, c, 1)
}

// A service that is in git but was not recorded, since the process ended in
// between, is recorded at the next start; a broken project stops nobody.
func TestAServiceThatIsOnlyInGitIsRecordedAtStart(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	a, _ := start(t, dir)
	stop(t, a)
	quiet := slog.New(slog.DiscardHandler)
	store, err := git.Open(filepath.Join(dir, "git"), git.Options{Logger: quiet})
	if err != nil {
		t.Fatal(err)
	}
	k := project.New(project.Options{Git: store, Domain: "localhost", Logger: quiet})
	if _, err := k.Create(t.Context(), "ann", "shop", "", []byte("stages: [{name: dev}]\n"), false); err != nil {
		t.Fatal(err)
	}
	if _, err := k.Onboard(t.Context(), "ann", project.Onboard{Project: "shop", Values: []byte("service: {name: web}\n")}); err != nil {
		t.Fatal(err)
	}
	if err := store.Close(); err != nil {
		t.Fatal(err)
	}
	broken := filepath.Join(dir, "git", "broken.git")
	if err := os.Mkdir(broken, 0o700); err != nil {
		t.Fatal(err)
	}
	a, c := start(t, dir)
	defer stop(t, a)
	ps, err := c.Projects(t.Context())
	if err != nil || len(ps) != 2 || ps[0].Error == "" || ps[1].Error != "" {
		t.Errorf("projects %+v, %v", ps, err)
	}
	pushWeb(t, a, "1")
	if d := waitFor(t, c, 1)[0]; d.Service != "web" {
		t.Errorf("%+v", d)
	}
}
