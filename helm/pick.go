package helm

import (
	"bytes"
	"cmp"
	"fmt"
	"maps"
	"path"
	"regexp"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/fairwaycd/fairway"
	"github.com/fairwaycd/fairway/chart"
)

// object is a rendered document.
type object struct {
	Object
	owner chart.Owner // of its file
	owned bool
	label string // app
	text  []byte
	node  *yaml.Node
	// changed says that the text is older than the node.
	changed bool
}

// pods are the kinds that run pods.
var pods = map[string]bool{"Deployment": true, "StatefulSet": true, "DaemonSet": true, "ReplicaSet": true, "Job": true, "CronJob": true, "Pod": true}

// needs are the kinds that pods need, in the order in which they are needed.
var needs = []string{"ServiceAccount", "Secret", "ConfigMap", "PersistentVolumeClaim", "HorizontalPodAutoscaler", "PodDisruptionBudget"}

// pick sorts the rendered texts' objects out.
func pick(texts map[string]string, r Release, chartName string, owners chart.Owners) (Rendered, error) {
	all, err := splitAll(texts, owners)
	if err != nil {
		return Rendered{}, err
	}
	p := picker{Release: r, chart: chartName, owners: owners, references: map[string]bool{}}
	workload := slices.IndexFunc(all, func(o object) bool { return pods[o.Kind] && o.Name == p.place().Workload() && p.mine(o) })
	if workload < 0 {
		return Rendered{}, p.noWorkload(all)
	}
	if err := setImage(&all[workload], r.Artifact); err != nil {
		return Rendered{}, err
	}
	collectReferences(all[workload].node, p.references)
	return p.sort(all), nil
}

// splitAll reads all documents, and reports all that cannot be read.
func splitAll(texts map[string]string, owners chart.Owners) ([]object, error) {
	var all []object
	var ps []fairway.Problem
	for _, file := range slices.Sorted(maps.Keys(texts)) {
		if path.Base(file) == "NOTES.txt" {
			continue
		}
		objects, err := split(file, texts[file], owners)
		ps = append(ps, fairway.Problems(err)...)
		all = append(all, objects...)
	}
	return all, fairway.InvalidAll(ps)
}

type picker struct {
	Release
	chart      string
	owners     chart.Owners
	references map[string]bool // names that the workload's pods refer to
}

// mine reports whether the object is the service's, and not the other colour's
// alone. What no service owns is everybody's.
func (p picker) mine(o object) bool {
	if p.references[o.Name] && slices.Contains(needs, o.Kind) {
		return true
	}
	if o.owner.Colour != fairway.Single {
		return true // only this colour's file was rendered
	}
	if !o.owned {
		if s, ok := p.owners.Name(o.Name); ok && s != p.Service {
			return false
		}
		if s, ok := strings.CutPrefix(o.label, p.chart+"-selector-"); ok && fairway.ServiceName(s) != p.Service {
			return false
		}
	}
	if p.Colour == fairway.Single {
		return true
	}
	other := fairway.Place{Service: p.Service, Colour: p.Colour.Other()}.Workload()
	return o.Name != other && !strings.HasPrefix(o.Name, other+"-") && !(pods[o.Kind] && o.Name == string(p.Service))
}

// sort divides what is the service's between the colour and both, once each.
func (p picker) sort(all []object) Rendered {
	slices.SortStableFunc(all, func(a, b object) int { return cmp.Compare(rank(a.Kind), rank(b.Kind)) })
	var out Rendered
	seen := map[string]bool{}
	for _, o := range all {
		id := o.Kind + "/" + o.Name
		if !p.mine(o) || seen[id] {
			continue
		}
		seen[id] = true
		named := pods[o.Kind] && (o.owned || o.Name == p.place().Workload())
		o.Shared = !named && !slices.Contains(needs, o.Kind)
		out.Objects = append(out.Objects, o.Object)
		if o.Shared {
			out.Shared = append(out.Shared, o.text)
			continue
		}
		out.Manifests = append(out.Manifests, o.text)
	}
	return out
}

// rank puts what others need first and what runs last.
func rank(kind string) int {
	if i := slices.Index(needs, kind); i >= 0 {
		return i
	}
	if pods[kind] {
		return len(needs) + 1
	}
	return len(needs)
}

func (p picker) noWorkload(all []object) error {
	var have []string
	for _, o := range all {
		if pods[o.Kind] {
			have = append(have, o.Kind+" "+o.Name)
		}
	}
	message := "renders no Deployment or StatefulSet named " + p.place().Workload()
	if len(have) > 0 {
		message += ", but " + strings.Join(have, ", ")
	}
	return fairway.InvalidAll([]fairway.Problem{{File: chart.DeploymentFile(p.Service, p.Colour), Message: message, Remedy: "name it " + p.place().Workload()}})
}

