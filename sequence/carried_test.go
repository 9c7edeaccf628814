package sequence

import (
	"fmt"
	"testing"

	"github.com/fairwaycd/fairway"
)

func carried(colours ...fairway.Colour) *fairway.Carried {
	return &fairway.Carried{Branch: "live", Commit: "0123456789", Colours: colours}
}

// What was pushed to a stage comes to the version that has the traffic when
// its turn has come, and neither supersedes an artifact nor is superseded.
func TestAPushedConfigurationWaitsItsTurn(t *testing.T) {
	t.Parallel()
	st := fairway.Stage{Name: "live", DeploymentStrategy: fairway.BlueGreen}
	w := newWorld(t)
	w.push("1", st)
	w.run(good)
	w.push("2", st)
	plan := []fairway.Stage{st.WithDefaults()}
	w.pushGit(Pushed{Commit: "0123456789", Carried: carried(fairway.Blue), Plan: plan})
	w.push("3", st)
	if n := w.count(fairway.TypeDeliverySuperseded); n != 0 {
		t.Errorf("%d superseded", n)
	}
	var order []string
	w.run(func(e Effect) Result {
		if e.Step == fairway.StepConfigure {
			order = append(order, e.Artifact.Tag)
			if (e.Carried != nil) != (len(order) == 2) || e.Live == "" {
				t.Errorf("configure %d of %s carries %v, live %q", len(order), e.Artifact.Tag, e.Carried, e.Live)
			}
		}
		return good(e)
	})
	if got := len(order); got != 3 || order[0] != "2" || order[1] != "2" || order[2] != "3" {
		t.Errorf("configured in turn: %v", order)
	}
	w.want("live", "0/100", "2", "3")
}

// A newer artifact that supersedes an update of the service takes the update
// along.
func TestAnUpdateIsTakenOver(t *testing.T) {
	t.Parallel()
	st := fairway.Stage{Name: "live", DeploymentStrategy: fairway.BlueGreen}.WithDefaults()
	w := newWorld(t)
	w.push("1", st)
	w.run(good)
	w.push("2", st)
	c := &fairway.Carried{Branch: fairway.MainBranch, Commit: "0123456789", Present: true}
	w.do(Input{Artifact: &Artifact{Source: "/update", EventID: "u", Artifact: fairway.Artifact{Image: "i", Tag: "1"}, Carried: c, Plan: []fairway.Stage{st}}})
	if n := w.count(fairway.TypeDeliverySuperseded); n != 0 {
		t.Errorf("an update superseded an artifact")
	}
	w.push("3", st)
	if n := w.count(fairway.TypeDeliverySuperseded); n != 1 {
		t.Errorf("%d superseded", n)
	}
	took := ""
	w.run(func(e Effect) Result {
		if e.Step == fairway.StepConfigure && e.Carried != nil {
			took += e.Artifact.Tag
		}
		return good(e)
	})
	if took != "3" {
		t.Errorf("the update came with %q", took)
	}
}

// A pushed configuration that is turned away leaves the weights alone and is
// taken out of the branch.
func TestAPushedConfigurationIsPutBack(t *testing.T) {
	t.Parallel()
	for _, strategy := range []fairway.DeploymentStrategy{fairway.BlueGreen, fairway.Direct} {
		st := fairway.Stage{Name: "live", DeploymentStrategy: strategy, TestStrategy: fairway.FunctionalTests}.WithDefaults()
		w := newWorld(t)
		w.push("1", st)
		w.run(good)
		weights := w.s.Stages["live"].Weights.String()
		w.pushGit(Pushed{Commit: "0123456789", Carried: carried(), Plan: []fairway.Stage{st}})
		back := 0
		w.run(func(e Effect) Result {
			if e.Step == fairway.StepTest {
				return Result{Refused: true, Reason: "500"}
			}
			if e.PutBack {
				back++
			}
			return good(e)
		})
		if got := w.s.Stages["live"].Weights.String(); got != weights || back != 1 {
			t.Errorf("%s: weights %s, put back %d times", strategy, got, back)
		}
		if n := w.count(fairway.TypeRolledBack); n != 1 {
			t.Errorf("%s: %d rolled back", strategy, n)
		}
	}
}

// A definition of the service goes through all stages with the version that is
// there, once; before there is one, the first delivery brings it along, with
// all that were given.
func TestADefinitionIsDelivered(t *testing.T) {
	t.Parallel()
	plan := []fairway.Stage{fairway.Stage{Name: "dev"}.WithDefaults(), fairway.Stage{Name: "live", DeploymentStrategy: fairway.BlueGreen}.WithDefaults()}
	w := newWorld(t)
	var got []string
	answer := func(e Effect) Result {
		if e.Step == fairway.StepConfigure && e.Carried != nil {
			text := string(e.Stage) + " " + e.Artifact.Tag + " "
			for _, one := range append(e.Carried.Earlier, fairway.Defined{Commit: e.Carried.Commit}) {
				text += one.Commit
			}
			got = append(got, text)
		}
		return good(e)
	}
	define := func(commit string) {
		w.do(Input{Pushed: &Pushed{Commit: commit, Actor: "ann", Carried: &fairway.Carried{Branch: fairway.MainBranch, Commit: commit, Present: true}, Plan: plan}})
	}
	define("a")
	define("b")
	if n := len(w.s.Open); n != 0 {
		t.Fatalf("%d deliveries of nothing", n)
	}
	w.push("1", plan...)
	w.run(answer)
	w.push("2", plan...)
	define("c") // comes with 2, whose turn is before it
	define("c")
	w.run(answer)
	want := "[dev 1 ab live 1 ab dev 2 c live 2 c]"
	if fmt.Sprint(got) != want {
		t.Errorf("got  %s\nwant %s", fmt.Sprint(got), want)
	}
	if n := w.count(fairway.TypeServiceUpdated); n != 3 {
		t.Errorf("%d events of updates", n)
	}
}
