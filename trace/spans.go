package trace

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/sdk/resource"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	oteltrace "go.opentelemetry.io/otel/trace"

	"github.com/fairwaycd/fairway"
)

// ID is the trace of a delivery: the digits of its own id where that is a
// UUID, else a hash of it.
func ID(d fairway.DeliveryID) [16]byte {
	var id [16]byte
	if b, err := hex.DecodeString(strings.ReplaceAll(string(d), "-", "")); err == nil && len(b) == len(id) {
		return [16]byte(b)
	}
	sum := sha256.Sum256([]byte(d))
	copy(id[:], sum[:])
	return id
}

// spanID is computed, so that others can be told of a span before it ends.
func spanID(parts ...string) (id oteltrace.SpanID) {
	sum := sha256.Sum256([]byte(strings.Join(parts, "\x00")))
	copy(id[:], sum[:])
	return id
}

func stageSpan(d fairway.DeliveryID, s fairway.StageName) oteltrace.SpanID {
	return spanID(string(d), string(s))
}

func stepSpan(d fairway.DeliveryID, s fairway.StageName, step fairway.Step, attempt int) oteltrace.SpanID {
	return spanID(string(d), string(s), string(step), strconv.Itoa(attempt))
}

// Delivery is the traceparent of what a delivery causes as a whole; empty for
// no delivery.
func Delivery(d fairway.DeliveryID) string {
	if d == "" {
		return ""
	}
	return parent(d, spanID(string(d)))
}

// Step is the traceparent of what a step causes.
func Step(d fairway.DeliveryID, s fairway.StageName, step fairway.Step, attempt int) string {
	return parent(d, stepSpan(d, s, step, attempt))
}

func parent(d fairway.DeliveryID, span oteltrace.SpanID) string {
	return fmt.Sprintf("00-%x-%s-01", ID(d), span)
}

// spansOf returns the spans of a delivery that end at that moment: of steps,
// of stages, and of itself.
func spansOf(d fairway.Delivery, at time.Time, res *resource.Resource) tracetest.SpanStubs {
	var out tracetest.SpanStubs
	ended := func(t *time.Time) bool { return t != nil && t.Equal(at) }
	add := func(name string, id, parent oteltrace.SpanID, from, to time.Time, failed bool, reason string, attrs ...attribute.KeyValue) {
		config := oteltrace.SpanContextConfig{TraceID: ID(d.ID), SpanID: id, TraceFlags: oteltrace.FlagsSampled}
		s := tracetest.SpanStub{
			Name: name, SpanContext: oteltrace.NewSpanContext(config), SpanKind: oteltrace.SpanKindInternal,
			StartTime: from, EndTime: to, Resource: res,
			Attributes: append(attrs, attribute.String("fairway.project", string(d.Project)), attribute.String("fairway.service", string(d.Service)),
				attribute.String("fairway.version", d.Artifact.Tag), attribute.String("fairway.reason", reason)),
		}
		if parent.IsValid() {
			config.SpanID = parent
			s.Parent = oteltrace.NewSpanContext(config)
		}
		if s.Status.Code = codes.Ok; failed {
			s.Status.Code, s.Status.Description = codes.Error, reason
		}
		s.InstrumentationScope.Name = "github.com/fairwaycd/fairway/trace"
		out = append(out, s)
	}
	for _, st := range d.Stages {
		in := attribute.String("deployment.environment.name", string(st.Stage))
		for _, r := range st.Steps {
			if !ended(r.EndedAt) {
				continue
			}
			add(string(r.Step)+" "+string(d.Service)+" in "+string(st.Stage), stepSpan(d.ID, st.Stage, r.Step, r.Attempt), stageSpan(d.ID, st.Stage), r.StartedAt, *r.EndedAt, r.Outcome == "failed", r.Reason,
				append(verdict(st, r), in, attribute.String("cicd.pipeline.task.name", string(r.Step)), attribute.String("cicd.pipeline.task.run.id", fairway.RunID(d.ID, st.Stage, r.Attempt)+"/"+string(r.Step)),
					attribute.String("cicd.pipeline.task.run.result", taskResult(r.Outcome)), attribute.String("fairway.colour", string(st.Colour)), attribute.Int("fairway.attempt", r.Attempt),
					attribute.String("vcs.ref.head.revision", st.Commit))...)
		}
		if ended(st.EndedAt) {
			failed := len(st.Steps) > 0 && st.Steps[len(st.Steps)-1].Outcome == "failed"
			add("stage "+string(st.Stage), stageSpan(d.ID, st.Stage), spanID(string(d.ID)), st.EnteredAt, *st.EndedAt, failed, lastReason(st), in, attribute.String("fairway.colour", string(st.Colour)))
		}
	}
	if ended(d.EndedAt) {
		bad := d.Status == fairway.StatusFailed || d.Status == fairway.StatusRejected
		add("delivery "+string(d.Service)+" "+d.Artifact.Tag, spanID(string(d.ID)), oteltrace.SpanID{}, d.StartedAt, *d.EndedAt, bad, d.Reason,
			attribute.String("cicd.pipeline.name", string(d.Project)+"/"+string(d.Service)), attribute.String("cicd.pipeline.run.id", string(d.ID)),
			attribute.String("cicd.pipeline.result", pipelineResult(d.Status)), attribute.String("fairway.status", string(d.Status)))
	}
	return out
}

// verdict says what the gate found, with the step in which it did.
func verdict(st fairway.StageRecord, r fairway.StepRecord) []attribute.KeyValue {
	if r.Step != fairway.StepEvaluate || st.Verdict == "" {
		return nil
	}
	attrs := []attribute.KeyValue{attribute.String("fairway.verdict", string(st.Verdict)), attribute.String("fairway.evaluation", st.Evaluation)}
	if st.Score != nil {
		attrs = append(attrs, attribute.Float64("fairway.score", *st.Score))
	}
	return attrs
}

func lastReason(st fairway.StageRecord) string {
	if n := len(st.Steps); n > 0 {
		return st.Steps[n-1].Reason
	}
	return ""
}

// taskResult and pipelineResult are the words of the semantic conventions.
func taskResult(outcome string) string {
	switch outcome {
	case "ok":
		return "success"
	case "failed":
		return "failure"
	}
	return "cancellation"
}

func pipelineResult(s fairway.DeliveryStatus) string {
	switch s {
	case fairway.StatusFinished:
		return "success"
	case fairway.StatusRejected:
		return "failure"
	case fairway.StatusFailed:
		return "error"
	case fairway.StatusSuperseded:
		return "skip"
	}
	return "cancellation"
}
