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
	err := c.records(ctx, d, func(r Record) {
		for _, ev := range r.Events {
			if ev.Context == d.ID {
				out = append(out, ev)
			}
		}
	})
	if err != nil {
		return nil, err
	}
	slices.SortStableFunc(out, func(a, b fairway.Event) int { return a.Time.Compare(b.Time) })
	return out, nil
}

// Delivery finds a delivery as [View.Delivery] does, whole: of one that ended
// long ago the stages are read from the log.
func (c *Controller) Delivery(ctx context.Context, id string) (fairway.Delivery, error) {
	d, err := c.View.Delivery(id)
	if err != nil || !d.Status.Ended() || len(d.Stages) > 0 {
		return d, err
	}
	err = c.records(ctx, d, func(r Record) {
		for _, e := range r.Ended {
			if e.ID == d.ID {
				d.Stages = e.Stages
			}
		}
	})
	return d, err
}

// records hands every record about the delivery to f: those under its name,
// and then those that are stored under another's.
func (c *Controller) records(ctx context.Context, d fairway.Delivery, f func(Record)) error {
	each := func(e fairway.LogEntry) error {
		r, err := decodeRecord(e)
		if err != nil {
			return err
		}
		f(r)
		return nil
	}
	if err := c.Log.History(ctx, d.Project, d.Service, d.ID, each); err != nil {
		return err
	}
	for _, seq := range c.View.also(d.ID) {
		e, err := c.Log.Entry(ctx, c.Log.Shard(d.Project, d.Service), seq)
		if fairway.KindOf(err) == fairway.KindNotFound {
			continue // expired with the delivery under whose name it was stored
		}
		if err != nil {
			return err
		}
		if err := each(e); err != nil {
			return err
		}
	}
	return nil
}
