package controller

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/fairwaycd/fairway"
	"github.com/fairwaycd/fairway/sequence"
)

func short(commit string) string { return commit[:min(len(commit), 8)] }

// configure resolves the artifact and commits it to its colour.
func (w work) configure(ctx context.Context) (sequence.Result, error) {
	a := w.e.Artifact
	if a.Digest == "" {
		resolved, err := w.c.Images.Resolve(ctx, w.service.project, a)
		if err != nil {
			return sequence.Result{}, fmt.Errorf("resolve %s: %w", a, err)
		}
		a = resolved
	}
	ch := w.change()
	ch.Reason = fmt.Sprintf("Use %s for %s", a.Tag, w.place.Workload())
	w.c.Failpoint("git.before-commit")
	commit, err := w.c.Configuration.SetImage(ctx, ch, a)
	if err != nil {
		return sequence.Result{}, fmt.Errorf("commit %s to branch %s: %w", a.Tag, w.e.Stage, err)
	}
	w.c.Failpoint("git.after-commit")
	return sequence.Result{OK: true, Commit: commit, Digest: a.Digest,
		Reason: fmt.Sprintf("%s is configured for %s in stage %s (commit %s)", a.Tag, w.place.Workload(), w.e.Stage, short(commit))}, nil
}

// deploy starts the version beside what runs and waits until it is ready. In
// a direct stage it then takes the place of the old one.
func (w work) deploy(ctx context.Context) (sequence.Result, error) {
	if err := w.placeIsIdle(ctx); err != nil {
		return sequence.Result{}, err
	}
	i, err := w.start(ctx, w.change(), w.e.Instance, w.e.Artifact, w.e.Commit)
	if err != nil {
		return sequence.Result{}, err
	}
	cut, err := w.c.places.occupy(ctx, i, w.e.Plan.DeploymentStrategy == fairway.Direct)
	if err != nil {
		return sequence.Result{}, err
	}
	r := sequence.Result{OK: true, Cut: cut, Reason: fmt.Sprintf("%s is ready as %s in stage %s", w.e.Artifact.Tag, w.place.Workload(), w.e.Stage)}
	if len(i.NotRun) > 0 {
		if r.Detail, err = json.Marshal(map[string][]string{"notRun": i.NotRun}); err != nil {
			return sequence.Result{}, fmt.Errorf("encode what is not run: %w", err)
		}
	}
	return r, nil
}

// placeIsIdle refuses to put an unproved version where the traffic goes,
// whatever the state says: the gateway knows better.
func (w work) placeIsIdle(ctx context.Context) error {
	if w.e.Plan.DeploymentStrategy != fairway.BlueGreen {
		return nil
	}
	r, ok, err := w.c.Traffic.Route(ctx, w.place.Namespace, w.place.Service)
	if err != nil {
		return fmt.Errorf("ask for the traffic's split: %w", err)
	}
	if ok && r.Weights[w.e.Colour] > 0 {
		return fairway.Errorf(fairway.KindRefused, "%s has %d %% of the traffic of %s in stage %s, and %s is not proved; give the traffic to the other colour first: fairway route set %s --project %s --stage %s --reason WHY %s=100,%s=0",
			w.e.Colour, r.Weights[w.e.Colour], w.service.name, w.e.Stage, w.e.Artifact.Tag, w.service.name, w.service.project, w.e.Stage, w.e.Colour.Other(), w.e.Colour)
	}
	return nil
}

// start applies the artifact as the given instance and waits for it.
func (w work) start(ctx context.Context, ch Change, instance string, a fairway.Artifact, commit string) (fairway.Instance, error) {
	objects, err := w.c.Configuration.Render(ctx, ch, commit, a)
	if err != nil {
		return fairway.Instance{}, fmt.Errorf("render %s at commit %s: %w", w.place.Workload(), short(commit), err)
	}
	w.c.Failpoint("platform.before-apply")
	err = w.c.Platform.Apply(ctx, fairway.Workload{
		Project: w.service.project, Stage: w.e.Stage, Place: w.place, Delivery: w.e.Delivery, Artifact: a,
		Commit: commit, Instance: instance, Manifests: objects.Manifests, Shared: objects.Shared,
	})
	if err != nil {
		return fairway.Instance{}, fmt.Errorf("start %s as %s: %w", a.Tag, w.place, err)
	}
	w.c.Failpoint("platform.after-apply")
	return w.c.Platform.AwaitReady(ctx, instance) // its error names version and place
}

