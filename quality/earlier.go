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
	names     namer
	ids       []string
	aggregate string
	values    map[string][]earlierSeries // by indicator
}

// wanted are the indicators that are about earlier values.
func wanted(ms []Measure) map[string]bool {
	out := map[string]bool{}
	for _, m := range ms {
		if m.Relative() {
			out[m.ID] = true
		}
	}
	return out
}

// earlierSeries is what one evaluation saw of an indicator.
type earlierSeries struct {
	definition string
	values     map[string]float64 // by the series' key
}

// base picks from the earlier evaluations, which are of the same service and
// stage, and the newest first. The one that is made is not among them.
func (c Criteria) base(o Options) base {
	b := base{now: o.Subject, names: namerOf(o.Subject), aggregate: c.Comparison.Aggregate, values: map[string][]earlierSeries{}}
	indicators := wanted(c.Measures)
	for _, e := range o.Earlier {
		if len(b.ids) == c.Comparison.Results {
			break
		}
		if e.Invalidated != nil || !c.Comparison.includes(e.Verdict) || o.Self != "" && e.ID == o.Self {
			continue
		}
		b.ids = append(b.ids, e.ID)
		names := namerOf(e.Subject)
		for _, ir := range e.IndicatorResults {
			if ir.Error != "" || !indicators[ir.ID] {
				continue
			}
			s := earlierSeries{ir.Definition, make(map[string]float64, len(ir.Samples))}
			for _, sample := range ir.Samples {
				if v := sample.Float(); v-v == 0 {
					s.values[names.key(sample.Key)] = v
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
func (b base) of(id, definition, key string, only bool) *float64 {
	key = b.names.key(key)
	var few [4]float64
	vs := few[:0]
	for _, series := range b.values[id] {
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

// passes reports whether a key may have one of those labels. It saves reading
// keys that have none.
func passes(key string) bool {
	for {
		i := strings.Index(key, `":`)
		if i < 0 {
			return false
		}
		if slices.Contains(passing, key[strings.LastIndexByte(key[:i], '"')+1:i]) {
			return true
		}
		key = key[i+2:]
	}
}

// namer names the series of one version as those of any other.
type namer struct{ coloured, bare string }

func namerOf(s fairway.Subject) namer {
	n := namer{bare: string(s.Place.Service)}
	n.coloured = n.bare
	if s.Place.Colour != "" {
		n.coloured += "-" + string(s.Place.Colour)
	}
	return n
}

// key returns a series' name without what belongs to one run: labels
// that name version, run or pod, and the colour in the other labels' values.
// A colour's second series has the same name as the other colour's.
func (n namer) key(key string) string {
	if n.bare == "" {
		return key
	}
	if !passes(key) {
		return strings.ReplaceAll(key, n.coloured, n.bare)
	}
	var labels map[string]string
	if json.Unmarshal([]byte(key), &labels) != nil {
		return strings.ReplaceAll(key, n.coloured, n.bare)
	}
	for _, l := range passing {
		delete(labels, l)
	}
	for l, v := range labels {
		labels[l] = strings.ReplaceAll(v, n.coloured, n.bare)
	}
	text, err := json.Marshal(labels)
	if err != nil {
		return key
	}
	return string(text)
}

var percentiles = map[string]float64{AggregateP50: .5, AggregateP90: .9, AggregateP95: .95, AggregateP99: .99}

// aggregate makes one value of several. A percentile stands at position
// p·(n+1) of the sorted values, between two of them by linear interpolation,
// as Keptn's lighthouse has it.
func aggregate(how string, vs []float64) float64 {
	if len(vs) == 1 {
		return vs[0]
	}
	p, ok := percentiles[how]
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
