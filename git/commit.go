package git

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/go-git/go-git/v5/plumbing"

	"github.com/fairwaycd/fairway"
)

// CommitInfo says who commits, when, and why.
type CommitInfo struct {
	Message  string
	Author   string      // default: Fairway
	Email    string      // default: fairway@localhost
	When     time.Time   // must be set; kept to the second
	Trailers [][2]string // key and value, one a line at the end of the message
}

// CommitRequest is a change of one branch.
type CommitRequest struct {
	Info CommitInfo
	// Edit is given the branch's tip and returns the changes by path: new
	// content, or nil to delete a file or a whole directory. It runs under
	// the repository's lock and must not write to the same project. A
	// refusal of its own ends the commit with that error.
	Edit func(*Snapshot) (map[string][]byte, error)
	// Key, when not empty, names the effect. It is written as the trailer
	// Fairway-Step, and when one of the last 500 commits of the branch
	// carries it, that commit is the result and Edit is not called.
	Key string
}

// CommitResult says which commit holds a change.
type CommitResult struct {
	Hash    string // of the commit, or of the tip when nothing changed
	Changed bool   // false when there was nothing to do, or it had been done
}

// stepTrailer is the trailer by which a repeated effect finds its commit.
const stepTrailer = "Fairway-Step"

// stepDepth is how many commits of a branch are searched for a key: a few
// times the effects that one project has in flight at a crash.
const stepDepth = 500

// batchLimit bounds how long the first of a batch waits for the last.
const batchLimit = 256

// Commit changes one branch. It returns once the change is durable; requests
// that wait for each other are applied one after another, as commits of their
// own, and synced together.
//
// It returns KindNotFound for an unknown project or branch, KindFull when the
// disk is full, and the error of Edit unchanged. When ctx ends early the
// commit may still be made; repeat it with the same Key.
func (s *Store) Commit(ctx context.Context, project fairway.ProjectName, branch string, q CommitRequest) (hash string, changed bool, err error) {
	results, err := s.CommitAll(ctx, project, map[string]CommitRequest{branch: q})
	return results[branch].Hash, results[branch].Changed, err
}

// CommitAll changes several branches of a project at once: all of them, or
// none when one request fails. Each Edit sees its own branch before the call.
func (s *Store) CommitAll(ctx context.Context, project fairway.ProjectName, q map[string]CommitRequest) (map[string]CommitResult, error) {
	r, err := s.repo(ctx, project)
	if err != nil {
		return nil, err
	}
	for _, one := range q {
		if err := one.Info.validate(); err != nil {
			return nil, err
		}
	}
	w := &work{requests: q, done: make(chan struct{})}
	if err := r.submit(ctx, w); err != nil {
		return nil, err
	}
	if w.err != nil {
		return nil, w.err
	}
	return w.results, nil
}

func (i CommitInfo) validate() error {
	var ps []fairway.Problem
	if strings.TrimSpace(i.Message) == "" {
		ps = append(ps, fairway.Problem{Field: "message", Message: "is empty", Remedy: "say what changed and why"})
	}
	if i.When.IsZero() {
		ps = append(ps, fairway.Problem{Field: "when", Message: "is not set", Remedy: "give the time of the decision"})
	}
	for _, t := range i.Trailers {
		if t[0] == "" || strings.ContainsAny(t[0], " :\n") || strings.ContainsAny(t[1], "\n\x00") {
			ps = append(ps, fairway.Problem{Field: "trailer", Value: t[0] + ": " + t[1], Message: "is not KEY: VALUE on one line", Remedy: "use a key without spaces and a value without line breaks"})
		}
	}
	return fairway.InvalidAll(ps)
}

// work is a request in the queue. Its results may be read once done is closed.
type work struct {
	requests map[string]CommitRequest
	results  map[string]CommitResult
	err      error
	done     chan struct{}
}

func (w *work) finish(err error) {
	w.err = err
	close(w.done)
}

