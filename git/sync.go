package git

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/go-git/go-git/v5/plumbing"

	"github.com/fairwaycd/fairway"
)

const (
	syncLimit  = 5 * time.Minute // for one round
	firstPause = 2 * time.Second // after a round that failed; it doubles
	maxPause   = 5 * time.Minute
)

// syncer keeps one project and its upstream in step.
type syncer struct {
	s       *Store
	project fairway.ProjectName
	up      Upstream
	kick    chan struct{}
	cancel  context.CancelFunc // nil while it does not run
	round   chan struct{}      // held during one round

	mu    sync.Mutex
	state fairway.UpstreamState
}

func newSyncer(s *Store, p fairway.ProjectName, u Upstream) *syncer {
	return &syncer{s: s, project: p, up: u.withDefaults(), kick: make(chan struct{}, 1), round: make(chan struct{}, 1),
		state: fairway.UpstreamState{URL: u.URL, Condition: fairway.UpstreamPending, Since: time.Now()}}
}

func (y *syncer) stop() {
	if y.cancel != nil {
		y.cancel()
	}
}

func (y *syncer) now() fairway.UpstreamState {
	y.mu.Lock()
	defer y.mu.Unlock()
	st := y.state
	st.Branches = slices.Clone(st.Branches)
	return st
}

// moved wakes the syncer of a repository whose branches have changed.
func (r *repo) moved(before, now refs) {
	for _, b := range now.branches() {
		if before[headsPrefix+b] == now[headsPrefix+b] {
			continue
		}
		if y := r.store.syncer(r.project); y != nil {
			select {
			case y.kick <- struct{}{}:
			default:
			}
		}
		return
	}
}

// run brings both in step at its start, after each commit here, and every
// poll interval. After a failure it waits longer each time, whatever is
// committed meanwhile.
func (y *syncer) run(ctx context.Context) {
	pause := firstPause
	for ctx.Err() == nil {
		wait, kick := y.up.Poll, y.kick
		switch y.sync(ctx).Condition {
		case fairway.UpstreamInStep:
			pause = firstPause
		default:
			wait, kick = min(pause, max(y.up.Poll, firstPause)), nil
			pause = min(2*pause, maxPause)
		}
		t := time.NewTimer(wait)
		select {
		case <-t.C:
		case <-kick:
		case <-ctx.Done():
		}
		t.Stop()
	}
}

// sync is one round.
func (y *syncer) sync(ctx context.Context) fairway.UpstreamState {
	select {
	case y.round <- struct{}{}:
		defer func() { <-y.round }()
	case <-ctx.Done():
		return y.now()
	}
	select {
	case <-y.kick: // what it was for is seen now
	default:
	}
	limited, cancel := context.WithTimeout(ctx, syncLimit)
	defer cancel()
	branches, err := y.branches(limited)
	if ctx.Err() != nil {
		return y.now()
	}
	y.note(branches, err)
	return y.now()
}

// note takes over what a round has found.
func (y *syncer) note(branches []fairway.UpstreamBranch, err error) {
	y.mu.Lock()
	defer y.mu.Unlock()
	st, was := fairway.UpstreamState{URL: y.up.URL, Condition: fairway.UpstreamInStep, Branches: branches, Contact: time.Now()}, y.state
	for _, b := range branches {
		if b.Condition.Worse(st.Condition) {
			st.Condition, st.Reason = b.Condition, b.Reason
		}
	}
	if err != nil {
		st.Condition, st.Reason = fairway.UpstreamUnreachable, y.up.hide(err.Error())
		st.Contact, st.Branches = was.Contact, was.Branches
	}
	st.Since = time.Now()
	if was.Condition == st.Condition {
		st.Since = was.Since
	}
	y.state = st
	if was.Condition != st.Condition || was.Reason != st.Reason {
		log := y.s.log.Info
		if st.Condition.Worse(fairway.UpstreamBehind) {
			log = y.s.log.Warn
		}
		log("upstream: "+string(st.Condition), "project", y.project, "url", y.up.URL, "reason", st.Reason)
	}
}

