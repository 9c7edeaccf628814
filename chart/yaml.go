package chart

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/fairwaycd/fairway"
	"github.com/fairwaycd/fairway/internal/yamlline"
)

// What a document may hold: values that its aliases stand for, and levels.
const (
	maxAliased = 10_000
	maxDepth   = 100
)

// parse reads the one document of a file. The root is a mapping with unique
// keys, without aliases, merges and anchors; it is empty for an empty file.
func parse(file string, data []byte) (*yaml.Node, error) {
	docs, err := documents(file, data)
	if err != nil {
		return nil, err
	}
	if len(docs) > 1 {
		return nil, problemAt(file, docs[1], "", "begins a second document", "write one document, without ---")
	}
	if len(docs) == 0 || isNull(docs[0]) {
		return &yaml.Node{Kind: yaml.MappingNode, Tag: "!!map", Line: 1, Column: 1}, nil
	}
	if docs[0].Kind != yaml.MappingNode {
		return nil, problemAt(file, docs[0], "", "is not a list of keys and values", "write KEY: VALUE lines")
	}
	e := expander{file: file}
	root, err := e.plain(docs[0], false, 0)
	if err != nil {
		return nil, err
	}
	return root, unique(file, root, "")
}

// documents reads all documents of a file.
func documents(file string, data []byte) ([]*yaml.Node, error) {
	docs, err := decodeAll(data)
	if err != nil {
		return nil, syntaxError(file, data, err)
	}
	return docs, nil
}

func decodeAll(data []byte) ([]*yaml.Node, error) {
	var docs []*yaml.Node
	dec := yaml.NewDecoder(bytes.NewReader(data))
	for {
		var doc yaml.Node
		err := dec.Decode(&doc)
		if errors.Is(err, io.EOF) {
			return docs, nil
		}
		if err != nil {
			return nil, err
		}
		if len(doc.Content) == 1 {
			docs = append(docs, doc.Content[0])
		}
	}
}

var yamlLine = regexp.MustCompile(`^yaml: (?:line \d+: )?(.*)$`)

func syntaxError(file string, data []byte, err error) error {
	p := fairway.Problem{File: file, Message: "is not valid YAML: " + err.Error(), Remedy: "correct the indentation, quotes and brackets near this line"}
	if m := yamlLine.FindStringSubmatch(err.Error()); m != nil {
		p.Message = "is not valid YAML: " + m[1]
	}
	p.Line = yamlline.Of(data, func(part []byte) error {
		_, err := decodeAll(part)
		return err
	})
	return fairway.InvalidAll([]fairway.Problem{p})
}

func problemAt(file string, n *yaml.Node, field, message, remedy string) error {
	return fairway.InvalidAll([]fairway.Problem{problem(file, n, field, message, remedy)})
}

func problem(file string, n *yaml.Node, field, message, remedy string) fairway.Problem {
	p := fairway.Problem{File: file, Field: field, Message: message, Remedy: remedy}
	if n != nil {
		p.Line, p.Column, p.Value = n.Line, n.Column, n.Value
	}
	return p
}

// expander writes aliases and merges out.
type expander struct {
	file    string
	aliased int // nodes so far that aliases stand for
}

// plain returns a copy of the node without aliases, merges and anchors.
// aliased says that the node is reached through an alias.
func (e *expander) plain(n *yaml.Node, aliased bool, depth int) (*yaml.Node, error) {
	if aliased {
		e.aliased++
	}
	if e.aliased > maxAliased || depth > maxDepth {
		return nil, problemAt(e.file, n, "", fmt.Sprintf("has more than %d levels, or aliases for more than %d values", maxDepth, maxAliased), "write it flatter and with fewer aliases")
	}
	if n.Kind == yaml.AliasNode {
		return e.plain(n.Alias, true, depth+1)
	}
	c := *n
	c.Anchor, c.Content = "", nil
	var merged []*yaml.Node
	for i, child := range n.Content {
		p, err := e.plain(child, aliased, depth+1)
		if err != nil {
			return nil, err
		}
		if n.Kind == yaml.MappingNode && i%2 == 1 && n.Content[i-1].Tag == "!!merge" {
			c.Content = c.Content[:len(c.Content)-1]
			merged = append(merged, p)
			continue
		}
		c.Content = append(c.Content, p)
	}
	for _, m := range merged {
		mergeInto(&c, m)
	}
	return &c, nil
}

// mergeInto adds the keys of from, or of each mapping in it, that c lacks.
func mergeInto(c, from *yaml.Node) {
	if from.Kind == yaml.SequenceNode {
		for _, m := range from.Content {
			mergeInto(c, m)
		}
		return
	}
	for i := 0; i+1 < len(from.Content); i += 2 {
		if get(c, from.Content[i].Value) == nil {
			c.Content = append(c.Content, from.Content[i], from.Content[i+1])
		}
	}
}

