package controller

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/fairwaycd/fairway"
	"github.com/fairwaycd/fairway/sequence"
)

// restoreAtOnce is how many places are restored at the same time.
const restoreAtOnce = 32

// lost is a version that has to stand in its place.
type lost struct {
	project fairway.ProjectName
	stage   fairway.StageView
	place   fairway.Place
	was     fairway.Occupant
	// busy says that a pending step starts or stops versions in the place: it
	// may have stopped this one already, and nobody else may start it again.
	busy bool
}

// busyPlaces are the places in which pending steps start or stop versions.
func busyPlaces(st *sequence.State) map[fairway.Place]bool {
	busy := map[fairway.Place]bool{}
	for _, e := range st.Pending {
		switch e.Step {
		case fairway.StepDeploy, fairway.StepRollback, fairway.StepRetire:
			busy[e.Place(st.Service)] = true
		}
	}
	return busy
}

// restore puts back, after a start, everything that the states say: each
// split in force, and each version that has traffic or may get it, as soon as
// it is ready. It follows readiness from then on.
func (p *places) restore() {
	p.off = p.c.Platform.Subscribe(p.changed)
	var all []lost
	for _, s := range p.c.shards {
		for k, snap := range s.states {
			if r := snap.State.Removal; r != nil && !r.Keep {
				continue // what runs still is about to be stopped
			}
			busy := busyPlaces(snap.State)
			for _, v := range snap.State.View().Stages {
				p.restoreRoute(v, k.name)
				for c, o := range v.Occupants {
					// A version that was turned away may have its traffic still,
					// where a direct stage has kept it.
					if o.State == fairway.OccupantRunning || o.State == fairway.OccupantReleased || v.Weights[c] > 0 {
						place := fairway.Place{Namespace: v.Namespace, Service: k.name, Colour: c}
						all = append(all, lost{k.project, v, place, o, busy[place]})
					}
				}
			}
		}
	}
	p.wg.Go(func() { p.restoreAll(p.c.ctx, all) })
}

func (p *places) restoreRoute(v fairway.StageView, s fairway.ServiceName) {
	if v.Weights == nil {
		return
	}
	r := fairway.Route{Namespace: v.Namespace, Service: s, Weights: v.Weights}
	if err := p.c.Traffic.Restore(p.c.ctx, r); err != nil {
		p.c.Logger.Error("the traffic's split could not be put back", "namespace", v.Namespace, "service", s, "weights", v.Weights.String(), "error", err)
	}
}

// restoreAll attaches what runs, a few places at a time, and starts what does
// not. Waiting for readiness keeps nobody else waiting.
func (p *places) restoreAll(ctx context.Context, all []lost) {
	there, err := p.running(ctx)
	if err != nil {
		return
	}
	var wg sync.WaitGroup
	slots := make(chan struct{}, restoreAtOnce)
	var ids []string
	for _, l := range all {
		i, runs := there[l.was.Instance]
		if runs && i.Ready {
			ids = append(ids, i.ID)
		}
		slots <- struct{}{}
		wg.Go(func() {
			defer func() { <-slots }()
			switch {
			case !runs && l.busy:
			case !runs:
				p.complain(l, p.startAgain(ctx, l))
			case !i.Ready:
				p.wg.Go(func() { p.complain(l, p.await(ctx, l)) })
			default:
				p.complain(l, p.putBack(ctx, l, i))
			}
		})
	}
	wg.Wait()
	if err := p.confirm(ctx, ids...); err != nil && ctx.Err() == nil {
		p.c.Logger.Error("what was put back may have lost its readiness meanwhile", "error", err)
	}
}

// running lists the instances by their ids; the error is ctx's.
func (p *places) running(ctx context.Context) (map[string]fairway.Instance, error) {
	for ctx.Err() == nil {
		all, err := p.c.Platform.Instances(ctx)
		if err == nil {
			by := map[string]fairway.Instance{}
			for _, i := range all {
				by[i.ID] = i
			}
			return by, nil
		}
		p.c.Logger.Error("what runs cannot be listed; it is tried again", "error", err)
		pause(ctx, time.Second)
	}
	return nil, ctx.Err()
}

func (p *places) complain(l lost, err error) {
	if err != nil && p.c.ctx.Err() == nil {
		p.c.Logger.Error("a version that ran before does not run again", "place", l.place.String(), "version", l.was.Artifact.Tag, "error", err)
	}
}

// startAgain starts what the platform has lost, and lets another goroutine
// wait for it.
func (p *places) startAgain(ctx context.Context, l lost) error {
	ch := Change{Project: l.project, Service: l.place.Service, Colour: l.place.Colour, Delivery: l.was.Delivery, Again: true,
		Stage: fairway.Stage{Name: l.stage.Stage, Namespace: l.stage.Namespace, DeploymentStrategy: l.stage.Strategy}}
	objects, err := p.c.Configuration.Render(ctx, ch, "", l.was.Artifact)
	if err != nil {
		return err
	}
	p.c.Logger.Warn("a version that should run is not there and is started again", "place", l.place.String(), "version", l.was.Artifact.Tag)
	p.c.Failpoint("place.before-apply")
	err = p.c.Platform.Apply(ctx, fairway.Workload{
		Project: l.project, Stage: l.stage.Stage, Place: l.place, Delivery: l.was.Delivery, Artifact: l.was.Artifact,
		Instance: l.was.Instance, Manifests: objects.Manifests, Shared: objects.Shared,
	})
	if err != nil {
		return err
	}
	p.wg.Go(func() { p.complain(l, p.await(ctx, l)) })
	return nil
}

// await puts the version back once it is ready.
func (p *places) await(ctx context.Context, l lost) error {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Minute)
	defer cancel()
	i, err := p.c.Platform.AwaitReady(ctx, l.was.Instance)
	if err != nil {
		return err
	}
	if err := p.putBack(ctx, l, i); err != nil {
		return err
	}
	return p.confirm(ctx, i.ID)
}

// putBack attaches the version under no run, unless a step that was resumed
// has done so already, under its own, or has put another in its place.
func (p *places) putBack(ctx context.Context, l lost, i fairway.Instance) error {
	unlock := p.lock(l.place)
	defer unlock()
	p.mu.Lock()
	stands, taken := p.stands[l.place]
	p.mu.Unlock()
	if taken && (stands != i.ID || p.runOf(i.ID) != "") {
		return nil
	}
	if err := p.put(ctx, i, ""); err != nil {
		return fmt.Errorf("put %s back: %w", i.Artifact.Tag, err)
	}
	p.scrape(i, "")
	return nil
}
