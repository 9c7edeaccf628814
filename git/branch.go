package git

import (
	"context"
	"errors"
	"fmt"
	"maps"

	"github.com/fairwaycd/fairway"
)

// CreateBranch makes a branch that begins where another one, or the commit of
// a full hash, is, with the change as its first commit; there is none when
// nothing changes. A branch that exists is left as it is, and created is false.
func (s *Store) CreateBranch(ctx context.Context, project fairway.ProjectName, from, name string, first CommitRequest) (created bool, err error) {
	if err := errors.Join(fairway.StageName(name).Validate(), first.Info.validate()); err != nil {
		return false, err
	}
	r, err := s.repo(ctx, project)
	if err != nil {
		return false, err
	}
	if err := r.acquire(ctx, r.lock); err != nil {
		return false, err
	}
	defer func() { <-r.lock }()
	all := *r.refs.Load()
	if _, ok := all.branch(name); ok {
		return false, nil
	}
	h, err := r.resolve(from)
	if err != nil {
		return false, err
	}
	v := newOverlay(r)
	if h, _, err = r.applyOne(v, name, h, first); err != nil {
		return false, err
	}
	if len(v.order) > 0 {
		if err := r.storeObjects(v); err != nil {
			return false, classify(fmt.Errorf("create branch %s of project %s: %w", name, project, err))
		}
	}
	next := maps.Clone(all)
	next[headsPrefix+name] = h
	if err := r.setRefs(next); err != nil {
		return false, classify(fmt.Errorf("create branch %s of project %s: %w", name, project, err))
	}
	return true, nil
}

// Contains reports whether the branch contains the commit.
func (s *Store) Contains(ctx context.Context, project fairway.ProjectName, branch, commit string) (bool, error) {
	r, err := s.repo(ctx, project)
	if err != nil {
		return false, err
	}
	tip, err := r.resolve(branch)
	if err != nil {
		return false, err
	}
	h, ok := parseHash(commit)
	if !ok {
		return false, fairway.Invalid("commit", commit, "is not a full hash", "give all 40 hexadecimal digits")
	}
	found, err := isAncestor(r, h, tip)
	if errors.Is(err, errMissing) {
		return false, nil
	}
	return found, err
}
