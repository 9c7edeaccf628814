package quality_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/fairwaycd/fairway"
	"github.com/fairwaycd/fairway/quality"
)

// document returns a specification with one indicator, whose grading is given.
func document(grading string) string {
	return `{"spec_version": "1.0", "indicators": [{"id": "a", "source": "Prometheus", "query": "q", "grading": ` + grading + `}], "objectives": {"pass": 90, "warning": 75}}`
}

const goodGrading = `{"type": "Threshold", "thresholds": {"upperSevere": 1.0}, "metricScore": 100}`

func TestParseAcceptsThePublishedDocuments(t *testing.T) {
	t.Parallel()
	for name, source := range map[string]string{"walkthrough-prometheus.json": "Prometheus", "walkthrough-dynatrace.json": "Dynatrace"} {
		data, err := os.ReadFile(filepath.Join("testdata", name))
		if err != nil {
			t.Fatal(err)
		}
		spec, err := quality.ParsePerfspec(name, data)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if len(spec.Indicators) != 1 || spec.Indicators[0].Source != source || spec.Objectives != (fairway.Objectives{Pass: 90, Warning: 75}) {
			t.Errorf("%s: read as %+v", name, spec)
		}
	}
}

func TestParseProblems(t *testing.T) {
	t.Parallel()
	deep := strings.Repeat("[", 5000) + strings.Repeat("]", 5000)
	tests := []struct{ name, in, want string }{
		{"empty", "", `f:1:1: is empty`},
		{"only spaces", " \n", `is empty`},
		{"not JSON", "{\n  \"spec_version\": 1.0.0\n}", `f:2:22: is not JSON`},
		{"cut off", `{"indicators": [`, `f:1:16: is not JSON: unexpected end`},
		{"two documents", document(goodGrading) + "{}", `is not JSON: invalid character '{' after top-level value`},
		{"byte order mark", "\ufeff{}", `starts with a byte order mark`},
		{"not UTF-8", "{\"a\": \"\xff\"}", `f:1:8: is not UTF-8`},
		{"too deep", deep, `nested more than 100 levels`},
		{"too large", `"` + strings.Repeat("x", 1<<20) + `"`, `larger than 1 MB`},
		{"not an object", `[]`, `document "[]" is a list`},
		{"nothing in it", `{}`, `indicators is missing`},
		{"no objectives", `{}`, `objectives is missing`},
		{"unknown key", `{"indicator": []}`, `f:1:2: indicator is not a key of this format; use one of spec_version`},
		{"key in wrong case", `{"Objectives": {}}`, `Objectives is not a key of this format; use objectives; spelling, case and spaces matter`},
		{"key twice", `{"objectives": {}, "objectives": {}}`, `f:1:20: objectives is there twice`},
		{"version", `{"spec_version": 1.0}`, `spec_version "1.0" is not a version`},
		{"compat", `{"compat": "keptn"}`, `compat "keptn" is not a way`},
		{"no indicator", `{"indicators": []}`, `indicators is empty`},
		{"indicator is text", `{"indicators": ["a"]}`, `f:1:17: indicators[0] "a" is text; write an object`},
		{"id missing", `{"indicators": [{}]}`, `indicators[0].id is missing`},
		{"id blank", `{"indicators": [{"id": " "}]}`, `indicators[0].id is empty`},
		{"id number", `{"indicators": [{"id": 7}]}`, `indicators[0].id "7" is a number; write text`},
		{"source missing", `{"indicators": [{}]}`, `indicators[0].source is missing; name the metric source: Dynatrace, Prometheus`},
		{"source case", `{"indicators": [{"source": "prometheus"}]}`, `"prometheus" is not a metric source that exists here; write Prometheus; spelling`},
		{"source unknown", `{"indicators": [{"source": "Splunk"}]}`, `write one of Dynatrace, Prometheus`},
		{"query missing", `{"indicators": [{}]}`, `indicators[0].query is missing`},
		{"query of the other kind", `{"indicators": [{"source": "Prometheus", "query": {}}]}`, `query "{}" is an object; write PromQL as text`},
		{"query empty", `{"indicators": [{"source": "Prometheus", "query": ""}]}`, `query is empty; write PromQL`},
		{"grading missing", `{"indicators": [{}]}`, `indicators[0].grading is missing`},
		{"grader", document(`{"type": "Magic", "thresholds": {"upperSevere": 1}, "metricScore": 100}`), `type "Magic" is not a grader; write "Threshold"`},
		{"thresholds missing", document(`{"type": "Threshold", "metricScore": 100}`), `thresholds is missing`},
		{"no limit", document(`{"type": "Threshold", "thresholds": {}, "metricScore": 100}`), `has no limit`},
		{"limit unknown", document(`{"type": "Threshold", "thresholds": {"upper": 1}, "metricScore": 100}`), `thresholds.upper is not a key`},
		{"limit as text", document(`{"type": "Threshold", "thresholds": {"upperSevere": "1"}, "metricScore": 100}`), `upperSevere "1" is text; write a number`},
		{"limit infinite", document(`{"type": "Threshold", "thresholds": {"upperSevere": 1e999}, "metricScore": 100}`), `"1e999" is too large`},
		{"limits contradict", document(`{"type": "Threshold", "thresholds": {"upperSevere": 1, "lowerSevere": 1}, "metricScore": 100}`), `contradicts lowerSevere 1`},
		{"score missing", document(`{"type": "Threshold", "thresholds": {"upperSevere": 1}}`), `metricScore is missing`},
		{"score negative", document(`{"type": "Threshold", "thresholds": {"upperSevere": 1}, "metricScore": -1}`), `metricScore "-1" is out of range`},
		{"ignoreEmpty", document(`{"type": "Threshold", "thresholds": {"upperSevere": 1}, "metricScore": 100, "ignoreEmpty": "yes"}`), `ignoreEmpty "yes" is text; write true or false`},
		{"pass out of reach", strings.Replace(document(goodGrading), `"pass": 90`, `"pass": 101`, 1), `objectives.pass "101" is above the sum of all metricScore`},
		{"warning above pass", strings.Replace(document(goodGrading), `"warning": 75`, `"warning": 91`, 1), `objectives.warning "91" is above pass`},
		{"warning missing", strings.Replace(document(goodGrading), `, "warning": 75`, ``, 1), `objectives.warning is missing`},
		{"compat without indicators", `{"compat": "pitometer", "objectives": {}}`, `indicators is missing`},
		{"compat without objectives", `{"compat": "pitometer", "indicators": []}`, `objectives is missing`},
		{"compat with nothing as indicator", `{"compat": "pitometer", "indicators": [null], "objectives": {}}`, `indicators[0] "null" is nothing`},
		{"characters, not bytes", `{"é": 1, "ü": 2}`, `f:1:10: ü is not a key`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			_, err := quality.ParsePerfspec("f", []byte(tt.in))
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Fatalf("got  %v\nwant %s", err, tt.want)
			}
			if fairway.KindOf(err) != fairway.KindInvalid {
				t.Errorf("kind %s", fairway.KindOf(err))
			}
			for _, p := range fairway.Problems(err) {
				if p.File != "f" || p.Line == 0 || p.Column == 0 || p.Remedy == "" {
					t.Errorf("without place or remedy: %+v", p)
				}
			}
		})
	}
}

