package registries

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"github.com/fairwaycd/fairway"
	"github.com/fairwaycd/fairway/internal/durable"
)

// Store keeps the registries of all projects, and which of their tags are
// known: one file for each project and one for each repository, which their
// owner alone can read. It is safe for concurrent use.
type Store struct {
	dir string

	mu  sync.RWMutex
	all map[fairway.ProjectName][]fairway.Registry // by name

	seen sync.Mutex // one record is changed at a time
}

// Open reads the directory, which is made if need be. A file that cannot be
// read is an error: to go on without it would leave images undelivered.
func Open(dir string) (*Store, error) {
	s := &Store{dir: dir, all: map[fairway.ProjectName][]fairway.Registry{}}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("open the directory of registries: %w", err)
	}
	files, err := filepath.Glob(filepath.Join(dir, "*.json"))
	if err != nil {
		return nil, fmt.Errorf("open the directory of registries: %w", err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			return nil, fmt.Errorf("read the registries of a project: %w", err)
		}
		var list []fairway.Registry
		// The decoder's own error may hold a part of the text, and so a secret.
		if json.Unmarshal(text, &list) != nil {
			return nil, fairway.Errorf(fairway.KindInternal, "%s is damaged; move it away and add the project's registries again: fairway registry add", file)
		}
		s.all[fairway.ProjectName(strings.TrimSuffix(filepath.Base(file), ".json"))] = list
	}
	return s, nil
}

// All returns the registries of all projects, by project and name.
func (s *Store) All() []fairway.Registry {
	s.mu.RLock()
	defer s.mu.RUnlock()
	var out []fairway.Registry
	for _, list := range s.all {
		out = append(out, list...)
	}
	slices.SortFunc(out, func(a, b fairway.Registry) int {
		return cmp.Or(cmp.Compare(a.Project, b.Project), cmp.Compare(a.Name, b.Name))
	})
	return out
}

// Of returns the registries of a project by name.
func (s *Store) Of(p fairway.ProjectName) []fairway.Registry {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return slices.Clone(s.all[p])
}

// Get returns one registry. Without it the error is of [fairway.KindNotFound]
// and lists those that there are.
func (s *Store) Get(p fairway.ProjectName, name string) (fairway.Registry, error) {
	var have []string
	for _, r := range s.Of(p) {
		if r.Name == name {
			return r, nil
		}
		have = append(have, r.Name)
	}
	if len(have) == 0 {
		return fairway.Registry{}, fairway.Errorf(fairway.KindNotFound, "project %s has no registry elsewhere; add one with: fairway registry add URL --project %s", p, p)
	}
	return fairway.Registry{}, fairway.Errorf(fairway.KindNotFound, "project %s has no registry %s; it has: %s", p, name, strings.Join(have, ", "))
}

// For returns the registry of the project that an image lies in: of several
// the one with the longest address.
func (s *Store) For(p fairway.ProjectName, image string) (best fairway.Registry, ok bool) {
	for _, r := range s.Of(p) {
		if r.Covers(image) && (!ok || len(r.Path()) > len(best.Path())) {
			best, ok = r, true
		}
	}
	return best, ok
}

// Put stores the registry in place of the one of its project and name. It
// counts once Put returns nil, also after a crash. Another address is another
// registry: what was known of the old one's tags is forgotten.
func (s *Store) Put(r fairway.Registry) error {
	if was, err := s.Get(r.Project, r.Name); err == nil && was.URL != r.URL {
		if err := s.forget(was); err != nil {
			return err
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	next := slices.DeleteFunc(slices.Clone(s.all[r.Project]), func(x fairway.Registry) bool { return x.Name == r.Name })
	next = append(next, r)
	slices.SortFunc(next, func(a, b fairway.Registry) int { return cmp.Compare(a.Name, b.Name) })
	return s.replace(r.Project, next)
}

// Remove forgets the registry, its secrets and what was known of its tags, and
// returns it.
func (s *Store) Remove(p fairway.ProjectName, name string) (fairway.Registry, error) {
	was, err := s.Get(p, name)
	if err != nil {
		return was, err
	}
	s.mu.Lock()
	next := slices.DeleteFunc(slices.Clone(s.all[p]), func(x fairway.Registry) bool { return x.Name == name })
	err = s.replace(p, next)
	s.mu.Unlock()
	if err != nil {
		return was, err
	}
	return was, s.forget(was)
}

// replace writes the project's file; the caller holds mu.
func (s *Store) replace(p fairway.ProjectName, next []fairway.Registry) error {
	file := filepath.Join(s.dir, string(p)+".json")
	if len(next) == 0 {
		if err := os.Remove(file); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("remove the registries of project %s: %w", p, err)
		}
		delete(s.all, p)
		return durable.Sync(s.dir)
	}
	text, err := json.MarshalIndent(next, "", "  ")
	if err != nil {
		return fairway.Errorf(fairway.KindInternal, "write the registries of project %s: %w", p, err)
	}
	if err := durable.WriteFile(file, text); err != nil {
		return fmt.Errorf("store the registries of project %s: %w", p, err)
	}
	s.all[p] = next
	return nil
}
