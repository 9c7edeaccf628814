// Package datadir owns the data directory: one process at a time.
package datadir

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/fairwaycd/fairway"
)

// Dir is a data directory that this process holds.
type Dir struct {
	path string
	lock *os.File
}

// Default returns the directory used when none is named: fairway below
// $XDG_DATA_HOME, or ~/.local/share.
func Default() (string, error) {
	if d := os.Getenv("XDG_DATA_HOME"); filepath.IsAbs(d) {
		return filepath.Join(d, "fairway"), nil
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return "", fmt.Errorf("find a place for the data directory (name one with --data): %w", err)
	}
	return filepath.Join(home, ".local", "share", "fairway"), nil
}

// Open makes the directory where it does not exist and locks it for the life
// of the process, before anything in it is opened. A directory that another
// process holds is refused (KindConflict) with that process's id.
func Open(path string) (*Dir, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return nil, fmt.Errorf("data directory %s: %w", path, err)
	}
	if err := os.MkdirAll(path, 0o700); err != nil {
		return nil, fmt.Errorf("make the data directory (name another with --data): %w", err)
	}
	name := filepath.Join(path, "lock")
	f, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open the data directory's lock: %w", err)
	}
	if err := lock(f); err != nil {
		held, _ := os.ReadFile(name)
		f.Close()
		if !errors.Is(err, errHeld) {
			return nil, fmt.Errorf("lock the data directory %s: %w", path, err)
		}
		return nil, fairway.Errorf(fairway.KindConflict, "data directory %s is in use by process %s; stop it, or name another directory with --data",
			path, strings.TrimSpace(string(held)))
	}
	err = f.Truncate(0)
	if err == nil {
		_, err = f.WriteAt([]byte(strconv.Itoa(os.Getpid())+"\n"), 0)
	}
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("write the data directory's lock: %w", err)
	}
	return &Dir{path: path, lock: f}, nil
}

// Path returns the path of name within the directory.
func (d *Dir) Path(name ...string) string {
	return filepath.Join(append([]string{d.path}, name...)...)
}

// Close gives the directory back.
func (d *Dir) Close() error { return d.lock.Close() }
