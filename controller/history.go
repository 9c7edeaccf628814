package controller

import (
	"context"
	"slices"

	"github.com/fairwaycd/fairway"
)

// History returns every event of a delivery from the log, in order. It reads
// the disk: use it for one delivery's page, not for lists.
func (c *Controller) History(ctx context.Context, d fairway.Delivery) ([]fairway.Event, error) {
	var out []fairway.Event
	err := c.Log.History(ctx, d.Project, d.Service, d.ID, func(e fairway.LogEntry) error {
		r, err := decodeRecord(e)
		if err != nil {
			return err
		}
		for _, ev := range r.Events {
			if ev.Context == d.ID {
				out = append(out, ev)
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	// What another delivery's decision did to this one, such as superseding
	// it, is stored with the other.
	for _, e := range c.View.Events(EventFilter{Delivery: d.ID, Limit: keepEvents}) {
		if !slices.ContainsFunc(out, func(have fairway.Event) bool { return have.ID == e.ID }) {
			out = append(out, e.Event)
		}
	}
	slices.SortStableFunc(out, func(a, b fairway.Event) int { return a.Time.Compare(b.Time) })
	return out, nil
}
