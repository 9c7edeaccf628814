package quality_test

import (
	"encoding/json"
	"fmt"
	"math"
	"strings"
	"testing"

	"github.com/fairwaycd/fairway"
	"github.com/fairwaycd/fairway/quality"
	"pgregory.net/rapid"
)

func parse(t testing.TB, in string) quality.Perfspec {
	t.Helper()
	spec, err := quality.ParsePerfspec("f", []byte(in))
	if err != nil {
		t.Fatal(err)
	}
	return spec
}

func values(jsons ...string) quality.SourceResult {
	var r quality.SourceResult
	for i, v := range jsons {
		r.Values = append(r.Values, quality.Value{Key: fmt.Sprintf("{pod=\"p%d\"}", i), JSON: json.RawMessage(v)})
	}
	return r
}

func TestEvaluateExplains(t *testing.T) {
	t.Parallel()
	grading := func(thresholds string) string {
		return `{"type": "Threshold", "thresholds": ` + thresholds + `, "metricScore": 100}`
	}
	both := grading(`{"upperSevere": 1.0, "upperWarning": 0.8, "lowerSevere": 0.1}`)
	tests := []struct {
		name, grading string
		result        quality.SourceResult
		verdict       fairway.Verdict
		explanation   string
	}{
		{"above", goodGrading, values("1.21"), fairway.VerdictFail, `a: 1.21 is at or above upperSevere 1.0 in 1 of 1 series; worst: {pod="p0"}`},
		{"at the limit", goodGrading, values("1"), fairway.VerdictFail, `a: 1 is at or above upperSevere 1.0 in 1 of 1 series; worst: {pod="p0"}`},
		{"worst of three", goodGrading, values("1.2", "9", "0.1"), fairway.VerdictFail, `a: 9 is at or above upperSevere 1.0 in 2 of 3 series; worst: {pod="p1"}`},
		{"below", both, values("0.05"), fairway.VerdictFail, `a: 0.05 is at or below lowerSevere 0.1 in 1 of 1 series; worst: {pod="p0"}`},
		{"warned", both, values("0.9"), fairway.VerdictFail, `a: 0.9 is at or above upperWarning 0.8 in 1 of 1 series; worst: {pod="p0"}`},
		{"good", both, values("0.5"), fairway.VerdictPass, `a: 0.5 is above lowerSevere 0.1 and below upperWarning 0.8`},
		{"many good", both, values("0.5", "0.2", "0.7"), fairway.VerdictPass, `a: 0.2 to 0.7 in 3 series are above lowerSevere 0.1 and below upperWarning 0.8`},
		{"no number", goodGrading, values("0.5", `"NaN"`), fairway.VerdictFail, `a: NaN is not a finite number and cannot be judged in 1 of 2 series; worst: {pod="p1"}`},
		{"infinite", goodGrading, values(`"-Inf"`), fairway.VerdictFail, `a: -Inf is not a finite number and cannot be judged in 1 of 1 series; worst: {pod="p0"}`},
		{"not even JSON", goodGrading, values(`NaN`), fairway.VerdictFail, `a: NaN is not a finite number and cannot be judged in 1 of 1 series; worst: {pod="p0"}`},
		{"no data", goodGrading, values(), fairway.VerdictFail, `a: there are no data for this test`},
		{"no data ignored", strings.Replace(goodGrading, "100", `100, "ignoreEmpty": true`, 1), values(), fairway.VerdictPass, `a: there are no data, which ignoreEmpty lets pass`},
		{"zero is a limit", grading(`{"upperSevere": 0}`), values("0"), fairway.VerdictFail, `a: 0 is at or above upperSevere 0 in 1 of 1 series; worst: {pod="p0"}`},
		{"failure", goodGrading, quality.SourceResult{Failure: "the source is down"}, fairway.VerdictError, `a: the source is down`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			j, err := quality.Evaluate(parse(t, document(tt.grading)), map[string]quality.SourceResult{"a": tt.result}, quality.Options{})
			if err != nil {
				t.Fatal(err)
			}
			if j.Verdict != tt.verdict || j.Indicators[0].Explanation != tt.explanation {
				t.Errorf("got  %s %q\nwant %s %q", j.Verdict, j.Indicators[0].Explanation, tt.verdict, tt.explanation)
			}
			if j.Verdict != fairway.VerdictPass && !strings.Contains(j.Reason, tt.explanation) {
				t.Errorf("the reason %q does not say why", j.Reason)
			}
			if _, err := json.Marshal(j.Indicators); err != nil {
				t.Errorf("the result cannot be written: %v", err)
			}
		})
	}
}

func TestEvaluateWantsEveryResult(t *testing.T) {
	t.Parallel()
	_, err := quality.Evaluate(parse(t, document(goodGrading)), nil, quality.Options{})
	if fairway.KindOf(err) != fairway.KindInternal || err == nil {
		t.Errorf("got %v", err)
	}
}

