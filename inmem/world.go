package inmem

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/fairwaycd/fairway"
	"github.com/fairwaycd/fairway/controller"
)

// World is a platform, traffic, configuration, image store, metrics, tests
// and gate in one. Effects are remembered by their key, so that a test can
// count how often each had a visible result.
type World struct {
	mu        sync.Mutex
	plan      []fairway.Stage
	instances map[string]fairway.Instance
	backends  map[fairway.Place]fairway.Backend
	weights   map[string]fairway.Weights
	commits   map[string]string
	order     []string
	blobs     map[string][]byte
	subs      map[int]func(fairway.Instance)
	// Exposed is called with every backend that has weight, after each change
	// of the traffic.
	Exposed func(fairway.Backend)
	// OnTest and OnJudge replace the default, which is to pass.
	OnTest  func(controller.TestRequest) (fairway.TestReport, error)
	OnJudge func(controller.GateRequest) (fairway.Evaluation, error)
	// OnConfigure is called when an artifact is about to be configured.
	OnConfigure func(fairway.Artifact)
	// OnReady replaces the default, which is to be ready at once.
	OnReady func(context.Context, fairway.Instance) error
	// OnApply, OnWeights, OnAttach and OnTrack are called before a workload is
	// applied, weights are committed, a backend is attached, and a target is
	// scraped. With OnTrack every instance asks to be scraped.
	OnApply   func(context.Context, fairway.Workload)
	OnWeights func(context.Context, controller.Change)
	OnAttach  func(fairway.Backend)
	OnTrack   func(context.Context, fairway.Target) error
	lists     int
}

// NewWorld returns a world whose deliveries follow the plan.
func NewWorld(plan []fairway.Stage) *World {
	return &World{
		plan: plan, instances: map[string]fairway.Instance{}, backends: map[fairway.Place]fairway.Backend{},
		weights: map[string]fairway.Weights{}, commits: map[string]string{}, blobs: map[string][]byte{},
		subs: map[int]func(fairway.Instance){},
	}
}

// SetPlan changes the plan for deliveries that start later.
func (w *World) SetPlan(plan []fairway.Stage) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.plan = plan
}

// Plan implements [controller.Configuration].
func (w *World) Plan(context.Context, fairway.ProjectName, fairway.ServiceName) ([]fairway.Stage, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.plan), nil
}

func (w *World) commit(c controller.Change) string {
	w.mu.Lock()
	defer w.mu.Unlock()
	if h, ok := w.commits[c.Key]; ok {
		return h
	}
	h := fmt.Sprintf("%040x", len(w.commits)+1)
	w.commits[c.Key] = h
	w.order = append(w.order, c.Key)
	return h
}

// Commits returns the keys of all commits, in order.
func (w *World) Commits() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.order)
}

// SetImage implements [controller.Configuration].
func (w *World) SetImage(_ context.Context, c controller.Change, a fairway.Artifact) (string, error) {
	if w.OnConfigure != nil {
		w.OnConfigure(a)
	}
	return w.commit(c), nil
}

// SetWeights and the traffic's method of that name differ in their arguments,
// so the configuration's is on [World.Configuration]'s value.
type configuration struct{ *World }

// Configuration returns the world's configuration.
func (w *World) Configuration() controller.Configuration { return configuration{w} }

func (c configuration) SetWeights(ctx context.Context, ch controller.Change, _ fairway.Weights) (string, error) {
	if c.OnWeights != nil {
		c.OnWeights(ctx, ch)
	}
	return c.commit(ch), nil
}

// PutBack implements [controller.Configuration]: of what is configured only
// that it was is kept.
func (c configuration) PutBack(_ context.Context, ch controller.Change) error {
	c.commit(ch)
	return nil
}

// Render implements [controller.Configuration].
func (w *World) Render(context.Context, controller.Change, string, fairway.Artifact) (controller.Objects, error) {
	return controller.Objects{}, nil
}

// Objectives implements [controller.Configuration].
func (w *World) Objectives(context.Context, controller.Change, string) (map[string][]byte, error) {
	return map[string][]byte{"perfspec/perfspec.json": []byte("{}")}, nil
}

