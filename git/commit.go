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
		if strings.ContainsAny(one.Key, "\n\r\x00") {
			return nil, fairway.Invalid("key", one.Key, "has a line break", "use a key of one line")
		}
	}
	w := &work{requests: q, done: make(chan struct{})}
	if err := r.submit(ctx, w); err != nil {
		return nil, err
	}
	if p, ok := errors.AsType[*panicked](w.err); ok {
		panic(p.value) // here, where whoever passed Edit can deal with it
	}
	if w.err != nil {
		return nil, w.err
	}
	return w.results, nil
}

// panicked carries a panic of Edit from the goroutine that happened to run it
// to the one that asked for it.
type panicked struct{ value any }

func (p *panicked) Error() string { return fmt.Sprintf("a change panicked: %v", p.value) }

func (q CommitRequest) edit(before *Snapshot) (changes map[string][]byte, err error) {
	defer func() {
		if v := recover(); v != nil {
			err = &panicked{v}
		}
	}()
	return q.Edit(before)
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

// submit queues the work and waits for it. Whoever gets the lock first does
// all that waits, as much as one batch holds.
func (r *repo) submit(ctx context.Context, w *work) error {
	r.queueMu.Lock()
	r.queue = append(r.queue, w)
	r.queueMu.Unlock()
	for {
		var gaveUp error
		select {
		case <-w.done:
			return nil
		case r.lock <- struct{}{}:
			r.drain(ctx)
			continue
		case <-ctx.Done():
			gaveUp = fmt.Errorf("wait for the repository of project %s: %w", r.project, context.Cause(ctx))
		case <-r.closed:
			gaveUp = r.why
		}
		if r.withdraw(w) {
			return gaveUp
		}
		<-w.done // somebody is at it
		return nil
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
		// Something of ours panicked: nobody may wait for ever because of it.
		r.steps = map[string]*steps{}
		for _, w := range batch {
			w.finish(fairway.Errorf(fairway.KindInternal, "the changes of project %s that were under way panicked; try again", r.project))
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
		if changed {
			next[headsPrefix+branch] = h
		}
		w.results[branch] = CommitResult{h.String(), changed}
	}
	return nil
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
	changes, err := q.edit(before)
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
