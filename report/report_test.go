package report_test

import (
	"encoding/json"
	"encoding/xml"
	"errors"
	"io"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/fairwaycd/fairway"
	"github.com/fairwaycd/fairway/report"
)

var start = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

const evil = `<script>alert("|")</script>`

func evaluation(values ...float64) fairway.Evaluation {
	e := fairway.Evaluation{
		ID: "e1", Verdict: fairway.VerdictFail, Reason: "mean latency is too high", TotalScore: 40, Tied: true,
		Objectives: fairway.Objectives{Pass: 90, Warning: 75}, Window: fairway.Window{Start: start, End: start.Add(30 * time.Second)},
		Subject: fairway.Subject{Project: "sockshop", Stage: "staging", Version: "0.6.1", Place: fairway.Place{Service: "carts", Namespace: "staging", Colour: "green"}},
	}
	r := fairway.IndicatorResult{ID: "mean_latency", MaxScore: 50, Limits: map[string]float64{"upperSevere": 1, "upperWarning": 0.8}, Explanation: "mean latency 1.21 s is above 1.0 s", Query: "rate(x)", Tied: true}
	for i, v := range values {
		r.Samples = append(r.Samples, fairway.NewSample("pod "+string(rune('a'+i)), e.Window.End, v))
		r.Course = append(r.Course, fairway.NewSample("pod "+string(rune('a'+i)), start.Add(10*time.Second), v/2))
		if v > 1 {
			r.Violations = []fairway.Violation{{Breach: "upperSevere"}}
		}
	}
	e.IndicatorResults = []fairway.IndicatorResult{r}
	return e
}

// wellFormed reads s as XML, which SVG in a page has to be.
func wellFormed(t *testing.T, s string) (elements map[string]int) {
	t.Helper()
	elements = map[string]int{}
	for dec := xml.NewDecoder(strings.NewReader(s)); ; {
		tok, err := dec.Token()
		if errors.Is(err, io.EOF) {
			return elements
		}
		if err != nil {
			t.Fatalf("%v in %s", err, s)
		}
		if el, ok := tok.(xml.StartElement); ok {
			elements[el.Name.Local]++
		}
	}
}

func TestPlot(t *testing.T) {
	t.Parallel()
	e := evaluation(1.21, 0.4)
	svg := string(report.Plot(e.IndicatorResults[0], e.Window, []fairway.Evaluation{evaluation(0.5), evaluation(0.6, 0.2), evaluation()}))
	n := wellFormed(t, svg)
	if n["svg"] != 1 || n["circle"] != 4 { // two series, two earlier values
		t.Errorf("%v in %s", n, svg)
	}
	for _, want := range []string{"upperSevere 1<", "upperWarning 0.8<", "12:00:00", "12:00:30", "2 earlier", `aria-label="Plot of mean_latency: 2 series, and 2 earlier evaluations"`} {
		if !strings.Contains(svg, want) {
			t.Errorf("no %q in %s", want, svg)
		}
	}
	if strings.Contains(svg, "style=") || strings.Contains(svg, "NaN") {
		t.Error(svg)
	}
}

// TestPlotOfOddValues draws nothing that is no number, and never divides by
// zero.
func TestPlotOfOddValues(t *testing.T) {
	t.Parallel()
	for name, values := range map[string][]float64{
		"one": {1}, "zero": {0}, "equal": {2, 2}, "negative": {-3, 4}, "huge": {9e299, -9e299}, "tiny": {5e-324}, "mixed": {math.NaN(), math.Inf(1), 3},
	} {
		e := evaluation(values...)
		svg := string(report.Plot(e.IndicatorResults[0], e.Window, nil))
		wellFormed(t, svg)
		for _, bad := range []string{"NaN", "Inf"} {
			if svg == "" || strings.Contains(svg, bad) {
				t.Errorf("%s: %s", name, svg)
			}
		}
	}
	e := evaluation(math.NaN(), math.Inf(-1), math.MaxFloat64)
	if svg := report.Plot(e.IndicatorResults[0], fairway.Window{}, nil); svg != "" {
		t.Errorf("nothing to draw: %s", svg)
	}
	many := evaluation()
	for i := range 100000 {
		many.IndicatorResults[0].Samples = append(many.IndicatorResults[0].Samples, fairway.NewSample(strings.Repeat("k", i%500), start, float64(i)))
	}
	if svg := report.Plot(many.IndicatorResults[0], many.Window, nil); len(svg) > 100_000 {
		t.Errorf("%d bytes", len(svg))
	}
}

// TestValuesOutliveJSON: an evaluation that was stored is drawn as before.
func TestValuesOutliveJSON(t *testing.T) {
	t.Parallel()
	e := evaluation(1.21, 0.4)
	body, err := json.Marshal(e)
	if err != nil {
		t.Fatal(err)
	}
	var again fairway.Evaluation
	if err := json.Unmarshal(body, &again); err != nil {
		t.Fatal(err)
	}
	if a, b := report.Plot(e.IndicatorResults[0], e.Window, nil), report.Plot(again.IndicatorResults[0], again.Window, nil); a != b {
		t.Errorf("%s\n%s", a, b)
	}
}

func TestMarkdown(t *testing.T) {
	t.Parallel()
	e := evaluation(1.21, 0.4)
	e.IndicatorResults[0].Explanation = evil
	got := report.Markdown(e, []fairway.Evaluation{evaluation(0.5), evaluation(0.625)})
	for _, want := range []string{
		"### ❌ Gate for carts 0.6.1 in staging: fail\n", "mean latency is too high", "**40** points; pass from 90, warning from 75. Window 2026-03-01 12:00:00 to 12:00:30 UTC.",
		"| ❌ | mean\\_latency | 1.21 (worst of 2) | 0/50 | 0.5, 0.625 | &lt;script&gt;alert(\"\\|\")&lt;/script&gt; |\n",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("no %q in\n%s", want, got)
		}
	}
	e.Tied = false
	if got := report.Markdown(e, nil); !strings.Contains(got, "Not tied to the version") {
		t.Error(got)
	}
}

func TestHTMLNeedsNothingAndEscapes(t *testing.T) {
	t.Parallel()
	e := evaluation(1.21, math.NaN())
	e.Reason, e.IndicatorResults[0].ID, e.IndicatorResults[0].Samples[0].Key, e.IndicatorResults[0].Query = evil, evil, evil, evil
	e.IndicatorResults[0].Limits[evil] = 3
	body, err := report.HTML(e, []fairway.Evaluation{evaluation(0.5)})
	if err != nil {
		t.Fatal(err)
	}
	for _, bad := range []string{"<script", "href=", "src=", "url("} {
		if strings.Contains(string(body), bad) {
			t.Errorf("%s in the page", bad)
		}
	}
	for _, want := range []string{"<svg", "upperSevere", "NaN", "<title>fail for carts 0.6.1 in staging</title>"} {
		if !strings.Contains(string(body), want) {
			t.Errorf("no %q in the page:\n%s", want, body)
		}
	}
}
