package registry

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/fairwaycd/fairway/internal/durable"
)

// disk knows where the library keeps what, and makes directories durable.
//
//	docker/registry/v2/
//	  blobs/sha256/AB/ABCD…/data
//	  repositories/NAME/
//	    _layers/sha256/HEX/link
//	    _manifests/revisions/sha256/HEX/link
//	    _manifests/tags/TAG/current/link          the digest, as text
//	    _manifests/tags/TAG/index/sha256/HEX/link
//	    _uploads/ID/{data,startedat,hashstates/}
type disk struct {
	root string
	sync func(dir string) error // durable.Sync, watched by a test

	mu    sync.Mutex
	known map[string]struct{} // directories whose entry in their parent is durable
}

// mostKnown bounds the memory of disk.known; forgetting costs a few syncs.
const mostKnown = 4096

func openDisk(root string) (*disk, error) {
	root, err := filepath.Abs(root)
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(root, 0o700); err != nil {
		return nil, err
	}
	if err := durable.Sync(filepath.Dir(root)); err != nil {
		return nil, err
	}
	return &disk{root: root, sync: durable.Sync, known: map[string]struct{}{root: {}}}, nil
}

func (d *disk) v2(elem ...string) string {
	return filepath.Join(append([]string{d.root, "docker", "registry", "v2"}, elem...)...)
}

func (d *disk) repositories() string { return d.v2("repositories") }

func (d *disk) repo(name string, elem ...string) string {
	return filepath.Join(append([]string{d.repositories(), filepath.FromSlash(name)}, elem...)...)
}

// blob returns the data file of a digest, or "" if it is none of ours.
func (d *disk) blob(digest string) string {
	algorithm, hex, ok := splitDigest(digest)
	if !ok {
		return ""
	}
	return d.v2("blobs", algorithm, hex[:2], hex, "data")
}

// splitDigest checks that a digest cannot leave its directory.
func splitDigest(digest string) (algorithm, hex string, ok bool) {
	algorithm, hex, ok = strings.Cut(digest, ":")
	if !ok || (algorithm != "sha256" && algorithm != "sha512") || len(hex) < 64 {
		return "", "", false
	}
	if strings.Trim(hex, "0123456789abcdef") != "" {
		return "", "", false
	}
	return algorithm, hex, true
}

// ensureDir makes dir and what is missing above it, durably.
func (d *disk) ensureDir(dir string) error {
	d.mu.Lock()
	_, ok := d.known[dir]
	d.mu.Unlock()
	if ok {
		return nil
	}
	parent := filepath.Dir(dir)
	if err := d.ensureDir(parent); err != nil {
		return err
	}
	if err := os.Mkdir(dir, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	// Also when it was there: who made it may not have come to its sync.
	if err := d.sync(parent); err != nil {
		return err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(d.known) >= mostKnown {
		d.forget()
	}
	d.known[dir] = struct{}{}
	return nil
}

// forget empties the set of known directories; d.mu is held.
func (d *disk) forget() { d.known = map[string]struct{}{d.root: {}} }

// remove deletes path and what is under it, durably.
func (d *disk) remove(path string) error {
	d.mu.Lock()
	d.forget()
	d.mu.Unlock()
	if err := os.RemoveAll(path); err != nil {
		return err
	}
	return d.sync(filepath.Dir(path))
}

// touch marks a blob as wanted, so that Collect leaves it alone for a while.
// A blob that is not there is the library's to report.
func (d *disk) touch(digest string) {
	if p := d.blob(digest); p != "" {
		now := time.Now()
		_ = os.Chtimes(p, now, now)
	}
}

// youngerThan reports whether path was written or touched after t. What is not
// there is old.
func youngerThan(path string, t time.Time) bool {
	fi, err := os.Stat(path)
	return err == nil && fi.ModTime().After(t)
}

// readLink returns the digest that a link file names, or "" if there is no
// such file.
func readLink(path string) (string, error) {
	b, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	return strings.TrimSpace(string(b)), err
}

// list returns the names in dir, none if it is not there.
func list(dir string) ([]string, error) {
	entries, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	names := make([]string, len(entries))
	for i, e := range entries {
		names[i] = e.Name()
	}
	return names, nil
}
