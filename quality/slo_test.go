package quality_test

import (
	"encoding/json"
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/fairwaycd/fairway"
	"github.com/fairwaycd/fairway/quality"
	"pgregory.net/rapid"
)

const twoIndicators = "spec_version: '1.0'\nindicators:\n  a: rate(a[$DURATION_SECONDS])\n  b: b\n"

func slo(t testing.TB, objectives, more string) quality.Criteria {
	t.Helper()
	c, err := quality.ParseSLO("slo.yaml", []byte("spec_version: '1.0'\nobjectives: "+objectives+"\ntotal_score: {pass: 90%, warning: 75%}\n"+more), "sli.yaml", []byte(twoIndicators), quality.ParseOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// run is an earlier evaluation in which a had these values.
func run(id string, v fairway.Verdict, values ...float64) fairway.Evaluation {
	r := fairway.IndicatorResult{ID: "a"}
	for i, f := range values {
		r.Samples = append(r.Samples, fairway.NewSample(fmt.Sprintf("{pod=\"p%d\"}", i), time.Unix(1, 0), f))
	}
	return fairway.Evaluation{ID: id, Verdict: v, IndicatorResults: []fairway.IndicatorResult{r}}
}

func TestCriteriaOfAnSLO(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]quality.Criterion{
		"<10":             {Name: "<10", Text: "10", Op: "<", Value: 10},
		">-10%":           {Name: ">-10%", Text: "-10%", Op: ">", Value: 10, Percent: true, Change: -1},
		"<=+10.5%":        {Name: "<=+10.5%", Text: "+10.5%", Op: "<=", Value: 10.5, Percent: true, Change: 1},
		"<= + 10":         {Name: "<=+10", Text: "+10", Op: "<=", Value: 10, Change: 1},
		"<=10%":           {Name: "<=10%", Text: "10%", Op: "<=", Value: 10, Percent: true, Change: 1},
		"<-5":             {Name: "<-5", Text: "-5", Op: "<", Value: 5, Change: -1},
		" = 1e3 ":         {Name: "=1e3", Text: "1e3", Op: "=", Value: 1000},
		">=.5":            {Name: ">=.5", Text: ".5", Op: ">=", Value: .5},
		"10":              {},
		"<":               {},
		"<NaN":            {},
		"<Inf":            {},
		"<0x10":           {},
		"<1_000":          {},
		"<--5":            {},
		"<5%%":            {},
		"=>5":             {},
		"<=600 or <=+10%": {},
	} {
		got, err := quality.ParseCriterion(text)
		if want == (quality.Criterion{}) {
			if err == nil {
				t.Errorf("%q was read as %+v", text, got)
			}
			continue
		}
		if err != nil || got != want {
			t.Errorf("%q: %+v, %v, want %+v", text, got, err, want)
		}
	}
}

// TestLighthouse holds the vectors of Keptn's later evaluation.
func TestLighthouse(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, objectives, more string
		value                  float64
		earlier                []fairway.Evaluation
		verdict                fairway.Verdict
		score                  float64
		explanation            string
	}{
		{"p50 of two", `[{sli: a, pass: [{criteria: ["<=+10%"]}]}]`, "comparison: {compare_with: several_results, aggregate_function: p50}", 10,
			[]fairway.Evaluation{run("1", "pass", 10), run("2", "pass", 5)}, "fail", 0, "a: 10 is not <=+10% (8.25)"},
		{"p50 of two, met", `[{sli: a, pass: [{criteria: ["<=+10%"]}]}]`, "comparison: {compare_with: several_results, aggregate_function: p50}", 8.25,
			[]fairway.Evaluation{run("1", "pass", 10), run("2", "pass", 5)}, "pass", 100, "a: 8.25 is <=+10%"},
		{"average", `[{sli: a, pass: [{criteria: ["<=+1"]}]}]`, "comparison: {compare_with: several_results, number_of_comparison_results: 2}", 11,
			[]fairway.Evaluation{run("1", "pass", 10), run("2", "pass", 10), run("3", "pass", 900)}, "pass", 100, "a: 11 is <=+1"},
		{"one of two sets", `[{sli: a, pass: [{criteria: ["<=15"]}, {criteria: ["<=+10%"]}]}]`, "", 10, []fairway.Evaluation{run("1", "pass", 10)}, "pass", 100, "a: 10 is <=15"},
		{"warning", `[{sli: a, pass: [{criteria: ["<=15"]}, {criteria: ["<=+10%"]}], warning: [{criteria: ["<=20"]}, {criteria: ["<=+15%"]}]}]`, "", 16,
			[]fairway.Evaluation{run("1", "pass", 10)}, "fail", 50, "a: 16 is not <=15 and not <=+10% (11)"},
		{"both of one set", `[{sli: a, pass: [{criteria: ["<=15", ">5"]}]}]`, "", 4, nil, "fail", 0, "a: 4 is not >5"},
		{"nothing earlier", `[{sli: a, pass: [{criteria: ["<=+20%"]}]}]`, "", 1000, nil, "pass", 100, "there is no earlier evaluation to compare with"},
		{"earlier without data", `[{sli: a, pass: [{criteria: ["<=+20%"]}]}]`, "", 1000, []fairway.Evaluation{run("1", "fail")}, "pass", 100, "there is no earlier evaluation to compare with"},
		{"a failed one counts by default", `[{sli: a, pass: [{criteria: ["<=+20%"]}]}]`, "", 100, []fairway.Evaluation{run("1", "fail", 10)}, "fail", 0, "a: 100 is not <=+20% (12)"},
		{"only passed ones", `[{sli: a, pass: [{criteria: ["<=+20%"]}]}]`, "comparison: {include_result_with_score: pass, compare_with: single_result}", 12,
			[]fairway.Evaluation{run("1", "fail", 1), run("2", "warning", 1), run("3", "pass", 10)}, "pass", 100, "a: 12 is <=+20%"},
		{"decrease", `[{sli: a, pass: [{criteria: [">=-10%"]}]}]`, "", 89, []fairway.Evaluation{run("1", "pass", 100)}, "fail", 0, "a: 89 is not >=-10% (90)"},
		{"weights", `[{sli: a, pass: [{criteria: ["<=1"]}], weight: 1}, {sli: b, pass: [{criteria: [">0"]}], weight: 3}]`, "", 2, nil, "warning", 75, "a: 2 is not <=1"},
		{"a key indicator", `[{sli: a, key_sli: true, pass: [{criteria: ["<=1"]}]}, {sli: b, pass: [{criteria: [">0"]}], weight: 99}]`, "", 2, nil, "fail", 99, "a: 2 is not <=1"},
		{"for information", `[{sli: a}]`, "", 2, nil, "pass", 100, "a: 2 is for information only"},
		{"for information, not counted", `[{sli: a}, {sli: b, pass: [{criteria: [">9"]}]}]`, "", 2, nil, "fail", 0, ""},
		{"a title", `[{sli: a, displayName: Mean latency, pass: [{criteria: ["<=1"]}]}]`, "", 2, nil, "fail", 0, "Mean latency: 2 is not <=1"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			spec := slo(t, c.objectives, c.more)
			results := map[string]quality.SourceResult{"a": values(fmt.Sprint(c.value)), "b": values("5")}
			j, err := quality.EvaluateCriteria(spec, results, quality.Options{Earlier: c.earlier})
			if err != nil {
				t.Fatal(err)
			}
			if j.Verdict != c.verdict || j.TotalScore != c.score || !strings.Contains(j.Indicators[0].Explanation, c.explanation) {
				t.Errorf("%s %g: %s; %s", j.Verdict, j.TotalScore, j.Reason, j.Indicators[0].Explanation)
			}
		})
	}
}

