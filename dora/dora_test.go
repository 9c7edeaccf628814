package dora

import (
	"math/rand/v2"
	"reflect"
	"strconv"
	"testing"
	"time"

	"github.com/fairwaycd/fairway"
)

// midnight begins the Monday on which everything in these tests begins.
var midnight = time.Date(2026, 5, 4, 0, 0, 0, 0, time.UTC)

func hour(h float64) time.Time { return midnight.Add(time.Duration(h * float64(time.Hour))) }

var week = fairway.Window{Start: midnight, End: hour(7 * 24)}

// delivery is one of carts that was accepted and came into production at the
// given hours; it ends an hour later.
func delivery(tag string, accepted, served float64, edit ...func(*fairway.Delivery)) fairway.Delivery {
	end := hour(served + 1)
	d := fairway.Delivery{ID: fairway.DeliveryID(tag + "@" + strconv.FormatFloat(accepted, 'f', -1, 64)), Project: "sockshop", Service: "carts", Artifact: fairway.Artifact{Image: "r/carts", Tag: tag},
		Status: fairway.StatusFinished, Stage: "production", StartedAt: hour(accepted), EndedAt: &end, Served: &fairway.Served{From: hour(served)}}
	for _, f := range edit {
		f(&d)
	}
	return d
}

// failed ends the delivery otherwise; its traffic is taken back at its end.
func failed(s fairway.DeliveryStatus) func(*fairway.Delivery) {
	return func(d *fairway.Delivery) {
		d.Status = s
		d.Served.Until = d.EndedAt
	}
}

func kept(d *fairway.Delivery)   { d.Served.Until = nil }
func unseen(d *fairway.Delivery) { d.Served = nil }
func back(d *fairway.Delivery)   { d.Back = true }

func in(stage fairway.StageName) func(*fairway.Delivery) {
	return func(d *fairway.Delivery) { d.Stage = stage }
}

func carrying(commit string) func(*fairway.Delivery) {
	return func(d *fairway.Delivery) { d.Carried = &fairway.Carried{Branch: "production", Commit: commit} }
}

const hours = 3600

