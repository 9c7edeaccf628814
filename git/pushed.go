package git

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/fairwaycd/fairway"
)

// pushedPrefix begins the refs that note a push of which [Options.AfterPush]
// has not said yet that everything it causes is stored:
//
//	refs/fairway/pushed/BRANCH/OLD → NEW
//
// The note is written together with the branch, by one replacement of
// packed-refs, so that there is no moment in which a push is stored and can be
// forgotten. Clients never see these refs.
const pushedPrefix = "refs/fairway/pushed/"

func pushedRef(c command) string { return pushedPrefix + c.branch() + "/" + c.old.String() }

// Unhandled returns the pushes of all projects that were stored and of which
// AfterPush did not succeed, those of one branch in their order, main first.
// Who pushed is not known any more.
func (s *Store) Unhandled(ctx context.Context) ([]Push, error) {
	names, err := s.Projects(ctx)
	if err != nil {
		return nil, err
	}
	var all []Push
	var errs []error
	for _, n := range names {
		r, err := s.repo(ctx, n)
		if err != nil {
			continue // a repository that cannot be opened is told of elsewhere
		}
		got, err := r.unhandled()
		all, errs = append(all, got...), append(errs, err)
	}
	return all, errors.Join(errs...)
}

func (r *repo) unhandled() ([]Push, error) {
	now := *r.refs.Load()
	var notes []command
	for name, h := range now {
		rest, ok := strings.CutPrefix(name, pushedPrefix)
		branch, text, _ := strings.Cut(rest, "/")
		if old, valid := parseHash(text); ok && valid {
			notes = append(notes, command{ref: headsPrefix + branch, old: old, new: h})
		}
	}
	var bad error
	slices.SortFunc(notes, func(a, b command) int {
		if a.branch() != b.branch() {
			return byBranch(a.branch(), b.branch())
		}
		first, err := isAncestor(r, a.new, b.new)
		bad = errors.Join(bad, err)
		if first {
			return -1
		}
		return 1
	})
	if bad != nil {
		return nil, fmt.Errorf("put the pushes of project %s in order: %w", r.project, bad)
	}
	tips := map[string]*Snapshot{}
	for _, b := range now.branches() {
		s, err := snapshot(r, now[headsPrefix+b])
		if err != nil {
			return nil, err
		}
		tips[b] = s
	}
	pushes := make([]Push, 0, len(notes))
	for _, c := range notes {
		p := Push{Project: r.project, Branch: c.branch(), New: c.new.String(), tips: tips}
		var err error
		if p.after, err = snapshot(r, c.new); err == nil && !c.old.IsZero() {
			p.Old = c.old.String()
			p.before, err = snapshot(r, c.old)
		}
		if err != nil {
			return nil, err
		}
		pushes = append(pushes, p)
	}
	return pushes, nil
}

// byBranch puts main before the stages, which it describes.
func byBranch(a, b string) int {
	switch {
	case a == "main":
		return -1
	case b == "main":
		return 1
	}
	return strings.Compare(a, b)
}

// Handled takes the note of the push away: what it causes is stored.
func (s *Store) Handled(ctx context.Context, p Push) error {
	r, err := s.repo(ctx, p.Project)
	if err != nil {
		return err
	}
	return r.handled(ctx, p)
}

func (r *repo) handled(ctx context.Context, p Push) error {
	if err := r.acquire(ctx, r.lock); err != nil {
		return err
	}
	defer func() { <-r.lock }()
	c := command{ref: headsPrefix + p.Branch}
	if p.Old != "" {
		c.old, _ = parseHash(p.Old)
	}
	now := *r.refs.Load()
	if _, ok := now[pushedRef(c)]; !ok {
		return nil
	}
	next := maps.Clone(now)
	delete(next, pushedRef(c))
	if err := r.setRefs(next); err != nil {
		return classify(fmt.Errorf("note that the push to %s of project %s is handled: %w", p.Branch, r.project, err))
	}
	return nil
}

// after tells of a push that is stored. A failure leaves it noted, and is what
// the client reads although its commits are there.
func (r *repo) after(ctx context.Context, p Push) error {
	ctx = context.WithoutCancel(ctx)
	err := r.store.o.AfterPush(ctx, p)
	if err == nil {
		// Should this fail, the push is told of again, which changes nothing.
		if noted := r.handled(ctx, p); noted != nil {
			r.store.log.Warn("a push is handled and stays noted", "project", p.Project, "branch", p.Branch, "error", noted)
		}
		return nil
	}
	r.store.log.Error("a push is stored, and what it causes is not yet", "project", p.Project, "branch", p.Branch, "new", p.New, "error", err)
	return fairway.Errorf(fairway.KindUnavailable, "the push is stored, but what it causes is not yet: %w; this is tried again by itself, and need not be pushed again", err)
}
