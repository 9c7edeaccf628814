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

// keepWhole is how many ended deliveries are kept with what happened in their
// stages. Of older ones that is read from the log when somebody asks.
const keepWhole = 2000

// keepEvents is how many of the latest events are kept for lists.
const keepEvents = 5000

// View is what people see: services and deliveries as they are now, and the
// latest events. Lists never touch the log.
type View struct {
	mu        sync.RWMutex
	services  map[service]fairway.ServiceView
	removals  map[service]Removal
	rows      map[fairway.DeliveryID]*row
	claims    map[fairway.DeliveryID]service // ids that a decision under way may give
	order     []*row                         // by age, the oldest first
	index     index
	loading   bool // order is sorted at the end
	open      map[fairway.DeliveryID]*row
	counts    map[CountKey]int
	whole     []*row // ended rows with their stages, the longest ended first
	keepWhole int
	events    []Stored
	trouble   map[string]error
	texts     map[fairway.DeliveryID]string
	subs      map[int]chan struct{}
	version   uint64
	nextSub   int
}

// Stored is an event with its place in the log.
type Stored struct {
	Seq uint64 `json:"seq"` // grows with time within this process
	fairway.Event
}

// NewView returns an empty view.
func NewView() *View {
	return &View{
		services: map[service]fairway.ServiceView{}, removals: map[service]Removal{},
		rows: map[fairway.DeliveryID]*row{}, index: newIndex(), open: map[fairway.DeliveryID]*row{}, counts: map[CountKey]int{}, loading: true, keepWhole: keepWhole, trouble: map[string]error{}, claims: map[fairway.DeliveryID]service{},
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
	var d Row
	if err := json.Unmarshal(b, &d); err != nil {
		return fmt.Errorf("an ended delivery cannot be read: %w", err)
	}
	v.setEnded(d)
	return nil
}

func (v *View) setEnded(d Row) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.setRow(d)
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
	} else {
		delete(v.services, k)
	}
	v.setRemovalLocked(k, s)
	for _, x := range s.Open {
		v.setRow(Row{x.Delivery, x.Also})
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

// loaded ends the loading: it brings what came from several shards into the
// order of time.
func (v *View) loaded() {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.loading = false
	slices.SortFunc(v.order, byAge)
	v.index.sort()
	slices.SortStableFunc(v.events, func(a, b Stored) int { return a.Time.Compare(b.Time) })
	for i := range v.events {
		v.events[i].Seq = v.version - uint64(len(v.events)-1-i)
	}
}

// apply takes over a decision and wakes everyone who watches.
func (v *View) apply(d sequence.Decision, ended []Row) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.setServiceLocked(d.State)
	for _, e := range ended {
		v.setRow(e)
	}
	delete(v.texts, d.Delivery) // the decision's reason is newer
	v.addEventsLocked(d.Events)
	v.wake()
}

func (v *View) progress(id fairway.DeliveryID, text string) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if r := v.rows[id]; r != nil && !r.d.Status.Ended() {
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

// EventFilter selects events; empty fields select all.
type EventFilter struct {
	Project  fairway.ProjectName
	Service  fairway.ServiceName
	Delivery fairway.DeliveryID
	Type     string
	After    uint64 // only events with a larger Seq
	Before   uint64 // only events with a smaller Seq; 0 means all
	Limit    int    // default 200
}

// Events lists events, oldest first: the latest Limit of them (before Before),
// or the first Limit of those after After, so that whoever reads on misses
// none.
func (v *View) Events(f EventFilter) []Stored {
	if f.Limit <= 0 {
		f.Limit = 200
	}
	v.mu.RLock()
	defer v.mu.RUnlock()
	known := v.events
	if f.Before > 0 {
		known = known[:sort.Search(len(known), func(i int) bool { return known[i].Seq >= f.Before })]
	}
	var out []Stored
	if f.After > 0 {
		from := sort.Search(len(known), func(i int) bool { return known[i].Seq > f.After })
		for _, e := range known[from:] {
			if len(out) == f.Limit {
				break
			}
			if f.matches(e) {
				out = append(out, e)
			}
		}
		return out
	}
	for _, e := range slices.Backward(known) {
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

// Progress returns the present texts of deliveries under way.
func (v *View) Progress() map[fairway.DeliveryID]string {
	v.mu.RLock()
	defer v.mu.RUnlock()
	return maps.Clone(v.texts)
}

// claim reports whether a delivery of the service may have the id: a sender
// may use one correlation id for several services, and a delivery's id is its
// own. The claim holds until it is released.
func (v *View) claim(id fairway.DeliveryID, k service) bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	if r := v.rows[id]; r != nil {
		return service{r.d.Project, r.d.Service} == k
	}
	if owner, ok := v.claims[id]; ok {
		return owner == k
	}
	v.claims[id] = k
	return true
}

func (v *View) release(id fairway.DeliveryID, k service) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.claims[id] == k {
		delete(v.claims, id)
	}
}

// hasEnded reports whether an ended delivery of the service has the id.
func (v *View) hasEnded(id fairway.DeliveryID, k service) bool {
	v.mu.RLock()
	defer v.mu.RUnlock()
	r := v.rows[id]
	return r != nil && r.d.Status.Ended() && service{r.d.Project, r.d.Service} == k
}
