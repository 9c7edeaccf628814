package git

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/go-git/go-git/v5/plumbing"

	"github.com/fairwaycd/fairway"
)

// Snapshot is the content of one commit. It never changes and is safe for
// concurrent use.
type Snapshot struct {
	Commit string // full hash

	src  source
	tree hash
}

func snapshot(src source, h hash) (*Snapshot, error) {
	c, err := readCommit(src, h)
	if err != nil {
		return nil, err
	}
	return &Snapshot{Commit: h.String(), src: src, tree: c.tree}, nil
}

// Read returns what a branch or the commit of a full hash contains. It
// returns KindNotFound with the branches that exist when there is no such
// project or revision.
func (s *Store) Read(ctx context.Context, project fairway.ProjectName, rev string) (*Snapshot, error) {
	r, err := s.repo(ctx, project)
	if err != nil {
		return nil, err
	}
	h, err := r.resolve(rev)
	if err != nil {
		return nil, err
	}
	return snapshot(r, h)
}

// Branches returns the branches of the project with the commits they point
// to, all from one moment.
func (s *Store) Branches(ctx context.Context, project fairway.ProjectName) (map[string]string, error) {
	r, err := s.repo(ctx, project)
	if err != nil {
		return nil, err
	}
	all := *r.refs.Load()
	tips := map[string]string{}
	for _, b := range all.branches() {
		h, _ := all.branch(b)
		tips[b] = h.String()
	}
	return tips, nil
}

// resolve finds the commit of a branch or a full hash.
func (r *repo) resolve(rev string) (hash, error) {
	all := *r.refs.Load()
	if h, ok := all.branch(rev); ok {
		return h, nil
	}
	if h, ok := parseHash(rev); ok {
		o, err := r.object(h)
		if err == nil && o.typ == plumbing.CommitObject {
			return h, nil
		}
		if err != nil && !errors.Is(err, errMissing) {
			return h, err
		}
		return h, fairway.Errorf(fairway.KindNotFound, "project %s has no commit %s", r.project, rev)
	}
	return hash{}, fairway.Errorf(fairway.KindNotFound, "project %s has no branch %q; these exist: %s", r.project, rev, strings.Join(all.branches(), ", "))
}

// File returns the content of the file at the path; ok is false when there is
// no file, or a directory.
func (s *Snapshot) File(path string) (data []byte, ok bool, err error) {
	e, ok, err := lookupPath(s.src, s.tree, path)
	if err != nil || !ok || !e.isFile() {
		return nil, false, err
	}
	o, err := s.src.object(e.hash)
	if err != nil {
		return nil, false, fmt.Errorf("read %s of commit %s: %w", path, s.Commit, err)
	}
	return slices.Clone(o.data), true, nil
}

// Files returns the content of all files below a directory, by full path.
// The empty directory means everything; a file's own path means that file.
func (s *Snapshot) Files(dir string) (map[string][]byte, error) {
	files := map[string][]byte{}
	err := s.walk(dir, func(path string, e treeEntry) error {
		o, err := s.src.object(e.hash)
		if err != nil {
			return fmt.Errorf("read %s of commit %s: %w", path, s.Commit, err)
		}
		files[path] = slices.Clone(o.data)
		return nil
	})
	return files, err
}

// Paths returns the full paths of all files, sorted.
func (s *Snapshot) Paths() ([]string, error) {
	var paths []string
	err := s.walk("", func(path string, _ treeEntry) error {
		paths = append(paths, path)
		return nil
	})
	slices.Sort(paths)
	return paths, err
}

// Changed returns the paths of the files that differ between the snapshots,
// sorted. A nil snapshot is empty.
func Changed(a, b *Snapshot) ([]string, error) {
	var paths []string
	var treeA, treeB hash
	var src source = nothing{}
	if a != nil {
		treeA, src = a.tree, a.src
	}
	if b != nil {
		treeB, src = b.tree, b.src // the newer side sees the objects of both
	}
	err := diffTrees(src, treeA, treeB, "", func(path string) { paths = append(paths, path) })
	slices.Sort(paths)
	return paths, err
}

// walk calls f for each regular file below dir.
func (s *Snapshot) walk(dir string, f func(path string, e treeEntry) error) error {
	dir = strings.Trim(dir, "/")
	if dir == "" {
		return walkTree(s.src, s.tree, "", f)
	}
	e, ok, err := lookupPath(s.src, s.tree, dir)
	switch {
	case err != nil || !ok:
		return err
	case e.isFile():
		return f(dir, e)
	case e.isDir():
		return walkTree(s.src, e.hash, dir+"/", f)
	}
	return nil
}

// walkTree calls f for each regular file of the tree; links and submodules
// are never pushed to us.
func walkTree(src source, tree hash, prefix string, f func(path string, e treeEntry) error) error {
	entries, err := readTree(src, tree)
	if err != nil {
		return err
	}
	for _, e := range entries {
		switch {
		case e.isDir():
			err = walkTree(src, e.hash, prefix+e.name+"/", f)
		case e.isFile():
			err = f(prefix+e.name, e)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func lookupPath(src source, tree hash, path string) (treeEntry, bool, error) {
	e := treeEntry{mode: modeDir, hash: tree}
	for name := range strings.SplitSeq(path, "/") {
		if !e.isDir() {
			return e, false, nil
		}
		entries, err := readTree(src, e.hash)
		if err != nil {
			return e, false, err
		}
		i := slices.IndexFunc(entries, func(e treeEntry) bool { return e.name == name })
		if i < 0 {
			return e, false, nil
		}
		e = entries[i]
	}
	return e, true, nil
}

// diffTrees calls f for each file that differs. A zero hash is the empty
// tree.
func diffTrees(src source, a, b hash, prefix string, f func(path string)) error {
	if a == b {
		return nil
	}
	sides := [2]map[string]treeEntry{}
	for i, h := range []hash{a, b} {
		sides[i] = map[string]treeEntry{}
		if h.IsZero() {
			continue
		}
		entries, err := readTree(src, h)
		if err != nil {
			return err
		}
		for _, e := range entries {
			sides[i][e.name] = e
		}
	}
	for name, x := range sides[0] {
		y, ok := sides[1][name]
		if ok && x == y {
			continue
		}
		if err := diffEntries(src, x, y, prefix+name, f); err != nil {
			return err
		}
	}
	for name, y := range sides[1] {
		if _, ok := sides[0][name]; ok {
			continue
		}
		if err := diffEntries(src, treeEntry{}, y, prefix+name, f); err != nil {
			return err
		}
	}
	return nil
}

func diffEntries(src source, x, y treeEntry, path string, f func(path string)) error {
	if (x.hash != hash{} && !x.isDir()) || (y.hash != hash{} && !y.isDir()) {
		f(path)
	}
	var a, b hash
	if x.isDir() {
		a = x.hash
	}
	if y.isDir() {
		b = y.hash
	}
	return diffTrees(src, a, b, path+"/", f)
}