func TestFigures(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		ds                                     []fairway.Delivery
		deployments, failed, unrestored, leads int
		lead, p90, restore                     float64 // hours
	}{
		"none": {},
		"two changes": {ds: []fairway.Delivery{delivery("1", 1, 3), delivery("2", 10, 16)},
			deployments: 2, leads: 2, lead: 2, p90: 6},
		"another stage is not production": {ds: []fairway.Delivery{delivery("1", 1, 3, in("staging"))}},
		"before and after the window":     {ds: []fairway.Delivery{delivery("1", -9, -3), delivery("2", 160, 169)}},
		"turned away before traffic reached it": {ds: []fairway.Delivery{delivery("1", 1, 3), delivery("2", 5, 6, failed(fairway.StatusRejected), unseen)},
			deployments: 1, leads: 1, lead: 2, p90: 2},
		"turned away after it": {ds: []fairway.Delivery{delivery("1", 1, 3), delivery("2", 5, 6, failed(fairway.StatusRejected))},
			deployments: 2, failed: 1, leads: 1, lead: 2, p90: 2, restore: 1},
		"aborted after it": {ds: []fairway.Delivery{delivery("1", 1, 3), delivery("2", 5, 6, failed(fairway.StatusAborted))},
			deployments: 2, failed: 1, leads: 1, lead: 2, p90: 2, restore: 1},
		"ended with its service": {ds: []fairway.Delivery{delivery("2", 5, 6, failed(fairway.StatusAborted), kept)}},
		"kept though it failed, until the next": {ds: []fairway.Delivery{delivery("1", 5, 6, failed(fairway.StatusFailed), kept), delivery("2", 8, 10)},
			deployments: 2, failed: 1, leads: 1, lead: 2, p90: 2, restore: 4},
		"kept though it failed, still": {ds: []fairway.Delivery{delivery("1", 5, 6, failed(fairway.StatusFailed), kept)},
			deployments: 1, failed: 1, unrestored: 1},
		"rolled back later": {ds: []fairway.Delivery{delivery("1", 1, 2), delivery("2", 3, 4), delivery("1", 9, 9, back)},
			deployments: 2, failed: 1, leads: 2, lead: 1, p90: 1, restore: 5},
		"rolled back twice": {ds: []fairway.Delivery{delivery("1", 1, 2), delivery("2", 3, 4), delivery("1", 9, 9, back), delivery("0", 11, 11, back)},
			deployments: 2, failed: 1, leads: 2, lead: 1, p90: 1, restore: 5},
		"a rollback that failed changes nothing": {ds: []fairway.Delivery{delivery("1", 1, 2), delivery("0", 9, 9, back, failed(fairway.StatusFailed))},
			deployments: 1, leads: 1, lead: 1, p90: 1},
		"tried again": {ds: []fairway.Delivery{delivery("1", 1, 2, failed(fairway.StatusRejected), unseen, in("staging")), delivery("1", 5, 7)},
			deployments: 1, leads: 1, lead: 6, p90: 6},
		"delivered once more": {ds: []fairway.Delivery{delivery("1", 1, 2), delivery("1", 50, 51)},
			deployments: 2, leads: 1, lead: 1, p90: 1},
		"a configuration is a change of its own": {ds: []fairway.Delivery{delivery("1", 1, 2), delivery("1", 50, 53, carrying("c1"))},
			deployments: 2, leads: 2, lead: 1, p90: 3},
		"stored before traffic was noted": {ds: []fairway.Delivery{delivery("1", 1, 3, unseen)},
			deployments: 1, leads: 1, lead: 3, p90: 3},
		"restored after the window": {ds: []fairway.Delivery{delivery("1", 150, 160, failed(fairway.StatusFailed), kept), delivery("2", 168, 170)},
			deployments: 1, failed: 1, unrestored: 1},
		"under way": {ds: []fairway.Delivery{delivery("1", 1, 2, func(d *fairway.Delivery) { d.Status, d.EndedAt = fairway.StatusWaiting, nil })}},
	} {
		f := Compute(c.ds, "production", week)
		if f.Deployments != c.deployments || f.Failed != c.failed || f.Unrestored != c.unrestored || f.LeadTime.Count != c.leads {
			t.Errorf("%s: %d deployments, %d failed, %d not restored, %d lead times; want %d, %d, %d, %d", name,
				f.Deployments, f.Failed, f.Unrestored, f.LeadTime.Count, c.deployments, c.failed, c.unrestored, c.leads)
		}
		if f.LeadTime.Median != c.lead*hours || f.LeadTime.P90 != c.p90*hours || f.Restore.Median != c.restore*hours {
			t.Errorf("%s: lead time %v, time to restore %v", name, f.LeadTime, f.Restore)
		}
		if (f.FailureRate == nil) != (f.Deployments == 0) || f.FailureRate != nil && *f.FailureRate != float64(f.Failed)/float64(f.Deployments) {
			t.Errorf("%s: failure rate %v", name, f.FailureRate)
		}
		if f.PerDay != float64(f.Deployments)/7 {
			t.Errorf("%s: %g a day", name, f.PerDay)
		}
	}
}

