package main

import (
	"encoding/json"
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

// begunBy is the step that an event is the beginning of, or none.
func begunBy(e api.StoredEvent) fairway.Step {
	var data fairway.EventData
	if json.Unmarshal(e.Data, &data) != nil {
		return ""
	}
	switch e.Type {
	case fairway.TypeNewArtifact, fairway.TypeStageFinished:
		return fairway.StepConfigure
	case fairway.TypeConfigurationChanged:
		return fairway.StepDeploy
	case fairway.TypeDeploymentFinished:
		return fairway.StepTest
	case fairway.TypeTestsFinished:
		if data.Result == "fail" {
			return fairway.StepRollback
		}
		return fairway.StepEvaluate
	case fairway.TypeApprovalRequested:
		return fairway.StepApprove
	case fairway.TypeEvaluationDone:
		if data.EvaluationPassed != nil && !*data.EvaluationPassed {
			return fairway.StepRollback // where traffic had moved already
		}
		return fairway.StepRelease
	case fairway.TypeApprovalGiven:
		return fairway.StepRelease
	case fairway.TypeDeliveryRejected:
		return fairway.StepRetire
	}
	return ""
}
