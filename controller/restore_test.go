package controller

import (
	"testing"

	"github.com/fairwaycd/fairway"
	"github.com/fairwaycd/fairway/sequence"
)

// A rollback that was cut off may have stopped the version that the state
// still names; starting that again would bring back what was turned away.
func TestAPlaceThatAStepWorksOnIsNotStartedAgain(t *testing.T) {
	t.Parallel()
	staging := fairway.Stage{Name: "staging", Namespace: "staging"}
	effect := func(step fairway.Step, c fairway.Colour) sequence.Effect {
		return sequence.Effect{Stage: "staging", Plan: staging, Step: step, Colour: c}
	}
	for _, c := range []struct {
		pending sequence.Effect
		busy    bool
	}{
		{effect(fairway.StepRollback, fairway.Single), true},
		{effect(fairway.StepDeploy, fairway.Single), true},
		{effect(fairway.StepRetire, fairway.Single), true},
		{effect(fairway.StepRollback, fairway.Green), false}, // another place of the service
		{effect(fairway.StepTest, fairway.Single), false},
		{effect(fairway.StepRelease, fairway.Single), false},
	} {
		st := &sequence.State{Service: "carts", Pending: []sequence.Effect{c.pending}}
		if got := busyPlaces(st)[fairway.Place{Namespace: "staging", Service: "carts"}]; got != c.busy {
			t.Errorf("while %s of %s is pending: busy %v, want %v", c.pending.Step, c.pending.Colour, got, c.busy)
		}
	}
}