func TestParseFindsAllProblemsAtOnce(t *testing.T) {
	t.Parallel()
	_, err := quality.ParsePerfspec("perfspec/perfspec.json", []byte(`{
  "spec_version": "2.0",
  "indicators": [
    {"id": "a", "source": "prometheus", "query": "q", "grading": {"type": "threshold", "thresholds": {"upperSever": 1}}},
    {"id": "a", "source": "Prometheus", "query": 1, "grading": {"type": "Threshold", "thresholds": {"upperSevere": "x"}, "metricScore": "100"}}
  ],
  "objectives": {"pass": "90"},
  "extra": true
}`))
	var got []string
	for _, p := range fairway.Problems(err) {
		got = append(got, fmt.Sprintf("%d:%d %s", p.Line, p.Column, p.Field))
	}
	want := `2:19 spec_version
4:27 indicators[0].source
4:66 indicators[0].grading.metricScore
4:75 indicators[0].grading.type
4:103 indicators[0].grading.thresholds.upperSever
5:12 indicators[1].id
5:50 indicators[1].query
5:116 indicators[1].grading.thresholds.upperSevere
5:137 indicators[1].grading.metricScore
7:17 objectives.warning
7:26 objectives.pass
8:3 extra`
	if g := strings.Join(got, "\n"); g != want {
		t.Errorf("got\n%s\nwant\n%s\n%v", g, want, err)
	}
}

