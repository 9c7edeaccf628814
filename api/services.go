package api

import (
	"net/http"

	"github.com/fairwaycd/fairway"
)

func (s *server) listServices(w http.ResponseWriter, r *http.Request) error {
	q, err := query(r, "project")
	if err == nil {
		err = q.err()
	}
	if err != nil {
		return err
	}
	views, err := s.b.Services(r.Context(), fairway.ProjectName(q.text("project")))
	return answerList(w, http.StatusOK, views, err)
}

func (s *server) listProjectServices(w http.ResponseWriter, r *http.Request) error {
	if err := noQuery(r); err != nil {
		return err
	}
	views, err := s.b.Services(r.Context(), fairway.ProjectName(r.PathValue("project")))
	return answerList(w, http.StatusOK, views, err)
}

func (s *server) onboardService(w http.ResponseWriter, r *http.Request) error {
	var o OnboardService
	if err := s.decode(w, r, &o); err != nil {
		return err
	}
	if err := fromPath("project", &o.Project, r.PathValue("project")); err != nil {
		return err
	}
	done, err := s.b.OnboardService(r.Context(), o)
	return answer(w, http.StatusOK, done, err)
}

func (s *server) addResources(w http.ResponseWriter, r *http.Request) error {
	var a AddResources
	if err := s.decode(w, r, &a); err != nil {
		return err
	}
	if err := servicePath(r, &a.Project, &a.Service); err != nil {
		return err
	}
	done, err := s.b.AddResources(r.Context(), a)
	return answer(w, http.StatusOK, done, err)
}

func (s *server) sendArtifact(w http.ResponseWriter, r *http.Request) error {
	var a SendArtifact
	if err := s.decode(w, r, &a); err != nil {
		return err
	}
	if err := servicePath(r, &a.Project, &a.Service); err != nil {
		return err
	}
	done, err := s.b.SendArtifact(r.Context(), a)
	return answer(w, http.StatusAccepted, done, err)
}

// servicePath takes project and service from the path.
func servicePath(r *http.Request, p *fairway.ProjectName, s *fairway.ServiceName) error {
	var ps []fairway.Problem
	for _, err := range []error{
		fromPath("project", p, r.PathValue("project")),
		fromPath("service", s, r.PathValue("s")),
	} {
		ps = append(ps, fairway.Problems(err)...)
	}
	return fairway.InvalidAll(ps)
}
