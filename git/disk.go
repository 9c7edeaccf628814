package git

import (
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"sync/atomic"
	"syscall"

	"github.com/fairwaycd/fairway"
)

// disk writes files so that they survive a power cut, unless sync is off.
type disk struct {
	sync  bool
	fail  func(name string) // never nil
	temps *atomic.Uint64    // temporary files made so far
}

// temp makes a file that is removed when the repository is opened again. No
// other process writes here, so a number is name enough; what a repository
// that was not opened yet has under that name is overwritten.
func (d disk) temp(dir string) (*os.File, error) {
	path := filepath.Join(dir, tempPrefix+strconv.FormatUint(d.temps.Add(1), 10))
	return os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o644)
}

// syncFile makes the file's data durable.
func (d disk) syncFile(f *os.File) error {
	if !d.sync {
		return nil
	}
	return f.Sync()
}

// syncDir makes the names in a directory durable.
func (d disk) syncDir(dir string) error {
	if !d.sync {
		return nil
	}
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

// write replaces a file's data and makes it durable, but not the file's name.
func (d disk) write(path string, data []byte) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o644)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	if err == nil {
		err = d.syncFile(f)
	}
	return errors.Join(err, f.Close())
}

// installPack moves a synced temporary pack file into place, with its index.
// The index comes last: a pack without one does not exist for readers.
func (d disk) installPack(tmp, path string, index []byte) error {
	idx := tmp + ".idx"
	if err := d.write(idx, index); err != nil {
		_ = os.Remove(idx)
		return err
	}
	if err := os.Rename(tmp, path+".pack"); err != nil {
		return err
	}
	if err := os.Rename(idx, path+".idx"); err != nil {
		return err
	}
	return d.syncDir(filepath.Dir(path))
}

// classify gives errors of the disk the kind that callers act on.
func classify(err error) error {
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) {
		return fairway.Retryable(fairway.Errorf(fairway.KindFull, "the disk of the configuration repositories is full; free space, then try again: %w", err))
	}
	return err
}
