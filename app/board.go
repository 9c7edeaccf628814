package app

import (
	"context"
	"fmt"
	"slices"
	"sort"
	"strings"
	"sync"
	"time"

	"github.com/fairwaycd/fairway"
	"github.com/fairwaycd/fairway/api"
	"github.com/fairwaycd/fairway/controller"
	"github.com/fairwaycd/fairway/project"
)

// readyFor is how long it holds which of n instances are ready: pages of many
// people are drawn at each change, and asking about very many costs memory.
func readyFor(n int) time.Duration {
	return max(time.Second, time.Duration(n)*200*time.Microsecond)
}

// readiness remembers which instances answer.
type readiness struct {
	mu    sync.Mutex
	asked time.Time
	ready map[string]bool // by instance; never changed
}

func (r *readiness) of(ctx context.Context, backends func(context.Context) ([]fairway.Backend, error)) (map[string]bool, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.ready != nil && time.Since(r.asked) < readyFor(len(r.ready)) {
		return r.ready, nil
	}
	all, err := backends(ctx)
	if err != nil {
		return nil, err
	}
	ready := make(map[string]bool, len(all))
	for _, be := range all {
		ready[be.Instance] = be.Ready
	}
	r.ready, r.asked = ready, time.Now()
	return ready, nil
}

// Board implements [api.Backend].
func (b *backend) Board(ctx context.Context, f api.BoardFilter) (api.Board, error) {
	if err := b.reading(); err != nil {
		return api.Board{}, err
	}
	if err := fairway.InvalidAll(f.Problems()); err != nil {
		return api.Board{}, err
	}
	infos, err := b.keeper.Projects(ctx)
	if err != nil {
		return api.Board{}, err
	}
	ready, err := b.readiness.of(ctx, b.site.backends)
	if err != nil {
		return api.Board{}, err
	}
	s := scan{filter: f, words: strings.Fields(strings.ToLower(f.Search)), ready: ready}
	for _, i := range infos {
		s.page.Names = append(s.page.Names, i.Name)
		if f.Project == "" || i.Name == f.Project {
			s.project(b, i)
		}
	}
	if f.Project != "" && !slices.Contains(s.page.Names, f.Project) {
		_, err := b.keeper.Project(ctx, f.Project) // says which there are
		return api.Board{}, err
	}
	s.cut()
	for _, at := range s.found[s.begin:s.end] {
		b.view.Glances(at.info.Name, []fairway.ServiceName{at.name}, func(_ fairway.ServiceName, g *controller.Glance) {
			s.page.Items = append(s.page.Items, s.row(at, g))
		})
	}
	s.page.Attention = s.attention()
	s.projects(b, infos)
	return s.page, nil
}

// match is a service that the filter selects.
type match struct {
	info *project.Info
	name fairway.ServiceName
}

func (m match) key() string { return string(m.info.Name) + "/" + string(m.name) }

// scan goes through all services once. There may be very many: it copies
// little of what it passes.
type scan struct {
	filter  api.BoardFilter
	words   []string
	ready   map[string]bool
	page    api.Board
	found   []match
	waiting []api.Attention // the longest first
	failed  []api.Attention // the latest first
	stages  map[fairway.ProjectName]map[fairway.StageName]*api.BoardStage

	begin, end int // of the page, in found
}

// row is a service as the page has it.
func (s *scan) row(at match, g *controller.Glance) api.BoardRow {
	row := api.BoardRow{ServiceView: withStages(g.Service, at.info, at.name), Ready: s.readyOf(g.Service)}
	for _, d := range g.Open {
		row.Open = append(row.Open, g.Brief(d))
	}
	if g.Latest != nil {
		latest := g.Brief(g.Latest)
		row.Latest = &latest
	}
	return row
}

func (s *scan) project(b *backend, i project.Info) {
	if s.stages == nil {
		s.stages = map[fairway.ProjectName]map[fairway.StageName]*api.BoardStage{}
	}
	stages := map[fairway.StageName]*api.BoardStage{}
	for _, st := range i.Shipyard.Stages {
		stages[st.Name] = &api.BoardStage{Name: st.Name}
	}
	s.stages[i.Name] = stages
	b.view.Glances(i.Name, i.Services, func(name fairway.ServiceName, g *controller.Glance) {
		if s.searched(i.Name, name, g) && s.classify(g) {
			s.found = append(s.found, match{&i, name})
			s.count(stages, g.Open)
		}
	})
}

// count adds the deliveries under way to their stages.
func (s *scan) count(stages map[fairway.StageName]*api.BoardStage, open []*fairway.Delivery) {
	for _, d := range open {
		switch st := stages[d.Stage]; {
		case st == nil:
		case d.Step == fairway.StepQueue:
			st.Queued++
		default:
			st.Moving++
		}
	}
}

// searched reports whether every word stands somewhere in what the service is
// known by.
func (s *scan) searched(p fairway.ProjectName, name fairway.ServiceName, g *controller.Glance) bool {
	for _, word := range s.words {
		if strings.Contains(string(name), word) || strings.Contains(string(p), word) || tagged(g, word) {
			continue
		}
		return false
	}
	return true
}

func tagged(g *controller.Glance, word string) bool {
	for _, st := range g.Service.Stages {
		for _, o := range st.Occupants {
			if strings.Contains(strings.ToLower(o.Artifact.Tag), word) {
				return true
			}
		}
	}
	return slices.ContainsFunc(g.Open, func(d *fairway.Delivery) bool { return strings.Contains(strings.ToLower(d.Artifact.Tag), word) })
}

