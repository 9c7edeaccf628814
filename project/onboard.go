package project

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/fairwaycd/fairway"
	"github.com/fairwaycd/fairway/chart"
	"github.com/fairwaycd/fairway/git"
	"github.com/fairwaycd/fairway/helm"
	"github.com/fairwaycd/fairway/quality"
	"github.com/fairwaycd/fairway/testrun"
)

// Onboard asks for a service.
type Onboard struct {
	Project    fairway.ProjectName
	Service    fairway.ServiceName // empty: as the values say
	Values     []byte
	ValuesFile string
	Deployment []byte
	KService   []byte
	Resources  map[string][]byte
	// Chart are the files of a Helm chart of the service's own, by their paths
	// within it. Service is required then; Values are those that differ from
	// the chart's, ImageValues the paths of those that take the image (none:
	// they are looked for), and Strategy overrides the stages' (empty: it does
	// not).
	Chart       map[string][]byte
	ImageValues []string
	Strategy    fairway.DeploymentStrategy
	DryRun      bool
}

// Onboarded says what onboarding did.
type Onboarded struct {
	Service  fairway.ServiceName
	Stages   []fairway.StageName
	Warnings []string
	Files    []string
	Commit   string           // of the first stage's branch
	Artifact fairway.Artifact // that the values name; zero when they name none
	Select   string           // metrics.select of the values
}

// Onboard adds a service to every stage's branch: validated and rendered for
// each of them before the first is changed. Doing it again changes nothing.
func (k *Keeper) Onboard(ctx context.Context, actor string, r Onboard) (Onboarded, error) {
	if r.ValuesFile == "" {
		r.ValuesFile = "values.yaml"
	}
	if r.Chart != nil {
		if err := r.ownChart(); err != nil {
			return Onboarded{}, err
		}
	}
	v, err := chart.ParseValues(r.ValuesFile, r.Values)
	if err != nil {
		return Onboarded{}, err
	}
	if r.Service != "" && r.Service != v.Service {
		return Onboarded{}, fairway.InFile(r.ValuesFile, fairway.Invalid("service.name", string(v.Service), "is not "+string(r.Service)+", which the command names", "make both the same"))
	}
	if err := checkResources(r.Resources); err != nil {
		return Onboarded{}, err
	}
	k.create.Lock()
	defer k.create.Unlock()
	p, err := k.Project(ctx, r.Project)
	if err != nil {
		return Onboarded{}, err
	}
	all, err := k.Projects(ctx)
	if err != nil {
		return Onboarded{}, err
	}
	if err := placeIsFree(all, p.Name, p.Shipyard, v.Service); err != nil {
		return Onboarded{}, err
	}
	out := Onboarded{Service: v.Service, Artifact: v.Artifact, Select: v.Metrics.Select}
	commits := map[string]git.CommitRequest{}
	for _, stage := range p.Shipyard.Stages {
		changes, warnings, err := k.onboardStage(ctx, p, forService(stage, v.Strategy), v, r)
		if err != nil {
			return Onboarded{}, changeFailed(stage.Name, err)
		}
		out.Stages = append(out.Stages, stage.Name)
		for _, w := range warnings {
			if !slices.Contains(out.Warnings, w) {
				out.Warnings = append(out.Warnings, w)
			}
		}
		for _, f := range slices.Sorted(maps.Keys(changes)) {
			out.Files = append(out.Files, string(stage.Name)+":"+f)
		}
		commits[string(stage.Name)] = git.CommitRequest{
			Info: k.info(actor, "Onboard service "+string(v.Service)),
			Edit: func(*git.Snapshot) (map[string][]byte, error) { return changes, nil },
		}
	}
	if r.DryRun {
		return out, nil
	}
	done, err := k.Git.CommitAll(ctx, p.Name, commits)
	if err != nil {
		return Onboarded{}, err
	}
	out.Commit = done[string(p.Shipyard.Stages[0].Name)].Hash
	return out, nil
}

// onboardStage returns the changes of one stage's branch, after rendering
// what they lead to.
func (k *Keeper) onboardStage(ctx context.Context, p Info, stage fairway.Stage, v chart.Values, r Onboard) (map[string][]byte, []string, error) {
	snap, err := k.Git.Read(ctx, p.Name, string(stage.Name))
	if err != nil {
		return nil, nil, err
	}
	files, err := snap.Files("")
	if err != nil {
		return nil, nil, err
	}
	changes, warnings, err := onChart(ctx, files, v.Service, chart.OnboardRequest{
		Project: p.Name, Stage: stage, Domain: k.Domain, Values: r.Values, ValuesName: r.ValuesFile,
		Deployment: r.Deployment, Service: r.KService, Resources: r.Resources, Own: r.Chart,
	})
	if err != nil {
		return nil, nil, err
	}
	after := maps.Clone(files)
	for name, body := range changes {
		after[name] = body
	}
	return changes, warnings, k.renderAll(ctx, p.Name, stage, v.Service, after)
}

