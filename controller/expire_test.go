package controller_test

import (
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/fairwaycd/fairway"
	"github.com/fairwaycd/fairway/controller"
	"github.com/fairwaycd/fairway/inmem"
)

// TestOldDeliveriesExpire, but none whose version lives; an interruption and a
// restart change nothing about it.
func TestOldDeliveriesExpire(t *testing.T) {
	t.Parallel()
	dir, w := t.TempDir(), inmem.NewWorld(plan())
	var ahead atomic.Int64
	run := func() *system {
		return startWith(t, dir, w, false, func(o *controller.Options) {
			o.Now = func() time.Time { return time.Now().Add(time.Duration(ahead.Load())) }
		})
	}
	s := run()
	s.onboard(t, "carts")
	const n = 9
	for i := range n {
		if _, err := s.Submit(t.Context(), "shop", "carts", fmt.Sprint(i), artifact(fmt.Sprintf("v%d", i))); err != nil {
			t.Fatal(err)
		}
		s.until(t, "the delivery", s.ended(i+1))
	}
	all := s.view.Deliveries(controller.DeliveryFilter{})
	expire := func(e controller.Expiry, gone func(fairway.Delivery) error) (int, error) {
		t.Helper()
		return s.Expire(t.Context(), e, gone)
	}
	var told []fairway.DeliveryID
	tell := func(d fairway.Delivery) error {
		if len(d.Stages) == 0 {
			t.Errorf("%s is not whole", d.ID)
		}
		told = append(told, d.ID)
		return nil
	}
	// What ended just now is not touched.
	if got, err := expire(controller.Expiry{Keep: 1, For: time.Hour, Most: 100}, tell); got != 0 || err != nil {
		t.Fatalf("%d, %v", got, err)
	}
	ahead.Store(int64(2 * time.Minute))
	if got, err := expire(controller.Expiry{Keep: 5, For: time.Hour, Most: 3}, tell); got != 3 || err != nil {
		t.Fatalf("%d, %v", got, err)
	}
	broken := errors.New("the disk is gone")
	if got, err := expire(controller.Expiry{Keep: 5, For: time.Hour, Most: 3}, func(fairway.Delivery) error { return broken }); got != 0 || !errors.Is(err, broken) {
		t.Fatalf("%d, %v", got, err)
	}
	if got, err := expire(controller.Expiry{Keep: 5, For: time.Hour, Most: 3}, tell); got != 1 || err != nil {
		t.Fatalf("%d, %v", got, err)
	}
	want := []fairway.DeliveryID{all[8].ID, all[7].ID, all[6].ID, all[5].ID}
	if !slices.Equal(told, want) {
		t.Errorf("expired %v, want the oldest %v", told, want)
	}
	// By age, everything but what lives: blue and green of two stages.
	ahead.Store(int64(2 * time.Hour))
	if _, err := expire(controller.Expiry{Keep: 100, For: time.Hour, Most: 100}, tell); err != nil {
		t.Fatal(err)
	}
	check := func() {
		t.Helper()
		left := s.view.Deliveries(controller.DeliveryFilter{})
		if len(left) != 2 || left[0].ID != all[0].ID || left[1].ID != all[1].ID {
			t.Errorf("left are %d, want the two that live", len(left))
		}
		for _, d := range all[2:] {
			if events, err := s.History(t.Context(), d); len(events) != 0 || err != nil {
				t.Errorf("%s has %d events, %v", d.ID, len(events), err)
			}
			if _, err := s.Delivery(t.Context(), string(d.ID)); fairway.KindOf(err) != fairway.KindNotFound {
				t.Errorf("%s: %v", d.ID, err)
			}
		}
		if counts := s.view.Counts(); counts[controller.CountKey{Project: "shop", Status: fairway.StatusFinished}] != len(left) {
			t.Errorf("counts %v", counts)
		}
	}
	check()
	s.stop()
	s = run()
	defer func() { s.stop() }()
	check()
	if _, err := s.Submit(t.Context(), "shop", "carts", "next", artifact("next")); err != nil {
		t.Fatal(err)
	}
	s.until(t, "the next delivery", s.ended(3))
	// Images: what lives, and the newest.
	wanted := s.view.Images(1)
	if !wanted.Tags["r/shop/carts:next"] || !wanted.Tags["r/shop/carts:v8"] || wanted.Tags["r/shop/carts:v7"] || !wanted.Known["r/shop/carts:v7"] {
		t.Errorf("wanted %v, known %v", wanted.Tags, wanted.Known)
	}
}
