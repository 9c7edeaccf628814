package sequence

import (
	"encoding/json"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/fairwaycd/fairway"
)

var t0 = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

// world is a service whose effects are answered by the test.
type world struct {
	t      testing.TB
	s      *State
	seq    uint64
	now    time.Time
	events []fairway.Event
}

func newWorld(t testing.TB) *world {
	w := &world{t: t, s: &State{Project: "sockshop", Service: "carts"}, now: t0}
	w.do(Input{Onboard: &Onboard{Actor: "ann"}})
	return w
}

func (w *world) do(in Input) Decision {
	w.t.Helper()
	if in.Result == nil && in.Timer == nil && in.Restart == nil {
		w.seq++
		in.Seq = w.seq
	}
	w.now = w.now.Add(time.Second)
	before, _ := json.Marshal(w.s)
	d := Decide(w.s, in, w.now)
	if after, _ := json.Marshal(w.s); string(before) != string(after) {
		w.t.Fatal("Decide changed the state it was given")
	}
	w.s = d.State
	w.events = append(w.events, d.Events...)
	check(w.t, w.s)
	return d
}

func (w *world) push(tag string, plan ...fairway.Stage) Decision {
	w.t.Helper()
	for i := range plan {
		plan[i] = plan[i].WithDefaults()
	}
	return w.do(Input{Artifact: &Artifact{
		Source: "/registry", EventID: tag, Pushed: true, Plan: plan,
		Artifact: fairway.Artifact{Image: "127.0.0.1:8080/sockshop/carts", Tag: tag, Digest: digest(tag)},
	}})
}

func digest(tag string) string { return fmt.Sprintf("sha256:%064x", tag) }

// answer gives a result to the pending effect of that step.
func (w *world) answer(step fairway.Step, r Result) Decision {
	w.t.Helper()
	i := slices.IndexFunc(w.s.Pending, func(e Effect) bool { return e.Step == step })
	if i < 0 {
		w.t.Fatalf("no effect %s is pending: %+v", step, w.s.Pending)
	}
	r.Key = w.s.Pending[i].Key()
	return w.do(Input{Result: &r})
}

// run answers every pending effect with answer until none is left.
func (w *world) run(answer func(Effect) Result) {
	w.t.Helper()
	for range 1000 {
		if len(w.s.Pending) == 0 {
			return
		}
		e := w.s.Pending[0]
		r := answer(e)
		r.Key = e.Key()
		w.do(Input{Result: &r})
	}
	w.t.Fatal("the deliveries do not end")
}

func good(e Effect) Result {
	r := Result{OK: true, Reason: string(e.Step) + " went well"}
	switch e.Step {
	case fairway.StepTest:
		r.Window = &fairway.Window{Start: t0, End: t0.Add(time.Minute)}
	case fairway.StepEvaluate:
		r.Verdict = fairway.VerdictPass
	case fairway.StepConfigure:
		r.Commit = "c0ffee"
	}
	return r
}

func (w *world) types() (types []string) {
	for _, e := range w.events {
		types = append(types, e.Type)
	}
	return types
}

func (w *world) count(typ string) (n int) {
	for _, e := range w.events {
		if e.Type == typ {
			n++
		}
	}
	return n
}

func walkThrough() []fairway.Stage {
	return []fairway.Stage{
		{Name: "dev", TestStrategy: fairway.FunctionalTests},
		{Name: "staging", DeploymentStrategy: fairway.BlueGreen, TestStrategy: fairway.PerformanceTests},
		{Name: "production", DeploymentStrategy: fairway.BlueGreen},
	}
}

