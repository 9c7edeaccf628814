package app

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/fairwaycd/fairway"
	"github.com/fairwaycd/fairway/api"
	"github.com/fairwaycd/fairway/registries"
	"github.com/fairwaycd/fairway/sequence"
)

// reachLimit bounds the first question to a registry.
const reachLimit = 20 * time.Second

// Registries implements [api.Backend].
func (b *backend) Registries(ctx context.Context, p fairway.ProjectName) ([]api.Registry, error) {
	all := b.elsewhere.All()
	if p != "" {
		if _, err := b.keeper.Project(ctx, p); err != nil {
			return nil, err
		}
		all = b.elsewhere.Of(p)
	}
	out := make([]api.Registry, len(all))
	for i, r := range all {
		out[i] = b.registryOf(r)
	}
	return out, nil
}

// registryOf leaves out what nobody should read.
func (b *backend) registryOf(r fairway.Registry) api.Registry {
	x := api.Registry{Project: r.Project, Name: r.Name, URL: r.URL, Username: r.Username, CA: r.CA != "", Poll: r.Poll.String(),
		Filter: r.Filter, FilterRegexp: r.FilterRegexp, DeliverExisting: r.DeliverExisting, State: b.watcher.State(r)}
	if r.Secret != "" {
		x.Hooks = "http://" + b.Address() + api.HookPrefix + string(r.Project) + "/" + r.Name
	}
	if r.CopyPullSecret {
		x.PullSecret = r.PullSecretName()
	}
	return x
}

// AddRegistry implements [api.Backend].
func (b *backend) AddRegistry(ctx context.Context, q api.AddRegistry) (api.Registry, error) {
	if err := b.taking(); err != nil {
		return api.Registry{}, err
	}
	r, err := b.registryAsked(ctx, q)
	if err != nil {
		return api.Registry{}, err
	}
	b.changing.RLock()
	defer b.changing.RUnlock()
	if err := b.notGoing(r.Project, sequence.WholeProject); err != nil {
		return api.Registry{}, err
	}
	limited, cancel := context.WithTimeout(ctx, reachLimit)
	defer cancel()
	if err := b.images.Reach(limited, r); fairway.KindOf(err) == fairway.KindUnauthorized {
		return api.Registry{}, fairway.Errorf(fairway.KindRefused, "%s", err.Error()) // it is not our caller who lacks rights
	} else if err != nil {
		return api.Registry{}, err
	}
	if q.DryRun {
		x := b.registryOf(r)
		x.Checked, err = b.looked(ctx, r)
		return x, err
	}
	if err := b.elsewhere.Put(r); err != nil {
		return api.Registry{}, err
	}
	b.watcher.Changed(r.Project, r.Name)
	x := b.registryOf(r)
	x.Warnings = b.copyEverywhere(ctx, r)
	return x, b.registryChanged(ctx, x, fmt.Sprintf("project %s takes images from %s", r.Project, r.URL))
}

// registryAsked reads a request, and finds out all that can be known of it
// without asking the registry.
func (b *backend) registryAsked(ctx context.Context, q api.AddRegistry) (fairway.Registry, error) {
	r := fairway.Registry{Project: q.Project, Name: q.Name, URL: strings.TrimRight(q.URL, "/"), Username: q.Username, Password: q.Password, CA: q.CA,
		Poll: fairway.DefaultRegistryPoll, Filter: q.Filter, FilterRegexp: q.FilterRegexp, Secret: q.Secret,
		CopyPullSecret: q.CopyPullSecret, DeliverExisting: q.DeliverExisting}
	if r.Name == "" {
		r.Name = fairway.RegistryName(r.URL)
	}
	var ps []fairway.Problem
	if q.Poll != "" {
		var err error
		if r.Poll, err = time.ParseDuration(q.Poll); err != nil {
			ps = append(ps, fairway.Problem{Field: "poll", Value: q.Poll, Message: "is not a time", Remedy: "write it as 30s or 5m; 0s means never"})
		}
	}
	_, err := registries.FilterOf(r)
	ps = slices.Concat(ps, fairway.Problems(r.Validate()), fairway.Problems(err))
	if err := fairway.InvalidAll(ps); err != nil {
		return r, err
	}
	if b.images.Own(r.Host() + "/image") {
		return r, fairway.Invalid("url", r.URL, "is Fairway's own registry, which needs not be added", "push there: fairway image push")
	}
	info, err := b.keeper.Project(ctx, r.Project)
	if err != nil {
		return r, err
	}
	if _, err := registries.Base(r, info.Shipyard); err != nil {
		return r, err
	}
	for _, other := range b.elsewhere.Of(r.Project) {
		if other.Name != r.Name && other.Host() == r.Host() && (inside(other.Path(), r.Path()) || inside(r.Path(), other.Path())) {
			return r, fairway.Errorf(fairway.KindConflict, "project %s takes images from %s already, as registry %s, and would hear of each push twice; remove that first: fairway registry remove %s --project %s",
				r.Project, other.URL, other.Name, other.Name, r.Project)
		}
	}
	return r, nil
}

