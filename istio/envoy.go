package istio

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/fairwaycd/fairway"
)

// view is what one Envoy says of its routes.
type view struct {
	hosts    map[string][]envoyRoute // by host, without a port
	versions map[string]string       // of the route configurations
	updated  time.Time               // when the newest of them came
	refused  string                  // why Envoy does not take what istiod sent
}

// envoyRoute is a route as Envoy has it.
type envoyRoute struct {
	name   string
	config string         // the VirtualService it was made from, as Istio notes it
	direct int            // status that it answers itself, 0 for none
	shares map[string]int // weight by cluster; a route to one cluster alone: 100
}

// Envoy's configuration dump, as far as it is read.
type routesDump struct {
	Configs []struct {
		Version string    `json:"version_info"`
		Updated time.Time `json:"last_updated"`
		Refused struct {
			Details string `json:"details"`
		} `json:"error_state"`
		Config struct {
			Name  string `json:"name"`
			Hosts []struct {
				Domains []string     `json:"domains"`
				Routes  []routeEntry `json:"routes"`
			} `json:"virtual_hosts"`
		} `json:"route_config"`
	} `json:"configs"`
}

type routeEntry struct {
	Name     string `json:"name"`
	Metadata struct {
		Filter struct {
			Istio struct {
				Config string `json:"config"`
			} `json:"istio"`
		} `json:"filter_metadata"`
	} `json:"metadata"`
	Direct *struct {
		Status int `json:"status"`
	} `json:"direct_response"`
	To struct {
		Cluster  string `json:"cluster"`
		Weighted struct {
			Clusters []struct {
				Name   string `json:"name"`
				Weight int    `json:"weight"`
			} `json:"clusters"`
		} `json:"weighted_clusters"`
	} `json:"route"`
}

// readRoutes reads Envoy's dump of its dynamic route configurations.
func readRoutes(r io.Reader) (view, error) {
	var d routesDump
	if err := json.NewDecoder(r).Decode(&d); err != nil {
		return view{}, fmt.Errorf("read Envoy's configuration: %w", err)
	}
	v := view{hosts: map[string][]envoyRoute{}, versions: map[string]string{}}
	for i, c := range d.Configs {
		v.versions[strconv.Itoa(i)] = c.Version + " " + c.Updated.String()
		if c.Updated.After(v.updated) {
			v.updated = c.Updated
		}
		if c.Refused.Details != "" {
			v.refused = c.Refused.Details
		}
		for _, h := range c.Config.Hosts {
			routes := make([]envoyRoute, 0, len(h.Routes))
			for _, e := range h.Routes {
				routes = append(routes, e.route())
			}
			seen := map[string]bool{}
			for _, domain := range h.Domains {
				if host, _, _ := strings.Cut(domain, ":"); !seen[host] {
					seen[host] = true
					v.hosts[host] = append(v.hosts[host], routes...)
				}
			}
		}
	}
	return v, nil
}

func (e routeEntry) route() envoyRoute {
	r := envoyRoute{name: e.Name, config: e.Metadata.Filter.Istio.Config}
	if e.Direct != nil {
		r.direct = e.Direct.Status
	}
	if e.To.Cluster != "" {
		r.shares = map[string]int{e.To.Cluster: 100}
	}
	if w := e.To.Weighted.Clusters; len(w) > 0 {
		r.shares = map[string]int{}
		for _, c := range w {
			r.shares[c.Name] += c.Weight
		}
		if len(r.shares) == 1 { // all requests, whatever the number
			r.shares[w[0].Name] = 100
		}
	}
	return r
}

// expected is what Envoy has to show before weights count as changed.
type expected struct {
	hosts   []string        // under which the gateway answers
	config  string          // end of Istio's note of the VirtualService
	rules   map[string]bool // that divide traffic
	weights fairway.Weights // nil: no released version
	// colour is set where the hosts lead to it alone; then there are no
	// weights and no rules.
	colour fairway.Colour
}

// of reports whether the route was made from the VirtualService.
func (e expected) of(r envoyRoute) bool { return strings.HasSuffix(r.config, e.config) }

// splits reports whether the route was made from a rule that divides traffic.
// Istio appends the name of the match.
func (e expected) splits(r envoyRoute) bool {
	if e.rules[r.name] {
		return true
	}
	for name := range e.rules {
		if strings.HasPrefix(r.name, name+".") {
			return true
		}
	}
	return false
}

