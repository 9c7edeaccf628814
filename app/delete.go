package app

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/fairwaycd/fairway"
	"github.com/fairwaycd/fairway/api"
	"github.com/fairwaycd/fairway/chart"
	"github.com/fairwaycd/fairway/controller"
	"github.com/fairwaycd/fairway/project"
	"github.com/fairwaycd/fairway/registry"
	"github.com/fairwaycd/fairway/sequence"
)

// Delete implements [api.Backend].
func (b *backend) Delete(ctx context.Context, r api.Delete) (api.Deletion, error) {
	if err := b.taking(); err != nil {
		return api.Deletion{}, err
	}
	plan, err := b.deletion(ctx, r)
	if err != nil || r.DryRun {
		return plan, err
	}
	if r.Version != "" && r.Version != plan.Version {
		return api.Deletion{}, fairway.Errorf(fairway.KindConflict, "what would be deleted has changed since it was shown; look again with: fairway delete %s --dry-run", deleteWords(r))
	}
	name, repository := r.Service, ""
	if name == "" {
		name = sequence.WholeProject
	}
	if i, err := b.keeper.Project(ctx, r.Project); err == nil {
		repository = i.Shipyard.Registry
		if r.Service != "" {
			repository += "/" + string(r.Service)
		}
	}
	changed, cancel := b.view.Watch()
	defer cancel()
	b.changing.Lock()
	dec, err := b.control.Submit(ctx, r.Project, name, "remove:"+rand.Text(), sequence.Input{Command: &sequence.Command{
		Verb: sequence.Remove, Actor: somebody(ctx), Reason: strings.TrimSpace(r.Reason), Keep: r.KeepRunning, Repository: repository,
	}})
	b.changing.Unlock()
	if err == nil {
		err = dec.Refused
	}
	if err != nil {
		return api.Deletion{}, err
	}
	if r.Service == "" {
		if err := errors.Join(b.forgetMonitoring(ctx, r.Project), b.forgetRegistries(ctx, r.Project)); err != nil {
			return api.Deletion{}, err
		}
	}
	plan.Done, plan.Reason = b.awaitDeletion(ctx, r.Project, name, changed)
	return plan, nil
}

func deleteWords(r api.Delete) string {
	if r.Service == "" {
		return "project " + string(r.Project)
	}
	return fmt.Sprintf("service %s --project %s", r.Service, r.Project)
}

// awaitDeletion waits until nothing is left to do, for as long as a request
// may take, and says how it stands.
func (b *backend) awaitDeletion(ctx context.Context, p fairway.ProjectName, s fairway.ServiceName, changed <-chan struct{}) (done bool, reason string) {
	late := time.NewTimer(routeWait)
	defer late.Stop()
	for {
		r, _ := b.view.Removal(p, s)
		if _, lives := b.view.Service(p, s); !r.UnderWay && !lives {
			return true, "deleted"
		}
		select {
		case <-changed:
			continue
		case <-late.C:
		case <-ctx.Done():
		}
		return false, fmt.Sprintf("the deletion is stored and goes on; what comes of it shows: fairway get events --project %s", p)
	}
}

// deletion lists what goes. While a deletion is under way, it is what is left
// of it.
func (b *backend) deletion(ctx context.Context, r api.Delete) (api.Deletion, error) {
	d := api.Deletion{Project: r.Project, Service: r.Service, KeepRunning: r.KeepRunning, Services: []api.ServiceDeletion{}}
	services, info, err := b.deletable(ctx, r)
	if err != nil {
		return d, err
	}
	if r.Service == "" {
		d.Git = b.projectOf(info).Git
	}
	tags, err := b.reg.Tags(ctx)
	if err != nil {
		return d, err
	}
	instances, err := b.site.platform().Instances(ctx)
	if err != nil {
		return d, err
	}
	for _, s := range services {
		d.Services = append(d.Services, b.serviceDeletion(info, s, tags, instances))
	}
	d.Version, err = fingerprint(d)
	return d, err
}

