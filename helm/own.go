package helm

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"path"
	"regexp"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
	helmchart "helm.sh/helm/v3/pkg/chart"
	"helm.sh/helm/v3/pkg/chart/loader"
	"helm.sh/helm/v3/pkg/chartutil"

	"github.com/fairwaycd/fairway"
	"github.com/fairwaycd/fairway/chart"
)

// random finds the functions that give something else at every call.
var random = regexp.MustCompile(`\b(rand(AlphaNum|Alpha|Numeric|Ascii|Bytes|Int)|uuidv4|shuffle|now|ago|date|dateInZone|htmlDate|htmlDateInZone|gen(PrivateKey|CA|CAWithKey|SelfSignedCert|SelfSignedCertWithKey|SignedCert|SignedCertWithKey)|bcrypt|htpasswd|encryptAES)\b`)

// isRandom reports whether a template, or a value that one may take for a
// template, could render otherwise the next time.
func isRandom(files map[string][]byte, service fairway.ServiceName) bool {
	for name, body := range files {
		in := strings.HasPrefix(name, chart.Dir+"/") || strings.HasPrefix(name, chart.OwnDir(service)+"/")
		if in && random.Match(body) {
			return true
		}
	}
	return false
}

// renderOwn renders the service's own chart for the colour.
func renderOwn(ctx context.Context, files map[string][]byte, own chart.Own, r Release) ([]*object, error) {
	c, err := loadOwn(files, own, r)
	if err != nil {
		return nil, err
	}
	values, err := ownValues(c, own, r)
	if err != nil {
		return nil, err
	}
	texts, err := execute(ctx, source{chart: c.Name(), dir: own.Dir}, c, values, r.MaxOutput)
	if err != nil {
		return nil, err
	}
	for _, crd := range c.CRDObjects() {
		texts[own.Dir+"/"+crd.Filename] += "\n---\n" + string(crd.File.Data)
	}
	all, err := ownObjects(texts)
	if err != nil {
		return nil, err
	}
	if !slices.ContainsFunc(all, (*object).isWorkload) {
		return nil, fairway.InvalidAll([]fairway.Problem{{File: own.Dir + "/templates", Message: "render no Deployment or StatefulSet", Remedy: "switch one on in the values, or bring a chart that has one"}})
	}
	if r.Artifact.Image != "" {
		if err := useArtifact(all, own, r.Artifact); err != nil {
			return nil, err
		}
	}
	return all, colourise(all, r)
}

func loadOwn(files map[string][]byte, own chart.Own, r Release) (*helmchart.Chart, error) {
	given := map[string][]byte{}
	for name, body := range files {
		if rest, ok := strings.CutPrefix(name, own.Dir+"/"); ok {
			given[rest] = body
		}
	}
	given, err := unpacked(given, &limit{name: own.Dir}, 0)
	if err != nil {
		return nil, err
	}
	var list []*loader.BufferedFile
	for _, name := range slices.Sorted(maps.Keys(given)) {
		data := given[name]
		if strings.HasPrefix(name, "templates/") || strings.Contains(name, "/templates/") {
			data = metered(name, data)
		}
		if path.Base(name) == "values.schema.json" {
			if err := localSchema(own.Dir+"/"+name, data); err != nil {
				return nil, err
			}
		}
		list = append(list, &loader.BufferedFile{Name: name, Data: data})
	}
	c, err := loader.LoadFiles(list)
	if err != nil {
		return nil, cannotLoad(own.Dir, err)
	}
	if c.Metadata.Type == "library" {
		return nil, fairway.InvalidAll([]fairway.Problem{{File: own.Dir + "/Chart.yaml", Field: "type", Value: "library", Message: "is a chart that nothing can be installed from", Remedy: "name the chart that uses it"}})
	}
	if err := compatible(c, own.Dir, r.KubeVersion); err != nil {
		return nil, err
	}
	return c, complete(c, own.Dir)
}