// TestCompatFollowsJavaScript covers what the vectors leave out.
func TestCompatFollowsJavaScript(t *testing.T) {
	t.Parallel()
	one := func(thresholds, metricScore, pass string) string {
		return `{"compat": "pitometer", "indicators": [{"id": "a", "source": "Prometheus", "query": "q", "grading": {"type": "Threshold", "thresholds": ` +
			thresholds + `, "metricScore": ` + metricScore + `}}], "objectives": {"pass": ` + pass + `, "warning": 1}}`
	}
	two := func(first, second string) string {
		ind := func(id, limit string) string {
			return `{"id": ` + id + `, "source": "Prometheus", "grading": {"type": "Threshold", "thresholds": {"upperSevere": ` + limit + `}, "metricScore": 50}}`
		}
		return `{"compat": "pitometer", "indicators": [` + ind(first, "1") + "," + ind(second, "9") + `], "objectives": {"pass": 50, "warning": 1}}`
	}
	tests := []struct {
		name, spec, value string
		total             float64
		verdict           fairway.Verdict
		ids               string
	}{
		{"text against text", one(`{"upperSevere": "9"}`, "100", "90"), `"10"`, 100, fairway.VerdictPass, "a"},
		{"text against text, breached", one(`{"upperSevere": "10"}`, "100", "90"), `"9"`, 0, fairway.VerdictFail, "a"},
		{"text against number", one(`{"upperSevere": 9}`, "100", "90"), `"10"`, 0, fairway.VerdictFail, "a"},
		{"hexadecimal text", one(`{"upperSevere": 16}`, "100", "90"), `"0x10"`, 0, fairway.VerdictFail, "a"},
		{"empty text is 0", one(`{"lowerSevere": 1}`, "100", "90"), `""`, 0, fairway.VerdictFail, "a"},
		{"Go's infinity is no number", one(`{"upperSevere": 1}`, "100", "90"), `"Inf"`, 100, fairway.VerdictPass, "a"},
		{"JavaScript's infinity is one", one(`{"upperSevere": 1}`, "100", "90"), `"Infinity"`, 0, fairway.VerdictFail, "a"},
		{"true is 1", one(`{"upperSevere": 1}`, "100", "90"), `true`, 0, fairway.VerdictFail, "a"},
		{"list of one", one(`{"upperSevere": 3}`, "100", "90"), `[4]`, 0, fairway.VerdictFail, "a"},
		{"object", one(`{"upperSevere": 3}`, "100", "90"), `{}`, 100, fairway.VerdictPass, "a"},
		{"points as text are joined", one(`{"upperSevere": 3}`, `"100"`, "90"), `1`, 100, fairway.VerdictPass, "a"},
		{"points as text are halved", one(`{"upperWarning": 3}`, `"100"`, "50"), `3`, 50, fairway.VerdictPass, "a"},
		{"points null", one(`{"upperSevere": 3}`, `null`, "90"), `1`, 0, fairway.VerdictFail, "a"},
		{"pass as text", one(`{"upperSevere": 3}`, `100`, `"90"`), `1`, 100, fairway.VerdictPass, "a"},
		{"last definition wins", two(`"a"`, `"a"`), `5`, 50, fairway.VerdictPass, "a"},
		{"whole numbers come first", two(`"x"`, `"10"`), `5`, 50, fairway.VerdictPass, "10 x"},
		{"and ascend", two(`10`, `"9"`), `5`, 50, fairway.VerdictPass, "9 10"},
		{"no grading", `{"compat": "pitometer", "indicators": [{"id": "a", "source": "Prometheus"}], "objectives": {}}`, `1`, 0, fairway.VerdictError, "a"},
		{"unknown grader", strings.Replace(one(`{}`, "1", "1"), "Threshold", "Magic", 1), `1`, 0, fairway.VerdictError, "a"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			spec := parse(t, tt.spec)
			results := map[string]quality.SourceResult{}
			for _, ind := range spec.Indicators {
				results[ind.ID] = values(tt.value)
			}
			j, err := quality.Evaluate(spec, results, quality.Options{})
			if err != nil {
				t.Fatal(err)
			}
			var ids []string
			for _, ir := range j.Indicators {
				ids = append(ids, ir.ID)
			}
			if j.TotalScore != tt.total || j.Verdict != tt.verdict || strings.Join(ids, " ") != tt.ids {
				t.Errorf("got %v %s %v (%s), want %v %s %s", j.TotalScore, j.Verdict, ids, j.Reason, tt.total, tt.verdict, tt.ids)
			}
		})
	}
}

// drawn is a specification with answers, for properties.
type drawn struct {
	spec    string
	results map[string]quality.SourceResult
	ids     []string
}