// check returns the clusters that each colour with weight has, or what is not
// as expected.
func (e expected) check(v view) (clusters map[fairway.Colour][]string, problem string) {
	clusters = map[fairway.Colour][]string{}
	known := ""
	for _, host := range e.hosts {
		routes := slices.DeleteFunc(slices.Clone(v.hosts[host]), func(r envoyRoute) bool { return !e.of(r) })
		if len(routes) == 0 {
			continue
		}
		known = host
		if p := e.checkHost(routes, clusters); p != "" {
			return nil, fmt.Sprintf("%s for %s", p, host)
		}
	}
	if known == "" && len(e.hosts) > 0 {
		return nil, "does not know " + strings.Join(e.hosts, ", ")
	}
	return clusters, ""
}

func (e expected) checkHost(routes []envoyRoute, clusters map[fairway.Colour][]string) string {
	if e.colour != "" {
		return e.checkColour(routes, clusters)
	}
	found := false
	for _, r := range routes {
		if r.name == ruleUnreleased && r.direct != 0 {
			if e.weights != nil {
				return "still answers that no version is released"
			}
			found = true
			continue
		}
		if e.weights == nil {
			return "still sends requests to a version"
		}
		if _, single := e.weights[fairway.Single]; !single && !e.splits(r) {
			continue
		}
		found = true
		if p := e.checkSplit(r, clusters); p != "" {
			return p
		}
	}
	if !found {
		return "has no route that splits traffic"
	}
	return ""
}

// checkColour collects the colour's clusters. A rule of the user's may lead
// elsewhere.
func (e expected) checkColour(routes []envoyRoute, clusters map[fairway.Colour][]string) string {
	for _, r := range routes {
		for name := range r.shares {
			if colourOf(name) == e.colour {
				add(clusters, e.colour, name)
			}
		}
	}
	if len(clusters[e.colour]) == 0 {
		return "has no route to " + e.colour.String()
	}
	return ""
}

func (e expected) checkSplit(r envoyRoute, clusters map[fairway.Colour][]string) string {
	if _, single := e.weights[fairway.Single]; single {
		for name := range r.shares {
			add(clusters, fairway.Single, name)
		}
		return ""
	}
	got := shares(r)
	if got[fairway.Blue] != e.weights[fairway.Blue] || got[fairway.Green] != e.weights[fairway.Green] {
		return "still has " + got.String()
	}
	for name := range r.shares {
		if c := colourOf(name); e.weights[c] > 0 {
			add(clusters, c, name)
		}
	}
	return ""
}

func add(m map[fairway.Colour][]string, c fairway.Colour, name string) {
	if !slices.Contains(m[c], name) {
		m[c] = append(m[c], name)
	}
}

// shares returns the split of a route.
func shares(r envoyRoute) fairway.Weights {
	w := fairway.Weights{fairway.Blue: 0, fairway.Green: 0}
	for name, share := range r.shares {
		w[colourOf(name)] += share
	}
	return w
}

// colourOf returns the colour of a cluster, whose name is
// outbound|PORT|SUBSET|HOST.
func colourOf(cluster string) fairway.Colour {
	parts := strings.Split(cluster, "|")
	if len(parts) != 4 || parts[2] == "" {
		return fairway.Single
	}
	return fairway.Colour(parts[2])
}

// member is an endpoint of a cluster.
type member struct {
	healthy bool
	active  int // requests under way
}

// readClusters reads the text of Envoy's /clusters: the endpoints by cluster
// and address.
func readClusters(r io.Reader) (map[string]map[string]member, error) {
	all := map[string]map[string]member{}
	s := bufio.NewScanner(r)
	for s.Scan() {
		// CLUSTER::ADDRESS::STATISTIC::VALUE; an IPv6 address has brackets.
		f := strings.Split(s.Text(), "::")
		if len(f) < 4 {
			continue
		}
		n := len(f)
		name, address, what, value := f[0], strings.Join(f[1:n-2], "::"), f[n-2], f[n-1]
		if !strings.Contains(address, ":") && !strings.HasPrefix(address, "envoy://") {
			continue // a setting of the cluster
		}
		if all[name] == nil {
			all[name] = map[string]member{}
		}
		m := all[name][address]
		switch what {
		case "health_flags":
			m.healthy = value == "healthy"
		case "rq_active":
			m.active, _ = strconv.Atoi(value)
		}
		all[name][address] = m
	}
	if err := s.Err(); err != nil {
		return nil, fmt.Errorf("read Envoy's clusters: %w", err)
	}
	return all, nil
}

func healthy(members map[string]member) int {
	n := 0
	for _, m := range members {
		if m.healthy {
			n++
		}
	}
	return n
}

// clustersOf is a regular expression for the clusters to the hosts, of one
// subset; an empty subset means those without one.
func clustersOf(subset string, hosts ...string) string {
	hosts = slices.Clone(hosts)
	for i, h := range hosts {
		hosts[i] = regexp.QuoteMeta(h)
	}
	return `^outbound\|[0-9]+\|` + regexp.QuoteMeta(subset) + `\|(` + strings.Join(hosts, "|") + `)$`
}
