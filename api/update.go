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

// UpdateService asks for a new definition of a service. What is left out stays
// as each stage has it.
type UpdateService struct {
	Project    fairway.ProjectName `json:"project"`
	Service    fairway.ServiceName `json:"service"`
	Values     string              `json:"values,omitempty"`
	ValuesFile string              `json:"valuesFile,omitempty"` // for messages
	Deployment string              `json:"deployment,omitempty"` // template
	KService   string              `json:"kubernetesService,omitempty"`
	// Chart are the files of the service's own chart by their paths within it,
	// and ImageValues the paths of its values that take the image.
	Chart       map[string][]byte `json:"chart,omitempty"`
	ImageValues []string          `json:"imageValues,omitempty"`
	Reason      string            `json:"reason,omitempty"`
	DryRun      bool              `json:"dryRun,omitempty"`
}

// ServiceUpdate says what an update of a service changes.
type ServiceUpdate struct {
	// Stages are those whose branch gets something new; none: nothing was done.
	Stages   []StageDiff `json:"stages"`
	Warnings []string    `json:"warnings,omitempty"`
	// Commit of main that holds the definition. Delivery brings it to the
	// stages; it is empty while there is no version of the service yet, whose
	// first delivery brings it along.
	Commit   string             `json:"commit,omitempty"`
	Delivery fairway.DeliveryID `json:"delivery,omitempty"`
}

// StageDiff is what changes in a stage's branch, as git shows it.
type StageDiff struct {
	Stage fairway.StageName `json:"stage"`
	Diff  string            `json:"diff"`
}

func (s *server) updateService(w http.ResponseWriter, r *http.Request) error {
	var u UpdateService
	if err := s.decode(w, r, &u); err != nil {
		return err
	}
	if err := servicePath(r, &u.Project, &u.Service); err != nil {
		return err
	}
	done, err := s.b.UpdateService(r.Context(), u)
	return answer(w, http.StatusOK, done, err)
}

// UpdateService implements [Backend].
func (c *Client) UpdateService(ctx context.Context, r UpdateService) (ServiceUpdate, error) {
	return ask[ServiceUpdate](ctx, c, call{method: http.MethodPut, path: []string{"projects", string(r.Project), "services", string(r.Service)}, body: r})
}