// test runs the stage's tests against the version alone, under metrics labels
// that no other run has, and closes its window with a scrape.
func (w work) test(ctx context.Context) (sequence.Result, error) {
	s := w.subject(w.e.Attempt)
	files, err := w.c.Configuration.Tests(ctx, w.change(), w.e.Commit)
	if err != nil {
		return sequence.Result{}, fmt.Errorf("read the tests: %w", err)
	}
	i, err := w.c.Platform.AwaitReady(ctx, w.e.Instance)
	if err != nil {
		return sequence.Result{}, fmt.Errorf("%s is no longer ready: %w", w.e.Artifact.Tag, err)
	}
	w.c.Failpoint("test.before-start")
	scraped := w.c.places.observe(ctx, i, s.RunID())
	report, err := w.c.Tester.Test(ctx, TestRequest{
		Subject: s, Strategy: w.e.Plan.TestStrategy, HealthPath: i.HealthPath, Files: files,
		Progress: func(text string) { w.c.View.progress(w.e.Delivery, text) },
	})
	if err != nil {
		return sequence.Result{}, fmt.Errorf("run the tests: %w", err)
	}
	if scraped == nil && report.Passed {
		report.Window.End = w.settle(ctx, report)
	} else if scraped != nil {
		report.Notes = append(report.Notes, "no metrics were read during the test: "+scraped.Error())
	}
	return w.reported(ctx, report)
}

// settle waits for the scrape that has seen everything of the test.
func (w work) settle(ctx context.Context, report fairway.TestReport) time.Time {
	ctx, cancel := context.WithTimeout(ctx, w.c.Settle)
	defer cancel()
	at, err := w.c.Metrics.Settle(ctx, w.place, report.Window.End)
	if err != nil {
		w.c.Logger.Warn("no scrape came after the test's end; the gate may miss its last samples", "place", w.place.String(), "error", err)
		return report.Window.End
	}
	return at
}

func (w work) reported(ctx context.Context, report fairway.TestReport) (sequence.Result, error) {
	body, err := json.Marshal(report)
	if err != nil {
		return sequence.Result{}, fmt.Errorf("encode the test report: %w", err)
	}
	name := fmt.Sprintf("test.%s.%s.%d", w.e.Delivery, w.e.Stage, w.e.Attempt)
	w.c.Failpoint("blob.before-put")
	if err := w.c.Blobs.Put(ctx, name, body); err != nil {
		return sequence.Result{}, err
	}
	w.c.Failpoint("test.after-report")
	checks := slices.Clone(report.Checks)
	for i := range checks {
		checks[i].Log = "" // stays in the report, for records are small
	}
	detail, err := json.Marshal(map[string]any{"report": name, "checks": checks, "notes": report.Notes})
	if err != nil {
		return sequence.Result{}, fmt.Errorf("encode the test report: %w", err)
	}
	win := report.Window
	return sequence.Result{OK: report.Passed, Refused: !report.Passed, Reason: report.Reason, Window: &win, Detail: detail}, nil
}

