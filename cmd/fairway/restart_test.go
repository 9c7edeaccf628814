package main

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/fairwaycd/fairway"
)

const (
	oneStage = `stages:
  - name: staging
    deployment_strategy: blue_green_service
    test_strategy: performance
    gate: required
`
	twoStages = oneStage + `  - name: production
    deployment_strategy: blue_green_service
`
)

// perform is a performance test of the given length.
func perform(length string) string {
	return fmt.Sprintf("users: 4\nduration: %s\nthink: 20ms\nrampUp: 100ms\nrequests: [{name: do some work, path: /work}]\n", length)
}

// shop makes the project shop with the service cart, whose performance test
// takes the given time.
func (s *server) shop(t *testing.T, shipyard, length string) {
	t.Helper()
	must(t, os.WriteFile(filepath.Join(s.home, "shipyard.yaml"), []byte(shipyard), 0o600))
	must(t, os.MkdirAll(filepath.Join(s.home, "tests"), 0o700))
	must(t, os.WriteFile(filepath.Join(s.home, "tests", "performance.yaml"), []byte(perform(length)), 0o600))
	shop, err := filepath.Abs("testdata/shop")
	must(t, err)
	s.run(t, "create", "project", "shop", "shipyard.yaml")
	s.run(t, "onboard", "service", "cart", "--project", "shop", "--values", filepath.Join(shop, "cart.yaml"), "--resources", filepath.Join(shop, "resources"))
	s.run(t, "add", "resource", "cart", "--project", "shop", "--all-stages", "tests")
}

// deliver pushes a version and waits for its end, which must be as wanted.
func (s *server) deliver(t *testing.T, tag string, want fairway.DeliveryStatus, env ...string) fairway.Delivery {
	t.Helper()
	must(t, s.push("cart", tag, env...))
	d, err := s.ended("cart", tag)
	must(t, err)
	if d.Status != want {
		t.Fatalf("%s ended as %s, not %s: %s", tag, d.Status, want, d.Reason)
	}
	return d
}

// types returns the delivery's events, short and in order.
func (s *server) types(t *testing.T, d fairway.Delivery) []string {
	t.Helper()
	c, err := s.client()
	must(t, err)
	events, err := c.DeliveryEvents(t.Context(), string(d.ID))
	must(t, err)
	var out []string
	for _, e := range events {
		out = append(out, strings.TrimPrefix(strings.TrimPrefix(e.Type, "sh.keptn.events."), "dev.fairway."))
	}
	return out
}

func (s *server) evaluation(t *testing.T, d fairway.Delivery, stage fairway.StageName) fairway.Evaluation {
	t.Helper()
	c, err := s.client()
	must(t, err)
	for _, st := range d.Stages {
		if st.Stage == stage && st.Evaluation != "" {
			ev, err := c.Evaluation(t.Context(), st.Evaluation)
			must(t, err)
			return ev
		}
	}
	t.Fatalf("%s was not evaluated in stage %s: %s", d.Artifact.Tag, stage, d.Reason)
	return fairway.Evaluation{}
}

// measured returns the value that the evaluation judged.
func measured(t *testing.T, ev fairway.Evaluation) float64 {
	t.Helper()
	if len(ev.IndicatorResults) != 1 || len(ev.IndicatorResults[0].Samples) != 1 {
		t.Fatalf("the evaluation has not one sample of one indicator: %+v", ev.IndicatorResults)
	}
	var v float64
	if _, err := fmt.Sscan(ev.IndicatorResults[0].Samples[0].Text, &v); err != nil {
		t.Fatal(err)
	}
	return v
}

