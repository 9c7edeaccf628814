package app

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/fairwaycd/fairway"
	"github.com/fairwaycd/fairway/access"
	"github.com/fairwaycd/fairway/api"
	"github.com/fairwaycd/fairway/image"
	"github.com/fairwaycd/fairway/registries"
	"github.com/fairwaycd/fairway/sequence"
)

// resolveLimit bounds the question for a digest that a notification does not
// tell; its sender waits.
const resolveLimit = 10 * time.Second

func (a *App) newWatcher() *registries.Watcher {
	return registries.NewWatcher(registries.WatcherOptions{
		Store: a.elsewhere, Repositories: a.imagesOf, Tags: a.images.Tags, Created: a.images.Created,
		Deliver: func(ctx context.Context, r fairway.Registry, p registries.Push) error {
			done, err := a.pushedElsewhere(ctx, r, p)
			if err == nil && len(done.Services) == 0 {
				a.o.Logger.Info("a new tag starts nothing", "project", r.Project, "image", p.Image, "tag", p.Tag, "reason", done.Reason)
			}
			return err
		},
		Logger: a.o.Logger.With("component", "registries"),
	})
}

// imagesOf returns the repositories of the project's services in a
// registry.
func (a *App) imagesOf(ctx context.Context, r fairway.Registry) (map[string][]fairway.ServiceName, error) {
	info, err := a.keeper.Project(ctx, r.Project)
	if err != nil {
		return nil, err
	}
	base, err := registries.Base(r, info.Shipyard)
	if err != nil {
		return nil, err
	}
	images, err := a.keeper.Repositories(ctx, r.Project)
	if err != nil {
		return nil, err
	}
	return registries.Repositories(r, base, images), nil
}

// agrees refuses a shipyard that contradicts a registry of the project.
func (a *App) agrees(p fairway.ProjectName, y fairway.Shipyard) error {
	var ps []fairway.Problem
	for _, r := range a.elsewhere.Of(p) {
		if _, err := registries.Base(r, y); err != nil {
			ps = append(ps, fairway.Problem{File: "shipyard.yaml", Field: "registry", Value: y.Registry, Message: "is not the path of registry " + r.Name + ", " + r.URL,
				Remedy: "write " + r.Path() + ", leave it out, or remove the registry first: fairway registry remove " + r.Name + " --project " + string(p)})
		}
	}
	return fairway.InvalidAll(ps)
}

// hooked takes a notification: all pushes in it are stored before it returns.
func (a *App) hooked(ctx context.Context, h api.Hook) ([]api.Hooked, error) {
	if !a.storing.Load() {
		return nil, fairway.Errorf(fairway.KindUnavailable, "Fairway is starting or stopping; send it again in a moment")
	}
	// Who does not know the secret does not learn which registries there are:
	// an unknown one has no secret, and is refused as a wrong secret is.
	r, _ := a.elsewhere.Get(h.Project, h.Name)
	pushes, why, err := registries.Read(r, registries.Notification{Vendor: h.Vendor, Header: h.Header, Secret: h.Secret, Body: h.Body})
	switch {
	case errors.Is(err, registries.ErrSecret):
		return nil, a.wrongHook(r)
	case errors.Is(err, registries.ErrMalformed):
		return nil, api.Malformed(err)
	case err != nil:
		return nil, err
	}
	// The sender's going away must not come between storing and recording.
	ctx = context.WithoutCancel(ctx)
	done := make([]api.Hooked, 0, len(pushes))
	for _, p := range pushes {
		p.Image = fairway.CanonicalImage(p.Image)
		one, err := a.pushedElsewhere(ctx, r, p)
		if err != nil {
			return done, fmt.Errorf("%s: %w", p.Artifact(), err)
		}
		done = append(done, one)
	}
	if len(done) == 0 {
		done = append(done, api.Hooked{Reason: "nothing is started: " + why})
	}
	a.watcher.Heard(r, h.Vendor, true)
	return done, nil
}

// wrongHook counts a notification with a wrong secret, and says nothing else.
func (a *App) wrongHook(r fairway.Registry) error {
	if r.Name != "" {
		a.watcher.Heard(r, "", false)
	}
	if !a.guard.MayGuess() {
		a.refused(access.RefusedTooMany)
		return fairway.Errorf(fairway.KindUnavailable, "too many wrong guesses")
	}
	a.refused(access.RefusedHook)
	return fairway.Errorf(fairway.KindUnauthorized, "unauthorized")
}

