package helm

import (
	"bytes"
	"fmt"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/fairwaycd/fairway"
	"github.com/fairwaycd/fairway/chart"
)

// hookAnnotation says when Helm runs an object's pods, or that it does not
// belong to the release.
const hookAnnotation = "helm.sh/hook"

func (o *object) isHook() bool {
	return value(o.node, "metadata", "annotations", hookAnnotation) != ""
}

// isWorkload reports whether the object runs pods for as long as the version
// is there.
func (o *object) isWorkload() bool {
	return pods[o.Kind] && !o.isHook()
}

// podTemplate returns the mapping whose metadata and spec are the pods', or nil.
func (o *object) podTemplate() *yaml.Node {
	switch {
	case !pods[o.Kind]:
		return nil
	case o.Kind == "Pod":
		return o.node
	case o.Kind == "CronJob":
		return field(o.node, "spec", "jobTemplate", "spec", "template")
	}
	return field(o.node, "spec", "template")
}

func (o *object) containers() []*yaml.Node {
	var out []*yaml.Node
	for _, key := range []string{"initContainers", "containers"} {
		if list := field(o.podTemplate(), "spec", key); list != nil && list.Kind == yaml.SequenceNode {
			out = append(out, list.Content...)
		}
	}
	return out
}

// document returns the object's text, written anew where it was changed.
func (o *object) document() ([]byte, error) {
	if !o.changed {
		return o.text, nil
	}
	var b bytes.Buffer
	enc := yaml.NewEncoder(&b)
	enc.SetIndent(2)
	if err := enc.Encode(o.node); err != nil {
		return nil, fmt.Errorf("write %s %s: %w", o.Kind, o.Name, err)
	}
	return b.Bytes(), enc.Close()
}

// ref names an object of the chart.
type ref struct{ kind, name string }

// use is a place in an object that names another.
type use struct {
	ref
	node *yaml.Node // the name
}

// colourise gives what runs, and what only that uses, the colour's suffix and
// label, and rewrites the references to it. What else there is stays single:
// it is marked as shared.
//
//	Deployment, StatefulSet, …     coloured, its pods and selector labelled
//	ConfigMap, Secret, claim       coloured when pods use it, and nothing single does
//	what scales one of them        coloured: scaleTargetRef, targetRef
//	PodDisruptionBudget            coloured when it selects their pods
//	Service, Ingress, RBAC, CRD …  single
//
// In a direct stage all keep their names.
func colourise(all []*object, r Release) error {
	if r.Colour == fairway.Single {
		for _, o := range all {
			o.Shared = !pods[o.Kind] && !slices.Contains(needs, o.Kind) || o.Kind == "ServiceAccount"
		}
		return nil
	}
	p := painter{all: all, colour: string(r.Colour), own: map[ref]bool{}}
	p.choose()
	if err := p.check(); err != nil {
		return err
	}
	for _, o := range all {
		o.Shared = !p.own[o.ref()]
		if !o.Shared {
			p.paint(o)
		}
	}
	return nil
}

func (o *object) ref() ref { return ref{o.Kind, o.Name} }

type painter struct {
	all    []*object
	colour string
	own    map[ref]bool // what becomes the colour's
}

// configKinds are what pods take data from.
var configKinds = []string{"ConfigMap", "Secret", "PersistentVolumeClaim"}

func (p painter) choose() {
	used, single := map[ref]bool{}, map[ref]bool{}
	for _, o := range p.all {
		if pods[o.Kind] {
			p.own[o.ref()] = true
			uses, kept := podUses(o.podTemplate())
			for _, u := range uses {
				used[u.ref] = true
			}
			for _, k := range kept {
				single[k] = true
			}
		} else if !slices.Contains(configKinds, o.Kind) {
			otherUses(o.node, single)
		}
	}
	for _, o := range p.all {
		switch {
		case slices.Contains(configKinds, o.Kind):
			p.own[o.ref()] = used[o.ref()] && !single[o.ref()]
		case o.Kind == "PodDisruptionBudget":
			p.own[o.ref()] = p.selects(field(o.node, "spec", "selector", "matchLabels"))
		default:
			for _, key := range []string{"scaleTargetRef", "targetRef"} {
				target := field(o.node, "spec", key)
				if p.own[ref{value(target, "kind"), value(target, "name")}] {
					p.own[o.ref()] = true
				}
			}
		}
	}
}

