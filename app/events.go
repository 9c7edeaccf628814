package app

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/fairwaycd/fairway"
	"github.com/fairwaycd/fairway/api"
	"github.com/fairwaycd/fairway/cloudevents"
	"github.com/fairwaycd/fairway/sequence"
)

const (
	// maxForeign is the largest event, in bytes, that is kept for others: it
	// is what the specification of CloudEvents asks receivers to take.
	maxForeign = 64 << 10
	// ownSource is how the sources of Fairway's own events begin.
	ownSource = "/fairway/"
	// ownType is how the types begin that only Fairway gives to its events.
	ownType = "dev.fairway."
	// nobody stands for the project and service of events about none.
	nobody = "_"
	// fieldType is how the types begin that Fairway shares with other tools.
	fieldType = "sh.keptn.events."
)

// taken is an event that was found right and can be stored.
type taken struct {
	id      string
	project fairway.ProjectName
	service fairway.ServiceName
	source  string
	input   sequence.Input
}

// SendEvents implements [api.Backend]. An event of a type that starts nothing
// is stored and shown. All are checked before the first is stored; one that
// the engine refuses then does not keep the others from it.
func (b *backend) SendEvents(ctx context.Context, events []fairway.Event) ([]api.Accepted, error) {
	if err := b.taking(); err != nil {
		return nil, err
	}
	all := make([]taken, 0, len(events))
	for i, e := range events {
		t, err := b.take(ctx, e)
		if err != nil && len(events) > 1 {
			err = fmt.Errorf("event %d of %d, none of which was stored: %w", i+1, len(events), err)
		}
		if err != nil {
			return nil, err
		}
		all = append(all, t)
	}
	out := make([]api.Accepted, 0, len(all))
	var refused []error
	for _, t := range all {
		d, err := b.control.Submit(ctx, t.project, t.service, t.source+"#"+t.id, t.input)
		if err != nil {
			return out, err
		}
		if d.Refused != nil {
			refused = append(refused, d.Refused)
		}
		out = append(out, api.Accepted{ID: t.id, Delivery: d.Delivery, Reason: d.Reason})
	}
	return out, errors.Join(refused...)
}

func (b *backend) take(ctx context.Context, e fairway.Event) (taken, error) {
	if e.Type != fairway.TypeNewArtifact {
		return b.takeForeign(ctx, e)
	}
	r, err := cloudevents.ArtifactOf(e)
	if err != nil {
		return taken{}, err
	}
	if err := b.known(ctx, r.Project, r.Service, ""); err != nil {
		return taken{}, err
	}
	in := &sequence.Artifact{Source: e.Source, EventID: e.ID, Context: e.Context, Artifact: r.Artifact, Actor: "event from " + e.Source}
	if r.Stage != "" {
		// In an event the stage is the one that is done: the next one follows.
		if in.From, err = b.stageAfter(ctx, r.Project, r.Stage); err != nil {
			return taken{}, err
		}
	}
	return taken{e.ID, r.Project, r.Service, e.Source, sequence.Input{Artifact: in}}, nil
}

// takeForeign prepares an event that starts nothing, with the service it names
// if that exists. It cannot pass for one of Fairway's own: their types and
// sources are refused, and of types that others use too the context is taken
// away, so that it is not among the facts of a delivery.
func (b *backend) takeForeign(ctx context.Context, e fairway.Event) (taken, error) {
	if strings.HasPrefix(e.Type, ownType) {
		return taken{}, fairway.Invalid("type", e.Type, "is a type of Fairway's own events, which nobody else sends", "use a type of your own")
	}
	if strings.HasPrefix(e.Source, ownSource) {
		return taken{}, fairway.Invalid("source", e.Source, "is a source of Fairway's own events", "name the sender")
	}
	whole, err := json.Marshal(e)
	if err != nil {
		return taken{}, fmt.Errorf("measure the event: %w", err)
	}
	if len(whole) > maxForeign {
		return taken{}, fairway.Invalid("event", strconv.Itoa(len(whole))+" bytes", "is larger than 64 KiB", "send what matters and a link to the rest")
	}
	reason := "received from " + e.Source
	if strings.HasPrefix(e.Type, fieldType) && e.Context != "" {
		reason += " about " + string(e.Context) + "; it is no fact of that delivery"
		e.Context = ""
	}
	if e.Reason != "" {
		reason += ": " + e.Reason
	}
	e.Reason = reason
	p, sv, err := b.about(ctx, e)
	return taken{e.ID, p, sv, e.Source, sequence.Input{Foreign: &e}}, err
}

// about returns the service that the event's data name, or one that stands
// for none.
func (b *backend) about(ctx context.Context, e fairway.Event) (fairway.ProjectName, fairway.ServiceName, error) {
	var data struct {
		Project fairway.ProjectName `json:"project"`
		Service fairway.ServiceName `json:"service"`
	}
	if err := json.Unmarshal(e.Data, &data); err != nil || data.Project.Validate() != nil {
		return nobody, nobody, nil // whatever the data are, they name no service
	}
	err := b.known(ctx, data.Project, data.Service, "")
	if fairway.KindOf(err) == fairway.KindNotFound {
		return nobody, nobody, nil
	}
	return data.Project, data.Service, err
}

// DeliveryEvents implements [api.Backend]: what Fairway did, and nothing that
// others said about it.
func (b *backend) DeliveryEvents(ctx context.Context, id string) ([]fairway.Event, error) {
	if err := b.reading(); err != nil {
		return nil, err
	}
	d, err := b.view.Delivery(id)
	if err != nil {
		return nil, err
	}
	all, err := b.control.History(ctx, d)
	return slices.DeleteFunc(all, func(e fairway.Event) bool { return !strings.HasPrefix(e.Source, ownSource) }), err
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
