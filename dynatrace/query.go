package dynatrace

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/fairwaycd/fairway"
)

// query is a specification's query, read.
type query struct {
	v1          bool
	metric      string // timeseriesId, or the metric selector of v2
	aggregation string // v1
	percentile  int    // v1, with the aggregation PERCENTILE
	scope       scope  // as written
	unit        string // v1: what values are turned into; empty leaves them
	divide      float64
	notes       []string
}

const (
	exampleV1 = `write {"timeseriesId": "com.dynatrace.builtin:service.responsetime", "aggregation": "AVG"}`
	exampleV2 = `write "metricSelector=builtin:service.response.time:avg&entitySelector=type(SERVICE)"`
)

// parseQuery reads the object of the v1 API, or the text of v2 that later
// specifications use.
func parseQuery(raw json.RawMessage, s fairway.Subject) (query, error) {
	trimmed := bytes.TrimSpace(raw)
	if len(trimmed) > 0 && trimmed[0] == '"' {
		var text string
		if err := json.Unmarshal(trimmed, &text); err != nil {
			return query{}, fairway.Invalid("query", string(raw), "cannot be read", exampleV2)
		}
		return parseText(text, s)
	}
	return parseObject(trimmed)
}

// object is the form of the v1 API, with the spellings that specifications have.
type object struct {
	TimeseriesID    string          `json:"timeseriesId"`
	Aggregation     string          `json:"aggregation"`
	AggregationType string          `json:"aggregationType"`
	Percentile      int             `json:"percentile"`
	EntityIDs       []string        `json:"entityIds"`
	Entities        []string        `json:"entities"`
	Tags            []string        `json:"tags"`
	Unit            string          `json:"unit"`
	Start           json.RawMessage `json:"startTimestamp"`
	End             json.RawMessage `json:"endTimestamp"`
	RelativeTime    string          `json:"relativeTime"`
	QueryMode       string          `json:"queryMode"`

	MetricSelector string `json:"metricSelector"`
	EntitySelector string `json:"entitySelector"`
}

func parseObject(raw []byte) (query, error) {
	var o object
	dec := json.NewDecoder(bytes.NewReader(raw))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&o); err != nil {
		return query{}, fairway.Invalid("query", string(raw), "is no query of Dynatrace: "+strings.TrimPrefix(err.Error(), "json: "), exampleV1)
	}
	if o.MetricSelector != "" {
		if o.TimeseriesID != "" || o.Unit != "" {
			return query{}, fairway.Invalid("query", string(raw), "mixes metricSelector with timeseriesId or unit", exampleV2)
		}
		return query{metric: o.MetricSelector, scope: scope{selector: o.EntitySelector}, divide: 1}, nil
	}
	q := query{v1: true, metric: o.TimeseriesID, unit: o.Unit, divide: 1,
		scope: scope{entities: slices.Concat(o.EntityIDs, o.Entities), tags: o.Tags}}
	if q.metric == "" {
		return query{}, fairway.Invalid("query.timeseriesId", "", "is missing", exampleV1)
	}
	if _, ok := nanoseconds[unitWord(q.unit)]; !ok && q.unit != "" {
		return query{}, fairway.Invalid("query.unit", q.unit, "is not a unit of time", "write µs, ms or s, or leave it out for the metric's own")
	}
	if o.Aggregation == "" {
		o.Aggregation = o.AggregationType
	}
	var err error
	if q.aggregation, q.percentile, err = aggregation(o.Aggregation, o.Percentile); err != nil {
		return query{}, err
	}
	for _, t := range []struct {
		name, value string
	}{{"startTimestamp", unquote(o.Start)}, {"endTimestamp", unquote(o.End)}, {"relativeTime", o.RelativeTime}} {
		if t.value != "" && t.value != "null" && t.value != "0" {
			q.notes = append(q.notes, fmt.Sprintf("%s %s of the query was not used: a gate judges the time of the test", t.name, t.value))
		}
	}
	return q, nil
}

func unquote(raw json.RawMessage) string { return strings.Trim(string(raw), `"`) }

// aggregations are those of the v1 API.
var aggregations = []string{"AVG", "COUNT", "MAX", "MEDIAN", "MIN", "PERCENTILE", "SUM"}

