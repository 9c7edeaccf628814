package controller_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/fairwaycd/fairway"
	"github.com/fairwaycd/fairway/controller"
	"github.com/fairwaycd/fairway/inmem"
	"github.com/fairwaycd/fairway/nats"
	"github.com/fairwaycd/fairway/sequence"
)

func plan() []fairway.Stage {
	return []fairway.Stage{
		fairway.Stage{Name: "dev", TestStrategy: fairway.FunctionalTests}.WithDefaults(),
		fairway.Stage{Name: "staging", DeploymentStrategy: fairway.BlueGreen, TestStrategy: fairway.PerformanceTests}.WithDefaults(),
		fairway.Stage{Name: "production", DeploymentStrategy: fairway.BlueGreen}.WithDefaults(),
	}
}

// system is a controller over a real JetStream and a world in memory.
type system struct {
	*controller.Controller
	view *controller.View
	srv  *nats.Server
	log  *nats.Store
}

func start(tb testing.TB, dir string, w *inmem.World, wrap func(fairway.Log) fairway.Log, fail func(string)) *system {
	tb.Helper()
	return startSynced(tb, dir, w, wrap, fail, false)
}

// startSynced syncs every write where sync is true. A crash of the process,
// other than one of the machine, does not need that.
func startSynced(tb testing.TB, dir string, w *inmem.World, wrap func(fairway.Log) fairway.Log, fail func(string), sync bool) *system {
	tb.Helper()
	return startWith(tb, dir, w, sync, func(o *controller.Options) {
		o.Failpoint = fail
		if wrap != nil {
			o.Log = wrap(o.Log)
		}
	})
}

// startWith starts a system whose options edit changes.
func startWith(tb testing.TB, dir string, w *inmem.World, sync bool, edit func(*controller.Options)) *system {
	tb.Helper()
	ctx, cancel := context.WithTimeout(tb.Context(), time.Minute)
	defer cancel()
	quiet := slog.New(slog.DiscardHandler)
	srv, err := nats.StartServer(ctx, nats.ServerOptions{Dir: dir, Logger: quiet, Sync: sync})
	if err != nil {
		tb.Fatal(err)
	}
	nc, err := srv.Connect()
	if err != nil {
		tb.Fatal(err)
	}
	st, err := nats.OpenStore(ctx, nc, nats.StoreOptions{})
	if err != nil {
		tb.Fatal(err)
	}
	view := controller.NewView()
	o := controller.Options{
		Log: st, Configuration: w.Configuration(), Platform: w, Traffic: w, Images: w, Metrics: w, Tester: w, Gate: w, Blobs: w, Evaluations: w.Evaluations(),
		View: view, Logger: quiet, SnapshotEvery: 20 * time.Millisecond, MaxTests: 64,
	}
	edit(&o)
	c := controller.New(o)
	if err := c.Start(ctx); err != nil {
		tb.Fatal(err)
	}
	return &system{c, view, srv, st}
}

func (s *system) stop() {
	s.Stop()
	s.log.Close()
	s.srv.Stop()
}

func (s *system) onboard(tb testing.TB, name fairway.ServiceName) {
	tb.Helper()
	if _, err := s.Submit(tb.Context(), "shop", name, "onboard-"+string(name), sequence.Input{Onboard: &sequence.Onboard{Actor: "ann"}}); err != nil {
		tb.Fatal(err)
	}
}

func artifact(tag string) sequence.Input {
	return sequence.Input{Artifact: &sequence.Artifact{
		Source: "/registry", EventID: tag, Pushed: true,
		Artifact: fairway.Artifact{Image: "r/shop/carts", Tag: tag, Digest: fmt.Sprintf("sha256:%064x", tag)},
	}}
}

// until waits for the condition, asked again after every change of the view.
func (s *system) until(tb testing.TB, what string, cond func() bool) {
	tb.Helper()
	changed, cancel := s.view.Watch()
	defer cancel()
	deadline := time.NewTimer(30 * time.Second)
	defer deadline.Stop()
	for !cond() {
		select {
		case <-changed:
		case <-deadline.C:
			tb.Fatalf("%s did not come true; still open: %.1000v", what, s.view.Deliveries(controller.DeliveryFilter{Open: true}))
		}
	}
}

