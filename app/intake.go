package app

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"slices"

	"github.com/fairwaycd/fairway"
	"github.com/fairwaycd/fairway/api"
	"github.com/fairwaycd/fairway/cloudevents"
	"github.com/fairwaycd/fairway/project"
	"github.com/fairwaycd/fairway/sequence"
)

// OnboardService implements [api.Backend].
func (b *backend) OnboardService(ctx context.Context, r api.OnboardService) (api.Onboarded, error) {
	if err := b.taking(); err != nil {
		return api.Onboarded{}, err
	}
	actor := actorOf(ctx, "")
	// The client's going away must not come between the commit and its record.
	ctx = context.WithoutCancel(ctx)
	done, err := b.keeper.Onboard(ctx, actor, project.Onboard{
		Project: r.Project, Service: r.Service, Values: []byte(r.Values), ValuesFile: r.ValuesFile,
		Deployment: optional(r.Deployment), KService: optional(r.KService), Resources: r.Resources, DryRun: r.DryRun,
	})
	if err != nil {
		return api.Onboarded{}, err
	}
	out := api.Onboarded{Stages: done.Stages, Warnings: done.Warnings, Files: done.Files}
	if r.DryRun {
		return out, nil
	}
	id := "onboard:" + string(done.Service) + "@" + done.Commit
	if _, err := b.control.Submit(ctx, r.Project, done.Service, id, sequence.Input{Onboard: &sequence.Onboard{Actor: actor, Commit: done.Commit}}); err != nil {
		return api.Onboarded{}, err
	}
	if done.Artifact.Image == "" {
		return out, nil
	}
	d, err := b.control.Submit(ctx, r.Project, done.Service, id+"+image", sequence.Input{Artifact: &sequence.Artifact{
		Source: "/fairway/onboard", EventID: done.Artifact.String(), Artifact: done.Artifact, Actor: actorOf(ctx, "the values at onboarding"),
	}})
	if err != nil {
		return api.Onboarded{}, err
	}
	out.Delivery = d.Delivery
	return out, d.Refused
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

// SendEvents implements [api.Backend]. An event of a type that starts nothing
// is stored and shown.
func (b *backend) SendEvents(ctx context.Context, events []fairway.Event) ([]api.Accepted, error) {
	if err := b.taking(); err != nil {
		return nil, err
	}
	out := make([]api.Accepted, 0, len(events))
	for _, e := range events {
		got, err := b.sendEvent(ctx, e)
		if err != nil {
			return out, err
		}
		out = append(out, got)
	}
	return out, nil
}

func (b *backend) sendEvent(ctx context.Context, e fairway.Event) (api.Accepted, error) {
	if e.Type != fairway.TypeNewArtifact {
		return b.keepEvent(ctx, e)
	}
	r, err := cloudevents.ArtifactOf(e)
	if err != nil {
		return api.Accepted{}, err
	}
	if err := b.known(ctx, r.Project, r.Service, ""); err != nil {
		return api.Accepted{}, err
	}
	in := &sequence.Artifact{Source: e.Source, EventID: e.ID, Context: e.Context, Artifact: r.Artifact, Actor: "event from " + e.Source}
	if r.Stage != "" {
		// In an event the stage is the one that is done: the next one follows.
		if in.From, err = b.stageAfter(ctx, r.Project, r.Stage); err != nil {
			return api.Accepted{}, err
		}
	}
	got, err := b.submit(ctx, r.Project, r.Service, in)
	got.ID = e.ID
	return got, err
}

func (b *backend) stageAfter(ctx context.Context, p fairway.ProjectName, done fairway.StageName) (fairway.StageName, error) {
	i, err := b.keeper.Project(ctx, p)
	if err != nil {
		return "", err
	}
	_, n, ok := i.Shipyard.Stage(done)
	if !ok {
		return "", fairway.Invalid("data.stage", string(done), "is no stage of project "+string(p), "use one of: "+i.Shipyard.StageNames())
	}
	if n+1 == len(i.Shipyard.Stages) {
		return "", fairway.Invalid("data.stage", string(done), "is the last stage of project "+string(p)+"; nothing follows it", "leave stage out to start at the first one")
	}
	return i.Shipyard.Stages[n+1].Name, nil
}

// keepEvent stores an event that starts nothing, with the service it names if
// that exists.
func (b *backend) keepEvent(ctx context.Context, e fairway.Event) (api.Accepted, error) {
	var about struct {
		Project fairway.ProjectName `json:"project"`
		Service fairway.ServiceName `json:"service"`
	}
	if err := json.Unmarshal(e.Data, &about); err != nil || b.known(ctx, about.Project, about.Service, "") != nil {
		about.Project, about.Service = "_", "_"
	}
	d, err := b.control.Submit(ctx, about.Project, about.Service, e.Source+"#"+e.ID, sequence.Input{Foreign: &e})
	return api.Accepted{ID: e.ID, Reason: d.Reason}, err
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
