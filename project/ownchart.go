package project

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/fairwaycd/fairway"
	"github.com/fairwaycd/fairway/chart"
	"github.com/fairwaycd/fairway/helm"
)

// ownChart turns a request with a chart into one with the values document that
// stands for it in the branches.
func (r *Onboard) ownChart() error {
	for what, given := range map[string]bool{"deployment": r.Deployment != nil, "service": r.KService != nil} {
		if given {
			return fairway.Invalid(what, "", "is given beside a chart, which has its own", "leave it out")
		}
	}
	if err := r.Service.Validate(); err != nil {
		return err
	}
	if r.Strategy != "" && !slices.Contains(fairway.Allowed()["deployment_strategy"], string(r.Strategy)) {
		return fairway.Invalid("strategy", string(r.Strategy), "is not a deployment strategy", "use one of "+strings.Join(fairway.Allowed()["deployment_strategy"], ", "))
	}
	if err := helm.CheckChart(r.Chart); err != nil {
		return err
	}
	var err error
	if len(r.ImageValues) == 0 {
		if r.ImageValues, err = chart.FindImageValues(r.Chart["values.yaml"]); err != nil {
			return err
		}
	}
	r.Values, err = chart.OwnRequest{Service: r.Service, Strategy: r.Strategy, Values: r.Values, ValuesName: r.ValuesFile, ImageValues: r.ImageValues}.Document()
	return err
}

// onChart onboards with the name of the Kubernetes Service that the chart
// renders, since that is where the weights divide traffic.
func onChart(ctx context.Context, files map[string][]byte, s fairway.ServiceName, req chart.OnboardRequest) (changes map[string][]byte, warnings []string, err error) {
	changes, warnings, err = chart.Onboard(files, req)
	if err != nil || req.Own == nil || len(changes) == 0 {
		return changes, warnings, err
	}
	after := maps.Clone(files)
	maps.Copy(after, changes)
	example := exampleOf(s)
	out, err := helm.Render(ctx, after, helm.Release{
		Project: req.Project, Stage: req.Stage.Name, Namespace: req.Stage.Namespace, Service: s, Colour: req.Stage.Colours()[0], Artifact: example,
	})
	if err != nil {
		return nil, nil, err
	}
	warnings = append(warnings, surprises(s, req.Stage, out)...)
	hosts := out.Hosts(example)
	switch {
	case len(hosts) == 0:
		return changes, append(warnings, fmt.Sprintf("the chart of service %s has no Kubernetes Service that leads to its image: on a cluster no traffic can be sent to it", s)), nil
	case len(hosts) > 1 && !slices.Contains(hosts, string(s)):
		warnings = append(warnings, fmt.Sprintf("the chart of service %s has several Kubernetes Services (%s); weights are for %s: edit %s to change that", s, strings.Join(hosts, ", "), hosts[0], chart.VirtualServiceFile(s)))
	case slices.Contains(hosts, string(s)):
		return changes, warnings, nil
	}
	req.OwnHost = hosts[0]
	changes, _, err = chart.Onboard(files, req)
	return changes, warnings, err
}

// surprises are what a chart renders that will work otherwise in two colours
// than its author may have thought.
func surprises(s fairway.ServiceName, stage fairway.Stage, out helm.Rendered) []string {
	if stage.DeploymentStrategy != fairway.BlueGreen {
		return nil
	}
	has := func(kinds ...string) bool {
		return slices.ContainsFunc(out.Objects, func(o helm.Object) bool { return !o.Shared && slices.Contains(kinds, o.Kind) })
	}
	var warnings []string
	if has("StatefulSet", "PersistentVolumeClaim") {
		warnings = append(warnings, fmt.Sprintf("service %s keeps state, and in stage %s blue and green each get a state of their own: a switch shows the other one's; onboard it with --strategy direct for one version that stays with its data", s, stage.Name))
	}
	if has("CronJob") {
		warnings = append(warnings, fmt.Sprintf("service %s has a CronJob, and in stage %s it runs for each colour that is there, the idle one too; onboard it with --strategy direct, or see that it can run twice", s, stage.Name))
	}
	return warnings
}

// exampleOf stands for an artifact of the service where something has to be
// rendered before there is one.
func exampleOf(s fairway.ServiceName) fairway.Artifact {
	return fairway.Artifact{Image: "example/" + string(s), Tag: "0"}
}

// manifests are what the platform gets: what runs, and for a chart of the
// service's own also what stands once, by which it tells what is asked at
// which port.
func manifests(r helm.Rendered) [][]byte { return slices.Concat(r.Single, r.Manifests) }

// runnable asks the platform whether it could run what was rendered.
func (k *Keeper) runnable(p fairway.ProjectName, stage fairway.Stage, r helm.Release, out helm.Rendered) error {
	if k.Runs == nil {
		return nil
	}
	place := fairway.Place{Namespace: stage.Namespace, Service: r.Service, Colour: r.Colour}
	return k.Runs(fairway.Workload{Project: p, Stage: stage.Name, Place: place, Artifact: r.Artifact, Instance: "example", Manifests: manifests(out)})
}
