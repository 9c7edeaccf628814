package git

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/format/pktline"

	"github.com/fairwaycd/fairway"
)

// Push is what a push does to one branch.
type Push struct {
	Project fairway.ProjectName
	Branch  string
	Old     string // full hash, empty for a new branch
	New     string // full hash
	Actor   string // who pushes, see WithActor

	before, after *Snapshot
	tips          map[string]*Snapshot
}

// Before returns the branch's content before the push, nil for a new branch.
func (p Push) Before() *Snapshot { return p.before }

// After returns the branch's content after the push.
func (p Push) After() *Snapshot { return p.after }

// Changed returns the paths of the files that the push adds, changes or
// deletes, sorted.
func (p Push) Changed() ([]string, error) { return Changed(p.before, p.after) }

// Beside returns the content of another branch as it is once the whole push
// is stored, for checks that concern several branches.
func (p Push) Beside(branch string) (*Snapshot, bool) {
	s, ok := p.tips[branch]
	return s, ok
}

// command is one line of a push: move this ref from old to new.
type command struct {
	ref      string
	old, new hash
}

func (c command) branch() string { return strings.TrimPrefix(c.ref, headsPrefix) }

type receiveRequest struct {
	commands []command
	caps     []string
}

func (q receiveRequest) can(name string) bool { return slices.Contains(q.caps, name) }

// maxCommands is the most refs that one push may change.
const maxCommands = 100

// parseReceive reads the commands of a push, up to the flush after which the
// pack begins. It reads not a byte further.
func parseReceive(in io.Reader) (receiveRequest, error) {
	var q receiveRequest
	sc := pktline.NewScanner(in)
	for sc.Scan() {
		line := bytes.TrimSuffix(sc.Bytes(), []byte("\n"))
		if len(line) == 0 {
			return q, nil
		}
		if bytes.HasPrefix(line, []byte("shallow ")) {
			continue // our history is complete: where the client's ends does not matter
		}
		text, caps, hasCaps := strings.Cut(string(line), "\x00")
		if hasCaps != (len(q.commands) == 0) {
			return q, malformed("the capabilities belong to the first command, and to no other")
		}
		if hasCaps {
			q.caps = strings.Fields(caps)
		}
		c, err := parseCommand(text)
		if err != nil {
			return q, err
		}
		q.commands = append(q.commands, c)
		if len(q.commands) > maxCommands {
			return q, fairway.Errorf(fairway.KindInvalid, "the push changes more than %d refs", maxCommands)
		}
	}
	if err := sc.Err(); err != nil {
		return q, scanError(err)
	}
	return q, malformed("it ends before its flush")
}

func parseCommand(text string) (command, error) {
	parts := strings.SplitN(text, " ", 3)
	if len(parts) != 3 {
		return command{}, malformed("%q is not a command", text)
	}
	old, ok1 := parseHash(parts[0])
	new, ok2 := parseHash(parts[1])
	if !ok1 || !ok2 {
		return command{}, malformed("%q is not a command", text)
	}
	ref := parts[2]
	if len(ref) > 255 || !strings.HasPrefix(ref, "refs/") || strings.ContainsFunc(ref, func(c rune) bool { return c <= ' ' || c == 0x7f }) {
		return command{}, malformed("%q is not the name of a ref", ref)
	}
	return command{ref, old, new}, nil
}

// serveReceive takes a push. Whatever it decides is part of the answer: its
// status is 200 even when the push is refused, since git shows no text of any
// other.
func (s *Store) serveReceive(w http.ResponseWriter, hq *http.Request, r *repo) error {
	in, err := body(hq, receiveService, s.o.MaxPush)
	if err != nil {
		return err
	}
	buffered := bufio.NewReader(in)
	q, err := parseReceive(buffered)
	if err != nil {
		return err
	}
	noCache(w, "application/x-git-receive-pack-result")
	if len(q.commands) == 0 {
		return nil // git asks first whether it may, before it sends a lot
	}
	v := r.push(hq.Context(), q, buffered)
	if v.err != nil {
		readOn(hq.Body, s.o.MaxPush)
	}
	return v.report(w, q)
}

// verdict is what becomes of a push: all of it or nothing.
type verdict struct {
	err    error
	reason map[string]string // by ref, in one line
}

