package app

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/fairwaycd/fairway"
	"github.com/fairwaycd/fairway/api"
	"github.com/fairwaycd/fairway/controller"
	"github.com/fairwaycd/fairway/sequence"
)

// The sources of deliveries that a person asks for.
const (
	sourceRetry    = "/fairway/retry"
	sourceRollback = sequence.RollbackSource
)

// aRollback begins what the first event of a delivery says of who asked for
// it, when it was made for one stage only. A retry of it stays in that stage.
const aRollback = "a rollback of stage "

func why(reason string) error {
	if strings.TrimSpace(reason) != "" {
		return nil
	}
	return fairway.Invalid("reason", "", "is missing", "say why with --reason; it is kept with the event")
}

func somebody(ctx context.Context) string { return actorOf(ctx, "somebody") }

// Retry implements [api.Backend].
func (b *backend) Retry(ctx context.Context, r api.RetryRequest) (api.Accepted, error) {
	if err := b.taking(); err != nil {
		return api.Accepted{}, err
	}
	if err := why(r.Reason); err != nil {
		return api.Accepted{}, err
	}
	d, err := b.view.Delivery(r.Delivery)
	if err != nil {
		return api.Accepted{}, err
	}
	switch {
	case !d.Status.Ended():
		return api.Accepted{}, fairway.Errorf(fairway.KindRefused, "delivery %s of %s is under way, at %s in stage %s; abort it first: fairway abort %s --reason WHY", d.ID.Short(), d.Artifact.Tag, d.Step, d.Stage, d.ID.Short())
	case d.Status == fairway.StatusFinished:
		return api.Accepted{}, fairway.Errorf(fairway.KindRefused, "delivery %s of %s has finished, so nothing is left to try again; to deliver it once more run: fairway send event new-artifact --project %s --service %s --image %s --tag %s",
			d.ID.Short(), d.Artifact.Tag, d.Project, d.Service, d.Artifact.Image, d.Artifact.Tag)
	}
	if err := b.known(ctx, d.Project, d.Service, d.Stage); err != nil {
		return api.Accepted{}, err
	}
	if v, _ := b.view.Service(d.Project, d.Service); d.StartedAt.Before(v.Since) {
		return api.Accepted{}, fairway.Errorf(fairway.KindRefused, "delivery %s belongs to an earlier service %s, which was deleted before %s; deliver the image to the present one with: fairway send event new-artifact --project %s --service %s --image %s --tag %s",
			d.ID.Short(), d.Service, v.Since.Format(time.RFC3339), d.Project, d.Service, d.Artifact.Image, d.Artifact.Tag)
	}
	only, err := b.isRollback(ctx, d)
	if err != nil {
		return api.Accepted{}, err
	}
	actor := fmt.Sprintf("a retry of delivery %s by %s: %s", d.ID.Short(), somebody(ctx), r.Reason)
	if only {
		actor = fmt.Sprintf("%s%s (delivery %s), tried again by %s: %s", aRollback, d.Stage, d.ID.Short(), somebody(ctx), r.Reason)
	}
	return b.submit(ctx, d.Project, d.Service, &sequence.Artifact{
		Source: sourceRetry, EventID: idOr(r.ID), Artifact: d.Artifact, From: d.Stage, Only: only || d.Carried.InStage(), Actor: actor, Carried: d.Carried,
	})
}

func idOr(id string) string {
	if id != "" {
		return id
	}
	return rand.Text()
}

// isRollback reports whether the delivery was made for its stage only.
func (b *backend) isRollback(ctx context.Context, d fairway.Delivery) (bool, error) {
	events, err := b.control.History(ctx, d)
	if err != nil {
		return false, err
	}
	for _, e := range events {
		var data fairway.EventData
		switch e.Type {
		case fairway.TypeRollbackRequested:
			return true, nil
		case fairway.TypeNewArtifact:
			if err := json.Unmarshal(e.Data, &data); err != nil {
				return false, fmt.Errorf("read event %s: %w", e.ID, err)
			}
			return strings.HasPrefix(data.Actor, aRollback), nil
		}
	}
	return false, nil
}