func TestSplit(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		from, to time.Time
		parts    int
		second   time.Time // where the second part begins
	}{
		{hour(0.5), hour(24.5), 25, hour(1)},
		{hour(12), hour(12 + 30*24), 31, hour(24)},
		{hour(36), hour(36 + 90*24), 14, hour(7 * 24)},
		{hour(0), hour(24 * 365 * 20), 261, hour(24 * 21)},
		{hour(5), hour(5), 0, time.Time{}},
		{hour(5), hour(4), 0, time.Time{}},
	} {
		got := split(fairway.Window{Start: c.from, End: c.to})
		if len(got) != c.parts {
			t.Errorf("%v to %v: %d parts, want %d", c.from, c.to, len(got), c.parts)
		}
		for i, b := range got {
			if i > 0 && !b.Start.Equal(got[i-1].End) || !b.Start.Before(b.End) {
				t.Errorf("part %d from %v to %v", i, b.Start, b.End)
			}
		}
		if c.parts > 1 && !got[1].Start.Equal(c.second) {
			t.Errorf("the second part begins at %v, want %v", got[1].Start, c.second)
		}
		if c.parts > 0 && (!got[0].Start.Equal(c.from) || !got[len(got)-1].End.Equal(c.to)) {
			t.Errorf("the parts do not cover the window")
		}
	}
}

// random makes deliveries of two services as they can come.
func random(r *rand.Rand) []fairway.Delivery {
	statuses := []fairway.DeliveryStatus{fairway.StatusFinished, fairway.StatusFinished, fairway.StatusFailed, fairway.StatusRejected, fairway.StatusAborted, fairway.StatusSuperseded, fairway.StatusRunning}
	var out []fairway.Delivery
	for i := range r.IntN(40) {
		start := r.Float64()*200 - 20
		d := delivery(strconv.Itoa(r.IntN(12)), start, start+r.Float64()*20)
		d.ID = fairway.DeliveryID(strconv.Itoa(i))
		d.Service = []fairway.ServiceName{"carts", "orders"}[r.IntN(2)]
		d.Status = statuses[r.IntN(len(statuses))]
		d.Back = r.IntN(5) == 0
		if r.IntN(4) == 0 {
			d.Served = nil
		} else if d.Status != fairway.StatusFinished && r.IntN(2) == 0 {
			d.Served.Until = d.EndedAt
		}
		if !d.Status.Ended() {
			d.EndedAt = nil
		}
		out = append(out, d)
	}
	return out
}

func TestWhateverComesTheFiguresAgree(t *testing.T) {
	t.Parallel()
	for seed := range uint64(500) {
		r := rand.New(rand.NewPCG(seed, 1))
		ds := random(r)
		f := Compute(ds, "production", week)
		if f.Failed > f.Deployments || f.LeadTime.Count > f.Deployments || f.Restore.Count+f.Unrestored != f.Failed {
			t.Fatalf("seed %d: %+v", seed, f)
		}
		if f.LeadTime.Median > f.LeadTime.P90 || f.Restore.Median > f.Restore.P90 || f.LeadTime.Median < 0 || f.Restore.Median < 0 {
			t.Fatalf("seed %d: %+v %+v", seed, f.LeadTime, f.Restore)
		}
		var sum Figures
		for _, b := range f.Series {
			sum.Deployments += b.Deployments
			sum.Failed += b.Failed
			sum.LeadTime.Count += b.LeadTime.Count
			sum.Restore.Count += b.Restore.Count
		}
		if sum.Deployments != f.Deployments || sum.Failed != f.Failed || sum.LeadTime.Count != f.LeadTime.Count || sum.Restore.Count != f.Restore.Count {
			t.Fatalf("seed %d: the parts have %+v, the whole %+v", seed, sum, f)
		}
		r.Shuffle(len(ds), func(i, j int) { ds[i], ds[j] = ds[j], ds[i] })
		if again := Compute(ds, "production", week); !reflect.DeepEqual(f, again) {
			t.Fatalf("seed %d: in another order:\n%+v\n%+v", seed, f, again)
		}
		var apart int
		for _, s := range []fairway.ServiceName{"carts", "orders"} {
			var own []fairway.Delivery
			for _, d := range ds {
				if d.Service == s {
					own = append(own, d)
				}
			}
			apart += Compute(own, "production", week).Failed
		}
		if apart != f.Failed {
			t.Fatalf("seed %d: %d failed of the services apart, %d together", seed, apart, f.Failed)
		}
	}
}