func TestWhatIsComparedWithIsToldAndInvalidatedOnesAreNot(t *testing.T) {
	t.Parallel()
	bad := run("bad", "pass", 1)
	bad.Invalidated = &fairway.Invalidation{Reason: "the load was wrong"}
	spec := slo(t, `[{sli: a, pass: [{criteria: ["<=+10%"]}]}]`, "comparison: {compare_with: several_results, number_of_comparison_results: 2}")
	j, err := quality.EvaluateCriteria(spec, map[string]quality.SourceResult{"a": values("100")}, quality.Options{Earlier: []fairway.Evaluation{bad, run("x", "pass", 100), run("y", "error", 9), run("z", "pass", 100)}})
	if err != nil || j.Verdict != fairway.VerdictPass || strings.Join(j.ComparedWith, ",") != "x,z" || j.Indicators[0].Limits["<=+10%"] < 109.9 {
		t.Errorf("%+v, %v", j, err)
	}
}

// TestSeriesAreComparedOneByOne: the original compared with the first key.
func TestSeriesAreComparedOneByOne(t *testing.T) {
	t.Parallel()
	spec := parse(t, document(`{"type": "Threshold", "thresholds": {"upperSeverePerc": 10, "upperWarningPerc": 5}, "metricScore": 100}`))
	for _, c := range []struct {
		values      []string
		earlier     []fairway.Evaluation
		score       float64
		explanation string
	}{
		{[]string{"100", "10"}, []fairway.Evaluation{run("1", "pass", 100, 10)}, 100, "below upperWarningPerc 5"},
		{[]string{"100", "11"}, []fairway.Evaluation{run("1", "pass", 100, 10)}, 0, `a: 11 is at or above upperSeverePerc 10 (11) in 1 of 2 series; worst: {pod="p1"}`},
		{[]string{"106", "10"}, []fairway.Evaluation{run("1", "pass", 100, 10)}, 50, "a: 106 is at or above upperWarningPerc 5 (105) in 1 of 2 series"},
		{[]string{"100", "50"}, []fairway.Evaluation{run("1", "pass", 100)}, 100, "of 1 of 2 series there is no earlier value to compare with"},
		{[]string{"200"}, nil, 100, "there is no earlier evaluation to compare with"},
		{[]string{"199"}, []fairway.Evaluation{run("1", "fail", 1), run("2", "warning", 190)}, 100, ""},
	} {
		j, err := quality.Evaluate(spec, map[string]quality.SourceResult{"a": values(c.values...)}, quality.Options{Earlier: c.earlier})
		if err != nil || j.TotalScore != c.score || !strings.Contains(j.Indicators[0].Explanation, c.explanation) {
			t.Errorf("%v: %g, %s, %v", c.values, j.TotalScore, j.Indicators[0].Explanation, err)
		}
	}
}

