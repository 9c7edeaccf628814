package quality

import (
	"encoding/json"
	"fmt"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/fairwaycd/fairway"
)

// The versions of service level objectives that are understood; they differ in
// nothing that is read here.
var sloVersions = []string{"1.0", "0.1.1", "0.1.0"}

// Bounds of what an SLO may ask for.
const (
	maxWeight      = 1_000_000
	maxComparisons = 100
)

// ParseSLO reads service level objectives and the indicators that they name,
// in the formats of Keptn's later versions (spec_version 1.0). The error is of
// kind invalid and holds every problem of both documents with file, line,
// column and remedy. source is the metric source where sli does not name one.
//
// Of a criterion blanks are removed; then it is an operator (<=, <, =, >=, >),
// a sign for targets relative to earlier evaluations (+ above, - below), a
// number, and % for percent of the earlier value, which without a sign means
// above it. Criteria of one entry have to hold together, of several entries
// one has to hold.
func ParseSLO(sloFile string, slo []byte, sliFile string, sli []byte, o ParseOptions) (Criteria, error) {
	sources := o.Sources
	if sources == nil {
		sources = KnownSources()
	}
	indicators := &checker{file: sliFile, data: sli, sources: sources, connected: o.Connected}
	queries := indicators.sli(o.Source)
	objectives := &checker{file: sloFile, data: slo, sources: sources}
	c := objectives.slo(queries, indicators.count() == 0)
	objectives.problems = append(objectives.problems, indicators.problems...)
	objectives.more += indicators.more
	if err := objectives.sorted(); err != nil {
		return Criteria{}, err
	}
	return c, nil
}

// sorted returns all problems file by file.
func (c *checker) sorted() error {
	slices.SortStableFunc(c.problems, func(a, b fairway.Problem) int { return strings.Compare(a.File, b.File) })
	return fairway.InvalidAll(c.problems)
}

// yaml parses the checker's data, or notes why it cannot be.
func (c *checker) yaml(remedy string) *node {
	root, err := parseYAML(c.data)
	if err != nil {
		se := err.(*syntaxError)
		c.add(se.offset, "", "", se.message, se.remedy)
		return nil
	}
	if !c.is(root, "document", remedy, kindObject) {
		return nil
	}
	return root
}

// query is an indicator of sli.yaml.
type query struct {
	source, text string
}

func (c *checker) sli(source string) map[string]query {
	if len(c.data) == 0 {
		c.add(0, "", "", "is missing", "add sli.yaml beside slo.yaml: indicators: {NAME: QUERY}")
		return nil
	}
	root := c.yaml("write indicators: {NAME: QUERY}")
	if root == nil {
		return nil
	}
	c.keys(root, "", "spec_version", "indicators", "source")
	c.version(root)
	if n := root.get("source"); n != nil && c.is(n, "source", "write the name of a metric source", kindText) {
		named := n.text
		i := slices.IndexFunc(c.sources, func(s string) bool { return strings.EqualFold(s, named) })
		switch {
		case i < 0:
			c.add(n.start, "source", n.text, "is not a metric source that exists here", suggest(n.text, c.sources, "write "))
		case source != "" && c.sources[i] != source:
			c.add(n.start, "source", n.text, "contradicts the file's directory, which says "+source, "remove one of the two")
		default:
			source = c.sources[i]
		}
	}
	if source == "" {
		source = c.onlySource(root)
	}
	out := map[string]query{}
	list := c.need(root, "", "indicators", "write indicators: {NAME: QUERY}")
	if list == nil || !c.is(list, "indicators", "write indicators: {NAME: QUERY}", kindObject) {
		return out
	}
	if len(list.members) > maxIndicators {
		c.add(list.start, "indicators", "", fmt.Sprintf("has %d entries", len(list.members)), fmt.Sprintf("keep at most %d", maxIndicators))
		return out
	}
	for _, m := range list.members {
		field := "indicators." + m.key
		if _, twice := out[m.key]; twice {
			c.add(m.at, field, "", "is there twice", "keep one of them")
			continue
		}
		out[m.key] = query{source: source, text: m.value.text}
		if !c.is(m.value, field, "write the query as text", kindText) {
			continue
		}
		switch text := strings.TrimSpace(m.value.text); {
		case text == "":
			c.add(m.value.start, field, "", "is empty", "write the query, or remove the indicator")
		case source != "Dynatrace" && dynatraceQuery.MatchString(text):
			c.add(m.value.start, field, "", "is a query to Dynatrace, but the source is "+source, "write source: Dynatrace at the top of the file")
		}
	}
	return out
}

// onlySource returns the source of indicators that do not name one: there has
// to be one alone, for a guess would ask the wrong system. Where it is not
// known what is connected, nothing is asked.
func (c *checker) onlySource(root *node) string {
	switch {
	case len(c.connected) == 0:
		return "Prometheus"
	case len(c.connected) == 1:
		return c.connected[0]
	}
	c.add(root.start, "source", "", "is missing, and more than one metric source is connected", suggest("", c.connected, "write source: "))
	return ""
}