func (s *system) ended(n int) func() bool {
	return func() bool {
		all := s.view.Deliveries(controller.DeliveryFilter{Limit: n + 1})
		return len(all) == n && !slices.ContainsFunc(all, func(d fairway.Delivery) bool { return !d.Status.Ended() })
	}
}

func TestADeliveryGoesThroughAllStages(t *testing.T) {
	t.Parallel()
	w := inmem.NewWorld(plan())
	s := start(t, t.TempDir(), w, nil, nil)
	defer s.stop()
	s.onboard(t, "carts")
	if _, err := s.Submit(t.Context(), "shop", "carts", "1", artifact("1")); err != nil {
		t.Fatal(err)
	}
	s.until(t, "the end", s.ended(1))
	d := s.view.Deliveries(controller.DeliveryFilter{})[0]
	if d.Status != fairway.StatusFinished {
		t.Fatalf("the delivery is %s: %s", d.Status, d.Reason)
	}
	events, err := s.History(t.Context(), d)
	if err != nil {
		t.Fatal(err)
	}
	want := []string{
		"new-artifact",
		"configuration-changed", "deployment-finished", "tests-finished", "stage.finished",
		"configuration-changed", "deployment-finished", "tests-finished", "evaluation-done", "route.changed", "stage.finished",
		"configuration-changed", "deployment-finished", "route.changed", "stage.finished", "delivery.finished",
	}
	if got := shortTypes(events); strings.Join(got, " ") != strings.Join(want, " ") {
		t.Errorf("events\n%v\nwant\n%v", got, want)
	}
	if got, _, _ := w.Route(t.Context(), "production", "carts"); got.Weights.String() != "100/0" {
		t.Errorf("weights are %s", got.Weights)
	}
}

func TestARepeatedEventIsAnswered(t *testing.T) {
	t.Parallel()
	s := start(t, t.TempDir(), inmem.NewWorld(plan()), nil, nil)
	defer s.stop()
	s.onboard(t, "carts")
	in := artifact("1")
	in.Artifact.Pushed = false
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	first, err := s.Submit(ctx, "shop", "carts", "1", in)
	if err != nil {
		t.Fatal(err)
	}
	again, err := s.Submit(ctx, "shop", "carts", "1", in)
	if err != nil {
		t.Fatal(err)
	}
	if again.Delivery != first.Delivery || again.Changed {
		t.Errorf("the first was %s, its repetition %s, changed %v", first.Delivery, again.Delivery, again.Changed)
	}
}

func shortTypes(events []fairway.Event) (out []string) {
	for _, e := range events {
		out = append(out, strings.TrimPrefix(strings.TrimPrefix(e.Type, "sh.keptn.events."), "dev.fairway."))
	}
	return out
}

// mortal is a log whose process can die: from then on nothing is stored.
type mortal struct {
	fairway.Log
	dead *atomic.Bool
	// lose makes an append succeed and its answer get lost.
	lose func() bool
}

var errDead = errors.New("the process is dead")

func (m mortal) Append(ctx context.Context, shard int, e fairway.LogEntry, last uint64) (uint64, error) {
	if m.dead.Load() {
		return 0, errDead
	}
	seq, err := m.Log.Append(ctx, shard, e, last)
	if err == nil && m.lose != nil && m.lose() {
		return 0, fairway.Retryable(errors.New("timeout"))
	}
	return seq, err
}

func (m mortal) SaveState(ctx context.Context, p fairway.ProjectName, s fairway.ServiceName, b []byte) error {
	if m.dead.Load() {
		return errDead
	}
	return m.Log.SaveState(ctx, p, s, b)
}

func (m mortal) SaveEnded(ctx context.Context, d fairway.Delivery, b []byte) error {
	if m.dead.Load() {
		return errDead
	}
	return m.Log.SaveEnded(ctx, d, b)
}

