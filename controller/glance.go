package controller

import (
	"slices"

	"github.com/fairwaycd/fairway"
)

// Glance is a service with what is on its way to it.
type Glance struct {
	Service fairway.ServiceView
	// Open are the deliveries under way, the oldest first, and Latest is the
	// one that was started last; both lack their Stages.
	Open   []fairway.Delivery
	Latest fairway.Delivery
}

// Glances calls f for each of the project's services by their names, with what
// is known of them; of one that nothing is known of the glance is empty. All
// are of one moment. f must not ask the View.
func (v *View) Glances(p fairway.ProjectName, names []fairway.ServiceName, f func(fairway.ServiceName, Glance)) {
	v.mu.RLock()
	defer v.mu.RUnlock()
	open := map[fairway.ServiceName][]*row{}
	for _, r := range v.open {
		if r.d.Project == p {
			open[r.d.Service] = append(open[r.d.Service], r)
		}
	}
	for _, name := range names {
		g := Glance{Service: v.services[service{p, name}]}
		slices.SortFunc(open[name], byAge)
		for _, r := range open[name] {
			g.Open = append(g.Open, v.brief(r))
		}
		for _, r := range slices.Backward(v.index.services[name]) {
			if r.d.Project == p {
				g.Latest = v.brief(r)
				break
			}
		}
		f(name, g)
	}
}

// brief is a row as a line of a list; the caller holds the lock.
func (v *View) brief(r *row) fairway.Delivery {
	d := v.withText(r.d.Delivery)
	d.Stages = nil
	return d
}
