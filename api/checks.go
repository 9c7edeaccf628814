package api

import (
	"context"
	"net/http"
)

// The results of a check.
const (
	CheckOK   = "ok"
	CheckWarn = "warn" // it works, and somebody should look
	CheckFail = "fail" // it does not work
)

// Finding is what a check found about Fairway and what it works with.
type Finding struct {
	Name   string `json:"name"`             // what was looked at
	State  string `json:"state"`            // ok, warn or fail
	Text   string `json:"text"`             // what was found
	Remedy string `json:"remedy,omitempty"` // what to do, unless all is well
}

// listChecks asks everybody that Fairway works with, so that it is no answer
// to keep.
func (s *server) listChecks(w http.ResponseWriter, r *http.Request) error {
	if err := noQuery(r); err != nil {
		return err
	}
	all, err := s.b.Checks(r.Context())
	return answerList(w, http.StatusOK, all, err)
}

// Checks implements [Backend].
func (c *Client) Checks(ctx context.Context) ([]Finding, error) {
	return getList[Finding](ctx, c, nil, "checks")
}
