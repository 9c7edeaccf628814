package shipyard

import (
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// counterpart says what becomes of a key or task of Keptn 0.5 and later.
type counterpart struct{ keptn, ours string }

// keptnKeys are the keys around a stage, keptnStage those within one, and
// keptnTasks the tasks of its sequences.
var (
	keptnKeys = []counterpart{
		{"apiVersion", "leave it out"},
		{"kind", "leave it out"},
		{"metadata", "leave it out; the project's name is given when it is created"},
		{"spec", "leave it out; its stages become the top-level key stages"},
	}
	keptnStage = []counterpart{
		{"sequences", "leave it out; a stage has one order of steps (deploy, test, evaluate, approve, release), and its keys say what each of them does"},
		{"approval_strategy", "write approval: manual for pass: manual, and on_warning: approve for warning: manual; automatic is the default of both"},
		{"remediation_strategy", "leave it out; there are no remediation sequences"},
	}
	keptnTasks = []counterpart{
		{"deployment", "write deployment_strategy: direct or blue_green_service; user_managed has no counterpart"},
		{"test", "write test_strategy: functional or performance"},
		{"evaluation", "write gate: required, or gate: optional where services may be without objectives"},
		{"approval", "write approval: manual for pass: manual, and on_warning: approve for warning: manual; automatic is the default of both"},
		{"release", "leave it out; what is proved is released by itself (release: after_gate)"},
		{"rollback", "leave it out; a failure rolls back by itself (on_failure: rollback)"},
	}
)

// Remedies for what no key here stands for.
const (
	triggeredOn   = "leave it out; the order of the stages is the order of promotion"
	noCounterpart = "leave it out; it has no counterpart"
)

// laterKeptn reports whether the file is a shipyard of Keptn 0.5 or later, and
// if so adds the mapping of each of its keys.
func (r *reader) laterKeptn(root *yaml.Node) bool {
	stages, field := items(root, "stages"), "stages"
	if nested := items(value(root, "spec"), "stages"); nested != nil {
		stages, field = nested, "spec.stages"
	}
	version := keptnVersion(root, stages, field)
	if version == "" {
		return false
	}
	start := &yaml.Node{Line: root.Line} // before every other problem
	r.add(start, "", "", "is a shipyard of Keptn "+version+", which has another format", "rewrite it as said below; docs/reference/shipyard.md shows how")
	for _, c := range keptnKeys {
		r.foreign(root, "", c)
	}
	for i, stage := range stages {
		r.foreignStage(stage, field+"["+strconv.Itoa(i)+"]")
	}
	return true
}

// keptnVersion returns which versions of Keptn write such a file, or nothing
// when it is none of theirs.
func keptnVersion(root *yaml.Node, stages []*yaml.Node, field string) string {
	version := ""
	for _, s := range stages {
		if keyNode(s, "sequences") != nil {
			return "0.8 or later"
		}
		if keyNode(s, "approval_strategy") != nil || keyNode(s, "remediation_strategy") != nil {
			version = "0.5 to 0.7"
		}
	}
	api, kind := value(root, "apiVersion"), value(root, "kind")
	if api != nil && strings.Contains(api.Value, "keptn") || kind != nil && kind.Value == "Shipyard" || field == "spec.stages" {
		return "0.8 or later"
	}
	return version
}

// foreign adds the counterpart of a key of n, if it is there.
func (r *reader) foreign(n *yaml.Node, field string, c counterpart) {
	at := keyNode(n, c.keptn)
	if at == nil {
		return
	}
	text := ""
	if v := value(n, c.keptn); v.Kind == yaml.ScalarNode {
		text = v.Value
	}
	r.add(at, join(field, c.keptn), text, "belongs to Keptn", c.ours)
}

func (r *reader) foreignStage(stage *yaml.Node, field string) {
	for _, c := range keptnStage {
		r.foreign(stage, field, c)
	}
	for i, s := range items(stage, "sequences") {
		at := field + ".sequences[" + strconv.Itoa(i) + "]"
		r.foreign(s, at, counterpart{"triggeredOn", triggeredOn})
		for j, task := range items(s, "tasks") {
			if name := value(task, "name"); name != nil && name.Kind == yaml.ScalarNode {
				r.add(name, at+".tasks["+strconv.Itoa(j)+"].name", name.Value, "is a task of Keptn", taskCounterpart(name.Value))
			}
		}
	}
}

func taskCounterpart(task string) string {
	for _, c := range keptnTasks {
		if c.keptn == task {
			return c.ours
		}
	}
	return noCounterpart
}

// items returns the entries of the list under a mapping's key, if it is one.
func items(n *yaml.Node, key string) []*yaml.Node {
	if v := value(n, key); v != nil && v.Kind == yaml.SequenceNode {
		return v.Content
	}
	return nil
}

// keyNode returns the node of a mapping's key, or nil.
func keyNode(n *yaml.Node, key string) *yaml.Node {
	if n == nil || n.Kind != yaml.MappingNode {
		return nil
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		if n.Content[i].Kind == yaml.ScalarNode && n.Content[i].Value == key {
			return n.Content[i]
		}
	}
	return nil
}

// value returns the value of a mapping's key, or nil.
func value(n *yaml.Node, key string) *yaml.Node {
	at := keyNode(n, key)
	if at == nil {
		return nil
	}
	for i, c := range n.Content {
		if c == at {
			return n.Content[i+1]
		}
	}
	return nil
}
