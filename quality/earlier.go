package quality

import (
	"encoding/json"
	"math"
	"slices"
	"strings"

	"github.com/fairwaycd/fairway"
)

// The values of a [Comparison].
const (
	IncludeAll        = "all"
	IncludePass       = "pass"
	IncludePassOrWarn = "pass_or_warn"

	AggregateAvg = "avg"
	AggregateP50 = "p50"
	AggregateP90 = "p90"
	AggregateP95 = "p95"
	AggregateP99 = "p99"
)

// Comparison says which earlier evaluations relative criteria are about.
type Comparison struct {
	Include   string // the results that count
	Results   int    // how many of them, the newest first
	Aggregate string // how their values become one
}

// includes reports whether an evaluation with this verdict counts.
func (c Comparison) includes(v fairway.Verdict) bool {
	switch v {
	case fairway.VerdictPass:
		return true
	case fairway.VerdictWarning:
		return c.Include != IncludePass
	case fairway.VerdictFail:
		return c.Include == IncludeAll
	}
	return false
}

// Verdicts are those of evaluations that count.
func (c Comparison) Verdicts() []fairway.Verdict {
	var out []fairway.Verdict
	for _, v := range []fairway.Verdict{fairway.VerdictPass, fairway.VerdictWarning, fairway.VerdictFail} {
		if c.includes(v) {
			out = append(out, v)
		}
	}
	return out
}

// base are the earlier values to compare with.
type base struct {
	now       fairway.Subject
	ids       []string
	aggregate string
	values    map[string][]earlierSeries // by indicator
}

// earlierSeries is what one evaluation saw of an indicator.
type earlierSeries struct {
	definition string
	values     map[string]float64 // by the series' key
}

// base picks from the earlier evaluations, which are of the same service and
// stage, and the newest first. The one that is made is not among them.
func (c Comparison) base(o Options) base {
	b := base{now: o.Subject, aggregate: c.Aggregate, values: map[string][]earlierSeries{}}
	for _, e := range o.Earlier {
		if len(b.ids) == c.Results {
			break
		}
		if e.Invalidated != nil || !c.includes(e.Verdict) || o.Self != "" && e.ID == o.Self {
			continue
		}
		b.ids = append(b.ids, e.ID)
		for _, ir := range e.IndicatorResults {
			if ir.Error != "" {
				continue
			}
			s := earlierSeries{ir.Definition, map[string]float64{}}
			for _, sample := range ir.Samples {
				if v := sample.Float(); v-v == 0 {
					s.values[seriesKey(sample.Key, e.Subject)] = v
				}
			}
			b.values[ir.ID] = append(b.values[ir.ID], s)
		}
	}
	return b
}

// of returns the earlier value for a series: of the one with the same key, or,
// where there was and is only one, of that, for an entity's id belongs to a
// colour.
func (b base) of(m Measure, key string, only bool) *float64 {
	key = seriesKey(key, b.now)
	definition := m.Definition()
	var vs []float64
	for _, series := range b.values[m.ID] {
		if series.definition != "" && series.definition != definition {
			continue
		}
		v, ok := series.values[key]
		if !ok && only && len(series.values) == 1 {
			for _, v = range series.values {
				ok = true
			}
		}
		if ok {
			vs = append(vs, v)
		}
	}
	if len(vs) == 0 {
		return nil
	}
	v := aggregate(b.aggregate, vs)
	return &v
}

// passing are labels whose values belong to one run.
var passing = []string{"version", "fairway_run", "colour", "pod", "pod_name", "pod_template_hash", "container_id", "uid"}

// seriesKey returns a series' name without what belongs to one run: labels
// that name version, run or pod, and the colour in the other labels' values.
// A colour's second series has the same name as the other colour's.
func seriesKey(key string, s fairway.Subject) string {
	bare := string(s.Place.Service)
	coloured := bare
	if s.Place.Colour != "" {
		coloured += "-" + string(s.Place.Colour)
	}
	if bare == "" {
		return key
	}
	var labels map[string]string
	if json.Unmarshal([]byte(key), &labels) != nil {
		return strings.ReplaceAll(key, coloured, bare)
	}
	for _, l := range passing {
		delete(labels, l)
	}
	for l, v := range labels {
		labels[l] = strings.ReplaceAll(v, coloured, bare)
	}
	text, err := json.Marshal(labels)
	if err != nil {
		return key
	}
	return string(text)
}

// aggregate makes one value of several. A percentile stands at position
// p·(n+1) of the sorted values, between two of them by linear interpolation,
// as Keptn's lighthouse has it.
func aggregate(how string, vs []float64) float64 {
	p, ok := map[string]float64{AggregateP50: .5, AggregateP90: .9, AggregateP95: .95, AggregateP99: .99}[how]
	if !ok {
		total := 0.0
		for _, v := range vs {
			total += v / float64(len(vs))
		}
		return total
	}
	vs = slices.Sorted(slices.Values(vs))
	at := p * float64(len(vs)+1)
	switch {
	case at < 1:
		return vs[0]
	case at >= float64(len(vs)):
		return vs[len(vs)-1]
	}
	i, part := math.Modf(at)
	low, high := vs[int(i)-1], vs[int(i)]
	return low + part*(high-low)
}