// evaluate asks the gate about exactly this version and the test's window.
func (w work) evaluate(ctx context.Context) (sequence.Result, error) {
	files, err := w.c.Configuration.Objectives(ctx, w.change(), w.e.Commit)
	if err != nil {
		return sequence.Result{}, fmt.Errorf("read the objectives: %w", err)
	}
	if w.e.Window == nil {
		return sequence.Result{}, errors.New("there is no test window to judge")
	}
	w.c.Failpoint("evaluation.before")
	ev, err := w.c.Gate.Judge(ctx, GateRequest{
		Subject: w.subject(w.e.TestRun), Window: *w.e.Window, Commit: w.e.Commit, Stage: w.e.Plan, Objectives: files,
	})
	if err != nil {
		return sequence.Result{}, fmt.Errorf("ask the gate: %w", err)
	}
	w.c.Failpoint("blob.before-put")
	if err := w.c.Evaluations.Put(ctx, ev); err != nil {
		return sequence.Result{}, err
	}
	w.c.Failpoint("evaluation.after")
	score := ev.TotalScore
	return sequence.Result{OK: true, Verdict: ev.Verdict, Score: &score, Evaluation: ev.ID, Reason: ev.Reason, Detail: summary(ev)}, nil
}

// summary is what an event tells of an evaluation; the whole lies in a blob.
func summary(ev fairway.Evaluation) []byte {
	type indicator struct {
		ID          string  `json:"id"`
		Score       float64 `json:"score"`
		Explanation string  `json:"explanation"`
		Violations  int     `json:"violationCount"`
	}
	out := struct {
		Result     fairway.Verdict    `json:"result"`
		TotalScore float64            `json:"totalScore"`
		Objectives fairway.Objectives `json:"objectives"`
		Indicators []indicator        `json:"indicatorResults"`
	}{Result: ev.Verdict, TotalScore: ev.TotalScore, Objectives: ev.Objectives}
	for _, r := range ev.IndicatorResults[:min(len(ev.IndicatorResults), 50)] {
		out.Indicators = append(out.Indicators, indicator{r.ID, r.Score, r.Explanation, len(r.Violations)})
	}
	b, err := json.Marshal(out)
	if err != nil {
		return nil
	}
	return b
}

// release commits and applies the weights, and asks whether they hold.
func (w work) release(ctx context.Context) (sequence.Result, error) {
	i, err := w.c.Platform.AwaitReady(ctx, w.e.Instance)
	if err != nil {
		return sequence.Result{}, fmt.Errorf("%s is no longer ready and gets no traffic: %w", w.e.Artifact.Tag, err)
	}
	// After a restart of Fairway nothing may stand behind the place yet.
	if err := w.c.places.attach(ctx, i); err != nil {
		return sequence.Result{}, err
	}
	commit, err := w.route(ctx, w.e.Weights, fmt.Sprintf("Send traffic of %s to %s", w.service.name, w.place.Workload()))
	if err != nil {
		return sequence.Result{}, err
	}
	return sequence.Result{OK: true, Commit: commit, Weights: w.e.Weights,
		Reason: fmt.Sprintf("traffic of %s in stage %s goes to %s (%s): weights blue/green %s", w.service.name, w.e.Stage, w.place.Workload(), w.e.Artifact.Tag, w.e.Weights)}, nil
}

// route commits and applies a split; nil takes the service's route away.
func (w work) route(ctx context.Context, weights fairway.Weights, message string) (string, error) {
	ch := w.change()
	ch.Reason = message
	w.c.Failpoint("git.before-commit")
	commit, err := w.c.Configuration.SetWeights(ctx, ch, weights)
	if err != nil {
		return "", fmt.Errorf("commit weights %s to branch %s: %w", weights, w.e.Stage, err)
	}
	w.c.Failpoint("git.after-commit")
	w.c.Failpoint("route.before-change")
	r := fairway.Route{Namespace: w.place.Namespace, Service: w.place.Service, Weights: weights}
	if err := w.c.Traffic.SetWeights(ctx, r); err != nil {
		// What is not ready now may be in a moment: the step's deadline decides.
		return "", fairway.Retryable(fmt.Errorf("set weights %s: %w", weights, err))
	}
	w.c.Failpoint("route.after-change")
	got, ok, err := w.c.Traffic.Route(ctx, r.Namespace, r.Service)
	if err != nil {
		return "", fmt.Errorf("verify weights %s: %w", weights, err)
	}
	if ok != (weights != nil) || weights != nil && got.Weights.String() != weights.String() {
		return "", fairway.Errorf(fairway.KindUnavailable, "weights are %s after they were set to %s", got.Weights, weights)
	}
	return commit, nil
}

