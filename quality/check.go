package quality

import (
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/fairwaycd/fairway"
)

// maxScore bounds the points of one indicator, far above any real use and far
// below where sums lose digits.
const maxScore = 1e9

// maxPercent bounds a limit that is relative to an earlier value.
const maxPercent = 1e6

// checker collects the problems of one document.
type checker struct {
	file      string
	data      []byte
	sources   []string
	connected []string // of the sources; nil: it is not known
	problems  []fairway.Problem
	more      int // problems beyond maxProblems
}

func (c *checker) add(offset int, field, value, message, remedy string) {
	if len(c.problems) >= maxProblems {
		c.more++ // looking up the position of each would be quadratic
		return
	}
	line, column := position(c.data, offset)
	c.problems = append(c.problems, fairway.Problem{File: c.file, Line: line, Column: column,
		Field: field, Value: value, Message: message, Remedy: remedy})
}

// count returns the number of problems found so far.
func (c *checker) count() int { return len(c.problems) + c.more }

// err returns all problems in the order of the document.
func (c *checker) err() error {
	slices.SortStableFunc(c.problems, func(a, b fairway.Problem) int {
		if a.Line != b.Line {
			return a.Line - b.Line
		}
		return a.Column - b.Column
	})
	if c.more > 0 {
		c.problems = append(c.problems, fairway.Problem{File: c.file, Message: fmt.Sprintf("has %d more problems", c.more), Remedy: "correct those above first"})
	}
	return fairway.InvalidAll(c.problems)
}

func (c *checker) raw(n *node) string {
	if n.kind == kindText {
		return n.text
	}
	return string(c.data[n.start:n.end])
}

// is reports whether n is of one of the kinds; if not, that is a problem.
func (c *checker) is(n *node, field, remedy string, kinds ...kind) bool {
	if slices.Contains(kinds, n.kind) {
		return true
	}
	c.add(n.start, field, c.raw(n), "is "+n.kind.String(), remedy)
	return false
}

// keys finds unknown and repeated keys of an object.
func (c *checker) keys(n *node, field string, known ...string) {
	seen := map[string]bool{}
	for _, m := range n.members {
		at := join(field, m.key)
		switch {
		case seen[m.key]:
			c.add(m.at, at, "", "is there twice", "keep one of them")
		case !slices.Contains(known, m.key):
			c.add(m.at, at, "", "is not a key of this format", suggest(m.key, known, "use "))
		}
		seen[m.key] = true
	}
}

func join(field, key string) string {
	if field == "" {
		return key
	}
	return field + "." + key
}

// suggest names the word that was probably meant, else all of them.
func suggest(word string, known []string, verb string) string {
	for _, k := range known {
		if strings.EqualFold(strings.TrimSpace(word), k) {
			return verb + k + "; spelling, case and spaces matter"
		}
	}
	if len(known) == 1 {
		return verb + known[0]
	}
	return verb + "one of " + strings.Join(known, ", ")
}

// need returns the member, or adds the problem that it is missing.
func (c *checker) need(n *node, field, key, remedy string) *node {
	v := n.get(key)
	if v == nil {
		c.add(n.start, join(field, key), "", "is missing", remedy)
	}
	return v
}

// number reads a finite number between least and most.
func (c *checker) number(n *node, field string, least, most float64) float64 {
	if n == nil || !c.is(n, field, "write a number without quotation marks", kindNumber) {
		return 0
	}
	v, err := strconv.ParseFloat(n.text, 64)
	if err != nil || math.IsInf(v, 0) {
		c.add(n.start, field, n.text, "is too large a number", "write a smaller one")
		return 0
	}
	if v < least || v > most {
		c.add(n.start, field, n.text, "is out of range", "write a number from "+number(least)+" to "+number(most))
	}
	return v
}

