package quality

import (
	"encoding/json"
	"slices"
	"strings"

	"github.com/fairwaycd/fairway"
)

// Perfspec is a performance specification, version 1.0: what is measured, the
// limits of each measure, and the points from which the whole passes. Obtain it
// from [Parse] or [ParsePerfspec]; the zero value judges nothing.
type Perfspec struct {
	SpecVersion string
	Compat      bool // the document or an option asked for Pitometer's answers
	Indicators  []Indicator
	Objectives  fairway.Objectives

	root *node // the document, which the compatible reading interprets
}

// Indicator is one measure.
type Indicator struct {
	ID     string
	Source string          // name of a metric source, case sensitive
	Query  json.RawMessage // as the source wants it: text or an object
	// Template is the query before what differs from test to test was put into
	// it; nil where nothing was.
	Template json.RawMessage
	Grade    Grading
}

// Grading says what an indicator's values are worth.
type Grading struct {
	Limits      []Limit // in the order of limitNames
	MetricScore float64 // points of an indicator within its limits
	IgnoreEmpty bool    // no data counts as within the limits
	Metadata    json.RawMessage
}

// Limit is a bound of an indicator's values, broken by a value that is equal to
// it or beyond it.
type Limit struct {
	Name  string // upperSevere, upperWarning, lowerSevere or lowerWarning, and these with Perc: percent of the earlier value
	Value float64
	Text  string // as written
}

// limitNames are the limits in the order in which they are tested.
var limitNames = []string{"lowerSevere", "lowerWarning", "upperSevere", "upperWarning"}

// relativeNames are the limits in percent above or below the value of an
// earlier evaluation.
var relativeNames = []string{"lowerSeverePerc", "lowerWarningPerc", "upperSeverePerc", "upperWarningPerc"}

func (l Limit) upper() bool    { return strings.HasPrefix(l.Name, "upper") }
func (l Limit) severe() bool   { return strings.Contains(l.Name, "Severe") }
func (l Limit) relative() bool { return strings.HasSuffix(l.Name, "Perc") }

// limit returns the limit of that name.
func (g Grading) limit(name string) (Limit, bool) {
	i := slices.IndexFunc(g.Limits, func(l Limit) bool { return l.Name == name })
	if i < 0 {
		return Limit{}, false
	}
	return g.Limits[i], true
}

// limits returns the limits as an evaluation shows them.
func (g Grading) limits() map[string]float64 {
	if len(g.Limits) == 0 {
		return nil
	}
	m := make(map[string]float64, len(g.Limits))
	for _, l := range g.Limits {
		m[l.Name] = l.Value
	}
	return m
}

// ParseOptions change how a document is read.
type ParseOptions struct {
	// Compat reads the document as Pitometer 1.0.4 does, as its own key
	// "compat": "pitometer" would.
	Compat bool
	// Sources are the names of the metric sources that exist. Default: those
	// that the format knows, Dynatrace and Prometheus.
	Sources []string
	// Source is the metric source of an sli.yaml that lies in a directory of
	// that name; empty elsewhere.
	Source string
	// Connected are those of the sources that can be asked, one of which an
	// sli.yaml has to name if there are several; nil: it is not known.
	Connected []string
	// Written is the perfspec before its placeholders were replaced, so that
	// what it measures is known to be the same from test to test.
	Written []byte
}

// The values that the format knows.
const (
	versionOne      = "1.0"
	compatPitometer = "pitometer"
	graderThreshold = "Threshold"
)

// KnownSources returns the names that a perfspec of version 1.0 may use as a
// source where it is not known which of them are connected.
func KnownSources() []string { return []string{"Dynatrace", "Prometheus"} }

// ParsePerfspec reads a perfspec as [Parse] does without options.
func ParsePerfspec(file string, data []byte) (Perfspec, error) {
	return Parse(file, data, ParseOptions{})
}

// Parse reads a perfspec. The error is of kind invalid and holds every problem
// of the document with file, line, column and remedy. In the compatible reading
// only what makes every run of the original fail is a problem.
func Parse(file string, data []byte, o ParseOptions) (Perfspec, error) {
	c := &checker{file: file, data: data, sources: o.Sources}
	if c.sources == nil {
		c.sources = KnownSources()
	}
	root, err := parseJSON(data)
	if err != nil {
		se := err.(*syntaxError)
		c.add(se.offset, "", "", se.message, se.remedy)
		return Perfspec{}, c.err()
	}
	spec := Perfspec{root: root, Compat: o.Compat}
	if key := root.get("compat"); key != nil {
		if key.kind != kindText || key.text != compatPitometer {
			c.add(key.start, "compat", c.raw(key), "is not a way to read this document", `write "pitometer", or remove the key`)
			return Perfspec{}, c.err()
		}
		spec.Compat = true
	}
	if spec.Compat {
		c.loose(&spec)
	} else {
		c.strict(&spec)
	}
	if err := c.err(); err != nil {
		return Perfspec{}, err
	}
	return spec, nil
}