// deletable returns the services that a request is about. A project that
// cannot be read can be deleted too.
func (b *backend) deletable(ctx context.Context, r api.Delete) ([]fairway.ServiceName, project.Info, error) {
	info, err := b.keeper.Project(ctx, r.Project)
	all := slices.Clone(info.Services)
	for _, v := range b.view.Services(r.Project) {
		all = append(all, v.Service)
	}
	underWay := false
	for _, gone := range b.view.Removals() {
		switch {
		case gone.Project != r.Project:
		case gone.Service == sequence.WholeProject:
			underWay = gone.UnderWay
		case gone.UnderWay || len(gone.Kept) > 0:
			all = append(all, gone.Service)
		}
	}
	slices.Sort(all)
	all = slices.Compact(all)
	known := r.Service != "" && slices.Contains(all, r.Service)
	switch {
	case known:
		return []fairway.ServiceName{r.Service}, info, nil
	case r.Service == "" && (err == nil || underWay || fairway.KindOf(err) != fairway.KindNotFound):
		info.Name = r.Project
		return all, info, nil
	case err != nil:
		return nil, info, err
	}
	return nil, info, project.UnknownService(info, r.Service)
}

func (b *backend) serviceDeletion(i project.Info, s fairway.ServiceName, tags []registry.Push, instances []fairway.Instance) api.ServiceDeletion {
	d := api.ServiceDeletion{Service: s, Stages: []fairway.StageName{}, Running: []api.RunningVersion{}, Deliveries: []fairway.Delivery{}}
	for _, st := range i.Shipyard.Stages {
		d.Stages = append(d.Stages, st.Name)
	}
	v, ok := b.view.Service(i.Name, s)
	if !ok {
		gone, _ := b.view.Removal(i.Name, s)
		v.Stages = gone.Kept
	}
	weight := map[fairway.Place]int{}
	for _, st := range v.Stages {
		for c, w := range st.Weights {
			weight[fairway.Place{Namespace: st.Namespace, Service: s, Colour: c}] = w
		}
	}
	for _, x := range instances {
		if x.Project == i.Name && x.Place.Service == s {
			d.Running = append(d.Running, api.RunningVersion{Stage: x.Stage, Place: x.Place, Tag: x.Artifact.Tag, Weight: weight[x.Place]})
		}
	}
	slices.SortFunc(d.Running, func(a, b api.RunningVersion) int {
		return strings.Compare(a.Place.String()+a.Tag, b.Place.String()+b.Tag)
	})
	for _, x := range b.view.Deliveries(controller.DeliveryFilter{Project: i.Name, Service: s, Limit: math.MaxInt}) {
		if x.Status.Ended() {
			d.Ended++
		} else {
			d.Deliveries = append(d.Deliveries, x)
		}
	}
	if i.Shipyard.Registry != "" {
		d.Repository = i.Shipyard.Registry + "/" + string(s)
	}
	for _, t := range tags {
		if t.Repository == d.Repository {
			d.Tags++
		}
	}
	return d
}

// fingerprint is the same as long as the same things would go, however far
// deliveries have come.
func fingerprint(d api.Deletion) (string, error) {
	var what []string
	for _, s := range d.Services {
		what = append(what, "service "+string(s.Service))
		for _, v := range s.Running {
			what = append(what, fmt.Sprintf("%s %s %d", v.Place, v.Tag, v.Weight))
		}
		for _, x := range s.Deliveries {
			what = append(what, "delivery "+string(x.ID))
		}
	}
	whole, err := json.Marshal([]any{d.Project, d.Service, d.KeepRunning, what})
	sum := sha256.Sum256(whole)
	return hex.EncodeToString(sum[:8]), err
}