// aggregation reads AVG, avg, p95, and PERCENTILE with a number beside it.
func aggregation(text string, percentile int) (string, int, error) {
	word := strings.ToUpper(strings.TrimSpace(text))
	if n, err := strconv.Atoi(strings.TrimPrefix(word, "P")); err == nil && strings.HasPrefix(word, "P") {
		word, percentile = "PERCENTILE", n
	}
	switch {
	case word == "":
		return "", 0, fairway.Invalid("query.aggregation", "", "is missing", "write one of "+strings.Join(aggregations, ", ")+", or p95")
	case !slices.Contains(aggregations, word):
		return "", 0, fairway.Invalid("query.aggregation", text, "is not an aggregation of Dynatrace", "write one of "+strings.Join(aggregations, ", ")+", or p95")
	case word != "PERCENTILE":
		return word, 0, nil
	case percentile < 1 || percentile > 99:
		return "", 0, fairway.Invalid("query.percentile", strconv.Itoa(percentile), "is not a percentile", `write "aggregation": "p95"`)
	}
	return word, percentile, nil
}

// parseText reads the query texts of Keptn's later SLI files:
//
//	metricSelector=…&entitySelector=…
//	MV2;MicroSecond;metricSelector=…   divided by 1000; MV2;Byte; by 1024
//	SELECTOR?scope=tag(…),tag(…)       of the first versions
//
// What is built on the response time comes in milliseconds, as there.
func parseText(text string, s fairway.Subject) (query, error) {
	text = strings.NewReplacer("$PROJECT", string(s.Project), "$STAGE", string(s.Stage), "$SERVICE", string(s.Place.Service), "$DEPLOYMENT", s.Place.Colour.String()).Replace(text)
	q := query{divide: 1}
	rest := strings.TrimSpace(text)
	if prefix, more, ok := strings.Cut(rest, ";"); ok && !strings.Contains(prefix, "=") {
		if prefix != "MV2" {
			return q, fairway.Invalid("query", text, "begins with "+prefix+"; of the prefixes only MV2 is understood", exampleV2)
		}
		unit, selector, ok := strings.Cut(more, ";")
		divide := map[string]float64{"MicroSecond": 1000, "Byte": 1024}[unit]
		if !ok || divide == 0 {
			return q, fairway.Invalid("query", text, "has no unit after MV2 that can be converted", "write MV2;MicroSecond;metricSelector=… or MV2;Byte;metricSelector=…")
		}
		q.divide, rest = divide, selector
		q.notes = append(q.notes, fmt.Sprintf("the values were divided by %g (MV2;%s)", divide, unit))
	}
	if selector, params, ok := strings.Cut(rest, "?"); ok && !strings.HasPrefix(rest, "metricSelector=") {
		rest = "metricSelector=" + selector + "&" + params
	}
	if err := q.parameters(rest); err != nil {
		return q, err
	}
	if q.divide == 1 && strings.HasPrefix(q.metric, "builtin:service.response.time") {
		q.divide = 1000
		q.notes = append(q.notes, "the response time was turned from µs into ms, as in Keptn")
	}
	return q, nil
}

// parameters reads NAME=VALUE&…; values stand as they are or URL-encoded.
func (q *query) parameters(text string) error {
	for part := range strings.SplitSeq(text, "&") {
		name, value, _ := strings.Cut(part, "=")
		if plain, err := url.PathUnescape(value); err == nil {
			value = plain
		}
		switch name {
		case "metricSelector":
			q.metric = value
		case "entitySelector", "scope":
			q.scope.selector = value
		case "resolution", "from", "to":
			q.notes = append(q.notes, fmt.Sprintf("%s=%s of the query was not used: a gate judges the whole test at once", name, value))
		default:
			return fairway.Invalid("query", text, "has the part "+part+", which is not understood", exampleV2)
		}
	}
	if q.metric == "" {
		return fairway.Invalid("query", text, "has no metricSelector", exampleV2)
	}
	return nil
}

// nanoseconds are the units of time by the words that Dynatrace and people use.
var nanoseconds = map[string]float64{
	"nanosecond": 1, "ns": 1,
	"microsecond": 1e3, "µs": 1e3, "μs": 1e3, "us": 1e3,
	"millisecond": 1e6, "ms": 1e6,
	"second": 1e9, "s": 1e9,
	"minute": 60e9, "min": 60e9,
}

// unitWord takes the word out of "MicroSecond (µs)".
func unitWord(text string) string {
	word, _, _ := strings.Cut(strings.TrimSpace(text), " ")
	return strings.ToLower(word)
}

// convert turns a value in the reported unit into that of the query. It
// divides by whole numbers where it can: 50000 µs are 0.05 s, and not a
// little less.
func (q query) convert(v float64, reported string) (float64, error) {
	if q.unit == "" {
		return v / q.divide, nil
	}
	from, ok := nanoseconds[unitWord(reported)]
	if !ok {
		return 0, fairway.Invalid("query.unit", q.unit, "cannot be had from "+strconv.Quote(reported)+", the unit of "+q.metric, "leave unit out")
	}
	to := nanoseconds[unitWord(q.unit)]
	if from < to {
		return v / (to / from), nil
	}
	return v * (from / to), nil
}
