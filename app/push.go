package app

import (
	"context"
	"fmt"
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
	art := a.pushedArtifact(p)
	name, service, ok, err := a.keeper.Owner(ctx, p.Repository, p.Tag)
	if err != nil {
		return err
	}
	if !ok {
		a.o.Logger.Info("a pushed tag starts nothing: no service is onboarded for it, or the shipyard's tags do not take it", "repository", p.Repository, "tag", p.Tag)
		return a.log.MarkSeen(ctx, art)
	}
	seen, err := a.log.Seen(ctx, art)
	if err != nil {
		return err
	}
	event := p.Repository + ":" + p.Tag + "@" + p.Digest
	// Each push is an input of its own: whether it joins, is ignored or starts
	// a delivery is the engine's decision, and an event.
	id := event + "#" + strconv.FormatInt(time.Now().UnixNano(), 36)
	err = a.control.Store(ctx, name, service, id, sequence.Input{Artifact: &sequence.Artifact{
		Source: "/fairway/registry", EventID: event, Artifact: art, Pushed: true, Known: seen == p.Digest, Actor: actorOf(ctx, "a push to the registry"),
	}})
	if err != nil {
		return err
	}
	return a.log.MarkSeen(ctx, art)
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

// reconcile compares the registry's tags with those that were seen and starts
// what was missed: pushed, but not recorded before the process ended.
func (a *App) reconcile(ctx context.Context) error {
	tags, err := a.reg.Tags(ctx)
	if err != nil {
		return fmt.Errorf("compare the registry's tags with those that were seen: %w", err)
	}
	for _, p := range tags {
		seen, err := a.log.Seen(ctx, a.pushedArtifact(p))
		if err != nil {
			return err
		}
		if seen == p.Digest {
			continue
		}
		a.o.Logger.Warn("a pushed tag was missed and is handled now", "repository", p.Repository, "tag", p.Tag, "digest", p.Digest)
		if err := a.pushed(ctx, p); err != nil {
			return fmt.Errorf("handle the missed tag %s:%s: %w", p.Repository, p.Tag, err)
		}
	}
	return nil
}
