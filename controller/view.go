package controller

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"sort"
	"strings"
	"sync"

	"github.com/fairwaycd/fairway"
	"github.com/fairwaycd/fairway/sequence"
)

// keepEvents is how many of the latest events are kept for lists.
const keepEvents = 5000

// View is what people see: services and deliveries as they are now, and the
// latest events. Lists never touch the log.
type View struct {
	mu       sync.RWMutex
	services map[service]fairway.ServiceView
	rows     map[fairway.DeliveryID]*fairway.Delivery
	events   []Stored
	trouble  map[string]error
	texts    map[fairway.DeliveryID]string
	subs     map[int]chan struct{}
	version  uint64
	nextSub  int
}

// Stored is an event with its place in the log.
type Stored struct {
	Seq uint64 `json:"seq"` // grows with time within this process
	fairway.Event
}

// NewView returns an empty view.
func NewView() *View {
	return &View{
		services: map[service]fairway.ServiceView{},
		rows:     map[fairway.DeliveryID]*fairway.Delivery{}, trouble: map[string]error{},
		texts: map[fairway.DeliveryID]string{}, subs: map[int]chan struct{}{}, version: 1,
	}
}

// LastEvent returns the Seq of the latest event.
func (v *View) LastEvent() uint64 {
	v.mu.RLock()
	defer v.mu.RUnlock()
	return v.version
}

func (v *View) loadEnded(b []byte) error {
	var d fairway.Delivery
	if err := json.Unmarshal(b, &d); err != nil {
		return fmt.Errorf("an ended delivery cannot be read: %w", err)
	}
	v.setEnded(d)
	return nil
}

func (v *View) setEnded(d fairway.Delivery) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.rows[d.ID] = &d
	delete(v.texts, d.ID)
}

func (v *View) setService(s *sequence.State) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.setServiceLocked(s)
}

func (v *View) setServiceLocked(s *sequence.State) {
	k := service{s.Project, s.Service}
	if s.Onboarded {
		v.services[k] = s.View()
	}
	for _, x := range s.Open {
		d := x.Delivery
		v.rows[d.ID] = &d
	}
}

func (v *View) addEvents(events []fairway.Event) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.addEventsLocked(events)
}

func (v *View) addEventsLocked(events []fairway.Event) {
	for _, e := range events {
		v.version++ // the first is 2, so that After: 1 means all
		v.events = append(v.events, Stored{v.version, e})
	}
	if n := len(v.events) - keepEvents; n > keepEvents/4 {
		v.events = slices.Delete(v.events, 0, n)
	}
}

// sortEvents brings the events of several shards into the order of time.
func (v *View) sortEvents() {
	v.mu.Lock()
	defer v.mu.Unlock()
	slices.SortStableFunc(v.events, func(a, b Stored) int { return a.Time.Compare(b.Time) })
	for i := range v.events {
		v.events[i].Seq = v.version - uint64(len(v.events)-1-i)
	}
}

// apply takes over a decision and wakes everyone who watches.
func (v *View) apply(d sequence.Decision) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.setServiceLocked(d.State)
	for _, e := range d.Ended {
		v.rows[e.ID] = &e
		delete(v.texts, e.ID)
	}
	delete(v.texts, d.Delivery) // the decision's reason is newer
	v.addEventsLocked(d.Events)
	v.wake()
}

func (v *View) progress(id fairway.DeliveryID, text string) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if r := v.rows[id]; r != nil && !r.Status.Ended() {
		v.texts[id] = text
		v.wake()
	}
}

// wake tells the watchers; the caller holds the lock.
func (v *View) wake() {
	for _, ch := range v.subs {
		select {
		case ch <- struct{}{}:
		default:
		}
	}
}

// Watch returns a channel that receives after changes, several of which may
// share one message, until cancel is called.
func (v *View) Watch() (changed <-chan struct{}, cancel func()) {
	v.mu.Lock()
	defer v.mu.Unlock()
	n := v.nextSub
	v.nextSub++
	ch := make(chan struct{}, 1)
	v.subs[n] = ch
	return ch, func() {
		v.mu.Lock()
		defer v.mu.Unlock()
		delete(v.subs, n)
	}
}

func (v *View) setTrouble(part string, err error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if err == nil {
		delete(v.trouble, part)
		return
	}
	v.trouble[part] = err
}

// Trouble returns what keeps the controller from working, by part; it is
// empty when all is well.
func (v *View) Trouble() map[string]error {
	v.mu.RLock()
	defer v.mu.RUnlock()
	c := map[string]error{}
	for k, e := range v.trouble {
		c[k] = e
	}
	return c
}

