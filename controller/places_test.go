package controller_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/fairwaycd/fairway"
	"github.com/fairwaycd/fairway/controller"
	"github.com/fairwaycd/fairway/inmem"
)

func direct() []fairway.Stage {
	return []fairway.Stage{fairway.Stage{Name: "dev", TestStrategy: fairway.FunctionalTests}.WithDefaults()}
}

var devCarts = fairway.Place{Namespace: "dev", Service: "carts"}

// eventually waits for what no event tells of.
func eventually(tb testing.TB, what string, cond func() bool) {
	tb.Helper()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(10 * time.Second); !cond(); <-tick.C {
		if time.Now().After(end) {
			tb.Fatalf("%s did not come true", what)
		}
	}
}

// After a restart the version is put back while its test begins again: the
// test's label stays.
func TestPuttingBackKeepsTheLabelOfATest(t *testing.T) {
	t.Parallel()
	dir, w := t.TempDir(), inmem.NewWorld(direct())
	begun := make(chan struct{}, 1)
	w.OnTest = func(controller.TestRequest) (fairway.TestReport, error) {
		begun <- struct{}{}
		return fairway.TestReport{}, fairway.Retryable(errors.New("the tests cannot be run yet"))
	}
	s := start(t, dir, w, nil, nil)
	s.onboard(t, "carts")
	s.deliver(t, "carts", "1")
	<-begun
	s.stop()
	w.Forget()

	labelled := make(chan struct{})
	var once, plain sync.Once
	w.OnAttach = func(b fairway.Backend) {
		if b.Run != "" {
			once.Do(func() { close(labelled) })
			return
		}
		plain.Do(func() {
			select {
			case <-labelled:
			case <-time.After(soon):
			}
		})
	}
	tested := make(chan string, 1)
	w.OnTest = func(r controller.TestRequest) (fairway.TestReport, error) {
		<-time.After(soon) // what else attaches would have done so
		b, _ := w.Backend(devCarts)
		tested <- b.Run
		return fairway.TestReport{Passed: true}, nil
	}
	s = start(t, dir, w, nil, nil)
	defer s.stop()
	if run := <-tested; run == "" {
		t.Error("the version under test has lost its label")
	}
	s.until(t, "the end", s.ended(1))
}

func TestReadinessLostWhileAttachingIsSeen(t *testing.T) {
	t.Parallel()
	w := inmem.NewWorld(direct())
	lost := make(chan string, 1)
	var once sync.Once
	w.OnAttach = func(b fairway.Backend) {
		once.Do(func() {
			w.SetInstanceReady(b.Instance, false)
			lost <- b.Instance
		})
	}
	s := start(t, t.TempDir(), w, nil, nil)
	defer s.stop()
	s.onboard(t, "carts")
	s.deliver(t, "carts", "1")
	id := <-lost
	<-time.After(soon)
	if _, ok, _ := w.Route(t.Context(), "dev", "carts"); ok {
		t.Error("a version that is not ready has traffic")
	}
	w.SetInstanceReady(id, true)
	s.until(t, "the end", s.ended(1))
}

// A version that a direct stage has kept although it failed has its traffic
// after a restart as before.
func TestWhatHasTrafficIsPutBack(t *testing.T) {
	t.Parallel()
	const services = 5
	dir, w := t.TempDir(), inmem.NewWorld(direct())
	w.OnTest = func(controller.TestRequest) (fairway.TestReport, error) {
		return fairway.TestReport{Reason: "it answers 500"}, nil
	}
	s := start(t, dir, w, nil, nil)
	for i := range services {
		name := fairway.ServiceName(fmt.Sprint("svc", i))
		s.onboard(t, name)
		s.deliver(t, name, "1")
	}
	s.until(t, "the end", s.ended(services))
	s.stop()
	w.Forget()
	before := w.Lists()
	s = start(t, dir, w, nil, nil)
	defer s.stop()
	for i := range services {
		place := fairway.Place{Namespace: "dev", Service: fairway.ServiceName(fmt.Sprint("svc", i))}
		eventually(t, "the way to "+place.String(), func() bool { _, ok := w.Backend(place); return ok })
	}
	if n := w.Lists() - before; n > 2 {
		t.Errorf("the instances were listed %d times", n)
	}
}

func TestADeployWaitsForNoScrape(t *testing.T) {
	t.Parallel()
	w := inmem.NewWorld(blueGreen())
	w.OnTrack = func(ctx context.Context, _ fairway.Target) error {
		<-ctx.Done()
		return fmt.Errorf("no scrape came: %w", context.Cause(ctx))
	}
	s := start(t, t.TempDir(), w, nil, nil)
	defer s.stop()
	s.onboard(t, "carts")
	began := time.Now()
	s.deliver(t, "carts", "1")
	s.until(t, "the end", s.ended(1))
	if took := time.Since(began); took > 4*time.Second {
		t.Errorf("the delivery took %s", took)
	}
}
