package app

import (
	"context"
	"io"
	"testing"

	"github.com/fairwaycd/fairway"
	"github.com/fairwaycd/fairway/api"
)

// Before the stored states are loaded nobody is told that a delivery does not
// exist: who waits for it would give up.
func TestNothingIsToldBeforeTheStatesAreLoaded(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	a, err := New(ctx, Options{Data: t.TempDir(), Listen: "127.0.0.1:0", Gateway: "127.0.0.1:0"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := a.Stop(context.WithoutCancel(ctx)); err != nil {
			t.Error(err)
		}
	})
	b := &backend{a}
	for name, ask := range map[string]func() error{
		"Services":       func() error { _, err := b.Services(ctx, ""); return err },
		"Deliveries":     func() error { _, err := b.Deliveries(ctx, api.DeliveryFilter{}); return err },
		"Delivery":       func() error { _, err := b.Delivery(ctx, "0e2b7f5c"); return err },
		"DeliveryEvents": func() error { _, err := b.DeliveryEvents(ctx, "0e2b7f5c"); return err },
		"Events":         func() error { _, err := b.Events(ctx, api.EventFilter{}); return err },
		"Routes":         func() error { _, err := b.Routes(ctx); return err },
		"Logs":           func() error { return b.Logs(ctx, "0e2b7f5c", io.Discard, false) },
		"Watch":          func() error { return b.Watch(ctx, func(api.Change) error { return nil }) },
	} {
		if err := ask(); fairway.KindOf(err) != fairway.KindUnavailable {
			t.Errorf("%s answers %v", name, err)
		}
	}
}
