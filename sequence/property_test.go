package sequence

import (
	"encoding/json"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/fairwaycd/fairway"
	"pgregory.net/rapid"
)

// check fails the test when the state breaks an invariant of the design.
func check(t testing.TB, s *State) {
	t.Helper()
	foreground := map[fairway.DeliveryID]int{}
	for _, e := range s.Pending {
		if e.Step != fairway.StepRetire && e.Step != fairway.StepRoute && e.Step != fairway.StepRemove {
			foreground[e.Delivery]++
		}
		if !slices.ContainsFunc(s.Deadlines, func(l Deadline) bool { return l.Key == e.Key() }) {
			t.Fatalf("effect %s has no deadline", e.Key())
		}
	}
	for _, x := range s.Open {
		want := 0
		later := slices.ContainsFunc(s.Deadlines, func(l Deadline) bool {
			return l.Start != nil && l.Start.Delivery == x.ID && l.Start.Step != fairway.StepRetire
		})
		if x.Status == fairway.StatusRunning && !later {
			want = 1
		}
		if foreground[x.ID] != want {
			t.Fatalf("delivery %s is %s at %s with %d effects under way", x.Artifact.Tag, x.Status, x.Step, foreground[x.ID])
		}
		delete(foreground, x.ID)
		st := s.Stages[x.Stage]
		held, queued := st.Holder == x.ID, 0
		for _, id := range st.Queue {
			if id == x.ID {
				queued++
			}
		}
		if held == (queued == 1) || queued > 1 {
			t.Fatalf("delivery %s: holder %v, queued %d times in %s", x.Artifact.Tag, held, queued, x.Stage)
		}
	}
	if len(foreground) > 0 {
		t.Fatalf("effects of deliveries that are not open: %v", foreground)
	}
	for name, st := range s.Stages {
		if st.Holder != "" && s.Find(st.Holder) == nil {
			t.Fatalf("stage %s is held by a delivery that is not open", name)
		}
		if st.Weights == nil {
			continue
		}
		if err := st.Weights.Validate(); err != nil {
			t.Fatalf("stage %s: %v", name, err)
		}
		if st.Plan.DeploymentStrategy == fairway.Direct {
			continue
		}
		for c, w := range st.Weights {
			if o := st.Occupants[c]; w > 0 && !trusted(s, st, o) {
				t.Fatalf("stage %s: %d%% of the traffic goes to %s, which is %s", name, w, o.Artifact.Tag, o.State)
			}
		}
	}
}

// trusted reports whether an occupant may have traffic: it passed, or the
// stage asks for traffic before the tests and these are under way.
func trusted(s *State, st *Stage, o fairway.Occupant) bool {
	if o.State == fairway.OccupantReleased || st.Stuck != "" || st.ByHand {
		return true
	}
	x := s.Find(o.Delivery)
	if x != nil && x.Step == fairway.StepRollback {
		return true // it loses the traffic as soon as that can be done
	}
	return o.State == fairway.OccupantRunning && x != nil && st.Holder == x.ID && x.Before.Weights != nil && st.Plan.Release == fairway.ReleaseBeforeTests
}

