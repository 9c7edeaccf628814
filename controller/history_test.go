package controller_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/fairwaycd/fairway"
	"github.com/fairwaycd/fairway/controller"
	"github.com/fairwaycd/fairway/inmem"
)

// Deliveries are superseded one by the other behind a test that takes
// its time. What happened to an early one stands in the log alone, under the
// name of the one that superseded it.
func TestWhatEndedLongAgoIsReadFromTheLog(t *testing.T) {
	t.Parallel()
	const n, keep = 30, 5
	dir, w := t.TempDir(), inmem.NewWorld(direct())
	goOn := make(chan struct{})
	w.OnTest = func(controller.TestRequest) (fairway.TestReport, error) {
		<-goOn
		return fairway.TestReport{Passed: true}, nil
	}
	restart := func() *system {
		return startWith(t, dir, w, false, func(o *controller.Options) { o.View.KeepWhole(keep) })
	}
	s := restart()
	s.onboard(t, "carts")
	var second fairway.DeliveryID
	for i := range n {
		in := artifact(fmt.Sprint(i))
		if i == 1 {
			d, err := s.Submit(t.Context(), "shop", "carts", "1", in)
			if err != nil {
				t.Fatal(err)
			}
			second = d.Delivery
			continue
		}
		if err := s.Store(t.Context(), "shop", "carts", in.Artifact.EventID, in); err != nil {
			t.Fatal(err)
		}
	}
	s.until(t, "the last one's wait", func() bool {
		return len(s.view.Deliveries(controller.DeliveryFilter{Limit: n})) == n
	})
	close(goOn)
	s.until(t, "the end", s.ended(n))
	for range 2 {
		listed := s.view.Deliveries(controller.DeliveryFilter{Limit: n})
		whole := 0
		for _, d := range listed {
			if len(d.Stages) > 0 {
				whole++
			}
		}
		if whole > keep {
			t.Errorf("%d ended deliveries are kept whole", whole)
		}
		d, err := s.Delivery(t.Context(), string(second))
		if err != nil || d.Status != fairway.StatusSuperseded || len(d.Stages) != 1 {
			t.Fatalf("the second delivery: %v, %s, %d stages", err, d.Status, len(d.Stages))
		}
		events, err := s.History(t.Context(), d)
		if got := strings.Join(shortTypes(events), " "); err != nil || got != "new-artifact delivery.queued delivery.superseded" {
			t.Errorf("its events: %v, %s", err, got)
		}
		s.stop()
		s = restart()
	}
	s.stop()
}

// With supersede: always the newer delivery's beginning is part of the
// decision about the one that it replaces.
func TestANewerBeginningIsItsOwnHistory(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	stage := blueGreen()
	stage[0].Approval, stage[0].Supersede = fairway.ApprovalManual, fairway.SupersedeAlways
	w := inmem.NewWorld(stage)
	s := start(t, dir, w, nil, nil)
	s.onboard(t, "carts")
	waits := func(tag string) func() bool {
		return func() bool {
			return slices.ContainsFunc(s.view.Deliveries(controller.DeliveryFilter{Open: true}), func(d fairway.Delivery) bool {
				return d.Step == fairway.StepApprove && d.Artifact.Tag == tag
			})
		}
	}
	s.deliver(t, "carts", "1")
	s.until(t, "the approval", waits("1"))
	newer := s.deliver(t, "carts", "2")
	if d, err := s.view.Delivery(string(newer)); err == nil && d.Artifact.Tag != "2" {
		newer = s.view.Deliveries(controller.DeliveryFilter{})[0].ID // the decision is about the older one
	}
	s.until(t, "the newer approval", waits("2"))
	for range 250 {
		s.onboard(t, "carts")
	}
	s.stop()
	s = start(t, dir, w, nil, nil)
	defer s.stop()
	d, err := s.Delivery(t.Context(), string(newer))
	if err != nil {
		t.Fatal(err)
	}
	events, err := s.History(t.Context(), d)
	if got := shortTypes(events); err != nil || len(got) == 0 || got[0] != "new-artifact" {
		t.Errorf("its events: %v, %v", err, got)
	}
}
