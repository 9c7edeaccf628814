package controller

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/fairwaycd/fairway"
)

// Lists come in the order of age and counts are right, whatever the order in
// which deliveries become known and change.
func TestRowsStayInOrder(t *testing.T) {
	t.Parallel()
	v := NewView()
	r := rand.New(rand.NewPCG(1, 2))
	statuses := []fairway.DeliveryStatus{fairway.StatusRunning, fairway.StatusWaiting, fairway.StatusFinished, fairway.StatusFailed}
	want := map[fairway.DeliveryID]fairway.Delivery{}
	for i := range 2000 {
		if i == 500 {
			v.loaded()
		}
		n := r.IntN(800)
		d := fairway.Delivery{
			ID: fairway.DeliveryID(fmt.Sprintf("d%04d", n)), Project: "shop", StartedAt: time.Unix(int64(n*7919%97), 0),
			Status: statuses[r.IntN(len(statuses))],
		}
		want[d.ID] = d
		v.setEnded(Row{Delivery: d})
	}
	var rows []*row
	counts := map[CountKey]int{}
	for _, d := range want {
		rows = append(rows, &row{Row{Delivery: d}})
		counts[CountKey{d.Project, d.Status}]++
	}
	slices.SortFunc(rows, byAge)
	slices.Reverse(rows)
	for _, open := range []bool{false, true} {
		got := v.Deliveries(DeliveryFilter{Limit: 5000, Open: open})
		i := 0
		for _, r := range rows {
			if open && r.d.Status.Ended() {
				continue
			}
			if i >= len(got) || got[i].ID != r.d.ID || got[i].Status != r.d.Status {
				t.Fatalf("open %v: row %d is not %s", open, i, r.d.ID)
			}
			i++
		}
		if i != len(got) {
			t.Errorf("open %v: %d rows, want %d", open, len(got), i)
		}
	}
	if got := v.Counts(); fmt.Sprint(got) != fmt.Sprint(counts) {
		t.Errorf("counts are %v, want %v", got, counts)
	}
}
