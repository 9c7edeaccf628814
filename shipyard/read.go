package shipyard

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/fairwaycd/fairway"
	"github.com/fairwaycd/fairway/internal/yamlline"
	"go.yaml.in/yaml/v3"
)

// Bounds of a file, so that a hostile one costs no more than a large one.
const (
	maxSize     = 1 << 20 // bytes
	maxDepth    = 20      // lists and mappings within each other
	maxProblems = 100     // reported at once
)

// reader collects the problems of one file and remembers where its fields are.
type reader struct {
	file     string
	problems []fairway.Problem
	more     int                   // problems beyond maxProblems
	places   map[string]*yaml.Node // by field
	wrong    map[string]bool       // fields with a problem
}

// add adds a problem of a field's value, which makes further ones of the same
// field not worth telling.
func (r *reader) add(n *yaml.Node, field, value, message, remedy string) {
	r.wrong[field] = true
	r.note(n, field, value, message, remedy)
}

// note adds a problem that says nothing about the field's value.
func (r *reader) note(n *yaml.Node, field, value, message, remedy string) {
	if len(r.problems) >= maxProblems {
		r.more++
		return
	}
	r.problems = append(r.problems, fairway.Problem{File: r.file, Line: n.Line, Column: n.Column, Field: field, Value: value, Message: message, Remedy: remedy})
}

// err returns all problems in the order of the file.
func (r *reader) err() error {
	slices.SortStableFunc(r.problems, func(a, b fairway.Problem) int {
		if a.Line != b.Line {
			return a.Line - b.Line
		}
		return a.Column - b.Column
	})
	if r.more > 0 {
		r.problems = append(r.problems, fairway.Problem{File: r.file, Message: fmt.Sprintf("has %d more problems", r.more), Remedy: "correct those above first"})
	}
	return fairway.InvalidAll(r.problems)
}

// document returns the file's only document, a mapping without anchors and of
// bounded depth, or nil and a problem.
func (r *reader) document(data []byte) *yaml.Node {
	start := &yaml.Node{Line: 1, Column: 1}
	switch {
	case len(data) > maxSize:
		r.add(start, "", "", "is larger than 1 MB", "keep only the shipyard's keys in it")
		return nil
	case !utf8.Valid(data):
		r.add(start, "", "", "is not UTF-8", "save it as UTF-8")
		return nil
	}
	dec := yaml.NewDecoder(bytes.NewReader(data))
	var doc, second yaml.Node
	err := dec.Decode(&doc)
	switch {
	case errors.Is(err, io.EOF), err == nil && empty(doc.Content[0]):
		r.add(start, "", "", "is empty", "write at least stages: [{name: dev}]")
		return nil
	case err != nil:
		r.syntax(data, err)
		return nil
	}
	if err := dec.Decode(&second); err == nil {
		r.add(second.Content[0], "", "", "is a second document in the file", "keep one document and remove the line ---")
		return nil
	} else if !errors.Is(err, io.EOF) {
		r.syntax(data, err)
		return nil
	}
	root := doc.Content[0]
	if !r.is(root, yaml.MappingNode, "", "start with stages:") || !r.bounded(root, 0) {
		return nil
	}
	return root
}

func empty(n *yaml.Node) bool { return n.Kind == yaml.ScalarNode && n.Tag == "!!null" }

var yamlError = regexp.MustCompile(`^yaml: (?:line ([0-9]+): )?`)

// syntax reports an error of the YAML parser at the line that it cannot take.
func (r *reader) syntax(data []byte, err error) {
	at, text := &yaml.Node{Line: 1}, err.Error()
	if m := yamlError.FindStringSubmatch(text); m != nil {
		text = text[len(m[0]):]
	}
	at.Line = max(yamlline.Of(data, readAll), 1)
	remedy := "correct it here or in the line before; check colons, quotation marks and indentation"
	if bytes.HasPrefix(data, []byte("\t")) || bytes.Contains(data, []byte("\n\t")) {
		remedy = "indent with spaces; tabs are not allowed"
	}
	r.add(at, "", "", "is not YAML: "+text, remedy)
}

