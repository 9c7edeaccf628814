package web

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"sync"
	"time"

	"github.com/fairwaycd/fairway"
	"github.com/fairwaycd/fairway/api"
)

var noon = time.Date(2026, 5, 4, 12, 0, 0, 0, time.UTC)

func at(seconds int) time.Time { return noon.Add(time.Duration(seconds) * time.Second) }

func ptr[T any](v T) *T { return &v }

// world is a backend with fixed data: three versions of carts, the second
// turned away by the gate, the third waiting for approval in production.
type world struct {
	api.Backend // what the console does not ask is not there

	mu          sync.Mutex
	err         error // of every question
	status      api.Status
	projects    []api.Project
	services    map[fairway.ProjectName][]fairway.ServiceView
	all         []fairway.Delivery
	board       api.Board // what is added to
	boards      []api.BoardFilter
	asked       []api.DeliveryFilter
	events      []fairway.Event
	commands    []api.Command
	invalidated []api.InvalidateEvaluation
	retries     []api.RetryRequest
	rollbacks   []api.Rollback
	splits      []api.SetRoute
	changes     chan api.Change
}

func occupant(tag, delivery, state string) fairway.Occupant {
	return fairway.Occupant{Artifact: fairway.Artifact{Image: "127.0.0.1:8080/sockshop/carts", Tag: tag}, Delivery: fairway.DeliveryID(delivery), State: state, Since: at(-60)}
}

const slowWhy = `Response time was 1.004 s where at most 1 s passes; <b>score 0 of 100</b>`

func newWorld() *world {
	yard := fairway.Shipyard{Stages: []fairway.Stage{
		{Name: "dev", TestStrategy: fairway.FunctionalTests},
		{Name: "staging", DeploymentStrategy: fairway.BlueGreen, TestStrategy: fairway.PerformanceTests},
		{Name: "production", DeploymentStrategy: fairway.BlueGreen, Approval: fairway.ApprovalManual},
	}}
	w := &world{changes: make(chan api.Change, 8)}
	w.status = api.Status{Version: "0.1.0", Ready: true, Durability: "power", Gateway: "127.0.0.1:8000"}
	w.projects = []api.Project{{Name: "sockshop", Shipyard: yard, Services: []fairway.ServiceName{"carts", "carts-db"}, Git: "http://127.0.0.1:8080/git/sockshop.git"}}
	w.services = map[fairway.ProjectName][]fairway.ServiceView{"sockshop": {
		{Project: "sockshop", Service: "carts", Stages: []fairway.StageView{
			{Stage: "production", Namespace: "production", Strategy: fairway.BlueGreen, Weights: fairway.Full(fairway.Blue), Holder: "third-delivery",
				Occupants: map[fairway.Colour]fairway.Occupant{fairway.Blue: occupant("0.6.0-1", "first-delivery", fairway.OccupantReleased), fairway.Green: occupant("0.6.2-3", "third-delivery", fairway.OccupantRunning)}},
			{Stage: "dev", Namespace: "dev", Strategy: fairway.Direct, Weights: fairway.Full(fairway.Single),
				Occupants: map[fairway.Colour]fairway.Occupant{fairway.Single: occupant("0.6.2-3", "third-delivery", fairway.OccupantReleased)}},
			{Stage: "staging", Namespace: "staging", Strategy: fairway.BlueGreen, Weights: fairway.Weights{fairway.Blue: 100, fairway.Green: 0}, Queue: []fairway.DeliveryID{"x"},
				Occupants: map[fairway.Colour]fairway.Occupant{fairway.Blue: occupant("0.6.2-3", "third-delivery", fairway.OccupantReleased), fairway.Green: occupant("0.6.1-2", "second-delivery", fairway.OccupantRejected)}},
		}},
		{Project: "sockshop", Service: "carts-db", Stages: []fairway.StageView{{Stage: "dev", Namespace: "dev"}}},
	}}
	w.all = deliveries()
	w.events = []fairway.Event{
		{ID: "1", Source: "fairway", Type: fairway.TypeNewArtifact, Time: at(-200), Reason: "pushed to the registry", Data: json.RawMessage(`{"project":"sockshop"}`)},
		{ID: "2", Source: "fairway", Type: fairway.TypeTestsFinished, Time: at(-120), Reason: "all checks passed", Data: json.RawMessage(`{"stage":"staging","detail":{"report":"report-1"}}`)},
		{ID: "3", Source: "fairway", Type: fairway.TypeDeliveryRejected, Time: at(-100), Reason: slowWhy},
	}
	return w
}

