package chart

import (
	"go.yaml.in/yaml/v3"

	"github.com/fairwaycd/fairway"
)

// normal returns the values as they are written into the branch: every key
// that the default templates read is there, and what must be text is quoted.
// ownDeployment says that the user brought a Deployment template, whose values
// Fairway leaves alone.
func (v Values) normal(file string, ownDeployment bool) (*yaml.Node, error) {
	root := clone(v.root)
	fill := func(value *yaml.Node, keys ...string) {
		if isNull(get(root, keys...)) {
			set(root, value, keys...)
		}
	}
	fill(intNode(v.Replicas), "replicaCount")
	if get(root, "image", "repository") == nil {
		set(root, nullNode(), "image", "repository")
	}
	if get(root, "image", "tag") == nil {
		set(root, nullNode(), "image", "tag")
	}
	if v.Artifact.Image != "" {
		v.setImage(root)
	}
	fill(intNode(v.InternalPort), "service", "internalPort")
	fill(intNode(v.ExternalPort), "service", "externalPort")
	quoteTexts(root)
	if ownDeployment {
		return root, nil
	}
	if env := get(root, "env"); !isNull(env) && !flat(env) {
		return nil, problemAt(file, env, "env", "is not a mapping of names to values", "write env: {NAME: VALUE}; for valueFrom bring a Deployment template of your own (--deployment)")
	}
	fill(wordNode("IfNotPresent"), "image", "pullPolicy")
	fill(wordNode(string(v.Service)), "container", "name")
	fill(&yaml.Node{Kind: yaml.MappingNode, Tag: "!!map", Style: yaml.FlowStyle}, "resources")
	if v.Metrics.Path != "" {
		fill(wordNode(v.Metrics.Path), "metrics", "path")
		fill(intNode(v.Metrics.Port), "metrics", "port")
	}
	v.setReadiness(root)
	return root, nil
}

// ownNormal returns the values of a service with a chart of its own.
func (v Values) ownNormal() *yaml.Node {
	root := clone(v.root)
	for _, key := range []string{"repository", "tag"} {
		if get(root, "image", key) == nil {
			set(root, nullNode(), "image", key)
		}
	}
	return root
}

// setImage splits a tag off the repository, so that it can be set by itself.
func (v Values) setImage(root *yaml.Node) {
	if repository := get(root, "image", "repository"); repository.Value != v.Artifact.Image {
		set(root, textNode(v.Artifact.Image), "image", "repository")
		set(root, textNode(v.Artifact.Tag), "image", "tag")
	}
}

// setReadiness writes health or readiness as the probe that it means.
func (v Values) setReadiness(root *yaml.Node) {
	probe := get(root, "readiness")
	switch {
	case isNull(probe):
		port := wordNode("http")
		if n := get(root, "health", "port"); !isNull(n) {
			port = clone(n)
		}
		probe = shortProbe("httpGet", wordNode("path"), wordNode(v.HealthPath), wordNode("port"), port)
	case get(probe, "tcp") != nil:
		probe = clone(probe)
		drop(probe, "tcp")
		short := shortProbe("tcpSocket", wordNode("port"), wordNode("http"))
		for i := 0; i < len(short.Content); i += 2 {
			if get(probe, short.Content[i].Value) == nil {
				probe.Content = append(probe.Content, short.Content[i], short.Content[i+1])
			}
		}
	}
	drop(root, "health")
	set(root, probe, "readiness")
}

// shortProbe asks every second, since a delivery waits for the answer.
func shortProbe(kind string, fields ...*yaml.Node) *yaml.Node {
	return &yaml.Node{Kind: yaml.MappingNode, Tag: "!!map", Content: []*yaml.Node{
		wordNode(kind), {Kind: yaml.MappingNode, Tag: "!!map", Content: fields},
		wordNode("periodSeconds"), intNode(1),
		wordNode("timeoutSeconds"), intNode(2),
	}}
}

// flat reports whether the node is a mapping to scalars.
func flat(n *yaml.Node) bool {
	if n.Kind != yaml.MappingNode {
		return false
	}
	for i := 1; i < len(n.Content); i += 2 {
		if n.Content[i].Kind != yaml.ScalarNode {
			return false
		}
	}
	return true
}

// quoteTexts quotes what must stay the text that it was written as: the image
// and its tag, and the environment. It reports whether that changed anything.
func quoteTexts(root *yaml.Node) bool {
	texts := []*yaml.Node{get(root, "image", "repository"), get(root, "image", "tag")}
	if env := get(root, "env"); env != nil {
		for i, n := range env.Content {
			switch {
			case env.Kind == yaml.MappingNode && i%2 == 1:
				texts = append(texts, n)
			case env.Kind == yaml.SequenceNode:
				texts = append(texts, get(n, "value"))
			}
		}
	}
	changed := false
	for _, n := range texts {
		changed = quote(n) || changed
	}
	return changed
}

// blankImage returns the values with no image named: those of a colour that
// nothing was delivered to.
func blankImage(root *yaml.Node) *yaml.Node {
	root = clone(root)
	set(root, nullNode(), "image", "repository")
	set(root, nullNode(), "image", "tag")
	return root
}

// ForRendering returns the branch's values.yaml with image tags and
// environment of every service as text, however they are written: a tag 1.0
// that somebody edited into the file must not be rendered as 1. It returns the
// services too.
func ForRendering(files map[string][]byte) (values []byte, services []fairway.ServiceName, err error) {
	values = files[ValuesFile]
	root, err := parse(ValuesFile, values)
	if err != nil {
		return nil, nil, err
	}
	changed := false
	for i := 1; i < len(root.Content); i += 2 {
		changed = quoteTexts(root.Content[i]) || changed
	}
	if changed {
		values, err = encode(root)
	}
	return values, servicesIn(root), err
}