var separator = regexp.MustCompile(`(?m)^---[ \t]*(#.*)?\r?$\n?`)

// split reads the documents of a rendered template.
func split(file, text string, owners chart.Owners) ([]object, error) {
	var out []object
	owner, owned := owners.File(file)
	for _, doc := range separator.Split(text, -1) {
		var root yaml.Node
		err := yaml.Unmarshal([]byte(doc), &root)
		if err != nil {
			return nil, rendersBadly(file, "renders to what is not valid YAML: "+strings.TrimPrefix(err.Error(), "yaml: ")+excerpt(doc, err))
		}
		if len(root.Content) == 0 || root.Content[0].Tag == "!!null" {
			continue
		}
		n := root.Content[0]
		o := object{owner: owner, owned: owned, text: []byte(strings.Trim(doc, "\n") + "\n"), node: n, label: value(n, "metadata", "labels", "app")}
		o.Kind, o.Name, o.File = value(n, "kind"), value(n, "metadata", "name"), file
		if o.Kind == "" || o.Name == "" || value(n, "apiVersion") == "" {
			return nil, rendersBadly(file, "renders to a document without apiVersion, kind or metadata.name: "+clip(doc))
		}
		out = append(out, o)
	}
	return out, nil
}

func rendersBadly(file, message string) error {
	return fairway.InvalidAll([]fairway.Problem{{File: file, Message: message, Remedy: "correct the template or the values that it reads"}})
}

var errorLine = regexp.MustCompile(`line (\d+)`)

// excerpt returns the rendered line that the error is about, since its number
// is not that of the template.
func excerpt(doc string, err error) string {
	m := errorLine.FindStringSubmatch(err.Error())
	if m == nil {
		return ""
	}
	var n int
	if _, err := fmt.Sscan(m[1], &n); err != nil {
		return ""
	}
	lines := strings.Split(doc, "\n")
	if n < 1 || n > len(lines) {
		return ""
	}
	return " of the rendered text: " + clip(lines[n-1])
}

func clip(s string) string {
	s = strings.TrimSpace(s)
	if r := []rune(s); len(r) > 120 {
		return string(r[:120]) + "…"
	}
	return s
}

// field returns the node under the keys, or nil.
func field(n *yaml.Node, keys ...string) *yaml.Node {
	for _, key := range keys {
		if n == nil || n.Kind != yaml.MappingNode {
			return nil
		}
		i := 0
		for ; i+1 < len(n.Content) && n.Content[i].Value != key; i += 2 {
		}
		if i+1 >= len(n.Content) {
			return nil
		}
		n = n.Content[i+1]
	}
	return n
}

func value(n *yaml.Node, keys ...string) string {
	if n = field(n, keys...); n != nil && n.Kind == yaml.ScalarNode {
		return n.Value
	}
	return ""
}

// collectReferences notes the names of the objects that pods refer to.
func collectReferences(n *yaml.Node, into map[string]bool) {
	if n.Kind == yaml.MappingNode {
		for _, keys := range [][]string{{"configMapKeyRef", "name"}, {"secretKeyRef", "name"}, {"configMapRef", "name"}, {"secretRef", "name"},
			{"configMap", "name"}, {"secret", "secretName"}, {"secret", "name"}, {"claimName"}, {"serviceAccountName"}} {
			if name := value(n, keys...); name != "" {
				into[name] = true
			}
		}
	}
	for _, c := range n.Content {
		collectReferences(c, into)
	}
}

// setImage makes the artifact's container run its digest: the one with its
// image, or the first, which is the service by convention.
func setImage(o *object, a fairway.Artifact) error {
	if a.Digest == "" {
		return nil
	}
	containers := field(o.node, "spec", "template", "spec", "containers")
	if containers == nil || containers.Kind != yaml.SequenceNode || len(containers.Content) == 0 {
		return rendersBadly(o.File, o.Kind+" "+o.Name+" has no containers")
	}
	i := slices.IndexFunc(containers.Content, func(c *yaml.Node) bool {
		image, _, _ := strings.Cut(value(c, "image"), "@")
		image, _ = fairway.SplitImage(image)
		return image == a.Image
	})
	c := containers.Content[max(i, 0)]
	image := field(c, "image")
	if image == nil {
		return rendersBadly(o.File, "the first container of "+o.Kind+" "+o.Name+" has no image")
	}
	*image = yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: a.Ref(), Style: yaml.DoubleQuotedStyle}
	var b bytes.Buffer
	enc := yaml.NewEncoder(&b)
	enc.SetIndent(2)
	if err := enc.Encode(o.node); err != nil {
		return fmt.Errorf("write %s %s: %w", o.Kind, o.Name, err)
	}
	o.text = b.Bytes()
	return enc.Close()
}
