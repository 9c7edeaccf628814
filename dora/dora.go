package dora

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"github.com/fairwaycd/fairway"
)

// Figures are the four figures over a window.
type Figures struct {
	Window     fairway.Window    `json:"window"`
	Production fairway.StageName `json:"production"` // the stage that counts
	// Deployments is how many there were, and PerDay how many a day.
	Deployments int     `json:"deployments"`
	PerDay      float64 `json:"perDay"`
	// LeadTime is that of the changes that came into production and stayed.
	LeadTime Spread `json:"leadTime"`
	// Failed is how many of the deployments failed; FailureRate is their share
	// in 0..1, nil where there was no deployment.
	Failed      int      `json:"failed"`
	FailureRate *float64 `json:"changeFailureRate,omitempty"`
	// Restore is how long the failed ones lasted, as far as they were undone;
	// Unrestored is how many were not, by the end of the window.
	Restore    Spread `json:"timeToRestore"`
	Unrestored int    `json:"unrestored"`
	// Series are the same figures in equal parts of the window, oldest first.
	Series []Bucket `json:"series"`
}

// Spread describes durations in seconds; all are 0 where Count is.
type Spread struct {
	Count  int     `json:"count"`
	Median float64 `json:"median"` // half are at most this long
	P90    float64 `json:"p90"`    // nine of ten are at most this long
}

// Bucket is a part of the window; its Start belongs to it, its End does not,
// except that of the last one.
type Bucket struct {
	fairway.Window
	Deployments int    `json:"deployments"`
	Failed      int    `json:"failed"`
	LeadTime    Spread `json:"leadTime"`
	Restore     Spread `json:"timeToRestore"`
}

// deployment is one delivery into production and what became of it.
type deployment struct {
	at       time.Time
	failed   bool
	restored *time.Time
	lead     *time.Duration // of a change that came in by it
}

// Compute returns the figures of the window. The deliveries may be of several
// services and in any order; those under way do not count yet. Deliveries from
// before the window tell when its changes were accepted, so pass what there is.
func Compute(ds []fairway.Delivery, production fairway.StageName, w fairway.Window) Figures {
	f := Figures{Window: w, Production: production, Series: split(w)}
	all := slices.DeleteFunc(deployments(ds, production), func(x deployment) bool {
		return x.at.Before(w.Start) || x.at.After(w.End)
	})
	var whole tally
	parts := make([]tally, len(f.Series))
	for _, x := range all {
		whole.add(x, w.End)
		if i := part(f.Series, x.at); i >= 0 {
			parts[i].add(x, w.End)
		}
	}
	f.Deployments, f.Failed, f.Unrestored = whole.deployments, whole.failed, whole.unrestored
	f.LeadTime, f.Restore = spread(whole.lead), spread(whole.restore)
	if days := w.Duration().Hours() / 24; days > 0 {
		f.PerDay = float64(f.Deployments) / days
	}
	if f.Deployments > 0 {
		rate := float64(f.Failed) / float64(f.Deployments)
		f.FailureRate = &rate
	}
	for i, p := range parts {
		b := &f.Series[i]
		b.Deployments, b.Failed = p.deployments, p.failed
		b.LeadTime, b.Restore = spread(p.lead), spread(p.restore)
	}
	return f
}

// tally adds deployments up.
type tally struct {
	deployments, failed, unrestored int
	lead, restore                   []time.Duration
}

func (t *tally) add(x deployment, end time.Time) {
	t.deployments++
	if x.lead != nil {
		t.lead = append(t.lead, *x.lead)
	}
	if !x.failed {
		return
	}
	t.failed++
	if x.restored == nil || x.restored.After(end) {
		t.unrestored++
		return
	}
	t.restore = append(t.restore, x.restored.Sub(x.at))
}

// service names one service of one project.
type service struct {
	project fairway.ProjectName
	name    fairway.ServiceName
}

// change names what a delivery brings: an artifact, or a configuration for it.
type change struct {
	image, tag, digest, commit string
}