// renderAll renders every colour of the service, to refuse what cannot be.
func (k *Keeper) renderAll(ctx context.Context, p fairway.ProjectName, stage fairway.Stage, s fairway.ServiceName, files map[string][]byte) error {
	only := map[string][]byte{}
	for name, body := range files {
		if strings.HasPrefix(name, chartDir+"/") || strings.HasPrefix(name, chart.OwnDir(s)+"/") {
			only[name] = body
		}
	}
	for _, c := range stage.Colours() {
		r := helm.Release{Project: p, Stage: stage.Name, Namespace: stage.Namespace, Service: s, Colour: c, Artifact: exampleOf(s)}
		out, err := helm.Render(ctx, only, r)
		if err == nil {
			err = k.runnable(p, stage, r, out)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// placeIsFree refuses a service whose name and namespaces another project has:
// both would be one place.
func placeIsFree(all []Info, p fairway.ProjectName, y fairway.Shipyard, s fairway.ServiceName) error {
	for _, other := range all {
		if other.Name == p || !slices.Contains(other.Services, s) {
			continue
		}
		for _, theirs := range other.Shipyard.Stages {
			for _, ours := range y.Stages {
				ns := ours.WithDefaults().Namespace
				if ns == theirs.WithDefaults().Namespace {
					return fairway.Invalid("namespace", string(ns), "holds a service "+string(s)+" of project "+string(other.Name)+" already",
						"give stage "+string(ours.Name)+" a namespace of its own in the shipyard, such as namespace: "+string(p)+"-"+string(ours.Name))
				}
			}
		}
	}
	return nil
}

// AddResources replaces files of a service in the stages' branches; no stages
// means all.
func (k *Keeper) AddResources(ctx context.Context, actor string, p fairway.ProjectName, s fairway.ServiceName, stages []fairway.StageName, files map[string][]byte, dryRun bool) ([]fairway.StageName, []string, error) {
	if len(files) == 0 {
		return nil, nil, fairway.Invalid("files", "", "are none", "name a file or directory below perfspec, tests or jmeter")
	}
	if err := checkAdded(files); err != nil {
		return nil, nil, err
	}
	info, err := k.Project(ctx, p)
	if err != nil {
		return nil, nil, err
	}
	if !slices.Contains(info.Services, s) {
		return nil, nil, unknownService(p, s, info.Services)
	}
	if len(stages) == 0 {
		for _, st := range info.Shipyard.Stages {
			stages = append(stages, st.Name)
		}
	}
	placed, err := chart.Resources(s, files)
	if err != nil {
		return nil, nil, err
	}
	commits := map[string]git.CommitRequest{}
	for _, st := range stages {
		if _, _, ok := info.Shipyard.Stage(st); !ok {
			return nil, nil, unknownStage(p, st, info.Shipyard)
		}
		commits[string(st)] = git.CommitRequest{
			Info: k.info(actor, "Change resources of "+string(s)),
			Edit: func(b *git.Snapshot) (map[string][]byte, error) { return placed, checkObjectives(b, s, files) },
		}
	}
	names := slices.Sorted(maps.Keys(placed))
	if dryRun {
		for branch := range commits {
			tip, err := k.Git.Read(ctx, p, branch)
			if err == nil {
				err = checkObjectives(tip, s, files)
			}
			if err != nil {
				return nil, nil, err
			}
		}
		return stages, names, nil
	}
	_, err = k.Git.CommitAll(ctx, p, commits)
	return stages, names, err
}

// checkResources parses what Fairway will have to understand later: all that a
// service has.
func checkResources(files map[string][]byte) error {
	var problems []fairway.Problem
	_, _, err := quality.Read("", files, quality.ParseOptions{})
	for _, err := range []error{err, checkTests(files)} {
		ps := fairway.Problems(err)
		if err != nil && len(ps) == 0 {
			return err
		}
		problems = append(problems, ps...)
	}
	return fairway.InvalidAll(problems)
}

// checkAdded parses files that may be a part of what a service has: a perfspec
// says all by itself, and the halves of an SLO are read once they are together.
func checkAdded(files map[string][]byte) error {
	if _, alone := files[quality.PerfspecFile]; !alone {
		return checkTests(files)
	}
	return checkResources(files)
}

// checkTests parses the test files among files.
func checkTests(files map[string][]byte) error {
	var problems []fairway.Problem
	for _, name := range slices.Sorted(maps.Keys(files)) {
		var err error
		switch name {
		case testrun.FunctionalFile:
			_, err = testrun.ParseFunctional(name, files[name])
		case testrun.PerformanceFile:
			_, err = testrun.ParsePerformance(name, files[name])
		}
		if err == nil {
			continue
		}
		ps := fairway.Problems(err)
		if len(ps) == 0 {
			return err
		}
		problems = append(problems, ps...)
	}
	return fairway.InvalidAll(problems)
}

// checkObjectives parses the objectives that a service has once files are
// added to its branch.
func checkObjectives(branch *git.Snapshot, s fairway.ServiceName, files map[string][]byte) error {
	all := map[string][]byte{}
	touched := false
	for _, name := range quality.Files() {
		body, added := files[name]
		if !added {
			old, ok, err := branch.File(string(s) + "/" + name)
			if err != nil {
				return fmt.Errorf("read %s of %s: %w", name, s, err)
			}
			if !ok {
				continue
			}
			body = old
		}
		touched = touched || added
		all[name] = body
	}
	if !touched {
		return nil
	}
	_, _, err := quality.Read("", all, quality.ParseOptions{})
	return err
}
