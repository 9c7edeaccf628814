package api

import (
	"context"
	"net/http"

	"github.com/fairwaycd/fairway"
)

// AddRegistry has a project take images from a registry elsewhere, in place of
// the one that had the name. The secrets in it are in no answer.
type AddRegistry struct {
	Project         fairway.ProjectName `json:"project"`
	Name            string              `json:"name"` // by default the host
	URL             string              `json:"url"`
	Username        string              `json:"username,omitempty"`
	Password        fairway.Secret      `json:"password,omitempty"` // or token
	CA              string              `json:"ca,omitempty"`       // certificates, PEM
	Poll            string              `json:"poll,omitempty"`     // between two looks at the tags: 30s by default, 0s never
	Filter          string              `json:"filter,omitempty"`   // range of versions
	FilterRegexp    string              `json:"filterRegexp,omitempty"`
	Secret          fairway.Secret      `json:"secret,omitempty"` // of notifications
	CopyPullSecret  bool                `json:"copyPullSecret,omitempty"`
	DeliverExisting string              `json:"deliverExisting,omitempty"` // newest, or nothing
	DryRun          bool                `json:"dryRun,omitempty"`
}

// Registry is a registry elsewhere as people see it: without its secrets.
type Registry struct {
	Project         fairway.ProjectName `json:"project"`
	Name            string              `json:"name"`
	URL             string              `json:"url"`
	Username        string              `json:"username,omitempty"`
	CA              bool                `json:"ca,omitempty"` // it has one of its own
	Poll            string              `json:"poll"`         // 0s: nobody looks
	Filter          string              `json:"filter,omitempty"`
	FilterRegexp    string              `json:"filterRegexp,omitempty"`
	DeliverExisting string              `json:"deliverExisting,omitempty"`
	// Hooks is the address that notifications are sent to, without the
	// vendor's name at its end; it is empty where none is taken.
	Hooks string `json:"hooks,omitempty"`
	// PullSecret is the name of the Secret in the stages' namespaces.
	PullSecret string                `json:"pullSecret,omitempty"`
	State      fairway.RegistryState `json:"state"`
	// Checked is what was found in a dry run.
	Checked  []fairway.Checked `json:"checked,omitempty"`
	Warnings []string          `json:"warnings,omitempty"`
}

// RegistryName names a registry of a project.
type RegistryName struct {
	Project fairway.ProjectName `json:"project"`
	Name    string              `json:"name"`
}

// Hook is a notification of a registry elsewhere.
type Hook struct {
	RegistryName
	Vendor string
	Secret string // out of the address
	Header http.Header
	Body   []byte
}

// Hooked is what became of one push that a notification tells of.
type Hooked struct {
	Image    string                `json:"image,omitempty"`
	Tag      string                `json:"tag,omitempty"`
	Digest   string                `json:"digest,omitempty"`
	Services []fairway.ServiceName `json:"services,omitempty"` // whose artifact was stored
	Reason   string                `json:"reason"`
}

// registriesElsewhere are the calls of [Backend] about registries elsewhere.
type registriesElsewhere interface {
	// Registries lists those of a project, or of all.
	Registries(ctx context.Context, p fairway.ProjectName) ([]Registry, error)
	// AddRegistry returns once the registry has answered and is stored. A dry
	// run asks it, says what it would look at, and stores nothing.
	AddRegistry(ctx context.Context, r AddRegistry) (Registry, error)
	// RemoveRegistry forgets a registry, its secrets, and what is known of its
	// tags.
	RemoveRegistry(ctx context.Context, n RegistryName) (Registry, error)
	// CheckRegistry asks a registry once and says what works.
	CheckRegistry(ctx context.Context, n RegistryName) ([]fairway.Checked, error)
}

func registryPath(r *http.Request) RegistryName {
	return RegistryName{fairway.ProjectName(r.PathValue("project")), r.PathValue("name")}
}

func (s *server) listRegistries(w http.ResponseWriter, r *http.Request) error {
	if err := noQuery(r); err != nil {
		return err
	}
	list, err := s.b.Registries(r.Context(), fairway.ProjectName(r.PathValue("project")))
	return answerList(w, http.StatusOK, list, err)
}

func (s *server) addRegistry(w http.ResponseWriter, r *http.Request) error {
	var q AddRegistry
	if err := s.decode(w, r, &q); err != nil {
		return err
	}
	n := registryPath(r)
	if err := fromPath("project", &q.Project, string(n.Project)); err != nil {
		return err
	}
	if err := fromPath("name", &q.Name, n.Name); err != nil {
		return err
	}
	added, err := s.b.AddRegistry(r.Context(), q)
	return answer(w, http.StatusOK, added, err)
}

func (s *server) removeRegistry(w http.ResponseWriter, r *http.Request) error {
	if err := noQuery(r); err != nil {
		return err
	}
	removed, err := s.b.RemoveRegistry(r.Context(), registryPath(r))
	return answer(w, http.StatusOK, removed, err)
}

func (s *server) checkRegistry(w http.ResponseWriter, r *http.Request) error {
	list, err := s.b.CheckRegistry(r.Context(), registryPath(r))
	return answerList(w, http.StatusOK, list, err)
}

func (n RegistryName) path(more ...string) []string {
	return append([]string{"projects", string(n.Project), "registries", n.Name}, more...)
}

// Registries implements [Backend].
func (c *Client) Registries(ctx context.Context, p fairway.ProjectName) ([]Registry, error) {
	if p == "" {
		return getList[Registry](ctx, c, nil, "registries")
	}
	return getList[Registry](ctx, c, nil, "projects", string(p), "registries")
}

// AddRegistry implements [Backend].
func (c *Client) AddRegistry(ctx context.Context, r AddRegistry) (Registry, error) {
	if r.Name == "" {
		r.Name = fairway.RegistryName(r.URL)
	}
	return ask[Registry](ctx, c, call{method: http.MethodPut, path: RegistryName{r.Project, r.Name}.path(), body: r})
}

// RemoveRegistry implements [Backend].
func (c *Client) RemoveRegistry(ctx context.Context, n RegistryName) (Registry, error) {
	return ask[Registry](ctx, c, call{method: http.MethodDelete, path: n.path()})
}

// CheckRegistry implements [Backend].
func (c *Client) CheckRegistry(ctx context.Context, n RegistryName) ([]fairway.Checked, error) {
	l, err := ask[list[fairway.Checked]](ctx, c, call{method: http.MethodPost, path: n.path("check")})
	return l.Items, err
}
