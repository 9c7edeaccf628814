package git

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/format/packfile"

	"github.com/fairwaycd/fairway"
)

const (
	// tooManyPacks is when merging begins: every write adds a pack, and a
	// lookup asks each.
	tooManyPacks = 40
	// farTooManyPacks is when a writer merges by itself, because nobody did.
	farTooManyPacks = 200
	// largestMerge bounds the objects and the bytes of a merged pack, and so
	// the time and the memory (some 30 MB) that one merge takes.
	largestMerge      = 1 << 18
	largestMergeBytes = 256 << 20
	// maxChain bounds how many deltas are applied to read an object.
	maxChain = 20
	// The sizes between which an object may be stored as a delta.
	minDelta, maxDelta = 128, 4 << 20
	maintainEvery      = 10 * time.Minute
)

// Maintain merges small packs of all repositories in use, when there are many
// and every ten minutes, until ctx ends. Run it once for each store. Errors
// are logged, and the merge is tried again later.
func (s *Store) Maintain(ctx context.Context) {
	tick := time.NewTicker(maintainEvery)
	defer tick.Stop()
	for {
		for _, r := range s.opened() {
			if err := r.merge(ctx); err != nil && ctx.Err() == nil {
				s.log.Error("packs of a repository could not be merged; it goes on without, only slower", "project", r.project, "err", err)
			}
		}
		select {
		case <-ctx.Done():
			return
		case <-s.kick:
		case <-tick.C:
		}
	}
}

// Repack merges the small packs of a project now.
func (s *Store) Repack(ctx context.Context, project fairway.ProjectName) error {
	r, err := s.repo(ctx, project)
	if err != nil {
		return err
	}
	return r.mergePacks(ctx, *r.packs.Load())
}

// wake has packs merged when there are many.
func (s *Store) wake(ctx context.Context, r *repo) {
	n := len(*r.packs.Load())
	if n < tooManyPacks {
		return
	}
	select {
	case s.kick <- struct{}{}:
	default:
	}
	if n < farTooManyPacks {
		return
	}
	if err := r.merge(ctx); err != nil && ctx.Err() == nil {
		s.log.Error("packs of a repository could not be merged; it goes on without, only slower", "project", r.project, "err", err)
	}
}

// merge merges the smallest packs into one, so that each pack left has more
// than twice the objects of all smaller ones together: every object is copied
// only as often as the number of packs has digits in base two.
func (r *repo) merge(ctx context.Context) error {
	packs := slices.Clone(*r.packs.Load())
	if len(packs) < tooManyPacks {
		return nil
	}
	slices.SortFunc(packs, func(a, b *pack) int { return cmp.Compare(len(a.names), len(b.names)) })
	n, objects, size := 0, 0, int64(0)
	for i, p := range packs {
		if objects+len(p.names) > largestMerge || size+p.size > largestMergeBytes {
			break
		}
		if i > 0 && len(p.names) <= 2*objects {
			n = i + 1
		}
		objects += len(p.names)
		size += p.size
	}
	if n < 2 {
		return nil
	}
	return r.mergePacks(ctx, packs[:n])
}

// mergePacks replaces the packs by one. Readers that hold the old list find
// their objects again in the new one.
func (r *repo) mergePacks(ctx context.Context, old []*pack) error {
	r.merging.Lock()
	defer r.merging.Unlock()
	current := *r.packs.Load()
	old = slices.DeleteFunc(slices.Clone(current), func(p *pack) bool { return !slices.Contains(old, p) })
	if len(old) < 2 {
		return nil // merged meanwhile
	}
	m := newMerger(ctx, r, old)
	p, err := writePack(r.store.disk, r.packDir(), len(m.all), m.fill)
	if err != nil {
		return classify(fmt.Errorf("merge %d packs of project %s: %w", len(old), r.project, err))
	}
	old = slices.DeleteFunc(old, func(q *pack) bool { return q.path == p.path }) // one holds it all already
	r.changePacks(func(list []*pack) []*pack {
		at := slices.Index(list, old[0])
		list = slices.DeleteFunc(list, func(q *pack) bool { return slices.Contains(old, q) || q.path == p.path })
		return slices.Insert(list, min(at, len(list)), p)
	})
	var errs []error
	for _, q := range old {
		// Without its index a pack does not exist, so that goes first.
		errs = append(errs, os.Remove(q.path+".idx"), os.Remove(q.path+".pack"))
	}
	r.store.log.Debug("packs merged", "project", r.project, "packs", len(old), "objects", len(m.all), "bytes", p.size)
	return errors.Join(errs...)
}

// merger writes the objects of several packs into one. What replaced
// something else at the same path of the tree is stored as the difference to
// it: in a configuration repository that is nearly everything.
type merger struct {
	ctx   context.Context
	repo  *repo
	packs []*pack
	all   map[hash]bool
	bases map[hash]hash // what an object replaced
	depth map[hash]int  // deltas below an object
}