func deliveries() []fairway.Delivery {
	artifact := func(tag string) fairway.Artifact {
		return fairway.Artifact{Image: "127.0.0.1:8080/sockshop/carts", Tag: tag, Digest: "sha256:4f53cda18c2baa0c0354bb5f9a3ecbe5ed12ab4d8e11ba873c2f11161202b945"}
	}
	second := fairway.Delivery{ID: "second-delivery", Project: "sockshop", Service: "carts", Artifact: artifact("0.6.1-2"), Status: fairway.StatusRejected, Stage: "staging", Step: fairway.StepDone,
		Reason: slowWhy, StartedAt: at(-200), UpdatedAt: at(-90), EndedAt: ptr(at(-90)), Stages: []fairway.StageRecord{
			{Stage: "dev", EnteredAt: at(-200), EndedAt: ptr(at(-180)), Steps: []fairway.StepRecord{
				{Step: fairway.StepConfigure, Attempt: 1, Outcome: "ok", Reason: "committed 0.6.1-2 to dev", StartedAt: at(-200), EndedAt: ptr(noon.Add(-199960 * time.Millisecond))},
				{Step: fairway.StepDeploy, Attempt: 1, Outcome: "ok", Reason: "ready after 1.3 s", StartedAt: at(-199), EndedAt: ptr(at(-197))},
				{Step: fairway.StepTest, Attempt: 2, Outcome: "ok", Reason: "3 checks passed", StartedAt: at(-197), EndedAt: ptr(at(-181))},
				{Step: fairway.StepRelease, Attempt: 1, Outcome: "ok", Reason: "the only version in dev", StartedAt: at(-181), EndedAt: ptr(at(-180))},
			}},
			{Stage: "staging", Colour: fairway.Green, Commit: "3f2a9c1d", Evaluation: "evaluation-1", Verdict: fairway.VerdictFail, Score: ptr(0.0), EnteredAt: at(-180), EndedAt: ptr(at(-90)), Steps: []fairway.StepRecord{
				{Step: fairway.StepTest, Attempt: 1, Outcome: "ok", Reason: "500 requests by 10 users, none failed", StartedAt: at(-180), EndedAt: ptr(at(-110))},
				{Step: fairway.StepEvaluate, Attempt: 1, Outcome: "failed", Reason: slowWhy, StartedAt: at(-110), EndedAt: ptr(at(-100))},
				{Step: fairway.StepRollback, Attempt: 1, Outcome: "ok", Reason: "traffic never moved; green is stopped", StartedAt: at(-100), EndedAt: ptr(at(-90))},
			}},
		}}
	third := fairway.Delivery{ID: "third-delivery", Project: "sockshop", Service: "carts", Artifact: artifact("0.6.2-3"), Status: fairway.StatusWaiting, Stage: "staging", Step: fairway.StepApprove, Colour: fairway.Green,
		Reason: "staging asks for a person before traffic moves", StartedAt: at(-80), UpdatedAt: at(-5), Stages: []fairway.StageRecord{
			{Stage: "dev", EnteredAt: at(-80), EndedAt: ptr(at(-60)), Steps: []fairway.StepRecord{{Step: fairway.StepDeploy, Attempt: 1, Outcome: "ok", Reason: "ready after 900 ms", StartedAt: at(-80), EndedAt: ptr(at(-60))}}},
			{Stage: "staging", Colour: fairway.Green, EnteredAt: at(-60), Steps: []fairway.StepRecord{{Step: fairway.StepApprove, Attempt: 1, Reason: "staging asks for a person", StartedAt: at(-5)}}},
		}}
	running := fairway.Delivery{ID: "running-delivery", Project: "sockshop", Service: "carts-db", Artifact: artifact("4.2.0-rc.1"), Status: fairway.StatusRunning, Stage: "dev", Step: fairway.StepDeploy,
		Reason: "starting carts-db in dev", StartedAt: at(-3), UpdatedAt: at(-1)}
	first := fairway.Delivery{ID: "first-delivery", Project: "sockshop", Service: "carts", Artifact: artifact("0.6.0-1"), Status: fairway.StatusFinished, Warned: true, Stage: "production", Step: fairway.StepDone,
		Reason: "released in dev, staging and production", StartedAt: at(-400), UpdatedAt: at(-300), EndedAt: ptr(at(-300))}
	return []fairway.Delivery{running, third, second, first}
}