// The table of reference 5.5 and 9.3, with traffic after the proof.
func TestWalkThrough(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.push("0.6.0-1", walkThrough()...)
	w.run(good)
	w.want("staging", "100/0", "0.6.0-1", "")
	w.want("production", "100/0", "0.6.0-1", "")
	w.push("0.6.1-2", walkThrough()...)
	w.run(func(e Effect) Result {
		r := good(e)
		if e.Step == fairway.StepEvaluate {
			r.Verdict, r.Reason = fairway.VerdictFail, "too slow"
		}
		return r
	})
	w.want("staging", "100/0", "0.6.0-1", "0.6.1-2")
	w.want("production", "100/0", "0.6.0-1", "")
	if got := w.s.Stages["staging"].Occupants[fairway.Green].State; got != fairway.OccupantRejected {
		t.Errorf("the version that failed is %s, want rejected", got)
	}
	w.push("0.6.2-3", walkThrough()...)
	w.run(good)
	w.want("staging", "0/100", "0.6.0-1", "0.6.2-3")
	w.want("production", "0/100", "0.6.0-1", "0.6.2-3")
	if n := w.count(fairway.TypeDeliveryFinished); n != 2 {
		t.Errorf("%d deliveries finished, want 2", n)
	}
	if n := w.count(fairway.TypeDeliveryRejected); n != 1 {
		t.Errorf("%d deliveries were rejected, want 1", n)
	}
}

func (w *world) want(stage fairway.StageName, weights, blue, green string) {
	w.t.Helper()
	st := w.s.Stages[stage]
	if st.Weights.String() != weights || st.Occupants[fairway.Blue].Artifact.Tag != blue || st.Occupants[fairway.Green].Artifact.Tag != green {
		w.t.Errorf("%s: weights %s blue %q green %q, want %s %q %q", stage, st.Weights,
			st.Occupants[fairway.Blue].Artifact.Tag, st.Occupants[fairway.Green].Artifact.Tag, weights, blue, green)
	}
}

// Every end of a delivery is an event (reference 1.3 lists the silent ones).
func TestEnds(t *testing.T) {
	t.Parallel()
	bg := fairway.Stage{Name: "staging", DeploymentStrategy: fairway.BlueGreen, TestStrategy: fairway.PerformanceTests}
	direct := fairway.Stage{Name: "dev", TestStrategy: fairway.FunctionalTests}
	for _, c := range []struct {
		name  string
		stage fairway.Stage
		fail  fairway.Step
		r     Result
		want  string
	}{
		{"deploy fails, direct", direct, fairway.StepDeploy, Result{Reason: "crash loop"}, fairway.TypeDeliveryFailed},
		{"deploy fails, blue/green", bg, fairway.StepDeploy, Result{Reason: "crash loop"}, fairway.TypeDeliveryFailed},
		{"configure fails", bg, fairway.StepConfigure, Result{Reason: "no such tag"}, fairway.TypeDeliveryFailed},
		{"tests fail, direct", direct, fairway.StepTest, Result{Refused: true, Reason: "500"}, fairway.TypeDeliveryRejected},
		{"tests fail, blue/green", bg, fairway.StepTest, Result{Refused: true, Reason: "500"}, fairway.TypeDeliveryRejected},
		{"tests cannot run", bg, fairway.StepTest, Result{Reason: "no gateway"}, fairway.TypeDeliveryFailed},
		{"gate fails", bg, fairway.StepEvaluate, Result{OK: true, Verdict: fairway.VerdictFail, Reason: "slow"}, fairway.TypeDeliveryRejected},
		{"gate errs", bg, fairway.StepEvaluate, Result{OK: true, Verdict: fairway.VerdictError, Reason: "source down"}, fairway.TypeDeliveryFailed},
		{"gate step breaks", bg, fairway.StepEvaluate, Result{Reason: "timed out"}, fairway.TypeDeliveryFailed},
		{"release fails", bg, fairway.StepRelease, Result{Reason: "not ready"}, fairway.TypeDeliveryFailed},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			for _, first := range []bool{true, false} {
				w := newWorld(t)
				if !first {
					w.push("1", c.stage)
					w.run(good)
				}
				w.push("2", c.stage)
				w.run(func(e Effect) Result {
					if e.Step == c.fail && e.Artifact.Tag == "2" {
						return c.r
					}
					return good(e)
				})
				if len(w.s.Open) != 0 || w.count(c.want) != 1 {
					t.Errorf("first=%v: %d open, events %v, want one %s", first, len(w.s.Open), w.types(), c.want)
				}
				if last := w.events[len(w.events)-1]; last.Reason == "" {
					t.Error("the last event has no reason")
				}
				st := w.s.Stages[c.stage.Name]
				if lead, ok := st.Weights.Leader(); ok && !first {
					if got := st.Occupants[lead].Artifact.Tag; got != "1" {
						t.Errorf("traffic is on %s, want the version that was there before", got)
					}
				}
			}
		})
	}
}