// strict fills spec from its document and finds everything wrong with it.
func (c *checker) strict(spec *Perfspec) {
	root := spec.root
	if !c.is(root, "document", `start with {"spec_version": "1.0", …}`, kindObject) {
		return
	}
	c.keys(root, "", "spec_version", "compat", "indicators", "objectives")
	spec.SpecVersion = versionOne
	if v := root.get("spec_version"); v != nil && (v.kind != kindText || v.text != versionOne) {
		c.add(v.start, "spec_version", c.raw(v), "is not a version that is understood", `write "1.0"`)
	}
	points := 0.0
	list := c.need(root, "", "indicators", "list at least one indicator")
	if list != nil && c.is(list, "indicators", "write a list: [ {…} ]", kindList) {
		c.indicators(spec, list)
		for _, i := range spec.Indicators {
			points += i.Grade.MetricScore
		}
	}
	if o := c.need(root, "", "objectives", `write "objectives": {"pass": 90, "warning": 75}`); o != nil && c.is(o, "objectives", `write {"pass": 90, "warning": 75}`, kindObject) {
		c.objectives(spec, o, points)
	}
}

func (c *checker) objectives(spec *Perfspec, o *node, points float64) {
	before := c.count()
	c.keys(o, "objectives", "pass", "warning")
	pass := c.need(o, "objectives", "pass", "write the points from which the whole passes")
	warning := c.need(o, "objectives", "warning", "write the points from which the whole passes with a warning; the same as pass where there is to be none")
	spec.Objectives.Pass = c.number(pass, "objectives.pass", 0, maxScore*maxIndicators)
	spec.Objectives.Warning = c.number(warning, "objectives.warning", 0, maxScore*maxIndicators)
	if c.count() > before {
		return
	}
	if spec.Objectives.Warning > spec.Objectives.Pass {
		c.add(warning.start, "objectives.warning", warning.text, "is above pass, so no result can be a warning", "write at most "+pass.text)
	}
	// Only a document without other problems has a sum worth comparing with.
	if c.count() == 0 && spec.Objectives.Pass > points*(1+1e-12) {
		c.add(pass.start, "objectives.pass", pass.text, "is above the sum of all metricScore, so nothing can pass", "write at most "+number(points)+", or give the indicators more points")
	}
}

func (c *checker) indicators(spec *Perfspec, list *node) {
	switch {
	case len(list.items) == 0:
		c.add(list.start, "indicators", "", "is empty, so nothing is judged", "list at least one indicator, or remove the file and set gate: off")
	case len(list.items) > maxIndicators:
		c.add(list.start, "indicators", "", fmt.Sprintf("has %d entries", len(list.items)), fmt.Sprintf("keep at most %d", maxIndicators))
		return
	}
	seen := map[string]int{}
	for i, n := range list.items {
		field := "indicators[" + strconv.Itoa(i) + "]"
		if !c.is(n, field, "write an object: {…}", kindObject) {
			continue
		}
		ind := c.indicator(n, field)
		if first, ok := seen[ind.ID]; ok && ind.ID != "" {
			c.add(n.get("id").start, field+".id", ind.ID, fmt.Sprintf("is the id of indicators[%d] too", first), "give each indicator an id of its own")
		} else {
			seen[ind.ID] = i
		}
		spec.Indicators = append(spec.Indicators, ind)
	}
}

func (c *checker) indicator(n *node, field string) Indicator {
	c.keys(n, field, "id", "source", "query", "grading", "metadata", "output")
	var ind Indicator
	if id := c.need(n, field, "id", "name what is measured, e.g. response_time"); id != nil && c.is(id, field+".id", "write text", kindText) {
		ind.ID = id.text
		if strings.TrimSpace(id.text) == "" {
			c.add(id.start, field+".id", "", "is empty", "name what is measured, e.g. response_time")
		}
	}
	names := strings.Join(c.sources, ", ")
	if s := c.need(n, field, "source", "name the metric source: "+names); s != nil && c.is(s, field+".source", "write text", kindText) {
		ind.Source = s.text
		if !slices.Contains(c.sources, s.text) {
			c.add(s.start, field+".source", s.text, "is not a metric source that exists here", suggest(s.text, c.sources, "write "))
		}
	}
	if q := c.need(n, field, "query", "write the query as the source wants it"); q != nil {
		c.query(q, field+".query", ind.Source)
		ind.Query = json.RawMessage(c.data[q.start:q.end])
	}
	if g := c.need(n, field, "grading", `write {"type": "Threshold", "thresholds": {"upperSevere": …}, "metricScore": 100}`); g != nil && c.is(g, field+".grading", "write an object: {…}", kindObject) {
		ind.Grade = c.grading(g, field+".grading")
	}
	return ind
}