func (m mortal) SaveFloor(ctx context.Context, n int, b []byte) error {
	if m.dead.Load() {
		return errDead
	}
	return m.Log.SaveFloor(ctx, n, b)
}

// The process dies at the n-th failpoint, for every n there is, and is
// started again: events, commits and weights are those of an unkilled run,
// and nothing that has not passed ever has traffic.
func TestCrashAtEveryFailpoint(t *testing.T) {
	t.Parallel()
	for _, run := range []struct {
		name        string
		story       func(*testing.T, *inmem.World) []fairway.Stage
		step, short int // every how manieth failpoint
	}{{"gate", refusedByGate, 1, 7}, {"rollback", putBackDirectly, 5, 7}} {
		t.Run(run.name, func(t *testing.T) {
			t.Parallel()
			want, hits := crashRun(t, -1, run.story)
			if hits < 30 {
				t.Fatalf("only %d failpoints were hit", hits)
			}
			step := run.step
			if testing.Short() {
				step = run.short
			}
			for n := 0; n < hits; n += step {
				t.Run(fmt.Sprint(n), func(t *testing.T) {
					t.Parallel()
					if got, _ := crashRun(t, n, run.story); got != want {
						t.Errorf("after a crash at failpoint %d:\n%s\nwithout it:\n%s", n, got, want)
					}
				})
			}
		})
	}
}

// refusedByGate is a story of three stages, whose gate turns version 2 away.
func refusedByGate(t *testing.T, w *inmem.World) []fairway.Stage {
	w.OnJudge = func(r controller.GateRequest) (fairway.Evaluation, error) {
		v := fairway.VerdictPass
		if r.Subject.Version == "2" {
			v = fairway.VerdictFail
		}
		return fairway.Evaluation{ID: fmt.Sprintf("%s.%s.%d", r.Subject.Delivery, r.Subject.Stage, r.Subject.Attempt), Verdict: v, Reason: "judged " + string(v)}, nil
	}
	w.Exposed = func(b fairway.Backend) {
		if b.Version == "2" && b.Place.Namespace != "dev" {
			t.Errorf("version 2 has traffic in %s", b.Place)
		}
	}
	return plan()
}

