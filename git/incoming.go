package git

import (
	"bufio"
	"crypto/sha1"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/format/idxfile"
	"github.com/go-git/go-git/v5/plumbing/format/packfile"

	"github.com/fairwaycd/fairway"
)

// incoming is a pushed pack in quarantine: a temporary file that no reader of
// the repository sees until keep. As a source it shows its objects over those
// of the repository.
type incoming struct {
	repo *repo
	pack *pack  // nil when nothing was sent, or after keep
	tmp  string // file of the pack
	sum  hash
	idx  *idxfile.MemoryIndex
}

func (in *incoming) has(h hash) bool {
	if in.pack != nil {
		if _, ok := in.pack.find(h); ok {
			return true
		}
	}
	return in.repo.has(h)
}

func (in *incoming) object(h hash) (object, error) {
	if in.pack == nil {
		return in.repo.object(h)
	}
	i, ok := in.pack.find(h)
	if !ok {
		return in.repo.object(h)
	}
	f, err := os.Open(in.tmp)
	if errors.Is(err, os.ErrNotExist) {
		return in.repo.object(h) // kept meanwhile
	}
	if err != nil {
		return object{}, err
	}
	defer f.Close()
	return in.pack.read(f, i)
}

// drop removes what was not kept.
func (in *incoming) drop() {
	if in.tmp != "" {
		_ = os.Remove(in.tmp) // gone after keep
	}
}

// keep moves the pack into the repository, durably.
func (in *incoming) keep() error {
	if in.pack == nil {
		return nil
	}
	d := in.repo.store.disk
	f, err := os.OpenFile(in.tmp, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	if err := errors.Join(d.syncFile(f), f.Close()); err != nil {
		return err
	}
	encoded, err := encodeIndex(in.idx)
	if err != nil {
		return err
	}
	path := filepath.Join(in.repo.packDir(), "pack-"+in.sum.String())
	if err := d.installPack(in.tmp, path, encoded); err != nil {
		return err
	}
	p, err := newPack(path, in.pack.size, in.idx)
	if err != nil {
		return err
	}
	in.repo.addPack(p)
	return nil
}

// receive reads a pack into quarantine and checks it: its form, its sizes,
// that every object it refers to is there, and the names in its trees. The
// caller drops what it got, also with an error.
func (r *repo) receive(body io.Reader) (*incoming, error) {
	in := &incoming{repo: r}
	f, err := r.store.disk.temp(r.packDir())
	if err != nil {
		return in, err
	}
	defer f.Close()
	in.tmp = f.Name()
	size, err := io.Copy(f, body)
	if err != nil {
		return in, fmt.Errorf("read the pack: %w", err)
	}
	count, err := packCount(f, size)
	if err != nil || count == 0 {
		return in, err
	}
	limit := r.store.o.MaxPush
	if err := checkSizes(f, size, limit, 8*limit); err != nil {
		return in, err
	}
	if err := in.indexPack(f, size); err != nil {
		return in, err
	}
	return in, in.checkObjects(f)
}

// packCount returns how many objects the pack says it has.
func packCount(f *os.File, size int64) (uint32, error) {
	var head [12]byte
	if size < int64(len(head))+sha1.Size {
		return 0, malformed("the pack ends after %d bytes", size)
	}
	if _, err := f.ReadAt(head[:], 0); err != nil {
		return 0, err
	}
	return binary.BigEndian.Uint32(head[8:]), nil
}

// checkSizes reads through the pack once, before anything is held in memory:
// a few bytes may stand for gigabytes.
func checkSizes(f *os.File, size, mostEach, mostAll int64) error {
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return err
	}
	sc := packfile.NewScanner(f)
	_, count, err := sc.Header()
	if err != nil {
		return malformed("%w", err)
	}
	var all int64
	for range count {
		h, err := sc.NextObjectHeader()
		if err != nil {
			return malformed("%w", err)
		}
		length := h.Length
		head := &firstBytes{}
		if length <= mostEach {
			if _, _, err := sc.NextObject(head); err != nil {
				return malformed("%w", err)
			}
		}
		if h.Type.IsDelta() {
			target, ok := deltaTarget(head.b)
			if !ok {
				return malformed("a delta of the pack has no size")
			}
			length = max(length, target)
		}
		all += length
		if length > mostEach || all > mostAll {
			return fairway.Errorf(fairway.KindInvalid, "the push is too large: a file may have %d MB, all new files together %d MB", mostEach>>20, mostAll>>20)
		}
	}
	end, err := sc.SeekFromStart(0)
	if err != nil || end != size-sha1.Size {
		return malformed("something follows the last object of the pack")
	}
	return nil
}

