package testrun

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

// judge compares an answer with what is expected. It returns an empty kind
// when all is as it should be, else the first difference: status, headers,
// body, JSON members in the file's order, time.
func (e Expect) judge(a answer, took time.Duration) (failKind, string) {
	answered := "answered " + statusText(a.status)
	switch {
	case e.Status != 0 && a.status != e.Status:
		return failStatus, answered + ", expected " + statusText(e.Status)
	case e.Status == 0 && (a.status < 200 || a.status > 299):
		return failStatus, answered + ", expected a 2xx"
	}
	for _, name := range slices.Sorted(maps.Keys(e.Headers)) {
		if got := a.header.Values(name); !slices.Contains(got, e.Headers[name]) {
			return failAnswer, fmt.Sprintf("%s, but header %s is %s, expected %q", answered, name, headerText(got), e.Headers[name])
		}
	}
	if e.needsBody() && a.clipped {
		return failAnswer, fmt.Sprintf("%s, but with more than %d bytes, which is too much to compare", answered, maxBody)
	}
	if e.Contains != "" && !bytes.Contains(a.body, []byte(e.Contains)) {
		return failAnswer, fmt.Sprintf("%s, but without %q", answered, e.Contains)
	}
	if fault := e.judgeJSON(a.body); fault != "" {
		return failAnswer, answered + ", but " + fault
	}
	if e.Within > 0 && took > e.Within {
		return failAnswer, fmt.Sprintf("%s after %s, expected within %s", answered, took.Round(time.Microsecond), e.Within)
	}
	return "", ""
}

func (e Expect) judgeJSON(body []byte) string {
	if len(e.JSON) == 0 {
		return ""
	}
	dec := json.NewDecoder(bytes.NewReader(body))
	dec.UseNumber()
	var doc any
	if err := dec.Decode(&doc); err != nil {
		return "the body is not JSON: " + plain(err)
	}
	if _, err := dec.Token(); err != io.EOF {
		return "the body is not JSON: something follows the first value"
	}
	for _, m := range e.JSON {
		got, ok := lookUp(doc, m.Pointer)
		if !ok {
			return fmt.Sprintf("%s is missing, expected %s", pointerText(m.Pointer), jsonText(m.Value))
		}
		if !equalScalar(got, m.Value) {
			return fmt.Sprintf("%s is %s, expected %s", pointerText(m.Pointer), jsonText(got), jsonText(m.Value))
		}
	}
	return ""
}

func pointerText(p string) string {
	if p == "" {
		return "the document"
	}
	return p
}

func jsonText(v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		return fmt.Sprint(v)
	}
	if len(b) > excerptSize {
		return strings.ToValidUTF8(string(b[:excerptSize]), "") + "…"
	}
	return string(b)
}

func headerText(values []string) string {
	if len(values) == 0 {
		return "missing"
	}
	return strconv.Quote(strings.Join(values, ", "))
}

// statusText prints 404 Not Found.
func statusText(status int) string {
	return strings.TrimSpace(strconv.Itoa(status) + " " + http.StatusText(status))
}

// short prints a duration with three digits, as people read it.
func short(d time.Duration) string {
	for unit := 1000 * time.Second; unit >= time.Microsecond; unit /= 10 {
		if d >= unit {
			return d.Round(unit / 100).String()
		}
	}
	return d.String()
}