// A test counts only as a whole. When Fairway is stopped or killed in the
// middle of one, the next start runs it again under a name of its own, and the
// gate sees nothing of the first attempt: that one was slow enough to fail.
func TestInterruptedTestRunsAgainWhole(t *testing.T) {
	t.Parallel()
	for _, how := range []struct {
		name    string
		signal  syscall.Signal
		adopted bool // the version goes on running meanwhile
	}{{"stopped", syscall.SIGINT, false}, {"killed", syscall.SIGKILL, true}} {
		t.Run(how.name, func(t *testing.T) {
			t.Parallel()
			s := start(t)
			s.shop(t, oneStage, "2500ms")
			slow := filepath.Join(s.home, "slow")
			must(t, os.WriteFile(slow, nil, 0o600))
			must(t, s.push("cart", "1", "DELAY=400ms", "WHILE="+slow))
			_, err := s.delivery("has been asked", "cart", "1", func(d fairway.Delivery) bool {
				var requests int
				_, text, found := strings.Cut(d.Reason, "performance test: ")
				n, _ := fmt.Sscan(text, &requests)
				return d.Status.Ended() || found && n == 1 && requests >= 8
			})
			must(t, err)
			before, err := s.children()
			must(t, err)
			must(t, s.end(how.signal))
			must(t, os.Remove(slow))
			must(t, s.begin(nil))
			d, err := s.ended("cart", "1")
			must(t, err)
			if d.Status != fairway.StatusFinished {
				t.Fatalf("it ended as %s: %s", d.Status, d.Reason)
			}
			after, err := s.children()
			must(t, err)
			if maps.Equal(before, after) != how.adopted {
				t.Errorf("the processes were %v and are %v", before, after)
			}
			s.checkAttempts(t, d)
			must(t, s.awaitAnswer("cart.staging.localhost", "1"))
			must(t, s.stop())
		})
	}
}

func (s *server) checkAttempts(t *testing.T, d fairway.Delivery) {
	t.Helper()
	var tests []string
	for _, st := range d.Stages[0].Steps {
		if st.Step == fairway.StepTest {
			tests = append(tests, fmt.Sprint(st.Attempt, st.Outcome))
		}
	}
	if got := strings.Join(tests, " "); got != "1interrupted 2ok" {
		t.Errorf("the tests were %s", got)
	}
	want := []string{"new-artifact", "configuration-changed", "deployment-finished", "step.restarted", "tests-finished",
		"evaluation-done", "route.changed", "stage.finished", "delivery.finished"}
	if got := s.types(t, d); !slices.Equal(got, want) {
		t.Errorf("the events are %v, not %v", got, want)
	}
	ev := s.evaluation(t, d, "staging")
	if ev.Subject.Attempt != 2 || !strings.Contains(ev.IndicatorResults[0].Query, ev.Subject.RunID()) {
		t.Errorf("attempt %d was judged by %s", ev.Subject.Attempt, ev.IndicatorResults[0].Query)
	}
	if v := measured(t, ev); v > 0.05 {
		t.Errorf("the gate saw %g s: samples of the slow first attempt are among them", v)
	}
}

// crashes is a delivery of version 2 over version 1, and the points at which
// Fairway is killed during it.
type crashes struct {
	shipyard string
	env      []string // of version 2
	points   []string // NAME:N of FAIRWAY_FAILPOINT
	status   fairway.DeliveryStatus
	types    string // of its events
	weights  string
	answers  string // the version that has the traffic at the end
	running  int    // processes at the end
}

