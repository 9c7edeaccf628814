// Package blob keeps evaluations and test reports.
//
// A record of the log stays small: what is large lies here as a file, written
// and synced before the record that names it. A file without a record is left
// over from a crash and swept by age.
package blob

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/fairwaycd/fairway"
	"github.com/fairwaycd/fairway/internal/durable"
)

// Store keeps blobs below a directory.
type Store struct{ dir string }

// Open makes the directory where it does not exist.
func Open(dir string) (*Store, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("make the directory of evaluations: %w", err)
	}
	return &Store{dir: dir}, nil
}

var namePattern = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,200}$`)

func (s *Store) path(name string) (string, error) {
	if !namePattern.MatchString(name) {
		return "", fairway.Invalid("id", name, "is not the id of an evaluation or report", "take one from: fairway get delivery ID")
	}
	return filepath.Join(s.dir, name+".json"), nil
}

// Put stores the blob durably, replacing one of the same name.
func (s *Store) Put(_ context.Context, name string, body []byte) error {
	path, err := s.path(name)
	if err != nil {
		return err
	}
	if err := durable.WriteFile(path, body); err != nil {
		return fmt.Errorf("store %s: %w", name, err)
	}
	return nil
}

// Remove removes the blob; one that is not there is removed already.
func (s *Store) Remove(_ context.Context, name string) error {
	path, err := s.path(name)
	if err != nil {
		return err
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("remove %s: %w", name, err)
	}
	return nil
}

// Names lists the blobs.
func (s *Store) Names() ([]string, error) {
	entries, err := os.ReadDir(s.dir)
	if err != nil {
		return nil, fmt.Errorf("list evaluations and reports: %w", err)
	}
	var names []string
	for _, e := range entries {
		if name, ok := strings.CutSuffix(e.Name(), ".json"); ok && namePattern.MatchString(name) {
			names = append(names, name)
		}
	}
	return names, nil
}

// Get returns the blob; KindNotFound when there is none of that name.
func (s *Store) Get(_ context.Context, name string) ([]byte, error) {
	path, err := s.path(name)
	if err != nil {
		return nil, err
	}
	b, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fairway.Errorf(fairway.KindNotFound, "there is no evaluation or report %s", name)
	}
	return b, err
}
