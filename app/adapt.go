package app

import (
	"context"
	"fmt"
	"time"

	"github.com/fairwaycd/fairway"
	"github.com/fairwaycd/fairway/controller"
	"github.com/fairwaycd/fairway/gate"
	"github.com/fairwaycd/fairway/project"
	"github.com/fairwaycd/fairway/testrun"
)

// tester lets the controller ask the test runner, through the gateway and the
// colour's own host.
type tester struct{ runner *testrun.Runner }

func (t tester) Test(ctx context.Context, r controller.TestRequest) (fairway.TestReport, error) {
	return t.runner.Run(ctx, testrun.Request{
		Strategy: r.Strategy, Host: r.Subject.Place.Host(domain), HealthPath: r.HealthPath,
		Files: r.Files, Subject: r.Subject, RunID: r.Subject.RunID(),
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
	gate   *gate.Gate
	keeper *project.Keeper
	off    bool
}

func (j judgeWith) Judge(ctx context.Context, r controller.GateRequest) (fairway.Evaluation, error) {
	pods, err := j.keeper.MetricsSelect(ctx, r.Subject.Project, r.Subject.Place.Service, r.Commit)
	if err != nil {
		return fairway.Evaluation{}, err
	}
	ev, err := j.gate.Evaluate(ctx, gate.Request{
		Subject: r.Subject, Window: r.Window, Commit: r.Commit, Files: r.Objectives, Stage: r.Stage, Select: pods,
	})
	if err == nil && j.off {
		ev.Verdict, ev.Reason = fairway.VerdictPass, "the gate is switched off"
	}
	return ev, err
}
