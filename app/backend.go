package app

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/fairwaycd/fairway"
	"github.com/fairwaycd/fairway/api"
	"github.com/fairwaycd/fairway/controller"
	"github.com/fairwaycd/fairway/project"
	"github.com/fairwaycd/fairway/sequence"
)

// backend answers the API.
type backend struct{ *App }

var _ api.Backend = (*backend)(nil)

// taking reports why nothing is taken now.
func (b *backend) taking() error {
	if !b.ready.Load() {
		return fairway.Errorf(fairway.KindUnavailable, "Fairway is starting or stopping; try again in a moment")
	}
	return b.full()
}

// reading reports why nothing can be told now: before the stored states are
// loaded, everything would seem not to exist.
func (b *backend) reading() error {
	if !b.loaded.Load() {
		return fairway.Errorf(fairway.KindUnavailable, "Fairway is starting; try again in a moment")
	}
	return nil
}

func (b *backend) projectOf(i project.Info) api.Project {
	trouble := ""
	if i.Err != nil {
		trouble = i.Err.Error()
	}
	return api.Project{Error: trouble, Name: i.Name, Shipyard: i.Shipyard, Services: i.Services, Commit: i.Commit, Upstream: b.upstreamOf(i.Name),
		Git: fmt.Sprintf("http://%s/git/%s.git", b.Address(), i.Name)}
}

// CreateProject implements [api.Backend].
func (b *backend) CreateProject(ctx context.Context, r api.CreateProject) (api.Project, error) {
	if err := b.taking(); err != nil {
		return api.Project{}, err
	}
	b.changing.RLock()
	defer b.changing.RUnlock()
	if err := b.notGoing(r.Name, sequence.WholeProject); err != nil {
		return api.Project{}, err
	}
	i, err := b.keeper.Create(ctx, actorOf(ctx, ""), r.Name, r.File, []byte(r.Shipyard), r.DryRun)
	return b.projectOf(i), err
}

// Projects implements [api.Backend].
func (b *backend) Projects(ctx context.Context) ([]api.Project, error) {
	all, err := b.keeper.Projects(ctx)
	if err != nil {
		return nil, err
	}
	out := make([]api.Project, len(all))
	for i, p := range all {
		out[i] = b.projectOf(p)
	}
	return out, nil
}

// Project implements [api.Backend].
func (b *backend) Project(ctx context.Context, p fairway.ProjectName) (api.Project, error) {
	i, err := b.keeper.Project(ctx, p)
	return b.projectOf(i), err
}

// serviceView shows every stage of the shipyard, also those that no delivery
// has reached yet.
func (b *backend) serviceView(i project.Info, s fairway.ServiceName) fairway.ServiceView {
	v, _ := b.view.Service(i.Name, s)
	return withStages(v, &i, s)
}

// withStages names the view and gives it all stages in the shipyard's order.
func withStages(v fairway.ServiceView, i *project.Info, s fairway.ServiceName) fairway.ServiceView {
	v.Project, v.Service = i.Name, s
	stages := make([]fairway.StageView, 0, len(i.Shipyard.Stages))
	for _, st := range i.Shipyard.Stages {
		st = st.WithDefaults()
		n := slices.IndexFunc(v.Stages, func(x fairway.StageView) bool { return x.Stage == st.Name })
		if n >= 0 {
			stages = append(stages, v.Stages[n])
			continue
		}
		stages = append(stages, fairway.StageView{Stage: st.Name, Namespace: st.Namespace, Strategy: st.DeploymentStrategy})
	}
	v.Stages = stages
	return v
}

// Deliveries implements [api.Backend].
func (b *backend) Deliveries(_ context.Context, f api.DeliveryFilter) ([]fairway.Delivery, error) {
	if err := b.reading(); err != nil {
		return nil, err
	}
	return b.view.Deliveries(controller.DeliveryFilter{Project: f.Project, Service: f.Service, Stage: f.Stage, Status: f.Status, Open: f.Open,
		Before: controller.Position(f.Before), Limit: f.Limit}), nil
}

// Delivery implements [api.Backend].
func (b *backend) Delivery(ctx context.Context, id string) (fairway.Delivery, error) {
	if err := b.reading(); err != nil {
		return fairway.Delivery{}, err
	}
	return b.control.Delivery(ctx, id)
}

// Evaluation implements [api.Backend].
func (b *backend) Evaluation(ctx context.Context, id string) (ev fairway.Evaluation, err error) {
	return b.history.Get(ctx, id)
}

// TestReport implements [api.Backend].
func (b *backend) TestReport(ctx context.Context, id string) (r fairway.TestReport, err error) {
	if !strings.HasPrefix(id, "test.") {
		return r, fairway.Errorf(fairway.KindNotFound, "there is no test report %s", id)
	}
	return r, b.blob(ctx, id, &r)
}

