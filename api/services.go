package api

import (
	"net/http"

	"github.com/fairwaycd/fairway"
)

func (s *server) listServices(w http.ResponseWriter, r *http.Request) error {
	q, err := query(r, "project", "text", "stage", "limit", "cursor")
	if err != nil {
		return err
	}
	return s.servicePage(w, r, q, fairway.ProjectName(q.text("project")))
}

func (s *server) listProjectServices(w http.ResponseWriter, r *http.Request) error {
	q, err := query(r, "text", "stage", "limit", "cursor")
	if err != nil {
		return err
	}
	return s.servicePage(w, r, q, fairway.ProjectName(r.PathValue("project")))
}

func (s *server) servicePage(w http.ResponseWriter, r *http.Request, q *params, p fairway.ProjectName) error {
	f := ServiceFilter{Project: p, Text: q.text("text"), Stage: fairway.StageName(q.text("stage")), Limit: q.limit(usualLimit, mostLimit)}
	if at := q.place("s", 2); at != nil {
		f.After = ServiceKey{fairway.ProjectName(at[0]), fairway.ServiceName(at[1])}
	}
	if err := q.err(); err != nil {
		return err
	}
	page, err := s.b.ServicePage(r.Context(), f)
	if err != nil {
		return err
	}
	l := listOf(page.Items)
	l.Total = &page.Total
	if n := len(page.Items); n >= f.Limit {
		l.Next = ServiceKey{page.Items[n-1].Project, page.Items[n-1].Service}.cursor()
	}
	return writeJSON(w, http.StatusOK, l)
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
	idOf(r, &a.ID)
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