// selects reports whether the labels select pods of the chart.
func (p painter) selects(labels *yaml.Node) bool {
	return slices.ContainsFunc(p.all, func(o *object) bool {
		return o.isWorkload() && selectsLabels(labels, field(o.podTemplate(), "metadata", "labels"))
	})
}

// maxNames are the longest names that objects may have, where pods and labels
// are named after them. Everything else of a colour may have 63 characters, so
// that a name fits into a label.
var maxNames = map[string]int{"CronJob": 52, "StatefulSet": 52}

const maxName = 63

func (p painter) check() error {
	var ps []fairway.Problem
	names := map[ref]bool{}
	for _, o := range p.all {
		names[o.ref()] = true
	}
	for _, o := range p.all {
		if !p.own[o.ref()] {
			continue
		}
		most, ok := maxNames[o.Kind]
		if !ok {
			most = maxName
		}
		to := p.name(o.Name)
		// Both colours are judged by the longer name, so that a chart that
		// runs as blue runs as green.
		if n := len(o.Name) + len("-green"); n > most {
			ps = append(ps, fairway.Problem{File: o.File, Field: o.Kind + " metadata.name", Value: o.Name, Message: fmt.Sprintf("has with its colour more than the %d characters that %s may have", most, o.Kind),
				Remedy: fmt.Sprintf("shorten it to %d, by fullnameOverride in the values or in the chart; it is not cut, since two names could become one", most-len("-green"))})
		}
		if names[ref{o.Kind, to}] {
			ps = append(ps, fairway.Problem{File: o.File, Field: o.Kind + " metadata.name", Value: o.Name, Message: "becomes " + to + " in its colour, which is another object of the chart", Remedy: "rename one of them"})
		}
	}
	return fairway.InvalidAll(ps)
}

func (p painter) name(name string) string { return name + "-" + p.colour }

func (p painter) paint(o *object) {
	o.changed = true
	p.label(field(o.node, "metadata"), "labels")
	if n := field(o.node, "metadata", "name"); n != nil {
		n.Value = p.name(n.Value)
	}
	uses, _ := podUses(o.podTemplate())
	for _, key := range []string{"scaleTargetRef", "targetRef"} {
		if target := field(o.node, "spec", key); target != nil {
			uses = append(uses, use{ref{value(target, "kind"), value(target, "name")}, field(target, "name")})
		}
	}
	for _, u := range uses {
		if p.own[u.ref] {
			u.node.Value = p.name(u.name)
		}
	}
	switch {
	case pods[o.Kind] && o.Kind != "Pod":
		p.label(meta(o.podTemplate()), "labels")
		if o.Kind != "Job" && o.Kind != "CronJob" && field(o.node, "spec", "selector") != nil {
			p.label(field(o.node, "spec", "selector"), "matchLabels")
		}
	case o.Kind == "PodDisruptionBudget":
		p.label(field(o.node, "spec", "selector"), "matchLabels")
	}
	o.Name = p.name(o.Name)
}

// meta returns the metadata of a pod template, made if it is missing.
func meta(template *yaml.Node) *yaml.Node {
	m := field(template, "metadata")
	if (m == nil || m.Kind != yaml.MappingNode) && template != nil && template.Kind == yaml.MappingNode {
		m = &yaml.Node{Kind: yaml.MappingNode, Tag: "!!map"}
		setField(template, "metadata", m)
	}
	return m
}

