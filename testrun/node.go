package testrun

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/fairwaycd/fairway"
	"github.com/fairwaycd/fairway/internal/yamlline"
)

// maxFile bounds a test file in bytes.
const maxFile = 1 << 20

// reader walks a YAML document by a fixed schema and collects everything that
// is wrong with it, so that a person mends a file once and not error by error.
type reader struct {
	file     string
	problems []fairway.Problem
}

// key is one key that a mapping may have.
type key struct {
	name string
	read func(n *yaml.Node, path string)
}

func (r *reader) err() error { return fairway.InvalidAll(r.problems) }

// wrong notes a problem with the value n of the key at path.
func (r *reader) wrong(n *yaml.Node, path, message, remedy string) {
	r.wrongKey(n, path, message, remedy)
	if n.Kind == yaml.ScalarNode {
		r.problems[len(r.problems)-1].Value = n.Value
	}
}

// wrongKey notes a problem with the key at path itself, or with its absence
// from the mapping n.
func (r *reader) wrongKey(n *yaml.Node, path, message, remedy string) {
	r.problems = append(r.problems, fairway.Problem{File: r.file, Line: n.Line, Column: n.Column, Field: path, Message: message, Remedy: remedy})
}

// document parses data and returns its only document's root, or nil after
// noting what is wrong.
func (r *reader) document(data []byte) *yaml.Node {
	if len(data) > maxFile {
		r.problems = append(r.problems, fairway.Problem{File: r.file, Message: fmt.Sprintf("has %d bytes", len(data)), Remedy: fmt.Sprintf("keep test files under %d bytes", maxFile)})
		return nil
	}
	dec := yaml.NewDecoder(bytes.NewReader(data))
	var doc, second yaml.Node
	switch err := dec.Decode(&doc); {
	case errors.Is(err, io.EOF):
		r.problems = append(r.problems, fairway.Problem{File: r.file, Line: 1, Column: 1, Message: "is empty", Remedy: "list at least one request under requests, or delete the file"})
		return nil
	case err != nil:
		r.problems = append(r.problems, syntaxProblem(r.file, data, err))
		return nil
	}
	switch err := dec.Decode(&second); {
	case err == nil:
		r.wrong(&second, "", "is a second YAML document", "keep one document to a file; remove the line --- and what follows")
		return nil
	case !errors.Is(err, io.EOF):
		r.problems = append(r.problems, syntaxProblem(r.file, data, err))
		return nil
	}
	return doc.Content[0]
}

var syntaxLine = regexp.MustCompile(`^yaml: (?:line \d+: )?(.*)`)

func syntaxProblem(file string, data []byte, err error) fairway.Problem {
	p := fairway.Problem{File: file, Message: "is not YAML: " + err.Error(), Remedy: "mind indentation, and quote values that contain : or #"}
	if m := syntaxLine.FindStringSubmatch(err.Error()); m != nil {
		p.Message = "is not YAML: " + m[1]
	}
	p.Line, p.Column = max(yamlline.Of(data, readAll), 1), 1
	return p
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

// resolve follows an alias to what it names.
func resolve(n *yaml.Node) *yaml.Node {
	if n.Kind == yaml.AliasNode && n.Alias != nil {
		return n.Alias
	}
	return n
}

func isNull(n *yaml.Node) bool { return n.Kind == yaml.ScalarNode && n.ShortTag() == "!!null" }

// pairs calls f for each entry of a mapping whose keys are distinct texts.
func (r *reader) pairs(n *yaml.Node, path string, f func(k, v *yaml.Node)) bool {
	if n = resolve(n); n.Kind != yaml.MappingNode {
		r.wrong(n, path, "is not a mapping", "write KEY: VALUE lines")
		return false
	}
	seen := map[string]int{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		k, v := resolve(n.Content[i]), resolve(n.Content[i+1])
		if k.Kind != yaml.ScalarNode {
			r.wrongKey(k, path, "has a key that is not a text", "write KEY: VALUE lines")
			continue
		}
		if line, ok := seen[k.Value]; ok {
			r.wrongKey(k, join(path, k.Value), fmt.Sprintf("is given twice, first in line %d", line), "keep one of the two")
			continue
		}
		seen[k.Value] = k.Line
		f(k, v)
	}
	return true
}

// mapping reads the keys of n and returns which were there.
func (r *reader) mapping(n *yaml.Node, path string, keys []key) map[string]bool {
	have := map[string]bool{}
	r.pairs(n, path, func(k, v *yaml.Node) {
		for _, known := range keys {
			if known.name != k.Value {
				continue
			}
			have[k.Value] = true
			if isNull(v) {
				r.wrongKey(k, join(path, k.Value), "has no value", "give it one, or remove the key")
				return
			}
			known.read(v, join(path, k.Value))
			return
		}
		r.wrongKey(k, join(path, k.Value), "is not a key of this file", "use one of "+keyNames(keys))
	})
	return have
}

// list calls f for each element of a sequence.
func (r *reader) list(n *yaml.Node, path string, most int, f func(n *yaml.Node, path string)) {
	if n.Kind != yaml.SequenceNode || len(n.Content) == 0 || len(n.Content) > most {
		r.wrong(n, path, fmt.Sprintf("is not a list of 1 to %d elements", most), "write one element a line, each starting with a hyphen")
		return
	}
	for i, e := range n.Content {
		f(resolve(e), fmt.Sprintf("%s[%d]", path, i))
	}
}

func (r *reader) text(dst *string) func(*yaml.Node, string) {
	return func(n *yaml.Node, path string) {
		if n.Kind != yaml.ScalarNode {
			r.wrong(n, path, "is not a text", "write one value; put JSON between single quotes")
			return
		}
		*dst = n.Value
	}
}

func (r *reader) integer(dst *int, least, most int) func(*yaml.Node, string) {
	return func(n *yaml.Node, path string) {
		v, err := strconv.Atoi(n.Value)
		if n.Kind != yaml.ScalarNode || err != nil || v < least || v > most {
			r.wrong(n, path, fmt.Sprintf("is not a whole number in %d..%d", least, most), fmt.Sprintf("write a number such as %d", max(least, min(most, 10))))
			return
		}
		*dst = v
	}
}

func (r *reader) duration(dst *time.Duration, least, most time.Duration) func(*yaml.Node, string) {
	return func(n *yaml.Node, path string) {
		v, err := time.ParseDuration(n.Value)
		if n.Kind != yaml.ScalarNode || err != nil || v < least || v > most {
			r.wrong(n, path, fmt.Sprintf("is not a duration from %v to %v", least, most), "write a number with its unit, such as 250ms, 2s or 1m")
			return
		}
		*dst = v
	}
}

func (r *reader) percentage(dst *float64) func(*yaml.Node, string) {
	return func(n *yaml.Node, path string) {
		digits, ok := strings.CutSuffix(n.Value, "%")
		v, err := strconv.ParseFloat(strings.TrimSpace(digits), 64)
		if n.Kind != yaml.ScalarNode || !ok || err != nil || !(v >= 0 && v <= 100) {
			r.wrong(n, path, "is not a percentage from 0% to 100%", "write a number and a percent sign, such as 1% or 0.5%")
			return
		}
		*dst = v / 100
	}
}

func join(path, name string) string {
	if path == "" {
		return name
	}
	return path + "." + name
}

func keyNames(keys []key) string {
	names := make([]string, len(keys))
	for i, k := range keys {
		names[i] = k.name
	}
	return strings.Join(names, ", ")
}