func (b *backend) blob(ctx context.Context, id string, v any) error {
	body, err := b.blobs.Get(ctx, id)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(body, v); err != nil {
		return fmt.Errorf("read %s: %w", id, err)
	}
	return nil
}

// Events implements [api.Backend].
func (b *backend) Events(_ context.Context, f api.EventFilter) ([]api.StoredEvent, error) {
	if err := b.reading(); err != nil {
		return nil, err
	}
	got := b.view.Events(controller.EventFilter{Project: f.Project, Service: f.Service, Delivery: f.Delivery, Type: f.Type, After: f.After, Before: f.Before, Limit: f.Limit})
	return stored(got), nil
}

func stored(events []controller.Stored) []api.StoredEvent {
	out := make([]api.StoredEvent, len(events))
	for i, e := range events {
		out[i] = api.StoredEvent{Seq: e.Seq, Event: e.Event}
	}
	return out
}

// Targets implements [api.Backend].
func (b *backend) Targets(context.Context) ([]api.TargetState, error) {
	var out []api.TargetState
	for _, t := range b.metrics.Targets() {
		out = append(out, api.TargetState{Job: t.Labels["job"], URL: t.URL, Labels: t.Labels, Health: t.Health, LastScrape: t.LastScrape, LastError: t.LastError})
	}
	return out, nil
}

// Routes implements [api.Backend].
func (b *backend) Routes(ctx context.Context) ([]api.RouteState, error) {
	if err := b.reading(); err != nil {
		return nil, err
	}
	type key struct {
		ns fairway.Namespace
		s  fairway.ServiceName
	}
	by := map[key]*api.RouteState{}
	var order []key
	backends, err := b.site.backends(ctx)
	if err != nil {
		return nil, err
	}
	for _, be := range backends {
		k := key{be.Place.Namespace, be.Place.Service}
		if by[k] == nil {
			by[k] = &api.RouteState{Namespace: k.ns, Service: k.s, Host: fairway.ServiceHost(k.ns, k.s, b.site.domain())}
			order = append(order, k)
			r, ok, err := b.site.traffic().Route(ctx, k.ns, k.s)
			if err != nil {
				return nil, err
			}
			if ok {
				by[k].Weights = r.Weights
			}
		}
		by[k].Backends = append(by[k].Backends, be)
	}
	out := make([]api.RouteState, 0, len(order))
	for _, k := range order {
		out = append(out, *by[k])
	}
	return out, nil
}

// Logs implements [api.Backend].
func (b *backend) Logs(ctx context.Context, id string, w io.Writer, follow bool) error {
	if err := b.reading(); err != nil {
		return err
	}
	d, err := b.view.Delivery(id)
	if err != nil {
		return err
	}
	return b.site.platform().Logs(ctx, d.ID, w, follow)
}

// Watch implements [api.Backend].
func (b *backend) Watch(ctx context.Context, f func(api.Change) error) error {
	if err := b.reading(); err != nil {
		return err
	}
	changed, cancel := b.view.Watch()
	defer cancel()
	after := b.view.LastEvent()
	last := map[fairway.DeliveryID]string{}
	for first := true; ; first = false {
		var events []controller.Stored
		if now := b.view.LastEvent(); now > after {
			events = b.view.Events(controller.EventFilter{After: max(after, 1), Limit: 1000})
		}
		if len(events) > 0 {
			after = events[len(events)-1].Seq
		}
		c := api.Change{Events: stored(events), Progress: b.progress(last)}
		if first || len(c.Events) > 0 || len(c.Progress) > 0 {
			if err := f(c); err != nil {
				return err
			}
		}
		if b.view.LastEvent() > after {
			continue
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-changed:
		}
	}
}

// progress returns the texts that changed since the last call.
func (b *backend) progress(last map[fairway.DeliveryID]string) []api.Progress {
	var out []api.Progress
	now := b.view.Progress()
	for id, text := range now {
		if last[id] == text {
			continue
		}
		if d, err := b.view.Delivery(string(id)); err == nil {
			out = append(out, api.Progress{Delivery: id, Stage: d.Stage, Step: d.Step, Text: text})
		}
	}
	clear(last)
	maps.Copy(last, now)
	return out
}

// Status implements [api.Backend].
func (b *backend) Status(context.Context) (api.Status, error) {
	s := api.Status{
		Version: b.o.Version, Ready: b.ready.Load(), Durability: b.o.Durability, Listen: b.Address(), Gateway: b.GatewayAddress(),
		Registry: b.Address(), Data: b.Data(), StartedAt: b.started, Trouble: map[string]string{},
	}
	if err := b.missed.Load(); err != nil && *err != nil { // the rest works all the same
		s.Trouble["missed before the start"] = (*err).Error()
	}
	for part, err := range b.trouble() {
		s.Trouble[part], s.Ready = err.Error(), false
	}
	return s, nil
}
