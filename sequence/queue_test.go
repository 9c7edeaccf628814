package sequence

import (
	"fmt"
	"testing"

	"github.com/fairwaycd/fairway"
)

// A queue that nobody empties must not grow until the state can no longer be
// stored.
func TestAFullQueueTurnsTheNewestAway(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	dev := fairway.Stage{Name: "dev", Supersede: fairway.SupersedeNever}
	w.push("holder", dev)
	w.push("waits", dev)
	waits, st := w.s.Open[1], w.s.Stages["dev"]
	for len(st.Queue) < maxQueue {
		c := *waits
		c.ID = fairway.DeliveryID(fmt.Sprintf("waits-%d", len(st.Queue)))
		w.s.Accepted++
		c.Order = w.s.Accepted
		w.s.Open, st.Queue = append(w.s.Open, &c), append(st.Queue, c.ID)
	}
	d := w.push("newest", dev)
	if len(d.Ended) != 1 || d.Ended[0].Artifact.Tag != "newest" || d.Ended[0].Status != fairway.StatusFailed ||
		d.Ended[0].Reason != "the queue of stage dev is full (500)" {
		t.Errorf("ended: %+v", d.Ended)
	}
	if n := len(w.s.Stages["dev"].Queue); n != maxQueue {
		t.Errorf("%d wait", n)
	}
}
