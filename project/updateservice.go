package project

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/fairwaycd/fairway"
	"github.com/fairwaycd/fairway/chart"
	"github.com/fairwaycd/fairway/controller"
	"github.com/fairwaycd/fairway/git"
	"github.com/fairwaycd/fairway/helm"
	"github.com/fairwaycd/fairway/sequence"
)

// UpdateService is a new definition of a service that exists.
type UpdateService struct {
	Actor, Reason string // Reason may be empty
	Project       fairway.ProjectName
	Service       fairway.ServiceName
	Definition    chart.Definition
	DryRun        bool
}

// ServiceUpdated says what an update of a service leads to.
type ServiceUpdated struct {
	// Commit of main that asks for the delivery; empty in a dry run, and when
	// nothing is to be changed.
	Commit   string
	Warnings []string
	// Diffs are what the branches of stages would get, with the version that
	// they have: of those that differ, and in the order of the shipyard.
	Diffs []StageDiff
}

// StageDiff is what a stage's branch gets.
type StageDiff struct {
	Stage fairway.StageName
	Diff  string // as git shows it
}

// UpdateService puts a new definition of the service on main, checked and
// followed as a push of it: a delivery brings it to the stages. It is
// KindInvalid or KindRefused for one that a stage cannot take, with every
// problem, and KindConflict for the one that was given last.
func (k *Keeper) UpdateService(ctx context.Context, u UpdateService) (ServiceUpdated, error) {
	if u.Definition.Empty() {
		return ServiceUpdated{}, fairway.Invalid("service", string(u.Service), "is given nothing new", "give values, a chart, or a template")
	}
	if len(u.Definition.Chart) > 0 {
		if err := helm.CheckChart(u.Definition.Chart); err != nil {
			return ServiceUpdated{}, err
		}
	}
	info, err := k.Project(ctx, u.Project)
	if err != nil {
		return ServiceUpdated{}, err
	}
	if !slices.Contains(info.Services, u.Service) {
		return ServiceUpdated{}, unknownService(u.Project, u.Service, info.Services)
	}
	done, err := k.preview(ctx, info, u.Service, u.Definition)
	if err != nil || len(done.Diffs) == 0 {
		return done, err
	}
	message := "Update service " + string(u.Service)
	if u.Reason != "" {
		message += "\n\n" + u.Reason
	}
	p, changed, err := k.Git.Propose(git.WithActor(ctx, u.Actor), u.Project, mainBranch, git.CommitRequest{
		Info: k.info(u.Actor, message),
		Edit: func(s *git.Snapshot) (map[string][]byte, error) { return defineOn(s, u.Service, u.Definition) },
	}, u.DryRun)
	switch {
	case err != nil:
		return ServiceUpdated{}, err
	case !changed:
		return ServiceUpdated{}, fairway.Errorf(fairway.KindConflict, "service %s was updated with the same before, and it is on its way to the stages that do not have it or was turned away there; see: fairway get deliveries --project %s --service %s, and to try it again: fairway retry DELIVERY", u.Service, u.Project, u.Service)
	case !u.DryRun:
		done.Commit = p.New
	}
	return done, nil
}

// defineOn replaces the service's definition on main.
func defineOn(main *git.Snapshot, s fairway.ServiceName, d chart.Definition) (map[string][]byte, error) {
	dir := chart.DefinitionDir(s)
	was, err := main.Files(dir)
	if err != nil {
		return nil, err
	}
	changes := map[string][]byte{}
	for name := range was {
		changes[name] = nil
	}
	for name, body := range d.Files() {
		changes[dir+"/"+name] = body
	}
	return changes, nil
}

// preview checks the definition for each stage, by rendering what it leads to,
// and says what would change there.
func (k *Keeper) preview(ctx context.Context, info Info, s fairway.ServiceName, d chart.Definition) (ServiceUpdated, error) {
	var out ServiceUpdated
	for _, stage := range info.Shipyard.Stages {
		snap, err := k.Git.Read(ctx, info.Name, string(stage.Name))
		if err != nil {
			return out, err
		}
		files, err := snap.Files("")
		if err != nil {
			return out, err
		}
		strategy, err := chart.Strategy(files, s)
		if err != nil {
			return out, changeFailed(stage.Name, err)
		}
		after, warnings, err := k.redefined(ctx, info.Name, stage, forService(stage, strategy), s, d, files)
		if err != nil {
			return out, changeFailed(stage.Name, err)
		}
		for _, w := range warnings {
			if !slices.Contains(out.Warnings, w) {
				out.Warnings = append(out.Warnings, w)
			}
		}
		diff, err := k.diffOf(files, after, s, strategy)
		if err != nil {
			return out, changeFailed(stage.Name, err)
		}
		if diff != "" {
			out.Diffs = append(out.Diffs, StageDiff{stage.Name, diff})
		}
	}
	return out, nil
}

// redefined returns the branch of a stage with the service as defined, for the
// configure step of a delivery to take. stage is the shipyard's, and plan the
// service's.
func (k *Keeper) redefined(ctx context.Context, p fairway.ProjectName, stage, plan fairway.Stage, s fairway.ServiceName, d chart.Definition, files map[string][]byte) (after map[string][]byte, warnings []string, err error) {
	without, req, err := d.Request(files, s, chart.OnboardRequest{Project: p, Stage: stage, Domain: k.Domain})
	if err != nil {
		return nil, nil, err
	}
	req.Stage = plan
	changes, warnings, err := onChart(ctx, without, s, req)
	if err != nil {
		return nil, nil, err
	}
	if after, err = d.Merge(files, chart.Overlay(without, changes), s); err != nil {
		return nil, nil, err
	}
	return after, warnings, k.renderAll(ctx, p, plan, s, after)
}