// Reference 12.4: a second push while the first is under test must not reach
// into the stage.
func TestTwoPushesAtOnce(t *testing.T) {
	t.Parallel()
	st := fairway.Stage{Name: "staging", DeploymentStrategy: fairway.BlueGreen, TestStrategy: fairway.PerformanceTests}
	w := newWorld(t)
	w.push("1.0-1", st)
	w.run(good)
	w.push("1.1-2", st)
	w.answer(fairway.StepConfigure, good(Effect{Step: fairway.StepConfigure}))
	w.push("1.2-3", st)
	w.want("staging", "100/0", "1.0-1", "")
	w.run(func(e Effect) Result {
		r := good(e)
		if e.Step == fairway.StepEvaluate && e.Artifact.Tag == "1.1-2" {
			r.Verdict = fairway.VerdictFail
		}
		return r
	})
	w.want("staging", "0/100", "1.0-1", "1.2-3")
}

func TestSupersede(t *testing.T) {
	t.Parallel()
	for policy, superseded := range map[fairway.Supersede]int{fairway.SupersedeQueued: 1, fairway.SupersedeAlways: 1, fairway.SupersedeNever: 0} {
		w := newWorld(t)
		st := fairway.Stage{Name: "dev", Supersede: policy}
		w.push("1", st)
		w.push("2", st)
		w.push("3", st)
		w.run(good)
		if n := w.count(fairway.TypeDeliverySuperseded); n != superseded {
			t.Errorf("%s: %d superseded, want %d", policy, n, superseded)
		}
		if got := w.s.Stages["dev"].Occupants[fairway.Single].Artifact.Tag; got != "3" {
			t.Errorf("%s: %s runs, want 3", policy, got)
		}
	}
}

func TestApproval(t *testing.T) {
	t.Parallel()
	st := fairway.Stage{Name: "production", DeploymentStrategy: fairway.BlueGreen, Approval: fairway.ApprovalManual}
	approve := func(w *world, v Verb) Decision {
		return w.do(Input{Command: &Command{Verb: v, Delivery: w.s.Open[0].ID, Actor: "ann", Reason: "checked"}})
	}
	w := newWorld(t)
	w.push("1", st)
	if d := approve(w, Approve); d.Refused == nil {
		t.Error("approving what does not wait was not refused")
	}
	w.run(good)
	if w.s.Open[0].Status != fairway.StatusWaiting || w.s.Stages["production"].Weights != nil {
		t.Fatalf("want a dark version that waits, got %+v", w.s.Open[0])
	}
	approve(w, Approve)
	w.run(good)
	w.want("production", "100/0", "1", "")
	w.push("2", st)
	w.run(good)
	approve(w, Reject)
	w.run(good)
	w.want("production", "100/0", "1", "2")
	if n := w.count(fairway.TypeDeliveryRejected); n != 1 {
		t.Errorf("%d rejected, want 1", n)
	}
	w.push("3", st)
	w.run(good)
	approve(w, Abort)
	w.run(good)
	if n := w.count(fairway.TypeDeliveryAborted); n != 1 {
		t.Errorf("%d aborted, want 1", n)
	}
	always := st
	always.Supersede = fairway.SupersedeAlways
	w.push("4", st)
	w.run(good)
	w.push("5", always)
	w.run(good)
	if n := w.count(fairway.TypeDeliverySuperseded); n != 1 || w.s.Open[0].Artifact.Tag != "5" {
		t.Errorf("%d superseded and %s waits, want 1 and 5", n, w.s.Open[0].Artifact.Tag)
	}
}

func TestReleaseBeforeTests(t *testing.T) {
	t.Parallel()
	st := fairway.Stage{Name: "staging", DeploymentStrategy: fairway.BlueGreen, TestStrategy: fairway.PerformanceTests, Release: fairway.ReleaseBeforeTests}
	w := newWorld(t)
	w.push("1", st)
	w.run(func(e Effect) Result {
		if e.Step == fairway.StepTest && w.s.Stages["staging"].Weights != nil {
			t.Error("the first version had traffic before its tests")
		}
		return good(e)
	})
	w.push("2", st)
	w.run(func(e Effect) Result {
		if e.Step == fairway.StepTest {
			if got := w.s.Stages["staging"].Weights.String(); got != "0/100" {
				t.Errorf("during the tests weights are %s, want 0/100", got)
			}
			return Result{Refused: true, Reason: "500"}
		}
		return good(e)
	})
	w.want("staging", "100/0", "1", "2")
}

