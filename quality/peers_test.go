package quality_test

import (
	"os"
	"strings"
	"testing"

	"github.com/fairwaycd/fairway"
	"github.com/fairwaycd/fairway/quality"
)

// peerCase is one row of the table in docs/reference/gate-answers.md.
type peerCase struct {
	name       string
	thresholds string // of a perfspec
	source     string
	result     quality.SourceResult
	earlier    []fairway.Evaluation
}

var peerCases = []peerCase{
	{name: "0.5", result: values("0.5")},
	{name: "1, which is the limit", result: values("1")},
	{name: "NaN", result: values(`"NaN"`)},
	{name: "+Inf", result: values(`"+Inf"`)},
	{name: "null", result: values("null")},
	{name: "no data", result: values()},
	{name: "three series: 0.5, 2, 0.5", result: values("0.5", "2", "0.5")},
	{name: "5, and the limit is 0", thresholds: `{"upperSevere": 0}`, result: values("5")},
	{name: "the source fails", result: quality.SourceResult{Failure: "down"}},
	{name: "the source does not exist", source: "Loki", result: values("0.5")},
	{name: "2, and the limit's key is misspelt", thresholds: `{"uperSevere": 1}`, result: values("2")},
	{name: "5, no limit at all", thresholds: `{}`, result: values("5")},
	{name: "5, relative limit, nothing earlier", thresholds: `{"upperSeverePerc": 10}`, result: values("5")},
	{name: "0.9 after 0.5, at most 10 % more", thresholds: `{"upperSeverePerc": 10}`, result: values("0.9"), earlier: []fairway.Evaluation{run("1", "pass", 0.5)}},
}

// says returns what a reading answers: a verdict, or that it refuses the
// document.
func (c peerCase) says(t *testing.T, compat bool) string {
	t.Helper()
	thresholds, source := c.thresholds, c.source
	if thresholds == "" {
		thresholds = `{"upperSevere": 1}`
	}
	if source == "" {
		source = "Prometheus"
	}
	text := strings.Replace(document(`{"type": "Threshold", "thresholds": `+thresholds+`, "metricScore": 100}`), "Prometheus", source, 1)
	spec, err := quality.Parse("f", []byte(text), quality.ParseOptions{Compat: compat})
	if err != nil {
		return "refused"
	}
	j, err := quality.Evaluate(spec, map[string]quality.SourceResult{"a": c.result}, quality.Options{Earlier: c.earlier})
	if err != nil {
		t.Fatal(err)
	}
	return string(j.Verdict)
}

// TestAnswersOfOthers holds the columns of the table that can be computed
// against the engine: Fairway's own and, by the compatible reading, Pitometer's.
func TestAnswersOfOthers(t *testing.T) {
	t.Parallel()
	data, err := os.ReadFile("../docs/reference/gate-answers.md")
	if err != nil {
		t.Fatal(err)
	}
	rows := map[string][]string{}
	for line := range strings.Lines(string(data)) {
		if cells := strings.Split(strings.TrimSpace(line), "|"); len(cells) == 7 {
			for i := range cells {
				cells[i] = strings.TrimSpace(cells[i])
			}
			rows[cells[1]] = cells[2:6]
		}
	}
	for _, c := range peerCases {
		row, ok := rows[c.name]
		if !ok {
			t.Errorf("the table has no row %q", c.name)
			continue
		}
		if got := c.says(t, true); !strings.HasPrefix(row[0], got) {
			t.Errorf("%s: Pitometer answers %s, the table says %s", c.name, got, row[0])
		}
		if got := c.says(t, false); !strings.HasPrefix(row[3], "**"+got+"**") {
			t.Errorf("%s: Fairway answers %s, the table says %s", c.name, got, row[3])
		}
	}
}
