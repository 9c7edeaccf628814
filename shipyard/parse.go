package shipyard

import (
	"fmt"
	"path"
	"regexp"
	"strconv"

	"github.com/fairwaycd/fairway"
	"go.yaml.in/yaml/v3"
)

// maxStages bounds the promotion order, far above any real one.
const maxStages = 100

// registryPath is the grammar of a repository name (OCI distribution
// specification 1.1).
var registryPath = regexp.MustCompile(`^[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*(/[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*)*$`)

// Parse reads shipyard.yaml. The error is of kind invalid and holds every
// problem of the file. Defaults are not filled in.
func Parse(file string, data []byte) (fairway.Shipyard, error) {
	return ParseFor("", file, data)
}

// ParseFor reads shipyard.yaml as [Parse] does; a key project that names
// another project than the given one is a problem too.
func ParseFor(project fairway.ProjectName, file string, data []byte) (fairway.Shipyard, error) {
	r := &reader{file: file, places: map[string]*yaml.Node{}, wrong: map[string]bool{}}
	root := r.document(data)
	if root == nil {
		return fairway.Shipyard{}, r.err()
	}
	if r.laterKeptn(root) {
		return fairway.Shipyard{}, r.err()
	}
	y := r.shipyard(root, project)
	r.validate(root, y)
	if err := r.err(); err != nil {
		return fairway.Shipyard{}, err
	}
	return y, nil
}

func (r *reader) shipyard(root *yaml.Node, project fairway.ProjectName) fairway.Shipyard {
	var y fairway.Shipyard
	for _, m := range r.mapping(root, "", names(topKeys)) {
		switch m.key {
		case "project":
			if name, ok := r.text(m.value, m.field); ok {
				r.project(m, fairway.ProjectName(name), project)
			}
		case "registry":
			if text, ok := r.text(m.value, m.field); ok {
				y.Registry = text
				if len(text) > 200 || !registryPath.MatchString(text) {
					r.add(m.value, m.field, text, "is not the path of an image repository", "write lower-case letters, digits and . _ - /, without the registry's host, e.g. sockshop")
				}
			}
		case "tags":
			y.Tags = r.tags(m.value, m.field)
		case "stages":
			y.Stages = r.stages(m.value, m.field)
		}
	}
	if _, ok := r.places["stages"]; !ok {
		r.add(root, "stages", "", "is missing", "list at least one stage: stages: [{name: dev}]")
	}
	return y
}

func (r *reader) project(m entry, name, want fairway.ProjectName) {
	if err := name.Validate(); err != nil {
		p := fairway.Problems(err)[0]
		r.add(m.value, m.field, string(name), p.Message, p.Remedy)
	} else if want != "" && name != want {
		r.add(m.value, m.field, string(name), "is another project than "+string(want), "remove the key, or write "+string(want))
	}
}

func (r *reader) tags(n *yaml.Node, field string) []string {
	if !r.is(n, yaml.SequenceNode, field, "write a list: ['[0-9]*']") {
		return nil
	}
	if len(n.Content) == 0 {
		r.add(n, field, "", "is empty, so that no tag would start a delivery", "list a pattern, or remove the key for every tag but latest")
	}
	var tags []string
	for i, item := range n.Content {
		at := field + "[" + strconv.Itoa(i) + "]"
		text, ok := r.text(item, at)
		if !ok {
			continue
		}
		if _, err := path.Match(text, ""); err != nil || text == "" {
			r.add(item, at, text, "is not a pattern", "write a shell pattern such as v* or [0-9]*")
		}
		tags = append(tags, text)
	}
	return tags
}

func (r *reader) stages(n *yaml.Node, field string) []fairway.Stage {
	if !r.is(n, yaml.SequenceNode, field, "write a list, each stage starting with - name:") {
		return nil
	}
	if len(n.Content) > maxStages {
		r.add(n, field, "", fmt.Sprintf("has %d entries", len(n.Content)), fmt.Sprintf("keep at most %d stages", maxStages))
		return nil
	}
	stages := make([]fairway.Stage, len(n.Content))
	for i, item := range n.Content {
		at := field + "[" + strconv.Itoa(i) + "]"
		r.places[at] = item
		if !r.is(item, yaml.MappingNode, at, "write - name: "+offer(item.Value, "dev")+" and the stage's other keys below it") {
			continue
		}
		for _, m := range r.mapping(item, at, names(stageKeys)) {
			text, ok := r.text(m.value, m.field)
			if ok && text == "" && m.key != "test_strategy" {
				r.add(m.value, m.field, "", "is empty", "write a value, or remove the key")
			}
			stageField(&stages[i], m.key).SetString(text)
		}
		if _, ok := r.places[at+".name"]; !ok {
			r.add(item, at+".name", "", "is missing", "give the stage a name, e.g. name: dev")
		}
	}
	return stages
}

// offer returns the word that stands where a stage should, if it can be a name.
func offer(word, otherwise string) string {
	if fairway.StageName(word).Validate() == nil {
		return word
	}
	return otherwise
}

var stageEntry = regexp.MustCompile(`^(stages\[[0-9]+\])\.([a-z_]+)$`)

// validate adds what the vocabulary finds wrong, with the place of each. What
// follows from a problem that is known already is left out.
func (r *reader) validate(root *yaml.Node, y fairway.Shipyard) {
	if r.wrong["stages"] {
		return
	}
	for _, p := range fairway.Problems(y.Validate()) {
		at := r.places[p.Field]
		if m := stageEntry.FindStringSubmatch(p.Field); m != nil {
			stage, key := m[1], m[2]
			if r.wrong[stage] || r.wrong[p.Field] {
				continue
			}
			// The namespace is the name where it is not written.
			if at == nil && key == "namespace" && r.wrong[stage+".name"] {
				continue
			}
			for _, instead := range []string{stage + ".name", stage} {
				if at == nil {
					at = r.places[instead]
				}
			}
			if near := fairway.Nearest(p.Value, named(fairway.Allowed()[key])); near != "" {
				p.Remedy = "did you mean " + near + "? " + p.Remedy
			}
		}
		if at == nil {
			at = root
		}
		r.add(at, p.Field, p.Value, p.Message, p.Remedy)
	}
}