func TestBadSLO(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ slo, sli, want string }{
		"not YAML":           {"objectives: [", twoIndicators, "slo.yaml:1:1: is not YAML"},
		"empty":              {"", twoIndicators, "slo.yaml:1:1: is empty"},
		"a list":             {"[]", twoIndicators, "is a list"},
		"unknown key":        {"objective: []", twoIndicators, `slo.yaml:1:1: objective is not a key of this format`},
		"no total":           {"objectives: [{sli: a}]", twoIndicators, "total_score is missing"},
		"no pass":            {"objectives: [{sli: a}]\ntotal_score: {warning: 75%}", twoIndicators, "total_score.pass is missing"},
		"no indicator":       {"objectives: [{sli: c}]\ntotal_score: {pass: 90%}", twoIndicators, `slo.yaml:1:20: objectives[0].sli "c" is not an indicator of sli.yaml; write one of a, b`},
		"bad criterion":      {"objectives:\n- sli: a\n  pass:\n  - criteria: ['600']\ntotal_score: {pass: 90%}", twoIndicators, `slo.yaml:4:16: objectives[0].pass[0].criteria[0] "600" is not a criterion; begin with`},
		"bad warning":        {"objectives:\n- sli: a\n  pass: [{criteria: ['<1']}]\n  warning: [{criteria: ['<x']}]\ntotal_score: {pass: 90%}", twoIndicators, `objectives[0].warning[0].criteria[0] "<x" is not a criterion`},
		"twice":              {"objectives: [{sli: a}, {sli: a}]\ntotal_score: {pass: 90%}", twoIndicators, "has an objective already"},
		"warning above pass": {"objectives: [{sli: a}]\ntotal_score: {pass: 50%, warning: 75%}", twoIndicators, "is above pass"},
		"a percentage":       {"objectives: [{sli: a}]\ntotal_score: {pass: most}", twoIndicators, "is no percentage"},
		"compare_with":       {"comparison: {compare_with: all}\nobjectives: [{sli: a}]\ntotal_score: {pass: 90%}", twoIndicators, "write one of single_result, several_results"},
		"version":            {"spec_version: '2'\nobjectives: [{sli: a}]\ntotal_score: {pass: 90%}", twoIndicators, "is not a version"},
		"an alias":           {"objectives: &x [{sli: a}]\ntotal_score: {pass: 90%}", twoIndicators, "uses an anchor"},
		"no sli.yaml":        {"objectives: [{sli: a}]\ntotal_score: {pass: 90%}", "", "sli.yaml:1:1: is missing"},
		"unknown source":     {"objectives: [{sli: a}]\ntotal_score: {pass: 90%}", "source: Datadog\nindicators: {a: q}", "is not a metric source that exists here"},
		"a foreign query":    {"objectives: [{sli: a}]\ntotal_score: {pass: 90%}", "indicators: {a: 'MV2;Percent;metricSelector=x'}", "is a query to Dynatrace, but the source is Prometheus; write source: Dynatrace"},
		"an empty query":     {"objectives: [{sli: a}]\ntotal_score: {pass: 90%}", "indicators: {a: ''}", "is empty"},
		"too large":          {"#" + strings.Repeat("x", 10<<20), twoIndicators, "is larger than 1 MB"},
		"too deep":           {strings.Repeat("[", 10_000), twoIndicators, "is nested more than 100 levels deep"},
		"too deep by dashes": {strings.Repeat("- ", 10_000), twoIndicators, "is nested more than 100 levels deep"},
		"too deep by lines":  {deepLines(150), twoIndicators, "is nested more than 100 levels deep"},
	} {
		_, err := quality.ParseSLO("slo.yaml", []byte(c.slo), "sli.yaml", []byte(c.sli), quality.ParseOptions{})
		if err == nil || !strings.Contains(err.Error(), c.want) || fairway.KindOf(err) != fairway.KindInvalid {
			t.Errorf("%s: %v\nwant %s", name, err, c.want)
		}
	}
}