// Random artifacts, results in any order, duplicates of everything, restarts,
// commands and timers: the invariants hold after each, a state that was
// stored and loaded decides the same, and in the end every delivery has ended
// exactly once.
func TestRandomHistories(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		w := newWorld(t)
		plan := drawPlan(rt)
		started := map[fairway.DeliveryID]bool{}
		var old []Input
		step := func(in Input) {
			b, err := json.Marshal(w.s)
			if err != nil {
				rt.Fatal(err)
			}
			var loaded State
			if err := json.Unmarshal(b, &loaded); err != nil {
				rt.Fatal(err)
			}
			seq, now := w.seq+1, w.now.Add(time.Second)
			if in.Result != nil || in.Timer != nil || in.Restart != nil {
				seq = 0
			}
			probe := in
			probe.Seq = seq
			again := Decide(&loaded, probe, now)
			d := w.do(in)
			if fmt.Sprint(d.Events) != fmt.Sprint(again.Events) {
				rt.Fatalf("decided again after a crash: %v, want %v", again.Events, d.Events)
			}
			if probe.Seq != 0 && d.Changed {
				if r := Decide(d.State, probe, now); r.Changed {
					rt.Fatal("an input that was decided before was decided again")
				}
			}
			for _, x := range w.s.Open {
				started[x.ID] = true
			}
			for _, x := range d.Ended {
				started[x.ID] = true
			}
			old = append(old, in)
		}
		for i := range rapid.IntRange(1, 40).Draw(rt, "inputs") {
			step(drawInput(rt, w, plan, old, i))
		}
		for range 2000 {
			if len(w.s.Open) == 0 && len(w.s.Pending) == 0 {
				break
			}
			if len(w.s.Pending) > 0 {
				r := good(w.s.Pending[0])
				r.Key = w.s.Pending[0].Key()
				step(Input{Result: &r})
				continue
			}
			if i := slices.IndexFunc(w.s.Deadlines, func(l Deadline) bool { return l.Start != nil }); i >= 0 {
				w.now = w.s.Deadlines[i].At
				step(Input{Timer: &Timer{Key: w.s.Deadlines[i].Key}})
				continue
			}
			if i := slices.IndexFunc(w.s.Open, func(x *Delivery) bool { return x.Paused }); i >= 0 {
				step(Input{Command: &Command{Verb: Resume, Delivery: w.s.Open[i].ID, Actor: "ann", Reason: "go on"}})
				continue
			}
			i := slices.IndexFunc(w.s.Open, func(x *Delivery) bool { return x.Step == fairway.StepApprove })
			step(Input{Command: &Command{Verb: Approve, Delivery: w.s.Open[i].ID, Actor: "ann", Reason: "end of the story"}})
		}
		if len(w.s.Open) != 0 {
			rt.Fatalf("%d deliveries never end", len(w.s.Open))
		}
		ends := map[fairway.DeliveryID]int{}
		for _, e := range w.events {
			switch e.Type {
			case fairway.TypeDeliveryFinished, fairway.TypeDeliveryFailed, fairway.TypeDeliveryRejected, fairway.TypeDeliverySuperseded, fairway.TypeDeliveryAborted:
				ends[e.Context]++
				if e.Reason == "" {
					rt.Fatalf("%s without a reason", e.Type)
				}
			}
		}
		for id := range started {
			if ends[id] != 1 {
				rt.Fatalf("delivery %s ended %d times", id, ends[id])
			}
		}
	})
}

func drawPlan(rt *rapid.T) []fairway.Stage {
	var plan []fairway.Stage
	for i := range rapid.IntRange(1, 3).Draw(rt, "stages") {
		s := fairway.Stage{
			Name:               fairway.StageName(fmt.Sprintf("stage%d", i)),
			DeploymentStrategy: rapid.SampledFrom([]fairway.DeploymentStrategy{fairway.Direct, fairway.BlueGreen}).Draw(rt, "strategy"),
			TestStrategy:       rapid.SampledFrom([]fairway.TestStrategy{fairway.NoTests, fairway.FunctionalTests, fairway.PerformanceTests}).Draw(rt, "tests"),
			Approval:           rapid.SampledFrom([]fairway.Approval{"", fairway.ApprovalManual}).Draw(rt, "approval"),
			OnFailure:          rapid.SampledFrom([]fairway.OnFailure{"", fairway.OnFailureKeep}).Draw(rt, "on_failure"),
			OnWarning:          rapid.SampledFrom([]fairway.OnWarning{"", fairway.OnWarningApprove, fairway.OnWarningStop}).Draw(rt, "on_warning"),
			Previous:           rapid.SampledFrom([]fairway.Previous{"", "0", "30m"}).Draw(rt, "previous"),
			Supersede:          rapid.SampledFrom([]fairway.Supersede{"", fairway.SupersedeAlways, fairway.SupersedeNever}).Draw(rt, "supersede"),
		}
		if s.DeploymentStrategy == fairway.BlueGreen {
			s.Release = rapid.SampledFrom([]fairway.ReleaseOrder{"", fairway.ReleaseBeforeTests}).Draw(rt, "release")
		}
		plan = append(plan, s.WithDefaults())
	}
	return plan
}

