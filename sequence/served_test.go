package sequence

import (
	"testing"

	"github.com/fairwaycd/fairway"
)

// runAll answers every pending effect and returns what has ended by that.
func (w *world) runAll(answer func(Effect) Result) (ended []fairway.Delivery) {
	w.t.Helper()
	for len(w.s.Pending) > 0 {
		e := w.s.Pending[0]
		r := answer(e)
		r.Key = e.Key()
		ended = append(ended, w.do(Input{Result: &r}).Ended...)
	}
	return ended
}

// failing lets one step go wrong.
func failing(step fairway.Step) func(Effect) Result {
	return func(e Effect) Result {
		r := good(e)
		if e.Step == step {
			r.OK, r.Reason = false, "it is broken"
		}
		return r
	}
}

func TestWhenAVersionServed(t *testing.T) {
	t.Parallel()
	green := fairway.Stage{Name: "production", DeploymentStrategy: fairway.BlueGreen, TestStrategy: fairway.FunctionalTests}
	before := green
	before.Release = fairway.ReleaseBeforeTests
	for name, c := range map[string]struct {
		stage         fairway.Stage
		breaks        fairway.Step
		served, until bool
	}{
		"released after its tests":                {green, "", true, false},
		"turned away before it had traffic":       {green, fairway.StepTest, false, false},
		"turned away after it had traffic":        {before, fairway.StepTest, true, true},
		"the traffic did not move":                {green, fairway.StepRelease, false, false},
		"alone in its stage":                      {fairway.Stage{Name: "production", TestStrategy: fairway.FunctionalTests}, "", true, false},
		"alone in its stage, and turned away":     {fairway.Stage{Name: "production", TestStrategy: fairway.FunctionalTests}, fairway.StepTest, true, true},
		"alone in its stage, kept all the same":   {fairway.Stage{Name: "production", TestStrategy: fairway.FunctionalTests, OnFailure: fairway.OnFailureKeep}, fairway.StepTest, true, false},
		"alone in its stage, and never got ready": {fairway.Stage{Name: "production"}, fairway.StepDeploy, false, false},
	} {
		w := newWorld(t)
		w.push("1", c.stage)
		w.run(good)
		w.push("2", c.stage)
		ended := w.runAll(failing(c.breaks))
		if len(ended) != 1 {
			t.Fatalf("%s: %d ended", name, len(ended))
		}
		d := ended[0]
		if (d.Served != nil) != c.served || d.Served != nil && (d.Served.Until != nil) != c.until {
			t.Errorf("%s: served %+v", name, d.Served)
		}
		if d.Served != nil && (d.Served.From.Before(d.StartedAt) || d.Served.Until != nil && d.Served.Until.After(*d.EndedAt)) {
			t.Errorf("%s: served %+v of a delivery from %v to %v", name, d.Served, d.StartedAt, d.EndedAt)
		}
		if d.Back {
			t.Errorf("%s: it counts as a way back", name)
		}
	}
}

func TestAVersionServesInTheStageItIsIn(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.push("1", walkThrough()...)
	for w.s.Open[0].Stage == "dev" {
		r := good(w.s.Pending[0])
		r.Key = w.s.Pending[0].Key()
		w.do(Input{Result: &r})
	}
	if x := w.s.Open[0]; x.Served != nil {
		t.Errorf("in %s it serves since %v", x.Stage, x.Served.From)
	}
}

func TestTrafficByHandIsTraffic(t *testing.T) {
	t.Parallel()
	st := fairway.Stage{Name: "production", DeploymentStrategy: fairway.BlueGreen, Approval: fairway.ApprovalManual}
	w := newWorld(t)
	w.push("1", st)
	w.run(good)
	w.say(Command{Verb: Approve, Delivery: w.s.Open[0].ID})
	w.run(good)
	w.push("2", st)
	w.run(good)
	w.say(Command{Verb: SetRoute, Stage: "production", Weights: fairway.Weights{fairway.Blue: 70, fairway.Green: 30}})
	w.run(good)
	if x := w.s.Open[0]; x.Served == nil || x.Served.Until != nil {
		t.Fatalf("with 30 %% by hand: %+v", x.Served)
	}
	w.say(Command{Verb: Reject, Delivery: w.s.Open[0].ID})
	if ended := w.runAll(good); len(ended) != 1 || ended[0].Served.Until == nil {
		t.Errorf("turned away with 30 %% by hand: %+v", ended)
	}
}

func TestARollbackIsAWayBack(t *testing.T) {
	t.Parallel()
	st := fairway.Stage{Name: "production", DeploymentStrategy: fairway.BlueGreen}
	w := newWorld(t)
	for _, tag := range []string{"1", "2"} {
		w.push(tag, st)
		w.run(good)
	}
	w.say(Command{Verb: Rollback, Stage: "production"})
	if ended := w.runAll(good); len(ended) != 1 || !ended[0].Back || ended[0].Served == nil {
		t.Errorf("by weights: %+v", ended)
	}
	w.do(Input{Artifact: &Artifact{Source: RollbackSource, EventID: "r", Plan: []fairway.Stage{st.WithDefaults()}, From: "production", Only: true,
		Artifact: fairway.Artifact{Image: "127.0.0.1:8080/sockshop/carts", Tag: "0"}}})
	if ended := w.runAll(good); len(ended) != 1 || !ended[0].Back || ended[0].Served == nil {
		t.Errorf("by a delivery: %+v", ended)
	}
}
