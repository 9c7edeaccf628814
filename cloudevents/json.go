package cloudevents

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"unicode/utf8"

	"github.com/fairwaycd/fairway"
)

// maxDepth is how deeply a document's arrays and objects may be nested: far
// more than people write, far less than would hurt a reader.
const maxDepth = 64

// document is a JSON text and what was found wrong with it. Without a text
// (binary mode's headers) problems have no position.
type document struct {
	text     []byte
	problems []fairway.Problem
}

// add notes a problem at a byte offset of the text; a negative offset is
// unknown.
func (d *document) add(at int, p fairway.Problem) {
	if at >= 0 && at <= len(d.text) && len(d.text) > 0 {
		before := d.text[:at]
		p.Line = 1 + bytes.Count(before, []byte("\n"))
		p.Column = utf8.RuneCount(before[bytes.LastIndexByte(before, '\n')+1:]) + 1
	}
	d.problems = append(d.problems, p)
}

// err returns all problems in the order of the document.
func (d *document) err() error {
	slices.SortStableFunc(d.problems, func(a, b fairway.Problem) int {
		return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column), cmp.Compare(a.Field, b.Field))
	})
	return fairway.InvalidAll(d.problems)
}

// open checks that b is one JSON value of bearable depth in valid UTF-8.
func open(b []byte) (*document, error) {
	b = bytes.TrimPrefix(b, []byte("\ufeff")) // some editors put it before every file
	d := &document{text: b}
	if len(bytes.TrimSpace(b)) == 0 {
		d.add(-1, fairway.Problem{Message: "there is no event: the document is empty", Remedy: "send a CloudEvent as JSON"})
		return d, d.err()
	}
	if at := invalidUTF8(b); at >= 0 {
		d.add(at, fairway.Problem{Message: "the document is not UTF-8", Remedy: "encode JSON as UTF-8"})
		return d, d.err()
	}
	if at := tooDeep(b); at >= 0 {
		d.add(at, fairway.Problem{Message: fmt.Sprintf("the document is nested more than %d deep", maxDepth), Remedy: "send flatter data"})
		return d, d.err()
	}
	var raw json.RawMessage
	if err := json.Unmarshal(b, &raw); err != nil {
		at := -1
		var syntax *json.SyntaxError
		if errors.As(err, &syntax) {
			at = max(int(syntax.Offset)-1, 0) // Offset counts the byte it stumbled over
		}
		d.add(at, fairway.Problem{Message: "the document is not JSON: " + err.Error(), Remedy: "correct it at this place"})
		return d, d.err()
	}
	return d, nil
}

func invalidUTF8(b []byte) int {
	if utf8.Valid(b) {
		return -1
	}
	at := 0
	for at < len(b) {
		r, n := utf8.DecodeRune(b[at:])
		if r == utf8.RuneError && n == 1 {
			break
		}
		at += n
	}
	return at
}

// tooDeep returns the offset at which nesting goes beyond maxDepth, or -1.
func tooDeep(b []byte) int {
	depth, inString := 0, false
	for i := 0; i < len(b); i++ {
		switch c := b[i]; {
		case inString && c == '\\':
			i++
		case c == '"':
			inString = !inString
		case inString:
		case c == '{' || c == '[':
			if depth++; depth > maxDepth {
				return i
			}
		case c == '}' || c == ']':
			depth--
		}
	}
	return -1
}

// value is a JSON value and where it stands in the document.
type value struct {
	raw json.RawMessage
	at  int
}

// members returns the members of the object v. A name that stands twice is a
// problem: readers disagree on which of the two holds.
func (d *document) members(v value) map[string]value {
	dec := json.NewDecoder(bytes.NewReader(v.raw))
	if t, err := dec.Token(); err != nil || t != json.Delim('{') {
		return nil
	}
	out := map[string]value{}
	for dec.More() {
		name, err := dec.Token()
		if err != nil {
			return out
		}
		key, _ := name.(string)
		var raw json.RawMessage
		if err := dec.Decode(&raw); err != nil {
			return out
		}
		at := -1 // below a value without a position nothing has one
		if v.at >= 0 {
			at = v.at + int(dec.InputOffset()) - len(raw)
		}
		if _, twice := out[key]; twice {
			d.add(at, fairway.Problem{Field: key, Message: "stands twice in one object", Remedy: "remove one of them"})
		}
		out[key] = value{raw: raw, at: at}
	}
	return out
}

// elements returns the elements of the array v.
func (d *document) elements(v value) []value {
	dec := json.NewDecoder(bytes.NewReader(v.raw))
	if t, err := dec.Token(); err != nil || t != json.Delim('[') {
		return nil
	}
	var out []value
	for dec.More() {
		var raw json.RawMessage
		if err := dec.Decode(&raw); err != nil {
			return out
		}
		out = append(out, value{raw: raw, at: v.at + int(dec.InputOffset()) - len(raw)})
	}
	return out
}

func (v value) isNull() bool { return string(v.raw) == "null" }

func (v value) is(first byte) bool { return len(v.raw) > 0 && v.raw[0] == first }

// root returns the document's value without the space around it.
func (d *document) root() value {
	at := len(d.text) - len(bytes.TrimLeft(d.text, " \t\r\n"))
	return value{raw: json.RawMessage(bytes.TrimSpace(d.text)), at: at}
}
