package web

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/fairwaycd/fairway"
	"github.com/fairwaycd/fairway/api"
	"github.com/fairwaycd/fairway/dora"
)

// managed is the world with all that the pages of projects, services and the
// system ask for. What was asked to be changed is remembered.
type managed struct {
	*world
	sync.Mutex // held while a page is made, see under
	asked      []any
	state      fairway.UpstreamState
	refusal    error // of everything that changes something
	system     api.System
	delivered  []fairway.Delivery // of the figures
}

func newManaged() *managed {
	m := &managed{world: newWorld()}
	m.state = fairway.UpstreamState{URL: "https://git.example.com/shop/sockshop.git", Condition: fairway.UpstreamDiverged, Since: at(-900), Contact: at(-20),
		Reason: "branch staging has commits here and there that the other lacks; say whose content holds",
		Branches: []fairway.UpstreamBranch{
			{Branch: "main", Condition: fairway.UpstreamInStep, Ours: "c0ffee", Theirs: "c0ffee"},
			{Branch: "staging", Condition: fairway.UpstreamDiverged, Ours: "c0ffee", Theirs: "c0ffef", Ahead: 2, Behind: 1},
		}}
	m.projects[0].Upstream = &m.state
	m.projects[0].Services = append(m.projects[0].Services, "orders")
	m.delivered = manyDeliveries()
	m.system = api.System{Status: m.status, Go: "go1.26.8", Memory: 71 << 20, Projects: 1, Services: 2, Sessions: 1, MeasuredAt: at(-20),
		Parts: []api.Part{
			{Name: "disk", State: api.PartTrouble, Text: "the disk that holds Fairway's data directory is nearly full: 31 MiB are left; make room there, and it goes on by itself"},
			{Name: "upstreams", State: api.PartWarning, Text: "sockshop is diverged: branch staging has commits here and there"},
			{Name: "event store", State: api.PartOK, Text: "takes every event"},
			{Name: "decisions", State: api.PartOK, Text: "every shard decides"},
		},
		Inputs: api.Queue{Messages: 12, Bytes: 18432, Limit: 256 << 20}, Tests: api.Slots{Slots: 2, Busy: 2, Waiting: 3}, Steps: api.Slots{Slots: 64, Busy: 5},
		Disk: api.Disk{Free: 40 << 30, Total: 250 << 30, Reserve: 256 << 20, Least: 64 << 20},
		Storage: []api.Storage{{Name: "nats", Bytes: 310 << 20, Files: 212}, {Name: "git", Bytes: 7 << 20, Files: 90}, {Name: "registry", Bytes: 5400 << 20, Files: 4211},
			{Name: "images", Bytes: 2 << 30, Files: 9021}, {Name: "metrics", Bytes: 190 << 20, Files: 41}, {Name: "evaluations", Bytes: 48 << 20, Files: 5120}, {Name: "ballast", Bytes: 64 << 20, Files: 1}, {Name: "token", Bytes: 48, Files: 1}},
		Kept: api.Kept{Deliveries: 100_000, Seconds: 90 * 24 * 3600, Images: 10}, Counts: map[string]int{"finished": 412, "failed": 12, "rejected": 31, "running": 1, "waiting": 1},
	}
	m.system.StartedAt, m.system.Listen, m.system.Registry, m.system.Data = at(-86400), "127.0.0.1:8080", "127.0.0.1:8080", "/home/ann/.local/share/fairway"
	for i := range 8 {
		m.system.Shards = append(m.system.Shards, api.Shard{Shard: i, Services: i % 3, Inputs: i * 2, Deliveries: i % 2, Steps: i % 2, Sequence: uint64(1000 + 37*i)})
		m.system.Streams = append(m.system.Streams, api.Stream{Name: fmt.Sprintf("LOG_%02d", i), Messages: uint64(1000 + 37*i), Bytes: uint64(i+1) << 20})
	}
	return m
}

