package api

import (
	"context"
	"maps"
	"net/http"
	"slices"

	"github.com/fairwaycd/fairway"
)

// Monitoring is a connection to a monitoring system as people see it: without
// its secrets.
type Monitoring struct {
	Kind      string              `json:"kind"`
	Project   fairway.ProjectName `json:"project,omitempty"` // empty: of all projects without one of their own
	URL       string              `json:"url"`
	Auth      string              `json:"auth"` // none, password or token
	Username  string              `json:"username,omitempty"`
	CA        bool                `json:"ca,omitempty"`         // it has one of its own
	Cert      bool                `json:"clientCert,omitempty"` // it shows one
	Headers   []string            `json:"headers,omitempty"`    // names
	Tenant    string              `json:"tenant,omitempty"`
	Labelled  bool                `json:"labelled,omitempty"` // its series carry version and fairway_run
	ColourTag string              `json:"colourTag,omitempty"`
	// Next is what a person still has to do; only the answer to a new
	// connection says it.
	Next []string `json:"next,omitempty"`
}

// MonitoringOf leaves out what nobody should read.
func MonitoringOf(c fairway.Connection) Monitoring {
	m := Monitoring{Kind: c.Kind, Project: c.Project, URL: c.URL, Auth: "none", Username: c.Username, CA: c.CA != "", Cert: c.Cert != "",
		Headers: slices.Sorted(maps.Keys(c.Headers)), Tenant: c.Tenant, Labelled: c.Labelled, ColourTag: c.ColourTag}
	switch {
	case c.Token != "":
		m.Auth = "token"
	case c.Password != "":
		m.Auth = "password"
	}
	return m
}

// MonitoringName names the connection of a project, or, without one, that of
// all projects.
type MonitoringName struct {
	Kind    string              `json:"kind"`
	Project fairway.ProjectName `json:"project,omitempty"`
}

// monitoring are the calls of [Backend] about monitoring systems.
type monitoring interface {
	// Monitoring lists the connections, or, of a project, those that its gates
	// ask.
	Monitoring(ctx context.Context, p fairway.ProjectName) ([]Monitoring, error)
	// ConfigureMonitoring stores a connection in place of the one before. It
	// holds for evaluations that begin after it has returned.
	ConfigureMonitoring(ctx context.Context, c fairway.Connection) (Monitoring, error)
	// RemoveMonitoring forgets a connection.
	RemoveMonitoring(ctx context.Context, n MonitoringName) (Monitoring, error)
	// InstallMonitoring makes a monitoring system in the cluster and connects
	// it. [fairway.KindRefused] where there is no cluster. A dry run returns
	// the objects that would be applied.
	InstallMonitoring(ctx context.Context, r InstallMonitoring) (Installed, error)
	// CheckMonitoring asks the system that the name leads to, and says what
	// works.
	CheckMonitoring(ctx context.Context, n MonitoringName) ([]fairway.Checked, error)
}

// InstallMonitoring says which Prometheus is made. What is empty has its
// default.
type InstallMonitoring struct {
	Kind      string              `json:"kind"` // prometheus
	Project   fairway.ProjectName `json:"project,omitempty"`
	Namespace fairway.Namespace   `json:"namespace,omitempty"` // default monitoring
	Image     string              `json:"image,omitempty"`
	// IntervalSeconds between two scrapes of a pod, 1 to 60; default 5.
	IntervalSeconds int  `json:"intervalSeconds,omitempty"`
	DryRun          bool `json:"dryRun,omitempty"`
}

// Installed says what was made.
type Installed struct {
	Monitoring Monitoring `json:"monitoring"`
	Objects    []string   `json:"objects"` // YAML documents
	// Pending says what is not available yet; empty when all is.
	Pending string `json:"pending,omitempty"`
}

// monitoringPath reads the name of a connection from the request's path.
func monitoringPath(r *http.Request) MonitoringName {
	return MonitoringName{Kind: r.PathValue("k"), Project: fairway.ProjectName(r.PathValue("project"))}
}

func (s *server) listMonitoring(w http.ResponseWriter, r *http.Request) error {
	list, err := s.b.Monitoring(r.Context(), fairway.ProjectName(r.PathValue("project")))
	return answerList(w, http.StatusOK, list, err)
}

func (s *server) configureMonitoring(w http.ResponseWriter, r *http.Request) error {
	var c fairway.Connection
	if err := s.decode(w, r, &c); err != nil {
		return err
	}
	n := monitoringPath(r)
	if err := fromPath("kind", &c.Kind, n.Kind); err != nil {
		return err
	}
	if err := fromPath("project", &c.Project, string(n.Project)); err != nil {
		return err
	}
	m, err := s.b.ConfigureMonitoring(r.Context(), c)
	return answer(w, http.StatusOK, m, err)
}

func (s *server) removeMonitoring(w http.ResponseWriter, r *http.Request) error {
	m, err := s.b.RemoveMonitoring(r.Context(), monitoringPath(r))
	return answer(w, http.StatusOK, m, err)
}

func (s *server) checkMonitoring(w http.ResponseWriter, r *http.Request) error {
	list, err := s.b.CheckMonitoring(r.Context(), monitoringPath(r))
	return answerList(w, http.StatusOK, list, err)
}

func (s *server) installMonitoring(w http.ResponseWriter, r *http.Request) error {
	var q InstallMonitoring
	if err := s.decode(w, r, &q); err != nil {
		return err
	}
	n := monitoringPath(r)
	if err := fromPath("kind", &q.Kind, n.Kind); err != nil {
		return err
	}
	if err := fromPath("project", &q.Project, string(n.Project)); err != nil {
		return err
	}
	i, err := s.b.InstallMonitoring(r.Context(), q)
	return answer(w, http.StatusOK, i, err)
}

// path returns the connection's path below [Prefix].
func (n MonitoringName) path(more ...string) []string {
	p := append([]string{"monitoring", n.Kind}, more...)
	if n.Project != "" {
		p = append([]string{"projects", string(n.Project)}, p...)
	}
	return p
}

// Monitoring implements [Backend].
func (c *Client) Monitoring(ctx context.Context, p fairway.ProjectName) ([]Monitoring, error) {
	if p == "" {
		return getList[Monitoring](ctx, c, nil, "monitoring")
	}
	return getList[Monitoring](ctx, c, nil, "projects", string(p), "monitoring")
}

// ConfigureMonitoring implements [Backend].
func (c *Client) ConfigureMonitoring(ctx context.Context, x fairway.Connection) (Monitoring, error) {
	return ask[Monitoring](ctx, c, call{method: http.MethodPut, path: MonitoringName{x.Kind, x.Project}.path(), body: x})
}

// RemoveMonitoring implements [Backend].
func (c *Client) RemoveMonitoring(ctx context.Context, n MonitoringName) (Monitoring, error) {
	return ask[Monitoring](ctx, c, call{method: http.MethodDelete, path: n.path()})
}

// InstallMonitoring implements [Backend].
func (c *Client) InstallMonitoring(ctx context.Context, r InstallMonitoring) (Installed, error) {
	return ask[Installed](ctx, c, call{method: http.MethodPost, path: MonitoringName{r.Kind, r.Project}.path("install"), body: r})
}

// CheckMonitoring implements [Backend].
func (c *Client) CheckMonitoring(ctx context.Context, n MonitoringName) ([]fairway.Checked, error) {
	l, err := ask[list[fairway.Checked]](ctx, c, call{method: http.MethodPost, path: n.path("check")})
	return l.Items, err
}