// label adds the colour's label to the mapping under the key.
func (p painter) label(in *yaml.Node, key string) {
	if in == nil || in.Kind != yaml.MappingNode {
		return
	}
	labels := field(in, key)
	if labels == nil || labels.Kind != yaml.MappingNode {
		labels = &yaml.Node{Kind: yaml.MappingNode, Tag: "!!map"}
		setField(in, key, labels)
	}
	setField(labels, chart.ColourLabel, &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: p.colour})
}

func setField(n *yaml.Node, key string, v *yaml.Node) {
	for i := 0; i+1 < len(n.Content); i += 2 {
		if n.Content[i].Value == key {
			n.Content[i+1] = v
			return
		}
	}
	n.Content = append(n.Content, &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: key}, v)
}

// podUses returns the ConfigMaps, Secrets and claims that pods take data from,
// and those whose names have to stay: image pull secrets.
func podUses(template *yaml.Node) (uses []use, kept []ref) {
	spec := field(template, "spec")
	add := func(kind string, n *yaml.Node) {
		if n != nil && n.Kind == yaml.ScalarNode {
			uses = append(uses, use{ref{kind, n.Value}, n})
		}
	}
	for _, v := range items(field(spec, "volumes")) {
		add("ConfigMap", field(v, "configMap", "name"))
		add("Secret", field(v, "secret", "secretName"))
		add("PersistentVolumeClaim", field(v, "persistentVolumeClaim", "claimName"))
		for _, s := range items(field(v, "projected", "sources")) {
			add("ConfigMap", field(s, "configMap", "name"))
			add("Secret", field(s, "secret", "name"))
		}
		for _, driver := range []string{"csi", "cephfs", "flexVolume", "iscsi", "rbd", "scaleIO", "storageos"} {
			for _, key := range []string{"nodePublishSecretRef", "secretRef"} {
				add("Secret", field(v, driver, key, "name"))
			}
		}
	}
	for _, list := range []string{"initContainers", "containers", "ephemeralContainers"} {
		for _, c := range items(field(spec, list)) {
			for _, e := range items(field(c, "env")) {
				add("ConfigMap", field(e, "valueFrom", "configMapKeyRef", "name"))
				add("Secret", field(e, "valueFrom", "secretKeyRef", "name"))
			}
			for _, e := range items(field(c, "envFrom")) {
				add("ConfigMap", field(e, "configMapRef", "name"))
				add("Secret", field(e, "secretRef", "name"))
			}
		}
	}
	for _, s := range items(field(spec, "imagePullSecrets")) {
		kept = append(kept, ref{"Secret", value(s, "name")})
	}
	return uses, kept
}

func items(n *yaml.Node) []*yaml.Node {
	if n == nil || n.Kind != yaml.SequenceNode {
		return nil
	}
	return n.Content
}

// otherUses notes what a single object names: an Ingress its certificate, a
// Role the Secrets that may be read, a custom resource what its operator reads.
func otherUses(n *yaml.Node, into map[ref]bool) {
	if n.Kind == yaml.MappingNode {
		for i := 0; i+1 < len(n.Content); i += 2 {
			key, v := strings.ToLower(n.Content[i].Value), n.Content[i+1]
			names := []string{v.Value, value(v, "name")}
			if key == "resourcenames" || key == "secrets" || key == "imagepullsecrets" {
				for _, item := range items(v) {
					names = append(names, item.Value, value(item, "name"))
				}
			}
			for _, name := range names {
				if name == "" {
					continue
				}
				for _, kind := range configKinds {
					short := strings.TrimPrefix(strings.ToLower(kind), "persistentvolume")
					if strings.Contains(key, short) || key == "resourcenames" {
						into[ref{kind, name}] = true
					}
				}
			}
		}
	}
	for _, c := range n.Content {
		otherUses(c, into)
	}
}

func text(s string) yaml.Node {
	return yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: s, Style: yaml.DoubleQuotedStyle}
}
