package git

import (
	"bytes"
	"cmp"
	"compress/zlib"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"slices"
	"sort"
	"sync"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/format/idxfile"
	"github.com/go-git/go-git/v5/plumbing/format/packfile"
)

// pack is a pack file with its index in memory: 28 bytes an object. It is
// immutable and safe for concurrent use. The file is opened for each read, so
// that thousands of packs cost no descriptors.
type pack struct {
	path  string // without .pack or .idx
	size  int64
	names []hash   // sorted
	offs  []uint32 // offs[i] is where names[i] begins
	order []uint32 // indices of names, sorted by offset
}

// openPack reads the index of a pack.
func openPack(path string) (*pack, error) {
	info, err := os.Stat(path + ".pack")
	if err != nil {
		return nil, err
	}
	data, err := os.ReadFile(path + ".idx")
	if err != nil {
		return nil, err
	}
	index := idxfile.NewMemoryIndex()
	if err := idxfile.NewDecoder(bytes.NewReader(data)).Decode(index); err != nil {
		return nil, fmt.Errorf("%s.idx: %w", path, err)
	}
	return newPack(path, info.Size(), index)
}

func newPack(path string, size int64, index *idxfile.MemoryIndex) (*pack, error) {
	if size > math.MaxUint32 {
		return nil, fmt.Errorf("%s.pack has %d bytes, more than the 4 GiB that can be addressed", path, size)
	}
	p := &pack{path: path, size: size}
	iter, err := index.Entries()
	if err != nil {
		return nil, fmt.Errorf("%s.idx: %w", path, err)
	}
	for {
		e, err := iter.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, fmt.Errorf("%s.idx: %w", path, err)
		}
		if e.Offset >= uint64(size) {
			return nil, fmt.Errorf("%s.idx points behind the end of its pack", path)
		}
		p.order = append(p.order, uint32(len(p.names)))
		p.names = append(p.names, e.Hash)
		p.offs = append(p.offs, uint32(e.Offset))
	}
	slices.SortFunc(p.order, func(a, b uint32) int { return cmp.Compare(p.offs[a], p.offs[b]) })
	return p, nil
}

// find returns the index of an object in names.
func (p *pack) find(h hash) (int, bool) {
	return slices.BinarySearchFunc(p.names, h, func(a, b hash) int { return bytes.Compare(a[:], b[:]) })
}

// at returns the position in order of the entry that begins at off.
func (p *pack) at(off int64) (int, bool) {
	n := sort.Search(len(p.order), func(k int) bool { return int64(p.offs[p.order[k]]) >= off })
	return n, n < len(p.order) && int64(p.offs[p.order[n]]) == off
}

func (p *pack) open() (*os.File, error) { return os.Open(p.path + ".pack") }

// entry is an object as it lies in the pack, deflated.
type entry struct {
	typ  plumbing.ObjectType // may be a delta
	size int64               // of the inflated data
	base int                 // of a delta, its index in names
	z    []byte
}

func (e entry) isDelta() bool { return e.typ.IsDelta() }

// entry reads the i-th object of names.
func (p *pack) entry(f io.ReaderAt, i int) (entry, error) {
	off := int64(p.offs[i])
	end := p.size - int64(len(hash{}))
	if k, _ := p.at(off); k+1 < len(p.order) {
		end = int64(p.offs[p.order[k+1]])
	}
	buf := make([]byte, end-off)
	if _, err := f.ReadAt(buf, off); err != nil {
		return entry{}, fmt.Errorf("%s.pack at %d: %w", p.path, off, err)
	}
	e, err := p.parseEntry(buf, off)
	if err != nil {
		return entry{}, fmt.Errorf("%s.pack at %d: %w", p.path, off, err)
	}
	return e, nil
}

var errDamaged = errors.New("the entry is damaged; restore the repository from a clone or a backup")

func (p *pack) parseEntry(buf []byte, off int64) (entry, error) {
	var e entry
	n := 0
	next := func() byte {
		n++
		if n > len(buf) {
			return 0
		}
		return buf[n-1]
	}
	c := next()
	e.typ = plumbing.ObjectType(c >> 4 & 7)
	e.size = int64(c & 15)
	for shift := 4; c&0x80 != 0 && shift < 60; shift += 7 {
		c = next()
		e.size |= int64(c&0x7f) << shift
	}
	switch e.typ {
	case plumbing.OFSDeltaObject:
		c = next()
		back := int64(c & 0x7f)
		for c&0x80 != 0 && n <= len(buf) {
			c = next()
			back = (back+1)<<7 | int64(c&0x7f)
		}
		k, ok := p.at(off - back)
		if !ok {
			return e, errDamaged
		}
		e.base = int(p.order[k])
	case plumbing.REFDeltaObject:
		var h hash
		n += copy(h[:], buf[min(n, len(buf)):])
		i, ok := p.find(h)
		if !ok {
			return e, errDamaged
		}
		e.base = i
	}
	if n > len(buf) || !e.typ.Valid() {
		return e, errDamaged
	}
	e.z = buf[n:]
	return e, nil
}

// read returns the i-th object of names, with its deltas applied.
func (p *pack) read(f io.ReaderAt, i int) (object, error) {
	var deltas [][]byte
	for {
		e, err := p.entry(f, i)
		if err != nil {
			return object{}, err
		}
		data, err := inflate(e.z, e.size)
		if err != nil {
			return object{}, fmt.Errorf("object %s in %s: %w", p.names[i], p.path, err)
		}
		if !e.isDelta() {
			return patch(object{e.typ, data}, deltas)
		}
		deltas = append(deltas, data)
		if len(deltas) > len(p.names) {
			return object{}, fmt.Errorf("%s: %w", p.path, errDamaged) // a cycle
		}
		i = e.base
	}
}

// patch applies deltas to their base, the last one first.
func patch(o object, deltas [][]byte) (object, error) {
	for _, d := range slices.Backward(deltas) {
		data, err := packfile.PatchDelta(o.data, d)
		if err != nil {
			return object{}, err
		}
		o.data = data
	}
	return o, nil
}

// inflaters are expensive to make: 40 KiB each.
var inflaters sync.Pool

func inflate(z []byte, size int64) ([]byte, error) {
	r, _ := inflaters.Get().(io.ReadCloser)
	src := bytes.NewReader(z)
	if r == nil {
		var err error
		if r, err = zlib.NewReader(src); err != nil {
			return nil, err
		}
	} else if err := r.(zlib.Resetter).Reset(src, nil); err != nil {
		return nil, err
	}
	defer inflaters.Put(r)
	data := make([]byte, size)
	if _, err := io.ReadFull(r, data); err != nil {
		return nil, err
	}
	if n, _ := r.Read(make([]byte, 1)); n != 0 {
		return nil, errDamaged
	}
	return data, nil
}

// deflaters are expensive to make: over 1 MB each.
var deflaters sync.Pool

// deflate prefers speed: trees are mostly hashes, which no effort compresses,
// and what repeats is stored as deltas when packs are merged.
func deflate(data []byte) []byte {
	var b bytes.Buffer
	w, _ := deflaters.Get().(*zlib.Writer)
	if w == nil {
		w, _ = zlib.NewWriterLevel(&b, zlib.BestSpeed) // the level is valid
	} else {
		w.Reset(&b)
	}
	defer deflaters.Put(w)
	_, _ = w.Write(data) // a bytes.Buffer takes everything
	_ = w.Close()
	return b.Bytes()
}