// manyDeliveries are those of a month into production.
func manyDeliveries() []fairway.Delivery {
	var out []fairway.Delivery
	for i := range 60 {
		start := noon.Add(-time.Duration(i*11+3) * time.Hour)
		served, end := start.Add(time.Duration(12+i*7%55)*time.Minute), start.Add(time.Duration(20+i*7%55)*time.Minute)
		d := fairway.Delivery{ID: fairway.DeliveryID(fmt.Sprint(i)), Project: "sockshop", Service: "carts", Artifact: fairway.Artifact{Image: "carts", Tag: fmt.Sprintf("0.5.%d", 60-i)}, Status: fairway.StatusFinished,
			Stage: "production", StartedAt: start, EndedAt: &end, Served: &fairway.Served{From: served}}
		if i%13 == 4 {
			d.Status, d.Served.Until = fairway.StatusRejected, &end
		}
		out = append(out, d)
	}
	return out
}

func (m *managed) Dora(_ context.Context, f api.DoraFilter) (dora.Figures, error) {
	return dora.Compute(m.delivered, "production", fairway.Window{Start: f.Since, End: noon}), m.err
}

func (m *managed) Commits(_ context.Context, f api.CommitFilter) (api.CommitPage, error) {
	if f.Before != "" {
		return api.CommitPage{Items: []api.Commit{{Hash: "0000000000000000000000000000000000000001", Author: "ann", Time: at(-9000), Subject: "Create project sockshop"}}}, m.err
	}
	if f.Branch == "nix" {
		return api.CommitPage{}, fairway.Errorf(fairway.KindNotFound, "project sockshop has no branch nix")
	}
	return api.CommitPage{Items: []api.Commit{
		{Hash: "5428bf2c8e069a7efaa227f30e633d043f75e06b", Author: "Fairway", Time: at(-30), Subject: "Configure carts 0.6.2-3 in staging", Delivery: "third-delivery"},
		{Hash: "d1a2c8e069a7efaa227f30e633d043f75e06b111", Author: "Ann Sailor", Time: at(-4000), Subject: "Give carts more memory <b>", Body: "It was killed twice."},
	}, Next: "d1a2c8e069a7efaa227f30e633d043f75e06b111"}, m.err
}

func (m *managed) System(context.Context) (api.System, error) { return m.system, m.err }

func (m *managed) Targets(context.Context) ([]api.TargetState, error) {
	return []api.TargetState{
		{Job: "carts", URL: "http://127.0.0.1:40001/metrics", Health: "up", LastScrape: at(-3), Labels: map[string]string{"version": "0.6.2-3"}},
		{Job: "orders", URL: "http://127.0.0.1:40002/metrics", Health: "down", LastScrape: at(-3), LastError: "connection refused"},
	}, nil
}

func (m *managed) Routes(context.Context) ([]api.RouteState, error) {
	return []api.RouteState{{Namespace: "staging", Service: "carts", Host: "carts.staging.localhost", Backends: []fairway.Backend{{Instance: "", Ready: true}}}}, nil
}

func (m *managed) Evaluations(_ context.Context, f fairway.EvaluationFilter) (fairway.EvaluationPage, error) {
	if f.Stage != "staging" {
		return fairway.EvaluationPage{}, nil
	}
	var page fairway.EvaluationPage
	for i, v := range []fairway.Verdict{fairway.VerdictPass, fairway.VerdictFail, fairway.VerdictWarning, fairway.VerdictError, fairway.VerdictNotJudged, fairway.VerdictPass} {
		page.Items = append(page.Items, fairway.EvaluationSummary{ID: fmt.Sprint("evaluation-", i+1), Version: fmt.Sprintf("0.6.%d", 9-i), Verdict: v, TotalScore: float64(100 - i*17), EvaluatedAt: at(-60 * i)})
	}
	page.Items[5].Invalidated = &fairway.Invalidation{Reason: "the load was wrong"}
	return page, nil
}

func (m *managed) Monitoring(context.Context, fairway.ProjectName) ([]api.Monitoring, error) {
	return []api.Monitoring{{Kind: "prometheus", Project: "sockshop", URL: "https://prometheus.example.com", Auth: "token"}, {Kind: "dynatrace", URL: "https://abc.live.dynatrace.com", Auth: "token"}}, nil
}

