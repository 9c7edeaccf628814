package sequence

import (
	"testing"

	"github.com/fairwaycd/fairway"
)

func (w *world) pushGit(p Pushed) Decision {
	w.t.Helper()
	p.Actor, p.Stage = "ann", "live"
	return w.do(Input{Pushed: &p})
}

// Pushed weights that meet a delivery, which can only happen between the check
// and the ref, wait for it; what makes no sense then is put back in git.
func TestPushedWeightsWaitForTheStage(t *testing.T) {
	t.Parallel()
	for name, last := range map[string]struct {
		answer func(Effect) Result
		want   string
		back   bool
	}{
		"both run":        {good, "60/40", false},
		"one turned away": {func(e Effect) Result { return Result{OK: e.Step != fairway.StepDeploy, Reason: "500"} }, "100/0", true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			st := fairway.Stage{Name: "live", DeploymentStrategy: fairway.BlueGreen}
			w := newWorld(t)
			w.push("1", st)
			w.run(good)
			w.push("2", st)
			asked := Pushed{Commit: "0123456789", Weights: fairway.Weights{fairway.Blue: 60, fairway.Green: 40}}
			w.pushGit(asked)
			w.pushGit(asked) // again, after a crash
			back := false
			w.run(func(e Effect) Result {
				if e.Step == fairway.StepRoute {
					back = e.PutBack
					return good(e)
				}
				return last.answer(e)
			})
			if got := w.s.Stages["live"].Weights.String(); got != last.want || back != last.back {
				t.Errorf("weights %s, put back %v", got, back)
			}
			if n := w.count(fairway.TypeConfigurationPushed); n != 1 {
				t.Errorf("%d events of one push", n)
			}
			refused := w.count(fairway.TypeRouteRefused)
			if (refused == 1) != last.back {
				t.Errorf("%d refusals", refused)
			}
		})
	}
}
