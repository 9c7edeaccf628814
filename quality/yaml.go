package quality

import (
	"bytes"
	"errors"
	"io"
	"regexp"
	"strconv"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"
)

// parseYAML reads one YAML document into the nodes that JSON documents are
// read into, so that both are checked alike. Anchors, aliases and merge keys
// are refused: they save little in a file of this size and can make it grow
// without bound. The error, if any, is a *syntaxError.
func parseYAML(data []byte) (*node, error) {
	switch {
	case len(data) > maxSize:
		return nil, &syntaxError{0, "is larger than 1 MB", "keep objectives small; a specification has a few kilobytes"}
	case !utf8.Valid(data):
		return nil, &syntaxError{invalidAt(data), "is not UTF-8", "save it as UTF-8"}
	case deep(data):
		return nil, &syntaxError{0, "is nested more than 100 levels deep", "remove the nesting"}
	}
	dec := yaml.NewDecoder(bytes.NewReader(data))
	var doc yaml.Node
	if err := dec.Decode(&doc); err != nil {
		if errors.Is(err, io.EOF) {
			return nil, &syntaxError{0, "is empty", "write the objectives, or remove the file"}
		}
		return nil, yamlError(data, err)
	}
	var second yaml.Node
	if err := dec.Decode(&second); !errors.Is(err, io.EOF) {
		return nil, &syntaxError{0, "holds more than one YAML document", "keep one document to a file; remove the line --- and what follows"}
	}
	l := &lines{data: data}
	return l.node(doc.Content[0], 0)
}

// deep reports whether brackets or indentation go deeper than any document of
// ours, before the parser has to bear it.
func deep(data []byte) bool {
	open, dashes := 0, 0
	for i, c := range data {
		switch c {
		case '[', '{':
			open++
		case ']', '}':
			open = max(0, open-1)
		case '-':
			if i+1 < len(data) && data[i+1] == ' ' { // not a rule of dashes
				dashes++
			}
		case '\n':
			dashes = 0
		}
		if open > 2*maxDepth || dashes > 2*maxDepth {
			return true
		}
	}
	return false
}

var yamlLine = regexp.MustCompile(`^yaml: (?:line (\d+): )?(.*)`)

func yamlError(data []byte, err error) *syntaxError {
	e := &syntaxError{0, "is not YAML: " + err.Error(), "mind indentation, and quote values that contain : or #"}
	if m := yamlLine.FindStringSubmatch(err.Error()); m != nil {
		e.message = "is not YAML: " + m[2]
		if n, err := strconv.Atoi(m[1]); err == nil {
			l := &lines{data: data}
			e.offset = l.offset(n, 1)
		}
	}
	return e
}

// lines turns lines and columns into offsets.
type lines struct {
	data   []byte
	starts []int
	// The last answer: nodes come in the order of the document, and counting
	// each anew from the start of its line would be quadratic in a long one.
	line, column, at int
}

func (l *lines) offset(line, column int) int {
	if l.starts == nil {
		l.starts = []int{0}
		for i, c := range l.data {
			if c == '\n' {
				l.starts = append(l.starts, i+1)
			}
		}
	}
	if line < 1 || line > len(l.starts) {
		return len(l.data)
	}
	i, from := l.starts[line-1], 1
	if line == l.line && column >= l.column {
		i, from = l.at, l.column
	}
	for ; from < column && i < len(l.data); from++ {
		_, size := utf8.DecodeRune(l.data[i:])
		i += size
	}
	l.line, l.column, l.at = line, column, min(i, len(l.data))
	return l.at
}

func (l *lines) node(y *yaml.Node, depth int) (*node, error) {
	n := &node{start: l.offset(y.Line, y.Column)}
	n.end = n.start
	if depth > maxDepth {
		return nil, &syntaxError{n.start, "is nested more than 100 levels deep", "remove the nesting"}
	}
	switch {
	case y.Kind == yaml.AliasNode || y.Anchor != "":
		return nil, &syntaxError{n.start, "uses an anchor or alias", "write the value out"}
	case y.Kind == yaml.SequenceNode:
		n.kind = kindList
		for _, item := range y.Content {
			v, err := l.node(item, depth+1)
			if err != nil {
				return nil, err
			}
			n.items = append(n.items, v)
		}
		return n, nil
	case y.Kind == yaml.MappingNode:
		n.kind = kindObject
		return n, l.members(n, y, depth)
	}
	l.scalar(n, y)
	return n, nil
}

func (l *lines) members(n *node, y *yaml.Node, depth int) error {
	for i := 0; i+1 < len(y.Content); i += 2 {
		k := y.Content[i]
		at := l.offset(k.Line, k.Column)
		if k.Kind != yaml.ScalarNode || k.Anchor != "" || k.ShortTag() == "!!merge" {
			return &syntaxError{at, "has a key that is not text", "write KEY: VALUE lines"}
		}
		v, err := l.node(y.Content[i+1], depth+1)
		if err != nil {
			return err
		}
		n.members = append(n.members, member{key: k.Value, at: at, value: v})
	}
	return nil
}

func (l *lines) scalar(n *node, y *yaml.Node) {
	n.text = y.Value
	switch y.ShortTag() {
	case "!!null":
		n.kind, n.text = kindNull, "null"
	case "!!bool":
		var b bool
		if y.Decode(&b) == nil {
			n.kind, n.text = kindBool, strconv.FormatBool(b)
			return
		}
		n.kind = kindText
	case "!!int", "!!float":
		n.kind = kindNumber
	default:
		n.kind = kindText
	}
	n.end = min(n.start+len(y.Value), len(l.data))
}
