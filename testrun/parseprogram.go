package testrun

import (
	"path"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"
)

// program are the keys of a test that another program performs.
func (r *reader) program(p *Program) []key {
	return []key{
		{"command", r.command(&p.Command)},
		{"jmeter", r.script(&p.JMeter)},
		{"timeout", r.duration(&p.Timeout, time.Second, maxProgramTimeout)},
	}
}

const maxArguments = 100

func (r *reader) command(dst *[]string) func(*yaml.Node, string) {
	return func(n *yaml.Node, path string) {
		r.list(n, path, maxArguments, func(n *yaml.Node, path string) {
			if n.Kind != yaml.ScalarNode || strings.ContainsRune(n.Value, 0) {
				r.wrong(n, path, "is not a text", "write the program and each of its arguments as one text, e.g. [k6, run, tests/load.js]")
				return
			}
			*dst = append(*dst, n.Value)
		})
		if len(*dst) > 0 && (*dst)[0] == "" {
			r.wrong(n, path, "names no program", "begin with the program, e.g. [k6, run, tests/load.js]")
		}
	}
}

func (r *reader) script(dst *string) func(*yaml.Node, string) {
	return func(n *yaml.Node, at string) {
		v := n.Value
		if n.Kind != yaml.ScalarNode || path.Clean(v) != v || !strings.HasPrefix(v, "jmeter/") || path.Ext(v) != ".jmx" {
			r.wrong(n, at, "is not a JMeter script of the service", "name it as it lies in the service's directory, e.g. jmeter/carts_load.jmx")
			return
		}
		*dst = v
	}
}

// oneWay wants exactly one of requests, command and jmeter.
func (r *reader) oneWay(root *yaml.Node, have map[string]bool, p *Program) {
	first := ""
	for _, way := range []string{"requests", "command", "jmeter"} {
		switch {
		case have[way] && first != "":
			r.wrong(child(root, way), way, "is given beside "+first, "keep one of the two: either does the testing")
		case have[way]:
			first = way
		}
	}
	if first == "" {
		r.needs(root, "", have, "requests")
	}
	if p.any() && p.Timeout == 0 {
		p.Timeout = DefaultProgramTimeout
	}
	if have["timeout"] && first == "requests" {
		r.wrong(child(root, "timeout"), "timeout", "is for programs", "set timeout at a request")
	}
}

// programLoad refuses the keys that a program would not obey.
func (r *reader) programLoad(root *yaml.Node, have map[string]bool, p *Performance) {
	obeyed := map[string]bool{}
	if p.JMeter != "" {
		obeyed = map[string]bool{"users": true, "iterations": true, "think": true}
	}
	for _, k := range []string{"users", "iterations", "think", "duration", "rampUp"} {
		if have[k] && !obeyed[k] {
			r.wrong(child(root, k), k, "means nothing to a program", "remove it, and give the program an argument")
		}
	}
	if p.JMeter != "" && !have["iterations"] {
		p.Iterations = DefaultIterations
	}
}
