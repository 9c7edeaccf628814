package git

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"

	"github.com/go-git/go-git/v5/plumbing"

	"github.com/fairwaycd/fairway"
)

// Create makes the project's repository with the content of its branches, by
// path. There must be a branch main; the others are stages, and their first
// commits follow main's, so that stages can be merged into one another.
//
// A repository that began with the same commits, or whose branches have the
// same content now, is left as it is without an error; any other one is
// KindConflict. A crash leaves nothing that looks like a project.
func (s *Store) Create(ctx context.Context, project fairway.ProjectName, branches map[string]map[string][]byte, c CommitInfo) error {
	if err := validateNew(project, branches, c); err != nil {
		return err
	}
	v := newOverlay(nothing{})
	first, err := firstCommits(v, branches, c)
	if err != nil {
		return err
	}
	s.making.Lock()
	defer s.making.Unlock()
	r, err := s.repo(ctx, project)
	if err == nil {
		return r.compare(v, first)
	}
	if fairway.KindOf(err) != fairway.KindNotFound {
		return err
	}
	if err := s.build(project, v, first); err != nil {
		return classify(fmt.Errorf("create the repository of project %s: %w", project, err))
	}
	s.log.Info("repository created", "project", project, "branches", first.branches())
	return nil
}

func validateNew(project fairway.ProjectName, branches map[string]map[string][]byte, c CommitInfo) error {
	if err := project.Validate(); err != nil {
		return err
	}
	if err := c.validate(); err != nil {
		return err
	}
	if _, ok := branches["main"]; !ok {
		return fairway.Invalid("branches", "", "has no branch main", "add main with the file shipyard.yaml")
	}
	for name := range branches {
		if name == "main" {
			continue
		}
		if err := fairway.StageName(name).Validate(); err != nil {
			return err
		}
	}
	return nil
}

// firstCommits puts the content into v and returns the refs.
func firstCommits(v *overlay, branches map[string]map[string][]byte, c CommitInfo) (refs, error) {
	first := refs{}
	commitTo := func(name string, parents ...hash) error {
		tree, err := edit(v, hash{}, branches[name])
		if err != nil {
			return fmt.Errorf("branch %s: %w", name, err)
		}
		first[headsPrefix+name] = v.put(plumbing.CommitObject, c.commit(tree, c.Trailers, parents).encode())
		return nil
	}
	if err := commitTo("main"); err != nil {
		return nil, err
	}
	root, _ := first.branch("main")
	for _, name := range slices.Sorted(maps.Keys(branches)) {
		if name == "main" {
			continue
		}
		if err := commitTo(name, root); err != nil {
			return nil, err
		}
	}
	return first, nil
}

// compare returns nil when the repository is what Create was asked for.
func (r *repo) compare(v *overlay, first refs) error {
	now := *r.refs.Load()
	began, same := true, len(now.branches()) == len(first)
	for name, h := range first {
		began = began && r.has(h)
		tip, ok := now[name]
		if !ok {
			same = false
			continue
		}
		a, err := readCommit(r, tip)
		if err != nil {
			return err
		}
		b, err := readCommit(v, h)
		if err != nil {
			return err
		}
		same = same && a.tree == b.tree
	}
	if began || same {
		return nil
	}
	return fairway.Errorf(fairway.KindConflict, "project %s has a repository already, with other content; choose another name, or push your change to it", r.project)
}

// build writes a repository beside its place and moves it there.
func (s *Store) build(project fairway.ProjectName, v *overlay, first refs) error {
	tmp, err := os.MkdirTemp(s.dir, tempPrefix+string(project)+"-*")
	if err != nil {
		return err
	}
	if err := s.fill(tmp, v, first); err != nil {
		return errors.Join(err, os.RemoveAll(tmp))
	}
	if err := os.Chmod(tmp, 0o755); err != nil {
		return err
	}
	if err := os.Rename(tmp, s.path(project)); err != nil {
		return errors.Join(err, os.RemoveAll(tmp))
	}
	return s.disk.syncDir(s.dir)
}

const bareConfig = "[core]\n\trepositoryformatversion = 0\n\tfilemode = true\n\tbare = true\n"

func (s *Store) fill(dir string, v *overlay, first refs) error {
	for _, sub := range []string{"objects/pack", "objects/info", "refs/heads", "refs/tags"} {
		if err := os.MkdirAll(filepath.Join(dir, sub), 0o755); err != nil {
			return err
		}
	}
	if err := s.disk.write(filepath.Join(dir, "HEAD"), []byte("ref: refs/heads/main\n")); err != nil {
		return err
	}
	if err := s.disk.write(filepath.Join(dir, "config"), []byte(bareConfig)); err != nil {
		return err
	}
	if _, err := writePack(s.disk, filepath.Join(dir, "objects", "pack"), len(v.order), v.fill); err != nil {
		return err
	}
	s.disk.fail("git.objects.written")
	if err := writeRefs(s.disk, dir, first); err != nil {
		return err
	}
	return filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err == nil && e.IsDir() {
			err = s.disk.syncDir(path)
		}
		return err
	})
}