// Tests implements [controller.Configuration].
func (w *World) Tests(context.Context, controller.Change, string) (map[string][]byte, error) {
	return nil, nil
}

// Services implements [controller.Configuration]; the world's git names none.
func (w *World) Services(context.Context, fairway.ProjectName) ([]fairway.ServiceName, error) {
	return nil, nil
}

// Remove implements [controller.Configuration].
func (w *World) Remove(_ context.Context, c controller.Change) error {
	w.commit(c)
	return nil
}

// Resolve implements [fairway.ImageStore].
func (w *World) Resolve(_ context.Context, _ fairway.ProjectName, a fairway.Artifact) (fairway.Artifact, error) {
	a.Digest = fmt.Sprintf("sha256:%064x", a.Tag)
	return a, nil
}

// Unpack implements [fairway.ImageStore].
func (w *World) Unpack(context.Context, fairway.ProjectName, fairway.Artifact) (fairway.UnpackedImage, error) {
	return fairway.UnpackedImage{}, nil
}

// nowhere is the address of instances: nothing answers there.
const nowhere = "127.0.0.1:9"

// Run makes instances run that an earlier world has applied.
func (w *World) Run(all []fairway.Instance) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, i := range all {
		w.instances[i.ID] = i
	}
}

// Apply implements [fairway.Platform].
func (w *World) Apply(ctx context.Context, l fairway.Workload) error {
	if w.OnApply != nil {
		w.OnApply(ctx, l)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if _, ok := w.instances[l.Instance]; !ok {
		i := fairway.Instance{
			ID: l.Instance, Project: l.Project, Stage: l.Stage, Place: l.Place, Delivery: l.Delivery, Artifact: l.Artifact,
			Address: nowhere, Ready: true,
		}
		if w.OnTrack != nil {
			i.MetricsAddress = "metrics.invalid:80"
		}
		w.instances[l.Instance] = i
	}
	return nil
}

// AwaitReady implements [fairway.Platform].
func (w *World) AwaitReady(ctx context.Context, id string) (fairway.Instance, error) {
	w.mu.Lock()
	i, ok := w.instances[id]
	w.mu.Unlock()
	if !ok {
		return i, fairway.Errorf(fairway.KindNotFound, "no instance %s", id)
	}
	if w.OnReady != nil {
		return i, w.OnReady(ctx, i)
	}
	return i, nil
}

// Stop implements [fairway.Platform].
func (w *World) Stop(_ context.Context, id string) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.instances, id)
	return nil
}

// SetInstanceReady changes an instance's readiness and tells who subscribed.
func (w *World) SetInstanceReady(id string, ready bool) {
	w.mu.Lock()
	i := w.instances[id]
	i.Ready = ready
	w.instances[id] = i
	subs := slices.Collect(maps.Values(w.subs))
	w.mu.Unlock()
	for _, f := range subs {
		f(i)
	}
}

// Lists returns how often the instances were listed.
func (w *World) Lists() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.lists
}

// Backend returns what stands behind a place.
func (w *World) Backend(p fairway.Place) (fairway.Backend, bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	b, ok := w.backends[p]
	return b, ok
}

// Instances implements [fairway.Platform].
func (w *World) Instances(context.Context) ([]fairway.Instance, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.lists++
	var all []fairway.Instance
	for _, i := range w.instances {
		all = append(all, i)
	}
	return all, nil
}

// Subscribe implements [fairway.Platform].
func (w *World) Subscribe(f func(fairway.Instance)) func() {
	w.mu.Lock()
	defer w.mu.Unlock()
	n := len(w.subs)
	w.subs[n] = f
	return func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		delete(w.subs, n)
	}
}

// Logs implements [fairway.Platform].
func (w *World) Logs(context.Context, fairway.DeliveryID, io.Writer, bool) error { return nil }

// Attach implements [fairway.Traffic].
func (w *World) Attach(_ context.Context, b fairway.Backend) error {
	if w.OnAttach != nil {
		w.OnAttach(b)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.backends[b.Place] = b
	w.expose()
	return nil
}

// Drain implements [fairway.Traffic].
func (w *World) Drain(_ context.Context, p fairway.Place, instance string, _ time.Duration) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.backends[p].Instance == instance {
		delete(w.backends, p)
	}
	return 0, nil
}

