package api

import (
	"context"
	"net/http"

	"github.com/fairwaycd/fairway"
)

// UpdateProject asks for another shipyard in place of the project's own.
type UpdateProject struct {
	Name     fairway.ProjectName `json:"name"`
	File     string              `json:"file,omitempty"` // of the shipyard, for messages
	Shipyard string              `json:"shipyard"`       // the document
	Reason   string              `json:"reason,omitempty"`
	DryRun   bool                `json:"dryRun,omitempty"`
}

// ProjectUpdate is the project as it is after an update, or would be.
type ProjectUpdate struct {
	Project Project `json:"project"`
	// Changes are sentences; none: the shipyard was there already.
	Changes []string `json:"changes"`
}

func (s *server) updateProject(w http.ResponseWriter, r *http.Request) error {
	var u UpdateProject
	if err := s.decode(w, r, &u); err != nil {
		return err
	}
	if err := fromPath("name", &u.Name, r.PathValue("project")); err != nil {
		return err
	}
	done, err := s.b.UpdateProject(r.Context(), u)
	return answer(w, http.StatusOK, done, err)
}

// UpdateProject implements [Backend].
func (c *Client) UpdateProject(ctx context.Context, r UpdateProject) (ProjectUpdate, error) {
	return ask[ProjectUpdate](ctx, c, call{method: http.MethodPut, path: []string{"projects", string(r.Name)}, body: r})
}
