package testrun

import (
	"encoding/json"
	"regexp"
	"strconv"
	"strings"
)

var pointerPattern = regexp.MustCompile(`^(/([^~]|~[01])*)?$`)

// validPointer reports whether s is a JSON pointer (RFC 6901).
func validPointer(s string) bool { return pointerPattern.MatchString(s) }

// lookUp returns the value that the pointer names in a document decoded with
// numbers as [json.Number].
func lookUp(doc any, pointer string) (any, bool) {
	if pointer == "" {
		return doc, true
	}
	for _, token := range strings.Split(pointer[1:], "/") {
		token = strings.ReplaceAll(strings.ReplaceAll(token, "~1", "/"), "~0", "~")
		switch at := doc.(type) {
		case map[string]any:
			v, ok := at[token]
			if !ok {
				return nil, false
			}
			doc = v
		case []any:
			i, err := strconv.Atoi(token)
			if err != nil || i < 0 || i >= len(at) || strconv.Itoa(i) != token {
				return nil, false
			}
			doc = at[i]
		default:
			return nil, false
		}
	}
	return doc, true
}

// equalScalar reports whether two JSON values are the same text, number,
// truth value or null. 1, 1.0 and 1e0 are the same number; 1 and "1" differ.
func equalScalar(a, b any) bool {
	x, xok := a.(json.Number)
	y, yok := b.(json.Number)
	if xok && yok {
		return sameNumber(string(x), string(y))
	}
	switch a.(type) {
	case map[string]any, []any:
		return false
	}
	switch b.(type) {
	case map[string]any, []any:
		return false
	}
	return a == b
}

// sameNumber compares whole numbers by their digits, since a float64 cannot
// tell large ones apart, and all others by value.
func sameNumber(a, b string) bool {
	if a == b {
		return true
	}
	if !strings.ContainsAny(a+b, ".eE") {
		return false
	}
	x, err := strconv.ParseFloat(a, 64)
	if err != nil {
		return false
	}
	y, err := strconv.ParseFloat(b, 64)
	return err == nil && x == y
}
