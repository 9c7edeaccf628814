package quality

import (
	"encoding/json"
	"math"
	"math/big"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode/utf16"
)

// js is a value as JavaScript sees it, as far as comparisons and sums go.
type js struct {
	kind jsKind
	num  float64 // of a number; 1 for true
	str  string  // of a text; of an object what it becomes as text
}

type jsKind int

const (
	jsUndefined jsKind = iota
	jsNull
	jsBool
	jsNumber
	jsText
	jsObject
)

// toJS returns the value of a node; no node is undefined.
func toJS(n *node) js {
	if n == nil {
		return js{}
	}
	switch n.kind {
	case kindBool:
		v := js{kind: jsBool}
		if n.text == "true" {
			v.num = 1
		}
		return v
	case kindNumber:
		// Out of range is infinite, in JavaScript as in ParseFloat.
		f, _ := strconv.ParseFloat(n.text, 64)
		return js{kind: jsNumber, num: f}
	case kindText:
		return js{kind: jsText, str: n.text}
	case kindList:
		parts := make([]string, len(n.items))
		for i, item := range n.items {
			if v := toJS(item); v.kind != jsNull {
				parts[i] = v.text()
			}
		}
		return js{kind: jsObject, str: strings.Join(parts, ",")}
	case kindObject:
		return js{kind: jsObject, str: "[object Object]"}
	}
	return js{kind: jsNull}
}

// rawJS returns the value of a JSON text; no text is undefined.
func rawJS(raw json.RawMessage) js {
	n, err := parseJSON(raw)
	if err != nil {
		return js{}
	}
	return toJS(n)
}

func (v js) truthy() bool {
	switch v.kind {
	case jsBool, jsNumber:
		return v.num != 0 && !math.IsNaN(v.num)
	case jsText:
		return v.str != ""
	}
	return v.kind == jsObject
}

// textual reports whether comparing and adding treat the value as text.
func (v js) textual() bool { return v.kind == jsText || v.kind == jsObject }

var (
	jsDecimal = regexp.MustCompile(`^[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?$`)
	jsRadix   = regexp.MustCompile(`^0([xX][0-9a-fA-F]+|[oO][0-7]+|[bB][01]+)$`)
)

// jsSpace is what JavaScript trims before it reads a number.
const jsSpace = " \t\n\v\f\r\u00a0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u2028\u2029\u202f\u205f\u3000\ufeff"

func (v js) number() float64 {
	switch v.kind {
	case jsUndefined:
		return math.NaN()
	case jsNull, jsBool, jsNumber:
		return v.num
	}
	s := strings.Trim(v.str, jsSpace)
	switch {
	case s == "":
		return 0
	case s == "Infinity" || s == "+Infinity":
		return math.Inf(1)
	case s == "-Infinity":
		return math.Inf(-1)
	case jsRadix.MatchString(s):
		i, _ := new(big.Int).SetString(s, 0)
		f, _ := new(big.Float).SetInt(i).Float64()
		return f
	case jsDecimal.MatchString(s):
		f, _ := strconv.ParseFloat(s, 64)
		return f
	}
	return math.NaN()
}

func (v js) text() string {
	switch v.kind {
	case jsUndefined:
		return "undefined"
	case jsNull:
		return "null"
	case jsBool:
		return strconv.FormatBool(v.num != 0)
	case jsNumber:
		return jsNumberText(v.num)
	}
	return v.str
}

// jsNumberText writes a number as JavaScript does: shortest digits, without
// exponent from 1e-6 up to, but not including, 1e21.
func jsNumberText(f float64) string {
	a := math.Abs(f)
	switch {
	case math.IsInf(f, 1):
		return "Infinity"
	case math.IsInf(f, -1):
		return "-Infinity"
	case f == 0:
		return "0"
	case a >= 1e21 || a < 1e-6:
		s := strconv.FormatFloat(f, 'e', -1, 64)
		digits, exp, _ := strings.Cut(s, "e")
		return digits + "e" + exp[:1] + strings.TrimLeft(exp[1:], "0")
	}
	return strconv.FormatFloat(f, 'f', -1, 64)
}

// compare orders two values; ok is false where one of them is no number, which
// makes every comparison false.
func (v js) compare(w js) (order int, ok bool) {
	if v.textual() && w.textual() {
		return slices.Compare(utf16.Encode([]rune(v.str)), utf16.Encode([]rune(w.str))), true
	}
	a, b := v.number(), w.number()
	switch {
	case math.IsNaN(a) || math.IsNaN(b):
		return 0, false
	case a < b:
		return -1, true
	case a > b:
		return 1, true
	}
	return 0, true
}

func (v js) less(w js) bool { order, ok := v.compare(w); return ok && order < 0 }

func (v js) atMost(w js) bool { order, ok := v.compare(w); return ok && order <= 0 }

// plus adds as JavaScript does: where one side is text, both are joined.
func (v js) plus(w js) js {
	if v.textual() || w.textual() {
		return js{kind: jsText, str: v.text() + w.text()}
	}
	return js{kind: jsNumber, num: v.number() + w.number()}
}

func (v js) half() js { return js{kind: jsNumber, num: v.number() / 2} }
