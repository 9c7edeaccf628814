package app

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"sync"
	"time"

	"github.com/fairwaycd/fairway"
	"github.com/fairwaycd/fairway/api"
	"github.com/fairwaycd/fairway/dynatrace"
	"github.com/fairwaycd/fairway/internal/outbound"
	"github.com/fairwaycd/fairway/monitoring"
	"github.com/fairwaycd/fairway/promql"
	"github.com/fairwaycd/fairway/scrapeconf"
	"github.com/fairwaycd/fairway/sequence"
)

// sourceLimit bounds one question to a metric source, the wait for the test's
// last samples included. The evaluation's own limit is twice as long.
const sourceLimit = 5 * time.Minute

// opened is a metric source that can say whether it works.
type opened interface {
	fairway.MetricSource
	Check(ctx context.Context) []fairway.Checked
	Close()
}

// sources are all that gates can ask. Another one is a package and a line here.
func (a *App) sources() []*connected {
	return []*connected{
		{name: "Prometheus", kind: fairway.KindPrometheus, store: a.monitoring, open: a.openPrometheus, otherwise: a.site.prometheus()},
		{name: "Dynatrace", kind: fairway.KindDynatrace, store: a.monitoring, open: openDynatrace},
	}
}

func (a *App) openPrometheus(c fairway.Connection) (opened, error) {
	h, err := a.promAPI(c)
	if err != nil {
		return nil, err
	}
	return promql.NewSource(h, promql.SourceOptions{Foreign: !c.Labelled}), nil
}

func (a *App) promAPI(c fairway.Connection) (*promql.HTTP, error) {
	return promql.NewHTTP(promql.HTTPOptions{Connection: c, Limits: outbound.Options{Transport: a.site.transport()}})
}

func openDynatrace(c fairway.Connection) (opened, error) {
	return dynatrace.New(c, dynatrace.Options{})
}

// connected is the metric source of one kind: for each project the system that
// it has connected.
type connected struct {
	name, kind string
	store      *monitoring.Store
	open       func(fairway.Connection) (opened, error)
	otherwise  fairway.MetricSource // of a project that has connected none; may be nil

	mu   sync.Mutex
	held map[fairway.ProjectName]held // by the connection's own project
}

type held struct {
	connection fairway.Connection
	source     opened
}

var _ fairway.MetricSource = (*connected)(nil)

// Name implements [fairway.MetricSource].
func (s *connected) Name() string { return s.name }

// Query implements [fairway.MetricSource]. Foreign systems are asked again by
// their adapters, as they want it, and so not by the gate.
func (s *connected) Query(ctx context.Context, q fairway.Query) (fairway.Answer, error) {
	c, ok := s.store.For(s.kind, q.Subject.Project)
	if !ok && s.otherwise != nil {
		return s.otherwise.Query(ctx, q)
	}
	if !ok {
		return fairway.Answer{}, fairway.Errorf(fairway.KindRefused, "project %s has not connected %s; connect it: fairway configure monitoring %s --project %s --url URL --token-stdin", q.Subject.Project, s.name, s.kind, q.Subject.Project)
	}
	source, err := s.source(c)
	if err != nil {
		return fairway.Answer{}, fmt.Errorf("the connection to %s: %w", s.name, err)
	}
	a, err := source.Query(ctx, q)
	if fairway.IsRetryable(err) && ctx.Err() == nil {
		err = fairway.Errorf(fairway.KindOf(err), "%s", err.Error())
	}
	return a, err
}

// connectedTo returns the names of the sources that gates of a project can ask.
func (a *App) connectedTo(p fairway.ProjectName) []string {
	var names []string
	for _, s := range a.connected {
		if _, ok := s.store.For(s.kind, p); ok || s.otherwise != nil {
			names = append(names, s.name)
		}
	}
	return names
}

// source returns the source of a connection, made anew when that has changed.
func (s *connected) source(c fairway.Connection) (opened, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	was, ok := s.held[c.Project]
	if ok && reflect.DeepEqual(was.connection, c) {
		return was.source, nil
	}
	source, err := s.open(c)
	if err != nil {
		return nil, err
	}
	if ok {
		was.source.Close()
	}
	if s.held == nil {
		s.held = map[fairway.ProjectName]held{}
	}
	s.held[c.Project] = held{c, source}
	return source, nil
}

func (b *backend) sourceOf(kind string) (*connected, error) {
	for _, s := range b.connected {
		if s.kind == kind {
			return s, nil
		}
	}
	return nil, fairway.Invalid("kind", kind, "is not a monitoring system that can be connected", "use prometheus or dynatrace")
}

// Monitoring implements [api.Backend].
func (b *backend) Monitoring(ctx context.Context, p fairway.ProjectName) ([]api.Monitoring, error) {
	var out []api.Monitoring
	if p == "" {
		for _, c := range b.monitoring.All() {
			out = append(out, api.MonitoringOf(c))
		}
		return out, nil
	}
	if _, err := b.keeper.Project(ctx, p); err != nil {
		return nil, err
	}
	for _, s := range b.connected {
		if c, ok := b.monitoring.For(s.kind, p); ok {
			out = append(out, api.MonitoringOf(c))
		}
	}
	return out, nil
}