func deepLines(n int) string {
	var b strings.Builder
	for i := range n {
		b.WriteString(strings.Repeat(" ", i) + "a:\n")
	}
	return b.String()
}

func TestAllProblemsAtOnce(t *testing.T) {
	t.Parallel()
	_, err := quality.ParseSLO("slo.yaml", []byte("x: 1\nobjectives: [{sli: a, pass: [{criteria: [5]}]}]\ntotal_score: {pass: 900%}"), "sli.yaml", []byte("y: 1\nindicators: {a: q}"), quality.ParseOptions{})
	if n := len(fairway.Problems(err)); n != 4 {
		t.Errorf("%d problems: %v", n, err)
	}
}

func TestReadPicksTheFormat(t *testing.T) {
	t.Parallel()
	good := map[string]string{quality.SLOFile: "objectives: [{sli: a}]\ntotal_score: {pass: 90%}", quality.SLIFile: "indicators: {a: q}"}
	for name, c := range map[string]struct {
		files map[string]string
		ok    bool
		want  string
	}{
		"none":              {nil, false, ""},
		"perfspec":          {map[string]string{quality.PerfspecFile: document(goodGrading)}, true, ""},
		"slo":               {good, true, ""},
		"both":              {map[string]string{quality.PerfspecFile: "", quality.SLOFile: ""}, true, "carts/slo.yaml: lies beside carts/perfspec/perfspec.json"},
		"slo alone":         {map[string]string{quality.SLOFile: good[quality.SLOFile]}, true, "carts/sli.yaml:1:1: is missing"},
		"sli alone":         {map[string]string{quality.SLIFile: good[quality.SLIFile]}, true, "carts/slo.yaml: is missing"},
		"two sli":           {map[string]string{quality.SLIFile: "", "dynatrace/sli.yaml": ""}, true, "carts/dynatrace/sli.yaml: lies beside carts/sli.yaml"},
		"dynatrace":         {map[string]string{quality.SLOFile: good[quality.SLOFile], "dynatrace/sli.yaml": "indicators: {a: 'metricSelector=x'}"}, true, ""},
		"contradicts":       {map[string]string{quality.SLOFile: good[quality.SLOFile], "dynatrace/sli.yaml": "source: Prometheus\nindicators: {a: x}"}, true, "contradicts the file's directory"},
		"perfspec is wrong": {map[string]string{quality.PerfspecFile: "{"}, true, "carts/perfspec/perfspec.json:1:1"},
	} {
		files := map[string][]byte{}
		for k, v := range c.files {
			files[k] = []byte(v)
		}
		s, ok, err := quality.Read("carts/", files, quality.ParseOptions{})
		if ok != c.ok || (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %t, %v", name, ok, err)
		}
		if name == "dynatrace" && (len(s.Indicators()) != 1 || s.Indicators()[0].Source != "Dynatrace" || string(s.Indicators()[0].Query) != `"metricSelector=x"`) {
			t.Errorf("%+v", s.Indicators())
		}
	}
}