func newMerger(ctx context.Context, r *repo, packs []*pack) *merger {
	m := &merger{ctx: ctx, repo: r, packs: packs, all: map[hash]bool{}, bases: map[hash]hash{}, depth: map[hash]int{}}
	for _, p := range packs {
		for _, h := range p.names {
			m.all[h] = true
		}
	}
	return m
}

func (m *merger) fill(pw *packWriter) error {
	for _, p := range m.packs {
		if err := m.fillFrom(pw, p); err != nil {
			return err
		}
	}
	return nil
}

func (m *merger) fillFrom(pw *packWriter, p *pack) error {
	f, err := p.open()
	if err != nil {
		return err
	}
	defer f.Close()
	if err := m.findBases(p, f); err != nil {
		return err
	}
	for n, i := range p.order {
		if n%256 == 0 && m.ctx.Err() != nil {
			return m.ctx.Err()
		}
		if err := m.write(pw, p, f, int(i)); err != nil {
			return err
		}
	}
	return nil
}

// findBases notes, for each commit in the pack, what its new objects
// replaced.
func (m *merger) findBases(p *pack, f io.ReaderAt) error {
	for _, i := range p.order {
		e, err := p.entry(f, int(i))
		if err != nil {
			return err
		}
		if e.typ != plumbing.CommitObject {
			continue
		}
		data, err := inflate(e.z, e.size)
		if err != nil {
			return err
		}
		c, err := parseCommit(data)
		if err != nil || len(c.parents) == 0 {
			continue
		}
		parent, err := readCommit(m.repo, c.parents[0])
		if err != nil {
			return err
		}
		if err := m.pair(parent.tree, c.tree); err != nil {
			return err
		}
	}
	return nil
}

// pair notes what replaced what between two trees.
func (m *merger) pair(old, new hash) error {
	if _, ok := m.bases[new]; ok || old == new || !m.all[new] || !m.all[old] {
		return nil
	}
	m.bases[new] = old
	was, err := readTree(m.repo, old)
	if err != nil {
		return err
	}
	is, err := readTree(m.repo, new)
	if err != nil {
		return err
	}
	byName := make(map[string]treeEntry, len(was))
	for _, e := range was {
		byName[e.name] = e
	}
	for _, e := range is {
		o := byName[e.name]
		switch {
		case o.hash == e.hash || o.mode != e.mode:
		case e.isDir():
			if err := m.pair(o.hash, e.hash); err != nil {
				return err
			}
		case m.all[e.hash] && m.all[o.hash]:
			if _, ok := m.bases[e.hash]; !ok {
				m.bases[e.hash] = o.hash
			}
		}
	}
	return nil
}

func (m *merger) write(pw *packWriter, p *pack, f io.ReaderAt, i int) error {
	h := p.names[i]
	if _, ok := pw.pos[h]; ok {
		return nil
	}
	e, err := p.entry(f, i)
	if err != nil {
		return err
	}
	if e.isDelta() {
		base := p.names[e.base]
		if _, ok := pw.pos[base]; ok && m.depth[base] < maxChain {
			m.depth[h] = m.depth[base] + 1
			return pw.delta(h, base, e.size, e.z)
		}
		o, err := p.read(f, i)
		if err != nil {
			return err
		}
		return pw.object(h, o.typ, int64(len(o.data)), deflate(o.data))
	}
	base, ok := m.bases[h]
	_, written := pw.pos[base]
	if ok && written && m.depth[base] < maxChain && e.size >= minDelta && e.size <= maxDelta {
		done, err := m.writeDelta(pw, h, base)
		if done || err != nil {
			return err
		}
	}
	return pw.object(h, e.typ, e.size, e.z)
}

// writeDelta writes the object as a delta when that is less than half of it.
func (m *merger) writeDelta(pw *packWriter, h, base hash) (bool, error) {
	o, err := m.repo.object(h)
	if err != nil {
		return false, err
	}
	b, err := m.repo.object(base)
	if err != nil {
		return false, err
	}
	if len(b.data) > maxDelta || b.typ != o.typ {
		return false, nil
	}
	d := packfile.DiffDelta(b.data, o.data)
	if len(d) >= len(o.data)/2 {
		return false, nil
	}
	if got, err := packfile.PatchDelta(b.data, d); err != nil || !bytes.Equal(got, o.data) {
		return false, nil // a delta that does not give the object back is none
	}
	m.depth[h] = m.depth[base] + 1
	return true, pw.delta(h, base, int64(len(d)), deflate(d))
}

// openAll opens the files of all packs of one moment.
func (r *repo) openAll() ([]*pack, []*os.File, error) {
	for {
		list := r.packs.Load()
		files, err := openFiles(*list)
		if errors.Is(err, os.ErrNotExist) && list != r.packs.Load() {
			continue
		}
		return *list, files, err
	}
}

func openFiles(list []*pack) ([]*os.File, error) {
	var files []*os.File
	for _, p := range list {
		f, err := p.open()
		if err != nil {
			closeFiles(files)
			return nil, fmt.Errorf("open %s: %w", filepath.Base(p.path), err)
		}
		files = append(files, f)
	}
	return files, nil
}

func closeFiles(files []*os.File) {
	for _, f := range files {
		_ = f.Close()
	}
}
