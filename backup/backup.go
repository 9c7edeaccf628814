// Package backup writes the data directory of a running Fairway into one file,
// and makes a data directory of such a file.
//
// The event store is copied at a fence: nothing is stored while that lasts.
// What else there is comes after it, and so holds at least what the events
// speak of. A directory that is restored is to Fairway as one after a kill:
// effects find their own traces, and what was under way goes on.
package backup

import (
	"archive/tar"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/fairwaycd/fairway"
)

// format counts what a backup looks like; a newer one is refused.
const format = 1

const (
	headFile     = "fairway-backup.json"
	manifestFile = "manifest.json"
	eventsDir    = "nats"
)

// Head is the first entry of a backup.
type Head struct {
	Format    int       `json:"format"`
	Version   string    `json:"version"` // of the Fairway that wrote it
	CreatedAt time.Time `json:"createdAt"`
	Secrets   bool      `json:"secrets"` // it holds token and credentials
}

// secrets are what Fairway and others are let in by.
var secrets = []string{"token", "sessions", "monitoring.json", "upstreams", "registries", "subscriptions"}

// leftOut is made again, or is this machine's alone: what runs here, unpacked
// images, what is scraped, directories of tests.
var leftOut = []string{"lock", "ballast", "run", "images", "metrics", "tests", "programs", "logs", "addresses", eventsDir}

// Options say what is backed up.
type Options struct {
	Dir     string // data directory
	Version string
	// Events copies the event store to a directory, at one moment.
	Events func(ctx context.Context, to string) error
	// Secrets takes token and credentials along.
	Secrets bool
}

// Write writes a backup.
func Write(ctx context.Context, w io.Writer, o Options) error {
	tmp, err := os.MkdirTemp(o.Dir, ".backup-")
	if err != nil {
		return fmt.Errorf("make room for a copy of the events: %w", err)
	}
	defer os.RemoveAll(tmp)
	if err := o.Events(ctx, tmp); err != nil {
		return fmt.Errorf("copy the events: %w", err)
	}
	zip := gzip.NewWriter(w)
	a := &archive{ctx: ctx, tar: tar.NewWriter(zip), sums: map[string]string{}}
	head, err := json.Marshal(Head{Format: format, Version: o.Version, CreatedAt: time.Now().UTC(), Secrets: o.Secrets})
	if err == nil {
		err = a.add(headFile, head)
	}
	if err == nil {
		err = a.tree(tmp, eventsDir)
	}
	if err == nil {
		err = a.rest(o)
	}
	if err != nil {
		return err
	}
	manifest, err := json.Marshal(a.sums)
	if err == nil {
		err = a.add(manifestFile, manifest)
	}
	return errors.Join(err, a.tar.Close(), zip.Close())
}

// archive is a backup in the making.
type archive struct {
	ctx  context.Context
	tar  *tar.Writer
	sums map[string]string // by name
}

func (a *archive) add(name string, body []byte) error {
	if err := a.ctx.Err(); err != nil {
		return err
	}
	if err := a.tar.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: 0o600, Size: int64(len(body)), ModTime: time.Now()}); err != nil {
		return fmt.Errorf("write the backup: %w", err)
	}
	if _, err := a.tar.Write(body); err != nil {
		return fmt.Errorf("write the backup: %w", err)
	}
	sum := sha256.Sum256(body)
	a.sums[name] = hex.EncodeToString(sum[:])
	return nil
}

// directory adds one, since some have to be there though they are empty.
func (a *archive) directory(name string) error {
	if err := a.tar.WriteHeader(&tar.Header{Typeflag: tar.TypeDir, Name: name + "/", Mode: 0o700}); err != nil {
		return fmt.Errorf("write the backup: %w", err)
	}
	return nil
}

// file adds a file without holding it in memory.
func (a *archive) file(path, name string) error {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("read %s: %w", name, err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return fmt.Errorf("read %s: %w", name, err)
	}
	if err := errors.Join(a.ctx.Err(), a.tar.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: 0o600, Size: info.Size(), ModTime: info.ModTime()})); err != nil {
		return fmt.Errorf("write the backup: %w", err)
	}
	h := sha256.New()
	if _, err := io.CopyN(io.MultiWriter(a.tar, h), f, info.Size()); err != nil {
		return fmt.Errorf("copy %s into the backup: %w", name, err)
	}
	a.sums[name] = hex.EncodeToString(h.Sum(nil))
	return nil
}

// rest adds all but the events.
func (a *archive) rest(o Options) error {
	entries, err := os.ReadDir(o.Dir)
	if err != nil {
		return fmt.Errorf("read the data directory: %w", err)
	}
	for _, e := range entries {
		name := e.Name()
		switch {
		case slices.Contains(leftOut, name) || strings.HasPrefix(name, ".") || !o.Secrets && slices.Contains(secrets, name):
		case name == "git":
			err = a.repositories(filepath.Join(o.Dir, name))
		default:
			err = a.tree(filepath.Join(o.Dir, name), name)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// repositories adds each repository with its refs first, and the objects that
// these need after them. Packs may be joined meanwhile: then it begins again.
func (a *archive) repositories(dir string) error {
	all, err := os.ReadDir(dir)
	for _, repo := range all {
		if err == nil {
			err = a.steady(filepath.Join(dir, repo.Name()), filepath.Join("git", repo.Name()))
		}
	}
	return err
}

// steady reads a repository until no file of it went away in between.
func (a *archive) steady(dir, name string) error {
	for range 20 {
		files, err := readAll(dir)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return fmt.Errorf("read %s: %w", name, err)
		}
		for _, f := range files {
			if f.dir {
				if err := a.directory(filepath.Join(name, f.name)); err != nil {
					return err
				}
				continue
			}
			if err := a.add(filepath.Join(name, f.name), f.body); err != nil {
				return err
			}
		}
		return nil
	}
	return fairway.Errorf(fairway.KindUnavailable, "%s changed all the time while it was read; try again", name)
}

type file struct {
	name string
	body []byte
	dir  bool
}

// readAll reads a repository: refs before objects, and all that was there.
func readAll(dir string) ([]file, error) {
	var list []file
	read := func(name string) error {
		body, err := os.ReadFile(filepath.Join(dir, name))
		list = append(list, file{name: name, body: body})
		return err
	}
	if err := read("packed-refs"); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	} else if err != nil {
		list = nil
	}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name, err := filepath.Rel(dir, path)
		if err == nil && d.IsDir() {
			list = append(list, file{name: name, dir: true})
			return nil
		}
		if err != nil || name == "packed-refs" || strings.HasPrefix(d.Name(), ".") || strings.HasPrefix(d.Name(), "tmp") {
			return err
		}
		return read(name)
	})
	return list, err
}

// tree adds a file, or all files below a directory. What leads to contents
// comes before them: in a registry, repositories before blobs. A file that is
// gone was let go of meanwhile.
func (a *archive) tree(path, name string) error {
	info, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("read %s: %w", name, err)
	}
	if !info.IsDir() {
		if !info.Mode().IsRegular() {
			return nil
		}
		return a.file(path, name)
	}
	entries, err := os.ReadDir(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("read %s: %w", name, err)
	}
	if err := a.directory(name); err != nil {
		return err
	}
	slices.Reverse(entries) // repositories, then blobs
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), ".") && name != eventsDir {
			continue // half written
		}
		if err := a.tree(filepath.Join(path, e.Name()), filepath.Join(name, e.Name())); err != nil {
			return err
		}
	}
	return nil
}
