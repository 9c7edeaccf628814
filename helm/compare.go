package helm

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/fairwaycd/fairway"
)

// Difference is what two states of a branch render differently for one colour
// of a service, apart from its image.
type Difference struct {
	// Scale says that replicas, resources of containers, or objects that scale
	// the pods differ. That can take effect in place.
	Scale bool
	// Template says that anything else of what runs differs: a pod template,
	// or data that pods take. That needs pods anew.
	Template bool
	// Single says that an object differs that stands once for both colours.
	Single bool
}

// Compare renders two states of a branch and says how what they render for
// the release differs. What templates make at random counts as equal. r's
// artifact stands for the image of both; without one, that is some example.
// Errors are those of [Render]; one of the state before counts as a
// difference of everything, since a broken state may always be repaired.
func Compare(ctx context.Context, before, after map[string][]byte, r Release) (Difference, error) {
	if r.Artifact.Image == "" {
		r.Artifact = fairway.Artifact{Image: "example/" + string(r.Service), Tag: "0"}
	}
	is, err := Render(ctx, after, r)
	if err != nil {
		return Difference{}, err
	}
	was, err := Render(ctx, before, r)
	if err != nil {
		return Difference{Scale: true, Template: true, Single: true}, nil
	}
	masked := map[string]bool{}
	if was.Random || is.Random {
		again, err := Render(ctx, before, r)
		if err != nil {
			return Difference{}, err
		}
		a, b := leaves(was), leaves(again)
		for path, v := range a {
			if b[path] != v {
				masked[path] = true
			}
		}
	}
	return difference(leaves(was), leaves(is), masked), nil
}

func difference(was, is map[string]string, masked map[string]bool) Difference {
	var d Difference
	all := maps.Clone(was)
	maps.Copy(all, is)
	for path := range all {
		a, had := was[path]
		b, has := is[path]
		if had == has && a == b || had == has && masked[path] {
			continue
		}
		switch {
		case strings.HasPrefix(path, "single\x00"):
			d.Single = true
		case scales(path):
			d.Scale = true
		default:
			d.Template = true
		}
	}
	return d
}

// scales reports whether the path is one of replicas or resources.
func scales(path string) bool {
	keys := strings.Split(path, "\x00") // own, KIND, NAME, key, …
	switch keys[1] {
	case "HorizontalPodAutoscaler", "PodDisruptionBudget", "VerticalPodAutoscaler", "ScaledObject":
		return true
	}
	if !pods[keys[1]] {
		return false
	}
	if len(keys) == 5 && keys[3] == "spec" && keys[4] == "replicas" {
		return true
	}
	i := slices.Index(keys, "resources")
	return i >= 2 && (keys[i-2] == "containers" || keys[i-2] == "initContainers")
}

// leaves returns every scalar of the rendered objects by its path.
func leaves(r Rendered) map[string]string {
	out := map[string]string{}
	add := func(prefix string, docs [][]byte) {
		for _, doc := range docs {
			var root yaml.Node
			if yaml.Unmarshal(doc, &root) != nil || len(root.Content) == 0 {
				continue // it was read when it was rendered
			}
			n := root.Content[0]
			collect(n, prefix+"\x00"+value(n, "kind")+"\x00"+value(n, "metadata", "name"), out)
		}
	}
	add("own", r.Manifests)
	add("single", r.Single)
	return out
}

func collect(n *yaml.Node, path string, into map[string]string) {
	switch n.Kind {
	case yaml.MappingNode:
		for i := 0; i+1 < len(n.Content); i += 2 {
			collect(n.Content[i+1], path+"\x00"+n.Content[i].Value, into)
		}
	case yaml.SequenceNode:
		for i, c := range n.Content {
			collect(c, fmt.Sprintf("%s\x00%d", path, i), into)
		}
	case yaml.ScalarNode:
		into[path] = n.Tag + " " + n.Value
	case yaml.AliasNode:
		into[path] = "*" + n.Value
	}
}

// Hosts returns the names of the Kubernetes Services in the service's own
// chart that lead to pods which run the artifact, headless ones last.
func (r Rendered) Hosts(a fairway.Artifact) []string {
	var labels []*yaml.Node
	services := map[string]*yaml.Node{}
	for _, doc := range slices.Concat(r.Manifests, r.Single) {
		var root yaml.Node
		if yaml.Unmarshal(doc, &root) != nil || len(root.Content) == 0 {
			continue
		}
		o := object{node: root.Content[0]}
		o.Kind, o.Name = value(o.node, "kind"), value(o.node, "metadata", "name")
		switch {
		case o.Kind == "Service":
			services[o.Name] = field(o.node, "spec")
		case o.isWorkload() && slices.ContainsFunc(o.containers(), func(c *yaml.Node) bool {
			return a.IsRef(value(c, "image"))
		}):
			labels = append(labels, field(o.podTemplate(), "metadata", "labels"))
		}
	}
	var withAddress, headless []string
	for _, name := range slices.Sorted(maps.Keys(services)) {
		selector := field(services[name], "selector")
		if !slices.ContainsFunc(labels, func(l *yaml.Node) bool { return selectsLabels(selector, l) }) {
			continue
		}
		if value(services[name], "clusterIP") == "None" {
			headless = append(headless, name)
		} else {
			withAddress = append(withAddress, name)
		}
	}
	return append(withAddress, headless...)
}

// selectsLabels reports whether the selector, which is not empty, fits.
func selectsLabels(selector, labels *yaml.Node) bool {
	if selector == nil || len(selector.Content) == 0 {
		return false
	}
	for i := 0; i+1 < len(selector.Content); i += 2 {
		if value(labels, selector.Content[i].Value) != selector.Content[i+1].Value {
			return false
		}
	}
	return true
}
