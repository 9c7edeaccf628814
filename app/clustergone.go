package app

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"time"

	"github.com/fairwaycd/fairway"
	"github.com/fairwaycd/fairway/sequence"
)

// vanished stores that somebody else deleted what ran of a delivery, and what
// became of it.
func (a *App) vanished(ctx context.Context, i fairway.Instance, reason string) {
	data, err := json.Marshal(fairway.EventData{Project: i.Project, Service: i.Place.Service, Stage: i.Stage, Slot: i.Place.Colour,
		Image: i.Artifact.Image, Tag: i.Artifact.Tag, Digest: i.Artifact.Digest})
	if err == nil {
		id := "vanished:" + rand.Text()
		e := fairway.Event{SpecVersion: "1.0", ID: id, Source: ownSource + "kubernetes", Type: fairway.TypeVersionDeleted,
			Time: time.Now().UTC(), ContentType: "application/json", Context: i.Delivery, Reason: reason, Data: data}
		_, err = a.control.Submit(ctx, i.Project, i.Place.Service, id, sequence.Input{Foreign: &e})
	}
	if err != nil {
		a.o.Logger.Error("the event of a version that somebody deleted could not be stored", "place", i.Place.String(), "shkeptncontext", i.Delivery, "what", reason, "error", err)
	}
}
