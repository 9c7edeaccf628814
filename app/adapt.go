package app

import (
	"context"
	"fmt"
	"time"

	"github.com/fairwaycd/fairway"
	"github.com/fairwaycd/fairway/controller"
	"github.com/fairwaycd/fairway/gate"
	"github.com/fairwaycd/fairway/history"
	"github.com/fairwaycd/fairway/project"
	"github.com/fairwaycd/fairway/testrun"
)

// tester lets the controller ask the test runner, through the gateway and the
// colour's own host.
type tester struct {
	runner *testrun.Runner
	domain string
	trace  func(fairway.Subject) string
}

func (t tester) Test(ctx context.Context, r controller.TestRequest) (fairway.TestReport, error) {
	return t.runner.Run(ctx, testrun.Request{
		Strategy: r.Strategy, Host: r.Subject.Place.Host(t.domain), HealthPath: r.HealthPath,
		Files: r.Files, Subject: r.Subject, RunID: r.Subject.RunID(), Traceparent: t.trace(r.Subject),
		Progress: func(p testrun.Progress) { r.Progress(progressText(p)) },
	})
}

func progressText(p testrun.Progress) string {
	text := fmt.Sprintf("%s test: %d requests, %d errors", p.Check, p.Requests, p.Errors)
	switch {
	case p.Planned > 0:
		text += fmt.Sprintf(", %d planned", p.Planned)
	case p.Total > 0:
		text += fmt.Sprintf(", %s of %s", p.Elapsed.Round(time.Second), p.Total)
	}
	return text
}

// judgeWith lets the controller ask the gate.
type judgeWith struct {
	gate      *gate.Gate
	keeper    *project.Keeper
	history   *history.Store
	connected func(fairway.ProjectName) []string // names of sources
	off       bool
}

func (j judgeWith) Judge(ctx context.Context, r controller.GateRequest) (fairway.Evaluation, error) {
	pods, err := j.keeper.MetricsSelect(ctx, r.Subject.Project, r.Subject.Place.Service, r.Commit)
	if err != nil {
		return fairway.Evaluation{}, err
	}
	q := gate.Request{
		Subject: r.Subject, Window: r.Window, Commit: r.Commit, Files: r.Objectives, Stage: r.Stage, Select: pods,
		Connected: j.connected(r.Subject.Project),
	}
	// What cannot be read needs nothing earlier, and the gate says why.
	if spec, ok, err := j.gate.Read(q); ok && err == nil && spec.Relative() {
		c := spec.Comparison()
		if q.Earlier, err = j.history.Earlier(ctx, q.Subject, gate.EvaluationID(q.Subject), c.Verdicts(), c.Results); err != nil {
			return fairway.Evaluation{}, fmt.Errorf("read the evaluations before: %w", err)
		}
	}
	ev, err := j.gate.Evaluate(ctx, q)
	if err == nil && j.off {
		ev.Verdict, ev.Reason = fairway.VerdictPass, "the gate is switched off"
	}
	return ev, err
}
