package chart

import (
	"bytes"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/fairwaycd/fairway"
)

// setText makes the scalar under the keys of a service's values the given
// text, double-quoted. It changes that token alone where it can, and otherwise
// writes the whole document anew, comments included.
func setText(data []byte, s fairway.ServiceName, text string, keys ...string) ([]byte, error) {
	root, err := service(data, s)
	if err != nil {
		return nil, err
	}
	old := get(root, keys...)
	if old != nil && old.Kind == yaml.ScalarNode && old.Tag == "!!str" && old.Value == text {
		return data, nil
	}
	token, err := encode(textNode(text))
	if err != nil {
		return nil, err
	}
	var before yaml.Node // set overwrites the old one
	if old != nil {
		before = *old
	}
	set(root, textNode(text), keys...)
	if old != nil {
		if out, ok := splice(data, &before, string(bytes.TrimSpace(token))); ok {
			if got, err := service(out, s); err == nil && equal(got, root) {
				return out, nil
			}
		}
	}
	if root, err = parse(ValuesFile, data); err != nil {
		return nil, err
	}
	set(root, textNode(text), keys...)
	return encode(root)
}

// splice replaces the scalar's token in data. It does not know every way to
// write a scalar; ok is false when it did not find the token, and the caller
// looks whether the result says what it should.
func splice(data []byte, n *yaml.Node, token string) (out []byte, ok bool) {
	start, ok := offset(data, n.Line, n.Column)
	if !ok || n.Kind != yaml.ScalarNode {
		return nil, false
	}
	rest := data[start:]
	end := 0
	switch {
	case n.Style&yaml.DoubleQuotedStyle != 0:
		end = quoted(rest, '"')
	case n.Style&yaml.SingleQuotedStyle != 0:
		end = quoted(rest, '\'')
	case n.Style&(yaml.LiteralStyle|yaml.FoldedStyle|yaml.TaggedStyle) != 0:
		return nil, false
	case bytes.HasPrefix(rest, []byte(n.Value)):
		end = len(n.Value)
	default:
		return nil, false
	}
	if end < 0 {
		return nil, false
	}
	if end == 0 && start > 0 && !strings.ContainsRune(" \t", rune(data[start-1])) {
		token = " " + token
	}
	return bytes.Join([][]byte{data[:start], []byte(token), rest[end:]}, nil), true
}

// quoted returns the length of the quoted token at the beginning of b, or -1.
func quoted(b []byte, q byte) int {
	if len(b) == 0 || b[0] != q {
		return -1
	}
	for i := 1; i < len(b); i++ {
		switch {
		case b[i] == '\n':
			return -1
		case b[i] == '\\' && q == '"':
			i++
		case b[i] == q && q == '\'' && i+1 < len(b) && b[i+1] == q:
			i++
		case b[i] == q:
			return i + 1
		}
	}
	return -1
}

// offset returns the byte at a line and column (both from 1, columns in
// characters).
func offset(data []byte, line, column int) (int, bool) {
	at := 0
	for ; line > 1; line-- {
		i := bytes.IndexByte(data[at:], '\n')
		if i < 0 {
			return 0, false
		}
		at += i + 1
	}
	rest := string(data[at:])
	for i := range rest {
		if column--; column == 0 {
			return at + i, true
		}
	}
	return len(data), column == 1
}

// masked returns a template in which the {{ actions }} are blotted out, each
// byte by one, so that it can be read as YAML and positions stay true: a line
// of actions alone becomes a comment, an action within a line a word.
func masked(data []byte) []byte {
	out := bytes.Clone(data)
	for at := 0; ; {
		start := bytes.Index(out[at:], []byte("{{"))
		if start < 0 {
			break
		}
		start += at
		end := len(out)
		if i := bytes.Index(out[start:], []byte("}}")); i >= 0 {
			end = start + i + 2
		}
		for i := start; i < end; i++ {
			if out[i] != '\n' {
				out[i] = blot
			}
		}
		at = end
	}
	lines := bytes.SplitAfter(out, []byte("\n"))
	for _, line := range lines {
		text := bytes.TrimSpace(line)
		if len(text) > 0 && len(bytes.Trim(text, blotted)) == 0 {
			copy(text, bytes.Repeat([]byte("#"), len(text)))
		}
	}
	return bytes.ReplaceAll(out, []byte{blot}, []byte("x"))
}

// blot stands for a byte of an action until the lines are sorted out. It
// cannot occur in a text that YAML accepts.
const blot = '\x01'

const blotted = "\x01 \t" // what a line of actions alone consists of
