package git

import (
	"context"
	"fmt"
	"maps"
	"strings"

	"github.com/fairwaycd/fairway"
)

// Propose changes a branch as a push of one commit would: CheckPush may refuse
// it, the commit and the note that it is not handled yet are stored together,
// and AfterPush is told of it before Propose returns. changed is false when
// the branch has that content already. With dryRun everything is checked and
// nothing stored.
//
// It returns KindNotFound for an unknown project or branch, the error of
// CheckPush, and KindUnavailable when the commit is stored and what it causes
// is not: that is tried again, as after a push. q.Key is not used.
func (s *Store) Propose(ctx context.Context, project fairway.ProjectName, branch string, q CommitRequest, dryRun bool) (p Push, changed bool, err error) {
	if err := q.Info.validate(); err != nil {
		return Push{}, false, err
	}
	q.Key = ""
	r, err := s.repo(ctx, project)
	if err != nil {
		return Push{}, false, err
	}
	if err := r.acquire(ctx, r.pushing); err != nil {
		return Push{}, false, err
	}
	defer func() { <-r.pushing }()
	p, changed, err = r.propose(ctx, branch, q, dryRun)
	if err != nil || !changed || dryRun {
		return p, changed, err
	}
	s.log.Info("changed as by a push", "project", p.Project, "branch", p.Branch, "old", p.Old, "new", p.New, "actor", p.Actor)
	err = r.after(ctx, p)
	s.wake(ctx, r)
	return p, true, err
}

// propose holds the lock from the reading of the branch until it is set.
func (r *repo) propose(ctx context.Context, branch string, q CommitRequest, dryRun bool) (Push, bool, error) {
	defer r.store.o.Deciding(r.project, []string{branch})()
	if err := r.acquire(ctx, r.lock); err != nil {
		return Push{}, false, err
	}
	defer func() { <-r.lock }()
	now := *r.refs.Load()
	tip, ok := now.branch(branch)
	if !ok {
		return Push{}, false, fairway.Errorf(fairway.KindNotFound, "project %s has no branch %q; these exist: %s", r.project, branch, strings.Join(now.branches(), ", "))
	}
	delete(r.steps, branch) // made anew from what is stored
	v := newOverlay(r)
	h, changed, err := r.applyOne(v, branch, tip, q)
	if err != nil || !changed {
		return Push{Project: r.project, Branch: branch, Old: tip.String(), New: tip.String()}, false, err
	}
	c := command{ref: headsPrefix + branch, old: tip, new: h}
	next := maps.Clone(now)
	next[c.ref], next[pushedRef(c)] = h, h
	p, err := r.proposed(ctx, v, c, now, next)
	if err == nil {
		err = r.check(ctx, p)
	}
	if err != nil || dryRun {
		return p, true, err
	}
	if err = r.storeObjects(v); err == nil {
		err = r.setRefs(next)
	}
	if err != nil {
		err = classify(fmt.Errorf("store a commit of project %s: %w", r.project, err))
	}
	return p, true, err
}

// proposed builds what the checks are told.
func (r *repo) proposed(ctx context.Context, v *overlay, c command, now, next refs) (Push, error) {
	p := Push{Project: r.project, Branch: c.branch(), Old: c.old.String(), New: c.new.String(), Actor: actor(ctx), tips: map[string]*Snapshot{}}
	for _, b := range next.branches() {
		s, err := snapshot(v, next[headsPrefix+b])
		if err != nil {
			return p, err
		}
		p.tips[b] = s
	}
	p.after = p.tips[p.Branch]
	var err error
	p.before, err = snapshot(r, now[c.ref])
	return p, err
}