// firstBytes keeps the beginning of what is written.
type firstBytes struct{ b []byte }

func (w *firstBytes) Write(p []byte) (int, error) {
	w.b = append(w.b, p[:min(len(p), 32-len(w.b))]...)
	return len(p), nil
}

// deltaTarget returns the size of what a delta makes.
func deltaTarget(delta []byte) (int64, bool) {
	_, n := binary.Uvarint(delta)
	if n <= 0 {
		return 0, false
	}
	size, n := binary.Uvarint(delta[n:])
	return int64(size), n > 0 && int64(size) >= 0
}

// indexPack resolves all deltas and computes every object's hash.
func (in *incoming) indexPack(f *os.File, size int64) error {
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return err
	}
	w := &idxfile.Writer{}
	parser, err := packfile.NewParser(packfile.NewScanner(f), w)
	if err != nil {
		return err
	}
	if in.sum, err = parser.Parse(); err != nil {
		return malformed("the pack cannot be read: %w", err)
	}
	if in.idx, err = w.Index(); err != nil {
		return err
	}
	in.pack, err = newPack(in.tmp, size, in.idx)
	return err
}

// checkObjects makes sure that the pack can be kept without leaving a hole:
// all that its objects refer to is in it or in the repository.
func (in *incoming) checkObjects(f *os.File) error {
	for i, h := range in.pack.names {
		o, err := in.pack.read(f, i)
		if err != nil {
			return malformed("object %s: %w", h, err)
		}
		switch o.typ {
		case plumbing.CommitObject:
			err = in.checkCommit(o.data)
		case plumbing.TreeObject:
			err = in.checkTree(o.data)
		}
		if err != nil {
			return malformed("object %s: %w", h, err)
		}
	}
	return nil
}

func (in *incoming) checkCommit(data []byte) error {
	c, err := parseCommit(data)
	if err != nil {
		return err
	}
	for _, h := range append(c.parents, c.tree) {
		if !in.has(h) {
			return fmt.Errorf("it refers to %s, which is neither in the push nor in the repository; if this is a shallow clone, run git fetch --unshallow and push again", h)
		}
	}
	return nil
}

func (in *incoming) checkTree(data []byte) error {
	entries, err := parseTree(data)
	if err != nil {
		return err
	}
	seen := map[string]bool{}
	for _, e := range entries {
		if problem := badName(e.name); problem != "" {
			return fmt.Errorf("the name %q %s", e.name, problem)
		}
		if seen[e.name] {
			return fmt.Errorf("the name %q is there twice", e.name)
		}
		seen[e.name] = true
		if e.mode != modeModule && !in.has(e.hash) {
			return fmt.Errorf("%q refers to %s, which is neither in the push nor in the repository", e.name, e.hash)
		}
	}
	return nil
}

// plainFiles refuses a tree that holds anything but files and directories:
// such things would be invisible to all that reads the configuration.
func plainFiles(src source, tree hash, prefix string) ([]fairway.Problem, error) {
	entries, err := readTree(src, tree)
	if err != nil {
		return nil, err
	}
	var ps []fairway.Problem
	for _, e := range entries {
		path := prefix + e.name
		switch {
		case e.isDir():
			more, err := plainFiles(src, e.hash, path+"/")
			if err != nil {
				return nil, err
			}
			ps = append(ps, more...)
		case e.mode == modeLink:
			ps = append(ps, fairway.Problem{File: path, Message: "is a symbolic link", Remedy: "commit the file it points to"})
		case e.mode == modeModule:
			ps = append(ps, fairway.Problem{File: path, Message: "is a submodule", Remedy: "commit its files"})
		case !e.isFile():
			ps = append(ps, fairway.Problem{File: path, Message: fmt.Sprintf("has the mode %o", e.mode), Remedy: "commit it as a plain file"})
		}
	}
	return ps, nil
}

// readOn reads what is still being sent, so that the client gets to read why
// it was refused.
func readOn(body io.Reader, most int64) {
	_, _ = io.Copy(io.Discard, io.LimitReader(bufio.NewReader(body), most))
}
