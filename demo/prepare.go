package demo

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	gogit "github.com/go-git/go-git/v5"
	"github.com/go-git/go-git/v5/plumbing/object"

	"github.com/fairwaycd/fairway"
	"github.com/fairwaycd/fairway/api"
)

func (s *story) read(name ...string) (string, error) {
	b, err := os.ReadFile(filepath.Join(append([]string{s.source, "examples"}, name...)...))
	if err != nil {
		return "", fmt.Errorf("read the example: %w", err)
	}
	return string(b), nil
}

// prepare makes the project and onboards carts and its database.
func (s *story) prepare(ctx context.Context) error {
	s.acc.title("A project with three stages, and two services")
	yard, err := s.read("onboarding-carts", "shipyard.yaml")
	if err != nil {
		return err
	}
	if _, err := s.client.CreateProject(ctx, api.CreateProject{Name: "sockshop", File: "shipyard.yaml", Shipyard: yard}); err != nil {
		return err
	}
	values, err := s.read("onboarding-carts", "values_carts.yaml")
	if err != nil {
		return err
	}
	if _, err := s.client.OnboardService(ctx, api.OnboardService{Project: "sockshop", Service: "carts", Values: values, ValuesFile: "values_carts.yaml"}); err != nil {
		return err
	}
	return s.prepareDatabase(ctx)
}

// prepareDatabase pushes the sample store as mongo:latest and onboards
// carts-db, whose values name that image: it is deployed by that.
func (s *story) prepareDatabase(ctx context.Context) error {
	c, err := s.cloneOf("carts-db")
	if err != nil {
		return err
	}
	if err := s.make(ctx, c, 0); err != nil {
		return err
	}
	r := api.OnboardService{Project: "sockshop", Service: "carts-db", ValuesFile: "values_carts_db.yaml"}
	for name, into := range map[string]*string{"values_carts_db.yaml": &r.Values, "deployment_carts_db.yaml": &r.Deployment, "service_carts_db.yaml": &r.KService} {
		if *into, err = s.read("onboarding-carts", name); err != nil {
			return err
		}
	}
	done, err := s.client.OnboardService(ctx, r)
	if err != nil {
		return err
	}
	for _, w := range done.Warnings {
		s.acc.note("%s", w)
	}
	d, err := s.end(ctx, done.Delivery)
	if err != nil {
		return err
	}
	if d.Status != fairway.StatusFinished {
		return fmt.Errorf("carts-db was not deployed: %s", d.Reason)
	}
	return nil
}

// clone is a working copy of a sample, as a developer has it.
type clone struct {
	dir  string
	repo *gogit.Repository
}

func (s *story) clone(context.Context) (*clone, error) {
	s.acc.title("A clone of carts, as a developer has it")
	return s.cloneOf("carts")
}

// cloneOf makes a repository of the sample, the developers' shared one, and
// clones it.
func (s *story) cloneOf(sample string) (*clone, error) {
	first := filepath.Join(s.work, "import", sample)
	if err := copyTree(filepath.Join(s.source, "examples", sample), first); err != nil {
		return nil, fmt.Errorf("copy the example %s: %w", sample, err)
	}
	repo, err := gogit.PlainInit(first, false)
	if err != nil {
		return nil, fmt.Errorf("make a repository of %s: %w", sample, err)
	}
	if err := commitAll(repo, "Import "+sample); err != nil {
		return nil, err
	}
	origin := filepath.Join(s.work, "origin", sample+".git")
	if _, err := gogit.PlainClone(origin, true, &gogit.CloneOptions{URL: first}); err != nil {
		return nil, fmt.Errorf("share the repository of %s: %w", sample, err)
	}
	dir := filepath.Join(s.work, sample)
	cloned, err := gogit.PlainClone(dir, false, &gogit.CloneOptions{URL: origin})
	if err != nil {
		return nil, fmt.Errorf("clone %s: %w", sample, err)
	}
	return &clone{dir: dir, repo: cloned}, nil
}

// copyTree copies a sample without what a build left there.
func copyTree(from, to string) error {
	return filepath.WalkDir(from, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(from, path)
		if err != nil {
			return err
		}
		if d.IsDir() {
			if rel == "bin" {
				return fs.SkipDir
			}
			return os.MkdirAll(filepath.Join(to, rel), 0o755)
		}
		b, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		return os.WriteFile(filepath.Join(to, rel), b, 0o644)
	})
}

func commitAll(repo *gogit.Repository, message string) error {
	w, err := repo.Worktree()
	if err != nil {
		return fmt.Errorf("commit: %w", err)
	}
	if err := w.AddGlob("."); err != nil {
		return fmt.Errorf("commit: %w", err)
	}
	who := &object.Signature{Name: "A Developer", Email: "developer@example.com", When: time.Now()}
	if _, err := w.Commit(message, &gogit.CommitOptions{Author: who}); err != nil {
		return fmt.Errorf("commit: %w", err)
	}
	return nil
}