// rollback puts back what the delivery has moved: the weights, or the
// previous version of a direct stage.
func (w work) rollback(ctx context.Context) (sequence.Result, error) {
	if err := w.putBack(ctx); err != nil {
		return sequence.Result{}, err
	}
	if w.e.Still {
		return sequence.Result{OK: true, Reason: fmt.Sprintf("branch %s says again what runs of %s; its traffic stayed where it was: weights blue/green %s", w.e.Stage, w.service.name, w.e.Weights)}, nil
	}
	if w.e.Restore == nil {
		if _, err := w.route(ctx, w.e.Weights, fmt.Sprintf("Take traffic of %s back from %s", w.service.name, w.place.Workload())); err != nil {
			return sequence.Result{}, err
		}
		return sequence.Result{OK: true, Reason: fmt.Sprintf("traffic of %s in stage %s is back where it was: weights blue/green %s", w.service.name, w.e.Stage, w.e.Weights)}, nil
	}
	return w.restore(ctx, *w.e.Restore)
}

// putBack takes a configuration that was turned away out of the branch.
func (w work) putBack(ctx context.Context) error {
	if !w.e.PutBack {
		return nil
	}
	ch := w.change()
	if w.e.Restore != nil {
		ch.Live = w.e.Restore.Commit
	}
	ch.Key += "/files" // the step commits weights or an image, too
	ch.Reason = fmt.Sprintf("Put the configuration of %s back to what runs", w.service.name)
	w.c.Failpoint("git.before-commit")
	if err := w.c.Configuration.PutBack(ctx, ch); err != nil {
		return fmt.Errorf("put branch %s back: %w", w.e.Stage, err)
	}
	w.c.Failpoint("git.after-commit")
	return nil
}

func (w work) restore(ctx context.Context, o fairway.Occupant) (sequence.Result, error) {
	ch := w.change()
	ch.Reason = fmt.Sprintf("Go back to %s for %s", o.Artifact.Tag, w.place.Workload())
	w.c.Failpoint("git.before-commit")
	commit, err := w.c.Configuration.SetImage(ctx, ch, o.Artifact)
	if err != nil {
		return sequence.Result{}, fmt.Errorf("commit %s to branch %s: %w", o.Artifact.Tag, w.e.Stage, err)
	}
	w.c.Failpoint("git.after-commit")
	instance, err := w.stillRuns(ctx, o.Instance)
	if err != nil {
		return sequence.Result{}, err
	}
	if instance == "" {
		instance = sequence.InstanceID(w.e.Delivery, w.e.Stage, w.e.Attempt) + ".back"
	}
	ch.Delivery, ch.Again = o.Delivery, true
	i, err := w.start(ctx, ch, instance, o.Artifact, commit)
	if err != nil {
		return sequence.Result{}, err
	}
	cut, err := w.c.places.occupy(ctx, i, true)
	if err != nil {
		return sequence.Result{}, err
	}
	return sequence.Result{OK: true, Commit: commit, Instance: instance, Cut: cut,
		Reason: fmt.Sprintf("%s is back in stage %s", o.Artifact.Tag, w.e.Stage)}, nil
}

func (w work) stillRuns(ctx context.Context, id string) (string, error) {
	all, err := w.c.Platform.Instances(ctx)
	if err != nil {
		return "", fmt.Errorf("list what runs: %w", err)
	}
	for _, i := range all {
		if i.ID == id && i.Ready {
			return id, nil
		}
	}
	return "", nil
}

// retire stops a version that has no traffic, after its last request.
func (w work) retire(ctx context.Context) (sequence.Result, error) {
	cut, err := w.c.places.clear(ctx, w.place, w.e.Instance)
	if err != nil {
		return sequence.Result{}, err
	}
	return sequence.Result{OK: true, Cut: cut, Reason: fmt.Sprintf("%s was stopped as %s in stage %s; its logs are kept", w.e.Artifact.Tag, w.place.Workload(), w.e.Stage)}, nil
}
