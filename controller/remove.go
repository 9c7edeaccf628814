package controller

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"

	"github.com/fairwaycd/fairway"
	"github.com/fairwaycd/fairway/sequence"
)

// Gone is a service that is deleted, or, without a service, a project.
type Gone struct {
	Project    fairway.ProjectName
	Service    fairway.ServiceName
	Repository string // that its images were pushed to
	Namespaces []fairway.Namespace
	Keep       bool // what runs goes on
}

// Removal is what is known of a deletion of a service, or of a project under
// [sequence.WholeProject].
type Removal struct {
	sequence.Removal
	Project fairway.ProjectName
	Service fairway.ServiceName
	// UnderWay is true until the deletion is done.
	UnderWay bool
	// Kept are the stages in which the deleted service's versions run on.
	Kept []fairway.StageView
}

func (v *View) setRemovalLocked(k service, s *sequence.State) {
	switch {
	case s.Removal != nil:
		v.removals[k] = Removal{Removal: *s.Removal, Project: k.project, Service: k.name, UnderWay: true}
	case s.Gone != nil && !s.Onboarded:
		r := Removal{Removal: *s.Gone, Project: k.project, Service: k.name}
		if s.Kept() {
			r.Kept = s.View().Stages
		}
		v.removals[k] = r
	default:
		delete(v.removals, k)
	}
}

// Removal returns the deletion of the service, or of the project under
// [sequence.WholeProject], that is under way or was the last thing that
// happened to it.
func (v *View) Removal(p fairway.ProjectName, s fairway.ServiceName) (Removal, bool) {
	v.mu.RLock()
	defer v.mu.RUnlock()
	r, ok := v.removals[service{p, s}]
	return r, ok
}

// Removals lists all services and projects that are being deleted or were,
// and did not come back.
func (v *View) Removals() []Removal {
	v.mu.RLock()
	defer v.mu.RUnlock()
	return slices.Collect(maps.Values(v.removals))
}

// removed is what an event about a deletion has as detail.
type removed struct {
	Stopped []string `json:"stopped,omitempty"` // versions, with their places
	Cut     int      `json:"cut,omitempty"`     // requests cut off by the drain's limit
	Kept    []string `json:"kept,omitempty"`
}

// remove deletes what the state held until now: traffic first, then what
// runs, then what others know, and the configuration last, since it is the
// record of what exists. Each part finds done what is done.
func (w work) remove(ctx context.Context) (sequence.Result, error) {
	if w.service.name == sequence.WholeProject {
		return w.removeProject(ctx)
	}
	done, err := w.removeRunning(ctx)
	if err != nil {
		return sequence.Result{}, fairway.Retryable(err)
	}
	gone := Gone{Project: w.service.project, Service: w.service.name, Repository: w.e.Remove.Repository,
		Namespaces: slices.Sorted(maps.Keys(w.e.Remove.Routes)), Keep: w.e.Remove.Keep}
	w.c.Failpoint("remove.before-forget")
	if err := w.c.Forget(ctx, gone); err != nil {
		return sequence.Result{}, fairway.Retryable(fmt.Errorf("forget %s: %w", w.service.name, err))
	}
	w.c.Failpoint("git.before-commit")
	ch := w.change()
	ch.Reason = fmt.Sprintf("Delete service %s", w.service.name)
	if err := w.c.Configuration.Remove(ctx, ch); err != nil {
		return sequence.Result{}, fmt.Errorf("take %s out of the branches: %w", w.service.name, err)
	}
	w.c.Failpoint("git.after-commit")
	return done.result("its files are gone from all branches")
}

func (r removed) result(also string) (sequence.Result, error) {
	detail, err := json.Marshal(r)
	if err != nil {
		return sequence.Result{}, fmt.Errorf("encode what was removed: %w", err)
	}
	reason := fmt.Sprintf("%d versions were stopped, %s", len(r.Stopped), also)
	if len(r.Kept) > 0 {
		reason = fmt.Sprintf("%d versions run on, %s", len(r.Kept), also)
	}
	return sequence.Result{OK: true, Reason: reason, Cut: r.Cut, Detail: detail}, nil
}

