package controller_test

import (
	"context"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/fairwaycd/fairway"
	"github.com/fairwaycd/fairway/controller"
	"github.com/fairwaycd/fairway/inmem"
	"github.com/fairwaycd/fairway/sequence"
)

// soon is how long a test gives something wrong to happen.
const soon = 200 * time.Millisecond

func blueGreen() []fairway.Stage {
	return []fairway.Stage{fairway.Stage{Name: "production", DeploymentStrategy: fairway.BlueGreen}.WithDefaults()}
}

func (s *system) deliver(tb testing.TB, name fairway.ServiceName, tag string) fairway.DeliveryID {
	tb.Helper()
	d, err := s.Submit(tb.Context(), "shop", name, tag, artifact(tag))
	if err != nil {
		tb.Fatal(err)
	}
	return d.Delivery
}

func (s *system) abort(tb testing.TB, name fairway.ServiceName, id fairway.DeliveryID) {
	tb.Helper()
	in := sequence.Input{Command: &sequence.Command{Verb: sequence.Abort, Delivery: id, Actor: "ann"}}
	if d, err := s.Submit(tb.Context(), "shop", name, "abort-"+string(id), in); err != nil || d.Refused != nil {
		tb.Fatal(err, d.Refused)
	}
}

func TestARollbackWaitsForTheReleaseItUndoes(t *testing.T) {
	t.Parallel()
	w := inmem.NewWorld(blueGreen())
	var second atomic.Value
	second.Store(fairway.DeliveryID("none"))
	releasing, undoing := make(chan struct{}), make(chan struct{})
	w.OnWeights = func(_ context.Context, c controller.Change) {
		switch {
		case c.Delivery != second.Load():
		case strings.HasSuffix(c.Key, "/rollback"):
			close(undoing)
		default:
			close(releasing)
			select { // it does not hear that it was cancelled
			case <-undoing:
				t.Error("the rollback began while the release was still at work")
			case <-time.After(soon):
			}
		}
	}
	s := start(t, t.TempDir(), w, nil, nil)
	defer s.stop()
	s.onboard(t, "carts")
	s.deliver(t, "carts", "1")
	s.until(t, "the first release", s.ended(1))
	w.OnConfigure = func(fairway.Artifact) { second.Store(s.view.Deliveries(controller.DeliveryFilter{Open: true})[0].ID) }
	id := s.deliver(t, "carts", "2")
	<-releasing
	s.abort(t, "carts", id)
	s.until(t, "the end", s.ended(2))
	if r, _, _ := w.Route(t.Context(), "production", "carts"); r.Weights.String() != "100/0" {
		t.Errorf("after the rollback the weights are %s, want 100/0", r.Weights)
	}
}

func TestARetirementWaitsForTheDeployItUndoes(t *testing.T) {
	t.Parallel()
	w := inmem.NewWorld(blueGreen())
	starting := make(chan struct{})
	w.OnApply = func(_ context.Context, l fairway.Workload) {
		close(starting)
		<-time.After(soon) // it does not hear that it was cancelled
	}
	s := start(t, t.TempDir(), w, nil, nil)
	defer s.stop()
	s.onboard(t, "carts")
	id := s.deliver(t, "carts", "1")
	<-starting
	s.abort(t, "carts", id)
	s.until(t, "the stop", func() bool {
		return slices.ContainsFunc(s.view.Events(controller.EventFilter{}), func(e controller.Stored) bool { return e.Type == fairway.TypeVersionStopped })
	})
	<-time.After(soon)
	if all, _ := w.Instances(t.Context()); len(all) != 0 {
		t.Errorf("%d instances run after the version was stopped", len(all))
	}
}

// The second test gets its slot when most of its time has passed by the
// clock; it has all of its time then.
func TestWaitingForASlotCostsAStepNoTime(t *testing.T) {
	t.Parallel()
	w := inmem.NewWorld([]fairway.Stage{fairway.Stage{Name: "dev", TestStrategy: fairway.FunctionalTests}.WithDefaults()})
	begun, goOn := make(chan struct{}), make(chan struct{})
	w.OnTest = func(controller.TestRequest) (fairway.TestReport, error) {
		begun <- struct{}{}
		<-goOn
		return fairway.TestReport{Passed: true}, nil
	}
	var ahead atomic.Int64
	s := startWith(t, t.TempDir(), w, false, func(o *controller.Options) {
		o.MaxTests = 1
		o.Now = func() time.Time { return time.Now().Add(time.Duration(ahead.Load())) }
	})
	defer s.stop()
	defer sync.OnceFunc(func() { close(goOn) })()
	for _, name := range []fairway.ServiceName{"carts", "orders"} {
		s.onboard(t, name)
		s.deliver(t, name, "1")
	}
	<-begun
	s.until(t, "both tests", func() bool {
		all := s.view.Deliveries(controller.DeliveryFilter{})
		return !slices.ContainsFunc(all, func(d fairway.Delivery) bool { return d.Step != fairway.StepTest })
	})
	pass := func(d time.Duration) {
		s.onboard(t, "carts") // what the view shows is under way after the next decision
		s.onboard(t, "orders")
		ahead.Add(int64(d))
		s.onboard(t, "carts") // each decision looks at the clock
		s.onboard(t, "orders")
		<-time.After(soon)
	}
	pass(sequence.TestLimit - time.Minute)
	goOn <- struct{}{}
	<-begun
	pass(2 * time.Minute)
	goOn <- struct{}{}
	s.until(t, "the end", s.ended(2))
	for _, d := range s.view.Deliveries(controller.DeliveryFilter{}) {
		if d.Status != fairway.StatusFinished {
			t.Errorf("%s is %s: %s", d.Service, d.Status, d.Reason)
		}
	}
}