func (c *checker) query(q *node, field, source string) {
	switch source {
	case "Prometheus":
		if c.is(q, field, "write PromQL as text", kindText) && strings.TrimSpace(q.text) == "" {
			c.add(q.start, field, "", "is empty", "write PromQL, e.g. rate(requests_total[$DURATION_SECONDSs])")
		}
	case "Dynatrace":
		c.is(q, field, `write an object: {"timeseriesId": …}, or a text: "metricSelector=…"`, kindObject, kindText)
	default:
		c.is(q, field, "write text or an object, as the source wants it", kindText, kindObject)
	}
}

func (c *checker) grading(n *node, field string) Grading {
	var g Grading
	c.keys(n, field, "type", "thresholds", "metricScore", "ignoreEmpty", "metadata")
	if t := c.need(n, field, "type", `write "Threshold"`); t != nil && (t.kind != kindText || t.text != graderThreshold) {
		c.add(t.start, field+".type", c.raw(t), "is not a grader", `write "Threshold", the only one there is`)
	}
	if s := c.need(n, field, "metricScore", "write the points that the indicator is worth, e.g. 100"); s != nil {
		g.MetricScore = c.number(s, field+".metricScore", 0, maxScore)
	}
	if e := n.get("ignoreEmpty"); e != nil && c.is(e, field+".ignoreEmpty", "write true or false", kindBool) {
		g.IgnoreEmpty = e.text == "true"
	}
	if m := n.get("metadata"); m != nil {
		g.Metadata = json.RawMessage(c.data[m.start:m.end])
	}
	if t := c.need(n, field, "thresholds", `write at least one limit: {"upperSevere": 1.0}`); t != nil && c.is(t, field+".thresholds", `write {"upperSevere": 1.0}`, kindObject) {
		g.Limits = c.limits(t, field+".thresholds")
	}
	return g
}

func (c *checker) limits(t *node, field string) []Limit {
	before := c.count()
	c.keys(t, field, slices.Concat(limitNames, relativeNames)...)
	var limits []Limit
	for _, name := range limitNames {
		if n := t.get(name); n != nil {
			v := c.number(n, field+"."+name, -math.MaxFloat64, math.MaxFloat64)
			limits = append(limits, Limit{Name: name, Value: v, Text: n.text})
		}
	}
	for _, name := range relativeNames {
		if n := t.get(name); n != nil {
			v := c.number(n, field+"."+name, 0, maxPercent)
			limits = append(limits, Limit{Name: name, Value: v, Text: n.text})
		}
	}
	if len(t.members) == 0 {
		c.add(t.start, field, "", "has no limit, so nothing can fail", `write at least one: {"upperSevere": 1.0}`)
	}
	if c.count() > before {
		return limits
	}
	for i, a := range limits {
		for _, b := range limits[i+1:] {
			if remedy := contradiction(a, b); remedy != "" {
				c.add(t.get(b.Name).start, field+"."+b.Name, b.Text, "contradicts "+a.Name+" "+a.Text, remedy)
			}
		}
	}
	return limits
}

// contradiction returns what to do about two limits that leave no value within
// both, or a warning that can never be given; empty when they go together.
// a comes before b in the order of limitNames.
func contradiction(a, b Limit) string {
	switch {
	case a.relative() != b.relative() || a.relative() && a.upper() != b.upper():
		return "" // depends on the earlier value
	case a.relative() && b.Value > a.Value && b.upper(), a.relative() && b.Value > a.Value && !b.upper():
		return "write a warning at or below the severe limit; beyond that nothing is a mere warning"
	case a.relative():
		return ""
	case a.upper() != b.upper(): // a is a lower one
		if a.Value >= b.Value {
			return "write upper limits above lower ones; as it stands every value breaks one of them"
		}
	case b.upper() && b.Value > a.Value:
		return "write upperWarning at or below upperSevere; beyond it nothing is a mere warning"
	case !b.upper() && b.Value < a.Value:
		return "write lowerWarning at or above lowerSevere; beyond it nothing is a mere warning"
	}
	return ""
}

// number prints v as people write it.
func number(v float64) string {
	if a := math.Abs(v); a != 0 && (a >= 1e15 || a < 1e-6) {
		return strconv.FormatFloat(v, 'g', -1, 64)
	}
	return strconv.FormatFloat(v, 'f', -1, 64)
}