func (w *world) Status(context.Context) (api.Status, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.status, w.err
}

func (w *world) Projects(context.Context) ([]api.Project, error) { return w.projects, w.err }

func (w *world) Project(_ context.Context, name fairway.ProjectName) (api.Project, error) {
	for _, p := range w.projects {
		if p.Name == name {
			return p, w.err
		}
	}
	return api.Project{}, fairway.Errorf(fairway.KindNotFound, "there is no project %s; there is sockshop", name)
}

func (w *world) Services(_ context.Context, name fairway.ProjectName) ([]fairway.ServiceView, error) {
	return w.services[name], w.err
}

// Board shows every service, whatever is asked for but the project.
func (w *world) Board(_ context.Context, f api.BoardFilter) (api.Board, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.boards = append(w.boards, f)
	if w.err != nil {
		return api.Board{}, w.err
	}
	b := w.board
	for _, p := range w.projects {
		b.Names = append(b.Names, p.Name)
		if f.Project != "" && p.Name != f.Project {
			continue
		}
		bp := api.BoardProject{Name: p.Name, Services: len(p.Services), Git: p.Git, Error: p.Error}
		for _, st := range p.Shipyard.Stages {
			bp.Stages = append(bp.Stages, api.BoardStage{Name: st.Name, Moving: 1})
		}
		b.Projects = append(b.Projects, bp)
		for _, v := range w.services[p.Name] {
			row := api.BoardRow{ServiceView: v, Ready: map[string]bool{"ready": true, "ill": false}}
			for _, d := range w.all {
				if d.Project == v.Project && d.Service == v.Service && !d.Status.Ended() {
					row.Open = append(row.Open, d)
				}
			}
			b.Items = append(b.Items, row)
		}
	}
	if f.Project != "" && len(b.Projects) == 0 {
		return b, fairway.Errorf(fairway.KindNotFound, "there is no project %s; there is sockshop", f.Project)
	}
	b.Total, b.From = len(b.Items), 1
	b.Counts.All = len(b.Items)
	for _, d := range w.all {
		if needsPerson(d) {
			b.Attention = append(b.Attention, api.Attention{Why: "approval", Delivery: d})
		}
	}
	return b, nil
}

func (w *world) ServicePage(_ context.Context, f api.ServiceFilter) (api.ServicePage, error) {
	return api.ServicePage{Items: w.services[f.Project]}, w.err
}

func (w *world) CommitDiff(_ context.Context, _ fairway.ProjectName, commit string) (api.CommitDiff, error) {
	if commit != "3f2a9c1d" {
		return api.CommitDiff{}, fairway.Errorf(fairway.KindNotFound, "project sockshop has no commit %s", commit)
	}
	return api.CommitDiff{Hash: "3f2a9c1d0123456789abcdef0123456789abcdef", Parent: "1111111111111111111111111111111111111111", Author: "Fairway", Email: "fairway@localhost", When: at(-180),
		Message: "Configure carts 0.6.1-2 in staging\n\nFairway-Delivery: second-delivery\n", Files: []api.FileDiff{
			{Path: "helm-chart/values.yaml", Change: "changed", Added: 1, Removed: 1, Diff: "@@ -1,3 +1,3 @@\n cartsGreen:\n   image:\n-    tag: 0.5.9-9\n+    tag: 0.6.1-2 # <b>\n"},
			{Path: "carts/logo.png", Change: "added", Binary: true},
		}, MoreFiles: 2}, nil
}

func (w *world) Logs(_ context.Context, id string, out io.Writer, follow bool) error {
	fmt.Fprintf(out, "%s says hello\n", id)
	if follow {
		fmt.Fprintln(out, "and goes on")
	}
	return nil
}

