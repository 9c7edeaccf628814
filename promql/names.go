package promql

import (
	"strings"

	"github.com/fairwaycd/fairway"
	"github.com/prometheus/prometheus/model/labels"
)

// namingLabels are the labels by which specifications name a service: those
// of Prometheus' own world, and those of Istio's telemetry for the service
// that answers. Istio's source_* labels name the caller and are not among
// them.
var namingLabels = map[string]bool{
	"instance": true, "job": true, "service": true, "app": true,
	"destination_service": true, "destination_service_name": true, "destination_workload": true,
	"destination_app": true, "destination_canonical_service": true,
}

// names are the values by which a label can mean the subject.
type names struct {
	words    map[string]bool // carts, carts-green, carts-staging, …
	prefixes []string        // carts.staging, carts-green.staging
	samples  []string        // values that a regular expression is tried on
	other    []string        // prefixes and words of the other colour
}

// namesOf lists the names of the subject's service and of its own colour. The
// other colour is not among them: who writes it down compares with it, and
// pinning both sides of a comparison to one version would make it pass always.
func namesOf(s fairway.Subject) names {
	service, ns := string(s.Place.Service), string(s.Place.Namespace)
	n := names{words: map[string]bool{}}
	for _, w := range []string{service, s.Place.Workload()} {
		n.words[w] = true
		n.prefixes = append(n.prefixes, w+"."+ns)
	}
	for _, suffix := range []string{string(s.Stage), ns, string(s.Project) + "-" + string(s.Stage)} {
		if strings.Trim(suffix, "-") != "" {
			n.words[service+"-"+suffix] = true
		}
	}
	for w := range n.words {
		n.samples = append(n.samples, w)
	}
	for _, p := range n.prefixes {
		for _, domain := range []string{"", ".svc", ".svc.cluster.local", ".localhost"} {
			n.samples = append(n.samples, p+domain, p+domain+":80")
		}
	}
	if s.Place.Colour != fairway.Single {
		place := s.Place
		place.Colour = place.Colour.Other()
		n.other = []string{place.Workload(), place.Workload() + "." + ns}
	}
	return n
}

// names reports whether the matcher says that a series belongs to the
// subject. A matcher that excludes (!=, !~) never does.
func (n names) match(m *labels.Matcher) bool {
	if !namingLabels[m.Name] {
		return false
	}
	switch m.Type {
	case labels.MatchEqual:
		return n.words[m.Value] || hostIn(m.Value, n.prefixes)
	case labels.MatchRegexp:
		for _, v := range n.samples {
			if m.Matches(v) {
				return true
			}
		}
	}
	return false
}

// matchOther reports whether the matcher names the other colour literally.
func (n names) matchOther(m *labels.Matcher) bool {
	if len(n.other) == 0 || m.Type != labels.MatchEqual || !namingLabels[m.Name] {
		return false
	}
	return m.Value == n.other[0] || hostIn(m.Value, n.other[1:])
}

// hostIn reports whether value is one of the hosts, in any domain and with
// any port: carts.staging means carts.staging.svc.cluster.local:80 as well.
func hostIn(value string, hosts []string) bool {
	host, port, ok := strings.Cut(value, ":")
	if ok && strings.Trim(port, "0123456789") != "" {
		return false
	}
	for _, h := range hosts {
		if host == h || strings.HasPrefix(host, h+".") {
			return true
		}
	}
	return false
}
