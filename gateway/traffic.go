package gateway

import (
	"context"
	"errors"
	"maps"
	"net"
	"slices"
	"time"

	"github.com/fairwaycd/fairway"
)

// Attach puts the backend behind its place, replacing what stood there: new
// requests go to it as soon as it is ready and its place has weight, requests
// under way stay. Attaching the instance that stands there at the same address
// changes what is known of it (version, run, readiness) and keeps its
// connections. It fails with [fairway.KindInvalid] for a backend that is not
// well formed, and with [fairway.KindConflict] when another project has the
// service's name in that namespace.
func (g *Gateway) Attach(ctx context.Context, b fairway.Backend) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := validate(b); err != nil {
		return err
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	s := g.service(key{b.Place.Namespace, b.Place.Service})
	if s.project != "" && s.project != b.Project {
		return fairway.Errorf(fairway.KindConflict, "the service %s in namespace %s belongs to project %s; give the stage of project %s a namespace of its own, such as %s-%s",
			s.name, s.ns, s.project, b.Project, b.Project, s.ns)
	}
	s.project = b.Project
	old := s.places[b.Place.Colour]
	t := &target{Backend: b, meter: g.metrics.of(b)}
	if old != nil && old.Instance == b.Instance && old.Address == b.Address {
		t.up, old = old.up, nil
	} else {
		t.up = newUpstream(b)
	}
	t.proxy = g.proxy(t)
	s.places[b.Place.Colour] = t
	g.publish(g.table.Load().with(s), old)
	g.o.Logger.Info("backend attached", "place", b.Place.String(), "instance", b.Instance, "address", b.Address, "version", b.Version, "run", b.Run, "ready", b.Ready)
	return nil
}

func validate(b fairway.Backend) error {
	var ps []fairway.Problem
	for _, err := range []error{b.Place.Namespace.Validate(), b.Place.Service.Validate(), b.Project.Validate()} {
		ps = append(ps, fairway.Problems(err)...)
	}
	if _, err := fairway.ParseColour(string(b.Place.Colour)); err != nil {
		ps = append(ps, fairway.Problems(err)...)
	}
	if b.Instance == "" {
		ps = append(ps, fairway.Problem{Field: "instance", Message: "is empty", Remedy: "give the id of the platform's instance"})
	}
	if _, port, err := net.SplitHostPort(b.Address); err != nil || port == "" {
		ps = append(ps, fairway.Problem{Field: "address", Value: b.Address, Message: "is not HOST:PORT", Remedy: "give the address that answers requests, such as 127.0.0.1:34567"})
	}
	return fairway.InvalidAll(ps)
}

// Drain takes the instance out of its place if it still stands there. From its
// return on the instance gets no request. It waits until the last request at
// the instance has ended, upgraded connections included, also when Attach put
// another into the place before; at the limit it closes what is left and
// returns how many that were. A limit of zero or less means Options.Drain.
// When ctx ends first, it returns ctx's error and cuts nothing: Drain may be
// called again. An instance that nobody knows is drained already.
func (g *Gateway) Drain(ctx context.Context, place fairway.Place, instance string, limit time.Duration) (int, error) {
	if limit <= 0 {
		limit = g.o.Drain
	}
	began := time.Now()
	limited, cancel := context.WithTimeoutCause(ctx, limit, errCut)
	defer cancel()
	cut := 0
	for _, t := range g.takeOut(place, instance) {
		select {
		case <-t.up.idle:
		case <-limited.Done():
		}
		if t.up.isIdle() {
			continue
		}
		if !errors.Is(context.Cause(limited), errCut) {
			return cut, fairway.Errorf(fairway.KindUnavailable, "%s still has %d requests under way at instance %s: %w", place, t.up.inFlight(), instance, ctx.Err())
		}
		upgrades := t.up.upgrades.Load()
		n := t.up.cut()
		cut += n
		g.o.Logger.Warn("cut off what did not end within the drain limit", "place", place.String(), "instance", instance,
			"requests", int64(n)-upgrades, "upgraded", upgrades, "limit", limit)
	}
	g.o.Logger.Info("backend drained", "place", place.String(), "instance", instance, "took", time.Since(began), "cut", cut)
	return cut, nil
}

// takeOut takes the instance out of its place and returns everything of it
// that may have requests under way.
func (g *Gateway) takeOut(place fairway.Place, instance string) []*target {
	g.mu.Lock()
	defer g.mu.Unlock()
	s := g.service(key{place.Namespace, place.Service})
	if t := s.places[place.Colour]; t != nil && t.Instance == instance {
		s.places[place.Colour] = nil
		g.publish(g.table.Load().with(s), t)
	}
	var found []*target
	for _, t := range g.leaving {
		if t.Place == place && t.Instance == instance {
			found = append(found, t)
		}
	}
	return found
}

// SetWeights changes the split; nil weights take it away, as before the first
// release. It refuses ([fairway.KindRefused]) a weight
// above zero for a place without a ready backend, and with
// [fairway.KindInvalid] weights that do not sum to 100 or name both a colour
// and the place of a direct stage; it changes nothing then.
func (g *Gateway) SetWeights(ctx context.Context, r fairway.Route) error {
	return g.setWeights(ctx, r, true)
}