// diffOf shows what the colour with the traffic would get, with the image that
// it has.
func (k *Keeper) diffOf(files, after map[string][]byte, s fairway.ServiceName, strategy fairway.DeploymentStrategy) (string, error) {
	v := chart.Version{Colour: fairway.Single, Source: fairway.Single, From: after}
	if strategy == fairway.BlueGreen {
		rules := chart.VirtualServiceFile(s)
		w, _, err := chart.ReadWeights(rules, files[rules])
		if err != nil {
			return "", err
		}
		if v.Colour, _ = w.Leader(); v.Colour != fairway.Green {
			v.Colour = fairway.Blue
		}
		v.Source, v.Live = v.Colour, files
	}
	a, ok, err := chart.Image(files, s, v.Colour)
	if err != nil {
		return "", err
	}
	if v.Artifact = a; !ok {
		v.Artifact = exampleOf(s)
		changes, err := chart.SetImage(files, s, v.Colour, v.Artifact)
		if err != nil {
			return "", err
		}
		files = chart.Overlay(files, changes)
	}
	changes, err := chart.Configure(files, s, v)
	if err != nil {
		return "", err
	}
	was := map[string][]byte{}
	for name := range changes {
		if body, ok := files[name]; ok {
			was[name] = body
		}
	}
	return git.Diff(was, changes), nil
}

// configureDefined changes a stage's branch to a new definition of the
// service: what stays, stays as the version with the traffic has it.
func (k *Keeper) configureDefined(ctx context.Context, c controller.Change, v chart.Version) (string, error) {
	var given []chart.Definition
	for _, one := range append(slices.Clone(c.Carried.Earlier), fairway.Defined{Commit: c.Carried.Commit}) {
		d, err := k.definitionAt(ctx, c.Project, one.Commit, c.Service)
		if err != nil {
			return "", err
		}
		given = append(given, d)
	}
	y, _, err := k.shipyardOf(ctx, c.Project)
	if err != nil {
		return "", err
	}
	stage, _, ok := y.Stage(c.Stage.Name)
	if !ok {
		stage = c.Stage
	}
	return k.commit(ctx, c, "", func(files map[string][]byte) (map[string][]byte, error) {
		v := v
		changes, err := chart.Configure(files, c.Service, v)
		if err != nil {
			return nil, err
		}
		v.From = chart.Overlay(files, changes)
		for _, d := range given {
			if v.From, _, err = k.redefined(ctx, c.Project, stage, c.Stage, c.Service, d, v.From); err != nil {
				return nil, err
			}
		}
		return chart.Configure(files, c.Service, v)
	})
}

func (k *Keeper) definitionAt(ctx context.Context, p fairway.ProjectName, commit string, s fairway.ServiceName) (chart.Definition, error) {
	snap, err := k.Git.Read(ctx, p, commit)
	if err != nil {
		return chart.Definition{}, err
	}
	return definitionIn(snap, s)
}

func definitionIn(main *git.Snapshot, s fairway.ServiceName) (chart.Definition, error) {
	dir := chart.DefinitionDir(s)
	files, err := main.Files(dir)
	if err != nil {
		return chart.Definition{}, err
	}
	within := map[string][]byte{}
	for name, body := range files {
		within[strings.TrimPrefix(name, dir+"/")] = body
	}
	return chart.ReadDefinition(s, within)
}

// definedBy lists the services whose definition a push to main changes, and
// the other files that it changes.
func definedBy(p git.Push) (services []fairway.ServiceName, others []string, err error) {
	changed, err := p.Changed()
	for _, file := range changed {
		if s, ok := chart.DefinitionOf(file); !ok {
			others = append(others, file)
		} else if !slices.Contains(services, s) {
			services = append(services, s)
		}
	}
	return services, others, err
}

// checkDefinitions refuses definitions that a stage could not take.
func (k *Keeper) checkDefinitions(ctx context.Context, p git.Push, info Info) error {
	services, _, err := definedBy(p)
	if err != nil {
		return err
	}
	var all []error
	for _, s := range services {
		d, err := definitionIn(p.After(), s)
		switch {
		case err != nil:
		case d.Empty():
			continue // what the stages have stays as it is
		case !slices.Contains(info.Services, s):
			err = unknownService(p.Project, s, info.Services)
		default:
			_, err = k.preview(ctx, info, s, d)
		}
		all = append(all, err)
	}
	return errors.Join(all...)
}

// define stores that services are to be delivered with new definitions.
func (k *Keeper) define(ctx context.Context, p git.Push, services []fairway.ServiceName) error {
	for _, s := range services {
		d, err := definitionIn(p.After(), s)
		if err != nil {
			return err
		}
		if d.Empty() {
			continue
		}
		in := sequence.Pushed{
			Commit: p.New, Actor: p.Actor, Carried: &fairway.Carried{Branch: mainBranch, Commit: p.New, Present: true},
			Notes: []string{"service " + string(s) + " is defined anew: " + strings.Join(slices.Sorted(maps.Keys(d.Files())), ", ")},
		}
		if err := k.Store(ctx, p.Project, s, in); err != nil {
			return fmt.Errorf("store the new definition of %s: %w", s, err)
		}
	}
	return nil
}
