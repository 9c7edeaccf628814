package controller

import (
	"slices"

	"github.com/fairwaycd/fairway"
)

// Glance is a service with what is on its way to it.
type Glance struct {
	Service fairway.ServiceView
	// Open are the deliveries under way, the oldest first, and Latest is the
	// one that was started last, or nil. See [Glance.Brief] for what is kept.
	Open   []*fairway.Delivery
	Latest *fairway.Delivery

	view *View
}

// Brief returns a copy of one of the glance's deliveries as a line of a list:
// as it is now, without its Stages.
func (g *Glance) Brief(d *fairway.Delivery) fairway.Delivery {
	out := g.view.withText(*d)
	out.Stages = nil
	return out
}

// Glances calls f for each of the project's services that are named, with what
// is known of them; of one that nothing is known of the glance is empty. All
// are of one moment. It makes no copies, since there may be many: the glance
// and what it leads to hold during the call only, and f must not ask the View.
func (v *View) Glances(p fairway.ProjectName, names []fairway.ServiceName, f func(fairway.ServiceName, *Glance)) {
	v.mu.RLock()
	defer v.mu.RUnlock()
	open := map[fairway.ServiceName][]*row{}
	for _, r := range v.open {
		if r.d.Project == p {
			open[r.d.Service] = append(open[r.d.Service], r)
		}
	}
	g := Glance{view: v}
	for _, name := range names {
		g.Service, g.Open, g.Latest = v.services[service{p, name}], g.Open[:0], nil
		slices.SortFunc(open[name], byAge)
		for _, r := range open[name] {
			g.Open = append(g.Open, &r.d.Delivery)
		}
		for _, r := range slices.Backward(v.index.services[name]) {
			if r.d.Project == p {
				g.Latest = &r.d.Delivery
				break
			}
		}
		f(name, &g)
	}
}
