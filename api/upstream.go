package api

import (
	"context"
	"net/http"

	"github.com/fairwaycd/fairway"
)

// ConfigureUpstream gives a project an upstream, in place of another. The
// secrets in it are in no answer.
type ConfigureUpstream struct {
	Project     fairway.ProjectName `json:"project"`
	URL         string              `json:"url"`
	Username    string              `json:"username,omitempty"`
	Password    string              `json:"password,omitempty"`    // or token
	SSHKey      string              `json:"sshKey,omitempty"`      // private key, PEM
	KnownHosts  string              `json:"knownHosts,omitempty"`  // as in known_hosts
	CA          string              `json:"ca,omitempty"`          // certificates, PEM
	PollSeconds int                 `json:"pollSeconds,omitempty"` // default 30
}

// SyncUpstream asks to look at the upstream now.
type SyncUpstream struct {
	Project fairway.ProjectName `json:"project"`
	// Take joins branches that have diverged: ours or theirs. Empty joins none.
	Take   string `json:"take,omitempty"`
	Reason string `json:"reason,omitempty"` // goes into the commit that joins
}

func (s *server) configureUpstream(w http.ResponseWriter, r *http.Request) error {
	var q ConfigureUpstream
	if err := s.decode(w, r, &q); err != nil {
		return err
	}
	if err := fromPath("project", &q.Project, r.PathValue("project")); err != nil {
		return err
	}
	state, err := s.b.ConfigureUpstream(r.Context(), q)
	return answer(w, http.StatusOK, state, err)
}

func (s *server) removeUpstream(w http.ResponseWriter, r *http.Request) error {
	if err := noQuery(r); err != nil {
		return err
	}
	p, err := s.b.RemoveUpstream(r.Context(), fairway.ProjectName(r.PathValue("project")))
	return answer(w, http.StatusOK, p, err)
}

func (s *server) syncUpstream(w http.ResponseWriter, r *http.Request) error {
	var q SyncUpstream
	if err := s.decode(w, r, &q); err != nil {
		return err
	}
	if err := fromPath("project", &q.Project, r.PathValue("project")); err != nil {
		return err
	}
	state, err := s.b.SyncUpstream(r.Context(), q)
	return answer(w, http.StatusOK, state, err)
}

// ConfigureUpstream implements [Backend].
func (c *Client) ConfigureUpstream(ctx context.Context, r ConfigureUpstream) (fairway.UpstreamState, error) {
	return ask[fairway.UpstreamState](ctx, c, call{method: http.MethodPut, path: []string{"projects", string(r.Project), "upstream"}, body: r})
}

// RemoveUpstream implements [Backend].
func (c *Client) RemoveUpstream(ctx context.Context, p fairway.ProjectName) (Project, error) {
	return ask[Project](ctx, c, call{method: http.MethodDelete, path: []string{"projects", string(p), "upstream"}})
}

// SyncUpstream implements [Backend].
func (c *Client) SyncUpstream(ctx context.Context, r SyncUpstream) (fairway.UpstreamState, error) {
	return ask[fairway.UpstreamState](ctx, c, call{method: http.MethodPost, path: []string{"projects", string(r.Project), "upstream", "sync"}, body: r})
}