func TestDuplicates(t *testing.T) {
	t.Parallel()
	st := fairway.Stage{Name: "dev"}
	w := newWorld(t)
	w.push("1", st)
	w.push("1", st)
	if n := w.count(fairway.TypeDeliveryJoined); n != 1 || len(w.s.Open) != 1 {
		t.Errorf("a second push of the same digest: %d joined, %d open", n, len(w.s.Open))
	}
	w.run(good)
	w.push("1", st)
	if n := w.count(fairway.TypeArtifactIgnored); n != 1 || len(w.s.Open) != 0 {
		t.Errorf("a push after the end: %d ignored, %d open", n, len(w.s.Open))
	}
	moved := Artifact{Source: "/registry", Pushed: true, Plan: []fairway.Stage{st.WithDefaults()},
		Artifact: fairway.Artifact{Image: "127.0.0.1:8080/sockshop/carts", Tag: "1", Digest: digest("other")}}
	w.do(Input{Artifact: &moved})
	w.run(good)
	w.push("1", st)
	w.run(good)
	if n := w.count(fairway.TypeDeliveryFinished); n != 3 {
		t.Errorf("%d finished, want 3: a tag that moves away and back is delivered each time", n)
	}
	sent := Artifact{Source: "ci", EventID: "7", Context: "0e2b7f5c-7c3d-4c66", Plan: []fairway.Stage{st.WithDefaults()},
		Artifact: fairway.Artifact{Image: "x/carts", Tag: "9"}}
	w.do(Input{Artifact: &sent})
	w.do(Input{Artifact: &sent})
	if len(w.s.Open) != 1 || w.s.Open[0].ID != sent.Context {
		t.Errorf("want one delivery under the sender's context, got %+v", w.s.Open)
	}
	w.run(good)
	if d := w.do(Input{Artifact: &sent}); d.Changed {
		t.Error("the same event after the end was not ignored")
	}
}

func TestUnknownServiceAndStage(t *testing.T) {
	t.Parallel()
	w := &world{t: t, s: &State{Project: "p", Service: "s"}, now: t0}
	if d := w.push("1", fairway.Stage{Name: "dev"}); d.Refused == nil || len(d.Events) != 1 {
		t.Errorf("an artifact of a service that is not onboarded: %+v", d)
	}
	w = newWorld(t)
	d := w.do(Input{Artifact: &Artifact{Source: "a", EventID: "1", From: "nowhere", Plan: []fairway.Stage{{Name: "dev"}}, Artifact: fairway.Artifact{Image: "x", Tag: "1"}}})
	if d.Refused == nil {
		t.Error("an unknown stage was accepted")
	}
}

func TestInterruptedTestIsRunAgainWhole(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.push("1", fairway.Stage{Name: "dev", TestStrategy: fairway.PerformanceTests})
	w.answer(fairway.StepConfigure, good(Effect{Step: fairway.StepConfigure}))
	w.answer(fairway.StepDeploy, Result{OK: true})
	before := w.s.Pending[0].Key()
	w.do(Input{Restart: &Restart{Epoch: 2}})
	if got := w.s.Pending[0]; got.Attempt != 2 || got.Key() == before {
		t.Fatalf("the test goes on as %s", got.Key())
	}
	if d := w.do(Input{Result: &Result{Key: before, OK: true}}); d.Changed {
		t.Error("the interrupted attempt's result was counted")
	}
	w.answer(fairway.StepTest, good(Effect{Step: fairway.StepTest}))
	if got := w.s.Pending[0]; got.Step != fairway.StepEvaluate || got.TestRun != 2 {
		t.Errorf("the gate judges attempt %d, want 2", got.TestRun)
	}
}

