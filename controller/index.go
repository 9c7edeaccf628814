package controller

import (
	"cmp"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/fairwaycd/fairway"
)

// index keeps rows by what lists are asked for, each list in the order of
// age, so that a list costs what it answers and not what there is. Of the
// statuses only those that are ends have lists: what is under way is few, and
// an end is for good.
type index struct {
	projects map[fairway.ProjectName][]*row
	services map[fairway.ServiceName][]*row
	ended    map[fairway.DeliveryStatus][]*row
}

func newIndex() index {
	return index{projects: map[fairway.ProjectName][]*row{}, services: map[fairway.ServiceName][]*row{}, ended: map[fairway.DeliveryStatus][]*row{}}
}

// add takes a row in that no list has yet. While loading, the lists are
// sorted at the end.
func (x *index) add(r *row, loading bool) {
	x.projects[r.d.Project] = inserted(x.projects[r.d.Project], r, loading)
	x.services[r.d.Service] = inserted(x.services[r.d.Service], r, loading)
}

// moved takes over that a row has another status than before.
func (x *index) moved(r *row, before fairway.DeliveryStatus, loading bool) {
	now := r.d.Status
	if before == now {
		return
	}
	if before.Ended() {
		x.ended[before] = without(x.ended[before], func(o *row) bool { return o == r })
	}
	if now.Ended() {
		x.ended[now] = inserted(x.ended[now], r, loading)
	}
}

// sort brings all lists into order.
func (x *index) sort() {
	for _, l := range x.projects {
		slices.SortFunc(l, byAge)
	}
	for _, l := range x.services {
		slices.SortFunc(l, byAge)
	}
	for _, l := range x.ended {
		slices.SortFunc(l, byAge)
	}
}

// remove takes rows out of all lists that they are in.
func (x *index) remove(gone map[*row]bool) {
	is := func(r *row) bool { return gone[r] }
	projects, services, ended := map[fairway.ProjectName]bool{}, map[fairway.ServiceName]bool{}, map[fairway.DeliveryStatus]bool{}
	for r := range gone {
		projects[r.d.Project], services[r.d.Service], ended[r.d.Status] = true, true, true
	}
	for k := range projects {
		strip(x.projects, k, is)
	}
	for k := range services {
		strip(x.services, k, is)
	}
	for k := range ended {
		strip(x.ended, k, is)
	}
}

func strip[K comparable](lists map[K][]*row, k K, gone func(*row) bool) {
	if lists[k] = without(lists[k], gone); len(lists[k]) == 0 {
		delete(lists, k)
	}
}

func without(l []*row, gone func(*row) bool) []*row { return slices.DeleteFunc(l, gone) }

// inserted puts a row into a list in the order of age. The newest is the
// usual one, so that little is moved.
func inserted(l []*row, r *row, loading bool) []*row {
	n := len(l)
	l = append(l, r)
	if loading || n == 0 || byAge(l[n-1], r) < 0 {
		return l
	}
	at, _ := slices.BinarySearchFunc(l[:n], r, byAge)
	copy(l[at+1:], l[at:n])
	l[at] = r
	return l
}

// among returns the shortest list that holds all that f selects.
func (v *View) among(f DeliveryFilter) []*row {
	best := v.order
	shorter := func(l []*row) {
		if len(l) < len(best) {
			best = l
		}
	}
	if f.Project != "" {
		shorter(v.index.projects[f.Project])
	}
	if f.Service != "" {
		shorter(v.index.services[f.Service])
	}
	if f.Status.Ended() && f.Status != "" {
		shorter(v.index.ended[f.Status])
	}
	if open := f.Open || f.Status == fairway.StatusRunning || f.Status == fairway.StatusWaiting; open && len(v.open) < len(best) {
		return slices.SortedFunc(maps.Values(v.open), byAge)
	}
	return best
}

// Position is a place in the list of deliveries: behind the delivery that
// started then and has that id, which need not be there any more.
type Position struct {
	StartedAt time.Time
	ID        fairway.DeliveryID
}

// upTo returns the rows of a list that are older than the position; of the
// zero one that are all.
func upTo(l []*row, p Position) []*row {
	if p.ID == "" {
		return l
	}
	at, _ := slices.BinarySearchFunc(l, p, func(r *row, p Position) int {
		return cmp.Or(r.d.StartedAt.Compare(p.StartedAt), strings.Compare(string(p.ID), string(r.d.ID)))
	})
	return l[:at]
}
