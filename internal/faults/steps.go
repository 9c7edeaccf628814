package main

import (
	"slices"
	"time"

	"github.com/fairwaycd/fairway"
	"github.com/fairwaycd/fairway/api"
)

// steps are durations of steps.
type steps map[fairway.Step]time.Duration

// durations takes how long the steps of a run took, of each the median.
func durations(f facts) steps {
	all := map[fairway.Step][]time.Duration{}
	for _, d := range f.deliveries {
		for _, st := range d.Stages {
			for _, r := range st.Steps {
				if r.EndedAt != nil {
					all[r.Step] = append(all[r.Step], r.EndedAt.Sub(r.StartedAt))
				}
			}
		}
	}
	for _, events := range f.events {
		if from, to, ok := retirement(events); ok {
			all[fairway.StepRetire] = append(all[fairway.StepRetire], to.Sub(from))
		}
	}
	out := steps{}
	for step, took := range all {
		slices.Sort(took)
		out[step] = took[len(took)/2]
	}
	return out
}

// during are the steps that were under way at the moment.
func during(f facts, at time.Time) map[fairway.Step]bool {
	out := map[fairway.Step]bool{}
	for _, d := range f.deliveries {
		for _, st := range d.Stages {
			for _, r := range st.Steps {
				if !r.StartedAt.After(at) && (r.EndedAt == nil || !r.EndedAt.Before(at)) {
					out[r.Step] = true
				}
			}
		}
	}
	for _, events := range f.events {
		if from, to, ok := retirement(events); ok && !from.After(at) && !to.Before(at) {
			out[fairway.StepRetire] = true
		}
	}
	return out
}

// retirement is when a version that was turned away is stopped, which goes on
// after its delivery's end.
func retirement(events []fairway.Event) (from, to time.Time, ok bool) {
	for _, e := range events {
		switch e.Type {
		case fairway.TypeDeliveryRejected:
			from = e.Time
		case fairway.TypeVersionStopped:
			to = e.Time
		}
	}
	return from, to, !from.IsZero() && !to.IsZero()
}

// begunBy are the steps that an event may be the beginning of.
func begunBy(e api.StoredEvent) []fairway.Step {
	switch e.Type {
	case fairway.TypeNewArtifact, fairway.TypeStageFinished:
		return []fairway.Step{fairway.StepConfigure}
	case fairway.TypeConfigurationChanged:
		return []fairway.Step{fairway.StepDeploy}
	case fairway.TypeDeploymentFinished:
		return []fairway.Step{fairway.StepTest}
	case fairway.TypeTestsFinished:
		return []fairway.Step{fairway.StepEvaluate, fairway.StepRollback}
	case fairway.TypeApprovalRequested:
		return []fairway.Step{fairway.StepApprove}
	case fairway.TypeEvaluationDone:
		return []fairway.Step{fairway.StepRelease, fairway.StepRollback}
	case fairway.TypeApprovalGiven:
		return []fairway.Step{fairway.StepRelease}
	case fairway.TypeDeliveryRejected:
		return []fairway.Step{fairway.StepRetire}
	}
	return nil
}