// Killed at any point, Fairway ends a delivery as if it had not been: each
// event once, the same weights, the old version answering until the new one
// does, and no process too many.
func TestKilledAnywhereEndsTheSame(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]crashes{
		"promoted": {
			shipyard: twoStages, status: fairway.StatusFinished, weights: "0/100", answers: "2", running: 4,
			types: "new-artifact configuration-changed deployment-finished tests-finished evaluation-done route.changed stage.finished " +
				"configuration-changed deployment-finished route.changed stage.finished delivery.finished",
			points: []string{
				"registry.put.before-event:1", "event.after-append:1", "registry.put.after-event:1", "record.before-append:1", "record.after-append:1", "git.after-commit:1", "platform.before-apply:1",
				"platform.after-apply:1", "test.after-report:1", "evaluation.after:1", "route.before-change:1", "route.after-change:2", "record.after-append:8",
			},
		},
		"put back": {
			shipyard: oneStage + "    release: before_tests\n", env: []string{"DELAY=300ms"},
			status: fairway.StatusRejected, weights: "100/0", answers: "1", running: 1,
			types: "new-artifact configuration-changed deployment-finished route.changed tests-finished evaluation-done " +
				"route.changed stage.rolledback delivery.rejected version.stopped",
			points: []string{"git.after-commit:3", "route.before-change:2", "route.after-change:2", "platform.before-stop:1", "platform.after-stop:1"},
		},
		"direct": {
			shipyard: "stages:\n  - name: staging\n    test_strategy: functional\n", env: []string{"FAIL=work"},
			status: fairway.StatusRejected, weights: "100", answers: "1", running: 1,
			types:  "new-artifact configuration-changed deployment-finished tests-finished stage.rolledback delivery.rejected",
			points: []string{"route.before-change:1", "platform.before-stop:1", "git.after-commit:2", "platform.after-apply:2", "platform.after-stop:2"},
		},
	} {
		for _, point := range c.points {
			t.Run(name+"/"+point, func(t *testing.T) {
				t.Parallel()
				c.at(t, point)
			})
		}
	}
}

func (c crashes) at(t *testing.T, point string) {
	s := start(t)
	s.shop(t, c.shipyard, "1s")
	s.deliver(t, "1", fairway.StatusFinished)
	must(t, s.stop())
	must(t, s.begin([]string{"FAIRWAY_FAILPOINT=" + point}))
	stages := s.stages(t)
	host := "cart." + string(stages[len(stages)-1].Namespace) + ".localhost"
	must(t, s.awaitAnswer(host, "1"))
	// The push itself may be what is cut off; what was stored counts.
	_ = s.push("cart", "2", c.env...)
	must(t, s.awaitExit())
	must(t, s.begin(nil))
	must(t, s.awaitAnswer(host, "1", "2"))
	d, err := s.ended("cart", "2")
	must(t, err)
	if d.Status != c.status {
		t.Fatalf("it ended as %s, not %s: %s", d.Status, c.status, d.Reason)
	}
	s.sees(t, d, c.types)
	for _, st := range s.stages(t) {
		if st.Weights.String() != c.weights || st.Holder != "" {
			t.Errorf("stage %s has weights %s, not %s, and is held by %q", st.Stage, st.Weights, c.weights, st.Holder)
		}
	}
	s.routed(t, c.weights)
	must(t, s.awaitAnswer(host, c.answers))
	running, err := s.children()
	must(t, err)
	if len(running) != c.running {
		t.Errorf("%d processes run, not %d: %v", len(running), c.running, running)
	}
	must(t, s.stop())
}

// sees waits until the delivery has exactly the events. Of a repeated start of
// a step, or a push that is looked at again because it was not yet marked as
// seen, there may be an event more.
func (s *server) sees(t *testing.T, d fairway.Delivery, want string) {
	t.Helper()
	got := ""
	err := until("the events are there", func() (bool, error) {
		types := slices.DeleteFunc(s.types(t, d), func(typ string) bool { return typ == "step.restarted" || typ == "delivery.joined" })
		got = strings.Join(types, " ")
		return len(types) >= len(strings.Fields(want)), nil
	})
	if err != nil || got != want {
		t.Errorf("the events are\n%s, not\n%s\n%v", got, want, err)
	}
}

func (s *server) stages(t *testing.T) []fairway.StageView {
	t.Helper()
	c, err := s.client()
	must(t, err)
	services, err := c.Services(t.Context(), "shop")
	must(t, err)
	if len(services) != 1 {
		t.Fatalf("there is not one service: %v", services)
	}
	return services[0].Stages
}

// routed compares what the gateway does in every stage.
func (s *server) routed(t *testing.T, want string) {
	t.Helper()
	c, err := s.client()
	must(t, err)
	routes, err := c.Routes(t.Context())
	must(t, err)
	if len(routes) == 0 {
		t.Error("the gateway has no routes")
	}
	for _, r := range routes {
		if r.Weights.String() != want {
			t.Errorf("the gateway has weights %s for %s, not %s", r.Weights, r.Host, want)
		}
	}
}
