package sequence

import (
	"slices"
	"strings"

	"github.com/fairwaycd/fairway"
)

// keepForeign is how many events of others are remembered, to know one that
// its sender sends again.
const keepForeign = 64

// foreign stores an event that starts nothing, once: source and id make an
// event what it is.
func (d *decider) foreign(e fairway.Event) {
	key := string(NewID(d.s.Project, d.s.Service, "foreign", e.Source, e.ID))
	if slices.Contains(d.s.Foreign, key) {
		d.say("", "the event was received before and is stored; it starts nothing")
		return
	}
	d.s.Foreign = append(d.s.Foreign, key)
	if n := len(d.s.Foreign) - keepForeign; n > 0 {
		d.s.Foreign = slices.Delete(d.s.Foreign, 0, n)
	}
	about := fairway.DeliveryID("")
	if strings.HasPrefix(e.Type, "dev.fairway.") { // nobody else sends those: it is a fact of the delivery
		about = e.Context
	}
	d.say(about, "an event of type %s from %s was stored; it starts nothing", e.Type, e.Source)
	if e.Time.IsZero() {
		e.Time = d.now
	}
	d.events, d.changed = append(d.events, e), true
}