func (w *world) Deliveries(_ context.Context, f api.DeliveryFilter) ([]fairway.Delivery, error) {
	w.asked = append(w.asked, f)
	var out []fairway.Delivery
	for _, d := range w.all {
		if len(out) == f.Limit {
			break
		}
		if !f.Open || !d.Status.Ended() {
			out = append(out, d)
		}
	}
	return out, w.err
}

func (w *world) Delivery(_ context.Context, id string) (fairway.Delivery, error) {
	for _, d := range w.all {
		if string(d.ID) == id {
			return d, w.err
		}
	}
	return fairway.Delivery{}, fairway.Errorf(fairway.KindNotFound, "there is no delivery %s", id)
}

func (w *world) DeliveryEvents(context.Context, string) ([]fairway.Event, error) {
	return w.events, w.err
}

func (w *world) TestReport(_ context.Context, id string) (fairway.TestReport, error) {
	if id != "report-1" {
		return fairway.TestReport{}, fairway.Errorf(fairway.KindNotFound, "there is no report %s", id)
	}
	return fairway.TestReport{Strategy: fairway.PerformanceTests, Passed: true, Reason: "every check passed", Notes: []string{"There are no functional tests."}, Checks: []fairway.Check{
		{Name: "health", Passed: true, Reason: "/health answered 200", Requests: 1},
		{Name: "performance", Passed: true, Reason: "errors 0 % of at most 1 %", Users: 10, Requests: 500, Latency: &fairway.LatencySummary{Mean: 1.00412345, P95: 1.01, Max: 1.2}},
	}}, nil
}

// Evaluations lists three, the one in the middle being evaluation-1.
func (w *world) Evaluations(ctx context.Context, f fairway.EvaluationFilter) (fairway.EvaluationPage, error) {
	var page fairway.EvaluationPage
	if f != (fairway.EvaluationFilter{Project: "sockshop", Stage: "staging", Service: "carts", Limit: runsListed}) {
		return page, fairway.Errorf(fairway.KindInternal, "not expected: %+v", f)
	}
	for _, id := range []string{"evaluation-2", "evaluation-1", "evaluation-0"} {
		e, err := w.Evaluation(ctx, id)
		if err != nil {
			return page, err
		}
		page.Items = append(page.Items, summary(e))
	}
	return page, nil
}

func (w *world) InvalidateEvaluation(ctx context.Context, r api.InvalidateEvaluation) (fairway.Evaluation, error) {
	if r.Evaluation == "evaluation-0" {
		return fairway.Evaluation{}, fairway.Errorf(fairway.KindUnavailable, "the disk is full")
	}
	w.invalidated = append(w.invalidated, r)
	return w.Evaluation(ctx, r.Evaluation)
}

func (w *world) Evaluation(_ context.Context, id string) (fairway.Evaluation, error) {
	e := evaluation(id)
	switch id {
	case "evaluation-1":
	case "evaluation-0":
		e.Verdict, e.TotalScore, e.Subject.Version, e.EvaluatedAt = fairway.VerdictPass, 100, "0.6.0-1", at(-4000)
		e.Invalidated = &fairway.Invalidation{Actor: "ann", Reason: "the load was wrong", At: at(-3000)}
		e.IndicatorResults = e.IndicatorResults[:1]
		e.IndicatorResults[0].Violations, e.IndicatorResults[0].Score = nil, 100
		e.IndicatorResults[0].Samples = []fairway.Sample{fairway.NewSample(`{instance="carts-blue"}`, at(-4010), 0.0152)}
	case "evaluation-2":
		e.Verdict, e.TotalScore, e.Subject.Version, e.EvaluatedAt = fairway.VerdictWarning, 80, "0.6.2-3", at(-20)
		e.IndicatorResults[0].Score = 50
	default:
		return fairway.Evaluation{}, fairway.Errorf(fairway.KindNotFound, "there is no evaluation %s", id)
	}
	return e, nil
}

