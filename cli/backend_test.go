package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/fairwaycd/fairway"
	"github.com/fairwaycd/fairway/api"
	"github.com/fairwaycd/fairway/cloudevents"
	"github.com/fairwaycd/fairway/dora"
	"github.com/fairwaycd/fairway/shipyard"
)

// noon is when everything in the tests happens; the tests' now is five
// minutes later.
var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// shop is a Fairway in memory whose deliveries go as their tag says. A
// delivery moves on each time that somebody has looked at it.
type shop struct {
	mu          sync.Mutex
	projects    map[fairway.ProjectName]api.Project
	deliveries  []*trip
	events      []api.StoredEvent
	connections []fairway.Connection
	registries  []api.Registry
	looked      chan struct{} // closed and made anew at every look
}

var _ api.Backend = (*shop)(nil)

func newShop() *shop {
	return &shop{projects: map[fairway.ProjectName]api.Project{}, looked: make(chan struct{})}
}

// trip is a delivery as it will look, one after the other.
type trip struct {
	views []fairway.Delivery
	at    int
}

func (s *shop) CreateProject(_ context.Context, r api.CreateProject) (api.Project, error) {
	if err := r.Name.Validate(); err != nil {
		return api.Project{}, err
	}
	y, err := shipyard.ParseFor(r.Name, r.File, []byte(r.Shipyard))
	if err != nil {
		return api.Project{}, err
	}
	p := api.Project{Name: r.Name, Shipyard: y, Git: "http://127.0.0.1:8080/git/" + string(r.Name) + ".git", Commit: "0123456789abcdef0123456789abcdef01234567"}
	if r.Name == "unreadable" { // as another's list shows it later
		p = api.Project{Name: r.Name, Error: "the object 1a2b3c4d is missing"}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, ok := s.projects[r.Name]; ok {
		return api.Project{}, fairway.Errorf(fairway.KindConflict, "project %s exists with another shipyard; change it by a push to its repository", r.Name)
	}
	if !r.DryRun {
		s.projects[r.Name] = p
	}
	return p, nil
}

func (s *shop) Projects(context.Context) ([]api.Project, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []api.Project
	for _, n := range slices.Sorted(maps.Keys(s.projects)) {
		out = append(out, s.projects[n])
	}
	return out, nil
}

func (s *shop) UpdateProject(ctx context.Context, r api.UpdateProject) (api.ProjectUpdate, error) {
	p, err := s.Project(ctx, r.Name)
	return api.ProjectUpdate{Project: p, Changes: []string{"stage production: approval was \"auto\" and is \"manual\""}}, err
}

func (s *shop) Backup(_ context.Context, _ bool, w io.Writer) error {
	_, err := io.WriteString(w, "backup")
	return err
}

func (s *shop) Subscriptions(context.Context) ([]fairway.SubscriptionState, error) {
	return []fairway.SubscriptionState{{Subscription: fairway.Subscription{ID: "3k5xq7zt2a", URL: "https://ci.example.com/events"}, Sent: 3}}, nil
}

func (s *shop) AddSubscription(_ context.Context, r fairway.Subscription) (api.SubscriptionAdded, error) {
	r.ID = "3k5xq7zt2a"
	return api.SubscriptionAdded{Subscription: r, Secret: "whsec_c2VjcmV0"}, r.WithDefaults().Validate()
}

func (s *shop) RemoveSubscription(context.Context, fairway.SubscriptionID) (fairway.Subscription, error) {
	return fairway.Subscription{}, nil
}

func (s *shop) RotateSubscription(context.Context, fairway.SubscriptionID) (api.SubscriptionAdded, error) {
	return api.SubscriptionAdded{}, nil
}

func (s *shop) TestSubscription(context.Context, fairway.SubscriptionID) (fairway.SubscriptionState, error) {
	return fairway.SubscriptionState{}, nil
}

func (s *shop) ReplaySubscription(context.Context, api.ReplaySubscription) (fairway.SubscriptionState, error) {
	return fairway.SubscriptionState{}, nil
}

func (s *shop) UpdateService(ctx context.Context, r api.UpdateService) (api.ServiceUpdate, error) {
	_, err := s.Project(ctx, r.Project)
	return api.ServiceUpdate{Stages: []api.StageDiff{{Stage: "dev", Diff: "-a\n+b\n"}}, Commit: "0123456789"}, err
}

func (s *shop) Project(_ context.Context, n fairway.ProjectName) (api.Project, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.project(n)
}

func (s *shop) project(n fairway.ProjectName) (api.Project, error) {
	p, ok := s.projects[n]
	if !ok {
		return p, fairway.Errorf(fairway.KindNotFound, "there is no project %s; there are: %s", n, joinNames(slices.Sorted(maps.Keys(s.projects))))
	}
	return p, nil
}

func (s *shop) OnboardService(_ context.Context, r api.OnboardService) (api.Onboarded, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	p, err := s.project(r.Project)
	if err != nil {
		return api.Onboarded{}, err
	}
	if r.Service == "" {
		_, name, _ := strings.Cut(r.Values, "name: ")
		r.Service = fairway.ServiceName(strings.TrimSpace(name))
	}
	out := api.Onboarded{Warnings: []string{"a stateful template under blue_green_service; use strategy: direct"}}
	for _, st := range p.Shipyard.Stages {
		out.Stages = append(out.Stages, st.Name)
	}
	out.Files = append([]string{"dev:helm-chart/values.yaml"}, slices.Sorted(maps.Keys(r.Resources))...)
	if r.DryRun {
		return out, nil
	}
	p.Services = append(p.Services, r.Service)
	s.projects[r.Project] = p
	if strings.Contains(r.Values, "repository: mongo") {
		out.Delivery = s.start(api.SendArtifact{Project: r.Project, Service: r.Service, Image: "mongo", Tag: "pass"})
	}
	return out, nil
}

func (s *shop) AddResources(_ context.Context, r api.AddResources) (api.Added, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	p, err := s.project(r.Project)
	if err != nil {
		return api.Added{}, err
	}
	out := api.Added{Stages: r.Stages, Files: slices.Sorted(maps.Keys(r.Files))}
	if len(out.Stages) == 0 {
		for _, st := range p.Shipyard.Stages {
			out.Stages = append(out.Stages, st.Name)
		}
	}
	return out, nil
}

func (s *shop) SendArtifact(_ context.Context, r api.SendArtifact) (api.Accepted, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, err := s.project(r.Project); err != nil {
		return api.Accepted{}, err
	}
	if r.Tag == "seen" {
		return api.Accepted{ID: "e1", Reason: "carts seen has been delivered before"}, nil
	}
	return api.Accepted{ID: "e1", Delivery: s.start(r), Reason: "a new version of " + string(r.Service)}, nil
}

func (s *shop) SendEvents(ctx context.Context, events []fairway.Event) ([]api.Accepted, error) {
	var out []api.Accepted
	for _, e := range events {
		if e.Type != fairway.TypeNewArtifact {
			out = append(out, api.Accepted{ID: e.ID, Reason: "the type is not known; it has no effect"})
			continue
		}
		q, err := cloudevents.ArtifactOf(e)
		if err != nil {
			return nil, err
		}
		a, err := s.SendArtifact(ctx, api.SendArtifact{Project: q.Project, Service: q.Service, Image: q.Artifact.Image, Tag: q.Artifact.Tag})
		if err != nil {
			return nil, err
		}
		a.ID = e.ID
		out = append(out, a)
	}
	return out, nil
}

// ends says how the delivery of a tag ends, and why.
var ends = map[string]struct {
	status fairway.DeliveryStatus
	reason string
}{
	"pass":      {fairway.StatusFinished, "released in production"},
	"warn":      {fairway.StatusFinished, "released in production"},
	"reject":    {fairway.StatusRejected, "the gate in staging failed: score 0, pass from 90"},
	"break":     {fairway.StatusFailed, "the process ended with exit code 1"},
	"supersede": {fairway.StatusSuperseded, "a newer version was accepted"},
	"abort":     {fairway.StatusAborted, "aborted by anna: wrong branch"},
	"hang":      {fairway.StatusWaiting, "waits for a person: approve or reject"},
}

// start plans a delivery and returns its id.
func (s *shop) start(r api.SendArtifact) fairway.DeliveryID {
	id := fairway.DeliveryID(fmt.Sprintf("%08d-0000-4000-8000-000000000000", len(s.deliveries)+1))
	d := fairway.Delivery{
		ID: id, Project: r.Project, Service: r.Service, Artifact: fairway.Artifact{Image: r.Image, Tag: r.Tag, Digest: "sha256:" + strings.Repeat("ab", 32)},
		Status: fairway.StatusRunning, Stage: "dev", Step: fairway.StepConfigure, Reason: "a new version of " + string(r.Service),
		StartedAt: noon, UpdatedAt: noon, Stages: []fairway.StageRecord{{Stage: "dev", EnteredAt: noon}},
	}
	t := &trip{}
	add := func() {
		c := d
		c.Stages = []fairway.StageRecord{d.Stages[0]}
		c.Stages[0].Steps = slices.Clone(d.Stages[0].Steps)
		t.views = append(t.views, c)
	}
	at := noon
	for _, step := range []fairway.Step{fairway.StepConfigure, fairway.StepDeploy, fairway.StepTest} {
		steps := &d.Stages[0].Steps
		*steps = append(*steps, fairway.StepRecord{Step: step, Attempt: 1, StartedAt: at})
		d.Step = step
		add()
		end := at.Add(1500 * time.Millisecond)
		last := &(*steps)[len(*steps)-1]
		last.EndedAt, last.Outcome, last.Reason = &end, "ok", "carts "+r.Tag+" passed "+string(step)
		at = end
	}
	end := ends[r.Tag]
	d.Status, d.Reason, d.Warned, d.UpdatedAt = end.status, end.reason, r.Tag == "warn", at
	if d.Status.Ended() {
		d.EndedAt = &at
	} else {
		d.Step = fairway.StepApprove
		d.Stages[0].Steps = append(d.Stages[0].Steps, fairway.StepRecord{Step: fairway.StepApprove, Attempt: 1, StartedAt: at})
	}
	add()
	t.views[len(t.views)-1] = d
	s.deliveries = append(s.deliveries, t)
	s.events = append(s.events, api.StoredEvent{Seq: uint64(len(s.events) + 1), Event: fairway.Event{
		SpecVersion: "1.0", ID: "e" + string(id), Source: "shop", Type: fairway.TypeNewArtifact, Time: noon, Context: id, Reason: d.Stages[0].Steps[0].Reason,
		Data: json.RawMessage(`{"tag":"` + r.Tag + `"}`),
	}})
	return id
}

// Delivery returns the present look, and lets the delivery move on.
func (s *shop) Delivery(_ context.Context, id string) (fairway.Delivery, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, t := range s.deliveries {
		if v := t.views[t.at]; strings.HasPrefix(string(v.ID), id) {
			if t.at < len(t.views)-1 {
				t.at++
				close(s.looked)
				s.looked = make(chan struct{})
			}
			return v, nil
		}
	}
	return fairway.Delivery{}, fairway.Errorf(fairway.KindNotFound, "there is no delivery %s; list them with: fairway get deliveries", id)
}

func (s *shop) Command(ctx context.Context, r api.Command) (fairway.Delivery, error) {
	d, err := s.Delivery(ctx, r.Delivery)
	if err != nil {
		return d, err
	}
	if d.Status != fairway.StatusWaiting {
		return d, fairway.Errorf(fairway.KindRefused, "delivery %s does not wait for a person: it is %s", d.ID.Short(), d.Status)
	}
	d.Reason = r.Verb + ": " + r.Reason
	return d, nil
}

func (s *shop) Retry(ctx context.Context, r api.RetryRequest) (api.Accepted, error) {
	d, err := s.Delivery(ctx, r.Delivery)
	if err != nil {
		return api.Accepted{}, err
	}
	if !d.Status.Ended() {
		return api.Accepted{}, fairway.Errorf(fairway.KindRefused, "delivery %s of %s is under way; abort it first", d.ID.Short(), d.Artifact.Tag)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return api.Accepted{ID: first(r.ID, "e2"), Delivery: s.start(api.SendArtifact{Project: d.Project, Service: d.Service, Image: "carts", Tag: "pass"}), Reason: "a retry: " + r.Reason}, nil
}

func (s *shop) RollbackService(_ context.Context, r api.Rollback) (api.Accepted, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if r.To != "" && r.To != "pass" {
		return api.Accepted{}, fairway.Errorf(fairway.KindNotFound, "no version %s of %s was released in stage %s; these were: pass", r.To, r.Service, r.Stage)
	}
	return api.Accepted{ID: first(r.ID, "e3"), Delivery: s.start(api.SendArtifact{Project: r.Project, Service: r.Service, Image: "carts", Tag: "pass"}),
		Reason: fmt.Sprintf("anna asks for pass back in stage %s: %s", r.Stage, r.Reason)}, nil
}

func (s *shop) Delete(_ context.Context, r api.Delete) (api.Deletion, error) {
	if r.Version != "" && r.Version != "v1" {
		return api.Deletion{}, fairway.Errorf(fairway.KindConflict, "what would be deleted has changed")
	}
	return api.Deletion{Project: r.Project, Service: r.Service, KeepRunning: r.KeepRunning, Version: "v1", Done: !r.DryRun,
		Services: []api.ServiceDeletion{{Service: "carts", Stages: []fairway.StageName{"dev"}, Repository: "sockshop/carts", Tags: 2,
			Running: []api.RunningVersion{{Stage: "dev", Place: fairway.Place{Namespace: "dev", Service: "carts"}, Tag: "1", Weight: 100}}}}}, nil
}

func (s *shop) ConfigureUpstream(_ context.Context, r api.ConfigureUpstream) (fairway.UpstreamState, error) {
	if r.Password != "hush" && r.SSHKey == "" {
		return fairway.UpstreamState{}, fairway.Errorf(fairway.KindUnavailable, "it does not accept the credentials")
	}
	return fairway.UpstreamState{URL: r.URL, Condition: fairway.UpstreamInStep}, nil
}

func (s *shop) RemoveUpstream(_ context.Context, p fairway.ProjectName) (api.Project, error) {
	return api.Project{Name: p}, nil
}

func (s *shop) SyncUpstream(_ context.Context, r api.SyncUpstream) (fairway.UpstreamState, error) {
	if r.Take == "" {
		return fairway.UpstreamState{URL: "https://example.com/x.git", Condition: fairway.UpstreamDiverged, Reason: "branch dev has diverged"}, nil
	}
	return fairway.UpstreamState{URL: "https://example.com/x.git", Condition: fairway.UpstreamInStep}, nil
}

func (s *shop) SetRoute(ctx context.Context, r api.SetRoute) (api.RouteState, error) {
	if r.Weights[fairway.Blue] > 0 && !r.Force {
		return api.RouteState{}, fairway.Errorf(fairway.KindRefused, "0.6.1-2 in blue of stage %s was turned away; say --force to give it traffic all the same", r.Stage)
	}
	all, err := s.Routes(ctx)
	all[0].Weights = r.Weights
	return all[0], err
}

func (s *shop) Services(_ context.Context, n fairway.ProjectName) ([]fairway.ServiceView, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []fairway.ServiceView
	for _, name := range slices.Sorted(maps.Keys(s.projects)) {
		for _, svc := range s.projects[name].Services {
			if n == "" || n == name {
				out = append(out, serviceView(name, svc))
			}
		}
	}
	return out, nil
}

func (s *shop) Resources(context.Context, fairway.ProjectName, fairway.ServiceName) ([]api.StageResources, error) {
	return nil, nil
}

func (s *shop) Checks(context.Context) ([]api.Finding, error) {
	return []api.Finding{
		{Name: "event store", State: api.CheckOK, Text: "takes every event"},
		{Name: "prometheus of all projects", State: api.CheckFail, Text: "it does not answer", Remedy: "fairway configure monitoring prometheus --url URL"},
	}, nil
}

func (s *shop) ServicePage(ctx context.Context, f api.ServiceFilter) (api.ServicePage, error) {
	all, err := s.Services(ctx, f.Project)
	return api.ServicePage{Items: all, Total: len(all)}, err
}

func serviceView(p fairway.ProjectName, s fairway.ServiceName) fairway.ServiceView {
	a := func(tag string) fairway.Artifact {
		return fairway.Artifact{Image: "127.0.0.1:8080/sockshop/carts", Tag: tag}
	}
	return fairway.ServiceView{Project: p, Service: s, UpdatedAt: noon, Stages: []fairway.StageView{
		{Stage: "dev", Namespace: "dev", Strategy: fairway.Direct, Weights: fairway.Full(fairway.Single),
			Occupants: map[fairway.Colour]fairway.Occupant{fairway.Single: {Artifact: a("0.6.2-3"), State: fairway.OccupantReleased, Since: noon}}},
		{Stage: "staging", Namespace: "staging", Strategy: fairway.BlueGreen, Weights: fairway.Full(fairway.Green), Holder: "00000001-0000", Queue: []fairway.DeliveryID{"00000002-0000"},
			Occupants: map[fairway.Colour]fairway.Occupant{
				fairway.Blue:  {Artifact: a("0.6.1-2"), State: fairway.OccupantRejected, Since: noon},
				fairway.Green: {Artifact: a("0.6.2-3"), State: fairway.OccupantReleased, Since: noon},
			}},
		{Stage: "production", Namespace: "production", Strategy: fairway.BlueGreen},
	}}
}

func (s *shop) Board(context.Context, api.BoardFilter) (api.Board, error) { return api.Board{}, nil }

func (s *shop) CommitDiff(context.Context, fairway.ProjectName, string) (api.CommitDiff, error) {
	return api.CommitDiff{}, nil
}

func (s *shop) Deliveries(_ context.Context, f api.DeliveryFilter) ([]fairway.Delivery, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []fairway.Delivery
	for _, t := range slices.Backward(s.deliveries) {
		d := t.views[len(t.views)-1]
		if (f.Status == "" || d.Status == f.Status) && (!f.Open || !d.Status.Ended()) && len(out) < f.Limit {
			out = append(out, d)
		}
	}
	return out, nil
}

func (s *shop) DeliveryEvents(context.Context, string) ([]fairway.Event, error) { return nil, nil }

func (s *shop) Events(_ context.Context, f api.EventFilter) ([]api.StoredEvent, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []api.StoredEvent
	for _, e := range s.events {
		if e.Seq > f.After && (f.Delivery == "" || f.Delivery == e.Context) && (f.Type == "" || f.Type == e.Type) {
			out = append(out, e)
		}
	}
	return out, nil
}

func (s *shop) Monitoring(_ context.Context, p fairway.ProjectName) ([]api.Monitoring, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []api.Monitoring
	for _, c := range s.connections {
		if p == "" || c.Project == p {
			out = append(out, api.MonitoringOf(c))
		}
	}
	return out, nil
}

func (s *shop) ConfigureMonitoring(_ context.Context, c fairway.Connection) (api.Monitoring, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.connections = append(s.connections, c)
	return api.MonitoringOf(c), nil
}

func (s *shop) RemoveMonitoring(_ context.Context, n api.MonitoringName) (api.Monitoring, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	i := slices.IndexFunc(s.connections, func(c fairway.Connection) bool { return c.Kind == n.Kind && c.Project == n.Project })
	if i < 0 {
		return api.Monitoring{}, fairway.Errorf(fairway.KindNotFound, "there is no connection to %s", n.Kind)
	}
	m := api.MonitoringOf(s.connections[i])
	s.connections = slices.Delete(s.connections, i, i+1)
	return m, nil
}

func (s *shop) InstallMonitoring(_ context.Context, r api.InstallMonitoring) (api.Installed, error) {
	c := fairway.Connection{Kind: r.Kind, Project: r.Project, URL: "http://prometheus-service." + string(r.Namespace) + ".svc:8080", Labelled: true}
	return api.Installed{Monitoring: api.MonitoringOf(c), Objects: []string{"kind: Namespace\nmetadata:\n  name: " + string(r.Namespace)}}, nil
}

func (s *shop) CheckMonitoring(_ context.Context, n api.MonitoringName) ([]fairway.Checked, error) {
	return []fairway.Checked{{What: "half of " + n.Kind, OK: true, Text: "answers"}, {What: "the other half", Text: "lacks a scope"}}, nil
}

func (s *shop) Dora(_ context.Context, f api.DoraFilter) (dora.Figures, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	p, err := s.project(f.Project)
	if err != nil {
		return dora.Figures{}, err
	}
	end := noon.Add(-30 * time.Minute)
	carts := fairway.Delivery{Project: f.Project, Service: "carts", Artifact: fairway.Artifact{Image: "carts", Tag: "0.6.0-1"}, Status: fairway.StatusFinished, Stage: p.Shipyard.Stages[len(p.Shipyard.Stages)-1].Name,
		StartedAt: noon.Add(-2 * time.Hour), EndedAt: &end, Served: &fairway.Served{From: noon.Add(-time.Hour)}}
	return dora.Compute([]fairway.Delivery{carts}, carts.Stage, fairway.Window{Start: f.Since, End: noon.Add(5 * time.Minute)}), nil
}

func (s *shop) Commits(_ context.Context, f api.CommitFilter) (api.CommitPage, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, err := s.project(f.Project); err != nil {
		return api.CommitPage{}, err
	}
	c := api.Commit{Hash: "0123456789abcdef0123456789abcdef01234567", Author: "ann", Time: noon, Subject: "Configure carts 0.6.0-1 in " + f.Branch, Delivery: "27a7b6b1-0000"}
	if f.Before != "" {
		return api.CommitPage{Items: []api.Commit{c}}, nil
	}
	return api.CommitPage{Items: []api.Commit{c}, Next: c.Hash}, nil
}

func (s *shop) System(ctx context.Context) (api.System, error) {
	st, err := s.Status(ctx)
	return api.System{Status: st, Memory: 71 << 20, Projects: 1, Services: 2, Inputs: api.Queue{Messages: 12, Bytes: 1 << 19, Limit: 256 << 20},
		Tests: api.Slots{Slots: 2, Busy: 2, Waiting: 3}, Steps: api.Slots{Slots: 64, Busy: 5}, Disk: api.Disk{Free: 40 << 30, Total: 250 << 30, Reserve: 256 << 20, Least: 64 << 20},
		Parts:   []api.Part{{Name: "disk", State: api.PartTrouble, Text: "31 MiB\nare left"}, {Name: "event store", State: api.PartOK, Text: "takes every event"}},
		Storage: []api.Storage{{Name: "git", Bytes: 3 << 19, Files: 90}}, Kept: api.Kept{Deliveries: 100_000, Seconds: 90 * 86400, Images: 10}}, err
}

func (s *shop) Targets(context.Context) ([]api.TargetState, error) {
	return []api.TargetState{
		{Job: "carts", URL: "http://127.0.0.1:41001/prometheus", Health: "up", LastScrape: noon.Add(290 * time.Second),
			Labels: map[string]string{"instance": "carts.dev.svc.cluster.local:80", "version": "0.6.2-3"}},
		{Job: "carts", URL: "http://127.0.0.1:41002/prometheus", Health: "down", LastError: "connection refused",
			Labels: map[string]string{"instance": "carts-blue.staging.svc.cluster.local:80", "version": "0.6.1-2"}},
	}, nil
}

func (s *shop) Routes(context.Context) ([]api.RouteState, error) {
	return []api.RouteState{{Namespace: "staging", Service: "carts", Host: "carts.staging.localhost", Weights: fairway.Full(fairway.Green), Backends: []fairway.Backend{
		{Place: fairway.Place{Namespace: "staging", Service: "carts", Colour: fairway.Blue}, Version: "0.6.1-2", Address: "127.0.0.1:41002"},
		{Place: fairway.Place{Namespace: "staging", Service: "carts", Colour: fairway.Green}, Version: "0.6.2-3", Address: "127.0.0.1:41003", Ready: true},
	}}}, nil
}

func (s *shop) Evaluations(_ context.Context, f fairway.EvaluationFilter) (fairway.EvaluationPage, error) {
	row := fairway.EvaluationSummary{ID: "4f1c2d9e0b7a8c35", Project: "sockshop", Stage: "staging", Service: "carts", Colour: fairway.Blue, Delivery: "00000001-0000", Version: "0.6.1-2", Verdict: fairway.VerdictFail, EvaluatedAt: noon}
	old := row
	old.ID, old.Version, old.Verdict, old.TotalScore, old.Invalidated = "0a1b2c3d4e5f6071", "0.6.0", fairway.VerdictPass, 100, &fairway.Invalidation{Actor: "ann", Reason: "the load was wrong", At: noon}
	if f.Before != "" {
		return fairway.EvaluationPage{Items: []fairway.EvaluationSummary{old}}, nil
	}
	return fairway.EvaluationPage{Items: []fairway.EvaluationSummary{row}, Next: "7"}, nil
}

func (s *shop) InvalidateEvaluation(ctx context.Context, r api.InvalidateEvaluation) (fairway.Evaluation, error) {
	e, err := s.Evaluation(ctx, r.Evaluation)
	e.Invalidated = &fairway.Invalidation{Actor: "somebody", Reason: r.Reason, At: noon}
	return e, err
}

func (s *shop) Evaluation(_ context.Context, id string) (fairway.Evaluation, error) {
	if id != "4f1c2d9e0b7a8c35" {
		return fairway.Evaluation{}, fairway.Errorf(fairway.KindNotFound, "there is no evaluation %s", id)
	}
	limit := 1.0
	query := "rate(requests_latency_seconds_sum{job='carts'}[3m])"
	return fairway.Evaluation{
		ID:      id,
		Subject: fairway.Subject{Project: "sockshop", Stage: "staging", Place: fairway.Place{Namespace: "staging", Service: "carts", Colour: fairway.Blue}, Delivery: "00000001-0000", Attempt: 1, Version: "0.6.1-2"},
		Window:  fairway.Window{Start: noon, End: noon.Add(20 * time.Second)}, Commit: "0123456789abcdef",
		Verdict: fairway.VerdictFail, Objectives: fairway.Objectives{Pass: 90, Warning: 75}, Tied: true,
		Reason: "0 of 100 points; 75 are needed for a warning", EvaluatedAt: noon.Add(22 * time.Second),
		IndicatorResults: []fairway.IndicatorResult{{
			ID: "request_latency_seconds", MaxScore: 100, Source: "Prometheus", Written: query, Query: strings.Replace(query, "}", ",version='0.6.1-2'}", 1), Tied: true,
			Limits: map[string]float64{"upperSevere": 1, "upperWarning": 0.8}, Samples: []fairway.Sample{fairway.NewSample("{}", noon.Add(20*time.Second), 1.0123)},
			Violations:  []fairway.Violation{{Value: json.RawMessage("1.0123"), Breach: "upperSevere", Threshold: &limit}},
			Explanation: "1.0123 is above the severe limit of 1",
		}},
	}, nil
}

func (s *shop) TestReport(_ context.Context, id string) (fairway.TestReport, error) {
	if id != "test.00000001.staging.1" {
		return fairway.TestReport{}, fairway.Errorf(fairway.KindNotFound, "there is no test report %s", id)
	}
	w := fairway.Window{Start: noon, End: noon.Add(20 * time.Second)}
	return fairway.TestReport{Strategy: fairway.PerformanceTests, Reason: "12 of 500 requests failed, 1% may", Window: w, Notes: []string{"there is no tests/functional.yaml"}, Checks: []fairway.Check{
		{Name: "health", Passed: true, Reason: "GET /health answered 200", Requests: 1, Window: w},
		{Name: "performance", Reason: "12 of 500 requests failed, 1% may", Users: 10, Requests: 500, Errors: 12, Window: w, Latency: &fairway.LatencySummary{Mean: 0.0123, P95: 0.04, Max: 0.3}},
	}}, nil
}

func (s *shop) Logs(_ context.Context, id string, w io.Writer, _ bool) error {
	_, err := fmt.Fprintf(w, "dev carts: output of %s\n", id)
	return err
}

// Watch reports a change of every delivery whenever one was looked at.
func (s *shop) Watch(ctx context.Context, f func(api.Change) error) error {
	for {
		s.mu.Lock()
		looked := s.looked
		c := api.Change{Events: slices.Clone(s.events)}
		for _, t := range s.deliveries {
			d := t.views[t.at]
			c.Progress = append(c.Progress, api.Progress{Delivery: d.ID, Stage: d.Stage, Step: d.Step, Text: "half of it"})
		}
		s.mu.Unlock()
		if err := f(c); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-looked:
		}
	}
}

func (s *shop) Status(context.Context) (api.Status, error) {
	return api.Status{Version: "0.1.0", Ready: false, Trouble: map[string]string{"disk": "full: 12 MB left"}, Durability: "power", Listen: "127.0.0.1:8080",
		Gateway: "127.0.0.1:8000", Registry: "127.0.0.1:8080", Data: "/var/lib/fairway", StartedAt: noon}, nil
}