// inside reports whether the path lies in dir, or is it.
func inside(dir, path string) bool {
	return dir == "" || path == dir || strings.HasPrefix(path, dir+"/")
}

// RemoveRegistry implements [api.Backend].
func (b *backend) RemoveRegistry(ctx context.Context, n api.RegistryName) (api.Registry, error) {
	if err := b.taking(); err != nil {
		return api.Registry{}, err
	}
	r, err := b.elsewhere.Get(n.Project, n.Name)
	if err != nil {
		return api.Registry{}, err
	}
	x := b.registryOf(r)
	if _, err = b.elsewhere.Remove(n.Project, n.Name); err != nil {
		return x, err
	}
	b.watcher.Changed(n.Project, n.Name)
	return x, b.registryChanged(ctx, x, fmt.Sprintf("project %s no longer takes images from %s", r.Project, r.URL))
}

// forgetRegistries removes those of a deleted project.
func (b *backend) forgetRegistries(ctx context.Context, p fairway.ProjectName) error {
	var errs []error
	for _, r := range b.elsewhere.Of(p) {
		if _, err := b.RemoveRegistry(ctx, api.RegistryName{Project: p, Name: r.Name}); fairway.KindOf(err) != fairway.KindNotFound {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// registryChanged stores the event; it holds what people see of the registry.
func (b *backend) registryChanged(ctx context.Context, x api.Registry, reason string) error {
	x.State = fairway.RegistryState{}
	detail, err := json.Marshal(x)
	if err != nil {
		return fmt.Errorf("write the event: %w", err)
	}
	data, err := json.Marshal(fairway.EventData{Project: x.Project, Actor: actorOf(ctx, ""), Detail: detail})
	if err != nil {
		return fmt.Errorf("write the event: %w", err)
	}
	id := "registry:" + rand.Text()
	e := fairway.Event{SpecVersion: "1.0", ID: id, Source: ownSource + "registries", Type: fairway.TypeRegistryChanged,
		Time: time.Now().UTC(), Subject: x.Name, ContentType: "application/json", Reason: reason, Data: data}
	if _, err := b.control.Submit(context.WithoutCancel(ctx), nobody, nobody, id, sequence.Input{Foreign: &e}); err != nil {
		return fmt.Errorf("the registry is changed, but the event of it could not be stored: %w", err)
	}
	return nil
}

// CheckRegistry implements [api.Backend].
func (b *backend) CheckRegistry(ctx context.Context, n api.RegistryName) ([]fairway.Checked, error) {
	r, err := b.elsewhere.Get(n.Project, n.Name)
	if err != nil {
		return nil, err
	}
	limited, cancel := context.WithTimeout(ctx, reachLimit)
	defer cancel()
	if err := b.images.Reach(limited, r); err != nil {
		return []fairway.Checked{{What: "registry", Text: err.Error()}}, nil
	}
	return b.looked(ctx, r)
}

// looked asks a registry that answers for the tags of the project's services.
func (b *backend) looked(ctx context.Context, r fairway.Registry) ([]fairway.Checked, error) {
	repos, err := b.imagesOf(ctx, r)
	if err != nil {
		return nil, err
	}
	filter, err := registries.FilterOf(r)
	if err != nil {
		return nil, err
	}
	out := []fairway.Checked{{What: "registry", OK: true, Text: r.URL + " answers and takes the credentials"}}
	info, err := b.keeper.Project(ctx, r.Project)
	if err != nil {
		return nil, err
	}
	for _, image := range sortedKeys(repos) {
		c := fairway.Checked{What: image, OK: true}
		of := joined(repos[image])
		limited, cancel := context.WithTimeout(ctx, reachLimit)
		tags, err := b.images.Tags(limited, r, image)
		cancel()
		switch {
		case fairway.KindOf(err) == fairway.KindNotFound:
			c.Text = "has no tags yet; the first one will be delivered to " + of
		case err != nil:
			c.OK, c.Text = false, err.Error()
		default:
			fit := slices.DeleteFunc(slices.Clone(tags), func(tag string) bool { return !filter.Takes(tag) || !info.Wants(tag) })
			c.Text = fmt.Sprintf("has %d tags, of which %d fit the filter and the shipyard; new ones go to %s", len(tags), len(fit), of)
		}
		out = append(out, c)
	}
	if len(repos) == 0 {
		out = append(out, fairway.Checked{What: "services", Text: fmt.Sprintf("project %s has no service yet; add one with: fairway onboard service", r.Project)})
	}
	return out, nil
}
