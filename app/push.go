package app

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/fairwaycd/fairway"
	"github.com/fairwaycd/fairway/access"
	"github.com/fairwaycd/fairway/registry"
	"github.com/fairwaycd/fairway/sequence"
)

// pushed stores the event that a pushed tag causes; the client's 201 waits
// for it. A tag that no service wants is only remembered, so that a later
// start does not take it for one that was missed.
func (a *App) pushed(ctx context.Context, p registry.Push) error {
	if !a.storing.Load() {
		return fairway.Errorf(fairway.KindUnavailable, "Fairway is starting; push again in a moment")
	}
	if err := a.full(); err != nil {
		return err
	}
	art := a.pushedArtifact(p)
	name, service, ok, err := a.keeper.Owner(ctx, p.Repository, p.Tag)
	if err != nil {
		return err
	}
	seen, had, err := a.log.Seen(ctx, art)
	if err != nil {
		return err
	}
	if !ok && seen == p.Digest {
		return nil
	}
	if !ok {
		a.o.Logger.Info("a pushed tag starts nothing: no service is onboarded for it, or the shipyard's tags do not take it", "repository", p.Repository, "tag", p.Tag)
		return a.log.MarkSeen(ctx, art, false)
	}
	event := p.Repository + ":" + p.Tag + "@" + p.Digest
	// Each push is an input of its own: whether it joins, is ignored or starts
	// a delivery is the engine's decision, and an event.
	id := event + "#" + strconv.FormatInt(time.Now().UnixNano(), 36)
	err = a.control.Store(ctx, name, service, id, sequence.Input{Artifact: &sequence.Artifact{
		Source: "/fairway/registry", EventID: event, Artifact: art, Pushed: true, Known: had && seen == p.Digest, Actor: actorOf(ctx, "a push to the registry"),
	}})
	if err != nil {
		return err
	}
	return a.log.MarkSeen(ctx, art, true)
}

func (a *App) pushedArtifact(p registry.Push) fairway.Artifact {
	return fairway.Artifact{Image: a.Address() + "/" + p.Repository, Tag: p.Tag, Digest: p.Digest}
}

func actorOf(ctx context.Context, def string) string {
	if who := access.Actor(ctx); who != "" {
		return who
	}
	return def
}

// catchUp does what a process that ended too early left undone. It reports
// whether all of it could be done; why not is logged and shown.
func (a *App) catchUp(ctx context.Context) bool {
	err := errors.Join(a.onboardMissed(ctx), a.startMissed(ctx), a.keeper.HandleMissed(ctx))
	if err != nil && ctx.Err() == nil {
		a.o.Logger.Error("what was missed before the start could not all be handled and is tried again", "error", err)
	}
	a.missed.Store(&err)
	return err == nil
}

// catchUpPause is the time between two tries to catch up.
const catchUpPause = 15 * time.Second

// catchUpLater tries again in the background, unless that goes on already.
func (a *App) catchUpLater() {
	if a.catching.CompareAndSwap(false, true) {
		a.bg.Go(func() {
			defer a.catching.Store(false)
			a.keepCatchingUp(a.streams)
		})
	}
}

// keepCatchingUp tries again what a broken project or a full disk prevented.
func (a *App) keepCatchingUp(ctx context.Context) {
	t := time.NewTicker(catchUpPause)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.C:
			if a.catchUp(ctx) {
				return
			}
		}
	}
}

// onboardMissed makes known the services that are in git and were not
// recorded before the process ended.
func (a *App) onboardMissed(ctx context.Context) error {
	all, err := a.keeper.Projects(ctx)
	if err != nil {
		return fmt.Errorf("compare the services in git with those that are known: %w", err)
	}
	var errs []error
	for _, p := range all {
		if p.Err != nil {
			errs = append(errs, fmt.Errorf("project %s: %w", p.Name, p.Err))
		}
		for _, s := range p.Services {
			if _, ok := a.view.Service(p.Name, s); ok {
				continue
			}
			a.o.Logger.Warn("a service was added in git but not recorded, and is now", "project", p.Name, "service", s)
			in := sequence.Input{Onboard: &sequence.Onboard{Actor: "the comparison with git at start", Commit: p.Commit}}
			if _, err := a.control.Submit(ctx, p.Name, s, "onboard:"+string(s)+"@start", in); err != nil {
				errs = append(errs, fmt.Errorf("record service %s of project %s: %w", s, p.Name, err))
			}
		}
	}
	return errors.Join(errs...)
}

// startMissed compares the registry's tags with those that were seen and
// starts what was missed, in the order in which it was pushed: a newer tag
// supersedes an older one.
func (a *App) startMissed(ctx context.Context) error {
	tags, err := a.reg.Tags(ctx)
	if err != nil {
		return fmt.Errorf("compare the registry's tags with those that were seen: %w", err)
	}
	slices.SortStableFunc(tags, func(x, y registry.Push) int { return x.At.Compare(y.At) })
	var errs []error
	for _, p := range tags {
		seen, _, err := a.log.Seen(ctx, a.pushedArtifact(p))
		if err == nil && seen == p.Digest {
			continue
		}
		if err == nil {
			a.o.Logger.Warn("a pushed tag was missed and is handled now", "repository", p.Repository, "tag", p.Tag, "digest", p.Digest)
			err = a.pushed(ctx, p)
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("handle the missed tag %s:%s (pushing it again does too): %w", p.Repository, p.Tag, err))
		}
	}
	return errors.Join(errs...)
}