// branches brings every branch in step, main first: it says which stages
// there are.
func (y *syncer) branches(ctx context.Context) ([]fairway.UpstreamBranch, error) {
	r, err := y.s.repo(ctx, y.project)
	if err != nil {
		return nil, err
	}
	m, err := y.dial()
	if err != nil {
		return nil, err
	}
	theirs, err := m.refs(ctx)
	if err != nil {
		return nil, err
	}
	var out []fairway.UpstreamBranch
	done := map[string]bool{}
	for name := "main"; name != ""; name = firstNot(*r.refs.Load(), done) {
		done[name] = true
		b, err := y.branch(ctx, r, m, name, theirs)
		if err != nil {
			return out, fmt.Errorf("branch %s: %w", name, err)
		}
		out = append(out, b)
	}
	return out, nil
}

func firstNot(all refs, done map[string]bool) string {
	for _, b := range all.branches() {
		if !done[b] {
			return b
		}
	}
	return ""
}

// branch brings one branch in step. An error means that the remote could not
// be asked.
func (y *syncer) branch(ctx context.Context, r *repo, m *remote, name string, theirs refs) (fairway.UpstreamBranch, error) {
	ours, _ := r.refs.Load().branch(name)
	their, there := theirs.branch(name)
	b := fairway.UpstreamBranch{Branch: name, Condition: fairway.UpstreamInStep, Ours: ours.String()}
	if there {
		b.Theirs = their.String()
	}
	if ours == their {
		return b, nil
	}
	if there && !r.has(their) {
		if err := m.fetch(ctx, r, their, theirs); err != nil {
			return b, err
		}
	}
	if err := compare(r, &b, ours, their); err != nil {
		return b, err
	}
	switch {
	case b.Behind == 0:
		return y.give(ctx, r, m, b, theirs)
	case b.Ahead == 0:
		return y.take(ctx, r, b), nil
	}
	b.Condition = fairway.UpstreamDiverged
	b.Reason = fmt.Sprintf("branch %s has diverged: ours is %d commits ahead at %.10s, theirs %d at %.10s; merge them in a clone and push to either, or run: fairway sync upstream --project %s --take ours, or --take theirs",
		name, b.Ahead, b.Ours, b.Behind, b.Theirs, y.project)
	return b, nil
}

// compare counts how far the branches are from each other. It is exact where
// one leads to the other; selection.missing is not, when clocks differ.
func compare(src source, b *fairway.UpstreamBranch, ours, their hash) error {
	if their.IsZero() {
		var err error
		b.Ahead, err = lead(src, ours, nil)
		return err
	}
	// Most often one has just been added to the other: that is found at once.
	if n, ok, err := distance(src, ours, their); err != nil || ok {
		b.Ahead = n
		return err
	}
	if n, ok, err := distance(src, their, ours); err != nil || ok {
		b.Behind = n
		return err
	}
	all := map[hash]map[hash]bool{ours: {}, their: {}}
	for tip, seen := range all {
		if err := walkCommits(src, []hash{tip}, func(h hash, _ commit) (bool, error) { seen[h] = true; return true, nil }); err != nil {
			return err
		}
	}
	var err error
	if b.Ahead, err = lead(src, ours, all[their]); err == nil {
		b.Behind, err = lead(src, their, all[ours])
	}
	return err
}

// distance returns how many commits from has before it leads to to.
func distance(src source, from, to hash) (n int, ok bool, err error) {
	err = walkCommits(src, []hash{from}, func(h hash, _ commit) (bool, error) {
		if ok = h == to; !ok {
			n++
		}
		return !ok, nil
	})
	return n, ok, err
}

// lead counts the commits that the tip leads to and that are not known.
func lead(src source, tip hash, known map[hash]bool) (n int, err error) {
	err = walkCommits(src, []hash{tip}, func(h hash, _ commit) (bool, error) {
		if !known[h] {
			n++
		}
		return true, nil
	})
	return n, err
}

// give pushes our commits. That the remote refuses them is a condition.
func (y *syncer) give(ctx context.Context, r *repo, m *remote, b fairway.UpstreamBranch, theirs refs) (fairway.UpstreamBranch, error) {
	y.s.disk.fail("upstream.before-push")
	refused, err := m.push(ctx, r, b, theirs)
	if err != nil {
		return b, err
	}
	if refused != "" {
		b.Condition = fairway.UpstreamNotTaken
		b.Reason = y.up.hide(fmt.Sprintf("the remote does not take %d commits of branch %s: %s; let Fairway's user push there, as what runs is committed to it", b.Ahead, b.Branch, refused))
		return b, nil
	}
	b.Theirs, b.Ahead = b.Ours, 0
	return b, nil
}