// submit queues the work. Whoever gets the lock first does all that waits.
func (r *repo) submit(ctx context.Context, w *work) error {
	r.queueMu.Lock()
	r.queue = append(r.queue, w)
	r.queueMu.Unlock()
	select {
	case <-w.done:
		return nil
	case r.lock <- struct{}{}:
		r.drain(ctx)
		select {
		case <-w.done:
			return nil
		default: // more was queued than one batch holds
			return r.await(ctx, w)
		}
	case <-ctx.Done():
	case <-r.closed:
	}
	if !r.withdraw(w) {
		<-w.done // somebody is at it
		return nil
	}
	if ctx.Err() != nil {
		return fmt.Errorf("wait for the repository of project %s: %w", r.project, context.Cause(ctx))
	}
	return errClosed
}

// await drains the queue until the work is done.
func (r *repo) await(ctx context.Context, w *work) error {
	for {
		select {
		case <-w.done:
			return nil
		case r.lock <- struct{}{}:
			r.drain(ctx)
		case <-ctx.Done():
			if r.withdraw(w) {
				return fmt.Errorf("wait for the repository of project %s: %w", r.project, context.Cause(ctx))
			}
			<-w.done
			return nil
		case <-r.closed:
			if r.withdraw(w) {
				return errClosed
			}
			<-w.done
			return nil
		}
	}
}

// withdraw takes the work out of the queue, unless it was begun.
func (r *repo) withdraw(w *work) bool {
	r.queueMu.Lock()
	defer r.queueMu.Unlock()
	i := slices.Index(r.queue, w)
	if i >= 0 {
		r.queue = slices.Delete(r.queue, i, i+1)
	}
	return i >= 0
}

// drain does what waits in the queue, and releases the lock.
func (r *repo) drain(ctx context.Context) {
	defer func() { <-r.lock }()
	r.queueMu.Lock()
	n := min(len(r.queue), batchLimit)
	batch := slices.Clone(r.queue[:n])
	r.queue = slices.Delete(r.queue, 0, n)
	r.queueMu.Unlock()
	finished := false
	defer func() {
		if finished {
			return
		}
		// An Edit panicked: nobody else may wait for ever because of it.
		r.steps = map[string]*steps{}
		for _, w := range batch {
			w.finish(fairway.Errorf(fairway.KindInternal, "another change of project %s panicked; try again", r.project))
		}
	}()
	errs := r.apply(batch)
	finished = true
	for i, w := range batch {
		w.finish(errs[i])
	}
	r.store.wake(ctx, r)
}

// apply makes the commits of a batch and stores them together. The lock is
// held.
func (r *repo) apply(batch []*work) []error {
	v := newOverlay(r)
	before := *r.refs.Load()
	next := maps.Clone(before)
	errs := make([]error, len(batch))
	for i, w := range batch {
		mark, tips := len(v.order), maps.Clone(next)
		if errs[i] = r.applyWork(v, next, w); errs[i] != nil {
			v.truncate(mark)
			next = tips
			r.forgetSteps(w)
		}
	}
	if maps.Equal(before, next) {
		return errs
	}
	err := r.storeObjects(v)
	if err == nil {
		err = r.setRefs(next)
	}
	if err == nil {
		return errs
	}
	err = classify(fmt.Errorf("store a commit of project %s: %w", r.project, err))
	for i, w := range batch {
		r.forgetSteps(w)
		if errs[i] == nil {
			errs[i] = err
		}
	}
	return errs
}

func (r *repo) forgetSteps(w *work) {
	for branch := range w.requests {
		delete(r.steps, branch)
	}
}

// applyWork makes the commits of one work on top of the refs in next.
func (r *repo) applyWork(v *overlay, next refs, w *work) error {
	w.results = map[string]CommitResult{}
	for _, branch := range slices.Sorted(maps.Keys(w.requests)) {
		tip, ok := next.branch(branch)
		if !ok {
			return fairway.Errorf(fairway.KindNotFound, "project %s has no branch %q; these exist: %s", r.project, branch, strings.Join(next.branches(), ", "))
		}
		h, changed, err := r.applyOne(v, branch, tip, w.requests[branch])
		if err != nil {
			return err
		}
		next[headsPrefix+branch] = cmpOr(changed, h, tip)
		w.results[branch] = CommitResult{h.String(), changed}
	}
	return nil
}

