package git

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"strings"
	"time"

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

// CommitLine is a commit as a list shows it.
type CommitLine struct {
	Hash    string    `json:"hash"`
	Author  string    `json:"author"`
	Email   string    `json:"email"`
	When    time.Time `json:"when"`
	Subject string    `json:"subject"` // first line of the message
	Message string    `json:"message"`
}

// Log returns the last n commits of a branch or a full hash, newest first.
func (s *Store) Log(ctx context.Context, project fairway.ProjectName, branch string, n int) ([]CommitLine, error) {
	r, err := s.repo(ctx, project)
	if err != nil {
		return nil, err
	}
	tip, err := r.resolve(branch)
	if err != nil {
		return nil, err
	}
	var lines []CommitLine
	err = walkCommits(r, []hash{tip}, func(h hash, c commit) (bool, error) {
		if len(lines) >= n {
			return false, nil
		}
		name, email := splitSignature(c.author)
		subject, _, _ := strings.Cut(c.message, "\n")
		lines = append(lines, CommitLine{h.String(), name, email, time.Unix(c.seconds(), 0).UTC(), subject, c.message})
		return true, nil
	})
	return lines, err
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