// SetWeights implements [fairway.Traffic].
func (w *World) SetWeights(_ context.Context, r fairway.Route) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	key := string(r.Namespace) + "/" + string(r.Service)
	if r.Weights == nil {
		delete(w.weights, key)
		return nil
	}
	for c, v := range r.Weights {
		b, ok := w.backends[fairway.Place{Namespace: r.Namespace, Service: r.Service, Colour: c}]
		if v > 0 && (!ok || !b.Ready) {
			return fairway.Errorf(fairway.KindRefused, "%s is not ready", c)
		}
	}
	w.weights[key] = r.Weights
	w.expose()
	return nil
}

// Restore implements [fairway.Traffic].
func (w *World) Restore(_ context.Context, r fairway.Route) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.weights[string(r.Namespace)+"/"+string(r.Service)] = r.Weights
	w.expose()
	return nil
}

// expose reports every backend that has weight; the caller holds the lock.
func (w *World) expose() {
	if w.Exposed == nil {
		return
	}
	for p, b := range w.backends {
		if w.weights[string(p.Namespace)+"/"+string(p.Service)][p.Colour] > 0 {
			w.Exposed(b)
		}
	}
}

// SetReady implements [fairway.Traffic].
func (w *World) SetReady(p fairway.Place, instance string, ready bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if b, ok := w.backends[p]; ok && b.Instance == instance {
		b.Ready = ready
		w.backends[p] = b
	}
}

// Route implements [fairway.Traffic].
func (w *World) Route(_ context.Context, ns fairway.Namespace, s fairway.ServiceName) (fairway.Route, bool, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	got, ok := w.weights[string(ns)+"/"+string(s)]
	return fairway.Route{Namespace: ns, Service: s, Weights: got}, ok, nil
}

// Forget is what happens to routes and backends when the process ends: they
// live in its memory. Instances, commits and blobs stay.
func (w *World) Forget() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.backends, w.weights = map[fairway.Place]fairway.Backend{}, map[string]fairway.Weights{}
	w.subs = map[int]func(fairway.Instance){}
}

// Track implements [controller.Metrics].
func (w *World) Track(ctx context.Context, t fairway.Target) (time.Time, error) {
	if w.OnTrack != nil {
		return time.Now(), w.OnTrack(ctx, t)
	}
	return time.Now(), nil
}

// Settle implements [controller.Metrics].
func (w *World) Settle(_ context.Context, _ fairway.Place, after time.Time) (time.Time, error) {
	return after, nil
}

// Untrack implements [controller.Metrics].
func (w *World) Untrack(fairway.Place) {}

// Test implements [controller.Tester].
func (w *World) Test(_ context.Context, r controller.TestRequest) (fairway.TestReport, error) {
	if w.OnTest != nil {
		return w.OnTest(r)
	}
	now := time.Now()
	return fairway.TestReport{Strategy: r.Strategy, Passed: true, Reason: "the tests passed", Window: fairway.Window{Start: now, End: now}}, nil
}

// Judge implements [controller.Gate].
func (w *World) Judge(_ context.Context, r controller.GateRequest) (fairway.Evaluation, error) {
	if w.OnJudge != nil {
		return w.OnJudge(r)
	}
	s := r.Subject
	return fairway.Evaluation{
		ID: fmt.Sprintf("%s.%s.%d", s.Delivery, s.Stage, s.Attempt), Subject: s, Window: r.Window,
		Verdict: fairway.VerdictPass, TotalScore: 100, Reason: "the gate passed",
	}, nil
}

// Evaluations implements [controller.Evaluations] by the blobs.
func (w *World) Evaluations() controller.Evaluations { return evaluations{w} }

type evaluations struct{ *World }

func (e evaluations) Put(ctx context.Context, ev fairway.Evaluation) error {
	body, err := json.Marshal(ev)
	if err != nil {
		return err
	}
	return e.World.Put(ctx, ev.ID, body)
}

// Put implements [controller.Blobs].
func (w *World) Put(_ context.Context, name string, body []byte) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.blobs[name] = body
	return nil
}
