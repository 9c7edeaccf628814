package fairway

import (
	"context"
	"encoding/json"
	"strconv"
	"time"
)

// Verdict is the result of a quality gate.
type Verdict string

// The verdicts. NotJudged means that the service has no objectives; Error that
// the question could not be asked. Neither is a pass.
const (
	VerdictPass      Verdict = "pass"
	VerdictWarning   Verdict = "warning"
	VerdictFail      Verdict = "fail"
	VerdictError     Verdict = "error"
	VerdictNotJudged Verdict = "not_judged"
)

// Window is a span of time, both ends included.
type Window struct {
	Start time.Time `json:"start"`
	End   time.Time `json:"end"`
}

// Duration returns End − Start.
func (w Window) Duration() time.Duration { return w.End.Sub(w.Start) }

// Subject is the version that a test or gate is about.
type Subject struct {
	Project  ProjectName `json:"project"`
	Stage    StageName   `json:"stage"`
	Place    Place       `json:"place"`
	Delivery DeliveryID  `json:"delivery"`
	Attempt  int         `json:"attempt"`
	Version  string      `json:"version"` // the artifact's tag
}

// RunID is the value of the label fairway_run: delivery, stage and attempt of
// the test. No two test runs share one.
func (s Subject) RunID() string {
	return RunID(s.Delivery, s.Stage, s.Attempt)
}

// RunID joins delivery, stage and attempt of a test.
func RunID(d DeliveryID, stage StageName, attempt int) string {
	return string(d) + "/" + string(stage) + "/" + strconv.Itoa(attempt)
}

// Sample is one value of one series at one instant.
type Sample struct {
	Key   string    `json:"key"` // the series' labels, or an entity id
	Time  time.Time `json:"time"`
	Value float64   `json:"-"` // may be NaN or infinite
	// Text is the value as JSON and people see it: the shortest decimal that
	// gives Value back, or NaN, +Inf, -Inf.
	Text string `json:"value"`
}

// Query asks a metric source for an indicator.
type Query struct {
	Raw     json.RawMessage // as written in the specification, placeholders replaced
	Window  Window          // of the test; values are as of its end
	Subject Subject
	// Select tells a foreign Prometheus' pods of one colour apart, as the
	// service's values say under metrics.select; empty where they do not.
	Select string
}

// Answer is what a source says to a [Query].
type Answer struct {
	Samples  []Sample
	Course   []Sample // the same query over the window, where the source can say; not judged
	Resolved string   // the query as it was sent
	Tied     bool     // every sample belongs to the version under test
	Notes    []string // sentences for people, e.g. why it is not tied
}

// MetricSource answers queries of one kind of monitoring system.
type MetricSource interface {
	// Name is the word that specifications use, e.g. "Prometheus".
	Name() string
	// Query answers q. An error marked [Retryable] may be asked again.
	Query(ctx context.Context, q Query) (Answer, error)
}

// Violation is a limit that a sample broke.
type Violation struct {
	Key       string          `json:"key,omitempty"`
	Value     json.RawMessage `json:"value,omitempty"`
	Breach    string          `json:"breach"`
	Threshold *float64        `json:"threshold,omitempty"`
	Metadata  json.RawMessage `json:"metadata,omitempty"`
}

// Compared is what earlier evaluations saw of one series, and the limit that
// follows from it.
type Compared struct {
	Key       string  `json:"key,omitempty"`
	Limit     string  `json:"limit"`   // as the specification names or writes it
	Earlier   float64 `json:"earlier"` // the aggregated value
	Threshold float64 `json:"threshold"`
}

// IndicatorResult is one indicator's part of an evaluation.
type IndicatorResult struct {
	ID         string             `json:"id"`
	Title      string             `json:"title,omitempty"` // for people, where the specification gives one
	Key        bool               `json:"key,omitempty"`   // failing it fails the whole
	Score      float64            `json:"score"`
	MaxScore   float64            `json:"maxScore"`
	Violations []Violation        `json:"violations"`
	Source     string             `json:"source,omitempty"`
	Written    string             `json:"written,omitempty"` // the query as in the specification
	Query      string             `json:"query,omitempty"`   // the query as it was sent
	Limits     map[string]float64 `json:"limits,omitempty"`
	// Compared is what earlier evaluations said to relative limits.
	Compared []Compared `json:"compared,omitempty"`
	// Definition is the same for two results that asked the same.
	Definition string   `json:"definition,omitempty"`
	Samples    []Sample `json:"samples,omitempty"`
	// Course is what the query answered in the course of the window, for
	// people to look at. It is not judged.
	Course      []Sample `json:"course,omitempty"`
	Explanation string   `json:"explanation"` // a sentence that says why
	Tied        bool     `json:"tied"`
	Notes       []string `json:"notes,omitempty"`
	Error       string   `json:"error,omitempty"`
}

// Objectives are the total scores from which a result passes or warns.
type Objectives struct {
	Pass    float64 `json:"pass"`
	Warning float64 `json:"warning"`
}

// Evaluation is the verdict of a gate over one test window of one version.
type Evaluation struct {
	ID               string            `json:"id"`
	Subject          Subject           `json:"subject"`
	Window           Window            `json:"window"`
	Commit           string            `json:"commit,omitempty"` // of the stage branch that held the specification
	Verdict          Verdict           `json:"result"`
	TotalScore       float64           `json:"totalScore"`
	Objectives       Objectives        `json:"objectives"`
	IndicatorResults []IndicatorResult `json:"indicatorResults"`
	Tied             bool              `json:"tied"` // all samples belong to the version under test
	Reason           string            `json:"reason"`
	EvaluatedAt      time.Time         `json:"evaluatedAt"`
	// ComparedWith are the earlier evaluations that relative limits were
	// computed from.
	ComparedWith []string `json:"comparedWith,omitempty"`
	// Invalidated says that the evaluation is not to be compared with.
	Invalidated *Invalidation `json:"invalidated,omitempty"`
}

// Invalidation is a person's word that an evaluation does not count.
type Invalidation struct {
	Actor  string    `json:"actor"`
	Reason string    `json:"reason"`
	At     time.Time `json:"at"`
}

// EvaluationSummary is an evaluation as lists show it.
type EvaluationSummary struct {
	ID          string        `json:"id"`
	Project     ProjectName   `json:"project"`
	Stage       StageName     `json:"stage"`
	Service     ServiceName   `json:"service"`
	Colour      Colour        `json:"slot,omitempty"`
	Delivery    DeliveryID    `json:"delivery"`
	Version     string        `json:"version"`
	Verdict     Verdict       `json:"result"`
	TotalScore  float64       `json:"totalScore"`
	EvaluatedAt time.Time     `json:"evaluatedAt"`
	Invalidated *Invalidation `json:"invalidated,omitempty"`
}

// EvaluationFilter selects evaluations; empty fields select all.
type EvaluationFilter struct {
	Project ProjectName
	Stage   StageName
	Service ServiceName
	Verdict Verdict
	Before  string // Next of the page before
	Limit   int    // default 100, at most 1000
}

// Selects reports whether the filter's names fit.
func (f EvaluationFilter) Selects(e EvaluationSummary) bool {
	return (f.Project == "" || f.Project == e.Project) && (f.Stage == "" || f.Stage == e.Stage) &&
		(f.Service == "" || f.Service == e.Service) && (f.Verdict == "" || f.Verdict == e.Verdict)
}

// EvaluationPage is a part of a list, the newest first.
type EvaluationPage struct {
	Items []EvaluationSummary `json:"items"`
	Next  string              `json:"next,omitempty"` // empty at the end
}
