// Package durable writes files that survive a power cut.
package durable

import (
	"errors"
	"os"
	"path/filepath"
)

// WriteFile replaces the file by one with the content, at once: whoever opens
// it sees the old content or the new, also after a crash. It is readable by
// its owner alone. When WriteFile returns nil, the content is on the disk and
// so is the file's name.
func WriteFile(path string, content []byte) error {
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name()) // in vain after the rename
	_, err = f.Write(content)
	if err == nil {
		err = f.Sync()
	}
	if err := errors.Join(err, f.Close()); err != nil {
		return err
	}
	if err := os.Rename(f.Name(), path); err != nil {
		return err
	}
	return Sync(filepath.Dir(path))
}

// Sync puts a file's content, or a directory's entries, on the disk.
func Sync(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}
