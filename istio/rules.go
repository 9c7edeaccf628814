package istio

import (
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/fairwaycd/fairway"
)

const (
	// annotationGit holds the VirtualService as git has it, from which it is
	// made again for other weights.
	annotationGit = "fairway.dev/virtual-service"
	// annotationSeen holds the weights that the data plane was last seen to
	// follow.
	annotationSeen = "fairway.dev/weights"

	// ruleSplit is the name of a rule that divides traffic between colours,
	// unless git gives it one. Envoy's routes have the names of their rules.
	ruleSplit = "split"
	// ruleUnreleased is the name of the only rule of a service that has no
	// released version.
	ruleUnreleased = "no-released-version"

	insideSuffix = ".svc.cluster.local"
)

// split is a VirtualService that holds weights.
type split struct {
	git     *unstructured.Unstructured // as git has it, with our labels
	written fairway.Weights            // what its rules say; nil: no released version
	seen    fairway.Weights            // what the data plane was last seen to follow
}

// readSplit reads what Prepare and SetWeights have written.
func readSplit(live *unstructured.Unstructured) (split, error) {
	text := live.GetAnnotations()[annotationGit]
	git := &unstructured.Unstructured{}
	if err := git.UnmarshalJSON([]byte(text)); err != nil {
		return split{}, fairway.Errorf(fairway.KindInternal, "VirtualService %s in namespace %s has lost what git says of it (annotation %s): %w; deliver the service again", live.GetName(), live.GetNamespace(), annotationGit, err)
	}
	seen, err := parseWeights(live.GetAnnotations()[annotationSeen])
	if err != nil {
		return split{}, fmt.Errorf("annotation %s of VirtualService %s in namespace %s: %w", annotationSeen, live.GetName(), live.GetNamespace(), err)
	}
	return split{git: git, written: writtenWeights(live), seen: seen}, nil
}

// object returns the VirtualService to apply.
func (s split) object() (*unstructured.Unstructured, error) {
	text, err := json.Marshal(s.git.Object)
	if err != nil {
		return nil, fmt.Errorf("encode VirtualService %s: %w", s.git.GetName(), err)
	}
	o := s.git.DeepCopy()
	notes := o.GetAnnotations()
	if notes == nil {
		notes = map[string]string{}
	}
	notes[annotationGit] = string(text)
	if s.seen != nil {
		notes[annotationSeen] = s.seen.String()
	}
	o.SetAnnotations(notes)
	if s.written == nil {
		return o, setRules(o, []any{unreleased(o)})
	}
	rules := rulesOf(o)
	for _, r := range rules {
		to := colours(r)
		if len(to) != 2 {
			continue
		}
		if _, named := r["name"]; !named {
			r["name"] = ruleSplit
		}
		for c, d := range to {
			d["weight"] = int64(s.written[c])
		}
	}
	return o, nil
}

func setRules(o *unstructured.Unstructured, rules []any) error {
	if err := unstructured.SetNestedSlice(o.Object, rules, "spec", "http"); err != nil {
		return fmt.Errorf("set the rules of VirtualService %s: %w", o.GetName(), err)
	}
	return nil
}

// unreleased is the rule that answers for a service without a released
// version, in the words of the local gateway.
func unreleased(vs *unstructured.Unstructured) map[string]any {
	return map[string]any{
		"name": ruleUnreleased,
		"directResponse": map[string]any{
			"status": int64(503),
			"body": map[string]any{"string": fmt.Sprintf("503: %s has no released version in %s: no version has passed that stage yet.\n",
				vs.GetLabels()[labelService], vs.GetNamespace())},
		},
		"headers": map[string]any{"response": map[string]any{"set": map[string]any{"content-type": "text/plain; charset=utf-8"}}},
	}
}

// writtenWeights returns the split that the rules say.
func writtenWeights(vs *unstructured.Unstructured) fairway.Weights {
	rules := rulesOf(vs)
	if slices.ContainsFunc(rules, func(r map[string]any) bool { return r["name"] == ruleUnreleased }) {
		return nil
	}
	for _, r := range rules {
		if to := colours(r); len(to) == 2 {
			return fairway.Weights{fairway.Blue: weight(to[fairway.Blue]), fairway.Green: weight(to[fairway.Green])}
		}
	}
	return fairway.Full(fairway.Single)
}

func weight(destination map[string]any) int {
	switch v := destination["weight"].(type) {
	case int64:
		return int(v)
	case float64:
		return int(v)
	}
	return 0
}

// rulesOf returns the rules of a VirtualService; they can be changed in place.
func rulesOf(vs *unstructured.Unstructured) []map[string]any {
	spec, _ := vs.Object["spec"].(map[string]any)
	return elements(spec["http"])
}

// elements returns those elements of a list that are maps.
func elements(list any) []map[string]any {
	items, _ := list.([]any)
	var all []map[string]any
	for _, i := range items {
		if m, ok := i.(map[string]any); ok {
			all = append(all, m)
		}
	}
	return all
}

