package api

import (
	"context"
	"net/http"
	"strconv"
	"time"

	"github.com/fairwaycd/fairway"
)

// Commit is a commit of a project's configuration.
type Commit struct {
	Hash    string    `json:"hash"`
	Parents []string  `json:"parents,omitempty"`
	Author  string    `json:"author"`
	Email   string    `json:"email,omitempty"`
	Time    time.Time `json:"time"`
	Subject string    `json:"subject"`
	Body    string    `json:"body,omitempty"`
	// Delivery is the one that made it; empty when a person or a
	// push did.
	Delivery fairway.DeliveryID `json:"delivery,omitempty"`
}

// CommitFilter selects commits of a branch.
type CommitFilter struct {
	Project fairway.ProjectName
	Branch  string // default main
	Before  string // Next of the page before
	Limit   int    // default 50, at most 500
}

// CommitPage is a part of a branch's history, the newest first.
type CommitPage struct {
	Items []Commit `json:"items"`
	Next  string   `json:"next,omitempty"` // empty at the end
}

// commits are the calls of [Backend] about the history of configuration.
type commits interface {
	// Commits lists the newest first, in pages.
	Commits(ctx context.Context, f CommitFilter) (CommitPage, error)
}

func (s *server) listCommits(w http.ResponseWriter, r *http.Request) error {
	q, err := query(r, "branch", "before", "limit")
	if err != nil {
		return err
	}
	f := CommitFilter{Project: fairway.ProjectName(r.PathValue("project")), Branch: q.text("branch"), Before: q.text("before"), Limit: int(q.number("limit", 31))}
	if err := q.err(); err != nil {
		return err
	}
	page, err := s.b.Commits(r.Context(), f)
	return answer(w, http.StatusOK, page, err)
}

// Commits implements [Backend].
func (c *Client) Commits(ctx context.Context, f CommitFilter) (CommitPage, error) {
	q := filled("branch", f.Branch, "before", f.Before)
	if f.Limit != 0 {
		q.Set("limit", strconv.Itoa(f.Limit))
	}
	return get[CommitPage](ctx, c, q, "projects", string(f.Project), "commits")
}