// pushedElsewhere stores the event that a tag of a registry elsewhere causes,
// for each service that its image belongs to, and records the tag then.
func (a *App) pushedElsewhere(ctx context.Context, r fairway.Registry, p registries.Push) (api.Hooked, error) {
	done := api.Hooked{Image: p.Image, Tag: p.Tag, Digest: p.Digest}
	if err := a.full(); err != nil {
		return done, err
	}
	repos, err := a.imagesOf(ctx, r)
	if err != nil {
		return done, err
	}
	info, err := a.keeper.Project(ctx, r.Project)
	if err != nil {
		return done, err
	}
	filter, err := registries.FilterOf(r)
	if err != nil {
		return done, err
	}
	services := repos[p.Image]
	switch {
	case len(services) == 0:
		done.Reason = fmt.Sprintf("nothing listens: %s is the image of no service of project %s, which listens to %s", p.Image, r.Project, first(strings.Join(sortedKeys(repos), ", "), "none"))
		return done, nil
	case !filter.Takes(p.Tag):
		done.Reason = fmt.Sprintf("nothing is started: the filter of registry %s does not take %s", r.Name, p.Tag)
	case !info.Wants(p.Tag):
		done.Reason = fmt.Sprintf("nothing is started: the tags of the shipyard do not take %s", p.Tag)
	}
	if done.Reason != "" {
		return done, a.elsewhere.Mark(r, p.Image, map[string]string{p.Tag: ""}, false)
	}
	in, err := a.artifactElsewhere(ctx, r, p)
	if err != nil {
		return done, err
	}
	a.o.Failpoint("elsewhere.before-event")
	for _, s := range services {
		id := in.EventID + "#" + strconv.FormatInt(time.Now().UnixNano(), 36)
		if err := a.control.Store(ctx, r.Project, s, id, sequence.Input{Artifact: in}); err != nil {
			return done, err
		}
	}
	a.o.Failpoint("elsewhere.after-event")
	done.Digest, done.Services, done.Reason = in.Artifact.Digest, services, "stored for "+joined(services)
	return done, a.elsewhere.Mark(r, p.Image, map[string]string{p.Tag: in.Artifact.Digest}, false)
}

// artifactElsewhere is the input that a push means. Its digest is that of the
// push; where the sender did not tell, that of the tag now. If the registry
// cannot say either, the delivery asks again, and says why it failed.
func (a *App) artifactElsewhere(ctx context.Context, r fairway.Registry, p registries.Push) (*sequence.Artifact, error) {
	art := p.Artifact()
	source := ownSource + "registries/" + r.Name
	actor := first(p.Actor, "a push to "+r.Name)
	if art.Digest == "" {
		limited, cancel := context.WithTimeout(ctx, resolveLimit)
		defer cancel()
		resolved, err := a.images.Digest(limited, r, art)
		if err != nil && p.ID == "" {
			return nil, err
		}
		if err != nil {
			a.o.Logger.Warn("the digest of a pushed tag is not known yet", "image", p.Image, "tag", p.Tag, "error", err)
			return &sequence.Artifact{Source: source, EventID: art.String() + "#" + p.ID, Artifact: art, Actor: actor}, nil
		}
		art = resolved
	}
	known, err := a.elsewhere.Known(r, art.Image)
	if err != nil {
		return nil, err
	}
	return &sequence.Artifact{Source: source, EventID: art.String() + "@" + art.Digest, Artifact: art, Pushed: true, Elsewhere: true,
		Known: known.Tags[art.Tag] == art.Digest, Actor: actor}, nil
}

// withPullSecrets is a platform that has the project's pull secrets in a
// namespace before it runs anything there.
type withPullSecrets struct {
	fairway.Platform
	a *App
}

// Apply implements [fairway.Platform]. A namespace that is not there is made by
// the platform; the secrets come after it then, and the cluster pulls again.
func (p withPullSecrets) Apply(ctx context.Context, w fairway.Workload) error {
	missing := p.a.copyPullSecrets(ctx, w.Project, w.Place.Namespace)
	if missing != nil && fairway.KindOf(missing) != fairway.KindNotFound {
		return missing
	}
	if err := p.Platform.Apply(ctx, w); err != nil || missing == nil {
		return err
	}
	return p.a.copyPullSecrets(ctx, w.Project, w.Place.Namespace)
}

func (a *App) copyPullSecrets(ctx context.Context, p fairway.ProjectName, ns fairway.Namespace) error {
	for _, r := range a.elsewhere.Of(p) {
		if err := a.copyPullSecret(ctx, r, ns); err != nil {
			return err
		}
	}
	return nil
}

func (a *App) platform() fairway.Platform {
	if a.putPullSecret == nil {
		return a.site.platform()
	}
	return withPullSecrets{a.site.platform(), a}
}

func (a *App) copyPullSecret(ctx context.Context, r fairway.Registry, ns fairway.Namespace) error {
	if !r.CopyPullSecret {
		return nil
	}
	config, err := image.PullSecret(r)
	if err != nil {
		return err
	}
	if err := a.putPullSecret(ctx, r.Project, ns, r.PullSecretName(), config); err != nil {
		return fmt.Errorf("copy the pull secret of registry %s into namespace %s: %w", r.Name, ns, err)
	}
	return nil
}

// copyEverywhere copies the registry's pull secret to all stages that there
// are. What fails is tried again before something is deployed there.
func (b *backend) copyEverywhere(ctx context.Context, r fairway.Registry) (warnings []string) {
	if !r.CopyPullSecret {
		return nil
	}
	if b.putPullSecret == nil {
		return []string{"the local platform pulls images itself; the pull secret is copied on a cluster alone"}
	}
	info, err := b.keeper.Project(ctx, r.Project)
	if err != nil {
		return []string{err.Error()}
	}
	for _, stage := range info.Shipyard.Stages {
		err := b.copyPullSecret(ctx, r, stage.WithDefaults().Namespace)
		if err != nil && fairway.KindOf(err) != fairway.KindNotFound { // no namespace, and nothing in it, yet
			warnings = append(warnings, err.Error()+"; it is tried again before the next deployment there")
		}
	}
	return warnings
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }

func joined(services []fairway.ServiceName) string {
	texts := make([]string, len(services))
	for i, s := range services {
		texts[i] = string(s)
	}
	return strings.Join(texts, ", ")
}

func first(s, otherwise string) string {
	if s == "" {
		return otherwise
	}
	return s
}