func draw(rt *rapid.T) drawn {
	d := drawn{results: map[string]quality.SourceResult{}}
	n := rapid.IntRange(1, 4).Draw(rt, "indicators")
	var inds []string
	total := 0
	for i := range n {
		id := fmt.Sprintf("i%d", i)
		points := rapid.IntRange(0, 100).Draw(rt, "points")
		total += points
		upper := rapid.Float64Range(1, 100).Draw(rt, "upper")
		inds = append(inds, fmt.Sprintf(`{"id": %q, "source": "Prometheus", "query": "q", "grading": {"type": "Threshold", "metricScore": %d, "thresholds": {"upperSevere": %v, "upperWarning": %v}}}`,
			id, points, upper, upper/2))
		vs := rapid.SliceOfN(rapid.Float64Range(-10, 200), 0, 4).Draw(rt, "values")
		var r []string
		for _, v := range vs {
			r = append(r, fmt.Sprint(v))
		}
		d.results[id] = values(r...)
		d.ids = append(d.ids, id)
	}
	pass := rapid.IntRange(0, total).Draw(rt, "pass")
	warning := rapid.IntRange(0, pass).Draw(rt, "warning")
	d.spec = fmt.Sprintf(`{"indicators": [%s], "objectives": {"pass": %d, "warning": %d}}`, strings.Join(inds, ","), pass, warning)
	return d
}

func judge(rt *rapid.T, spec string, results map[string]quality.SourceResult) quality.Judgement {
	s, err := quality.ParsePerfspec("f", []byte(spec))
	if err != nil {
		rt.Fatal(err)
	}
	j, err := quality.Evaluate(s, results, quality.Options{})
	if err != nil {
		rt.Fatal(err)
	}
	return j
}

var rank = map[fairway.Verdict]int{fairway.VerdictFail: 0, fairway.VerdictWarning: 1, fairway.VerdictPass: 2}

func TestEvaluateProperties(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		d := draw(rt)
		j := judge(rt, d.spec, d.results)

		sum := 0.0
		for i, ir := range j.Indicators {
			sum += ir.Score
			least := ir.MaxScore
			for _, v := range d.results[ir.ID].Values {
				alone := map[string]quality.SourceResult{}
				for id, r := range d.results {
					alone[id] = r
				}
				alone[ir.ID] = quality.SourceResult{Values: []quality.Value{v}}
				least = math.Min(least, judge(rt, d.spec, alone).Indicators[i].Score)
			}
			if len(d.results[ir.ID].Values) == 0 {
				least = 0
			}
			if ir.Score != least {
				rt.Fatalf("%s has %v points, its worst series %v", ir.ID, ir.Score, least)
			}
		}
		if sum != j.TotalScore {
			rt.Fatalf("total %v, sum %v", j.TotalScore, sum)
		}

		shuffled := map[string]quality.SourceResult{}
		for id, r := range d.results {
			shuffled[id] = quality.SourceResult{Values: rapid.Permutation(r.Values).Draw(rt, "order")}
		}
		if k := judge(rt, d.spec, shuffled); k.Verdict != j.Verdict || k.TotalScore != j.TotalScore || k.Reason != j.Reason {
			rt.Fatalf("another order of the series gives another answer:\n%s\n%s", j.Reason, k.Reason)
		}

		id := rapid.SampledFrom(d.ids).Draw(rt, "worse")
		if old := d.results[id].Values; len(old) > 0 {
			worse := append([]quality.Value(nil), old...)
			worse[0].JSON = json.RawMessage(rapid.SampledFrom([]string{"1000", `"NaN"`, `"+Inf"`, "null"}).Draw(rt, "value"))
			d.results[id] = quality.SourceResult{Values: worse}
			if k := judge(rt, d.spec, d.results); k.TotalScore > j.TotalScore || rank[k.Verdict] > rank[j.Verdict] {
				rt.Fatalf("a worse value gives more: %v %s, then %v %s", j.TotalScore, j.Verdict, k.TotalScore, k.Verdict)
			}
		}
	})
}

func TestTotalDoesNotDependOnTheOrderOfIndicators(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		points := rapid.SliceOfN(rapid.IntRange(1, 999), 2, 8).Draw(rt, "points")
		total := func(order []int) float64 {
			var inds []string
			results := map[string]quality.SourceResult{}
			for i, p := range order {
				id := fmt.Sprint("i", i)
				inds = append(inds, fmt.Sprintf(`{"id": %q, "source": "Prometheus", "query": "q", "grading": {"type": "Threshold", "metricScore": %v, "thresholds": {"upperSevere": 1}}}`, id, float64(p)/10))
				results[id] = values("0")
			}
			return judge(rt, `{"indicators": [`+strings.Join(inds, ",")+`], "objectives": {"pass": 0, "warning": 0}}`, results).TotalScore
		}
		if a, b := total(points), total(rapid.Permutation(points).Draw(rt, "order")); a != b {
			rt.Fatalf("%v and %v", a, b)
		}
	})
}