var dynatraceQuery = regexp.MustCompile(`^(metricSelector=|MV2;|USQL;|SLO;|PV2;|SECPV2;)`)

func (c *checker) version(root *node) {
	v := root.get("spec_version")
	if v == nil {
		return
	}
	if !slices.Contains(sloVersions, v.text) || v.kind != kindText && v.kind != kindNumber {
		c.add(v.start, "spec_version", c.raw(v), "is not a version that is understood", `write "1.0"`)
	}
}

func (c *checker) slo(queries map[string]query, complete bool) Criteria {
	out := Criteria{Percent: true, Comparison: Comparison{Include: IncludeAll, Results: 1, Aggregate: AggregateAvg}}
	root := c.yaml("write objectives: [{sli: NAME, pass: [{criteria: [\"<600\"]}]}] and total_score: {pass: 90%, warning: 75%}")
	if root == nil {
		return out
	}
	c.keys(root, "", "spec_version", "filter", "comparison", "objectives", "total_score")
	c.version(root)
	if f := root.get("filter"); f != nil && f.kind == kindObject && len(f.members) > 0 {
		out.Notes = append(out.Notes, "filter has no effect: queries are tied to the version under test by Fairway itself")
	}
	if n := root.get("comparison"); n != nil && c.is(n, "comparison", "write compare_with, include_result_with_score, number_of_comparison_results, aggregate_function below it", kindObject) {
		c.comparison(n, &out.Comparison)
	}
	list := c.need(root, "", "objectives", "list at least one objective: [{sli: NAME, pass: …}]")
	if list != nil && c.is(list, "objectives", "write a list", kindList) {
		c.objectiveList(list, queries, complete, &out)
	}
	c.total(root, &out)
	return out
}

func (c *checker) word(n *node, field, missing string, known ...string) string {
	if n == nil {
		return missing
	}
	if n.kind != kindText || !slices.Contains(known, n.text) {
		c.add(n.start, field, c.raw(n), "is not a value of this key", suggest(n.text, known, "write "))
		return missing
	}
	return n.text
}

func (c *checker) comparison(n *node, out *Comparison) {
	c.keys(n, "comparison", "compare_with", "include_result_with_score", "number_of_comparison_results", "aggregate_function")
	with := c.word(n.get("compare_with"), "comparison.compare_with", "", "single_result", "several_results")
	out.Include = c.word(n.get("include_result_with_score"), "comparison.include_result_with_score", IncludeAll, IncludeAll, IncludePass, IncludePassOrWarn)
	out.Aggregate = c.word(n.get("aggregate_function"), "comparison.aggregate_function", AggregateAvg, AggregateAvg, AggregateP50, AggregateP90, AggregateP95, AggregateP99)
	out.Results = 3
	count := n.get("number_of_comparison_results")
	if count != nil {
		v := c.number(count, "comparison.number_of_comparison_results", 1, maxComparisons)
		if v != math.Trunc(v) {
			c.add(count.start, "comparison.number_of_comparison_results", count.text, "is no whole number", "write one from 1 to 100")
		}
		if v >= 1 {
			out.Results = int(v)
		}
	}
	if with == "single_result" {
		out.Results = 1
	}
}

func (c *checker) objectiveList(list *node, queries map[string]query, complete bool, out *Criteria) {
	switch {
	case len(list.items) == 0:
		c.add(list.start, "objectives", "", "is empty, so nothing is judged", "list at least one objective, or remove the file and set gate: off")
	case len(list.items) > maxIndicators:
		c.add(list.start, "objectives", "", fmt.Sprintf("has %d entries", len(list.items)), fmt.Sprintf("keep at most %d", maxIndicators))
		return
	}
	seen := map[string]bool{}
	for i, n := range list.items {
		field := "objectives[" + strconv.Itoa(i) + "]"
		if !c.is(n, field, "write sli, pass, warning, weight below it", kindObject) {
			continue
		}
		m := c.objective(n, field)
		if at := n.get("sli"); at != nil && m.ID != "" {
			q, known := queries[m.ID]
			switch {
			case seen[m.ID]:
				c.add(at.start, field+".sli", m.ID, "has an objective already", "join the two")
			case !known && complete:
				c.add(at.start, field+".sli", m.ID, "is not an indicator of sli.yaml", suggest(m.ID, sortedNames(queries), "write "))
			}
			seen[m.ID] = true
			m.Source = q.source
			m.Query, _ = json.Marshal(q.text) // of a text
		}
		out.Measures = append(out.Measures, m)
	}
}

