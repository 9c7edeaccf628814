package api

import (
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/fairwaycd/fairway"
)

// params are a request's query parameters; problems are collected while they
// are read.
type params struct {
	values   url.Values
	problems []fairway.Problem
}

// query reads the query of r, in which only the known names may stand.
func query(r *http.Request, known ...string) (*params, error) {
	// URL.Query would drop what it cannot read.
	values, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return nil, withStatus(http.StatusBadRequest, fairway.Invalid("query", r.URL.RawQuery, "cannot be read: "+err.Error(), "escape it as in a URL"))
	}
	p := &params{values: values}
	for _, name := range slices.Sorted(maps.Keys(values)) {
		switch {
		case !slices.Contains(known, name):
			remedy := "this address takes none"
			if len(known) > 0 {
				remedy = "use " + strings.Join(known, ", ")
			}
			p.add(name, values[name][0], "is not a parameter of "+r.URL.Path, remedy)
		case len(values[name]) > 1:
			p.add(name, strings.Join(values[name], ", "), "is given more than once", "give it once")
		}
	}
	return p, nil
}

func (p *params) add(field, value, message, remedy string) {
	p.problems = append(p.problems, fairway.Problem{Field: field, Value: value, Message: message, Remedy: remedy})
}

// err returns all problems found so far.
func (p *params) err() error { return fairway.InvalidAll(p.problems) }

// text returns a parameter; absent means empty.
func (p *params) text(name string) string { return p.values.Get(name) }

// flag returns a parameter that is true or false; absent means false.
func (p *params) flag(name string) bool {
	switch v := p.text(name); v {
	case "", "false":
		return false
	case "true":
		return true
	default:
		p.add(name, v, "is neither true nor false", "write "+name+"=true")
		return false
	}
}

// number returns a parameter that counts; absent means 0.
func (p *params) number(name string, bits int) uint64 {
	v := p.text(name)
	if v == "" {
		return 0
	}
	n, err := strconv.ParseUint(v, 10, bits)
	if err != nil {
		p.add(name, v, "is not a count", "write a number from 0 on")
	}
	return n
}

// noQuery refuses a query where none is understood.
func noQuery(r *http.Request) error {
	q, err := query(r)
	if err != nil {
		return err
	}
	return q.err()
}