func changeOf(d *fairway.Delivery) change {
	c := change{image: d.Artifact.Image, tag: d.Artifact.Tag, digest: d.Artifact.Digest}
	if d.Carried != nil {
		c.commit = d.Carried.Commit
	}
	return c
}

// arrival is a delivery whose version got traffic in production.
type arrival struct {
	d      *fairway.Delivery
	served fairway.Served
}

// deployments returns what came into production, service by service.
func deployments(ds []fairway.Delivery, production fairway.StageName) []deployment {
	accepted := map[service]map[change]time.Time{}
	came := map[service][]arrival{}
	for i := range ds {
		d := &ds[i]
		s := service{d.Project, d.Service}
		if accepted[s] == nil {
			accepted[s] = map[change]time.Time{}
		}
		c := changeOf(d)
		if first, ok := accepted[s][c]; !ok || d.StartedAt.Before(first) {
			accepted[s][c] = d.StartedAt
		}
		if served, ok := arrived(d, production); ok {
			came[s] = append(came[s], arrival{d, served})
		}
	}
	var out []deployment
	for s, list := range came {
		slices.SortStableFunc(list, func(a, b arrival) int {
			return cmp.Or(a.served.From.Compare(b.served.From), strings.Compare(string(a.d.ID), string(b.d.ID)))
		})
		out = append(out, follow(list, accepted[s])...)
	}
	return out
}

// arrived returns when the delivery's version had traffic in production, if it
// ended there and had some. What somebody ended before it was judged, without
// taking its traffic back, was neither good nor bad and does not count.
func arrived(d *fairway.Delivery, production fairway.StageName) (fairway.Served, bool) {
	if d.Stage != production || d.EndedAt == nil || !d.Status.Ended() {
		return fairway.Served{}, false
	}
	finished := d.Status == fairway.StatusFinished
	switch {
	case d.Served == nil && finished: // stored before that was noted
		return fairway.Served{From: *d.EndedAt}, true
	case d.Served == nil, d.Status == fairway.StatusSuperseded, d.Status == fairway.StatusAborted && d.Served.Until == nil:
		return fairway.Served{}, false
	}
	return *d.Served, true
}

// follow goes through what came into production of one service, in the order
// of time.
func follow(list []arrival, accepted map[change]time.Time) []deployment {
	var out []deployment
	open := []int{}              // failed ones whose traffic is not on a good version yet
	serving := -1                // the deployment whose version has the traffic and is all right
	lasting := map[change]bool{} // changes that are in production for good
	restore := func(at time.Time) {
		for _, i := range open {
			out[i].restored = &at
		}
		open = open[:0]
	}
	for _, a := range list {
		finished := a.d.Status == fairway.StatusFinished
		if a.d.Back {
			if finished && serving >= 0 {
				out[serving].failed = true
				open, serving = append(open, serving), -1
			}
			if finished {
				restore(a.served.From)
			}
			continue
		}
		x := deployment{at: a.served.From, failed: !finished}
		if c := changeOf(a.d); finished && !lasting[c] {
			lead := a.served.From.Sub(accepted[c])
			x.lead, lasting[c] = &lead, true
		}
		out = append(out, x)
		switch i := len(out) - 1; {
		case finished:
			restore(a.served.From)
			serving = i
		case a.served.Until != nil:
			out[i].restored = a.served.Until
		default:
			open, serving = append(open, i), -1
		}
	}
	return out
}

// spread describes the durations.
func spread(all []time.Duration) Spread {
	if len(all) == 0 {
		return Spread{}
	}
	slices.Sort(all)
	at := func(q float64) float64 {
		// The nearest rank: a duration that there was, not one between two.
		i := int(q*float64(len(all))+0.999999) - 1
		return all[min(max(i, 0), len(all)-1)].Seconds()
	}
	return Spread{Count: len(all), Median: at(0.5), P90: at(0.9)}
}