// complete reports the charts that are depended on and are not there.
func complete(c *helmchart.Chart, dir string) error {
	var ps []fairway.Problem
	for _, want := range c.Metadata.Dependencies {
		if want == nil || slices.ContainsFunc(c.Dependencies(), func(have *helmchart.Chart) bool { return have.Name() == want.Name }) {
			continue
		}
		ps = append(ps, fairway.Problem{File: dir + "/Chart.yaml", Field: "dependencies", Value: want.Name, Message: "is not in the chart's directory charts",
			Remedy: "run helm dependency build in the chart, and onboard it with what that puts into charts/"})
	}
	return fairway.InvalidAll(ps)
}

// localSchema refuses a schema that refers to what lies elsewhere, which
// Helm would read from this machine or from the network.
func localSchema(file string, data []byte) error {
	var doc any
	if err := json.Unmarshal(data, &doc); err != nil {
		return fairway.InvalidAll([]fairway.Problem{{File: file, Message: "is not valid JSON: " + err.Error(), Remedy: "correct it, or remove it"}})
	}
	if ref := foreignRef(doc); ref != "" {
		return fairway.InvalidAll([]fairway.Problem{{File: file, Field: "$ref", Value: ref, Message: "leads out of the file", Remedy: "copy what it names into definitions of this file, and write #/definitions/NAME"}})
	}
	return nil
}

func foreignRef(n any) string {
	switch n := n.(type) {
	case []any:
		for _, c := range n {
			if ref := foreignRef(c); ref != "" {
				return ref
			}
		}
	case map[string]any:
		for _, key := range slices.Sorted(maps.Keys(n)) {
			text, isText := n[key].(string)
			switch {
			case isText && strings.HasSuffix(strings.ToLower(key), "ref") && strings.HasPrefix(key, "$") && !strings.HasPrefix(text, "#"):
				return text
			case isText && key == "$schema" && !strings.Contains(text, "://json-schema.org/"):
				return text
			}
			if ref := foreignRef(n[key]); ref != "" {
				return ref
			}
		}
	}
	return ""
}

func ownValues(c *helmchart.Chart, own chart.Own, r Release) (chartutil.Values, error) {
	vals, err := chartutil.ReadValues(own.Values)
	if err != nil {
		return nil, fairway.InvalidAll([]fairway.Problem{{File: chart.ValuesFile, Field: chart.Key(r.Service) + ".values", Message: "cannot be read: " + err.Error(), Remedy: "correct the values"}})
	}
	caps, err := r.capabilities()
	if err != nil {
		return nil, err
	}
	if err := chartutil.ProcessDependencies(c, vals); err != nil {
		return nil, fairway.InvalidAll([]fairway.Problem{{File: own.Dir + "/Chart.yaml", Field: "dependencies", Message: "cannot be resolved: " + err.Error(), Remedy: "correct their conditions, tags and import-values"}})
	}
	options := chartutil.ReleaseOptions{Name: string(r.Service), Namespace: string(r.Namespace), Revision: 1, IsInstall: true}
	values, err := chartutil.ToRenderValues(c, vals, options, caps)
	if err != nil {
		return nil, fairway.InvalidAll([]fairway.Problem{{File: chart.ValuesFile, Field: chart.Key(r.Service) + ".values", Message: "do not fit the chart: " + strings.TrimSpace(err.Error()), Remedy: "correct the values, or the chart's values.schema.json"}})
	}
	return values, nil
}

// ownObjects reads the chart's documents; a List is what it lists.
func ownObjects(texts map[string]string) ([]*object, error) {
	listed := maps.Clone(texts)
	for file, text := range texts {
		if strings.Contains(text, "kind: List") {
			listed[file] = withoutLists(text)
		}
	}
	flat, err := splitAll(listed, chart.Owners{})
	if err != nil {
		return nil, err
	}
	all := make([]*object, len(flat))
	for i := range flat {
		all[i] = &flat[i]
		e := expander{}
		if all[i].node, err = e.expand(flat[i].node, 0); err != nil {
			return nil, rendersBadly(flat[i].File, flat[i].Kind+" "+flat[i].Name+" "+err.Error())
		}
		all[i].changed = e.aliases > 0
	}
	return all, nil
}

