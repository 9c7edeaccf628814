package app_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/fairwaycd/fairway"
	"github.com/fairwaycd/fairway/api"
	"github.com/fairwaycd/fairway/app"
)

func start(t *testing.T, dir string) (*app.App, *api.Client) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	a, err := app.New(ctx, app.Options{Data: dir, Listen: "127.0.0.1:0", Gateway: "127.0.0.1:0"})
	if err != nil {
		t.Fatal(err)
	}
	if err := a.Start(ctx); err != nil {
		t.Fatal(err)
	}
	return a, api.NewClient(api.ClientOptions{URL: "http://" + a.Address(), Token: a.Token()})
}

func stop(t *testing.T, a *app.App) {
	t.Helper()
	if err := a.Stop(context.WithoutCancel(t.Context())); err != nil {
		t.Error(err)
	}
}

// A restart under another address begins no delivery: what was pushed is
// known by its name in the registry, not by the address that this had.
func TestARestartUnderAnotherAddressBeginsNothing(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	a, c := start(t, dir)
	shop(t, c)
	pushWeb(t, a, "1")
	waitFor(t, c, 1)
	stop(t, a)
	a, c = start(t, dir)
	defer stop(t, a)
	pushWeb(t, a, "2")
	ds := waitFor(t, c, 2)
	if len(ds) != 2 {
		t.Errorf("%d deliveries, want the one before and the one after the restart", len(ds))
	}
}

// waitFor waits until n deliveries have ended.
func waitFor(t *testing.T, c *api.Client, n int) (all []fairway.Delivery) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	err := c.Watch(ctx, func(api.Change) error {
		var err error
		if all, err = c.Deliveries(ctx, api.DeliveryFilter{}); err != nil {
			return err
		}
		ended := 0
		for _, d := range all {
			if d.Status.Ended() {
				ended++
			}
		}
		if ended >= n {
			return errEnough
		}
		return nil
	})
	if err != errEnough {
		t.Fatalf("%d deliveries did not end: %v, %+v", n, err, all)
	}
	return all
}

var errEnough = errors.New("enough")

func TestWhatIsTakenIsNamed(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	a, _ := start(t, dir)
	defer stop(t, a)
	for name, c := range map[string]struct {
		o    app.Options
		want string
	}{
		"port":         {app.Options{Data: t.TempDir(), Listen: a.Address(), Gateway: "127.0.0.1:0"}, "--listen"},
		"gateway port": {app.Options{Data: t.TempDir(), Listen: "127.0.0.1:0", Gateway: a.GatewayAddress()}, "--gateway"},
		"directory":    {app.Options{Data: dir, Listen: "127.0.0.1:0", Gateway: "127.0.0.1:0"}, "in use by process"},
		"not loopback": {app.Options{Data: t.TempDir(), Listen: "0.0.0.0:0", Gateway: "127.0.0.1:0"}, "without isolation"},
		"drain":        {app.Options{Data: t.TempDir(), Drain: time.Hour}, "at most 2m"},
		"no drain":     {app.Options{Data: t.TempDir(), Drain: -time.Second}, "more than 0s"},
		"durability":   {app.Options{Data: t.TempDir(), Durability: "maybe"}, "power or process"},
	} {
		b, err := app.New(t.Context(), c.o)
		if err == nil {
			stop(t, b)
		}
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want a message with %q", name, err, c.want)
		}
	}
	if _, err := os.Stat(filepath.Join(dir, "token")); err != nil {
		t.Error(err)
	}
}
