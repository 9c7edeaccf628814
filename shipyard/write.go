package shipyard

import (
	"bytes"
	"encoding/json"
	"fmt"

	"github.com/fairwaycd/fairway"
	"github.com/invopop/jsonschema"
	"go.yaml.in/yaml/v3"
)

// file is shipyard.yaml as it is written.
type file struct {
	Project  fairway.ProjectName `yaml:"project,omitempty"`
	Registry string              `yaml:"registry,omitempty"`
	Tags     []string            `yaml:"tags,omitempty"`
	Stages   []fairway.Stage     `yaml:"stages"`
}

// Marshal returns the canonical text of a shipyard: keys in a fixed order, what
// is not set left out, text that looks like something else quoted. [Parse]
// gives the same shipyard back. The project may be empty.
func Marshal(y fairway.Shipyard, project fairway.ProjectName) ([]byte, error) {
	var b bytes.Buffer
	enc := yaml.NewEncoder(&b)
	enc.SetIndent(2)
	if err := enc.Encode(file{project, y.Registry, y.Tags, y.Stages}); err != nil {
		return nil, fmt.Errorf("write the shipyard: %w", err)
	}
	if err := enc.Close(); err != nil {
		return nil, fmt.Errorf("write the shipyard: %w", err)
	}
	return b.Bytes(), nil
}

// document is what the schema describes.
type document struct {
	Project fairway.ProjectName `json:"project,omitempty"`
	fairway.Shipyard
}

// Schema returns the JSON schema (draft 2020-12) of shipyard.yaml, generated
// from the types that it is read into.
func Schema() ([]byte, error) {
	r := &jsonschema.Reflector{Anonymous: true, DoNotReference: true}
	s := r.Reflect(document{})
	s.Title = "shipyard.yaml"
	s.Description = "A Fairway project's delivery plan."
	for _, k := range topKeys {
		describe(s, k)
	}
	list, ok := s.Properties.Get("stages")
	if !ok || list.Items == nil {
		return nil, fairway.Errorf(fairway.KindInternal, "the schema of a shipyard has no stages")
	}
	least := uint64(1)
	list.MinItems = &least
	if tags, ok := s.Properties.Get("tags"); ok {
		tags.MinItems = &least
	}
	for _, k := range stageKeys {
		p := describe(list.Items, k)
		if p == nil {
			return nil, fairway.Errorf(fairway.KindInternal, "the schema of a stage has no key %s", k.name)
		}
		for _, v := range fairway.Allowed()[k.name] {
			p.Enum = append(p.Enum, v)
		}
		if k.def == "" {
			p.Default = defaultOf(k.name)
		}
		if k.name == "previous" { // 0 is a number to whoever reads YAML by types
			p.Type, p.AnyOf = "", []*jsonschema.Schema{{Type: "string"}, {Type: "integer", Enum: []any{0}}}
		}
	}
	text, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("write the schema of a shipyard: %w", err)
	}
	return append(text, '\n'), nil
}

func describe(s *jsonschema.Schema, k key) *jsonschema.Schema {
	p, ok := s.Properties.Get(k.name)
	if !ok {
		return nil
	}
	p.Description = k.meaning
	return p
}
