package promql

import (
	"context"
	"encoding/json"
	"slices"
	"time"

	"github.com/fairwaycd/fairway"
)

// Querier evaluates PromQL. Implementations are safe for concurrent use.
type Querier interface {
	// Instant evaluates the query as of at, which counts in milliseconds; the
	// zero time means now, by the server's clock. A
	// vector gives a sample for each series, whose key is its labels as JSON
	// text, in the order of the answer; a scalar gives one with the key {}.
	// Any other type is an error of [fairway.KindInvalid]. Notes are the
	// engine's warnings. An error that may go away is marked
	// [fairway.Retryable].
	Instant(ctx context.Context, query string, at time.Time) (samples []fairway.Sample, notes []string, err error)
}

// SourceOptions say what the Prometheus behind a [Source] knows.
type SourceOptions struct {
	// Foreign says that somebody else configured what it scrapes and when: its
	// series have no labels version and fairway_run, and its next scrape has to
	// be waited for.
	Foreign bool
	// Settle is how long a foreign Prometheus is given to scrape once more
	// after the test's end. Default 90 s, which is more than its usual interval
	// of one minute.
	Settle time.Duration
	// Poll is the time between two looks for that scrape. Default 1 s.
	Poll time.Duration
}

// Source is the metric source "Prometheus" of specifications.
type Source struct {
	querier Querier
	options SourceOptions
}

var _ fairway.MetricSource = (*Source)(nil)

// NewSource returns a source that asks q.
func NewSource(q Querier, o SourceOptions) *Source {
	if o.Settle <= 0 {
		o.Settle = 90 * time.Second
	}
	if o.Poll <= 0 {
		o.Poll = time.Second
	}
	return &Source{querier: q, options: o}
}

// Name returns "Prometheus".
func (s *Source) Name() string { return "Prometheus" }

// Query pins the PromQL text in q.Raw (a JSON string, its placeholders
// replaced) to the version under test and evaluates it as of q.Window.End. Of
// the Prometheus inside, the caller has waited for a scrape that is newer than
// the test's end, and the window ends at that scrape; of a foreign one, Query
// waits itself and moves the window's end to that scrape. An answer without
// samples says so in its notes. Of a querier that is a [Ranger] the answer has
// the course over the window, too; a foreign one's may begin with what was
// there before the test, by as much as the query's range reaches back.
func (s *Source) Query(ctx context.Context, q fairway.Query) (fairway.Answer, error) {
	var text string
	if err := json.Unmarshal(q.Raw, &text); err != nil {
		return fairway.Answer{}, fairway.Invalid("query", string(q.Raw), "is not a text", "write the PromQL query as a JSON string")
	}
	if q.Window.End.IsZero() {
		return fairway.Answer{}, fairway.Errorf(fairway.KindInternal, "the query %q was asked without the end of the test's window", text)
	}
	o := PinOptions{Window: q.Window, Foreign: s.options.Foreign}
	if o.Foreign {
		o.Select = q.Select
	}
	pinned, err := Pin(text, q.Subject, o)
	if err != nil {
		return fairway.Answer{}, err
	}
	var notes []string
	if o.Foreign {
		end, note, err := s.settle(ctx, pinned.Query, q.Window.End)
		if err != nil {
			return fairway.Answer{Resolved: pinned.Query}, err
		}
		notes, o.Window.End = []string{note}, end
		if pinned, err = Pin(text, q.Subject, o); err != nil {
			return fairway.Answer{}, err
		}
	} else if q.Select != "" {
		notes = []string{"metrics.select of the service's values was not used: the built-in Prometheus tells versions and test runs apart by itself"}
	}
	answer := fairway.Answer{Resolved: pinned.Query, Tied: pinned.Tied, Notes: append(pinned.Notes, notes...)}
	samples, more, err := s.querier.Instant(ctx, pinned.Query, o.Window.End)
	if err != nil {
		return answer, err
	}
	course, note := s.course(ctx, pinned.Query, fairway.Window{Start: q.Window.Start, End: o.Window.End}, samples)
	if note != "" {
		more = append(more, note)
	}
	answer.Samples, answer.Course = samples, course
	if pinned.Tied && !s.options.Foreign {
		short := shortKeys(samples)
		answer.Samples, answer.Course = short, renamed(course, samples, short)
	}
	answer.Notes = append(answer.Notes, more...)
	if len(samples) == 0 {
		answer.Notes = append(answer.Notes, "no series answered the query as of "+o.Window.End.UTC().Format(time.RFC3339Nano))
	}
	return answer, nil
}

// renamed gives the samples of a course the keys that the judged ones got.
func renamed(course, from, to []fairway.Sample) []fairway.Sample {
	keys := map[string]string{}
	for i, s := range from {
		keys[s.Key] = to[i].Key
	}
	for i, s := range course {
		course[i].Key = keys[s.Key]
	}
	return course
}

// pinnedLabels are those that the pin and the place fix: they say nothing
// about a series among its siblings, and some differ from run to run, so that
// a series would have another name in every evaluation.
var pinnedLabels = []string{"app", "colour", "fairway_run", "namespace", "project", "service", "stage", "version"}

// shortKeys takes the pinned labels out of the keys, unless two series would
// have one name then.
func shortKeys(samples []fairway.Sample) []fairway.Sample {
	out, seen := slices.Clone(samples), map[string]bool{}
	for i, s := range samples {
		var labels map[string]string
		if err := json.Unmarshal([]byte(s.Key), &labels); err != nil {
			return samples
		}
		for _, l := range pinnedLabels {
			delete(labels, l)
		}
		key, err := json.Marshal(labels)
		if err != nil || seen[string(key)] {
			return samples
		}
		seen[string(key)] = true
		out[i].Key = string(key)
	}
	return out
}
