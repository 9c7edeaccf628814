package main

import (
	"encoding/json"
	"testing"

	"github.com/fairwaycd/fairway"
)

// A place is used by many versions one after another, and the objectives'
// range of three minutes reaches back over all of them. Each is judged by its
// own samples alone.
func TestJudgedByOwnSamplesAlone(t *testing.T) {
	t.Parallel()
	for name, shipyard := range map[string]string{
		"colours": oneStage,
		"direct":  "stages:\n  - name: staging\n    deployment_strategy: direct\n    test_strategy: performance\n    gate: required\n",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := start(t)
			s.shop(t, shipyard, "1500ms")
			fast := []fairway.Delivery{s.deliver(t, "1", fairway.StatusFinished)}
			if name == "colours" { // so that the slow one comes where a fast one was
				fast = append(fast, s.deliver(t, "2", fairway.StatusFinished))
			}
			slow := s.deliver(t, "3", fairway.StatusRejected, "DELAY=300ms")
			fast = append(fast, s.deliver(t, "4", fairway.StatusFinished))
			if v := s.printed(t, slow); v < 0.3 {
				t.Errorf("the gate saw %g s of the slow version, which takes 0.3 s", v)
			}
			for _, d := range fast {
				if v := s.printed(t, d); v > 0.05 {
					t.Errorf("the gate saw %g s of the fast version %s", v, d.Artifact.Tag)
				}
			}
			last := fast[len(fast)-1]
			if a, b := slow.Stages[0].Colour, last.Stages[0].Colour; a != b || a != fast[0].Stages[0].Colour {
				t.Errorf("the versions were not in one place: %s, %s and %s", fast[0].Stages[0].Colour, a, b)
			}
			must(t, s.awaitAnswer("cart.staging.localhost", "4"))
			must(t, s.stop())
		})
	}
}

// printed returns the judged value that the command line prints.
func (s *server) printed(t *testing.T, d fairway.Delivery) float64 {
	t.Helper()
	out := s.run(t, "get", "evaluation", d.Stages[0].Evaluation, "-o", "json")
	var ev fairway.Evaluation
	if err := json.Unmarshal([]byte(out), &ev); err != nil {
		t.Fatalf("%v in %s", err, out)
	}
	if !ev.Tied {
		t.Errorf("the evaluation of %s is not tied to the version", d.Artifact.Tag)
	}
	return measured(t, ev)
}