// withoutLists writes the items of each List as documents of their own. What
// cannot be read is left for whoever reads it next to complain about.
func withoutLists(text string) string {
	var out []string
	for _, doc := range separator.Split(text, -1) {
		var root yaml.Node
		if yaml.Unmarshal([]byte(doc), &root) != nil || len(root.Content) == 0 || value(root.Content[0], "kind") != "List" {
			out = append(out, doc)
			continue
		}
		for _, item := range items(field(root.Content[0], "items")) {
			o := object{node: item, changed: true}
			if body, err := o.document(); err == nil {
				out = append(out, string(body))
			}
		}
	}
	return strings.Join(out, "\n---\n")
}

// maxNodes bounds what a document's aliases may stand for.
const maxNodes = 100_000

// expander writes aliases out, so that each mention can be changed by itself.
type expander struct{ nodes, aliases int }

func (e *expander) expand(n *yaml.Node, depth int) (*yaml.Node, error) {
	if e.nodes++; e.nodes > maxNodes || depth > 200 {
		return nil, fmt.Errorf("has more than %d values, or 200 levels", maxNodes)
	}
	if n.Kind == yaml.AliasNode {
		e.aliases++
		return e.expand(n.Alias, depth+1)
	}
	c := *n
	c.Anchor, c.Content = "", make([]*yaml.Node, len(n.Content))
	for i, child := range n.Content {
		var err error
		if c.Content[i], err = e.expand(child, depth+1); err != nil {
			return nil, err
		}
	}
	return &c, nil
}

// useArtifact makes every container that runs the artifact's tag run its
// digest, and refuses a chart of whose workloads none does.
func useArtifact(all []*object, own chart.Own, a fairway.Artifact) error {
	used := false
	var others []string
	for _, o := range all {
		for _, c := range o.containers() {
			image := field(c, "image")
			if image == nil {
				continue
			}
			if image.Value != a.String() {
				others = append(others, o.Kind+" "+o.Name+" runs "+image.Value)
				continue
			}
			used = used || o.isWorkload()
			if a.Digest != "" {
				*image = text(a.Ref())
				o.changed = true
			}
		}
	}
	if used {
		return nil
	}
	return fairway.InvalidAll([]fairway.Problem{{File: own.Dir + "/templates", Field: strings.Join(own.ImageValues, ","), Value: a.String(),
		Message: "is what the image was set to, but no Deployment or StatefulSet runs it" + listOf(others),
		Remedy:  "name the values that take the image and its tag: --image-values image.repository,image.tag, or one path that takes IMAGE:TAG; a registry that is put before it has to be emptied in --values"}})
}

func listOf(others []string) string {
	if len(others) == 0 {
		return ""
	}
	return ": " + strings.Join(others[:min(len(others), 5)], ", ")
}

// ownRendered sorts the chart's objects out.
func ownRendered(all []*object, traffic []object) (Rendered, error) {
	slices.SortStableFunc(all, func(a, b *object) int {
		return cmp.Or(cmp.Compare(ownRank(a), ownRank(b)), cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Name, b.Name))
	})
	var out Rendered
	for _, o := range traffic {
		o.Shared = true
		out.Objects = append(out.Objects, o.Object)
		out.Shared = append(out.Shared, o.text)
	}
	seen := map[string]string{}
	for _, o := range all {
		id := o.Kind + " " + o.Name
		if file, twice := seen[id]; twice && !o.isHook() {
			return Rendered{}, rendersBadly(o.File, fmt.Sprintf("renders %s, which %s renders too", id, file))
		}
		seen[id] = o.File
		text, err := o.document()
		if err != nil {
			return Rendered{}, err
		}
		out.Objects = append(out.Objects, o.Object)
		if o.Shared {
			out.Single = append(out.Single, text)
			continue
		}
		out.Manifests = append(out.Manifests, text)
	}
	return out, nil
}

// ownRank puts first what others need: definitions, then what pods need.
func ownRank(o *object) int {
	switch {
	case o.Kind == "CustomResourceDefinition":
		return -2
	case o.Kind == "Namespace":
		return -1
	}
	return rank(o.Kind)
}
