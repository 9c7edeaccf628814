package controller_test

import (
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/fairwaycd/fairway"
	"github.com/fairwaycd/fairway/controller"
	"github.com/fairwaycd/fairway/inmem"
	"github.com/fairwaycd/fairway/sequence"
)

// A deletion of a service, or of a project with two, dies at the n-th
// failpoint, and is started again: nothing runs, nothing
// has traffic, and every event is there once, as without a crash.
func TestCrashWhileDeleting(t *testing.T) {
	t.Parallel()
	for what, run := range map[string]struct {
		name fairway.ServiceName
		step int // every how manieth failpoint
	}{"service": {"carts", 3}, "project": {sequence.WholeProject, 8}} {
		name, step := run.name, run.step
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			want, hits := deletionRun(t, -1, name)
			if hits < 12 {
				t.Fatalf("only %d failpoints were hit", hits)
			}
			if testing.Short() {
				step *= 5
			}
			for n := 0; n < hits; n += step {
				t.Run(fmt.Sprint(n), func(t *testing.T) {
					t.Parallel()
					if got, _ := deletionRun(t, n, name); got != want {
						t.Errorf("after a crash at failpoint %d:\n%s\nwithout it:\n%s", n, got, want)
					}
				})
			}
		})
	}
}

// deletionRun has one version released and one that waits for a person, and
// deletes them.
func deletionRun(t *testing.T, n int, name fairway.ServiceName) (account string, hits int) {
	t.Helper()
	dark := plan()
	dark[2].Approval = fairway.ApprovalManual
	w := inmem.NewWorld(plan())
	dir := t.TempDir()
	var count atomic.Int64
	count.Store(-1 << 40)
	dead, crashed := &atomic.Bool{}, make(chan struct{})
	var once sync.Once
	s := startWith(t, dir, w, false, func(o *controller.Options) {
		o.Log = mortal{Log: o.Log, dead: dead}
		o.Failpoint = stopper(n, &count, dead, crashed, &once)
	})
	services := []fairway.ServiceName{"carts", "orders"}
	for i, sv := range services {
		s.onboard(t, sv)
		deliverTo(t, s, sv, "1")
		s.until(t, "the first version", s.ended(i+1))
	}
	w.SetPlan(dark)
	for _, sv := range services {
		deliverTo(t, s, sv, "2")
	}
	s.until(t, "both wait for a person", func() bool {
		waiting := s.view.Deliveries(controller.DeliveryFilter{Status: fairway.StatusWaiting})
		return len(waiting) == 2 && waiting[0].Step == fairway.StepApprove && waiting[1].Step == fairway.StepApprove
	})
	count.Store(0)
	remove := sequence.Input{Command: &sequence.Command{Verb: sequence.Remove, Actor: "ann", Reason: "the end"}}
	gone := func() bool {
		r, ok := s.view.Removal("shop", name)
		_, lives := s.view.Service("shop", name)
		return ok && !r.UnderWay && !lives
	}
	var wg sync.WaitGroup
	wg.Go(func() { _ = s.Store(t.Context(), "shop", name, "remove", remove) })
	wg.Wait()
	changed, cancel := s.view.Watch()
	for !gone() && !isClosed(crashed) {
		select {
		case <-changed:
		case <-crashed:
		}
	}
	cancel()
	hits = int(count.Load())
	if isClosed(crashed) {
		s.stop()
		w.Forget()
		dead.Store(false)
		s = start(t, dir, w, nil, nil)
		if !gone() { // the asker got no answer and asks again
			if err := s.Store(t.Context(), "shop", name, "again", remove); err != nil {
				t.Fatal(err)
			}
		}
		s.until(t, "the deletion after a crash", gone)
	}
	account = left(t, s, w)
	s.stop()
	return account, hits
}

func deliverTo(t *testing.T, s *system, sv fairway.ServiceName, tag string) {
	t.Helper()
	in := artifact(tag)
	in.Artifact.Artifact.Image = "r/shop/" + string(sv)
	if err := s.Store(t.Context(), "shop", sv, string(sv)+tag, in); err != nil {
		t.Fatal(err)
	}
}

// left tells what runs, what has traffic, and which events there are.
func left(t *testing.T, s *system, w *inmem.World) string {
	t.Helper()
	var b strings.Builder
	all, err := w.Instances(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	runs := map[fairway.ServiceName]int{}
	for _, i := range all {
		runs[i.Place.Service]++
	}
	fmt.Fprintln(&b, "runs", runs)
	for _, sv := range []fairway.ServiceName{"carts", "orders"} {
		for _, st := range plan() {
			r, ok, err := w.Route(t.Context(), st.Namespace, sv)
			fmt.Fprintln(&b, sv, st.Namespace, ok, r.Weights, err)
		}
	}
	for _, typ := range []string{fairway.TypeDeletionRequested, fairway.TypeDeletionFailed, fairway.TypeDeliveryAborted, fairway.TypeServiceDeleted, fairway.TypeProjectDeleted} {
		n := 0
		for _, e := range s.view.Events(controller.EventFilter{Type: typ, Limit: 100}) {
			if n++; e.Reason == "" {
				t.Errorf("%s without a reason", e.Type)
			}
		}
		fmt.Fprintln(&b, typ, n)
	}
	return b.String()
}
