package metrics

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"path/filepath"
	"sort"
	"strconv"
	"time"

	"github.com/fairwaycd/fairway"
	"github.com/fairwaycd/fairway/internal/durable"
	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/discovery/targetgroup"
	"github.com/prometheus/prometheus/scrape"
)

// labelGeneration tells a target from an earlier one of the same place. Its
// prefix keeps it off the series.
const labelGeneration = "__fairway_generation"

// noRun is the label fairway_run outside a test. It is not left out, so that
// no process can export a run of its own.
const noRun = "none"

// target is what is scraped under one set of labels. Its fields below the
// line are guarded by Server.mu.
type target struct {
	key        string
	pool       string
	generation string
	address    string
	path       string
	labels     model.LabelSet
	spec       fairway.Target // zero for an endpoint

	first    time.Time // first successful scrape
	last     time.Time // latest successful scrape
	ok       bool      // whether the latest scrape was successful
	gone     bool      // replaced or untracked
	scraped  chan struct{}
	reported *scrape.Target
}

// Endpoint is something of Fairway's own that is scraped.
type Endpoint struct {
	// Name becomes the labels job and instance, unless it exports these.
	Name string
	// Handler answers the scrape inside the process. Otherwise Address,
	// HOST:PORT, is asked.
	Handler http.Handler
	Address string
	// Path of the metrics. Default /metrics.
	Path string
}

// TargetState is how scraping a target goes.
type TargetState struct {
	Place      fairway.Place     `json:"place"`              // zero for an endpoint
	Endpoint   string            `json:"endpoint,omitempty"` // its name
	Labels     map[string]string `json:"labels"`
	URL        string            `json:"url"`
	Health     string            `json:"health"` // up, down or unknown
	LastScrape time.Time         `json:"lastScrape"`
	Duration   time.Duration     `json:"duration"` // of the last scrape, in nanoseconds
	LastError  string            `json:"lastError,omitempty"`
	Pool       string            `json:"pool"`
}

// Track begins to scrape t, or what its place is now, under the labels of its
// version and run, and returns the time of the first successful scrape under
// them. The target that was known for the place is scraped no more. Tracking
// the same target again returns the same time.
//
// When ctx ends first, the error is of [fairway.KindUnavailable], says what
// the last scrape answered and wraps ctx's error; the target stays tracked.
func (s *Server) Track(ctx context.Context, t fairway.Target) (time.Time, error) {
	if _, _, err := net.SplitHostPort(t.Address); err != nil {
		return time.Time{}, fairway.Invalid("address", t.Address, "is not HOST:PORT", "name the address that answers the scrape of "+t.Place.String())
	}
	if t.Path == "" {
		t.Path = "/metrics"
	}
	n := &target{key: t.Place.String(), pool: poolPlaces, address: t.Address, path: t.Path, labels: placeLabels(t), spec: t}
	tr, err := s.put(n)
	if err != nil {
		return time.Time{}, err
	}
	at, err := s.await(ctx, tr, func() (time.Time, bool) { return tr.first, !tr.first.IsZero() })
	if err != nil {
		return time.Time{}, err
	}
	return at, nil
}

// placeLabels are the labels of a place's series.
func placeLabels(t fairway.Target) model.LabelSet {
	run := t.Run
	if run == "" {
		run = noRun
	}
	service := model.LabelValue(t.Place.Service)
	return model.LabelSet{
		"job": service, "service": service, "app": service,
		"instance":    model.LabelValue(t.Place.Instance()),
		"project":     model.LabelValue(t.Project),
		"namespace":   model.LabelValue(t.Place.Namespace),
		"colour":      model.LabelValue(t.Place.Colour.String()),
		"version":     model.LabelValue(t.Version),
		"fairway_run": model.LabelValue(run),
	}
}