// classify counts the service, notes what needs a person, and reports whether
// it is in the state that is asked for.
func (s *scan) classify(g *controller.Glance) bool {
	var people, failed, unready bool
	for _, d := range g.Open {
		switch {
		case d.Step == fairway.StepApprove:
			s.waits("approval", g.Brief(d), "")
		case d.Paused:
			s.waits("paused", g.Brief(d), "")
		default:
			continue
		}
		people = true
	}
	if d := g.Latest; d != nil && (d.Status == fairway.StatusFailed || d.Status == fairway.StatusRejected) {
		failed = true
		s.failed = among(s.failed, func(a api.Attention) int { return d.UpdatedAt.Compare(a.Delivery.UpdatedAt) },
			func() api.Attention { return api.Attention{Why: api.BoardFailed, Delivery: g.Brief(d)} })
	}
	for _, st := range g.Service.Stages {
		for colour, o := range st.Occupants {
			if ready, known := s.ready[o.Instance]; !known || ready || st.Weights[colour] == 0 {
				continue
			}
			unready = true
			s.waits(api.BoardUnready, fairway.Delivery{
				ID: o.Delivery, Project: g.Service.Project, Service: g.Service.Service, Artifact: o.Artifact, Colour: colour, StartedAt: o.Since, UpdatedAt: o.Since,
				Reason: fmt.Sprintf("it has %d %% of the traffic and is not ready", st.Weights[colour]),
			}, st.Stage)
		}
	}
	people = people || failed || unready
	moving := len(g.Open) > 0
	n := &s.page.Counts
	n.All++
	for _, c := range []struct {
		is    bool
		count *int
	}{{people, &n.People}, {moving, &n.Moving}, {failed, &n.Failed}, {unready, &n.Unready}} {
		if c.is {
			*c.count++
		}
	}
	switch s.filter.State {
	case api.BoardPeople:
		return people
	case api.BoardMoving:
		return moving
	case api.BoardFailed:
		return failed
	case api.BoardUnready:
		return unready
	}
	return true
}

// waits notes a delivery that waits for a person, the longest first.
func (s *scan) waits(why string, d fairway.Delivery, stage fairway.StageName) {
	s.waiting = among(s.waiting, func(a api.Attention) int { return a.Delivery.UpdatedAt.Compare(d.UpdatedAt) },
		func() api.Attention { return api.Attention{Why: why, Delivery: d, Stage: stage} })
}

// among puts one more into the list, in order, unless the list is
// full of what comes before it. It is made only then; after compares an item
// of the list with it.
func among(list []api.Attention, after func(api.Attention) int, made func() api.Attention) []api.Attention {
	at := len(list)
	for at > 0 && after(list[at-1]) > 0 {
		at--
	}
	if at == api.AttentionMost {
		return list
	}
	return slices.Insert(list[:min(len(list), api.AttentionMost-1)], at, made())
}

// cut finds the part of the list that is asked for.
func (s *scan) cut() {
	limit := s.filter.Limit
	if limit <= 0 {
		limit = api.BoardLimit
	}
	limit = min(limit, api.BoardMost)
	s.page.Total = len(s.found)
	if s.filter.After != "" {
		p, name, _ := strings.Cut(s.filter.After, "/")
		s.begin = sort.Search(len(s.found), func(i int) bool {
			m := s.found[i]
			return string(m.info.Name) > p || string(m.info.Name) == p && string(m.name) > name
		})
	}
	s.end = min(s.begin+limit, len(s.found))
	if s.begin < s.end {
		s.page.From = s.begin + 1
	}
	if s.end < len(s.found) {
		s.page.Next = s.found[s.end-1].key()
	}
	if s.begin > 0 {
		s.page.HasPrevious = true
		if s.begin > limit {
			s.page.Previous = s.found[s.begin-limit-1].key()
		}
	}
}

func (s *scan) readyOf(v fairway.ServiceView) map[string]bool {
	out := map[string]bool{}
	for _, st := range v.Stages {
		for _, o := range st.Occupants {
			if ready, known := s.ready[o.Instance]; known {
				out[o.Instance] = ready
			}
		}
	}
	return out
}

// attention puts what has waited longest before what has failed last.
func (s *scan) attention() []api.Attention {
	all := slices.Concat(s.waiting, s.failed)
	return all[:min(len(all), api.AttentionMost)]
}

// projects adds what is known of the projects that the page shows.
func (s *scan) projects(b *backend, infos []project.Info) {
	shown := map[fairway.ProjectName]bool{}
	for _, m := range s.found[s.begin:s.end] {
		shown[m.info.Name] = true
	}
	first := s.begin == 0 && len(s.words) == 0 && s.filter.State == ""
	for _, i := range infos {
		selected := s.filter.Project == "" || s.filter.Project == i.Name
		if !shown[i.Name] && !(selected && first && (i.Err != nil || len(i.Services) == 0)) {
			continue
		}
		p := api.BoardProject{Name: i.Name, Services: len(i.Services)}
		if i.Err != nil {
			p.Error = i.Err.Error()
		} else {
			p.Git = b.projectOf(i).Git
		}
		for _, st := range i.Shipyard.Stages {
			p.Stages = append(p.Stages, *s.stages[i.Name][st.Name])
		}
		s.page.Projects = append(s.page.Projects, p)
	}
}

// CommitDiff implements [api.Backend].
func (b *backend) CommitDiff(ctx context.Context, p fairway.ProjectName, commit string) (api.CommitDiff, error) {
	c, err := b.git.Show(ctx, p, commit)
	if err != nil {
		return api.CommitDiff{}, err
	}
	out := api.CommitDiff{Hash: c.Hash, Parent: c.Parent, Author: c.Author, Email: c.Email, When: c.When, Message: c.Message, MoreFiles: c.More, Files: make([]api.FileDiff, 0, len(c.Files))}
	for _, f := range c.Files {
		out.Files = append(out.Files, api.FileDiff(f))
	}
	return out, nil
}
