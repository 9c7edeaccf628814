package controller

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/fairwaycd/fairway"
)

// Every filter finds what looking through all would find, page by page,
// while deliveries come, end and expire.
func TestFiltersFindWhatIsThere(t *testing.T) {
	t.Parallel()
	v := NewView()
	r := rand.New(rand.NewPCG(3, 4))
	statuses := []fairway.DeliveryStatus{fairway.StatusRunning, fairway.StatusWaiting, fairway.StatusFinished, fairway.StatusFailed, fairway.StatusAborted}
	known := map[fairway.DeliveryID]fairway.Delivery{}
	for i := range 3000 {
		if i == 1000 {
			v.loaded()
		}
		n := r.IntN(900)
		d := fairway.Delivery{
			ID: fairway.DeliveryID(fmt.Sprintf("d%04d", n)), StartedAt: time.Unix(int64(n*7919%97), 0),
			Project: fairway.ProjectName(fmt.Sprint("p", n%3)), Service: fairway.ServiceName(fmt.Sprint("s", n%10)),
			Status: statuses[r.IntN(len(statuses))], Stage: []fairway.StageName{"dev", "prod"}[r.IntN(2)],
		}
		known[d.ID] = d
		v.setEnded(Row{Delivery: d})
		if i > 1500 && i%50 == 0 {
			gone := fairway.DeliveryID(fmt.Sprintf("d%04d", r.IntN(900)))
			delete(known, gone)
			delete(v.open, gone) // only ended ones expire
			v.forget([]fairway.DeliveryID{gone})
		}
	}
	for _, f := range []DeliveryFilter{
		{}, {Project: "p1"}, {Service: "s4"}, {Project: "p1", Service: "s4"}, {Status: fairway.StatusFailed}, {Status: fairway.StatusWaiting}, {Open: true},
		{Stage: "prod"}, {Open: true, Stage: "dev", Project: "p2"}, {Open: true, Status: fairway.StatusFinished}, {Service: "s4", Status: fairway.StatusAborted}, {Project: "none"},
	} {
		var want []*row
		for _, d := range known {
			if f.matches(d) {
				want = append(want, &row{Row{Delivery: d}})
			}
		}
		slices.SortFunc(want, byAge)
		slices.Reverse(want)
		var got []fairway.Delivery
		f.Limit = 7
		for {
			page := v.Deliveries(f)
			got = append(got, page...)
			if len(page) < f.Limit {
				break
			}
			last := page[len(page)-1]
			f.Before = Position{last.StartedAt, last.ID}
			v.setEnded(Row{Delivery: fairway.Delivery{ID: fairway.DeliveryID(fmt.Sprint("new", len(v.order))), StartedAt: time.Unix(1e6+int64(len(v.order)), 0), Project: "p1", Service: "s4", Status: fairway.StatusFailed, Stage: "prod"}})
		}
		got = slices.DeleteFunc(got, func(d fairway.Delivery) bool { return d.StartedAt.Unix() >= 1e6 }) // came meanwhile, on the first page of a later filter
		if len(got) != len(want) {
			t.Errorf("%+v: %d deliveries, want %d", f, len(got), len(want))
			continue
		}
		for i := range got {
			if got[i].ID != want[i].d.ID {
				t.Errorf("%+v: delivery %d is %s, want %s", f, i, got[i].ID, want[i].d.ID)
				break
			}
		}
	}
}
