package testrun

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/fairwaycd/fairway"
)

// The names of the checks.
const (
	checkHealth      = "health"
	checkFunctional  = "functional"
	checkPerformance = "performance"
)

// run is one run of a plan.
type run struct {
	plan     plan
	runner   *Runner
	session  *session
	reporter *reporter
	request  Request
}

// all runs the checks in order until one fails.
func (n *run) all(ctx context.Context) (fairway.TestReport, error) {
	report := fairway.TestReport{Strategy: n.request.Strategy, Notes: n.plan.notes, Passed: true}
	checks := []func(context.Context) (fairway.Check, error){n.health}
	for _, p := range n.plan.programs {
		checks = append(checks, func(ctx context.Context) (fairway.Check, error) {
			if p.load.JMeter != "" {
				return n.jmeter(ctx, p.check, p.load)
			}
			return n.command(ctx, p.check, p.load)
		})
	}
	if n.plan.functional != nil {
		checks = append(checks, n.functional)
	}
	if n.plan.performance != nil {
		checks = append(checks, n.performance)
	}
	var reasons []string
	for _, check := range checks {
		c, err := check(ctx)
		if err != nil {
			return report, err
		}
		if len(report.Checks) == 0 {
			report.Window.Start = c.Window.Start
		}
		report.Window.End = c.Window.End
		report.Checks = append(report.Checks, c)
		reasons = append(reasons, c.Name+": "+c.Reason)
		if !c.Passed {
			report.Passed = false
			reasons = reasons[len(reasons)-1:]
			break
		}
	}
	report.Reason = strings.Join(append(reasons, n.plan.notes...), "; ")
	return report, nil
}

// interrupted is the error of a run whose context ended.
func (n *run) interrupted(ctx context.Context, check string, t *tally) error {
	requests, _ := t.counts()
	return fairway.Errorf(fairway.KindUnavailable, "the %s test of %s was interrupted after %d requests and is to be run again whole: %w",
		check, n.request.Host, requests, context.Cause(ctx))
}

func (n *run) health(ctx context.Context) (fairway.Check, error) {
	t := newTally()
	o := n.session.send(ctx, n.plan.health)
	if ctx.Err() != nil {
		return fairway.Check{}, n.interrupted(ctx, checkHealth, t)
	}
	var dial *dialError
	if errors.As(o.err, &dial) {
		return fairway.Check{}, fairway.Retryable(fairway.Errorf(fairway.KindUnavailable,
			"the gateway at %s, through which %s is to be tested, cannot be reached: %w", n.request.Address, n.request.Host, dial))
	}
	t.add(o)
	c := t.figures().check(checkHealth)
	c.Passed = !o.failed()
	c.Reason = o.reason
	if c.Passed {
		c.Reason = fmt.Sprintf("%s %s answered in %s", n.plan.health.Method, n.plan.health.Path, short(o.took()))
	}
	return c, nil
}

func (n *run) functional(ctx context.Context) (fairway.Check, error) {
	t, start := newTally(), time.Now()
	calls := n.plan.functional.Requests
	var failed []string
	for _, call := range calls {
		o := n.session.send(ctx, call)
		if ctx.Err() != nil {
			return fairway.Check{}, n.interrupted(ctx, checkFunctional, t)
		}
		t.add(o)
		if o.failed() {
			failed = append(failed, call.Name)
		}
		requests, errs := t.counts()
		n.reporter.report(Progress{Check: checkFunctional, Users: 1, Requests: requests, Errors: errs, Planned: len(calls), Elapsed: time.Since(start)})
		if o.kind == failTimeout || o.kind == failConnection {
			break // whoever gives no answer will give none to the rest either
		}
	}
	f := t.figures()
	c := f.check(checkFunctional)
	c.Passed = len(failed) == 0
	if c.Passed {
		c.Reason = fmt.Sprintf("%d requests answered as expected in %s", f.requests, short(f.window.Duration()))
		return c, nil
	}
	c.Reason = f.first
	if len(failed) > 1 {
		c.Reason += fmt.Sprintf("; %d more failed: %s", len(failed)-1, strings.Join(failed[1:], ", "))
	}
	return c, nil
}

func (n *run) performance(ctx context.Context) (fairway.Check, error) {
	spec, start := *n.plan.performance, time.Now()
	n.session.trace = "" // a load would flood it
	l := newLoad(spec, n.session.send)
	stop := n.reporter.every(func() {
		requests, errs := l.tally.counts()
		n.reporter.report(Progress{Check: checkPerformance, Users: int(l.active.Load()), Requests: requests, Errors: errs,
			Planned: spec.planned(), Elapsed: time.Since(start), Total: spec.Duration})
	})
	early := l.run(ctx)
	stop()
	if ctx.Err() != nil {
		return fairway.Check{}, n.interrupted(ctx, checkPerformance, l.tally)
	}
	f := l.tally.figures()
	c := f.check(checkPerformance)
	c.Users = spec.Users
	over := spec.Limits.exceeded(f)
	c.Passed = len(over) == 0 && !early
	c.Reason = f.describe(spec.Users)
	if len(over) > 0 {
		c.Reason = strings.Join(over, "; ") + "; " + c.Reason
	}
	if early {
		c.Reason = fmt.Sprintf("ended early, since %d errors are more than %s of the %d planned requests; %s",
			f.failed, percent(spec.Limits.Errors), spec.planned(), c.Reason)
	}
	return c, nil
}

// check returns what all checks report alike.
func (f figures) check(name string) fairway.Check {
	return fairway.Check{Name: name, Requests: f.requests, Errors: f.failed, Window: f.window, Latency: f.summary()}
}

// describe sums up a performance test.
func (f figures) describe(users int) string {
	text := fmt.Sprintf("%d requests by %d users in %s, %d errors", f.requests, users, short(f.window.Duration()), f.failed)
	if f.measured == 0 {
		return text
	}
	return text + fmt.Sprintf(", mean %s, p95 %s, max %s", short(f.mean), short(f.p95), short(f.max))
}
