package quality

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
	"unicode/utf8"
)

// Bounds of a document, so that a hostile one costs no more than a large one.
const (
	maxSize       = 1 << 20 // bytes
	maxDepth      = 100     // lists and objects within each other
	maxIndicators = 200
	maxProblems   = 100 // reported at once
)

type kind int

const (
	kindNull kind = iota
	kindBool
	kindNumber
	kindText
	kindList
	kindObject
)

func (k kind) String() string {
	return [...]string{"null", "true or false", "a number", "text", "a list", "an object"}[k]
}

// node is a JSON value that remembers where it stands.
type node struct {
	kind       kind
	start, end int    // byte offsets
	text       string // contents of a text; a number or bool as written
	members    []member
	items      []*node
}

type member struct {
	key   string
	at    int // byte offset of the key
	value *node
}

// get returns the value of the last member of that name, or nil.
func (n *node) get(key string) *node {
	if n == nil {
		return nil
	}
	for i := len(n.members) - 1; i >= 0; i-- {
		if n.members[i].key == key {
			return n.members[i].value
		}
	}
	return nil
}

// syntaxError says why a text is no JSON document within the bounds.
type syntaxError struct {
	offset          int
	message, remedy string
}

func (e *syntaxError) Error() string { return e.message }

// parseJSON reads one document. The error, if any, is a *syntaxError.
func parseJSON(data []byte) (*node, error) {
	if err := checkJSON(data); err != nil {
		return nil, err
	}
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.UseNumber()
	w := &walk{data: data, dec: dec}
	return w.value(0)
}

func checkJSON(data []byte) error {
	switch {
	case len(data) > maxSize:
		return &syntaxError{0, "is larger than 1 MB", "keep objectives small; a specification has a few kilobytes"}
	case bytes.HasPrefix(data, []byte("\ufeff")):
		return &syntaxError{0, "starts with a byte order mark", "save it as UTF-8 without one"}
	case len(bytes.TrimSpace(data)) == 0:
		return &syntaxError{0, "is empty", `write at least {"spec_version": "1.0", "indicators": […], "objectives": {"pass": 90, "warning": 75}}, or remove the file`}
	case !utf8.Valid(data):
		return &syntaxError{invalidAt(data), "is not UTF-8", "save it as UTF-8"}
	}
	var raw json.RawMessage
	err := json.Unmarshal(data, &raw)
	var se *json.SyntaxError
	if errors.As(err, &se) {
		return &syntaxError{max(0, int(se.Offset)-1), "is not JSON: " + se.Error(), "correct it here or just before"}
	}
	return nil
}

func invalidAt(data []byte) int {
	for i := 0; i < len(data); {
		r, size := utf8.DecodeRune(data[i:])
		if r == utf8.RuneError && size == 1 {
			return i
		}
		i += size
	}
	return len(data)
}

// walk turns the tokens of a text that is known to be JSON into nodes.
type walk struct {
	data []byte
	dec  *json.Decoder
}

// next returns the offset of the next token.
func (w *walk) next() int {
	i := int(w.dec.InputOffset())
	for i < len(w.data) && strings.IndexByte(" \t\r\n,:", w.data[i]) >= 0 {
		i++
	}
	return i
}

func (w *walk) value(depth int) (*node, error) {
	n := &node{start: w.next()}
	tok, err := w.dec.Token()
	if err != nil {
		return nil, &syntaxError{n.start, "is not JSON: " + err.Error(), "correct it here or just before"}
	}
	switch t := tok.(type) {
	case json.Delim:
		if depth >= maxDepth {
			return nil, &syntaxError{n.start, "is nested more than 100 levels deep", "remove the nesting"}
		}
		err = w.children(n, t, depth)
	case string:
		n.kind, n.text = kindText, t
	case json.Number:
		n.kind, n.text = kindNumber, t.String()
	case bool:
		n.kind, n.text = kindBool, "false"
		if t {
			n.text = "true"
		}
	}
	n.end = int(w.dec.InputOffset())
	return n, err
}

func (w *walk) children(n *node, open json.Delim, depth int) error {
	n.kind = kindList
	if open == '{' {
		n.kind = kindObject
	}
	for w.dec.More() {
		var m member
		if n.kind == kindObject {
			m.at = w.next()
			key, err := w.dec.Token()
			if err != nil {
				return &syntaxError{m.at, "is not JSON: " + err.Error(), "correct it here or just before"}
			}
			m.key, _ = key.(string)
		}
		v, err := w.value(depth + 1)
		if err != nil {
			return err
		}
		if n.kind == kindList {
			n.items = append(n.items, v)
			continue
		}
		m.value = v
		n.members = append(n.members, m)
	}
	if _, err := w.dec.Token(); err != nil {
		return &syntaxError{w.next(), "is not JSON: " + err.Error(), "correct it here or just before"}
	}
	return nil
}

// position returns line and column of an offset, both counted from one; the
// column counts characters.
func position(data []byte, offset int) (line, column int) {
	offset = min(offset, len(data))
	before := data[:offset]
	line = 1 + bytes.Count(before, []byte("\n"))
	return line, 1 + utf8.RuneCount(before[bytes.LastIndexByte(before, '\n')+1:])
}
