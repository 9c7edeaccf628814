package quality_test

import (
	"encoding/json"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/fairwaycd/fairway"
	"github.com/fairwaycd/fairway/quality"
)

// of returns a version of the service carts in one of its colours.
func of(colour fairway.Colour, version string) fairway.Subject {
	return fairway.Subject{Project: "sockshop", Stage: "staging", Version: version, Delivery: fairway.DeliveryID("d-" + version),
		Place: fairway.Place{Namespace: "staging", Service: "carts", Colour: colour}}
}

// TestSeriesAreFoundAgainInTheOtherColour: what belongs to one run is no part
// of a series' name, or nothing would ever be compared.
func TestSeriesAreFoundAgainInTheOtherColour(t *testing.T) {
	t.Parallel()
	spec := parse(t, document(`{"type": "Threshold", "thresholds": {"upperSeverePerc": 10}, "metricScore": 100}`))
	before := fairway.Evaluation{ID: "1", Verdict: fairway.VerdictPass, Subject: of(fairway.Blue, "1"), IndicatorResults: []fairway.IndicatorResult{{ID: "a", Samples: []fairway.Sample{
		fairway.NewSample(`{"handler":"/cart","instance":"carts-blue.staging.svc.cluster.local:80","pod":"carts-blue-7d9-x","version":"1"}`, time.Unix(1, 0), 10),
		fairway.NewSample(`{"handler":"/items","instance":"carts-blue.staging.svc.cluster.local:80","pod":"carts-blue-7d9-x","version":"1"}`, time.Unix(1, 0), 100),
	}}}}
	result := quality.SourceResult{Values: []quality.Value{
		{Key: `{"handler":"/cart","instance":"carts-green.staging.svc.cluster.local:80","pod":"carts-green-aa1-y","version":"2"}`, JSON: json.RawMessage("50")},
		{Key: `{"handler":"/items","instance":"carts-green.staging.svc.cluster.local:80","pod":"carts-green-aa1-y","version":"2"}`, JSON: json.RawMessage("100")},
	}}
	j, err := quality.Evaluate(spec, map[string]quality.SourceResult{"a": result}, quality.Options{Earlier: []fairway.Evaluation{before}, Subject: of(fairway.Green, "2"), Self: "2"})
	if err != nil {
		t.Fatal(err)
	}
	ir := j.Indicators[0]
	if j.Verdict != fairway.VerdictFail || len(ir.Compared) != 2 || ir.Compared[0].Earlier != 10 || math.Abs(ir.Compared[0].Threshold-11) > 1e-9 || ir.Compared[1].Earlier != 100 {
		t.Errorf("%s: %+v", j.Reason, ir.Compared)
	}
	if !strings.Contains(ir.Explanation, "worst: carts-green 2 {") {
		t.Error(ir.Explanation)
	}
}

func TestOnlyTheSameMeasureIsComparedWith(t *testing.T) {
	t.Parallel()
	spec := slo(t, `[{sli: a, pass: [{criteria: ["<=+10%"]}]}]`, "")
	results := map[string]quality.SourceResult{"a": values("100")}
	first, err := quality.EvaluateCriteria(spec, results, quality.Options{})
	if err != nil || first.Indicators[0].Definition == "" {
		t.Fatal(first, err)
	}
	same, other := run("1", "pass", 1), run("1", "pass", 1)
	same.IndicatorResults[0].Definition = first.Indicators[0].Definition
	other.IndicatorResults[0].Definition = "another query"
	for _, c := range []struct {
		name    string
		earlier fairway.Evaluation
		self    string
		verdict fairway.Verdict
	}{
		{"the same query", same, "", fairway.VerdictFail},
		{"another query", other, "", fairway.VerdictPass},
		{"an evaluation that does not say", run("1", "pass", 1), "", fairway.VerdictFail},
		{"itself", same, "1", fairway.VerdictPass},
	} {
		j, err := quality.EvaluateCriteria(spec, results, quality.Options{Earlier: []fairway.Evaluation{c.earlier}, Self: c.self})
		if err != nil || j.Verdict != c.verdict || (len(j.ComparedWith) > 0) != (c.verdict == fairway.VerdictFail) {
			t.Errorf("%s: %s, %v, %v", c.name, j.Reason, j.ComparedWith, err)
		}
	}
}

// TestPlaceholdersDoNotMakeAnotherMeasure: a test of another length asks
// another text and measures the same.
func TestPlaceholdersDoNotMakeAnotherMeasure(t *testing.T) {
	t.Parallel()
	written := strings.Replace(document(goodGrading), `"q"`, `"rate(x[$DURATION_MINUTESm])"`, 1)
	definition := func(minutes string) string {
		text := strings.ReplaceAll(written, "$DURATION_MINUTES", minutes)
		s, ok, err := quality.Read("", map[string][]byte{quality.PerfspecFile: []byte(text)}, quality.ParseOptions{Written: []byte(written)})
		if err != nil || !ok {
			t.Fatal(err)
		}
		j, err := s.Judge(map[string]quality.SourceResult{"a": values("0.1")}, quality.Options{})
		if err != nil {
			t.Fatal(err)
		}
		return j.Indicators[0].Definition
	}
	if a, b := definition("3"), definition("9"); a == "" || a != b {
		t.Errorf("%q and %q", a, b)
	}
}

