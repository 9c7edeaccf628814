package git

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/fairwaycd/fairway"
)

// RemovedDir is where the repositories of deleted projects lie, in the
// directory of the store.
const RemovedDir = "deleted"

// Remove moves the project's repository away, to RemovedDir, and returns its
// path there. From then on there is no such project, and its name is free.
// Writes under way are waited for. A project without a repository is removed
// already.
func (s *Store) Remove(ctx context.Context, project fairway.ProjectName, at time.Time) (string, error) {
	s.making.Lock()
	defer s.making.Unlock()
	r, err := s.repo(ctx, project)
	if fairway.KindOf(err) == fairway.KindNotFound {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	if err := r.acquire(ctx, r.pushing); err != nil {
		return "", err
	}
	defer func() { <-r.pushing }()
	if err := r.acquire(ctx, r.lock); err != nil {
		return "", err
	}
	to, err := s.moveAway(r, at)
	if err != nil {
		<-r.lock
		return "", classify(fmt.Errorf("move the repository of project %s away: %w", project, err))
	}
	// The lock is never released: whoever still waits for it sees closed.
	r.why = fairway.Errorf(fairway.KindNotFound, "project %s was deleted", project)
	close(r.closed)
	s.log.Info("repository moved away", "project", project, "to", to)
	return to, nil
}

// moveAway renames the directory; packs are not merged meanwhile.
func (s *Store) moveAway(r *repo, at time.Time) (string, error) {
	r.merging.Lock()
	defer r.merging.Unlock()
	away := filepath.Join(s.dir, RemovedDir)
	if err := os.Mkdir(away, 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
		return "", err
	}
	to := filepath.Join(away, string(r.project)+"-"+at.UTC().Format("20060102T150405.000000000Z")+".git")
	s.mu.Lock()
	defer s.mu.Unlock()
	s.disk.fail("git.repository.before-move")
	if err := os.Rename(r.dir, to); err != nil {
		return "", err
	}
	delete(s.repos, r.project)
	return to, errors.Join(s.disk.syncDir(away), s.disk.syncDir(s.dir))
}
