// Package monitoring keeps which monitoring systems the projects' gates ask,
// with the credentials for them: one file of the data directory that its owner
// alone can read, replaced whole and synced. It is not in git, since whoever
// can read a project's repository must not be able to read its credentials.
package monitoring

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"sync"

	"github.com/fairwaycd/fairway"
	"github.com/fairwaycd/fairway/internal/durable"
)

// Store keeps connections. It is safe for concurrent use.
type Store struct {
	file string
	mu   sync.RWMutex
	all  []fairway.Connection // sorted by kind and project
}

// Open reads the file, which need not exist. One that cannot be read is an
// error: to go on without it would have gates ask the wrong system.
func Open(file string) (*Store, error) {
	s := &Store{file: file}
	text, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return s, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read the connections to monitoring systems: %w", err)
	}
	// The decoder's own error may hold a part of the text, and so a secret.
	if json.Unmarshal(text, &s.all) != nil {
		return nil, fairway.Errorf(fairway.KindInternal, "%s is damaged; move it away and connect the monitoring systems again: fairway configure monitoring", file)
	}
	return s, nil
}

// All returns every connection, by kind and project.
func (s *Store) All() []fairway.Connection {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return slices.Clone(s.all)
}

// For returns the connection that the project's gates ask: its own, or else
// that of all projects.
func (s *Store) For(kind string, p fairway.ProjectName) (fairway.Connection, bool) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	for _, name := range []fairway.ProjectName{p, ""} {
		if i := s.index(kind, name); i >= 0 {
			return s.all[i], true
		}
	}
	return fairway.Connection{}, false
}

func (s *Store) index(kind string, p fairway.ProjectName) int {
	return slices.IndexFunc(s.all, func(c fairway.Connection) bool { return c.Kind == kind && c.Project == p })
}

// Put stores the connection in place of the one of its kind and project. It
// counts once Put returns nil, also after a crash.
func (s *Store) Put(c fairway.Connection) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	next := slices.Clone(s.all)
	if i := s.index(c.Kind, c.Project); i >= 0 {
		next[i] = c
	} else {
		next = append(next, c)
	}
	return s.replace(next)
}

// Remove forgets the connection and returns it. Where there is none, that is
// an error of [fairway.KindNotFound].
func (s *Store) Remove(kind string, p fairway.ProjectName) (fairway.Connection, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	i := s.index(kind, p)
	if i < 0 {
		of := "all projects"
		if p != "" {
			of = "project " + string(p)
		}
		return fairway.Connection{}, fairway.Errorf(fairway.KindNotFound, "%s has no connection of its own to %s; see: fairway get monitoring", of, kind)
	}
	was := s.all[i]
	return was, s.replace(slices.Delete(slices.Clone(s.all), i, i+1))
}

func (s *Store) replace(next []fairway.Connection) error {
	slices.SortFunc(next, func(a, b fairway.Connection) int {
		return cmp.Or(cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Project, b.Project))
	})
	text, err := json.MarshalIndent(next, "", "  ")
	if err != nil {
		return fairway.Errorf(fairway.KindInternal, "write the connections to monitoring systems: %w", err)
	}
	if err := durable.WriteFile(s.file, text); err != nil {
		return fmt.Errorf("store the connections to monitoring systems: %w", err)
	}
	s.all = next
	return nil
}
