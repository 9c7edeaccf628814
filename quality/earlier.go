package quality

import (
	"math"
	"slices"

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

// base are the earlier values to compare with.
type base struct {
	ids       []string
	aggregate string
	values    map[string][]map[string]float64 // by indicator, for each evaluation its series
}

// base picks from earlier, which are of the same service and stage, not
// invalidated, and the newest first.
func (c Comparison) base(earlier []fairway.Evaluation) base {
	b := base{aggregate: c.Aggregate, values: map[string][]map[string]float64{}}
	for _, e := range earlier {
		if len(b.ids) == c.Results {
			break
		}
		if e.Invalidated != nil || !c.includes(e.Verdict) {
			continue
		}
		b.ids = append(b.ids, e.ID)
		for _, ir := range e.IndicatorResults {
			if ir.Error != "" {
				continue
			}
			series := map[string]float64{}
			for _, s := range ir.Samples {
				if v := s.Float(); v-v == 0 {
					series[s.Key] = v
				}
			}
			b.values[ir.ID] = append(b.values[ir.ID], series)
		}
	}
	return b
}

// of returns the earlier value for a series: of the one with the same key, or,
// where there was and is only one, of that.
func (b base) of(indicator, key string, only bool) *float64 {
	var vs []float64
	for _, series := range b.values[indicator] {
		v, ok := series[key]
		if !ok && only && len(series) == 1 {
			for _, v = range series {
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

// aggregate makes one value of several. A percentile stands at position
// p·(n+1) of the sorted values, between two of them by linear interpolation,
// as Keptn's lighthouse has it.
func aggregate(how string, vs []float64) float64 {
	p, ok := map[string]float64{AggregateP50: .5, AggregateP90: .9, AggregateP95: .95}[how]
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
