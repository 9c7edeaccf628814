package api

import (
	"context"
	"net/http"
	"strconv"
	"time"

	"github.com/fairwaycd/fairway"
)

// CommitDiff is a commit of a project's configuration and what it changed.
type CommitDiff struct {
	Hash    string     `json:"hash"`
	Parent  string     `json:"parent,omitempty"` // that it is compared with; empty for a first one
	Author  string     `json:"author"`
	Email   string     `json:"email"`
	When    time.Time  `json:"when"`
	Message string     `json:"message"`
	Files   []FileDiff `json:"files"`
	// MoreFiles is how many changed files are not listed.
	MoreFiles int `json:"moreFiles,omitempty"`
}

// FileDiff is what a commit changed in a file.
type FileDiff struct {
	Path    string `json:"path"`
	Change  string `json:"change"` // added, removed or changed
	Added   int    `json:"added"`  // lines
	Removed int    `json:"removed"`
	// Diff are the changed lines with three around them, in the unified form
	// without its two lines of names; empty for what is no text.
	Diff   string `json:"diff,omitempty"`
	Binary bool   `json:"binary,omitempty"`
	Cut    bool   `json:"cut,omitempty"` // Diff is not all
}

func (s *server) showCommit(w http.ResponseWriter, r *http.Request) error {
	if err := noQuery(r); err != nil {
		return err
	}
	d, err := s.b.CommitDiff(r.Context(), fairway.ProjectName(r.PathValue("project")), r.PathValue("commit"))
	return answer(w, http.StatusOK, d, err)
}

// Board implements [Backend].
func (c *Client) Board(ctx context.Context, f BoardFilter) (Board, error) {
	q := filled("project", string(f.Project), "search", f.Search, "state", f.State, "after", f.After)
	if f.Limit != 0 {
		q.Set("limit", strconv.Itoa(f.Limit))
	}
	return get[Board](ctx, c, q, "board")
}

// CommitDiff implements [Backend].
func (c *Client) CommitDiff(ctx context.Context, p fairway.ProjectName, commit string) (CommitDiff, error) {
	return get[CommitDiff](ctx, c, nil, "projects", string(p), "commits", commit)
}
