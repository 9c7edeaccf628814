package controller

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/fairwaycd/fairway"
)

// settled is how long ago a delivery has to have ended before it may expire:
// its row is stored by then, and the log has gone on.
const settled = time.Minute

// Expiry says which ended deliveries are kept.
type Expiry struct {
	Keep int           // this many, the latest
	For  time.Duration // since they ended
	Most int           // expire at most this many at once, the oldest first
}

// Expire forgets ended deliveries that are beyond e, and hands each to gone
// before that, whole. One whose version lives in a stage is kept: pages name
// it. It may be interrupted anywhere; the next call goes on.
func (c *Controller) Expire(ctx context.Context, e Expiry, gone func(fairway.Delivery) error) (n int, err error) {
	var ids []fairway.DeliveryID
	defer func() { c.View.forget(ids) }()
	now := c.Now()
	for _, d := range c.View.expirable(e, now) {
		if ctx.Err() != nil {
			return len(ids), context.Cause(ctx)
		}
		whole, err := c.Delivery(ctx, string(d.ID))
		if err != nil {
			return len(ids), err
		}
		if err := gone(whole); err != nil {
			return len(ids), err
		}
		c.Failpoint("expire.before-forget")
		if err := c.Log.Forget(ctx, whole); err != nil {
			return len(ids), fmt.Errorf("forget delivery %s: %w", d.ID, err)
		}
		ids = append(ids, d.ID)
	}
	return len(ids), nil
}

// expirable lists what may be forgotten, the oldest first.
func (v *View) expirable(e Expiry, now time.Time) []fairway.Delivery {
	v.mu.RLock()
	defer v.mu.RUnlock()
	lives := map[fairway.DeliveryID]bool{}
	for _, s := range v.services {
		for _, st := range s.Stages {
			for _, o := range st.Occupants {
				lives[o.Delivery] = true
			}
		}
	}
	over := len(v.rows) - len(v.open) - e.Keep
	var out []fairway.Delivery
	for _, r := range v.order {
		if len(out) == e.Most {
			break
		}
		d := r.d.Delivery
		if !d.Status.Ended() || d.EndedAt == nil || lives[d.ID] || now.Sub(*d.EndedAt) < settled {
			continue
		}
		if over <= 0 && now.Sub(*d.EndedAt) < e.For {
			continue
		}
		over--
		out = append(out, d)
	}
	return out
}

// forget takes rows out of the lists.
func (v *View) forget(ids []fairway.DeliveryID) {
	if len(ids) == 0 {
		return
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	gone := map[*row]bool{}
	for _, id := range ids {
		r := v.rows[id]
		if r == nil {
			continue
		}
		gone[r] = true
		v.count(r.d.Delivery, -1)
		delete(v.rows, id)
		delete(v.texts, id)
	}
	v.index.remove(gone)
	v.order = slices.DeleteFunc(v.order, func(r *row) bool { return gone[r] })
	v.whole = slices.DeleteFunc(v.whole, func(r *row) bool { return gone[r] })
	v.wake()
}

// Wanted are the images that are still of use.
type Wanted struct {
	Digests map[string]bool // of versions that live in a stage, or could come back
	Tags    map[string]bool // PATH:TAG of these
	Known   map[string]bool // PATH:TAG of everything that was ever delivered, as far as it is known
}

// Images lists which images are of use: those that live in a stage or are on
// their way, and the newest keep of each service.
func (v *View) Images(keep int) Wanted {
	v.mu.RLock()
	defer v.mu.RUnlock()
	w := Wanted{Digests: map[string]bool{}, Tags: map[string]bool{}, Known: map[string]bool{}}
	want := func(a fairway.Artifact) {
		w.Tags[a.Path()+":"+a.Tag] = true
		if a.Digest != "" {
			w.Digests[a.Digest] = true
		}
	}
	for _, s := range v.services {
		for _, st := range s.Stages {
			for _, o := range st.Occupants {
				want(o.Artifact)
			}
		}
	}
	newest := map[service]map[string]bool{}
	for _, r := range slices.Backward(v.order) {
		a, k := r.d.Artifact, service{r.d.Project, r.d.Service}
		w.Known[a.Path()+":"+a.Tag] = true
		if newest[k] == nil {
			newest[k] = map[string]bool{}
		}
		name := a.Path() + ":" + a.Tag
		_, there := v.services[k]
		if !r.d.Status.Ended() || there && (newest[k][name] || len(newest[k]) < keep) {
			newest[k][name] = true
			want(a)
		}
	}
	return w
}