// push checks and stores a push.
func (r *repo) push(ctx context.Context, q receiveRequest, pack io.Reader) verdict {
	v := verdict{reason: map[string]string{}}
	for i, c := range q.commands {
		if slices.ContainsFunc(q.commands[:i], func(d command) bool { return d.ref == c.ref }) {
			return v.refuse(c.ref, fairway.Errorf(fairway.KindInvalid, "%s is pushed to twice", c.ref))
		}
		if err := allowedRef(c); err != nil {
			v = v.refuse(c.ref, err)
		}
	}
	if v.err != nil {
		return v
	}
	in, err := r.receive(pack)
	defer in.drop()
	if errors.Is(err, errTooLarge) {
		err = fairway.Errorf(fairway.KindInvalid, "the push is too large: at most %d MB may be sent", r.store.o.MaxPush>>20)
	}
	if err != nil {
		return r.refuseAll(v, q, classify(err))
	}
	if err := r.acquire(ctx, r.pushing); err != nil {
		return r.refuseAll(v, q, err)
	}
	defer func() { <-r.pushing }()
	pushes, v := r.decide(ctx, q, in, v)
	if v.err != nil {
		return v
	}
	for _, p := range pushes {
		r.store.log.Info("pushed", "project", p.Project, "branch", p.Branch, "old", p.Old, "new", p.New, "actor", p.Actor)
		if err := r.after(ctx, p); err != nil {
			v = r.refuseAll(v, q, err)
		}
	}
	r.store.wake(ctx, r)
	return v
}

// allowedRef refuses what can never be pushed.
func allowedRef(c command) error {
	name, ok := strings.CutPrefix(c.ref, headsPrefix)
	switch {
	case !ok:
		return fairway.Errorf(fairway.KindRefused, "%s is not a branch: this repository holds main and the stages' branches, and no tags", c.ref)
	case c.new.IsZero():
		return fairway.Errorf(fairway.KindRefused, "branch %s cannot be deleted: what runs is read from it", name)
	case name == "main":
		return nil
	}
	if err := fairway.StageName(name).Validate(); err != nil {
		return fairway.Errorf(fairway.KindRefused, "%q cannot be the branch of a stage; push to main or to a stage's branch: %w", name, err)
	}
	return nil
}

// decide holds the lock from the comparison with the refs until they are set.
func (r *repo) decide(ctx context.Context, q receiveRequest, in *incoming, v verdict) ([]Push, verdict) {
	for _, c := range q.commands {
		if err := r.forward(c, in); err != nil {
			v = v.refuse(c.ref, r.outward(err))
		}
	}
	if v.err != nil {
		return nil, v
	}
	defer r.store.o.Deciding(r.project, branchesOf(q))()
	if err := r.acquire(ctx, r.lock); err != nil {
		return nil, r.refuseAll(v, q, err)
	}
	defer func() { <-r.lock }()
	before := *r.refs.Load()
	next := maps.Clone(before)
	for _, c := range q.commands {
		if err := unmoved(before, c); err != nil {
			v = v.refuse(c.ref, err)
		}
		next[c.ref], next[pushedRef(c)] = c.new, c.new
	}
	if v.err != nil {
		return nil, v
	}
	pushes, err := r.describe(ctx, q, in, before, next)
	if err != nil {
		return nil, r.refuseAll(v, q, err)
	}
	for _, p := range pushes {
		if err := r.check(ctx, p); err != nil {
			v = v.refuse(headsPrefix+p.Branch, r.outward(err))
		}
	}
	if v.err != nil {
		return nil, v
	}
	if err := in.keep(); err != nil {
		return nil, r.refuseAll(v, q, classify(err))
	}
	if err := r.setRefs(next); err != nil {
		return nil, r.refuseAll(v, q, classify(err))
	}
	return pushes, v
}

func branchesOf(q receiveRequest) []string {
	names := make([]string, len(q.commands))
	for i, c := range q.commands {
		names[i] = c.branch()
	}
	return names
}

// forward refuses anything that would lose commits of the branch.
func (r *repo) forward(c command, in *incoming) error {
	o, err := in.object(c.new)
	if err != nil {
		return malformed("%w", err)
	}
	if o.typ != plumbing.CommitObject {
		return fairway.Errorf(fairway.KindRefused, "%s is a %s, and a branch can only point to a commit", c.new, o.typ)
	}
	if c.old.IsZero() {
		return nil
	}
	ok, err := isAncestor(in, c.old, c.new)
	if err != nil {
		return err
	}
	if !ok {
		return fairway.Errorf(fairway.KindRefused, "a forced push to %s is refused, because commits of the branch would be lost; run git pull --rebase, then push again", c.branch())
	}
	return nil
}

