package sequence

import (
	"slices"
	"testing"
	"time"

	"github.com/fairwaycd/fairway"
)

// Time during which Fairway did not run is nobody's delay.
func TestARestartGivesStepsTheirFullTime(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.push("1", fairway.Stage{Name: "dev"})
	w.now = w.now.Add(8 * time.Hour)
	w.do(Input{Restart: &Restart{}})
	key := w.s.Pending[0].Key()
	if d := w.do(Input{Timer: &Timer{Key: key}}); d.Changed {
		t.Fatalf("the step was failed for the time when Fairway did not run: %s", d.Reason)
	}
	w.now = w.now.Add(ConfigureLimit)
	if d := w.do(Input{Timer: &Timer{Key: key}}); !d.Changed {
		t.Error("the new deadline does not hold")
	}
}

// A clock that is set forward ends no step, and a test in which it was set
// runs again under labels of its own.
func TestAClockThatIsSetEndsNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.push("1", fairway.Stage{Name: "dev", TestStrategy: fairway.FunctionalTests})
	w.answer(fairway.StepConfigure, Result{OK: true, Commit: "c1"})
	w.answer(fairway.StepDeploy, Result{OK: true})
	w.now = w.now.Add(2 * TestLimit)
	d := w.do(Input{Restart: &Restart{Cause: "the clock was set"}})
	if len(w.s.Pending) != 1 || w.s.Pending[0].Attempt != 2 || d.Reason != "the clock was set during the test, which runs again whole as attempt 2" {
		t.Fatalf("%+v: %s", w.s.Pending, d.Reason)
	}
	if d := w.do(Input{Timer: &Timer{Key: w.s.Pending[0].Key()}}); d.Changed {
		t.Errorf("the limit by the old clock holds: %s", d.Reason)
	}
}

func before() fairway.Stage {
	return fairway.Stage{Name: "staging", DeploymentStrategy: fairway.BlueGreen, TestStrategy: fairway.FunctionalTests, Release: fairway.ReleaseBeforeTests}
}

// again lets every deadline pass that tries something once more.
func (w *world) again() bool {
	i := slices.IndexFunc(w.s.Deadlines, func(l Deadline) bool { return l.Start != nil })
	if i < 0 {
		return false
	}
	w.now = w.s.Deadlines[i].At
	w.do(Input{Timer: &Timer{Key: w.s.Deadlines[i].Key}})
	return true
}

// A version that was turned away must not keep its traffic because the way
// back was blocked for a while.
func TestARollbackIsTriedUntilItWorks(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.push("1", before())
	w.run(good)
	w.push("2", before())
	blocked := 5
	answer := func(e Effect) Result {
		switch {
		case e.Step == fairway.StepTest && e.Artifact.Tag == "2":
			return Result{Refused: true, Reason: "500"}
		case e.Step == fairway.StepRollback && blocked > 0:
			blocked--
			return Result{Reason: "blue is not ready"}
		}
		return good(e)
	}
	for w.run(answer); w.again(); w.run(answer) {
		if len(w.s.Open) > 0 && w.s.Stages["staging"].Holder == "" {
			t.Fatal("the stage was given back before the traffic was")
		}
	}
	w.want("staging", "100/0", "1", "2")
	if n := w.count(fairway.TypeRollbackFailed); n != 5 || len(w.s.Open) != 0 {
		t.Errorf("%d failed attempts told, %d deliveries open", n, len(w.s.Open))
	}
}

// A newer version may be the remedy when the old one cannot come back.
func TestARollbackIsGivenUpForANewerVersion(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.push("1", before())
	w.run(good)
	w.push("2", before())
	w.push("3", before())
	answer := func(e Effect) Result {
		switch {
		case e.Step == fairway.StepTest && e.Artifact.Tag == "2":
			return Result{Refused: true, Reason: "500"}
		case e.Step == fairway.StepRollback:
			return Result{Reason: "blue never becomes ready"}
		}
		return good(e)
	}
	for w.run(answer); w.again(); {
		w.run(answer)
	}
	w.want("staging", "100/0", "3", "2")
	if n := w.count(fairway.TypeDeliveryFailed); n != 1 {
		t.Errorf("%d failed, want the one that could not be undone", n)
	}
}

// A version that never became ready takes nobody's place.
func TestAFailedDeployLeavesThePlaceToWhoLivesThere(t *testing.T) {
	t.Parallel()
	st := fairway.Stage{Name: "staging", DeploymentStrategy: fairway.BlueGreen}
	w := newWorld(t)
	for _, tag := range []string{"1", "2"} {
		w.push(tag, st)
		w.run(good)
	}
	w.push("3", st)
	stopped := ""
	w.run(func(e Effect) Result {
		switch e.Step {
		case fairway.StepDeploy:
			return Result{Reason: "crash loop"}
		case fairway.StepRetire:
			stopped = e.Instance
		}
		return good(e)
	})
	w.want("staging", "0/100", "1", "2")
	if blue := w.s.Stages["staging"].Occupants[fairway.Blue]; blue.State != fairway.OccupantReleased || stopped == blue.Instance || stopped == "" {
		t.Errorf("stopped %q; blue is %+v", stopped, blue)
	}
}

func TestWhatDoesNotStopIsToldAgain(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	st := fairway.Stage{Name: "staging", DeploymentStrategy: fairway.BlueGreen, Previous: "0"}
	w.push("1", st)
	w.run(good)
	w.push("2", st)
	left := 2
	answer := func(e Effect) Result {
		if e.Step == fairway.StepRetire && left > 0 {
			left--
			return Result{Reason: "it does not answer"}
		}
		return good(e)
	}
	for w.run(answer); w.again(); {
		w.run(answer)
	}
	if n, m := w.count(fairway.TypeVersionStopped), w.count(fairway.TypeStopFailed); n != 1 || m != 1 {
		t.Errorf("stopped %d times, failure told %d times; want once each", n, m)
	}
}

// supersede: always holds whether the newer one came before or after the
// older one began to wait for a person.
func TestSupersedeAlwaysWhileWaiting(t *testing.T) {
	t.Parallel()
	st := fairway.Stage{Name: "production", DeploymentStrategy: fairway.BlueGreen, Approval: fairway.ApprovalManual, Supersede: fairway.SupersedeAlways}
	w := newWorld(t)
	w.push("1", st)
	w.push("2", st)
	w.run(good)
	if n := w.count(fairway.TypeDeliverySuperseded); n != 1 || len(w.s.Open) != 1 || w.s.Open[0].Artifact.Tag != "2" {
		t.Errorf("%d superseded; open: %+v", n, w.s.Open)
	}
}

func TestTheStageWorksFromTheCommitOfItsConfigureStep(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.push("1", before())
	w.run(good)
	w.push("2", before())
	w.run(func(e Effect) Result {
		r := good(e)
		if e.Step == fairway.StepRelease {
			r.Commit = "later"
		}
		if e.Step == fairway.StepTest && e.Commit != "c0ffee" {
			t.Errorf("the test reads commit %s", e.Commit)
		}
		return r
	})
}