// unique refuses mappings with a key twice, and keys that are not scalars.
func unique(file string, n *yaml.Node, at string) error {
	if n.Kind != yaml.MappingNode {
		for i, c := range n.Content {
			if err := unique(file, c, at+"["+strconv.Itoa(i)+"]"); err != nil {
				return err
			}
		}
		return nil
	}
	seen := map[string]int{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		k := n.Content[i]
		if k.Kind != yaml.ScalarNode {
			return problemAt(file, k, at, "has a key that is not a single word", "write KEY: VALUE; a {{ template }} has no effect in this file")
		}
		field := strings.TrimPrefix(at+"."+k.Value, ".")
		if line, ok := seen[k.Value]; ok {
			return problemAt(file, k, field, fmt.Sprintf("stands in line %d already", line), "remove one of the two")
		}
		seen[k.Value] = k.Line
		if err := unique(file, n.Content[i+1], field); err != nil {
			return err
		}
	}
	return nil
}

// get returns the node under the keys, or nil.
func get(n *yaml.Node, keys ...string) *yaml.Node {
	for _, key := range keys {
		if n == nil || n.Kind != yaml.MappingNode {
			return nil
		}
		var next *yaml.Node
		for i := 0; i+1 < len(n.Content); i += 2 {
			if n.Content[i].Value == key {
				next = n.Content[i+1]
				break
			}
		}
		n = next
	}
	return n
}

// set puts the value under the keys, making mappings on the way.
func set(n *yaml.Node, value *yaml.Node, keys ...string) {
	key, rest := keys[0], keys[1:]
	child := get(n, key)
	if child == nil {
		child = &yaml.Node{}
		n.Content = append(n.Content, &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: key}, child)
	}
	if len(rest) == 0 {
		comment := child.LineComment
		*child = *value
		child.LineComment = comment
		return
	}
	if child.Kind != yaml.MappingNode {
		*child = yaml.Node{Kind: yaml.MappingNode, Tag: "!!map"}
	}
	set(child, value, rest...)
}

// drop removes the key from the mapping.
func drop(n *yaml.Node, key string) {
	for i := 0; i+1 < len(n.Content); i += 2 {
		if n.Content[i].Value == key {
			n.Content = slices.Delete(n.Content, i, i+2)
			return
		}
	}
}

func isNull(n *yaml.Node) bool {
	return n == nil || n.Kind == yaml.ScalarNode && n.Tag == "!!null"
}

func textNode(s string) *yaml.Node {
	return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: s, Style: yaml.DoubleQuotedStyle}
}

func wordNode(s string) *yaml.Node {
	return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: s}
}

func intNode(i int) *yaml.Node {
	return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!int", Value: strconv.Itoa(i)}
}

func nullNode() *yaml.Node { return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!null", Value: "null"} }

// quote makes a scalar the text that it was written as, also for Helm, which
// reads YAML 1.1: there yes is true. It reports whether that changed anything.
func quote(n *yaml.Node) bool {
	if n == nil || n.Kind != yaml.ScalarNode || n.Tag == "!!null" || n.Style&(yaml.DoubleQuotedStyle|yaml.SingleQuotedStyle) != 0 {
		return false
	}
	n.Tag, n.Style = "!!str", yaml.DoubleQuotedStyle
	return true
}

func encode(n *yaml.Node) ([]byte, error) {
	var b bytes.Buffer
	enc := yaml.NewEncoder(&b)
	enc.SetIndent(2)
	if err := enc.Encode(n); err != nil {
		return nil, fmt.Errorf("write YAML: %w", err)
	}
	return b.Bytes(), enc.Close()
}

// clone returns a deep copy of a node without aliases.
func clone(n *yaml.Node) *yaml.Node {
	c := *n
	c.Content = make([]*yaml.Node, len(n.Content))
	for i, child := range n.Content {
		c.Content[i] = clone(child)
	}
	return &c
}

// equal reports whether both nodes hold the same values.
func equal(a, b *yaml.Node) bool {
	if a == nil || b == nil {
		return a == b
	}
	if a.Kind != b.Kind || a.Tag != b.Tag || a.Kind == yaml.ScalarNode && a.Value != b.Value {
		return false
	}
	if a.Kind == yaml.MappingNode {
		return maps.EqualFunc(fields(a), fields(b), equal)
	}
	return slices.EqualFunc(a.Content, b.Content, equal)
}

func fields(n *yaml.Node) map[string]*yaml.Node {
	m := make(map[string]*yaml.Node, len(n.Content)/2)
	for i := 0; i+1 < len(n.Content); i += 2 {
		m[n.Content[i].Value] = n.Content[i+1]
	}
	return m
}
