package git

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/format/pktline"

	"github.com/fairwaycd/fairway"
)

// uploadRequest is what a client asks to fetch. The hashes it has follow.
type uploadRequest struct {
	wants    []hash
	shallow  []hash
	depth    int // 0: everything
	relative bool
	caps     []string
}

func (q uploadRequest) can(name string) bool { return slices.Contains(q.caps, name) }

func malformed(format string, args ...any) error {
	return fairway.Errorf(fairway.KindInvalid, "malformed git request: %w", fmt.Errorf(format, args...))
}

// parseUpload reads a request up to its first flush. A body without wants
// gives an empty request.
func parseUpload(sc *pktline.Scanner) (uploadRequest, error) {
	var q uploadRequest
	for sc.Scan() {
		line := strings.TrimSuffix(string(sc.Bytes()), "\n")
		if line == "" {
			break
		}
		key, rest, _ := strings.Cut(line, " ")
		text, caps, _ := strings.Cut(rest, " ")
		switch key {
		case "want", "shallow":
			h, ok := parseHash(text)
			if !ok {
				return q, malformed("%q is not a hash", text)
			}
			if key == "shallow" {
				q.shallow = append(q.shallow, h)
				break
			}
			if len(q.wants) == 0 {
				q.caps = strings.Fields(caps)
			}
			q.wants = append(q.wants, h)
		case "deepen":
			n, err := strconv.Atoi(text)
			if err != nil || n < 0 || n > math.MaxInt32 {
				return q, malformed("the depth %q is not a number", text)
			}
			q.depth = n
		default:
			return q, malformed("%q is not understood", line)
		}
	}
	q.relative = q.can("deepen-relative")
	if err := sc.Err(); err != nil {
		return q, scanError(err)
	}
	return q, nil
}

func scanError(err error) error {
	if errors.Is(err, errTooLarge) {
		return fairway.Errorf(fairway.KindInvalid, "%w", err)
	}
	return malformed("%w", err)
}

// serveUpload answers one round of a fetch: what the client and we have in
// common, and, once it is known, the pack with the rest. Each round repeats
// all that was said before.
func (s *Store) serveUpload(w http.ResponseWriter, hq *http.Request, r *repo) error {
	in, err := body(hq, uploadService, maxFetch)
	if err != nil {
		return err
	}
	sc := pktline.NewScanner(bufio.NewReader(in))
	q, err := parseUpload(sc)
	if err != nil {
		return err
	}
	noCache(w, "application/x-git-upload-pack-result")
	if len(q.wants) == 0 {
		return nil
	}
	sel, answer, err := r.plan(q)
	if fairway.KindOf(err) == fairway.KindNotFound {
		_ = pktline.NewEncoder(w).Encodef("ERR %s\n", err) // the only text that git shows here
		return nil
	}
	if err != nil {
		return err
	}
	n := negotiation{src: r, wants: q.wants, common: map[hash]bool{}, noDone: q.can("no-done")}
	n.multi = q.can("multi_ack_detailed")
	ready, err := n.run(sc, &answer)
	if err != nil {
		return err
	}
	out := bufio.NewWriter(w)
	if _, err := out.Write(answer.Bytes()); err != nil {
		return nil // the client is gone
	}
	if ready {
		sel.haves = n.haves
		if err := r.sendPack(out, q, sel); err != nil {
			// The answer has begun: break it off, so that git sees it is torn.
			s.log.Warn("fetch broken off", "project", r.project, "err", err)
			panic(http.ErrAbortHandler)
		}
	}
	_ = out.Flush() // the client may be gone
	return nil
}

// plan checks what is wanted, and says where the history that the client will
// have ends.
func (r *repo) plan(q uploadRequest) (selection, bytes.Buffer, error) {
	var answer bytes.Buffer
	sel := selection{wants: q.wants, clientShallow: map[hash]bool{}, shallow: map[hash]bool{}}
	for _, h := range q.wants {
		if o, err := r.object(h); err != nil || o.typ != plumbing.CommitObject {
			return sel, answer, fairway.Errorf(fairway.KindNotFound, "project %s has no commit %s", r.project, h)
		}
	}
	for _, h := range q.shallow {
		if o, err := r.object(h); err == nil && o.typ == plumbing.CommitObject {
			sel.clientShallow[h] = true
			sel.shallow[h] = true
		}
	}
	if q.depth == 0 {
		return sel, answer, nil
	}
	from, depth := q.wants, q.depth
	if q.relative && len(sel.clientShallow) > 0 {
		from, depth = q.shallow, q.depth+1
		from = slices.DeleteFunc(slices.Clone(from), func(h hash) bool { return !sel.clientShallow[h] })
	}
	edge, inside, err := boundary(r, from, depth)
	if err != nil {
		return sel, answer, err
	}
	e := pktline.NewEncoder(&answer) // a bytes.Buffer takes everything
	for h := range edge {
		if !sel.clientShallow[h] {
			_ = e.Encodef("shallow %s", h)
		}
		sel.shallow[h] = true
	}
	for h := range sel.clientShallow {
		if inside[h] {
			_ = e.Encodef("unshallow %s", h)
			delete(sel.shallow, h)
		}
	}
	_ = e.Flush()
	return sel, answer, nil
}

// negotiation finds out what client and server have in common.
type negotiation struct {
	src    source
	wants  []hash
	multi  bool // multi_ack_detailed
	noDone bool

	common map[hash]bool
	haves  []hash
	last   hash // the last one in common
	enough bool // every want has an ancestor in common
	asked  int  // for how many in common enough was found out
}