// putBackDirectly is a story of a direct stage whose versions take their time
// to be ready, and whose test turns version 2 away: version 1 comes back.
func putBackDirectly(_ *testing.T, w *inmem.World) []fairway.Stage {
	w.OnReady = func(ctx context.Context, _ fairway.Instance) error {
		select {
		case <-time.After(3 * time.Millisecond):
			return nil
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	w.OnTest = func(r controller.TestRequest) (fairway.TestReport, error) {
		return fairway.TestReport{Passed: r.Subject.Version == "1", Reason: "tested " + r.Subject.Version}, nil
	}
	return direct()
}

// crashRun delivers a good and a bad version, dying at the n-th failpoint of
// the deliveries, and describes what came of it.
func crashRun(t *testing.T, n int, story func(*testing.T, *inmem.World) []fairway.Stage) (account string, hits int) {
	t.Helper()
	w := inmem.NewWorld(nil)
	stages := story(t, w)
	w.SetPlan(stages)
	dir := t.TempDir()
	var count atomic.Int64
	count.Store(-1 << 40) // failpoints count once the service is onboarded
	dead := &atomic.Bool{}
	crashed := make(chan struct{})
	var once sync.Once
	s := startWith(t, dir, w, false, func(o *controller.Options) {
		o.Log = mortal{Log: o.Log, dead: dead}
		o.Failpoint = stopper(n, &count, dead, crashed, &once)
		o.SnapshotEvery = 60 * time.Millisecond // some snapshots among the steps, not most of them
	})
	s.onboard(t, "carts")
	count.Store(0)
	again := false
	for i, tag := range []string{"1", "2"} {
		s, again = deliver(t, s, dir, w, tag, i+1, dead, crashed, again)
	}
	account = describe(t, s, w, stages)
	s.stop()
	return account, int(count.Load())
}

// stopper returns a failpoint hook that kills at the n-th call.
func stopper(n int, count *atomic.Int64, dead *atomic.Bool, crashed chan struct{}, once *sync.Once) func(string) {
	return func(string) {
		if count.Add(1) == int64(n)+1 {
			dead.Store(true)
			once.Do(func() { close(crashed) })
		}
		if dead.Load() {
			runtime.Goexit() // what the goroutine would have done next never happens
		}
	}
}

// deliver sends a version and waits for its end. When the process dies
// meanwhile it is started again, once.
func deliver(t *testing.T, s *system, dir string, w *inmem.World, tag string, want int, dead *atomic.Bool, crashed chan struct{}, again bool) (*system, bool) {
	t.Helper()
	var err error
	var wg sync.WaitGroup
	wg.Go(func() { err = s.Store(t.Context(), "shop", "carts", tag, artifact(tag)) })
	wg.Wait()
	if err != nil && !dead.Load() {
		t.Fatal(err)
	}
	if again {
		s.until(t, "the end", s.ended(want))
		return s, true
	}
	changed, cancel := s.view.Watch()
	defer cancel()
	for !s.ended(want)() && !isClosed(crashed) {
		select {
		case <-changed:
		case <-crashed:
		}
	}
	if !isClosed(crashed) {
		return s, false
	}
	s.stop()
	w.Forget()
	dead.Store(false)
	s = start(t, dir, w, nil, nil)
	// The sender got no answer and sends again.
	if err := s.Store(t.Context(), "shop", "carts", tag+"again", artifact(tag)); err != nil {
		t.Fatal(err)
	}
	s.until(t, "the end after a crash", s.ended(want))
	return s, true
}

func isClosed(ch chan struct{}) bool {
	select {
	case <-ch:
		return true
	default:
		return false
	}
}

// describe tells what a run left behind, without what may differ: times, ids
// and how often a sender was told that it repeats itself.
func describe(t *testing.T, s *system, w *inmem.World, stages []fairway.Stage) string {
	t.Helper()
	var b strings.Builder
	ds := s.view.Deliveries(controller.DeliveryFilter{})
	slices.Reverse(ds)
	for _, d := range ds {
		events, err := s.History(t.Context(), d)
		if err != nil {
			t.Fatal(err)
		}
		types := slices.DeleteFunc(shortTypes(events), func(s string) bool {
			return s == "delivery.joined" || s == "artifact.ignored" || s == "step.restarted" || s == "version.stopped"
		})
		fmt.Fprintf(&b, "%s %s %v\n", d.Artifact.Tag, d.Status, types)
	}
	for _, p := range stages {
		r, _, _ := w.Route(t.Context(), p.Namespace, "carts")
		lead, _ := r.Weights.Leader()
		place := fairway.Place{Namespace: p.Namespace, Service: "carts", Colour: lead}
		var at fairway.Backend
		eventually(t, "a version at "+place.String(), func() (ok bool) { at, ok = w.Backend(place); return ok })
		fmt.Fprintf(&b, "%s %s: %s\n", p.Namespace, r.Weights, at.Version)
	}
	fmt.Fprintf(&b, "%d commits\n", len(w.Commits()))
	return b.String()
}

func TestAnAppendWhoseAnswerIsLostCountsOnce(t *testing.T) {
	t.Parallel()
	w := inmem.NewWorld(plan())
	var n atomic.Int64
	var started atomic.Bool // the take-over appends are not decisions
	wrap := func(l fairway.Log) fairway.Log {
		return mortal{Log: l, dead: &atomic.Bool{}, lose: func() bool { return started.Load() && n.Add(1)%3 == 0 }}
	}
	s := start(t, t.TempDir(), w, wrap, nil)
	defer s.stop()
	started.Store(true)
	s.onboard(t, "carts")
	if err := s.Store(t.Context(), "shop", "carts", "1", artifact("1")); err != nil {
		t.Fatal(err)
	}
	s.until(t, "the end", s.ended(1))
	events, err := s.History(t.Context(), s.view.Deliveries(controller.DeliveryFilter{})[0])
	if err != nil || len(events) != 16 {
		t.Errorf("%d events, %v; want 16", len(events), err)
	}
}

func TestASecondDeciderLosesItsShards(t *testing.T) {
	t.Parallel()
	w := inmem.NewWorld(plan())
	s := start(t, t.TempDir(), w, nil, nil)
	defer s.stop()
	s.onboard(t, "carts")
	other := controller.New(controller.Options{
		Log: s.log, Configuration: w.Configuration(), Platform: w, Traffic: w, Images: w, Metrics: w, Tester: w, Gate: w, Blobs: w, Evaluations: w.Evaluations(),
		View: controller.NewView(), Logger: slog.New(slog.DiscardHandler),
	})
	if err := other.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	defer other.Stop()
	shard := s.log.Shard("shop", "carts")
	last, err := s.log.Last(t.Context(), shard)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.log.Append(t.Context(), shard, fairway.LogEntry{Project: "shop", Service: "carts"}, last-1); !errors.Is(err, fairway.ErrFenced) {
		t.Errorf("the first owner's append: %v, want ErrFenced", err)
	}
}

// A sender may use one correlation id for several services, and may send an
// event again long after its delivery is forgotten.
func TestOneContextForTwoServices(t *testing.T) {
	t.Parallel()
	s := start(t, t.TempDir(), inmem.NewWorld([]fairway.Stage{fairway.Stage{Name: "dev"}.WithDefaults()}), nil, nil)
	defer s.stop()
	event := func(id, context string) sequence.Input {
		return sequence.Input{Artifact: &sequence.Artifact{Source: "ci", EventID: id, Context: fairway.DeliveryID(context),
			Artifact: fairway.Artifact{Image: "r/x", Tag: id}}}
	}
	for i, name := range []fairway.ServiceName{"carts", "orders"} {
		s.onboard(t, name)
		d, err := s.Submit(t.Context(), "shop", name, string(name), event("1", "0e2b7f5c-7c3d"))
		if err != nil || (d.Delivery == "0e2b7f5c-7c3d") != (i == 0) {
			t.Errorf("%s: delivery %s, %v", name, d.Delivery, err)
		}
	}
	s.until(t, "both ends", s.ended(2))
	for i := range 70 { // more than the state remembers
		if _, err := s.Submit(t.Context(), "shop", "carts", fmt.Sprint("more", i), event(fmt.Sprint("more", i), "")); err != nil {
			t.Fatal(err)
		}
		s.until(t, "the end", s.ended(3+i))
	}
	if d, err := s.Submit(t.Context(), "shop", "carts", "again", event("more0", "")); err != nil || d.Changed {
		t.Errorf("an event of long ago: %+v, %v", d.Reason, err)
	}
}

// The gateway's word counts: no unproved version is put where traffic goes,
// even when the state says that it goes elsewhere.
func TestAPlaceWithTrafficIsNotTaken(t *testing.T) {
	t.Parallel()
	w := inmem.NewWorld([]fairway.Stage{fairway.Stage{Name: "prod", DeploymentStrategy: fairway.BlueGreen}.WithDefaults()})
	s := start(t, t.TempDir(), w, nil, nil)
	defer s.stop()
	s.onboard(t, "carts")
	if err := s.Store(t.Context(), "shop", "carts", "1", artifact("1")); err != nil {
		t.Fatal(err)
	}
	s.until(t, "the end", s.ended(1))
	if err := w.Restore(t.Context(), fairway.Route{Namespace: "prod", Service: "carts", Weights: fairway.Full(fairway.Green)}); err != nil {
		t.Fatal(err)
	}
	if err := s.Store(t.Context(), "shop", "carts", "2", artifact("2")); err != nil {
		t.Fatal(err)
	}
	s.until(t, "the end", s.ended(2))
	if d := s.view.Deliveries(controller.DeliveryFilter{})[0]; d.Status == fairway.StatusFinished || !strings.Contains(d.Reason, "is not proved") {
		t.Errorf("%s: %s", d.Status, d.Reason)
	}
}
