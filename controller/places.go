package controller

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/fairwaycd/fairway"
)

// scrapeWait is how long a step waits for a version's first scrape. A version
// without metrics costs no more than this.
const scrapeWait = 5 * time.Second

// places keeps traffic and scraping in step with what the platform runs: who
// answers for a place, under which labels, and whether it is ready.
type places struct {
	c   *Controller
	mu  sync.Mutex
	run map[string]occupancy // by instance
	wg  sync.WaitGroup
	off func()
}

type occupancy struct {
	instance fairway.Instance
	run      string
}

func newPlaces(c *Controller) *places { return &places{c: c, run: map[string]occupancy{}} }

func backend(o occupancy) fairway.Backend {
	i := o.instance
	return fairway.Backend{
		Place: i.Place, Project: i.Project, Instance: i.ID, Address: i.Address,
		Version: i.Artifact.Tag, Run: o.run, Ready: i.Ready,
	}
}

// occupy puts the instance behind its place and stops what stood there
// before: attach first, then drain, then stop, so that no request fails. With
// serve it also has all traffic of its service, as a direct stage's version
// has.
func (p *places) occupy(ctx context.Context, i fairway.Instance, serve bool) (cut int, err error) {
	p.note(i, "")
	if err := p.c.Traffic.Attach(ctx, backend(occupancy{i, ""})); err != nil {
		return 0, fmt.Errorf("reach %s: %w", i.Place, err)
	}
	if serve {
		p.c.Failpoint("route.before-change")
		r := fairway.Route{Namespace: i.Place.Namespace, Service: i.Place.Service, Weights: fairway.Full(i.Place.Colour)}
		if err := p.c.Traffic.SetWeights(ctx, r); err != nil {
			return 0, fmt.Errorf("send traffic to %s: %w", i.Place, err)
		}
		p.c.Failpoint("route.after-change")
	}
	p.track(ctx, i, "")
	all, err := p.c.Platform.Instances(ctx)
	if err != nil {
		return 0, fmt.Errorf("list what runs: %w", err)
	}
	for _, old := range all {
		if old.Place == i.Place && old.ID != i.ID {
			n, err := p.end(ctx, old.Place, old.ID)
			if err != nil {
				return cut, err
			}
			cut += n
		}
	}
	return cut, nil
}

// end drains and stops one instance.
func (p *places) end(ctx context.Context, place fairway.Place, id string) (int, error) {
	cut, err := p.c.Traffic.Drain(ctx, place, id, p.c.Drain)
	if err != nil {
		return cut, fmt.Errorf("drain %s: %w", place, err)
	}
	p.mu.Lock()
	delete(p.run, id) // its end is no news from here on
	p.mu.Unlock()
	p.c.Failpoint("platform.before-stop")
	if err := p.c.Platform.Stop(ctx, id); err != nil {
		return cut, fmt.Errorf("stop %s: %w", place, err)
	}
	p.c.Failpoint("platform.after-stop")
	return cut, nil
}

