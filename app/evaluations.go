package app

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/fairwaycd/fairway"
	"github.com/fairwaycd/fairway/api"
	"github.com/fairwaycd/fairway/sequence"
)

// Evaluations implements [api.Backend].
func (b *backend) Evaluations(_ context.Context, f fairway.EvaluationFilter) (fairway.EvaluationPage, error) {
	return b.history.List(f)
}

// InvalidateEvaluation implements [api.Backend]. The event comes first, and
// under an id of its own: whoever repeats the request after a crash between the
// two finds it stored.
func (b *backend) InvalidateEvaluation(ctx context.Context, r api.InvalidateEvaluation) (fairway.Evaluation, error) {
	if err := b.taking(); err != nil {
		return fairway.Evaluation{}, err
	}
	if err := why(r.Reason); err != nil {
		return fairway.Evaluation{}, err
	}
	e, err := b.history.Get(ctx, r.Evaluation)
	if err != nil || e.Invalidated != nil {
		return e, err
	}
	mark := fairway.Invalidation{Actor: somebody(ctx), Reason: strings.TrimSpace(r.Reason), At: time.Now().UTC()}
	s := e.Subject
	data, err := json.Marshal(fairway.EventData{Project: s.Project, Service: s.Place.Service, Stage: s.Stage, Slot: s.Place.Colour, Tag: s.Version,
		EvaluationID: e.ID, Result: string(e.Verdict), Actor: mark.Actor})
	if err != nil {
		return fairway.Evaluation{}, fmt.Errorf("encode the event: %w", err)
	}
	event := fairway.Event{SpecVersion: "1.0", ID: e.ID + ".invalidated", Source: ownSource + "evaluations", Type: fairway.TypeEvaluationInvalidated,
		Time: mark.At, ContentType: "application/json", Context: s.Delivery, Data: data, Reason: "invalidated by " + mark.Actor + ": " + mark.Reason}
	dec, err := b.control.Submit(ctx, s.Project, s.Place.Service, event.Source+"#"+event.ID, sequence.Input{Foreign: &event})
	if err == nil {
		err = dec.Refused
	}
	if err != nil {
		return fairway.Evaluation{}, err
	}
	if err := b.history.Invalidate(e.ID, mark); err != nil {
		return fairway.Evaluation{}, err
	}
	return b.history.Get(ctx, e.ID)
}