func cmpOr(first bool, a, b hash) hash {
	if first {
		return a
	}
	return b
}

func (r *repo) applyOne(v *overlay, branch string, tip hash, q CommitRequest) (hash, bool, error) {
	var known *steps
	if q.Key != "" {
		var err error
		if known, err = r.stepsOf(v, branch, tip); err != nil {
			return hash{}, false, err
		}
		if h, ok := known.find(q.Key); ok {
			return h, false, nil
		}
	}
	before, err := snapshot(v, tip)
	if err != nil {
		return hash{}, false, err
	}
	changes, err := q.Edit(before)
	if err != nil {
		return hash{}, false, err
	}
	tree, err := edit(v, before.tree, changes)
	if err != nil {
		return hash{}, false, err
	}
	if tree == before.tree {
		return tip, false, nil
	}
	h := v.put(plumbing.CommitObject, q.commit(tree, tip).encode())
	if known := r.steps[branch]; known != nil && known.tip == tip {
		known.add(h, q.Key)
	}
	return h, true, nil
}

func (q CommitRequest) commit(tree hash, parents ...hash) commit {
	trailers := slices.Clone(q.Info.Trailers)
	if q.Key != "" {
		trailers = append(trailers, [2]string{stepTrailer, q.Key})
	}
	return q.Info.commit(tree, trailers, parents)
}

func (i CommitInfo) commit(tree hash, trailers [][2]string, parents []hash) commit {
	author := i.Author
	if author == "" {
		author = "Fairway"
	}
	email := i.Email
	if email == "" {
		email = "fairway@localhost"
	}
	message := strings.ReplaceAll(strings.TrimSpace(i.Message), "\x00", "") + "\n"
	for n, t := range trailers {
		if n == 0 {
			message += "\n"
		}
		message += t[0] + ": " + t[1] + "\n"
	}
	by := signature(author, email, i.When)
	return commit{tree: tree, parents: parents, author: by, committer: by, message: message}
}

// steps are the keys of a branch's last commits.
type steps struct {
	tip  hash
	keys map[string]hash
}

func (s *steps) find(key string) (hash, bool) {
	h, ok := s.keys[key]
	return h, ok
}

// add follows the branch to its new tip. The keys of older commits than are
// searched for after a restart stay known until then.
func (s *steps) add(h hash, key string) {
	s.tip = h
	if key != "" {
		s.keys[key] = h
	}
}

// stepsOf returns the keys of the branch, which are read anew when somebody
// else moved its tip. The lock is held.
func (r *repo) stepsOf(src source, branch string, tip hash) (*steps, error) {
	if s := r.steps[branch]; s != nil && s.tip == tip && len(s.keys) < 4*stepDepth {
		return s, nil
	}
	s := &steps{tip: tip, keys: map[string]hash{}}
	left := stepDepth
	err := walkCommits(src, []hash{tip}, func(h hash, c commit) (bool, error) {
		if key := trailer(c.message, stepTrailer); key != "" {
			if _, ok := s.keys[key]; !ok {
				s.keys[key] = h
			}
		}
		left--
		return left > 0, nil
	})
	if err != nil {
		return nil, err
	}
	r.steps[branch] = s
	return s, nil
}

// trailer returns the value of a trailer in the last paragraph of a message.
func trailer(message, key string) string {
	message = strings.TrimRight(message, "\n")
	i := strings.LastIndex(message, "\n\n")
	if i < 0 {
		return ""
	}
	for line := range strings.SplitSeq(message[i+2:], "\n") {
		if k, v, ok := strings.Cut(line, ": "); ok && k == key {
			return v
		}
	}
	return ""
}

// CreateBranch makes a branch that points where another one, or the commit of
// a full hash, does. A branch that exists is left as it is, and created is
// false.
func (s *Store) CreateBranch(ctx context.Context, project fairway.ProjectName, from, name string) (created bool, err error) {
	if err := fairway.StageName(name).Validate(); err != nil {
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
