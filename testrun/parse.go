package testrun

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/textproto"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"
)

// Bounds of what a file may ask for.
const (
	maxRequests   = 1000
	maxUsers      = 1000
	maxIterations = 1_000_000
	maxTimeout    = 10 * time.Minute
	maxDuration   = 24 * time.Hour
)

// ParseFunctional reads tests/functional.yaml:
//
//	requests:
//	  - name: add item               # default: METHOD PATH
//	    method: POST                 # default: GET
//	    path: /carts/1/items
//	    headers: {Accept: application/json}
//	    body: '{"itemId": "sock"}'   # sent as application/json when it is JSON and no header says otherwise
//	    timeout: 10s                 # default: 30s
//	    expect:
//	      status: 201                # default: any 2xx
//	      json: {/itemId: sock}      # JSON pointer: text, number, true, false or null
//	      headers: {Content-Type: application/json}
//	      contains: sock
//	      within: 2s
//
// It is strict: unknown or repeated keys and values out of range are errors.
// The error is of kind invalid and holds every problem with file, line,
// column and remedy.
func ParseFunctional(file string, data []byte) (Functional, error) {
	r := &reader{file: file}
	var f Functional
	if root := r.document(data); root != nil {
		have := r.mapping(root, "", append([]key{{"requests", r.calls(&f.Requests)}}, r.program(&f.Program)...))
		r.oneWay(root, have, &f.Program)
	}
	if err := r.err(); err != nil {
		return Functional{}, err
	}
	return f, nil
}

// ParsePerformance reads tests/performance.yaml:
//
//	users: 10            # default 10
//	iterations: 500      # of the list, per user; default 500
//	duration: 10s        # instead of iterations
//	think: 250ms         # default 250ms
//	rampUp: 1s           # default 1s
//	requests: […]        # as in functional.yaml
//	limits: {errors: 1%, mean: 1s, p50: 1s, p90: 1s, p95: 2s, p99: 3s, max: 5s}
//
// Instead of requests, a program may do the work:
//
//	jmeter: jmeter/carts_load.jmx   # with users, iterations and think as above
//	command: [k6, run, tests/load.js]
//	timeout: 30m                    # default 30m
//
// Of the limits only errors has a default, 1%. An answer that is not as
// expected counts as an error. Strictness and errors are those of
// [ParseFunctional].
func ParsePerformance(file string, data []byte) (Performance, error) {
	r := &reader{file: file}
	p := Performance{Users: DefaultUsers, Think: DefaultThink, RampUp: DefaultRampUp, Limits: Limits{Errors: DefaultErrors}}
	root := r.document(data)
	if root == nil {
		return Performance{}, r.err()
	}
	have := r.mapping(root, "", append([]key{
		{"users", r.integer(&p.Users, 1, maxUsers)},
		{"iterations", r.integer(&p.Iterations, 1, maxIterations)},
		{"duration", r.duration(&p.Duration, 100*time.Millisecond, maxDuration)},
		{"think", r.duration(&p.Think, 0, maxTimeout)},
		{"rampUp", r.duration(&p.RampUp, 0, time.Hour)},
		{"requests", r.calls(&p.Requests)},
		{"limits", r.limits(&p.Limits)},
	}, r.program(&p.Program)...))
	r.oneWay(root, have, &p.Program)
	if p.any() {
		r.programLoad(root, have, &p)
		if err := r.err(); err != nil {
			return Performance{}, err
		}
		return p, nil
	}
	switch {
	case have["iterations"] && have["duration"]:
		r.wrong(child(root, "duration"), "duration", "is given beside iterations", "keep one of the two: either decides when the test ends")
	case !have["iterations"] && !have["duration"]:
		p.Iterations = DefaultIterations
	case p.Duration > 0 && !have["rampUp"]:
		p.RampUp = min(p.RampUp, p.Duration/2)
	case p.Duration > 0 && p.RampUp >= p.Duration:
		r.wrong(child(root, "rampUp"), "rampUp", "is not shorter than duration, so that the last user would never start", fmt.Sprintf("make it less than %v", p.Duration))
	}
	if err := r.err(); err != nil {
		return Performance{}, err
	}
	return p, nil
}

func (r *reader) needs(n *yaml.Node, path string, have map[string]bool, name string) {
	if n = resolve(n); n.Kind == yaml.MappingNode && !have[name] {
		r.wrongKey(n, join(path, name), "is missing", "add it")
	}
}

// child returns the value of a mapping's key that is known to be there.
func child(n *yaml.Node, name string) *yaml.Node {
	n = resolve(n)
	for i := 0; i+1 < len(n.Content); i += 2 {
		if resolve(n.Content[i]).Value == name {
			return resolve(n.Content[i+1])
		}
	}
	return n
}

func (r *reader) calls(dst *[]Call) func(*yaml.Node, string) {
	return func(n *yaml.Node, path string) {
		r.list(n, path, maxRequests, func(n *yaml.Node, path string) { *dst = append(*dst, r.call(n, path)) })
	}
}

func (r *reader) limits(l *Limits) func(*yaml.Node, string) {
	return func(n *yaml.Node, path string) {
		latency := func(name string, d *time.Duration) key {
			return key{name, r.duration(d, time.Microsecond, time.Hour)}
		}
		r.mapping(n, path, []key{
			{"errors", r.percentage(&l.Errors)},
			latency("mean", &l.Mean), latency("p50", &l.P50), latency("p90", &l.P90),
			latency("p95", &l.P95), latency("p99", &l.P99), latency("max", &l.Max),
		})
	}
}