// RollbackService implements [api.Backend].
func (b *backend) RollbackService(ctx context.Context, r api.Rollback) (api.Accepted, error) {
	if err := b.stageNamed(ctx, r.Project, r.Service, r.Stage, r.Reason); err != nil {
		return api.Accepted{}, err
	}
	if r.ID != "" {
		id := sequence.NewID(r.Project, r.Service, sourceRollback, r.ID)
		if d, err := b.view.Delivery(string(id)); err == nil {
			return api.Accepted{ID: r.ID, Delivery: id, Reason: "the request was received before and started this delivery, which is " + string(d.Status)}, nil
		}
	}
	dec, err := b.control.Submit(ctx, r.Project, r.Service, "command:"+rand.Text(), sequence.Input{Command: &sequence.Command{
		Verb: sequence.Rollback, Stage: r.Stage, To: r.To, Request: r.ID, Actor: somebody(ctx), Reason: r.Reason,
	}})
	switch {
	case err != nil:
		return api.Accepted{}, err
	case dec.Refused == nil:
		return api.Accepted{ID: cmp.Or(r.ID, string(dec.Delivery)), Delivery: dec.Delivery, Reason: dec.Reason}, nil
	case fairway.KindOf(dec.Refused) != fairway.KindNotFound:
		return api.Accepted{}, dec.Refused
	}
	a, err := b.releasedBefore(ctx, r)
	if err != nil {
		return api.Accepted{}, err
	}
	return b.submit(ctx, r.Project, r.Service, &sequence.Artifact{
		Source: sourceRollback, EventID: idOr(r.ID), Artifact: a, From: r.Stage, Only: true,
		Actor: fmt.Sprintf("%s%s by %s: %s", aRollback, r.Stage, somebody(ctx), r.Reason),
	})
}

// stageNamed refuses what names no stage of a service, or gives no reason.
func (b *backend) stageNamed(ctx context.Context, p fairway.ProjectName, s fairway.ServiceName, stage fairway.StageName, reason string) error {
	if err := b.taking(); err != nil {
		return err
	}
	if err := b.known(ctx, p, s, stage); err != nil {
		return err
	}
	if stage == "" {
		return fairway.Invalid("stage", "", "is missing", "name the stage with --stage")
	}
	return why(reason)
}

// release is a version that was released in a stage.
type release struct {
	artifact fairway.Artifact
	at       time.Time
}

// releases returns what was released in the stage, the latest first, and the
// deliveries of which only the log knows where they were released.
func (b *backend) releases(r api.Rollback) (known []release, old []fairway.Delivery) {
	v, _ := b.view.Service(r.Project, r.Service)
	for _, d := range b.view.Deliveries(controller.DeliveryFilter{Project: r.Project, Service: r.Service, Limit: math.MaxInt}) {
		if d.StartedAt.Before(v.Since) {
			continue // another service of that name, which was deleted
		}
		if len(d.Stages) == 0 && d.Status.Ended() {
			old = append(old, d)
		}
		if at, ok := releasedIn(d, r.Stage); ok {
			known = append(known, release{d.Artifact, at})
		}
	}
	slices.SortStableFunc(known, func(a, b release) int { return b.at.Compare(a.at) })
	return known, old
}

// releasedIn returns when the delivery was released in the stage. Only from a
// stage that it was released in does a delivery go on.
func releasedIn(d fairway.Delivery, stage fairway.StageName) (at time.Time, ok bool) {
	for i, rec := range d.Stages {
		if rec.Stage == stage && rec.EndedAt != nil && (i+1 < len(d.Stages) || d.Status == fairway.StatusFinished) {
			return *rec.EndedAt, true
		}
	}
	return at, false
}

// releasedBefore finds the version that a rollback asks for.
func (b *backend) releasedBefore(ctx context.Context, r api.Rollback) (fairway.Artifact, error) {
	now, serves := b.serving(r.Project, r.Service, r.Stage)
	fits := func(a fairway.Artifact) bool {
		return (r.To == "" || r.To == a.Tag) && !(serves && a.Same(now))
	}
	known, old := b.releases(r)
	var tags []string
	for _, x := range known {
		if fits(x.artifact) {
			return x.artifact, nil
		}
		if !slices.Contains(tags, x.artifact.Tag) && x.artifact.Tag != now.Tag {
			tags = append(tags, x.artifact.Tag)
		}
	}
	for _, d := range old {
		if !fits(d.Artifact) {
			continue
		}
		whole, err := b.control.Delivery(ctx, string(d.ID))
		if err != nil {
			return now, err
		}
		if _, ok := releasedIn(whole, r.Stage); ok {
			return whole.Artifact, nil
		}
	}
	if serves && r.To == now.Tag {
		return now, fairway.Errorf(fairway.KindRefused, "%s has the traffic of %s in stage %s already", now.Tag, r.Service, r.Stage)
	}
	return now, nothingReleased(r, tags, now.Tag)
}

