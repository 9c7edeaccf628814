package app

import (
	"context"
	"crypto/rand"
	"fmt"
	"slices"

	"github.com/fairwaycd/fairway"
	"github.com/fairwaycd/fairway/api"
	"github.com/fairwaycd/fairway/project"
	"github.com/fairwaycd/fairway/sequence"
)

// OnboardService implements [api.Backend].
func (b *backend) OnboardService(ctx context.Context, r api.OnboardService) (api.Onboarded, error) {
	if err := b.taking(); err != nil {
		return api.Onboarded{}, err
	}
	b.changing.RLock()
	defer b.changing.RUnlock()
	if err := b.mayCome(ctx, r); err != nil {
		return api.Onboarded{}, err
	}
	actor := actorOf(ctx, "")
	// The client's going away must not come between the commit and its record.
	ctx = context.WithoutCancel(ctx)
	done, err := b.keeper.Onboard(ctx, actor, project.Onboard{
		Project: r.Project, Service: r.Service, Values: []byte(r.Values), ValuesFile: r.ValuesFile,
		Deployment: optional(r.Deployment), KService: optional(r.KService), Resources: r.Resources, DryRun: r.DryRun,
		Chart: r.Chart, ImageValues: r.ImageValues, Strategy: r.Strategy,
	})
	if err != nil {
		return api.Onboarded{}, err
	}
	out := api.Onboarded{Stages: done.Stages, Warnings: done.Warnings, Files: done.Files}
	if _, ok := b.monitoring.For(fairway.KindPrometheus, r.Project); done.Select != "" && !ok {
		out.Warnings = append(out.Warnings, "metrics.select has no effect as long as gates ask the built-in Prometheus, which tells versions apart by itself; connect another: fairway configure monitoring prometheus --project "+string(r.Project))
	}
	if r.DryRun {
		return out, nil
	}
	id := "onboard:" + string(done.Service) + "@" + done.Commit
	known, err := b.control.Submit(ctx, r.Project, done.Service, id, sequence.Input{Onboard: &sequence.Onboard{Actor: actor, Commit: done.Commit}})
	if err == nil {
		err = known.Refused
	}
	if err != nil || done.Artifact.Image == "" {
		return out, err
	}
	d, err := b.control.Submit(ctx, r.Project, done.Service, id+"+image", sequence.Input{Artifact: &sequence.Artifact{
		Source: "/fairway/onboard", EventID: firstImage(done.Artifact, known.State.Lives), Artifact: done.Artifact, Actor: actorOf(ctx, "the values at onboarding"),
	}})
	if err != nil {
		return api.Onboarded{}, err
	}
	out.Delivery = d.Delivery
	return out, d.Refused
}

// firstImage names the event of the image at onboarding: it is the same when
// the service is onboarded again, but for one that was deleted in between.
func firstImage(a fairway.Artifact, lives int) string {
	if lives == 0 {
		return a.String()
	}
	return fmt.Sprintf("%s#%d", a, lives)
}

func optional(s string) []byte {
	if s == "" {
		return nil
	}
	return []byte(s)
}

// AddResources implements [api.Backend].
func (b *backend) AddResources(ctx context.Context, r api.AddResources) (api.Added, error) {
	if err := b.taking(); err != nil {
		return api.Added{}, err
	}
	b.changing.RLock()
	defer b.changing.RUnlock()
	if err := b.notGoing(r.Project, r.Service); err != nil {
		return api.Added{}, err
	}
	actor := actorOf(ctx, "")
	stages, files, err := b.keeper.AddResources(ctx, actor, r.Project, r.Service, r.Stages, r.Files, r.DryRun)
	if err != nil || r.DryRun {
		return api.Added{Stages: stages, Files: files}, err
	}
	_, err = b.control.Submit(ctx, r.Project, r.Service, "resources:"+rand.Text(), sequence.Input{Onboard: &sequence.Onboard{
		Actor: actor, Resources: true, Note: fmt.Sprintf("%d files were changed in %d stages", len(files), len(stages)),
	}})
	return api.Added{Stages: stages, Files: files}, err
}

// known refuses a project or service that does not exist, and a stage, unless
// it is empty.
func (b *backend) known(ctx context.Context, p fairway.ProjectName, s fairway.ServiceName, stage fairway.StageName) error {
	i, err := b.keeper.Project(ctx, p)
	if err != nil {
		return err
	}
	if !slices.Contains(i.Services, s) {
		return project.UnknownService(i, s)
	}
	if _, _, ok := i.Shipyard.Stage(stage); !ok && stage != "" {
		return project.UnknownStage(i, stage)
	}
	return nil
}

// SendArtifact implements [api.Backend].
func (b *backend) SendArtifact(ctx context.Context, r api.SendArtifact) (api.Accepted, error) {
	if err := b.taking(); err != nil {
		return api.Accepted{}, err
	}
	if r.ID == "" {
		r.ID = rand.Text()
	}
	a := fairway.Artifact{Image: r.Image, Tag: r.Tag}
	if err := a.Validate(); err != nil {
		return api.Accepted{}, err
	}
	if err := b.known(ctx, r.Project, r.Service, r.Stage); err != nil {
		return api.Accepted{}, err
	}
	return b.submit(ctx, r.Project, r.Service, &sequence.Artifact{
		Source: "/fairway/send", EventID: r.ID, Artifact: a, From: r.Stage, Actor: actorOf(ctx, "a request"),
	})
}

func (b *backend) submit(ctx context.Context, p fairway.ProjectName, s fairway.ServiceName, in *sequence.Artifact) (api.Accepted, error) {
	d, err := b.control.Submit(ctx, p, s, in.Source+"#"+in.EventID, sequence.Input{Artifact: in})
	if err != nil {
		return api.Accepted{}, err
	}
	return api.Accepted{ID: in.EventID, Delivery: d.Delivery, Reason: d.Reason}, d.Refused
}

// Command implements [api.Backend].
func (b *backend) Command(ctx context.Context, r api.Command) (fairway.Delivery, error) {
	if err := b.taking(); err != nil {
		return fairway.Delivery{}, err
	}
	if r.Reason == "" {
		return fairway.Delivery{}, fairway.Invalid("reason", "", "is missing", "say why with --reason; it is kept with the delivery")
	}
	d, err := b.view.Delivery(r.Delivery)
	if err != nil {
		return fairway.Delivery{}, err
	}
	dec, err := b.control.Submit(ctx, d.Project, d.Service, "command:"+rand.Text(), sequence.Input{Command: &sequence.Command{
		Verb: sequence.Verb(r.Verb), Delivery: d.ID, Actor: actorOf(ctx, ""), Reason: r.Reason,
	}})
	if err != nil {
		return fairway.Delivery{}, err
	}
	if dec.Refused != nil {
		return fairway.Delivery{}, dec.Refused
	}
	return b.view.Delivery(string(d.ID))
}
