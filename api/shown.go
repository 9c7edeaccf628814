package api

import (
	"context"
	"net/http"
	"slices"

	"github.com/fairwaycd/fairway"
)

// ServiceRoute is how the traffic of a service is split in each stage.
type ServiceRoute struct {
	Stages []StageRoute `json:"stages"`
}

// StageRoute is how the traffic is split in a stage.
type StageRoute struct {
	Stage     fairway.StageName  `json:"stage"`
	Namespace fairway.Namespace  `json:"namespace"`
	Weights   fairway.Weights    `json:"weights,omitempty"`
	Holder    fairway.DeliveryID `json:"holder,omitempty"` // the delivery that has the stage
}

// StageResources are the files of a service that [AddResources] replaces, in
// one stage.
type StageResources struct {
	Stage fairway.StageName `json:"stage"`
	Files []ResourceFile    `json:"files"`
}

// ResourceFile is a file of a service.
type ResourceFile struct {
	Path    string `json:"path"` // within the service's directory
	Content []byte `json:"content"`
}

func (r ServiceRoute) settled() any {
	weights := map[fairway.StageName]fairway.Weights{}
	for _, s := range r.Stages {
		weights[s.Stage] = s.Weights
	}
	return weights
}

// settled implements the interface of that name: how an upstream stands, and
// which services there are, is not set with the project.
func (p Project) settled() any {
	p.Upstream, p.Services = nil, nil
	return p
}

// upstreamAnswer is an upstream, of which only its address is set.
type upstreamAnswer struct{ *fairway.UpstreamState }

func (u upstreamAnswer) settled() any { return u.URL }

func (s *server) showService(w http.ResponseWriter, r *http.Request) error {
	if err := noQuery(r); err != nil {
		return err
	}
	v, err := s.service(r)
	return answer(w, http.StatusOK, v, err)
}

// service finds the service that the path names.
func (s *server) service(r *http.Request) (v fairway.ServiceView, err error) {
	p, name := fairway.ProjectName(r.PathValue("project")), fairway.ServiceName(r.PathValue("s"))
	all, err := s.b.ServicePage(r.Context(), ServiceFilter{Project: p, Text: string(p) + "/" + string(name), Limit: mostLimit})
	if err != nil {
		return v, err
	}
	i := slices.IndexFunc(all.Items, func(v fairway.ServiceView) bool { return v.Service == name })
	if i < 0 {
		return v, fairway.Errorf(fairway.KindNotFound, "there is no service %s in project %s; list them with: fairway get services --project %s", name, p, p)
	}
	return all.Items[i], nil
}

func (s *server) showRoute(w http.ResponseWriter, r *http.Request) error {
	if err := noQuery(r); err != nil {
		return err
	}
	v, err := s.service(r)
	if err != nil {
		return err
	}
	route := ServiceRoute{Stages: []StageRoute{}}
	for _, st := range v.Stages {
		route.Stages = append(route.Stages, StageRoute{Stage: st.Stage, Namespace: st.Namespace, Weights: st.Weights, Holder: st.Holder})
	}
	return writeJSON(w, http.StatusOK, route)
}

func (s *server) listResources(w http.ResponseWriter, r *http.Request) error {
	if err := noQuery(r); err != nil {
		return err
	}
	all, err := s.b.Resources(r.Context(), fairway.ProjectName(r.PathValue("project")), fairway.ServiceName(r.PathValue("s")))
	return answerList(w, http.StatusOK, all, err)
}

func (s *server) showUpstream(w http.ResponseWriter, r *http.Request) error {
	if err := noQuery(r); err != nil {
		return err
	}
	p, err := s.b.Project(r.Context(), fairway.ProjectName(r.PathValue("project")))
	if err == nil && p.Upstream == nil {
		err = fairway.Errorf(fairway.KindNotFound, "project %s has no upstream; give it one with: fairway configure upstream --help", p.Name)
	}
	return answer(w, http.StatusOK, upstreamAnswer{p.Upstream}, err)
}

func (s *server) showMonitoring(w http.ResponseWriter, r *http.Request) error {
	if err := noQuery(r); err != nil {
		return err
	}
	n := monitoringPath(r)
	all, err := s.b.Monitoring(r.Context(), n.Project)
	if err != nil {
		return err
	}
	i := slices.IndexFunc(all, func(m Monitoring) bool { return m.Kind == n.Kind && m.Project == n.Project })
	if i < 0 {
		return fairway.Errorf(fairway.KindNotFound, "no %s is connected here; list what is with: fairway get monitoring", n.Kind)
	}
	return writeJSON(w, http.StatusOK, all[i])
}

// Resources implements [Backend].
func (c *Client) Resources(ctx context.Context, p fairway.ProjectName, s fairway.ServiceName) ([]StageResources, error) {
	return getList[StageResources](ctx, c, nil, "projects", string(p), "services", string(s), "resources")
}