func (r *reader) call(n *yaml.Node, path string) Call {
	c := Call{Method: http.MethodGet, Timeout: DefaultTimeout}
	have := r.mapping(n, path, []key{
		{"name", r.text(&c.Name)},
		{"method", r.method(&c.Method)},
		{"path", r.path(&c.Path)},
		{"headers", r.headers(&c.Headers, reserved)},
		{"body", r.text(&c.Body)},
		{"timeout", r.duration(&c.Timeout, time.Millisecond, maxTimeout)},
		{"expect", r.expect(&c.Expect)},
	})
	r.needs(n, path, have, "path")
	if c.Name == "" {
		c.Name = c.Method + " " + c.Path
	}
	if c.Body != "" && c.Headers["Content-Type"] == "" && json.Valid([]byte(c.Body)) {
		if c.Headers == nil {
			c.Headers = map[string]string{}
		}
		c.Headers["Content-Type"] = "application/json"
	}
	return c
}

func (r *reader) expect(e *Expect) func(*yaml.Node, string) {
	return func(n *yaml.Node, path string) {
		r.mapping(n, path, []key{
			{"status", r.integer(&e.Status, 200, 599)},
			{"json", r.members(&e.JSON)},
			{"headers", r.headers(&e.Headers, nil)},
			{"contains", r.text(&e.Contains)},
			{"within", r.duration(&e.Within, time.Millisecond, maxTimeout)},
		})
	}
}

var methods = []string{http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete, http.MethodOptions}

func (r *reader) method(dst *string) func(*yaml.Node, string) {
	return func(n *yaml.Node, path string) {
		if n.Kind != yaml.ScalarNode || !slices.Contains(methods, n.Value) {
			r.wrong(n, path, "is not a method", "use one of "+strings.Join(methods, ", "))
			return
		}
		*dst = n.Value
	}
}

func (r *reader) path(dst *string) func(*yaml.Node, string) {
	return func(n *yaml.Node, path string) {
		if n.Kind != yaml.ScalarNode || !validPath(n.Value) {
			r.wrong(n, path, "is not a path", "start with a slash and leave host and # out, such as /carts/1/items?page=2; the host is always that of the version under test")
			return
		}
		*dst = n.Value
	}
}

// validPath reports whether s can stand in a request line.
func validPath(s string) bool {
	if !strings.HasPrefix(s, "/") || len(s) > 8000 || strings.ContainsFunc(s, func(c rune) bool { return c <= ' ' || c == 0x7f || c == '#' }) {
		return false
	}
	u, err := url.Parse("http://host" + s)
	return err == nil && u.Host == "host"
}

// reserved are headers that a test may not set, and why.
var reserved = map[string]string{
	"Host":              "is set by Fairway, so that the version under test answers",
	RunHeader:           "is set by Fairway to tell its requests from others",
	"Content-Length":    "follows from the body",
	"Transfer-Encoding": "follows from the body",
	"Connection":        "is decided by Fairway, which keeps connections open",
}

var headerName = regexp.MustCompile("^[A-Za-z0-9!#$%&'*+.^_`|~-]{1,200}$")

func (r *reader) headers(dst *map[string]string, forbidden map[string]string) func(*yaml.Node, string) {
	return func(n *yaml.Node, path string) {
		m := map[string]string{}
		r.pairs(n, path, func(k, v *yaml.Node) {
			at, name := join(path, k.Value), textproto.CanonicalMIMEHeaderKey(k.Value)
			_, twice := m[name]
			switch {
			case !headerName.MatchString(k.Value):
				r.wrongKey(k, at, "is not a header's name", "use letters, digits and hyphens")
			case forbidden[name] != "":
				r.wrongKey(k, at, forbidden[name], "remove it")
			case twice:
				r.wrongKey(k, at, "is given twice; letter case makes no difference in header names", "keep one of the two")
			case v.Kind != yaml.ScalarNode || strings.ContainsFunc(v.Value, func(c rune) bool { return c < ' ' && c != '\t' || c == 0x7f }):
				r.wrong(v, at, "is not a header's value", "write one line of text")
			default:
				m[name] = strings.TrimSpace(v.Value)
			}
		})
		*dst = m
	}
}

func (r *reader) members(dst *[]Member) func(*yaml.Node, string) {
	return func(n *yaml.Node, path string) {
		r.pairs(n, path, func(k, v *yaml.Node) {
			if !validPointer(k.Value) {
				r.wrongKey(k, join(path, k.Value), "is not a JSON pointer", "start with a slash, such as /itemId or /items/0/quantity; write ~1 for a slash within a name and ~0 for a tilde")
				return
			}
			value, ok := scalar(v)
			if !ok {
				r.wrong(v, join(path, k.Value), "is not a single JSON value", "write a text, number, true, false or null, with a pointer of its own for each value that matters")
				return
			}
			*dst = append(*dst, Member{Pointer: k.Value, Value: value})
		})
	}
}

// scalar returns the JSON value that a YAML scalar stands for. Texts that
// YAML takes for dates stay texts, since JSON has no dates.
func scalar(n *yaml.Node) (any, bool) {
	if n.Kind != yaml.ScalarNode {
		return nil, false
	}
	switch n.ShortTag() {
	case "!!str", "!!timestamp":
		return n.Value, true
	case "!!null":
		return nil, true
	case "!!bool":
		var b bool
		err := n.Decode(&b)
		return b, err == nil
	case "!!int":
		var v any
		if n.Decode(&v) != nil {
			return nil, false
		}
		return json.Number(fmt.Sprint(v)), true
	case "!!float":
		v, err := strconv.ParseFloat(strings.ReplaceAll(n.Value, "_", ""), 64)
		if err != nil || v-v != 0 {
			return nil, false
		}
		return json.Number(strconv.FormatFloat(v, 'g', -1, 64)), true
	}
	return nil, false
}