// take applies their commits exactly as a push to our own server.
func (y *syncer) take(ctx context.Context, r *repo, b fairway.UpstreamBranch) fairway.UpstreamBranch {
	err := r.advance(WithActor(ctx, "upstream "+y.up.URL), b.Branch, b.Ours, b.Theirs, emptyPack())
	now, _ := r.refs.Load().branch(b.Branch)
	switch kind := fairway.KindOf(err); {
	case now.String() == b.Theirs: // also when something is still to be stored, which is tried again
		b.Ours, b.Behind = b.Theirs, 0
	case kind == fairway.KindConflict || kind == fairway.KindUnavailable:
		b.Condition, b.Reason = fairway.UpstreamBehind, "not taken yet: "+err.Error()
	default:
		b.Condition = fairway.UpstreamRefused
		b.Reason = fmt.Sprintf("commit %.10s of the remote's branch %s is refused: %s; mend it there, or run: fairway sync upstream --project %s --take ours, which undoes it there", b.Theirs, b.Branch, err, y.project)
	}
	return b
}

// advance moves a branch as a client's push does.
func (r *repo) advance(ctx context.Context, branch, from, to string, pack []byte) error {
	old, _ := parseHash(from)
	new, _ := parseHash(to)
	return r.push(ctx, receiveRequest{commands: []command{{headsPrefix + branch, old, new}}}, bytes.NewReader(pack)).err
}

func emptyPack() []byte {
	var b bytes.Buffer
	pw, _ := newPackWriter(&b, 0) // a bytes.Buffer takes everything
	_, _ = pw.finish()
	return b.Bytes()
}

// join puts a commit onto the branch that has both sides as parents and the
// content of one.
func (r *repo) join(ctx context.Context, b fairway.UpstreamBranch, take Side, info CommitInfo) error {
	ours, _ := parseHash(b.Ours)
	theirs, _ := parseHash(b.Theirs)
	content := ours
	if take == Theirs {
		content = theirs
	}
	c, err := readCommit(r, content)
	if err != nil {
		return err
	}
	v := newOverlay(r)
	h := v.put(plumbing.CommitObject, info.commit(c.tree, info.Trailers, []hash{ours, theirs}).encode())
	var pack bytes.Buffer
	pw, err := newPackWriter(&pack, len(v.order))
	if err == nil {
		err = v.fill(pw)
	}
	if err == nil {
		_, err = pw.finish()
	}
	if err == nil {
		err = r.advance(WithActor(ctx, info.Author), b.Branch, b.Ours, h.String(), pack.Bytes())
	}
	if err != nil {
		return fmt.Errorf("join branch %s: %w", b.Branch, err)
	}
	return nil
}

// fits refuses a remote whose branches have another history than ours.
func (y *syncer) fits(ctx context.Context, r *repo) error {
	ctx, cancel := context.WithTimeout(ctx, syncLimit)
	defer cancel()
	m, err := y.dial()
	if err != nil {
		return err
	}
	theirs, err := m.refs(ctx)
	if err != nil {
		return fairway.Errorf(fairway.KindUnavailable, "%s", y.up.hide(err.Error()))
	}
	var foreign []string
	for _, name := range r.refs.Load().branches() {
		ours, _ := r.refs.Load().branch(name)
		their, ok := theirs.branch(name)
		if !ok || ours == their {
			continue
		}
		if !r.has(their) {
			if err := m.fetch(ctx, r, their, theirs); err != nil {
				return fairway.Errorf(fairway.KindUnavailable, "%s", y.up.hide(err.Error()))
			}
		}
		var b fairway.UpstreamBranch
		if err := compare(r, &b, ours, their); err != nil {
			return err
		}
		if b.Ahead > 0 && b.Behind > 0 {
			foreign = append(foreign, name)
		}
	}
	if len(foreign) > 0 {
		return fairway.Errorf(fairway.KindConflict, "the remote %s has another history than project %s in: %s; give an empty repository, or push its content to Fairway's first (git push fairway BRANCH, after git pull --rebase), and configure it then",
			y.up.URL, y.project, strings.Join(foreign, ", "))
	}
	return nil
}