func drawInput(rt *rapid.T, w *world, plan []fairway.Stage, old []Input, i int) Input {
	switch k := rapid.IntRange(0, 11).Draw(rt, "kind"); {
	case k <= 1:
		tag := fmt.Sprintf("1.%d", rapid.IntRange(0, 5).Draw(rt, "tag"))
		return Input{Artifact: &Artifact{Source: "/registry", Pushed: true, Plan: plan,
			Artifact: fairway.Artifact{Image: "r/carts", Tag: tag, Digest: digest(fmt.Sprint(rapid.IntRange(0, 2).Draw(rt, "digest")))}}}
	case k == 2:
		return Input{Artifact: &Artifact{Source: "ci", EventID: fmt.Sprint(i), Plan: plan, Artifact: fairway.Artifact{Image: "r/carts", Tag: "2"}}}
	case k == 3 && len(old) > 0:
		return rapid.SampledFrom(old).Draw(rt, "again")
	case k == 4:
		return Input{Restart: &Restart{}}
	case k == 5 && len(w.s.Deadlines) > 0:
		w.now = w.now.Add(2 * time.Hour)
		return Input{Timer: &Timer{Key: rapid.SampledFrom(w.s.Deadlines).Draw(rt, "deadline").Key}}
	case k == 7:
		share := rapid.SampledFrom([]int{0, 30, 100}).Draw(rt, "share")
		return Input{Command: &Command{
			Verb: rapid.SampledFrom([]Verb{SetRoute, Rollback}).Draw(rt, "verb"), Stage: rapid.SampledFrom(plan).Draw(rt, "stage").Name,
			Weights: fairway.Weights{fairway.Blue: share, fairway.Green: 100 - share}, Force: rapid.Bool().Draw(rt, "force"), Actor: "ann", Reason: "because",
		}}
	case k == 8 && rapid.IntRange(0, 4).Draw(rt, "remove") == 0:
		return Input{Command: &Command{Verb: Remove, Keep: rapid.Bool().Draw(rt, "keep"), Actor: "ann", Reason: "because"}}
	case k == 9 && !w.s.Onboarded:
		return Input{Onboard: &Onboard{Actor: "bob"}}
	case k == 6 && len(w.s.Open) > 0:
		return Input{Command: &Command{
			Verb:     rapid.SampledFrom([]Verb{Approve, Reject, Abort, Pause, Resume}).Draw(rt, "verb"),
			Delivery: rapid.SampledFrom(w.s.Open).Draw(rt, "delivery").ID, Actor: "ann", Reason: "because",
		}}
	case len(w.s.Pending) > 0:
		e := rapid.SampledFrom(w.s.Pending).Draw(rt, "effect")
		r := good(e)
		if rapid.IntRange(0, 3).Draw(rt, "fails") == 0 {
			r.OK, r.Reason, r.Refused = false, "it failed", rapid.Bool().Draw(rt, "refused")
		}
		if e.Step == fairway.StepEvaluate && r.OK {
			r.Verdict = rapid.SampledFrom([]fairway.Verdict{fairway.VerdictPass, fairway.VerdictWarning, fairway.VerdictFail, fairway.VerdictError, fairway.VerdictNotJudged}).Draw(rt, "verdict")
		}
		r.Key = e.Key()
		return Input{Result: &r}
	}
	return Input{Timer: &Timer{Key: "stale"}}
}
