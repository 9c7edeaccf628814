package git

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/fairwaycd/fairway"
)

// repo is one repository. Refs and packs are published as immutable values,
// so that reading needs no lock.
type repo struct {
	store   *Store
	project fairway.ProjectName
	dir     string

	lock    chan struct{} // held, by sending, while refs change
	pushing chan struct{} // held during a push, its AfterPush included
	closed  chan struct{}
	why     error // why it is closed; set before

	queueMu sync.Mutex
	queue   []*work

	refs  atomic.Pointer[refs]
	steps map[string]*steps // by branch; guarded by lock

	packs   atomic.Pointer[[]*pack] // oldest first
	packsMu sync.Mutex              // held while the list changes
	merging sync.Mutex              // held while packs are merged
}

func loadRepo(s *Store, project fairway.ProjectName) (*repo, error) {
	r := &repo{
		store: s, project: project, dir: s.path(project),
		lock: make(chan struct{}, 1), pushing: make(chan struct{}, 1), closed: make(chan struct{}),
		steps: map[string]*steps{},
	}
	packs, err := loadPacks(r.packDir())
	if err != nil {
		return nil, fmt.Errorf("open the repository of project %s: %w", project, err)
	}
	r.packs.Store(&packs)
	// A crash left it, and the git program would wait for whoever holds it.
	if err := os.Remove(filepath.Join(r.dir, "packed-refs.lock")); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	known, err := readRefs(r.dir)
	if err != nil {
		return nil, fmt.Errorf("open the repository of project %s: %w", project, err)
	}
	for name, h := range known {
		if !r.has(h) {
			return nil, fairway.Errorf(fairway.KindInternal, "the repository of project %s is damaged: %s points to %s, which is missing; restore %s from a clone or a backup", project, name, h, r.dir)
		}
	}
	r.refs.Store(&known)
	return r, nil
}

func (r *repo) packDir() string { return filepath.Join(r.dir, "objects", "pack") }

// loadPacks opens all packs, oldest first, and removes what a crash left: a
// temporary file, or a pack whose index was not yet in place.
func loadPacks(dir string) ([]*pack, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	var packs []*pack
	age := map[*pack]int64{}
	for _, e := range entries {
		path := filepath.Join(dir, e.Name())
		base, isPack := strings.CutSuffix(path, ".pack")
		if strings.HasPrefix(e.Name(), tempPrefix) {
			if err := os.Remove(path); err != nil {
				return nil, err
			}
			continue
		}
		if !isPack {
			continue
		}
		p, err := openPack(base)
		if errors.Is(err, fs.ErrNotExist) {
			if err := os.Remove(path); err != nil {
				return nil, err
			}
			continue
		}
		if err != nil {
			return nil, err
		}
		info, err := e.Info()
		if err != nil {
			return nil, err
		}
		age[p] = info.ModTime().UnixNano()
		packs = append(packs, p)
	}
	slices.SortFunc(packs, func(a, b *pack) int { return cmp.Compare(age[a], age[b]) })
	return packs, nil
}

// tempPrefix begins the name of everything that is not complete yet.
const tempPrefix = "tmp_"

func (r *repo) has(h hash) bool {
	for _, p := range slices.Backward(*r.packs.Load()) {
		if _, ok := p.find(h); ok {
			return true
		}
	}
	return false
}

// object reads from the packs. A pack that was merged into another one while
// we looked is gone; the object is found again in the new list.
func (r *repo) object(h hash) (object, error) {
	for {
		list := r.packs.Load()
		o, err := r.lookup(*list, h)
		if errors.Is(err, fs.ErrNotExist) && list != r.packs.Load() {
			continue
		}
		return o, err
	}
}

func (r *repo) lookup(list []*pack, h hash) (object, error) {
	for _, p := range slices.Backward(list) {
		i, ok := p.find(h)
		if !ok {
			continue
		}
		// The cache is shared by all projects: ask it only for what is ours.
		if o, ok := r.store.cache.get(h); ok {
			return o, nil
		}
		f, err := p.open()
		if err != nil {
			return object{}, err
		}
		o, err := p.read(f, i)
		_ = f.Close()
		if err == nil {
			r.store.cache.put(h, o)
		}
		return o, err
	}
	return object{}, fmt.Errorf("object %s %w", h, errMissing)
}

// changePacks publishes a new list of packs.
func (r *repo) changePacks(f func([]*pack) []*pack) {
	r.packsMu.Lock()
	defer r.packsMu.Unlock()
	list := f(slices.Clone(*r.packs.Load()))
	r.packs.Store(&list)
}

func (r *repo) addPack(p *pack) {
	r.changePacks(func(list []*pack) []*pack {
		if slices.ContainsFunc(list, func(q *pack) bool { return q.path == p.path }) {
			return list
		}
		return append(list, p)
	})
}

// acquire takes the lock that c stands for.
func (r *repo) acquire(ctx context.Context, c chan struct{}) error {
	select {
	case c <- struct{}{}:
		return nil
	case <-r.closed:
		return r.why
	case <-ctx.Done():
		return fmt.Errorf("wait for the repository of project %s: %w", r.project, context.Cause(ctx))
	}
}

// storeObjects writes the new objects as one pack, durable and visible.
func (r *repo) storeObjects(v *overlay) error {
	p, err := writePack(r.store.disk, r.packDir(), len(v.order), v.fill)
	if err != nil {
		return err
	}
	r.addPack(p)
	for h, o := range v.added {
		r.store.cache.put(h, o) // the next commit begins with them
	}
	return nil
}

// setRefs makes the new refs durable, then visible.
func (r *repo) setRefs(next refs) error {
	r.store.disk.fail("git.objects.written")
	err := writeRefs(r.store.disk, r.dir, next)
	if err != nil {
		// What stands in the file now decides, not what we meant to write.
		if now, e := readRefs(r.dir); e == nil {
			r.refs.Store(&now)
		}
		return err
	}
	before := r.refs.Swap(&next)
	r.moved(*before, next)
	return nil
}

// writePack writes one pack of count objects into dir and returns it once it
// is durable.
func writePack(d disk, dir string, count int, fill func(*packWriter) error) (*pack, error) {
	f, err := d.temp(dir)
	if err != nil {
		return nil, err
	}
	sum, pw, err := fillPack(d, f, count, fill)
	if err = errors.Join(err, f.Close()); err != nil {
		_ = os.Remove(f.Name())
		return nil, err
	}
	index, err := pw.index.Index()
	if err != nil {
		return nil, err
	}
	encoded, err := encodeIndex(index)
	if err != nil {
		return nil, err
	}
	path := filepath.Join(dir, "pack-"+sum.String())
	if err := d.installPack(f.Name(), path, encoded); err != nil {
		_ = os.Remove(f.Name())
		return nil, err
	}
	return newPack(path, pw.off, index)
}

func fillPack(d disk, f *os.File, count int, fill func(*packWriter) error) (sum hash, pw *packWriter, err error) {
	out := bufio.NewWriterSize(f, 64<<10)
	if pw, err = newPackWriter(out, count); err != nil {
		return sum, nil, err
	}
	if err = fill(pw); err != nil {
		return sum, nil, err
	}
	if sum, err = pw.finish(); err != nil {
		return sum, nil, err
	}
	if err = out.Flush(); err != nil {
		return sum, nil, err
	}
	return sum, pw, d.syncFile(f)
}