// TrackEndpoint scrapes something of Fairway's own under job=NAME. Labels that
// it exports win over these, so that the gateway's series keep the version and
// run that they are about. It does not wait for a scrape.
func (s *Server) TrackEndpoint(e Endpoint) error {
	if e.Name == "" {
		return fairway.Invalid("endpoint", "", "has no name", "name it after what it measures")
	}
	name := model.LabelValue(e.Name)
	n := &target{key: "endpoint " + e.Name, pool: poolEndpoints, address: e.Address, path: e.Path, labels: model.LabelSet{"job": name, "instance": name}}
	if n.path == "" {
		n.path = "/metrics"
	}
	if e.Handler != nil {
		n.address = e.Name + ".fairway.internal:80"
		l := newPipeListener(e.Handler)
		s.mu.Lock()
		old := s.handlers[n.address]
		refused := s.state != stateRunning
		if !refused {
			s.handlers[n.address] = l
		}
		s.mu.Unlock()
		if refused {
			_ = l.stop()
			return errNotRunning()
		}
		if old != nil {
			_ = old.stop()
		}
	}
	if _, _, err := net.SplitHostPort(n.address); err != nil {
		return fairway.Invalid("address", n.address, "is not HOST:PORT", "name the address or the handler that answers the scrape of "+e.Name)
	}
	_, err := s.put(n)
	return err
}

func errNotRunning() error {
	return fairway.Errorf(fairway.KindUnavailable, "metrics are not being scraped: the metrics server does not run")
}

// put makes n the target of its key, unless the same one is there.
func (s *Server) put(n *target) (*target, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.state != stateRunning {
		return nil, errNotRunning()
	}
	old := s.targets[n.key]
	if old != nil && old.address == n.address && old.path == n.path && old.labels.Equal(n.labels) {
		return old, nil
	}
	if old != nil {
		s.retire(old)
	}
	s.generation++
	n.generation = strconv.FormatUint(s.generation, 10)
	n.scraped = make(chan struct{})
	s.targets[n.key], s.current[n.generation] = n, n
	s.publishSoon()
	return n, nil
}

// Untrack ends the scraping of a place. What is not tracked is no error.
// Queries as of an earlier time still see its samples.
func (s *Server) Untrack(p fairway.Place) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if t := s.targets[p.String()]; t != nil {
		s.retire(t)
		s.publishSoon()
	}
}

// retire forgets a target and wakes who waits for it. s.mu is held.
func (s *Server) retire(t *target) {
	t.gone = true
	close(t.scraped)
	delete(s.current, t.generation)
	delete(s.targets, t.key)
}

// publishSoon has the targets handed to the scrape manager. s.mu is held.
func (s *Server) publishSoon() {
	select {
	case s.changed <- struct{}{}:
	default: // they will be handed over with the latest change
	}
}

// groups returns all targets as the scrape manager wants them.
func (s *Server) groups() map[string][]*targetgroup.Group {
	s.mu.Lock()
	defer s.mu.Unlock()
	sets := map[string][]*targetgroup.Group{poolPlaces: {}, poolEndpoints: {}}
	for _, t := range s.targets {
		sets[t.pool] = append(sets[t.pool], &targetgroup.Group{
			Source: t.key,
			Labels: t.labels,
			Targets: []model.LabelSet{{
				model.AddressLabel:     model.LabelValue(t.address),
				model.MetricsPathLabel: model.LabelValue(t.path),
				labelGeneration:        model.LabelValue(t.generation),
			}},
		})
	}
	return sets
}

// scraped is called after each scrape, once its samples can be queried.
func (s *Server) scraped(by *scrape.Target, at time.Time, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	t := s.current[by.GetValue(labelGeneration)]
	if t == nil {
		return // it was replaced meanwhile
	}
	if ok && t.first.IsZero() {
		t.first = at
	}
	if ok {
		t.last = at
	}
	t.ok, t.reported = ok, by
	close(t.scraped)
	t.scraped = make(chan struct{})
}