// readAll reports what the parser cannot read.
func readAll(data []byte) error {
	for dec := yaml.NewDecoder(bytes.NewReader(data)); ; {
		var doc yaml.Node
		if err := dec.Decode(&doc); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
	}
}

// bounded refuses what makes a small file mean a large one, or another thing
// than it shows: anchors, aliases, merge keys, tags, great depth.
func (r *reader) bounded(n *yaml.Node, depth int) bool {
	switch {
	case n.Kind == yaml.AliasNode:
		r.note(n, "", "", "is the alias *"+n.Value, "write the value out")
	case n.Anchor != "":
		r.note(n, "", "", "is the anchor &"+n.Anchor, "write the value out where it is used")
	case n.Style&yaml.TaggedStyle != 0 && n.Tag != "!!str":
		r.note(n, "", "", "is the tag "+n.Tag, "remove it; every value is read as the text that is written")
	case depth >= maxDepth:
		r.note(n, "", "", fmt.Sprintf("is nested more than %d levels deep", maxDepth), "remove the nesting")
	default:
		good := true
		for _, child := range n.Content {
			good = r.bounded(child, depth+1) && good
		}
		return good
	}
	return false
}

// entry is one key of a mapping.
type entry struct {
	key, field string
	value      *yaml.Node
}

// mapping returns the known keys of a mapping and finds unknown and repeated
// ones.
func (r *reader) mapping(n *yaml.Node, field string, known []string) []entry {
	var entries []entry
	for i := 0; i+1 < len(n.Content); i += 2 {
		k, v := n.Content[i], n.Content[i+1]
		at := join(field, k.Value)
		switch _, seen := r.places[at]; {
		case k.Kind != yaml.ScalarNode:
			r.add(k, join(field, "?"), "", "is a key that is "+kindName(k), "write one of the keys "+strings.Join(known, ", "))
		case !slices.Contains(known, k.Value) && len(r.problems) >= maxProblems:
			r.more++ // a remedy that nobody will read is not worth looking for
		case !slices.Contains(known, k.Value):
			r.add(k, at, "", "is not a key of a shipyard", unknown(k.Value, known, "use one of "))
		case seen:
			r.note(k, at, "", "is there twice", "keep one of them")
		default:
			r.places[at] = v
			entries = append(entries, entry{key: k.Value, field: at, value: v})
		}
	}
	return entries
}

func join(field, key string) string {
	if field == "" {
		return key
	}
	return field + "." + key
}

// is reports whether n is of that kind; if not, that is a problem.
func (r *reader) is(n *yaml.Node, kind yaml.Kind, field, remedy string) bool {
	if n.Kind == kind {
		return true
	}
	value := ""
	if n.Kind == yaml.ScalarNode {
		value = n.Value
	}
	r.add(n, field, value, "is "+kindName(n), remedy)
	return false
}

func kindName(n *yaml.Node) string {
	switch {
	case n.Kind == yaml.SequenceNode:
		return "a list"
	case n.Kind == yaml.MappingNode:
		return "a mapping"
	case empty(n):
		return "without a value"
	}
	return "text"
}

// text returns a scalar as it is written: 1.0, 007 and off stay what they are.
func (r *reader) text(n *yaml.Node, field string) (string, bool) {
	if empty(n) {
		r.add(n, field, "", "has no value", "write one, or remove the key")
		return "", false
	}
	if !r.is(n, yaml.ScalarNode, field, "write a single value") {
		return "", false
	}
	return n.Value, true
}

// unknown says what to write instead of a word that is none of the known ones.
func unknown(word string, known []string, verb string) string {
	all := verb + strings.Join(known, ", ")
	if near := fairway.Nearest(word, known); near != "" {
		return "did you mean " + near + "? " + all
	}
	return all
}
