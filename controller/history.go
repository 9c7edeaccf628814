package controller

import (
	"cmp"
	"context"
	"slices"

	"github.com/fairwaycd/fairway"
)

// History returns every event of a delivery from the log, in order. It reads
// the disk: use it for one delivery's page, not for lists.
func (c *Controller) History(ctx context.Context, d fairway.Delivery) ([]fairway.Event, error) {
	type at struct {
		seq uint64 // the log's order; times are not one, when the clock is set
		fairway.Event
	}
	var all []at
	err := c.records(ctx, d, func(seq uint64, r Record) {
		for _, ev := range r.Events {
			if ev.Context == d.ID {
				all = append(all, at{seq, ev})
			}
		}
	})
	if err != nil {
		return nil, err
	}
	slices.SortStableFunc(all, func(a, b at) int { return cmp.Compare(a.seq, b.seq) })
	var out []fairway.Event
	for _, e := range all {
		out = append(out, e.Event)
	}
	return out, nil
}

// Delivery finds a delivery as [View.Delivery] does, whole: of one that ended
// long ago the stages are read from the log.
func (c *Controller) Delivery(ctx context.Context, id string) (fairway.Delivery, error) {
	d, err := c.View.Delivery(id)
	if err != nil || !d.Status.Ended() || len(d.Stages) > 0 {
		return d, err
	}
	err = c.records(ctx, d, func(_ uint64, r Record) {
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
func (c *Controller) records(ctx context.Context, d fairway.Delivery, f func(seq uint64, r Record)) error {
	each := func(e fairway.LogEntry) error {
		r, err := decodeRecord(e)
		if err != nil {
			return err
		}
		f(e.Seq, r)
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