// Settle waits for a successful scrape of the place that began after the
// given time, and for one of every endpoint that answers, and returns the
// latest of their times: as of then, all that happened up to after is counted.
//
// An unknown place is an error of [fairway.KindNotFound]. When ctx ends first,
// the error is of [fairway.KindUnavailable], says what the last scrape
// answered and wraps ctx's error. What is counted survives a power cut.
func (s *Server) Settle(ctx context.Context, p fairway.Place, after time.Time) (time.Time, error) {
	s.mu.Lock()
	place := s.targets[p.String()]
	var endpoints []*target
	for _, t := range s.targets {
		if t.pool == poolEndpoints {
			endpoints = append(endpoints, t)
		}
	}
	s.mu.Unlock()
	if place == nil {
		return time.Time{}, fairway.Errorf(fairway.KindNotFound, "%s is not scraped, so its metrics cannot be waited for; track it first", p)
	}
	// A time to come was read from a clock that was set back since.
	since := func(t *target) bool { return t.last.After(after) && !t.last.After(time.Now().Add(time.Second)) }
	settled, err := s.await(ctx, place, func() (time.Time, bool) { return place.last, since(place) })
	if err != nil {
		return time.Time{}, err
	}
	for _, e := range endpoints {
		at, err := s.await(ctx, e, func() (time.Time, bool) { return e.last, !e.ok || e.gone || since(e) })
		if err != nil {
			return time.Time{}, err
		}
		if at.After(settled) {
			settled = at
		}
	}
	return settled, s.sync()
}

// sync puts the samples so far on the disk. The database does so itself only
// now and then, and the gate of a test that has ended must find them after a
// power cut: the test is not run again.
func (s *Server) sync() error {
	for _, log := range []string{"wal", "wbl"} {
		dir := filepath.Join(s.opts.Dir, log)
		segments, err := filepath.Glob(filepath.Join(dir, "[0-9]*[0-9]"))
		// One may just have been begun.
		for _, file := range segments[max(0, len(segments)-2):] {
			err = errors.Join(err, durable.Sync(file), durable.Sync(dir))
		}
		if err != nil {
			return fmt.Errorf("put the test's samples on the disk: %w", err)
		}
	}
	return nil
}

// await returns what check returns once it says so. check is called with s.mu
// held, at once and after every scrape of t.
func (s *Server) await(ctx context.Context, t *target, check func() (time.Time, bool)) (time.Time, error) {
	for {
		s.mu.Lock()
		at, ok := check()
		gone, scraped := t.gone, t.scraped
		s.mu.Unlock()
		switch {
		case ok:
			return at, nil
		case gone:
			return time.Time{}, fairway.Errorf(fairway.KindConflict, "%s is scraped no more under version %q, run %q: another version has taken its place, or it was stopped", t.key, t.spec.Version, t.spec.Run)
		}
		select {
		case <-scraped:
		case <-s.done:
			return time.Time{}, errNotRunning()
		case <-ctx.Done():
			return time.Time{}, fairway.Errorf(fairway.KindUnavailable, "no successful scrape of %s at http://%s%s in time: %s: %w", t.key, t.address, t.path, s.answer(t), context.Cause(ctx))
		}
	}
}

// answer says what the last scrape of t gave.
func (s *Server) answer(t *target) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if t.reported == nil {
		return "it was not scraped yet"
	}
	if err := t.reported.LastError(); err != nil {
		return err.Error()
	}
	return "the last one, at " + t.last.Format(time.RFC3339Nano) + ", is too old"
}

// Targets lists what is scraped: places first, sorted by name.
func (s *Server) Targets() []TargetState {
	s.mu.Lock()
	defer s.mu.Unlock()
	var list []TargetState
	for _, t := range s.targets {
		list = append(list, t.state())
	}
	sort.Slice(list, func(i, j int) bool {
		a, b := list[i], list[j]
		if (a.Endpoint == "") != (b.Endpoint == "") {
			return a.Endpoint == ""
		}
		return a.Endpoint+a.Place.String() < b.Endpoint+b.Place.String()
	})
	return list
}

func (t *target) state() TargetState {
	st := TargetState{Place: t.spec.Place, URL: "http://" + t.address + t.path, Health: string(scrape.HealthUnknown), Pool: t.pool, Labels: map[string]string{}}
	if t.pool == poolEndpoints {
		st.Endpoint = string(t.labels["job"])
	}
	for k, v := range t.labels {
		st.Labels[string(k)] = string(v)
	}
	if r := t.reported; r != nil {
		st.Health, st.LastScrape, st.Duration = string(r.Health()), r.LastScrape(), r.LastScrapeDuration()
		if err := r.LastError(); err != nil {
			st.LastError = err.Error()
		}
	}
	return st
}