// forget makes everybody else forget what is deleted: the gateway its hosts,
// the registry its images, and the log that its tags were delivered. Of a
// project there are only the credentials that it has with others: its upstream
// and its monitoring systems.
func (a *App) forget(ctx context.Context, g controller.Gone) error {
	if g.Service == "" {
		_, err := a.git.RemoveUpstream(g.Project)
		for _, c := range a.monitoring.All() {
			if c.Project == g.Project {
				_, gone := a.monitoring.Remove(c.Kind, c.Project)
				err = errors.Join(err, gone)
			}
		}
		return err
	}
	if !g.Keep {
		for _, ns := range g.Namespaces {
			if err := a.site.forget(ctx, ns, g.Service); err != nil {
				return err
			}
		}
	}
	if g.Repository == "" {
		return nil
	}
	tags, err := a.reg.Tags(ctx)
	if err != nil {
		return err
	}
	var errs []error
	for _, t := range tags {
		if t.Repository == g.Repository {
			errs = append(errs, a.log.MarkSeen(ctx, a.pushedArtifact(t), false))
		}
	}
	if err := errors.Join(errs...); err != nil || g.Keep {
		return err
	}
	return a.reg.Remove(ctx, g.Repository)
}

// admit refuses a push of an image of a service that was deleted: nothing
// would be delivered, and whoever pushes should hear it.
func (a *App) admit(ctx context.Context, repository, tag string) error {
	for _, r := range a.view.Removals() {
		if r.Repository != repository || r.Service == sequence.WholeProject {
			continue
		}
		_, _, wanted, err := a.keeper.Owner(ctx, repository, tag)
		if err != nil || wanted && !r.UnderWay {
			return nil // another project has the name by now
		}
		return fairway.Errorf(fairway.KindRefused, "%s", sequence.GoneReason(r.Project, r.Service, r.Removal))
	}
	return nil
}

// notGoing refuses a change of a service or project that is being deleted.
// The caller holds b.changing.
func (b *backend) notGoing(p fairway.ProjectName, s fairway.ServiceName) error {
	if r, _ := b.view.Removal(p, sequence.WholeProject); r.UnderWay {
		return fairway.Errorf(fairway.KindConflict, "project %s is being deleted by %s; try again in a moment", p, r.Removal)
	}
	if r, _ := b.view.Removal(p, s); r.UnderWay {
		return fairway.Errorf(fairway.KindConflict, "service %s of project %s is being deleted by %s; try again in a moment", s, p, r.Removal)
	}
	return nil
}

// mayCome refuses a service while it, or its project, is being deleted, and
// where another one was left running.
func (b *backend) mayCome(ctx context.Context, r api.OnboardService) error {
	name := r.Service
	if name == "" {
		v, err := chart.ParseValues(r.ValuesFile, []byte(r.Values))
		if err != nil {
			return nil // which is told with its file and line later
		}
		name = v.Service
	}
	if err := b.notGoing(r.Project, name); err != nil {
		return err
	}
	return b.notTaken(ctx, r.Project, name)
}

// notTaken refuses a service where versions of another project's run on that
// was deleted: both would be one place.
func (b *backend) notTaken(ctx context.Context, p fairway.ProjectName, s fairway.ServiceName) error {
	info, err := b.keeper.Project(ctx, p)
	if err != nil {
		return err
	}
	for _, r := range b.view.Removals() {
		if r.Project == p || r.Service != s {
			continue
		}
		for _, kept := range r.Kept {
			for _, st := range info.Shipyard.Stages {
				if st.WithDefaults().Namespace == kept.Namespace {
					return fairway.Invalid("namespace", string(kept.Namespace), fmt.Sprintf("holds versions of service %s that project %s left running when it was deleted", s, r.Project),
						fmt.Sprintf("stop them with: fairway delete service %s --project %s, or give stage %s a namespace of its own in the shipyard", s, r.Project, st.Name))
				}
			}
		}
	}
	return nil
}
