package controller_test

import (
	"context"
	"sync/atomic"
	"testing"

	"github.com/fairwaycd/fairway"
	"github.com/fairwaycd/fairway/controller"
	"github.com/fairwaycd/fairway/inmem"
)

// skipping is a log that now and then has skipped a sequence when an append
// comes, as after a write that the disk had no room for.
type skipping struct {
	fairway.Log
	now func() bool
}

func (l skipping) Append(ctx context.Context, shard int, e fairway.LogEntry, last uint64) (uint64, error) {
	if l.now() {
		torn := fairway.LogEntry{Project: e.Project, Service: e.Service, Delivery: "torn", Body: []byte("{}")}
		if _, err := l.Log.Append(ctx, shard, torn, last); err != nil {
			return 0, err
		}
		if err := l.Forget(ctx, fairway.Delivery{ID: "torn", Project: e.Project, Service: e.Service}); err != nil {
			return 0, err
		}
	}
	return l.Log.Append(ctx, shard, e, last)
}

func TestASequenceWithoutAnEntryIsPassedOver(t *testing.T) {
	t.Parallel()
	w := inmem.NewWorld(plan())
	var n atomic.Int64
	var started atomic.Bool // the take-over appends are not decisions
	wrap := func(l fairway.Log) fairway.Log {
		return skipping{l, func() bool { return started.Load() && n.Add(1)%3 == 0 }}
	}
	s := start(t, t.TempDir(), w, wrap, nil)
	defer s.stop()
	started.Store(true)
	s.onboard(t, "carts")
	for _, tag := range []string{"1", "2"} { // the second supersedes, and is told where
		if err := s.Store(t.Context(), "shop", "carts", tag, artifact(tag)); err != nil {
			t.Fatal(err)
		}
	}
	s.until(t, "the end", s.ended(2))
	for _, d := range s.view.Deliveries(controller.DeliveryFilter{}) {
		if events, err := s.History(t.Context(), d); err != nil || len(events) < 2 {
			t.Errorf("%s %s: %d events, %v", d.Artifact.Tag, d.Status, len(events), err)
		}
	}
}