// removeRunning takes the traffic away and stops what runs, also what no
// state knows of: a start that was cancelled may have come far enough. What is
// kept keeps the weights that the state last knew.
func (w work) removeRunning(ctx context.Context) (removed, error) {
	var done removed
	rem := w.e.Remove
	for ns, weights := range rem.Routes {
		w.c.Failpoint("route.before-change")
		r := fairway.Route{Namespace: ns, Service: w.service.name, Weights: weights}
		set := w.c.Traffic.Restore
		if !rem.Keep {
			r.Weights, set = nil, w.c.Traffic.SetWeights
		}
		if err := set(ctx, r); err != nil {
			return done, fmt.Errorf("change the traffic of %s in %s: %w", w.service.name, ns, err)
		}
		w.c.Failpoint("route.after-change")
	}
	all, err := w.c.Platform.Instances(ctx)
	if err != nil {
		return done, fmt.Errorf("list what runs: %w", err)
	}
	for _, i := range all {
		if i.Project != w.service.project || i.Place.Service != w.service.name {
			continue
		}
		what := i.Artifact.Tag + " as " + i.Place.String()
		if rem.Keep && slices.Contains(rem.Instances, i.ID) {
			done.Kept = append(done.Kept, what)
			continue
		}
		cut, err := w.c.places.clear(ctx, i.Place, i.ID)
		if err != nil {
			return done, err
		}
		done.Cut += cut
		done.Stopped = append(done.Stopped, what)
	}
	slices.Sort(done.Stopped)
	slices.Sort(done.Kept)
	return done, nil
}

// removeProject deletes every service as a person would have done, and then
// the project's repository.
func (w work) removeProject(ctx context.Context) (sequence.Result, error) {
	p, n := w.service.project, 0
	for {
		services, err := w.services(ctx)
		if err != nil {
			return sequence.Result{}, fairway.Retryable(fmt.Errorf("list the services of project %s: %w", p, err))
		}
		if len(services) == 0 {
			break
		}
		n += len(services)
		for _, s := range services {
			if err := w.removeService(ctx, s); err != nil {
				return sequence.Result{}, fairway.Retryable(fmt.Errorf("delete service %s: %w", s, err))
			}
		}
		for _, s := range services {
			if err := w.awaitRemoval(ctx, s); err != nil {
				return sequence.Result{}, err
			}
		}
	}
	w.c.Failpoint("remove.before-forget")
	if err := w.c.Forget(ctx, Gone{Project: p, Keep: w.e.Remove.Keep}); err != nil {
		return sequence.Result{}, fairway.Retryable(fmt.Errorf("forget project %s: %w", p, err))
	}
	w.c.Failpoint("git.before-commit")
	if err := w.c.Configuration.Remove(ctx, Change{Project: p, Key: w.e.Key()}); err != nil {
		return sequence.Result{}, fairway.Retryable(fmt.Errorf("move the repository of project %s away: %w", p, err))
	}
	w.c.Failpoint("git.after-commit")
	return sequence.Result{OK: true, Reason: fmt.Sprintf("%d services were deleted with it, and its repository was moved away", n)}, nil
}

// services lists what of the project is left to delete: what is known, what is
// being deleted or was left running before, unless that is to stay, and what
// git has. What git has and nobody knows is made known first, so that it is
// deleted like any other. It is looked for last: a service leaves git before
// its state.
func (w work) services(ctx context.Context) ([]fairway.ServiceName, error) {
	p := w.service.project
	var left []fairway.ServiceName
	for _, s := range w.c.View.Services(p) {
		left = append(left, s.Service)
	}
	for _, r := range w.c.View.Removals() {
		if r.Project == p && r.Service != sequence.WholeProject && (r.UnderWay || len(r.Kept) > 0 && !w.e.Remove.Keep) {
			left = append(left, r.Service)
		}
	}
	there, err := w.c.Configuration.Services(ctx, p)
	if err != nil {
		return nil, err
	}
	for _, s := range there {
		if slices.Contains(left, s) {
			continue
		}
		in := sequence.Input{Onboard: &sequence.Onboard{Actor: w.e.Remove.Actor}}
		if _, err := w.c.Submit(ctx, p, s, "onboard:"+w.e.Key(), in); err != nil {
			return nil, err
		}
		left = append(left, s)
	}
	slices.Sort(left)
	return slices.Compact(left), nil
}

func (w work) removeService(ctx context.Context, s fairway.ServiceName) error {
	rem, p := w.e.Remove, w.service.project
	repository := ""
	if rem.Repository != "" {
		repository = rem.Repository + "/" + string(s)
	}
	_, err := w.c.Submit(ctx, p, s, "remove:"+w.e.Key(), sequence.Input{Command: &sequence.Command{
		Verb: sequence.Remove, Actor: rem.Actor, Reason: rem.Reason, Keep: rem.Keep, Repository: repository,
	}})
	return err
}

// awaitRemoval waits until nothing of the service is left to do.
func (w work) awaitRemoval(ctx context.Context, s fairway.ServiceName) error {
	changed, cancel := w.c.View.Watch()
	defer cancel()
	for {
		r, ok := w.c.View.Removal(w.service.project, s)
		if _, lives := w.c.View.Service(w.service.project, s); !lives && (!ok || !r.UnderWay) {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}