func TestParseStaysCheapWithManyProblems(t *testing.T) {
	t.Parallel()
	var b strings.Builder
	b.WriteString("{\n")
	for i := range 50000 {
		fmt.Fprintf(&b, "\"k%d\": 0,\n", i)
	}
	b.WriteString("\"last\": 0}")
	start := time.Now()
	_, err := quality.ParsePerfspec("f", []byte(b.String()))
	if took := time.Since(start); took > 5*time.Second {
		t.Errorf("took %s", took)
	}
	if n := len(fairway.Problems(err)); n != 101 || !strings.Contains(err.Error(), "more problems") {
		t.Errorf("%d problems listed", n)
	}
}

func TestParseKeepsTheSourcesThatExist(t *testing.T) {
	t.Parallel()
	in := []byte(strings.Replace(document(goodGrading), `"Prometheus"`, `"Loki"`, 1))
	if _, err := quality.Parse("f", in, quality.ParseOptions{Sources: []string{"Loki"}}); err != nil {
		t.Error(err)
	}
	if _, err := quality.Parse("f", in, quality.ParseOptions{Sources: []string{"Prometheus"}}); err == nil {
		t.Error("a source that is not there was accepted")
	}
}

func FuzzParsePerfspec(f *testing.F) {
	f.Add(document(goodGrading))
	f.Add(`{"compat": "pitometer", "indicators": [{"id": 7, "source": "Prometheus", "grading": {"type": "Threshold", "thresholds": {"upperSevere": "x"}, "metricScore": "5"}}], "objectives": {"pass": "9"}}`)
	f.Add(`{"compat": "pitometer", "indicators": [{"id": [1,[2]], "source": "Prometheus"}], "objectives": 1}`)
	f.Add(`{"indicators": [{"grading": {"thresholds": {"upperSevere": -0e1, "lowerSevere": 1e308}}}], "objectives": {"pass": 1, "pass": 2}}`)
	f.Add(`[[[[`)
	f.Add("{\"a\":\n\"\\ud800\", \"\u2028\": null}")
	values := []quality.Value{{Key: "k", JSON: []byte(`1.5`)}, {Key: "l", JSON: []byte(`"NaN"`)}, {Key: "m", JSON: []byte(`null`)}, {Key: "n"}}
	f.Fuzz(func(t *testing.T, in string) {
		for _, compat := range []bool{false, true} {
			spec, err := quality.Parse("f", []byte(in), quality.ParseOptions{Compat: compat})
			if err != nil {
				if len(fairway.Problems(err)) == 0 || fairway.KindOf(err) != fairway.KindInvalid {
					t.Fatalf("an error without a problem: %v", err)
				}
				continue
			}
			results := map[string]quality.SourceResult{}
			for i, ind := range spec.Indicators {
				results[ind.ID] = quality.SourceResult{Values: values[:i%len(values)]}
			}
			j, err := quality.Evaluate(spec, results, quality.Options{})
			if err != nil || j.Verdict == "" || j.Reason == "" {
				t.Fatalf("judged as %+v, %v", j, err)
			}
		}
	})
}

// TestDocumentedExample keeps the example of the documentation a good one.
func TestDocumentedExample(t *testing.T) {
	t.Parallel()
	data, err := os.ReadFile("../docs/reference/perfspec.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, ok := strings.Cut(string(data), "```json\n")
	example, _, closed := strings.Cut(rest, "```")
	if !ok || !closed {
		t.Fatal("no example found")
	}
	if _, err := quality.ParsePerfspec("perfspec.md", []byte(example)); err != nil {
		t.Error(err)
	}
}