// clear drains and stops the instance, and forgets the place's metrics unless
// another instance has it.
func (p *places) clear(ctx context.Context, place fairway.Place, id string) (int, error) {
	cut, err := p.end(ctx, place, id)
	if err != nil {
		return cut, err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, o := range p.run {
		if o.instance.Place == place {
			return cut, nil
		}
	}
	p.c.Metrics.Untrack(place)
	return cut, nil
}

// observe labels the version's metrics and requests as those of the run. The
// error says why there are no metrics; the test goes on without them.
func (p *places) observe(ctx context.Context, i fairway.Instance, run string) error {
	p.note(i, run)
	if err := p.c.Traffic.Attach(ctx, backend(occupancy{i, run})); err != nil {
		return err
	}
	return p.track(ctx, i, run)
}

// attach puts the instance behind its place, with the run label it has.
func (p *places) attach(ctx context.Context, i fairway.Instance) error {
	p.mu.Lock()
	run := p.run[i.ID].run
	p.mu.Unlock()
	p.note(i, run)
	return p.c.Traffic.Attach(ctx, backend(occupancy{i, run}))
}

func (p *places) note(i fairway.Instance, run string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.run[i.ID] = occupancy{i, run}
}

func (p *places) track(ctx context.Context, i fairway.Instance, run string) error {
	if i.MetricsAddress == "" {
		p.c.Metrics.Untrack(i.Place)
		return errors.New("its pod template asks not to be scraped")
	}
	ctx, cancel := context.WithTimeout(ctx, scrapeWait)
	defer cancel()
	_, err := p.c.Metrics.Track(ctx, fairway.Target{
		Place: i.Place, Project: i.Project, Address: i.MetricsAddress, Path: i.MetricsPath,
		Version: i.Artifact.Tag, Run: run, Since: p.c.Now(),
	})
	return err
}

// restore puts back, after a start, everything that the states say: each
// occupant behind its place and each split in force, as soon as what runs is
// ready. It follows readiness from then on.
func (p *places) restore() {
	p.off = p.c.Platform.Subscribe(p.changed)
	for _, s := range p.c.shards {
		for k, snap := range s.states {
			for _, v := range snap.State.View().Stages {
				if v.Weights != nil {
					r := fairway.Route{Namespace: v.Namespace, Service: k.name, Weights: v.Weights}
					if err := p.c.Traffic.Restore(p.c.ctx, r); err != nil {
						p.c.Logger.Error("the traffic's split could not be put back", "namespace", v.Namespace, "service", k.name, "weights", v.Weights.String(), "error", err)
					}
				}
				p.wg.Go(func() { p.restoreStage(k.project, k.name, v) })
			}
		}
	}
}

func (p *places) restoreStage(project fairway.ProjectName, s fairway.ServiceName, v fairway.StageView) {
	ctx, cancel := context.WithTimeout(p.c.ctx, 5*time.Minute)
	defer cancel()
	for c, o := range v.Occupants {
		if o.State != fairway.OccupantRunning && o.State != fairway.OccupantReleased {
			continue
		}
		place := fairway.Place{Namespace: v.Namespace, Service: s, Colour: c}
		if err := p.restoreOccupant(ctx, project, v, place, o); err != nil && p.c.ctx.Err() == nil {
			p.c.Logger.Error("a version that ran before does not run again", "place", place.String(), "version", o.Artifact.Tag, "error", err)
		}
	}
}

func (p *places) restoreOccupant(ctx context.Context, project fairway.ProjectName, v fairway.StageView, place fairway.Place, o fairway.Occupant) error {
	all, err := p.c.Platform.Instances(ctx)
	if err != nil {
		return err
	}
	if !slices.ContainsFunc(all, func(i fairway.Instance) bool { return i.ID == o.Instance }) {
		if err := p.apply(ctx, project, v, place, o); err != nil {
			return err
		}
	}
	i, err := p.c.Platform.AwaitReady(ctx, o.Instance)
	if err != nil {
		return err
	}
	if err := p.attach(ctx, i); err != nil {
		return err
	}
	p.mu.Lock()
	run := p.run[i.ID].run
	p.mu.Unlock()
	if run == "" {
		p.track(ctx, i, "")
	}
	return nil
}

// apply starts again what the platform has lost.
func (p *places) apply(ctx context.Context, project fairway.ProjectName, v fairway.StageView, place fairway.Place, o fairway.Occupant) error {
	ch := Change{Project: project, Service: place.Service, Colour: place.Colour, Delivery: o.Delivery,
		Stage: fairway.Stage{Name: v.Stage, Namespace: v.Namespace, DeploymentStrategy: v.Strategy}}
	manifests, err := p.c.Configuration.Render(ctx, ch, "", o.Artifact)
	if err != nil {
		return err
	}
	p.c.Logger.Warn("a version that should run is not there and is started again", "place", place.String(), "version", o.Artifact.Tag)
	return p.c.Platform.Apply(ctx, fairway.Workload{
		Project: project, Stage: v.Stage, Place: place, Delivery: o.Delivery, Artifact: o.Artifact,
		Instance: o.Instance, Manifests: manifests,
	})
}

// changed follows an instance's readiness: what is not ready gets no traffic.
// An instance that was started again may have another address.
func (p *places) changed(i fairway.Instance) {
	p.mu.Lock()
	o, ok := p.run[i.ID]
	moved := ok && i.Ready && i.Address != o.instance.Address
	if ok {
		o.instance = i
		p.run[i.ID] = o
	}
	p.mu.Unlock()
	if !ok || p.c.ctx.Err() != nil {
		return
	}
	if !i.Ready {
		p.c.Logger.Warn("a version is not ready", "place", i.Place.String(), "version", i.Artifact.Tag, "reason", i.Reason)
	}
	if !moved {
		p.c.Traffic.SetReady(i.Place, i.ID, i.Ready)
		return
	}
	p.wg.Go(func() {
		if err := p.c.Traffic.Attach(p.c.ctx, backend(o)); err != nil {
			p.c.Logger.Error("a version that has moved cannot be reached", "place", i.Place.String(), "error", err)
			return
		}
		if err := p.track(p.c.ctx, i, o.run); err != nil {
			p.c.Logger.Warn("a version that has moved is not scraped", "place", i.Place.String(), "error", err)
		}
	})
}

func (p *places) stop() {
	if p.off != nil {
		p.off()
	}
	p.wg.Wait()
}