func TestDeadlines(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.push("1", fairway.Stage{Name: "staging", DeploymentStrategy: fairway.BlueGreen, Previous: "30m"})
	w.answer(fairway.StepConfigure, good(Effect{Step: fairway.StepConfigure}))
	key := w.s.Pending[0].Key()
	if d := w.do(Input{Timer: &Timer{Key: key}}); d.Changed {
		t.Error("a deadline was obeyed before its time")
	}
	w.now = w.now.Add(DeployLimit)
	w.do(Input{Timer: &Timer{Key: key}})
	if n := w.count(fairway.TypeDeliveryFailed); n != 1 {
		t.Fatalf("%d failed, want 1", n)
	}
	w.run(good)
	for _, tag := range []string{"2", "3"} {
		w.push(tag, fairway.Stage{Name: "staging", DeploymentStrategy: fairway.BlueGreen, Previous: "30m"})
		w.run(good)
	}
	i := slices.IndexFunc(w.s.Deadlines, func(l Deadline) bool { return l.Start != nil })
	if i < 0 {
		t.Fatal("no deadline for the previous version")
	}
	w.now = w.now.Add(30 * time.Minute)
	w.do(Input{Timer: &Timer{Key: w.s.Deadlines[i].Key}})
	w.run(good)
	if got := w.s.Stages["staging"].Occupants[fairway.Blue].State; got != fairway.OccupantStopped {
		t.Errorf("the previous version is %s, want stopped", got)
	}
}

func TestWarnings(t *testing.T) {
	t.Parallel()
	warn := func(e Effect) Result {
		r := good(e)
		if e.Step == fairway.StepEvaluate {
			r.Verdict = fairway.VerdictWarning
		}
		return r
	}
	for policy, want := range map[fairway.OnWarning]string{
		fairway.OnWarningPromote: fairway.TypeDeliveryFinished, fairway.OnWarningStop: fairway.TypeDeliveryRejected, fairway.OnWarningApprove: fairway.TypeApprovalRequested,
	} {
		w := newWorld(t)
		w.push("1", fairway.Stage{Name: "dev", DeploymentStrategy: fairway.BlueGreen, TestStrategy: fairway.PerformanceTests, OnWarning: policy})
		w.run(warn)
		if w.count(want) != 1 {
			t.Errorf("%s: want %s in %v", policy, want, w.types())
		}
	}
}

func TestAnEventThatStartsNothingIsStored(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	d := w.do(Input{Foreign: &fairway.Event{ID: "1", Source: "ci", Type: "com.example.build"}})
	if !d.Changed || len(d.Events) != 1 || d.Events[0].Time.IsZero() || len(w.s.Open) != 0 {
		t.Errorf("%+v", d)
	}
	if d := w.do(Input{Foreign: &fairway.Event{ID: "1", Source: "ci", Type: "com.example.build"}}); d.Changed || d.Refused != nil {
		t.Errorf("sent again: %+v", d)
	}
	for _, e := range []fairway.Event{{ID: "2", Source: "ci"}, {ID: "1", Source: "cd"}} {
		if d := w.do(Input{Foreign: &e}); !d.Changed {
			t.Errorf("%s of %s is another event, but: %+v", e.ID, e.Source, d)
		}
	}
}

func TestARepetitionNamesItsDelivery(t *testing.T) {
	w := newWorld(t)
	sent := Artifact{Source: "ci", EventID: "7", Plan: []fairway.Stage{fairway.Stage{Name: "dev"}.WithDefaults()},
		Artifact: fairway.Artifact{Image: "x/carts", Tag: "1"}}
	first := w.do(Input{Artifact: &sent})
	if again := w.do(Input{Artifact: &sent}); again.Delivery != first.Delivery || again.Changed {
		t.Errorf("under way it is %q, not %q", again.Delivery, first.Delivery)
	}
	w.do(Input{Command: &Command{Verb: Abort, Delivery: first.Delivery, Actor: "ann", Reason: "enough"}})
	sent.Known = true
	if again := w.do(Input{Artifact: &sent}); again.Delivery != first.Delivery || again.Changed {
		t.Errorf("ended it is %q, not %q", again.Delivery, first.Delivery)
	}
	w.s.Recent = nil // as after many more
	if again := w.do(Input{Artifact: &sent}); again.Delivery != first.Delivery || again.Changed {
		t.Errorf("long ended it is %q, not %q", again.Delivery, first.Delivery)
	}
}