func (m *managed) CheckMonitoring(_ context.Context, n api.MonitoringName) ([]fairway.Checked, error) {
	m.asked = append(m.asked, n)
	return []fairway.Checked{{What: "the API", OK: true, Text: "answers, version 3.4"}, {What: "labels", Text: "no series has a label version; say how pods are told apart in metrics.select"}}, nil
}

// changes remembers what was asked for, and refuses it if told to.
func (m *managed) change(q any) error {
	m.asked = append(m.asked, q)
	return m.refusal
}

func (m *managed) CreateProject(_ context.Context, r api.CreateProject) (api.Project, error) {
	if !strings.Contains(r.Shipyard, "stages:") {
		return api.Project{}, fairway.InvalidAll([]fairway.Problem{
			{File: "shipyard.yaml", Line: 1, Column: 1, Field: "stagse", Message: "is not a key of a shipyard; did you mean stages?", Remedy: "use registry, tags, stages"},
			{Field: "name", Value: "Sock <Shop>", Message: "is not a name", Remedy: "use lower-case letters"},
		})
	}
	return api.Project{Name: r.Name, Shipyard: m.projects[0].Shipyard}, m.change(r)
}

func (m *managed) OnboardService(_ context.Context, r api.OnboardService) (api.Onboarded, error) {
	if !strings.Contains(r.Values, "name:") {
		return api.Onboarded{}, fairway.InFile("values.yaml", fairway.Invalid("service.name", "", "is missing", "name the service"))
	}
	out := api.Onboarded{Stages: []fairway.StageName{"dev"}, Files: []string{"dev:helm-chart/templates/carts-deployment.yaml"}, Warnings: []string{"a stateful template under blue/green; use strategy: direct"}}
	if strings.Contains(r.Values, "image:") {
		out.Delivery = "third-delivery"
	}
	return out, m.change(r)
}

func (m *managed) Delete(_ context.Context, r api.Delete) (api.Deletion, error) {
	d := api.Deletion{Project: r.Project, Service: r.Service, KeepRunning: r.KeepRunning, Version: "4f1c2d9e0b7a8c35", Services: []api.ServiceDeletion{{
		Service: "carts", Stages: []fairway.StageName{"dev", "staging"}, Repository: "sockshop/carts", Tags: 4, Ended: 12,
		Running:    []api.RunningVersion{{Stage: "staging", Place: fairway.Place{Namespace: "staging", Service: "carts", Colour: fairway.Blue}, Tag: "0.6.2-3", Weight: 100}},
		Deliveries: m.all[:1],
	}}}
	if r.Service == "" {
		d.Git = "http://127.0.0.1:8080/git/sockshop.git"
	}
	if r.Project != "sockshop" {
		return d, fairway.Errorf(fairway.KindNotFound, "there is no project %s", r.Project)
	}
	if r.DryRun {
		return d, nil
	}
	if r.Version != d.Version {
		return d, fairway.Errorf(fairway.KindConflict, "something else would go by now; look again")
	}
	return d, m.change(r)
}

func (m *managed) SyncUpstream(_ context.Context, r api.SyncUpstream) (fairway.UpstreamState, error) {
	return m.state, m.change(r)
}

func (m *managed) RollbackService(_ context.Context, r api.Rollback) (api.Accepted, error) {
	return api.Accepted{Delivery: "third-delivery"}, m.change(r)
}

func (m *managed) SetRoute(_ context.Context, r api.SetRoute) (api.RouteState, error) {
	return api.RouteState{}, m.change(r)
}

func (m *managed) SendArtifact(_ context.Context, r api.SendArtifact) (api.Accepted, error) {
	return api.Accepted{Delivery: "third-delivery"}, m.change(r)
}

// edit changes what the world shows.
func (m *managed) edit(f func()) {
	m.Lock()
	defer m.Unlock()
	f()
}

// last is what was asked for last.
func (m *managed) last() any {
	m.Lock()
	defer m.Unlock()
	if len(m.asked) == 0 {
		return nil
	}
	return m.asked[len(m.asked)-1]
}

var managedPaths = []string{"/projects", "/projects/new", "/projects/sockshop", "/projects/sockshop/commits", "/projects/sockshop/onboard", "/projects/sockshop/delete",
	"/projects/sockshop/services/carts", "/projects/sockshop/services/carts/delete", "/system"}
