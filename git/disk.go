package git

import (
	"errors"
	"os"
	"path/filepath"
	"syscall"

	"github.com/fairwaycd/fairway"
)

// disk writes files so that they survive a power cut, unless sync is off.
type disk struct {
	sync bool
	fail func(name string) // never nil
}

// sync makes the file's data durable.
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

// write creates or truncates a file and makes its data durable, but not its
// name.
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
	if err := os.Chmod(tmp, 0o644); err != nil {
		return err
	}
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