// run answers the rest of the request. It returns true when the pack follows.
func (n *negotiation) run(sc *pktline.Scanner, answer io.Writer) (bool, error) {
	e := pktline.NewEncoder(answer) // a bytes.Buffer takes everything
	newCommon, unknown, sentReady := false, false, false
	for sc.Scan() {
		line := strings.TrimSuffix(string(sc.Bytes()), "\n")
		switch {
		case line == "":
			if n.multi && newCommon && !unknown && n.giveUp() {
				sentReady = true
				_ = e.Encodef("ACK %s ready\n", n.last)
			}
			if len(n.haves) == 0 || n.multi {
				_ = e.Encodef("NAK\n")
			}
			if n.noDone && sentReady {
				_ = e.Encodef("ACK %s\n", n.last)
				return true, nil
			}
			newCommon, unknown = false, false
		case line == "done":
			if len(n.haves) == 0 {
				_ = e.Encodef("NAK\n")
			} else if n.multi {
				_ = e.Encodef("ACK %s\n", n.last)
			}
			return true, nil
		case strings.HasPrefix(line, "have "):
			h, ok := parseHash(line[len("have "):])
			if !ok {
				return false, malformed("%q is not a hash", line)
			}
			switch {
			case n.has(h):
				newCommon = true
				if n.multi {
					_ = e.Encodef("ACK %s common\n", h)
				} else if len(n.haves) == 1 {
					_ = e.Encodef("ACK %s\n", h)
				}
			default:
				unknown = true
				if n.multi && n.giveUp() {
					sentReady = true
					_ = e.Encodef("ACK %s ready\n", h)
				}
			}
		default:
			return false, malformed("%q is not understood", line)
		}
	}
	if err := sc.Err(); err != nil {
		return false, scanError(err)
	}
	return false, nil
}

// has notes what the client has, if we have it too.
func (n *negotiation) has(h hash) bool {
	o, err := n.src.object(h)
	if err != nil || o.typ != plumbing.CommitObject {
		return false
	}
	n.last = h
	if !n.common[h] {
		n.common[h] = true
		n.haves = append(n.haves, h)
	}
	return true
}

// giveUp reports whether more of what the client has would not help.
func (n *negotiation) giveUp() bool {
	if n.enough || len(n.common) == n.asked {
		return n.enough
	}
	n.asked = len(n.common)
	ok, err := reachesAny(n.src, n.wants, n.common)
	n.enough = ok && err == nil
	return n.enough
}

// sendPack sends what the client lacks.
func (r *repo) sendPack(w io.Writer, q uploadRequest, sel selection) error {
	list, err := r.lacking(q, sel)
	if err != nil {
		return err
	}
	e := pktline.NewEncoder(w)
	switch {
	case q.can("side-band-64k"):
		w = sideband{e, channelData, pktline.MaxPayloadSize}
	case q.can("side-band"):
		w = sideband{e, channelData, 999}
	default:
		return r.copyPack(w, list, !q.can("ofs-delta"))
	}
	out := bufio.NewWriterSize(w, 32<<10)
	if err := r.copyPack(out, list, !q.can("ofs-delta")); err != nil {
		return err
	}
	if err := out.Flush(); err != nil {
		return err
	}
	return e.Flush()
}

// lacking lists the objects to send; nil stands for all there are.
func (r *repo) lacking(q uploadRequest, sel selection) ([]hash, error) {
	if len(sel.haves) == 0 && q.depth == 0 && len(sel.clientShallow) == 0 && r.wantsAll(q.wants) {
		return nil, nil
	}
	commits, edges, err := sel.missing(r)
	if err != nil {
		return nil, err
	}
	list, err := closure(r, commits, edges)
	if list == nil {
		list = []hash{}
	}
	return list, err
}

func (r *repo) wantsAll(wants []hash) bool {
	all := *r.refs.Load()
	for _, b := range all.branches() {
		if h := all[headsPrefix+b]; !slices.Contains(wants, h) {
			return false
		}
	}
	return true
}

// copyPack writes a pack of the objects, or of all for a nil list, as they lie
// in our packs: nothing is inflated, and deltas stay where their base goes
// along.
func (r *repo) copyPack(w io.Writer, list []hash, whole bool) error {
	packs, files, err := r.openAll()
	if err != nil {
		return err
	}
	defer closeFiles(files)
	chosen, count := choose(packs, list)
	if list != nil && count != len(list) {
		return fmt.Errorf("project %s: %d of %d objects to send are missing", r.project, len(list)-count, len(list))
	}
	pw, err := newPackWriter(w, count)
	if err != nil {
		return err
	}
	pw.whole = whole
	for k, p := range packs {
		for _, i := range chosen[k] {
			if err := pw.copy(p, files[k], int(i)); err != nil {
				return err
			}
		}
	}
	_, err = pw.finish()
	return err
}

// choose says which objects to take out of which pack, in the order in which
// they lie there: a delta's base comes first.
func choose(packs []*pack, list []hash) (chosen [][]uint32, count int) {
	var wanted map[hash]bool
	if list != nil {
		wanted = make(map[hash]bool, len(list))
		for _, h := range list {
			wanted[h] = true
		}
	}
	taken := map[hash]bool{}
	chosen = make([][]uint32, len(packs))
	for k, p := range packs {
		for _, i := range p.order {
			h := p.names[i]
			if (wanted != nil && !wanted[h]) || taken[h] {
				continue
			}
			taken[h] = true
			chosen[k] = append(chosen[k], i)
		}
	}
	return chosen, len(taken)
}