// listTags is how many tags a refusal lists.
const listTags = 20

func nothingReleased(r api.Rollback, tags []string, serves string) error {
	there := "none was"
	if more := len(tags) - listTags; more > 0 {
		tags = append(tags[:listTags:listTags], fmt.Sprintf("and %d older ones", more))
	}
	if len(tags) > 0 {
		there = "these were: " + strings.Join(tags, ", ")
	}
	if serves != "" {
		there += "; " + serves + " has the traffic"
	}
	what := "no other version of " + string(r.Service)
	if r.To != "" {
		what = "no version " + r.To + " of " + string(r.Service)
	}
	return fairway.Errorf(fairway.KindNotFound, "%s was released in stage %s; %s", what, r.Stage, there)
}

// serving returns the version that has the stage's traffic, or most of it.
func (b *backend) serving(p fairway.ProjectName, s fairway.ServiceName, stage fairway.StageName) (fairway.Artifact, bool) {
	v, _ := b.stageView(p, s, stage)
	lead, ok := v.Weights.Leader()
	return v.Occupants[lead].Artifact, ok
}

func (b *backend) stageView(p fairway.ProjectName, s fairway.ServiceName, stage fairway.StageName) (fairway.StageView, bool) {
	v, _ := b.view.Service(p, s)
	i := slices.IndexFunc(v.Stages, func(x fairway.StageView) bool { return x.Stage == stage })
	if i < 0 {
		return fairway.StageView{}, false
	}
	return v.Stages[i], true
}

// routeWait is how long a request waits for the weights that it asks for. It
// is shorter than the time that a client gives a request.
const routeWait = 20 * time.Second

// SetRoute implements [api.Backend].
func (b *backend) SetRoute(ctx context.Context, r api.SetRoute) (api.RouteState, error) {
	if err := b.stageNamed(ctx, r.Project, r.Service, r.Stage, r.Reason); err != nil {
		return api.RouteState{}, err
	}
	if err := r.Weights.Validate(); err != nil {
		return api.RouteState{}, err
	}
	if _, direct := r.Weights[fairway.Single]; !direct {
		r.Weights = fairway.Weights{fairway.Blue: r.Weights[fairway.Blue], fairway.Green: r.Weights[fairway.Green]}
	}
	changed, cancel := b.view.Watch()
	defer cancel()
	dec, err := b.control.Submit(ctx, r.Project, r.Service, "command:"+rand.Text(), sequence.Input{Command: &sequence.Command{
		Verb: sequence.SetRoute, Stage: r.Stage, Weights: r.Weights, Force: r.Force, Actor: somebody(ctx), Reason: r.Reason,
	}})
	if err == nil {
		err = dec.Refused
	}
	if err == nil {
		err = b.awaitRoute(ctx, dec.Delivery, changed)
	}
	if err != nil {
		return api.RouteState{}, err
	}
	return b.routeOf(ctx, r)
}

// awaitRoute waits until it is stored what came of a person's weights.
func (b *backend) awaitRoute(ctx context.Context, id fairway.DeliveryID, changed <-chan struct{}) error {
	late := time.NewTimer(routeWait)
	defer late.Stop()
	for {
		for _, e := range b.view.Events(controller.EventFilter{Delivery: id}) {
			switch e.Type {
			case fairway.TypeRouteChanged:
				return nil
			case fairway.TypeRouteRefused:
				return fairway.Errorf(fairway.KindRefused, "%s", e.Reason)
			}
		}
		select {
		case <-changed:
		case <-late.C:
			return fairway.Errorf(fairway.KindUnavailable, "the weights are stored and not in force after %s; what comes of them shows: fairway get events --delivery %s", routeWait, id)
		case <-ctx.Done():
			return fairway.Errorf(fairway.KindUnavailable, "the weights are stored and not in force yet: %w", context.Cause(ctx))
		}
	}
}

func (b *backend) routeOf(ctx context.Context, r api.SetRoute) (api.RouteState, error) {
	v, _ := b.stageView(r.Project, r.Service, r.Stage)
	all, err := b.Routes(ctx)
	if err != nil {
		return api.RouteState{}, err
	}
	i := slices.IndexFunc(all, func(s api.RouteState) bool { return s.Namespace == v.Namespace && s.Service == r.Service })
	if i < 0 {
		return api.RouteState{}, fairway.Errorf(fairway.KindUnavailable, "the weights of %s in stage %s were changed, and its route is gone already; see: fairway route show", r.Service, r.Stage)
	}
	return all[i], nil
}
