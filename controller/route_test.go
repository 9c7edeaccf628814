package controller_test

import (
	"context"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/fairwaycd/fairway"
	"github.com/fairwaycd/fairway/controller"
	"github.com/fairwaycd/fairway/inmem"
	"github.com/fairwaycd/fairway/sequence"
)

// branch is a stage's branch as far as weights go: what it says, and which
// keys it has seen.
type branch struct {
	controller.Configuration
	mu        sync.Mutex
	says      string
	keys      map[string]bool
	committed func(c controller.Change) // called after each commit, without the lock
}

func (b *branch) SetWeights(ctx context.Context, c controller.Change, w fairway.Weights) (string, error) {
	hash, err := b.Configuration.SetWeights(ctx, c, w)
	b.mu.Lock()
	if c.Key == "" || !b.keys[c.Key] {
		b.says = w.String()
		b.keys[c.Key] = true
	}
	f := b.committed
	b.mu.Unlock()
	if f != nil {
		f(c)
	}
	return hash, err
}

func (b *branch) weights() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.says
}

// twoVersions starts a system in which 1 runs in blue and 2, which has the
// traffic, in green.
func twoVersions(t *testing.T, dir string, w *inmem.World) (*system, *branch) {
	t.Helper()
	b := &branch{Configuration: w.Configuration(), keys: map[string]bool{}}
	s := startWith(t, dir, w, false, func(o *controller.Options) { o.Configuration = b })
	s.onboard(t, "carts")
	for i, tag := range []string{"1", "2"} {
		s.deliver(t, "carts", tag)
		s.until(t, "release of "+tag, s.ended(i+1))
	}
	return s, b
}

func (s *system) routeByHand(t *testing.T, blue int) fairway.DeliveryID {
	t.Helper()
	d, err := s.Submit(t.Context(), "shop", "carts", "route", sequence.Input{Command: &sequence.Command{
		Verb: sequence.SetRoute, Stage: "production", Actor: "ann", Reason: "a look",
		Weights: fairway.Weights{fairway.Blue: blue, fairway.Green: 100 - blue},
	}})
	if err != nil || d.Refused != nil {
		t.Fatal(err, d.Refused)
	}
	return d.Delivery
}

// routed waits for what came of a person's weights.
func (s *system) routed(t *testing.T, id fairway.DeliveryID) (e controller.Stored) {
	t.Helper()
	s.until(t, "the answer to the weights", func() bool {
		for _, e = range s.view.Events(controller.EventFilter{Delivery: id}) {
			if e.Type == fairway.TypeRouteChanged || e.Type == fairway.TypeRouteRefused {
				return true
			}
		}
		return false
	})
	return e
}

func instanceOf(t *testing.T, w *inmem.World, tag string) string {
	t.Helper()
	all, err := w.Instances(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	i := slices.IndexFunc(all, func(i fairway.Instance) bool { return i.Artifact.Tag == tag })
	if i < 0 {
		t.Fatalf("%s does not run", tag)
	}
	return all[i].ID
}

func wantWeights(t *testing.T, w *inmem.World, b *branch, want string) {
	t.Helper()
	r, _, err := w.Route(t.Context(), "production", "carts")
	if err != nil || r.Weights.String() != want || b.weights() != want {
		t.Errorf("traffic %s, git %s, want %s (%v)", r.Weights, b.weights(), want, err)
	}
}

func TestWeightsByHand(t *testing.T) {
	t.Parallel()
	w := inmem.NewWorld(blueGreen())
	s, b := twoVersions(t, t.TempDir(), w)
	defer s.stop()
	e := s.routed(t, s.routeByHand(t, 70))
	if e.Type != fairway.TypeRouteChanged || !strings.Contains(e.Reason, "70/30 (ann: a look)") {
		t.Errorf("%s: %s", e.Type, e.Reason)
	}
	wantWeights(t, w, b, "70/30")
	if !slices.ContainsFunc(w.Commits(), func(key string) bool { return strings.HasSuffix(key, "/route") }) {
		t.Errorf("no commit has the effect's key: %v", w.Commits())
	}
}

func TestWeightsByHandForWhatDoesNotRunLeaveNothing(t *testing.T) {
	t.Parallel()
	w := inmem.NewWorld(blueGreen())
	s, b := twoVersions(t, t.TempDir(), w)
	defer s.stop()
	one := instanceOf(t, w, "1")
	w.SetInstanceReady(one, false)
	if err := w.Stop(t.Context(), one); err != nil {
		t.Fatal(err)
	}
	e := s.routed(t, s.routeByHand(t, 70))
	if e.Type != fairway.TypeRouteRefused || !strings.Contains(e.Reason, "blue is not ready") {
		t.Errorf("%s: %s", e.Type, e.Reason)
	}
	wantWeights(t, w, b, "0/100")
}

// What runs and is not ready at this moment, as after a restart, is waited for.
func TestWeightsByHandWaitForReadiness(t *testing.T) {
	t.Parallel()
	w := inmem.NewWorld(blueGreen())
	s, b := twoVersions(t, t.TempDir(), w)
	defer s.stop()
	one := instanceOf(t, w, "1")
	w.SetInstanceReady(one, false)
	id := s.routeByHand(t, 70)
	<-time.After(soon)
	w.SetInstanceReady(one, true)
	if e := s.routed(t, id); e.Type != fairway.TypeRouteChanged {
		t.Errorf("%s: %s", e.Type, e.Reason)
	}
	wantWeights(t, w, b, "70/30")
}

// The process ends after git was put back and before that is stored. At the
// next start the version is ready: git and traffic have to agree all the same.
func TestWeightsByHandOverARestart(t *testing.T) {
	t.Parallel()
	dir, w := t.TempDir(), inmem.NewWorld(blueGreen())
	s, b := twoVersions(t, dir, w)
	one := instanceOf(t, w, "1")
	w.SetInstanceReady(one, false)
	back, goOn := make(chan struct{}), make(chan struct{})
	b.mu.Lock()
	b.committed = func(c controller.Change) {
		if c.Key == "" {
			close(back)
			<-goOn
		}
	}
	b.mu.Unlock()
	id := s.routeByHand(t, 70)
	<-back
	b.mu.Lock()
	b.committed = nil
	b.mu.Unlock()
	stopped := make(chan struct{})
	go func() { s.stop(); close(stopped) }()
	<-time.After(soon)
	close(goOn)
	<-stopped
	wantWeights(t, w, b, "0/100")
	w.SetInstanceReady(one, true)
	w.Forget()
	s = startWith(t, dir, w, false, func(o *controller.Options) { o.Configuration = b })
	defer s.stop()
	if e := s.routed(t, id); e.Type != fairway.TypeRouteChanged {
		t.Errorf("%s: %s", e.Type, e.Reason)
	}
	wantWeights(t, w, b, "70/30")
}