func sortedNames(queries map[string]query) []string {
	names := make([]string, 0, len(queries))
	for name := range queries {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

func (c *checker) objective(n *node, field string) Measure {
	c.keys(n, field, "sli", "displayName", "key_sli", "weight", "pass", "warning")
	m := Measure{Points: 1}
	if id := c.need(n, field, "sli", "name an indicator of sli.yaml"); id != nil && c.is(id, field+".sli", "write text", kindText) {
		m.ID = id.text
		if m.ID == "" {
			c.add(id.start, field+".sli", "", "is empty", "name an indicator of sli.yaml")
		}
	}
	if t := n.get("displayName"); t != nil && c.is(t, field+".displayName", "write text", kindText) {
		m.Title = t.text
	}
	if k := n.get("key_sli"); k != nil && c.is(k, field+".key_sli", "write true or false", kindBool) {
		m.Key = k.text == "true"
	}
	if w := n.get("weight"); w != nil {
		if v := c.number(w, field+".weight", 0, maxWeight); v > 0 {
			m.Points = v
		}
	}
	m.Pass = c.sets(n.get("pass"), field+".pass")
	m.Warning = c.sets(n.get("warning"), field+".warning")
	if len(m.Pass) == 0 && len(m.Warning) > 0 {
		c.add(n.get("warning").start, field+".warning", "", "is given without pass", "say from which values the objective passes")
	}
	return m
}

// sets reads a list of criteria lists.
func (c *checker) sets(n *node, field string) []Set {
	if n == nil || n.kind == kindNull || !c.is(n, field, `write a list: [{criteria: ["<600"]}]`, kindList) {
		return nil
	}
	var out []Set
	for i, item := range n.items {
		at := field + "[" + strconv.Itoa(i) + "]"
		if !c.is(item, at, `write {criteria: ["<600"]}`, kindObject) {
			continue
		}
		c.keys(item, at, "criteria")
		list := c.need(item, at, "criteria", `write criteria: ["<600"]`)
		if list == nil || !c.is(list, at+".criteria", `write a list: ["<600"]`, kindList) {
			continue
		}
		if len(list.items) == 0 {
			c.add(list.start, at+".criteria", "", "is empty, so that everything meets it", `write at least one, e.g. "<600"`)
		}
		if len(list.items) > maxProblems {
			c.add(list.start, at+".criteria", "", fmt.Sprintf("has %d entries", len(list.items)), "keep at most 100")
			continue
		}
		var set Set
		for k, text := range list.items {
			one := at + ".criteria[" + strconv.Itoa(k) + "]"
			if !c.is(text, one, `write text, e.g. "<600"`, kindText) {
				continue
			}
			criterion, err := ParseCriterion(text.text)
			if err != nil {
				c.add(text.start, one, text.text, "is not a criterion", err.Error())
				continue
			}
			set = append(set, criterion)
		}
		out = append(out, set)
	}
	return out
}

// operators are in the order in which they are tried.
var operators = []string{"<=", "<", "=", ">=", ">"}

// ParseCriterion reads one criterion of an SLO; see [ParseSLO]. The error is
// the remedy.
func ParseCriterion(text string) (Criterion, error) {
	c := Criterion{}
	rest := strings.Join(strings.Fields(text), "")
	c.Name = rest
	for _, op := range operators {
		if tail, ok := strings.CutPrefix(rest, op); ok {
			c.Op, rest = op, tail
			break
		}
	}
	if c.Op == "" {
		return c, fmt.Errorf(`begin with <=, <, =, >= or >, e.g. "<600"`)
	}
	c.Text = rest
	if head, ok := strings.CutSuffix(rest, "%"); ok {
		rest, c.Percent, c.Change = head, true, 1
	}
	if tail, ok := strings.CutPrefix(rest, "-"); ok {
		rest, c.Change = tail, -1
	} else if tail, ok := strings.CutPrefix(rest, "+"); ok {
		rest, c.Change = tail, 1
	}
	v, err := strconv.ParseFloat(rest, 64)
	if err != nil || v-v != 0 || !plainNumber.MatchString(rest) {
		return c, fmt.Errorf(`write a number after %s, e.g. "%s600", "%s+10%%" or "%s-5"`, c.Op, c.Op, c.Op, c.Op)
	}
	c.Value = v
	return c, nil
}

var plainNumber = regexp.MustCompile(`^[0-9]*\.?[0-9]+([eE][+-]?[0-9]+)?$`)

func (c *checker) total(root *node, out *Criteria) {
	t := c.need(root, "", "total_score", "write total_score: {pass: 90%, warning: 75%}")
	if t == nil || !c.is(t, "total_score", "write {pass: 90%, warning: 75%}", kindObject) {
		return
	}
	c.keys(t, "total_score", "pass", "warning")
	pass := c.need(t, "total_score", "pass", "write the percentage from which the whole passes, e.g. 90%")
	out.Objectives.Pass = c.percentage(pass, "total_score.pass")
	out.Objectives.Warning = out.Objectives.Pass
	if w := t.get("warning"); w != nil {
		out.Objectives.Warning = c.percentage(w, "total_score.warning")
		if out.Objectives.Warning > out.Objectives.Pass {
			c.add(w.start, "total_score.warning", c.raw(w), "is above pass, so no result can be a warning", "write a smaller one")
		}
	}
}

func (c *checker) percentage(n *node, field string) float64 {
	if n == nil {
		return 0
	}
	v, err := strconv.ParseFloat(strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(n.text), "%")), 64)
	if n.kind != kindText && n.kind != kindNumber || err != nil || !(v >= 0 && v <= 100) {
		c.add(n.start, field, c.raw(n), "is no percentage from 0% to 100%", "write e.g. 90%")
		return 0
	}
	return v
}
