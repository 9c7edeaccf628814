package gateway

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http/httputil"
	"slices"
	"strings"

	"github.com/fairwaycd/fairway"
)

// key names a service in a namespace.
type key struct {
	ns   fairway.Namespace
	name fairway.ServiceName
}

// host returns the part of the service's host before the domain.
func (k key) host() string { return string(k.name) + "." + string(k.ns) }

// table says where every host leads. It never changes once published.
type table struct {
	services spread[*service] // by their own host
	hosts    spread[*entry]   // by the part before the domain
}

// service is what the gateway knows of one service in one namespace. It never
// changes once a table holds it.
type service struct {
	key
	project  fairway.ProjectName
	places   map[fairway.Colour]*target // nil where nothing stands any more
	weights  fairway.Weights            // nil: no released version
	unserved *meter                     // counts the requests that no version got
}

// target is a backend in its place.
type target struct {
	fairway.Backend
	up    *upstream
	meter *meter
	proxy *httputil.ReverseProxy
}

// entry is where one host leads.
type entry struct {
	service *service
	place   fairway.Place
	alone   bool // the host reaches the place alone, whatever the weights
	arms    []arm
	total   int // sum of the arms' weights
}

// arm is a target that may get requests, and its share of entry.total.
type arm struct {
	weight int
	target *target
}

// clone returns a copy that may be changed until a table holds it.
func (s *service) clone() *service {
	c := *s
	c.places = maps.Clone(s.places)
	return &c
}

// ready returns the target in the colour's place, if it is ready.
func (s *service) ready(c fairway.Colour) (*target, bool) {
	t := s.places[c]
	return t, t != nil && t.Ready
}

// with returns a table in which s replaces what had its key.
func (t *table) with(s *service) *table {
	n := t.without(s.key)
	n.services.set(s.host(), s)
	n.hosts.set(s.host(), split(s))
	for c := range s.places {
		if c != fairway.Single {
			e := alone(s, c)
			n.hosts.set(e.host(), e)
		}
	}
	return n
}

// without returns a table that does not know the key.
func (t *table) without(k key) *table {
	n := *t
	s := t.service(k)
	if s == nil {
		return &n
	}
	n.services.remove(k.host())
	hosts := []string{k.host()}
	for c := range s.places {
		hosts = append(hosts, alone(s, c).host())
	}
	for _, h := range hosts {
		if e := n.hosts.get(h); e != nil && e.service.key == k {
			n.hosts.remove(h)
		}
	}
	return &n
}

// service returns what has the key, or nil.
func (t *table) service(k key) *service { return t.services.get(k.host()) }

// split returns the entry of the service's own host. Only what is ready and
// has weight is in it; the weight of what is not ready goes to the rest in
// proportion.
func split(s *service) *entry {
	e := &entry{service: s, place: fairway.Place{Namespace: s.ns, Service: s.name}}
	for _, c := range slices.Sorted(maps.Keys(s.weights)) {
		if t, ok := s.ready(c); ok && s.weights[c] > 0 {
			e.arms = append(e.arms, arm{s.weights[c], t})
			e.total += s.weights[c]
		}
	}
	return e
}

// alone returns the entry of the host that reaches one colour.
func alone(s *service, c fairway.Colour) *entry {
	e := &entry{service: s, alone: true, place: fairway.Place{Namespace: s.ns, Service: s.name, Colour: c}}
	if t, ok := s.ready(c); ok {
		e.arms, e.total = []arm{{1, t}}, 1
	}
	return e
}

// host returns the entry's host, before the domain.
func (e *entry) host() string { return e.place.Workload() + "." + string(e.service.ns) }

// pick chooses a target by weight, or nil when none is ready. The choice is
// random, not a rotation: a client whose requests come in a pattern of its
// own would otherwise meet one version with all requests of one sort. The
// generator is the runtime's, one per thread, without a lock.
func (e *entry) pick() *target {
	switch len(e.arms) {
	case 0:
		return nil
	case 1:
		return e.arms[0].target
	}
	n := rand.IntN(e.total)
	for _, a := range e.arms {
		if n -= a.weight; n < 0 {
			return a.target
		}
	}
	return nil
}

// why says in a sentence why pick has nothing to offer.
func (e *entry) why(domain string) string {
	s := e.service
	if e.alone {
		return e.place.Workload() + " in " + string(s.ns) + " cannot answer: " + s.state(e.place.Colour) + "."
	}
	if s.weights == nil {
		text := fmt.Sprintf("%s has no released version in %s: no version has passed that stage yet.", s.name, s.ns)
		for _, c := range slices.Sorted(maps.Keys(s.places)) {
			if t, ok := s.ready(c); ok && c != fairway.Single {
				text += fmt.Sprintf(" Version %s, not released, answers at %s.", t.Version, t.Place.Host(domain))
			}
		}
		return text
	}
	var parts []string
	for _, c := range slices.Sorted(maps.Keys(s.weights)) {
		if w := s.weights[c]; w > 0 {
			parts = append(parts, fmt.Sprintf("%s (weight %d): %s", c, w, s.state(c)))
		}
	}
	return fmt.Sprintf("no version of %s in %s is ready: %s.", s.name, s.ns, strings.Join(parts, "; "))
}

// state says how the colour's place is doing.
func (s *service) state(c fairway.Colour) string {
	switch t := s.places[c]; {
	case t == nil:
		return "no version runs there"
	case !t.Ready:
		return "its version " + t.Version + " is not ready"
	default:
		return "its version " + t.Version + " is ready"
	}
}

// lookup returns the entry of a request's Host, or nil.
func (t *table) lookup(host, suffix string) *entry {
	if e := t.hosts.get(label(host, suffix)); e != nil {
		return e
	}
	return t.hosts.get(label(strings.ToLower(host), suffix))
}

// label returns what stands before the suffix (a dot and the domain) of a
// host with or without a port and a final dot; it is empty for hosts outside
// the domain.
func label(host, suffix string) string {
	if i := strings.LastIndexByte(host, ':'); i >= 0 {
		host = host[:i]
	}
	host = strings.TrimSuffix(host, ".")
	rest, ok := strings.CutSuffix(host, suffix)
	if !ok {
		return ""
	}
	return rest
}

// targets returns everything that stands in a place.
func (t *table) targets() []*target {
	var all []*target
	for _, s := range t.services.all() {
		for _, b := range s.places {
			if b != nil {
				all = append(all, b)
			}
		}
	}
	slices.SortFunc(all, func(a, b *target) int { return strings.Compare(a.Place.String(), b.Place.String()) })
	return all
}