func TestRelativeLimitsOfZeroAndWithoutEnd(t *testing.T) {
	t.Parallel()
	spec := parse(t, document(`{"type": "Threshold", "thresholds": {"upperSeverePerc": 10}, "metricScore": 100}`))
	for _, c := range []struct {
		value   string
		earlier float64
		verdict fairway.Verdict
	}{
		{"0", 0, fairway.VerdictPass}, // no errors then, none now
		{"0.001", 0, fairway.VerdictFail},
		{"1e308", 1.7e308, fairway.VerdictPass},
		{"-1e308", -1.7e308, fairway.VerdictFail}, // the limit cannot be written
	} {
		j, err := quality.Evaluate(spec, map[string]quality.SourceResult{"a": values(c.value)}, quality.Options{Earlier: []fairway.Evaluation{run("1", "pass", c.earlier)}})
		if err != nil || j.Verdict != c.verdict {
			t.Errorf("%s after %g: %s, %v", c.value, c.earlier, j.Reason, err)
		}
		if _, err := json.Marshal(j.Indicators); err != nil {
			t.Errorf("%s after %g: %v", c.value, c.earlier, err)
		}
	}
}

func TestAggregates(t *testing.T) {
	t.Parallel()
	var earlier []fairway.Evaluation
	for i := range 11 {
		earlier = append(earlier, run(string(rune('a'+i)), "pass", float64(i)))
	}
	for name, want := range map[string]float64{"avg": 5, "p50": 5, "p90": 9.8, "p95": 10, "p99": 10} {
		spec := slo(t, `[{sli: a, pass: [{criteria: ["<=+0"]}]}]`, "comparison: {compare_with: several_results, number_of_comparison_results: 11, aggregate_function: "+name+"}")
		j, err := quality.EvaluateCriteria(spec, map[string]quality.SourceResult{"a": values("1")}, quality.Options{Earlier: earlier})
		if err != nil || math.Abs(j.Indicators[0].Compared[0].Earlier-want) > 1e-9 {
			t.Errorf("%s: %+v, %v, want %g", name, j.Indicators[0].Compared, err, want)
		}
	}
}

func TestAKeyIndicatorForInformationFailsNothing(t *testing.T) {
	t.Parallel()
	spec := slo(t, `[{sli: a, key_sli: true}, {sli: b, pass: [{criteria: [">0"]}]}]`, "")
	j, err := quality.EvaluateCriteria(spec, map[string]quality.SourceResult{"a": values(`"NaN"`), "b": values("1")}, quality.Options{})
	if err != nil || j.Verdict != fairway.VerdictPass || len(j.Indicators[0].Violations) != 0 {
		t.Errorf("%s %+v %v", j.Reason, j.Indicators, err)
	}
}

// TestSourceIsNotGuessed where several are connected.
func TestSourceIsNotGuessed(t *testing.T) {
	t.Parallel()
	slo := []byte("objectives: [{sli: a}]\ntotal_score: {pass: 90%}")
	for _, c := range []struct {
		sli     string
		sources []string
		want    string // the source, or part of the error
	}{
		{"indicators: {a: q}", []string{"Dynatrace"}, "Dynatrace"},
		{"indicators: {a: q}", []string{"Dynatrace", "Prometheus"}, "sli.yaml:1:1: source is missing, and more than one metric source is connected"},
		{"source: dynatrace\nindicators: {a: q}", []string{"Dynatrace", "Prometheus"}, "Dynatrace"},
	} {
		got, err := quality.ParseSLO("slo.yaml", slo, "sli.yaml", []byte(c.sli), quality.ParseOptions{Connected: c.sources})
		if err == nil && got.Measures[0].Source != c.want || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s of %v: %+v, %v", c.sli, c.sources, got.Measures, err)
		}
	}
}

// TestALongLineIsReadInGoodTime: finding each node's place anew from the start
// of its line took minutes for a document of a megabyte.
func TestALongLineIsReadInGoodTime(t *testing.T) {
	t.Parallel()
	long := "objectives: [" + strings.Repeat("a,", 50_000) + "]\ntotal_score: {pass: 90%}"
	done := make(chan error, 1)
	go func() {
		_, err := quality.ParseSLO("slo.yaml", []byte(long), "sli.yaml", []byte("indicators: {a: q}"), quality.ParseOptions{})
		done <- err
	}()
	select {
	case err := <-done:
		if err == nil {
			t.Error("was read")
		}
	case <-time.After(30 * time.Second):
		t.Fatal("takes too long")
	}
}