// Services lists the services of a project, or of all with an empty name.
func (v *View) Services(p fairway.ProjectName) []fairway.ServiceView {
	v.mu.RLock()
	defer v.mu.RUnlock()
	var out []fairway.ServiceView
	for k, s := range v.services {
		if p == "" || k.project == p {
			out = append(out, s)
		}
	}
	slices.SortFunc(out, func(a, b fairway.ServiceView) int {
		return cmp.Or(strings.Compare(string(a.Project), string(b.Project)), strings.Compare(string(a.Service), string(b.Service)))
	})
	return out
}

// Service returns one service.
func (v *View) Service(p fairway.ProjectName, s fairway.ServiceName) (fairway.ServiceView, bool) {
	v.mu.RLock()
	defer v.mu.RUnlock()
	x, ok := v.services[service{p, s}]
	return x, ok
}

// DeliveryFilter selects deliveries; empty fields select all.
type DeliveryFilter struct {
	Project fairway.ProjectName
	Service fairway.ServiceName
	Status  fairway.DeliveryStatus
	Open    bool // only those that have not ended
	Limit   int  // default 100
}

// Deliveries lists deliveries, the latest first.
func (v *View) Deliveries(f DeliveryFilter) []fairway.Delivery {
	if f.Limit <= 0 {
		f.Limit = 100
	}
	v.mu.RLock()
	defer v.mu.RUnlock()
	var out []fairway.Delivery
	for _, d := range v.rows {
		if f.Project != "" && d.Project != f.Project || f.Service != "" && d.Service != f.Service ||
			f.Status != "" && d.Status != f.Status || f.Open && d.Status.Ended() {
			continue
		}
		out = append(out, *d)
	}
	slices.SortFunc(out, func(a, b fairway.Delivery) int {
		return cmp.Or(b.StartedAt.Compare(a.StartedAt), strings.Compare(string(a.ID), string(b.ID)))
	})
	return out[:min(len(out), f.Limit)]
}

// Delivery finds a delivery by its id or an unambiguous beginning of it, at
// least four characters long.
func (v *View) Delivery(id string) (fairway.Delivery, error) {
	v.mu.RLock()
	defer v.mu.RUnlock()
	if d := v.rows[fairway.DeliveryID(id)]; d != nil {
		return v.withText(*d), nil
	}
	var found []*fairway.Delivery
	if len(id) >= 4 {
		for k, d := range v.rows {
			if strings.HasPrefix(string(k), id) {
				found = append(found, d)
			}
		}
	}
	switch len(found) {
	case 1:
		return v.withText(*found[0]), nil
	case 0:
		return fairway.Delivery{}, fairway.Errorf(fairway.KindNotFound, "there is no delivery %s; list them with: fairway get deliveries", id)
	}
	return fairway.Delivery{}, fairway.Errorf(fairway.KindInvalid, "%d deliveries begin with %s; write more of the id", len(found), id)
}

func (v *View) withText(d fairway.Delivery) fairway.Delivery {
	if t := v.texts[d.ID]; t != "" && !d.Status.Ended() {
		d.Reason = t
	}
	return d
}

// EventFilter selects events; empty fields select all.
type EventFilter struct {
	Project  fairway.ProjectName
	Service  fairway.ServiceName
	Delivery fairway.DeliveryID
	Type     string
	After    uint64 // only events with a larger Seq
	Limit    int    // default 200
}

// Events lists events, oldest first: the latest Limit of them, or the first
// Limit of those after After, so that whoever reads on misses none.
func (v *View) Events(f EventFilter) []Stored {
	if f.Limit <= 0 {
		f.Limit = 200
	}
	v.mu.RLock()
	defer v.mu.RUnlock()
	var out []Stored
	if f.After > 0 {
		from := sort.Search(len(v.events), func(i int) bool { return v.events[i].Seq > f.After })
		for _, e := range v.events[from:] {
			if len(out) == f.Limit {
				break
			}
			if f.matches(e) {
				out = append(out, e)
			}
		}
		return out
	}
	for _, e := range slices.Backward(v.events) {
		if len(out) == f.Limit {
			break
		}
		if f.matches(e) {
			out = append(out, e)
		}
	}
	slices.Reverse(out)
	return out
}

func (f EventFilter) matches(e Stored) bool {
	if f.Delivery != "" && e.Context != f.Delivery || f.Type != "" && e.Type != f.Type {
		return false
	}
	if f.Project == "" && f.Service == "" {
		return true
	}
	var d fairway.EventData
	if err := json.Unmarshal(e.Data, &d); err != nil {
		return false
	}
	return (f.Project == "" || d.Project == f.Project) && (f.Service == "" || d.Service == f.Service)
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
	n := map[CountKey]int{}
	for _, d := range v.rows {
		n[CountKey{d.Project, d.Status}]++
	}
	return n
}

// Progress returns the present texts of deliveries under way.
func (v *View) Progress() map[fairway.DeliveryID]string {
	v.mu.RLock()
	defer v.mu.RUnlock()
	return maps.Clone(v.texts)
}