// unmoved refuses a push to a branch that is not where the client saw it.
func unmoved(all refs, c command) error {
	tip, ok := all[c.ref]
	switch {
	case ok && c.old.IsZero():
		return fairway.Errorf(fairway.KindConflict, "branch %s exists by now; run git fetch, then push again", c.branch())
	case !ok && !c.old.IsZero():
		return fairway.Errorf(fairway.KindConflict, "there is no branch %s", c.branch())
	case tip != c.old:
		return fairway.Errorf(fairway.KindConflict, "branch %s has moved to %.10s meanwhile; run git pull --rebase, then push again", c.branch(), tip)
	}
	return nil
}

// describe builds what the checks are told.
func (r *repo) describe(ctx context.Context, q receiveRequest, in *incoming, before, next refs) ([]Push, error) {
	tips := map[string]*Snapshot{}
	for _, b := range next.branches() {
		h, _ := next.branch(b)
		s, err := snapshot(in, h)
		if err != nil {
			return nil, err
		}
		tips[b] = s
	}
	var pushes []Push
	for _, c := range q.commands {
		p := Push{Project: r.project, Branch: c.branch(), New: c.new.String(), Actor: actor(ctx), after: tips[c.branch()], tips: tips}
		if old, ok := before[c.ref]; ok {
			s, err := snapshot(r, old)
			if err != nil {
				return nil, err
			}
			p.Old, p.before = old.String(), s
		}
		pushes = append(pushes, p)
	}
	return pushes, nil
}

func (r *repo) check(ctx context.Context, p Push) error {
	ps, err := plainFiles(p.after.src, p.after.tree, "")
	if err != nil {
		return err
	}
	if err := fairway.InvalidAll(ps); err != nil {
		return err
	}
	return r.store.o.CheckPush(ctx, p)
}

// outward replaces an internal error by a sentence, after logging it.
func (r *repo) outward(err error) error {
	if fairway.KindOf(err) != fairway.KindInternal {
		return err
	}
	r.store.log.Error("push failed", "project", r.project, "err", err)
	return errors.New("the server could not check or store the push; its log says why")
}

func (v verdict) refuse(ref string, err error) verdict {
	v.err = errors.Join(v.err, err)
	v.reason[ref], _, _ = strings.Cut(err.Error(), "\n")
	return v
}

func (r *repo) refuseAll(v verdict, q receiveRequest, err error) verdict {
	err = r.outward(err)
	v.err = err
	for _, c := range q.commands {
		v.reason[c.ref], _, _ = strings.Cut(err.Error(), "\n")
	}
	return v
}

// report tells the client what became of its push, with all problems as lines
// that git shows after "remote:".
func (v verdict) report(w io.Writer, q receiveRequest) error {
	var status bytes.Buffer
	e := pktline.NewEncoder(&status) // a bytes.Buffer takes everything
	_ = e.Encodef("unpack ok\n")
	for _, c := range q.commands {
		reason, refused := v.reason[c.ref]
		switch {
		case refused:
			_ = e.Encodef("ng %s %s\n", c.ref, clip(reason))
		case v.err != nil:
			_ = e.Encodef("ng %s another branch of this push was refused\n", c.ref)
		default:
			_ = e.Encodef("ok %s\n", c.ref)
		}
	}
	_ = e.Flush()
	out := bufio.NewWriter(w)
	if !q.can("side-band-64k") {
		if q.can("report-status") {
			_, _ = out.Write(status.Bytes())
		}
		_ = out.Flush() // the client may be gone
		return nil
	}
	mux := pktline.NewEncoder(out)
	if v.err != nil {
		_, _ = fmt.Fprintf(sideband{mux, channelProgress, pktline.MaxPayloadSize}, "%s\n", v.err)
	}
	if q.can("report-status") {
		_, _ = sideband{mux, channelData, pktline.MaxPayloadSize}.Write(status.Bytes())
	}
	_ = mux.Flush()
	_ = out.Flush()
	return nil
}

// clip keeps a line that git shows in brackets readable.
func clip(s string) string {
	const most = 300
	if len(s) > most {
		return s[:most] + "…"
	}
	return s
}
