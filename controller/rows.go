package controller

import (
	"cmp"
	"maps"
	"slices"
	"strings"

	"github.com/fairwaycd/fairway"
)

// Row is a delivery as it is stored for lists.
type Row struct {
	fairway.Delivery
	// Also are the sequences of the log where records about it are stored
	// under another delivery's name, such as the one that superseded it.
	Also []uint64 `json:"also,omitempty"`
}

// row keeps its place in the order when its delivery changes.
type row struct{ d Row }

func byAge(a, b *row) int {
	return cmp.Or(a.d.StartedAt.Compare(b.d.StartedAt), strings.Compare(string(b.d.ID), string(a.d.ID)))
}

// setRow takes over what is known of a delivery; the caller holds the lock.
func (v *View) setRow(d Row) {
	r := v.rows[d.ID]
	if r == nil {
		r = &row{d}
		v.rows[d.ID] = r
		v.order = inserted(v.order, r, v.loading)
		v.index.add(r, v.loading)
		v.index.moved(r, fairway.StatusRunning, v.loading)
	} else {
		v.count(r.d.Delivery, -1)
		before := r.d.Status
		r.d = d
		v.index.moved(r, before, v.loading)
	}
	v.count(d.Delivery, 1)
	if !d.Status.Ended() {
		v.open[d.ID] = r
		return
	}
	delete(v.open, d.ID)
	delete(v.texts, d.ID)
	if len(d.Stages) > 0 {
		v.whole = append(v.whole, r)
	}
	v.shed()
}

// shed lets go of the stages of what ended long ago.
func (v *View) shed() {
	for len(v.whole) > v.keepWhole {
		if r := v.whole[0]; r.d.Status.Ended() {
			r.d.Stages = nil
		}
		v.whole[0] = nil
		v.whole = v.whole[1:]
	}
}

func (v *View) count(d fairway.Delivery, by int) {
	k := CountKey{d.Project, d.Status}
	if v.counts[k] += by; v.counts[k] == 0 {
		delete(v.counts, k)
	}
}

// also returns where else the delivery's records are.
func (v *View) also(id fairway.DeliveryID) []uint64 {
	v.mu.RLock()
	defer v.mu.RUnlock()
	if r := v.rows[id]; r != nil {
		return r.d.Also
	}
	return nil
}

// DeliveryFilter selects deliveries; empty fields select all.
type DeliveryFilter struct {
	Project fairway.ProjectName
	Service fairway.ServiceName
	Stage   fairway.StageName // where it is, or where it ended
	Status  fairway.DeliveryStatus
	Open    bool     // only those that have not ended
	Before  Position // only those behind it
	Limit   int      // default 100
}

// Deliveries lists deliveries, the latest first. Those that ended long ago
// lack their Stages; see [Controller.Delivery].
func (v *View) Deliveries(f DeliveryFilter) []fairway.Delivery {
	if f.Limit <= 0 {
		f.Limit = 100
	}
	v.mu.RLock()
	defer v.mu.RUnlock()
	var out []fairway.Delivery
	for _, r := range slices.Backward(upTo(v.among(f), f.Before)) {
		if len(out) == f.Limit {
			break
		}
		if f.matches(r.d.Delivery) {
			out = append(out, r.d.Delivery)
		}
	}
	return out
}

func (f DeliveryFilter) matches(d fairway.Delivery) bool {
	return (f.Project == "" || d.Project == f.Project) && (f.Service == "" || d.Service == f.Service) &&
		(f.Status == "" || d.Status == f.Status) && (f.Stage == "" || d.Stage == f.Stage) && !(f.Open && d.Status.Ended())
}

// Delivery finds a delivery by its id or an unambiguous beginning of it, at
// least four characters long. One that ended long ago lacks its Stages; see
// [Controller.Delivery].
func (v *View) Delivery(id string) (fairway.Delivery, error) {
	v.mu.RLock()
	defer v.mu.RUnlock()
	if r := v.rows[fairway.DeliveryID(id)]; r != nil {
		return v.withText(r.d.Delivery), nil
	}
	var found []*row
	if len(id) >= 4 {
		for k, r := range v.rows {
			if strings.HasPrefix(string(k), id) {
				found = append(found, r)
			}
		}
	}
	switch len(found) {
	case 1:
		return v.withText(found[0].d.Delivery), nil
	case 0:
		return fairway.Delivery{}, fairway.Errorf(fairway.KindNotFound, "there is no delivery %s, or it has expired; list them with: fairway get deliveries", id)
	}
	return fairway.Delivery{}, fairway.Errorf(fairway.KindInvalid, "%d deliveries begin with %s; write more of the id", len(found), id)
}

func (v *View) withText(d fairway.Delivery) fairway.Delivery {
	if t := v.texts[d.ID]; t != "" && !d.Status.Ended() {
		d.Reason = t
	}
	return d
}

// CountKey is what deliveries are counted by.
type CountKey struct {
	Project fairway.ProjectName
	Status  fairway.DeliveryStatus
}

// Counts returns how many deliveries there are.
func (v *View) Counts() map[CountKey]int {
	v.mu.RLock()
	defer v.mu.RUnlock()
	return maps.Clone(v.counts)
}
