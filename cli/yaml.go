package cli

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode"

	"go.yaml.in/yaml/v3"
)

// writeYAML writes what writeJSON writes, keys and their order included, as
// YAML.
func writeYAML(w io.Writer, value any) error {
	var b bytes.Buffer
	if err := writeJSON(&b, value); err != nil {
		return err
	}
	d := json.NewDecoder(&b)
	d.UseNumber()
	doc, err := yamlNode(d)
	if err != nil {
		return fmt.Errorf("write YAML: %w", err)
	}
	e := yaml.NewEncoder(w)
	e.SetIndent(2)
	if err := e.Encode(doc); err != nil {
		return fmt.Errorf("write YAML: %w", err)
	}
	return e.Close()
}

// yamlNode reads one JSON value. YAML's own parser would read most JSON too,
// but it refuses characters that JSON allows in text.
func yamlNode(d *json.Decoder) (*yaml.Node, error) {
	t, err := d.Token()
	if err != nil {
		return nil, err
	}
	switch t := t.(type) {
	case json.Delim:
		n := &yaml.Node{Kind: yaml.SequenceNode, Tag: "!!seq"}
		if t == '{' {
			n = &yaml.Node{Kind: yaml.MappingNode, Tag: "!!map"}
		}
		for d.More() {
			child, err := yamlNode(d) // a key is a text like any other
			if err != nil {
				return nil, err
			}
			n.Content = append(n.Content, child)
		}
		_, err := d.Token() // the closing bracket
		return n, err
	case string:
		n := &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: t}
		if needsQuotes(t) {
			n.Style = yaml.DoubleQuotedStyle
		}
		return n, nil
	case nil:
		return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!null", Value: "null"}, nil
	case bool:
		return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!bool", Value: fmt.Sprint(t)}, nil
	case json.Number:
		tag := "!!int"
		if strings.ContainsAny(t.String(), ".eE") {
			tag = "!!float"
		}
		return &yaml.Node{Kind: yaml.ScalarNode, Tag: tag, Value: t.String()}, nil
	}
	return nil, fmt.Errorf("%T in JSON", t)
}

// needsQuotes reports whether some reader of YAML would not take the bare
// text as this text: numbers, dates, the many words for true, null, and
// characters that do not print.
func needsQuotes(s string) bool {
	if s == "" || s[0] >= '0' && s[0] <= '9' || strings.ContainsAny(s[:1], "+-.~<=") {
		return true
	}
	if slices.Contains([]string{"y", "n", "yes", "no", "on", "off", "true", "false", "null"}, strings.ToLower(s)) {
		return true
	}
	return strings.ContainsFunc(s, func(r rune) bool { return !unicode.IsPrint(r) && r != '\n' })
}
