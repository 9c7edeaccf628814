package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/fairwaycd/fairway"
)

// A version is compared with the last one that passed, in the other colour,
// until somebody says that its evaluation does not count.
func TestComparedWithTheVersionBefore(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.shop(t, oneStage, "1500ms")
	written, err := os.ReadFile("testdata/shop/resources/perfspec/perfspec.json")
	must(t, err)
	spec := strings.Replace(string(written), `"upperSevere": 0.2, "upperWarning": 0.1`, `"upperSeverePerc": 200`, 1)
	must(t, os.WriteFile(filepath.Join(s.home, "perfspec.json"), []byte(spec), 0o600))
	s.run(t, "add", "resource", "cart", "--project", "shop", "--all-stages", "perfspec.json")

	first := s.deliver(t, "1", fairway.StatusFinished, "DELAY=50ms")
	slow := s.deliver(t, "2", fairway.StatusRejected, "DELAY=500ms")
	before, ev := s.evaluation(t, first, "staging"), s.evaluation(t, slow, "staging")
	if !slices.Equal(ev.ComparedWith, []string{before.ID}) || len(ev.IndicatorResults[0].Compared) != 1 || ev.IndicatorResults[0].Compared[0].Earlier != measured(t, before) {
		t.Errorf("compared with %v: %+v", ev.ComparedWith, ev.IndicatorResults[0].Compared)
	}
	if text := s.run(t, "compare", "evaluations", before.ID, ev.ID); !strings.Contains(text, "work_seconds") || !strings.Contains(text, "the same") {
		t.Error(text)
	}
	s.run(t, "invalidate", "evaluation", before.ID, "--reason", "measured on a cold machine")
	s.run(t, "invalidate", "evaluation", before.ID, "--reason", "again")
	if types := s.types(t, first); !slices.Contains(types, "evaluation.invalidated") {
		t.Errorf("the delivery's events are %v", types)
	}

	must(t, s.stop())
	must(t, s.begin(nil))
	var page fairway.EvaluationPage
	must(t, json.Unmarshal([]byte(s.run(t, "get", "evaluations", "--service", "cart", "--project", "shop", "--stage", "staging", "-o", "json")), &page))
	if len(page.Items) != 2 || page.Items[0].ID != ev.ID || page.Items[1].Invalidated == nil || page.Items[1].Invalidated.Reason != "measured on a cold machine" {
		t.Errorf("%+v", page)
	}
	third := s.evaluation(t, s.deliver(t, "3", fairway.StatusFinished, "DELAY=500ms"), "staging")
	if len(third.ComparedWith) != 0 || !strings.Contains(third.IndicatorResults[0].Explanation, "no earlier evaluation to compare with") {
		t.Errorf("compared with %v: %s", third.ComparedWith, third.IndicatorResults[0].Explanation)
	}
	must(t, s.stop())
}