func evaluation(id string) fairway.Evaluation {
	return fairway.Evaluation{ID: id, Subject: fairway.Subject{Project: "sockshop", Stage: "staging", Place: fairway.Place{Namespace: "staging", Service: "carts", Colour: fairway.Green}, Delivery: "second-delivery", Attempt: 1, Version: "0.6.1-2"},
		Window: fairway.Window{Start: at(-180), End: at(-110)}, Commit: "3f2a9c1d", Verdict: fairway.VerdictFail, Objectives: fairway.Objectives{Pass: 90, Warning: 75}, Tied: true, Reason: slowWhy, EvaluatedAt: at(-100),
		IndicatorResults: []fairway.IndicatorResult{
			{ID: "ResponseTime_Backend", MaxScore: 100, Source: "Prometheus", Written: "sum(rate(x_sum[3m]))/sum(rate(x_count[3m]))", Query: `sum(rate(x_sum{version="0.6.1-2"}[3m]))/sum(rate(x_count{version="0.6.1-2"}[3m]))`,
				Limits: map[string]float64{"upperSevere": 1}, Samples: []fairway.Sample{{Key: `{instance="carts-green"}`, Time: at(-110), Text: "1.0041"}}, Explanation: slowWhy, Tied: true,
				Violations: []fairway.Violation{{Value: json.RawMessage("1.0041"), Breach: "upper_severe", Threshold: ptr(1.0)}}},
			{ID: "Errors", Score: 0, MaxScore: 0, Explanation: "the query failed", Error: "Prometheus did not answer within 5 s; asked three times"},
		}}
}

func (w *world) Retry(_ context.Context, r api.RetryRequest) (api.Accepted, error) {
	if r.Delivery != "second-delivery" {
		return api.Accepted{}, fairway.Errorf(fairway.KindRefused, "the delivery is under way; abort it first")
	}
	w.retries = append(w.retries, r)
	return api.Accepted{ID: "e1", Delivery: "third-delivery"}, nil
}

func (w *world) RollbackService(_ context.Context, r api.Rollback) (api.Accepted, error) {
	if r.To == "9" {
		return api.Accepted{}, fairway.Errorf(fairway.KindNotFound, "no version 9 of carts was released in stage %s; these were: 0.6.0-1", r.Stage)
	}
	w.rollbacks = append(w.rollbacks, r)
	return api.Accepted{Delivery: "first-delivery"}, nil
}

func (w *world) Delete(context.Context, api.Delete) (api.Deletion, error) {
	return api.Deletion{}, fairway.Errorf(fairway.KindRefused, "the console deletes nothing")
}

func (w *world) ConfigureUpstream(context.Context, api.ConfigureUpstream) (fairway.UpstreamState, error) {
	return fairway.UpstreamState{}, fairway.Errorf(fairway.KindRefused, "there is no git here")
}

func (w *world) RemoveUpstream(context.Context, fairway.ProjectName) (api.Project, error) {
	return api.Project{}, fairway.Errorf(fairway.KindRefused, "there is no git here")
}

func (w *world) SyncUpstream(context.Context, api.SyncUpstream) (fairway.UpstreamState, error) {
	return fairway.UpstreamState{}, fairway.Errorf(fairway.KindRefused, "there is no git here")
}

func (w *world) SetRoute(_ context.Context, r api.SetRoute) (api.RouteState, error) {
	if r.Weights[fairway.Green] > 0 && !r.Force {
		return api.RouteState{}, fairway.Errorf(fairway.KindRefused, "0.6.1-2 in green was turned away; use force")
	}
	w.splits = append(w.splits, r)
	return api.RouteState{}, nil
}

func (w *world) Command(_ context.Context, c api.Command) (fairway.Delivery, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if c.Delivery == "second-delivery" {
		return fairway.Delivery{}, fairway.Errorf(fairway.KindRefused, "the delivery has ended already")
	}
	w.commands = append(w.commands, c)
	return fairway.Delivery{ID: fairway.DeliveryID(c.Delivery)}, nil
}

// said returns what was ordered so far.
func (w *world) said() []api.Command {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.commands)
}

func (w *world) Watch(ctx context.Context, f func(api.Change) error) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case c, ok := <-w.changes:
			if !ok {
				return fairway.Errorf(fairway.KindUnavailable, "the log is closed")
			}
			if err := f(c); err != nil {
				return err
			}
		}
	}
}
