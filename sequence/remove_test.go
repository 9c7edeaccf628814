package sequence

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/fairwaycd/fairway"
)

// delete asks for the deletion and checks that nothing but it is left to do.
func (w *world) delete(keep bool) Effect {
	w.t.Helper()
	d := w.do(Input{Command: &Command{Verb: Remove, Actor: "ann", Reason: "merged into orders", Keep: keep, Repository: "sockshop/carts"}})
	if d.Refused != nil {
		w.t.Fatal(d.Refused)
	}
	if len(w.s.Open) != 0 || len(w.s.Pending) != 1 || w.s.Pending[0].Step != fairway.StepRemove || len(w.s.Deadlines) != 1 {
		w.t.Fatalf("left: %d deliveries, effects %+v, deadlines %+v", len(w.s.Open), w.s.Pending, w.s.Deadlines)
	}
	return w.s.Pending[0]
}

// Wherever deliveries are, they end with an event, and nobody is let in on
// the way.
func TestDeletingEndsEveryDelivery(t *testing.T) {
	t.Parallel()
	manual := fairway.Stage{Name: "production", DeploymentStrategy: fairway.BlueGreen, Approval: fairway.ApprovalManual, Supersede: fairway.SupersedeNever}
	for name, until := range map[string]func(w *world){
		"configure": func(*world) {},
		"deploy":    func(w *world) { w.answer(fairway.StepConfigure, Result{OK: true}) },
		"approve":   func(w *world) { w.run(good) },
		"paused":    func(w *world) { w.say(Command{Verb: Pause, Delivery: w.s.Open[0].ID}); w.run(good) },
		"rollback": func(w *world) {
			w.run(good)
			w.say(Command{Verb: Approve, Delivery: w.s.Open[0].ID})
			w.answer(fairway.StepRelease, Result{Reason: "refused"})
		},
		"route": func(w *world) {
			w.run(good)
			w.say(Command{Verb: SetRoute, Stage: "production", Weights: fairway.Full(fairway.Blue)})
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.push("1", manual)
			w.push("2", manual)
			w.push("3", manual)
			until(w)
			e := w.delete(false)
			if n := w.count(fairway.TypeDeliveryAborted); n != 3 {
				t.Errorf("%d deliveries were aborted: %v", n, w.types())
			}
			if d := w.push("4", manual); d.Refused == nil || len(w.s.Open) != 0 {
				t.Errorf("an artifact was accepted while the service is deleted: %v", d.Reason)
			}
			if d := w.do(Input{Onboard: &Onboard{Actor: "bob"}}); fairway.KindOf(d.Refused) != fairway.KindConflict {
				t.Errorf("onboarded while it is deleted: %v", d.Refused)
			}
			if d := w.do(Input{Pushed: &Pushed{Stage: "production", Commit: "0123456789", Weights: fairway.Full(fairway.Blue)}}); len(w.s.Pending) != 1 {
				t.Errorf("a push began something: %s", d.Reason)
			}
			for _, verb := range []Verb{SetRoute, Rollback} {
				if d := w.say(Command{Verb: verb, Stage: "production", Weights: fairway.Full(fairway.Blue)}); d.Refused == nil || len(w.s.Pending) != 1 {
					t.Errorf("%s was not refused", verb)
				}
			}
			carried := Pushed{Stage: "production", Commit: "1123456789", Plan: []fairway.Stage{manual.WithDefaults()}, Carried: &fairway.Carried{Commit: "1123456789"}}
			if d := w.do(Input{Pushed: &carried}); len(w.s.Open) != 0 || len(w.s.Pending) != 1 {
				t.Errorf("a push began a delivery: %s", d.Reason)
			}
			if got := w.s.Pending[0].Key(); got != e.Key() {
				t.Errorf("the effect is %s, was %s", got, e.Key())
			}
		})
	}
}

