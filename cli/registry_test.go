package cli

import (
	"context"
	"slices"
	"time"

	"github.com/fairwaycd/fairway"
	"github.com/fairwaycd/fairway/api"
)

func (s *shop) Registries(_ context.Context, p fairway.ProjectName) ([]api.Registry, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(s.registries), func(r api.Registry) bool { return p != "" && r.Project != p }), nil
}

func (s *shop) AddRegistry(_ context.Context, q api.AddRegistry) (api.Registry, error) {
	poll, err := time.ParseDuration(q.Poll)
	if err != nil {
		return api.Registry{}, err
	}
	x := fairway.Registry{Project: q.Project, Name: fairway.RegistryName(q.URL), URL: q.URL, Username: q.Username, Password: q.Password, Poll: poll,
		Filter: q.Filter, Secret: q.Secret, CopyPullSecret: q.CopyPullSecret}
	if err := x.Validate(); err != nil {
		return api.Registry{}, err
	}
	r := api.Registry{Project: x.Project, Name: x.Name, URL: x.URL, Username: x.Username, Poll: x.Poll.String(), Filter: x.Filter,
		State: fairway.RegistryState{Condition: fairway.RegistryBusy, Reason: "asked to wait until " + string(q.Password[:1]), Refused: 3}}
	if x.Secret != "" {
		r.Hooks = "http://127.0.0.1:8080/api/v1/registries/" + string(x.Project) + "/" + x.Name
	}
	if q.DryRun {
		r.Checked = []fairway.Checked{{What: "registry", OK: true, Text: "answers"}, {What: "ghcr.io/acme/carts", Text: "is not shown"}}
		return r, nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.registries = append(s.registries, r)
	return r, nil
}

func (s *shop) RemoveRegistry(_ context.Context, n api.RegistryName) (api.Registry, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	i := slices.IndexFunc(s.registries, func(r api.Registry) bool { return r.Project == n.Project && r.Name == n.Name })
	if i < 0 {
		return api.Registry{}, fairway.Errorf(fairway.KindNotFound, "project %s has no registry %s", n.Project, n.Name)
	}
	r := s.registries[i]
	s.registries = slices.Delete(s.registries, i, i+1)
	return r, nil
}

func (s *shop) CheckRegistry(_ context.Context, n api.RegistryName) ([]fairway.Checked, error) {
	return []fairway.Checked{{What: "registry", Text: "the registry " + n.Name + " does not take the credentials"}}, nil
}