// ConfigureMonitoring implements [api.Backend].
func (b *backend) ConfigureMonitoring(ctx context.Context, c fairway.Connection) (api.Monitoring, error) {
	if err := b.taking(); err != nil {
		return api.Monitoring{}, err
	}
	s, err := b.sourceOf(c.Kind)
	if err != nil {
		return api.Monitoring{}, err
	}
	if c.Project != "" {
		if _, err := b.keeper.Project(ctx, c.Project); err != nil {
			return api.Monitoring{}, err
		}
	}
	probe, err := s.open(c)
	if err != nil {
		return api.Monitoring{}, err
	}
	probe.Close()
	if err := b.monitoring.Put(c); err != nil {
		return api.Monitoring{}, err
	}
	m := api.MonitoringOf(c)
	if err := b.monitoringChanged(ctx, m, fmt.Sprintf("gates of %s ask %s at %s", whose(c.Project), s.name, c.URL)); err != nil {
		return m, err
	}
	m.Next, err = b.site.connected(ctx, c)
	return m, err
}

// installWait is how long an answer waits for what was installed: an image may
// take longer to come.
const installWait = 20 * time.Second

// InstallMonitoring implements [api.Backend].
func (b *backend) InstallMonitoring(ctx context.Context, r api.InstallMonitoring) (api.Installed, error) {
	if r.Kind != fairway.KindPrometheus {
		return api.Installed{}, fairway.Invalid("kind", r.Kind, "is not made by Fairway", "use prometheus; for Dynatrace install its operator, and connect it: fairway configure monitoring dynatrace")
	}
	o, err := scrapeconf.Options{Namespace: r.Namespace, Image: r.Image, Interval: time.Duration(r.IntervalSeconds) * time.Second}.WithDefaults()
	if err != nil {
		return api.Installed{}, err
	}
	docs, err := scrapeconf.Objects(o)
	if err != nil {
		return api.Installed{}, err
	}
	c := fairway.Connection{Kind: r.Kind, Project: r.Project, URL: o.URL(), Labelled: true}
	out := api.Installed{Monitoring: api.MonitoringOf(c)}
	for _, d := range docs {
		out.Objects = append(out.Objects, string(d))
	}
	if r.DryRun {
		return out, nil
	}
	limit, cancel := context.WithTimeout(ctx, installWait)
	defer cancel()
	err = b.site.install(limit, docs)
	if err != nil && fairway.KindOf(err) != fairway.KindUnavailable {
		return api.Installed{}, err
	}
	if err != nil {
		out.Pending = err.Error()
	}
	out.Monitoring, err = b.ConfigureMonitoring(ctx, c)
	return out, err
}

func whose(p fairway.ProjectName) string {
	if p == "" {
		return "all projects without a connection of their own"
	}
	return "project " + string(p)
}

// RemoveMonitoring implements [api.Backend].
func (b *backend) RemoveMonitoring(ctx context.Context, n api.MonitoringName) (api.Monitoring, error) {
	if err := b.taking(); err != nil {
		return api.Monitoring{}, err
	}
	s, err := b.sourceOf(n.Kind)
	if err != nil {
		return api.Monitoring{}, err
	}
	c, err := b.monitoring.Remove(n.Kind, n.Project)
	if err != nil {
		return api.Monitoring{}, err
	}
	m := api.MonitoringOf(c)
	return m, b.monitoringChanged(ctx, m, fmt.Sprintf("gates of %s no longer ask %s at %s", whose(c.Project), s.name, c.URL))
}

// forgetMonitoring removes what a deleted project had connected.
func (b *backend) forgetMonitoring(ctx context.Context, p fairway.ProjectName) error {
	var errs []error
	for _, s := range b.connected {
		_, err := b.RemoveMonitoring(ctx, api.MonitoringName{Kind: s.kind, Project: p})
		if fairway.KindOf(err) != fairway.KindNotFound {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// monitoringChanged stores the event; it holds what people see of the
// connection.
func (b *backend) monitoringChanged(ctx context.Context, m api.Monitoring, reason string) error {
	detail, err := json.Marshal(m)
	if err != nil {
		return fmt.Errorf("write the event: %w", err)
	}
	data, err := json.Marshal(fairway.EventData{Project: m.Project, Actor: actorOf(ctx, ""), Detail: detail})
	if err != nil {
		return fmt.Errorf("write the event: %w", err)
	}
	id := "monitoring:" + rand.Text()
	e := fairway.Event{SpecVersion: "1.0", ID: id, Source: ownSource + "monitoring", Type: fairway.TypeMonitoringChanged,
		Time: time.Now().UTC(), Subject: m.Kind, ContentType: "application/json", Reason: reason, Data: data}
	if _, err := b.control.Submit(context.WithoutCancel(ctx), nobody, nobody, id, sequence.Input{Foreign: &e}); err != nil {
		return fmt.Errorf("the connection holds, but the event of it could not be stored: %w", err)
	}
	return nil
}

// CheckMonitoring implements [api.Backend].
func (b *backend) CheckMonitoring(ctx context.Context, n api.MonitoringName) ([]fairway.Checked, error) {
	s, err := b.sourceOf(n.Kind)
	if err != nil {
		return nil, err
	}
	c, ok := b.monitoring.For(n.Kind, n.Project)
	if !ok {
		return nil, fairway.Errorf(fairway.KindNotFound, "%s has not connected %s; connect it: fairway configure monitoring %s", whose(n.Project), s.name, n.Kind)
	}
	source, err := s.source(c)
	if err != nil {
		return nil, err
	}
	return source.Check(ctx), nil
}