// colours returns the destinations of a rule by their colours.
func colours(rule map[string]any) map[fairway.Colour]map[string]any {
	to := map[fairway.Colour]map[string]any{}
	for _, d := range elements(rule["route"]) {
		where, _ := d["destination"].(map[string]any)
		subset, _ := where["subset"].(string)
		switch c := fairway.Colour(subset); c {
		case fairway.Blue, fairway.Green:
			to[c] = d
		}
	}
	return to
}

// splits reports whether some rule divides traffic between the colours.
func splits(vs *unstructured.Unstructured) bool {
	return slices.ContainsFunc(rulesOf(vs), func(r map[string]any) bool { return len(colours(r)) == 2 })
}

// splitNames are the names of the rules that divide traffic.
func splitNames(vs *unstructured.Unstructured) map[string]bool {
	names := map[string]bool{}
	for _, r := range rulesOf(vs) {
		if len(colours(r)) == 2 {
			name, _ := r["name"].(string)
			if name == "" {
				name = ruleSplit
			}
			names[name] = true
		}
	}
	return names
}

// target returns the full name of the Kubernetes Service that the rules lead
// to: that of the split, or of the first destination.
func target(vs *unstructured.Unstructured) string {
	first := ""
	for _, r := range rulesOf(vs) {
		for _, d := range elements(r["route"]) {
			where, _ := d["destination"].(map[string]any)
			host, _ := where["host"].(string)
			if host == "" {
				continue
			}
			host = qualified(host, vs.GetNamespace())
			if len(colours(r)) == 2 {
				return host
			}
			if first == "" {
				first = host
			}
		}
	}
	return first
}

// qualified returns the full name of a host inside the cluster.
func qualified(host, ns string) string {
	if strings.Contains(host, ".") {
		return host
	}
	return host + "." + ns + insideSuffix
}

// pinned returns the VirtualService that leads to one colour alone, under the
// rules that hold for both, or nil when no host of the service has a place for
// the colour.
func pinned(git *unstructured.Unstructured, place fairway.Place) *unstructured.Unstructured {
	hosts := colourHosts(hostsOf(git), place)
	if len(hosts) == 0 {
		return nil
	}
	o := git.DeepCopy()
	o.SetName(git.GetName() + "-" + string(place.Colour))
	spec, _ := o.Object["spec"].(map[string]any)
	spec["hosts"] = hosts
	outside := []any{}
	list, _ := spec["gateways"].([]any)
	for _, g := range list {
		if g != "mesh" {
			outside = append(outside, g)
		}
	}
	spec["gateways"] = outside
	for _, r := range rulesOf(o) {
		if to := colours(r); len(to) == 2 {
			d := to[place.Colour]
			delete(d, "weight")
			r["route"] = []any{d}
		}
	}
	return o
}

// colourHosts are the hosts of one colour: SERVICE-COLOUR in place of SERVICE.
func colourHosts(hosts []string, place fairway.Place) []any {
	var all []any
	for _, h := range hosts {
		rest, ok := strings.CutPrefix(h, string(place.Service)+"."+string(place.Namespace)+".")
		if ok && !strings.HasSuffix(h, insideSuffix) {
			all = append(all, place.Workload()+"."+string(place.Namespace)+"."+rest)
		}
	}
	return all
}

func hostsOf(o *unstructured.Unstructured) []string {
	hosts, _, _ := unstructured.NestedStringSlice(o.Object, "spec", "hosts")
	return hosts
}

// outsideHosts are those hosts under which the gateway answers; none when the
// VirtualService is bound to no gateway.
func outsideHosts(vs *unstructured.Unstructured) []string {
	bound, _, _ := unstructured.NestedStringSlice(vs.Object, "spec", "gateways")
	if !slices.ContainsFunc(bound, func(g string) bool { return g != "mesh" }) {
		return nil
	}
	return slices.DeleteFunc(hostsOf(vs), func(h string) bool { return strings.HasSuffix(h, insideSuffix) || !strings.Contains(h, ".") })
}

// addHost adds a host to a list of the object, if it is not there.
func addHost(spec map[string]any, host string) {
	list, _ := spec["hosts"].([]any)
	if !slices.Contains(list, any(host)) {
		spec["hosts"] = append(list, host)
	}
}

// parseWeights reads what [fairway.Weights.String] prints; nothing is nil.
func parseWeights(s string) (fairway.Weights, error) {
	if s == "" {
		return nil, nil
	}
	blue, green, both := strings.Cut(s, "/")
	w := fairway.Weights{}
	n, err := strconv.Atoi(blue)
	if !both {
		w[fairway.Single] = n
	} else if w[fairway.Blue] = n; err == nil {
		w[fairway.Green], err = strconv.Atoi(green)
	}
	if err != nil {
		return nil, fairway.Invalid("weights", s, "are not BLUE/GREEN", "write two numbers that sum to 100, such as 0/100")
	}
	return w, w.Validate()
}

// same reports whether two splits are the same; no weights are one too.
func same(a, b fairway.Weights) bool {
	return (a == nil) == (b == nil) && a.String() == b.String()
}

func inForce(w fairway.Weights) string {
	if w == nil {
		return "unset"
	}
	return w.String()
}
