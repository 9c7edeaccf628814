package sequence

import (
	"testing"

	"github.com/fairwaycd/fairway"
)

func (w *world) say(c Command) Decision {
	w.t.Helper()
	c.Actor, c.Reason = "ann", "because"
	return w.do(Input{Command: &c})
}

func TestPauseAndResume(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.push("1", walkThrough()...)
	id := w.s.Open[0].ID
	w.say(Command{Verb: Pause, Delivery: id})
	w.run(good)
	x := w.s.Open[0]
	if x.Step != fairway.StepDeploy || x.Status != fairway.StatusWaiting || x.Held == nil {
		t.Fatalf("a paused delivery is %s at %s", x.Status, x.Step)
	}
	if d := w.say(Command{Verb: Pause, Delivery: id}); d.Refused == nil {
		t.Error("pausing twice was not refused")
	}
	w.say(Command{Verb: Resume, Delivery: id})
	w.run(good)
	if len(w.s.Open) != 0 || w.count(fairway.TypeDeliveryFinished) != 1 {
		t.Errorf("after resuming: %v", w.types())
	}
	if d := w.say(Command{Verb: Resume, Delivery: id}); d.Refused == nil {
		t.Error("resuming what has ended was not refused")
	}
}

// The dark launch of the walk-through: weight by hand, then approve or reject.
func TestWeightsByHandDuringADarkLaunch(t *testing.T) {
	t.Parallel()
	st := fairway.Stage{Name: "production", DeploymentStrategy: fairway.BlueGreen, Approval: fairway.ApprovalManual}
	for verb, want := range map[Verb]string{Approve: "0/100", Reject: "100/0"} {
		w := newWorld(t)
		w.push("1", st)
		w.run(good)
		w.say(Command{Verb: Approve, Delivery: w.s.Open[0].ID})
		w.run(good)
		w.push("2", st)
		w.run(good)
		if d := w.say(Command{Verb: SetRoute, Stage: "production", Weights: fairway.Weights{fairway.Blue: 70, fairway.Green: 30}}); d.Refused != nil {
			t.Fatal(d.Refused)
		}
		w.run(good)
		if got := w.s.Stages["production"].Weights.String(); got != "70/30" {
			t.Fatalf("weights %s, want 70/30", got)
		}
		w.say(Command{Verb: verb, Delivery: w.s.Open[0].ID})
		w.run(good)
		w.want("production", want, "1", "2")
	}
}

func TestWeightsByHandAreRefused(t *testing.T) {
	t.Parallel()
	st := fairway.Stage{Name: "staging", DeploymentStrategy: fairway.BlueGreen, TestStrategy: fairway.FunctionalTests}
	half := fairway.Weights{fairway.Blue: 50, fairway.Green: 50}
	w := newWorld(t)
	if d := w.say(Command{Verb: SetRoute, Stage: "staging", Weights: half}); d.Refused == nil {
		t.Error("weights of a stage without a version")
	}
	w.push("1", st)
	if d := w.say(Command{Verb: SetRoute, Stage: "staging", Weights: half}); d.Refused == nil {
		t.Error("weights while a delivery moves them")
	}
	w.run(good)
	if d := w.say(Command{Verb: SetRoute, Stage: "staging", Weights: half}); d.Refused == nil {
		t.Error("weights of a colour where nothing runs")
	}
	w.push("2", st)
	w.run(func(e Effect) Result {
		if e.Step == fairway.StepTest {
			return Result{Refused: true, Reason: "500"}
		}
		return good(e)
	})
	if d := w.say(Command{Verb: SetRoute, Stage: "staging", Weights: half}); d.Refused == nil {
		t.Error("weights of a version that was turned away")
	}
	if d := w.say(Command{Verb: SetRoute, Stage: "staging", Weights: fairway.Weights{fairway.Blue: 50}}); d.Refused == nil {
		t.Error("weights that do not sum to 100")
	}
	if d := w.say(Command{Verb: SetRoute, Stage: "staging", Weights: half, Force: true}); d.Refused != nil {
		t.Error(d.Refused)
	}
	// While they are changed, and while both colours have traffic, nothing
	// takes a colour from under it.
	w.push("3", st)
	if w.s.Open[0].Step != fairway.StepQueue {
		t.Errorf("a delivery entered while the weights were changed: %s", w.s.Open[0].Step)
	}
	w.run(good)
	if n := w.count(fairway.TypeDeliveryFailed); n != 1 {
		t.Errorf("%d failed; a stage whose both colours have traffic has no place", n)
	}
}

func TestRollbackByWeights(t *testing.T) {
	t.Parallel()
	st := fairway.Stage{Name: "production", DeploymentStrategy: fairway.BlueGreen}
	w := newWorld(t)
	for _, tag := range []string{"1", "2"} {
		w.push(tag, st)
		w.run(good)
	}
	if d := w.say(Command{Verb: Rollback, Stage: "production", To: "0"}); fairway.KindOf(d.Refused) != fairway.KindNotFound {
		t.Errorf("a version that does not run: %v", d.Refused)
	}
	first := w.say(Command{Verb: Rollback, Stage: "production", Request: "night-1"})
	w.run(good)
	w.want("production", "100/0", "1", "2")
	again := w.say(Command{Verb: Rollback, Stage: "production", Request: "night-1"})
	if again.Delivery != first.Delivery || again.Refused != nil || again.Changed {
		t.Errorf("the same request again: %+v", again)
	}
	w.want("production", "100/0", "1", "2")
	if got := w.events[len(w.events)-1].Reason; got != "1 is back in stage production" {
		t.Errorf("the rollback ended with %q", got)
	}
	w.say(Command{Verb: Rollback, Stage: "production", To: "2"})
	w.run(func(e Effect) Result {
		if e.Step == fairway.StepRelease {
			return Result{Reason: "green is not ready"}
		}
		return good(e)
	})
	w.want("production", "100/0", "1", "2")
	if got := w.s.Stages["production"].Occupants[fairway.Green].State; got != fairway.OccupantReleased {
		t.Errorf("a failed recall left green %s", got)
	}
}

// What is being stopped is not called back by weights.
func TestRollbackDoesNotCountOnWhatIsBeingStopped(t *testing.T) {
	t.Parallel()
	st := fairway.Stage{Name: "production", DeploymentStrategy: fairway.BlueGreen, Previous: "0"}
	w := newWorld(t)
	w.push("1", st)
	w.run(good)
	w.push("2", st)
	for len(w.s.Open) > 0 {
		w.answer(w.s.Pending[0].Step, good(w.s.Pending[0]))
	}
	if len(w.s.Pending) != 1 || w.s.Pending[0].Step != fairway.StepRetire {
		t.Fatalf("want version 1 being stopped, got %+v", w.s.Pending)
	}
	if d := w.say(Command{Verb: Rollback, Stage: "production"}); fairway.KindOf(d.Refused) != fairway.KindNotFound {
		t.Errorf("it was called back: %v", d.Refused)
	}
	if d := w.say(Command{Verb: SetRoute, Stage: "production", Weights: fairway.Full(fairway.Blue)}); d.Refused == nil {
		t.Error("it was given traffic by hand")
	}
}