func TestADeletionThatFailsIsTriedAgain(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.delete(false)
	for range 3 {
		w.answer(fairway.StepRemove, Result{Reason: "the disk is full"})
		w.do(Input{Restart: &Restart{}})
		l := w.s.Deadlines[0]
		w.now = l.At
		w.do(Input{Timer: &Timer{Key: l.Key}})
	}
	if n := w.count(fairway.TypeDeletionFailed); n != 1 {
		t.Errorf("%d events say that it failed", n)
	}
	w.answer(fairway.StepRemove, Result{OK: true, Reason: "0 versions were stopped"})
	if w.s.Onboarded || w.s.Removal != nil || w.s.Gone == nil || w.count(fairway.TypeServiceDeleted) != 1 {
		t.Errorf("after it: %+v", w.s)
	}
	if d := w.do(Input{Command: &Command{Verb: Remove, Actor: "ann"}}); fairway.KindOf(d.Refused) != fairway.KindNotFound {
		t.Errorf("deleted twice: %v", d.Refused)
	}
}

// A new service under the name knows nothing of the earlier one, and its
// deliveries have ids of their own.
func TestANameBeginsAnew(t *testing.T) {
	t.Parallel()
	st := fairway.Stage{Name: "production", DeploymentStrategy: fairway.BlueGreen}
	w := newWorld(t)
	w.push("1", st)
	first := w.s.Open[0].ID
	w.run(good)
	w.delete(false)
	w.answer(fairway.StepRemove, Result{OK: true})
	if d := w.push("1", st); d.Refused == nil {
		t.Error("an artifact of a deleted service was accepted")
	}
	w.do(Input{Onboard: &Onboard{Actor: "bob"}})
	if len(w.s.Stages) != 0 || !w.s.Since.After(t0) {
		t.Errorf("it begins with %+v since %s", w.s.Stages, w.s.Since.Format(time.RFC3339))
	}
	w.push("1", st)
	if len(w.s.Open) != 1 || w.s.Open[0].ID == first {
		t.Fatalf("the same image was not delivered anew: %v", w.types())
	}
	w.run(good)
	w.want("production", "100/0", "1", "")
}

// What was left running keeps its places: the next life goes on beside it.
func TestKeptVersionsAreTakenOver(t *testing.T) {
	t.Parallel()
	st := fairway.Stage{Name: "production", DeploymentStrategy: fairway.BlueGreen}
	w := newWorld(t)
	w.push("1", st)
	w.run(good)
	e := w.delete(true)
	if got := fmt.Sprint(e.Remove.Routes); got != "map[production:100/0]" || len(e.Remove.Instances) != 1 {
		t.Errorf("routes %s, instances %v", got, e.Remove.Instances)
	}
	w.answer(fairway.StepRemove, Result{OK: true})
	if !w.s.Kept() {
		t.Fatal("nothing was kept")
	}
	w.do(Input{Onboard: &Onboard{Actor: "bob"}})
	w.push("2", st)
	w.run(good)
	w.want("production", "0/100", "1", "2")
	w.delete(true)
	w.answer(fairway.StepRemove, Result{OK: true})
	w.delete(false) // and stops what was kept
	w.answer(fairway.StepRemove, Result{OK: true})
	if w.s.Kept() {
		t.Error("it is kept still")
	}
}

// The project itself has a state of its own, whose deletion anybody may ask for.
func TestDeletingAProject(t *testing.T) {
	t.Parallel()
	w := &world{t: t, s: &State{Project: "sockshop", Service: WholeProject}, now: t0}
	w.delete(false)
	w.answer(fairway.StepRemove, Result{OK: true, Reason: "2 services were deleted with it"})
	last := w.events[len(w.events)-1]
	if last.Type != fairway.TypeProjectDeleted || last.Source != "/fairway/sockshop" || slices.Contains(w.types(), "service.deleted") {
		t.Errorf("%s from %s: %v", last.Type, last.Source, w.types())
	}
}
