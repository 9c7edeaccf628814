package git

import (
	"cmp"
	"context"
	"strings"
	"time"

	"github.com/fairwaycd/fairway"
)

// LogEntry is a commit as lists show it.
type LogEntry struct {
	Hash    string
	Parents []string
	Author  string
	Email   string
	When    time.Time // of the committer
	Message string    // whole, trailers included
}

// Log returns the commits of a branch, or from a commit on, the newest first:
// at most limit of them. With next, the hash of the commit after those, the
// list goes on; it is empty at the end. KindNotFound when there is no such
// project or revision.
func (s *Store) Log(ctx context.Context, project fairway.ProjectName, rev string, limit int) (list []LogEntry, next string, err error) {
	r, err := s.repo(ctx, project)
	if err != nil {
		return nil, "", err
	}
	from, err := r.resolve(cmp.Or(rev, fairway.MainBranch))
	if err != nil {
		return nil, "", err
	}
	err = walkCommits(r, []hash{from}, func(h hash, c commit) (bool, error) {
		if len(list) == limit {
			next = h.String()
			return false, nil
		}
		list = append(list, c.entry(h))
		return ctx.Err() == nil, ctx.Err()
	})
	return list, next, err
}