// edit changes the two files as the walk-through says, commits and pushes.
func (c *clone) edit(oldVersion, newVersion, oldName, newName string, slow bool) error {
	if err := replace(filepath.Join(c.dir, "version"), oldVersion, newVersion); err != nil {
		return err
	}
	props := filepath.Join(c.dir, "src", "main", "resources", "application.properties")
	if err := replace(props, "version="+oldName, "version="+newName); err != nil {
		return err
	}
	from, to := "delayInMillis=1000", "delayInMillis=0"
	if slow {
		from, to = to, from
	}
	if b, err := os.ReadFile(props); err != nil || !bytes.Contains(b, []byte(to)) {
		if err := errors.Join(err, replace(props, from, to)); err != nil {
			return err
		}
	}
	if err := commitAll(c.repo, "Increased the service version."); err != nil {
		return err
	}
	return c.repo.Push(&gogit.PushOptions{})
}

func replace(file, from, to string) error {
	b, err := os.ReadFile(file)
	if err != nil {
		return fmt.Errorf("edit the example: %w", err)
	}
	if !bytes.Contains(b, []byte(from)) {
		return fmt.Errorf("edit the example: %s does not contain %q", file, from)
	}
	return os.WriteFile(file, bytes.ReplaceAll(b, []byte(from), []byte(to)), 0o644)
}

// release does what a CI job does, and follows the delivery that the push
// starts.
func (s *story) release(ctx context.Context, c *clone, name string, build int) (fairway.Delivery, error) {
	version, err := os.ReadFile(filepath.Join(c.dir, "version"))
	if err != nil {
		return fairway.Delivery{}, fmt.Errorf("read the version: %w", err)
	}
	tag := strings.TrimSpace(string(version)) + "-" + strconv.Itoa(build)
	s.acc.title("%s: make release BUILD_NUMBER=%d pushes carts:%s", name, build, tag)
	if err := s.make(ctx, c, build); err != nil {
		return fairway.Delivery{}, err
	}
	all, err := s.client.Deliveries(ctx, api.DeliveryFilter{Project: "sockshop", Service: "carts"})
	if err != nil {
		return fairway.Delivery{}, err
	}
	for _, d := range all {
		if d.Artifact.Tag == tag {
			return s.end(ctx, d.ID)
		}
	}
	return s.appears(ctx, tag)
}

// appears waits for the decision on the push, which is stored before the push
// is answered but decided a moment later.
func (s *story) appears(ctx context.Context, tag string) (fairway.Delivery, error) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	for {
		all, err := s.client.Deliveries(ctx, api.DeliveryFilter{Project: "sockshop", Service: "carts"})
		if err != nil {
			return fairway.Delivery{}, fmt.Errorf("no delivery of %s began: %w", tag, err)
		}
		for _, d := range all {
			if d.Artifact.Tag == tag {
				return s.end(context.WithoutCancel(ctx), d.ID)
			}
		}
		s.acc.pause(ctx, 20*time.Millisecond)
	}
}

// end follows a delivery to its end.
func (s *story) end(ctx context.Context, id fairway.DeliveryID) (fairway.Delivery, error) {
	ctx, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	for {
		d, err := s.client.Delivery(ctx, string(id))
		if err != nil {
			return d, fmt.Errorf("follow delivery %s: %w", id.Short(), err)
		}
		if d.Status.Ended() {
			s.acc.caughtUp(ctx, d)
			return d, nil
		}
		s.acc.pause(ctx, 50*time.Millisecond)
	}
}

// make runs the sample's release target with the build number that a CI
// system would give.
func (s *story) make(ctx context.Context, c *clone, build int) error {
	env := append(os.Environ(),
		"FAIRWAY="+s.o.Self, "FAIRWAY_SERVER=http://"+s.app.Address(), "FAIRWAY_TOKEN="+s.app.Token(),
		"REGISTRY="+s.app.Address(), "BUILD_NUMBER="+strconv.Itoa(build), "GOFLAGS=", "GOWORK=off")
	steps := [][]string{{"make", "--no-print-directory", "release"}}
	if _, err := exec.LookPath("make"); err != nil {
		var perr error
		if steps, perr = recipe(c.dir, env); perr != nil {
			return perr
		}
		s.acc.note("make is not installed; its recipe is run line by line instead")
	}
	for _, step := range steps {
		cmd := exec.CommandContext(ctx, step[0], step[1:]...)
		cmd.Dir, cmd.Env = c.dir, env
		out, err := cmd.CombinedOutput()
		if err != nil {
			return fmt.Errorf("%s in %s: %w\n%s", strings.Join(step, " "), c.dir, err, out)
		}
	}
	return nil
}