// Restore puts back the split that was in force when the process ended. Unlike
// SetWeights it does not ask whether the backends are ready: that the split
// was in force is a fact, and what is not ready gets no request anyway.
func (g *Gateway) Restore(ctx context.Context, r fairway.Route) error {
	return g.setWeights(ctx, r, false)
}

func (g *Gateway) setWeights(ctx context.Context, r fairway.Route, ask bool) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if r.Weights != nil {
		if err := validateWeights(r.Weights); err != nil {
			return err
		}
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	s := g.service(key{r.Namespace, r.Service})
	for _, c := range slices.Sorted(maps.Keys(r.Weights)) {
		if _, ok := s.ready(c); ask && !ok && r.Weights[c] > 0 {
			return fairway.Errorf(fairway.KindRefused, "%s in %s: %s cannot get %d %% of the requests: %s; the weights stay %s, wait until a version is ready there",
				r.Service, r.Namespace, c, r.Weights[c], s.state(c), inForce(s.weights))
		}
	}
	before := s.weights
	s.weights = maps.Clone(r.Weights)
	g.publish(g.table.Load().with(s), nil)
	g.o.Logger.Info("weights changed", "namespace", r.Namespace, "service", r.Service, "before", inForce(before), "weights", inForce(s.weights))
	return nil
}

func inForce(w fairway.Weights) string {
	if w == nil {
		return "unset"
	}
	return w.String()
}

func validateWeights(w fairway.Weights) error {
	for c := range w {
		if _, err := fairway.ParseColour(string(c)); err != nil {
			return err
		}
	}
	if _, single := w[fairway.Single]; single && len(w) > 1 {
		return fairway.Invalid("weights", w.String(), "name a colour and the place of a direct stage at once", "give weights to blue and green, or 100 to the direct place")
	}
	return w.Validate()
}

// Route returns the split in force; ok is false when none was set.
func (g *Gateway) Route(_ context.Context, ns fairway.Namespace, name fairway.ServiceName) (fairway.Route, bool, error) {
	s := g.table.Load().service(key{ns, name})
	if s == nil || s.weights == nil {
		return fairway.Route{}, false, nil
	}
	return fairway.Route{Namespace: ns, Service: name, Weights: maps.Clone(s.weights)}, true, nil
}

// SetReady changes the readiness of the instance, if it stands in its place. No
// request that arrives after SetReady(…, false) returned goes to it. It does
// not block, so that it can be called from [fairway.Platform.Subscribe].
func (g *Gateway) SetReady(place fairway.Place, instance string, ready bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	s := g.service(key{place.Namespace, place.Service})
	t := s.places[place.Colour]
	if t == nil || t.Instance != instance || t.Ready == ready {
		return
	}
	changed := *t
	changed.Ready = ready
	s.places[place.Colour] = &changed
	g.publish(g.table.Load().with(s), nil)
	g.o.Logger.Info("readiness changed", "place", place.String(), "instance", instance, "version", t.Version, "ready", ready)
}

// Forget removes the service from the namespace: its hosts are unknown
// afterwards. Requests under way stay, and Drain still finds the instances.
func (g *Gateway) Forget(ns fairway.Namespace, name fairway.ServiceName) {
	g.mu.Lock()
	defer g.mu.Unlock()
	k := key{ns, name}
	s := g.table.Load().service(k)
	if s == nil {
		return
	}
	g.publish(g.table.Load().without(k), slices.Collect(maps.Values(s.places))...)
	g.o.Logger.Info("service forgotten", "namespace", ns, "service", name)
}

// Backends returns what stands in the places, ordered by place.
func (g *Gateway) Backends() []fairway.Backend {
	var all []fairway.Backend
	for _, t := range g.table.Load().targets() {
		all = append(all, t.Backend)
	}
	return all
}

// service returns a copy of the service to change, or a new one. The caller
// holds g.mu.
func (g *Gateway) service(k key) *service {
	if s := g.table.Load().service(k); s != nil {
		return s.clone()
	}
	return &service{key: k, places: make(map[fairway.Colour]*target), unserved: g.metrics.unserved(k)}
}

// publish makes t the table, and lets go of the targets that it does not name
// any more. The caller holds g.mu.
func (g *Gateway) publish(t *table, gone ...*target) {
	g.o.Failpoint("route.change")
	g.table.Store(t)
	// Only now: a request that counts itself after this has to see the new
	// table, or one of both would be lost.
	for _, old := range gone {
		if old != nil {
			old.up.leave()
			g.leaving = append(g.leaving, old)
		}
	}
	g.leaving = slices.DeleteFunc(g.leaving, func(t *target) bool { return t.up.isIdle() })
}

// leaveAll takes every backend out of its place and returns all that may have
// requests under way.
func (g *Gateway) leaveAll() []*target {
	g.mu.Lock()
	defer g.mu.Unlock()
	t := g.table.Load()
	for _, s := range t.services.all() {
		empty := s.clone()
		for c := range empty.places {
			empty.places[c] = nil
		}
		t = t.with(empty)
	}
	g.publish(t, g.table.Load().targets()...)
	return slices.Clone(g.leaving)
}