// TestAnSLOAndAPerfspecAgree where both can say the same.
func TestAnSLOAndAPerfspecAgree(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		severe := rapid.Float64Range(1, 100).Draw(rt, "severe")
		warning := rapid.Float64Range(0, severe).Draw(rt, "warning")
		var vs []string
		for range rapid.IntRange(1, 5).Draw(rt, "series") {
			vs = append(vs, fmt.Sprint(rapid.Float64Range(-10, 120).Draw(rt, "value")))
		}
		perfspec := parse(t, document(fmt.Sprintf(`{"type": "Threshold", "thresholds": {"upperSevere": %v, "upperWarning": %v}, "metricScore": 100}`, number(severe), number(warning))))
		spec := slo(t, fmt.Sprintf(`[{sli: a, pass: [{criteria: ["<%s"]}], warning: [{criteria: ["<%s"]}]}]`, number(warning), number(severe)), "")
		results := map[string]quality.SourceResult{"a": values(vs...)}
		a, err := quality.Evaluate(perfspec, results, quality.Options{})
		if err != nil {
			rt.Fatal(err)
		}
		b, err := quality.EvaluateCriteria(spec, results, quality.Options{})
		if err != nil {
			rt.Fatal(err)
		}
		if a.TotalScore != b.TotalScore || len(a.Indicators[0].Violations) != len(b.Indicators[0].Violations) && a.TotalScore > 0 {
			rt.Fatalf("%g and %g: %s / %s", a.TotalScore, b.TotalScore, a.Reason, b.Reason)
		}
	})
}

func number(v float64) string {
	return strings.TrimRight(strings.TrimRight(fmt.Sprintf("%.9f", v), "0"), ".")
}

// TestNoValueThatIsNoNumberPasses whatever the criteria.
func TestNoValueThatIsNoNumberPasses(t *testing.T) {
	t.Parallel()
	for _, criterion := range []string{"<1", ">1", ">=0", "<=+10%", ">-5"} {
		spec := slo(t, fmt.Sprintf(`[{sli: a, pass: [{criteria: ["%s"]}], warning: [{criteria: ["%s"]}]}]`, criterion, criterion), "")
		for _, v := range []string{`"NaN"`, `"+Inf"`, `"-Inf"`, "null", "nonsense"} {
			j, err := quality.EvaluateCriteria(spec, map[string]quality.SourceResult{"a": values("0.5", v)}, quality.Options{})
			if err != nil || j.TotalScore != 0 || j.Verdict != fairway.VerdictFail {
				t.Errorf("%s of %s: %+v, %v", v, criterion, j, err)
			}
		}
		if j, _ := quality.EvaluateCriteria(spec, map[string]quality.SourceResult{"a": {}}, quality.Options{}); j.Verdict != fairway.VerdictFail {
			t.Errorf("no data: %+v", j)
		}
	}
}

func FuzzParseSLO(f *testing.F) {
	f.Add("objectives:\n- sli: a\n  pass: [{criteria: ['<=+10%', '>0']}]\n  weight: 2\n  key_sli: true\ntotal_score: {pass: 90%, warning: 75%}\ncomparison: {compare_with: several_results, aggregate_function: p90}", "source: Prometheus\nindicators: {a: q}")
	f.Add("{", "- - - a")
	f.Add("objectives: &a [*a]", "? [a]\n: b")
	f.Fuzz(func(t *testing.T, slo, sli string) {
		c, err := quality.ParseSLO("slo.yaml", []byte(slo), "sli.yaml", []byte(sli), quality.ParseOptions{})
		if err != nil {
			if len(fairway.Problems(err)) == 0 || fairway.KindOf(err) != fairway.KindInvalid {
				t.Fatalf("an error without a problem: %v", err)
			}
			return
		}
		results := map[string]quality.SourceResult{}
		for i, m := range c.Measures {
			results[m.ID] = values([]string{"1", `"NaN"`, "-5e300"}[:i%4]...)
		}
		j, err := quality.EvaluateCriteria(c, results, quality.Options{Earlier: []fairway.Evaluation{run("1", "pass", 3)}})
		if err != nil || j.Verdict == "" || j.Reason == "" || math.IsNaN(j.TotalScore) {
			t.Fatalf("%+v, %v", j, err)
		}
		if _, err := json.Marshal(j.Indicators); err != nil {
			t.Fatal(err)
		}
	})
}
