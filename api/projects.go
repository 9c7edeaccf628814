package api

import (
	"net/http"
	"net/url"

	"github.com/fairwaycd/fairway"
)

func (s *server) listProjects(w http.ResponseWriter, r *http.Request) error {
	ps, err := s.b.Projects(r.Context())
	if err != nil {
		return err
	}
	return answerPart(w, r, "p", ps, func(p Project) string { return string(p.Name) })
}

func (s *server) createProject(w http.ResponseWriter, r *http.Request) error {
	var c CreateProject
	if err := s.decode(w, r, &c); err != nil {
		return err
	}
	p, err := s.b.CreateProject(r.Context(), c)
	if err != nil {
		return err
	}
	if c.DryRun {
		return writeJSON(w, http.StatusOK, p)
	}
	w.Header().Set("Location", Prefix+"projects/"+url.PathEscape(string(p.Name)))
	return writeJSON(w, http.StatusCreated, p)
}

func (s *server) showProject(w http.ResponseWriter, r *http.Request) error {
	if err := noQuery(r); err != nil {
		return err
	}
	p, err := s.b.Project(r.Context(), fairway.ProjectName(r.PathValue("project")))
	return answer(w, http.StatusOK, p, err)
}
