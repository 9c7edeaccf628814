package metrics

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"github.com/fairwaycd/fairway"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/parser"
)

// maxNotes bounds the warnings that are passed on from one query.
const maxNotes = 10

// Instant evaluates a PromQL query as of at. A vector gives a sample for each
// series, whose key is its labels as JSON text; a scalar gives one with the
// key {}. Notes are the engine's warnings.
//
// A query that does not parse, gives another type or takes too many samples
// is an error of [fairway.KindInvalid]; one that takes too long, or comes
// while the server does not run, is retryable.
func (s *Server) Instant(ctx context.Context, query string, at time.Time) (samples []fairway.Sample, notes []string, err error) {
	if err := s.usable(); err != nil {
		return nil, nil, fairway.Retryable(err)
	}
	if at.IsZero() {
		at = time.Now()
	}
	q, err := s.engine.NewInstantQuery(ctx, s.db, nil, query, at)
	if err != nil {
		return nil, nil, fairway.Invalid("query", query, "cannot be evaluated: "+err.Error(), "correct the PromQL query")
	}
	defer q.Close()
	r := q.Exec(ctx)
	if r.Err != nil {
		return nil, nil, queryError(query, r.Err)
	}
	warnings, infos := r.Warnings.AsStrings(query, maxNotes, maxNotes)
	samples, err = toSamples(query, r.Value)
	return samples, append(warnings, infos...), err
}

// Range evaluates the query from start to end, a step apart, as Instant does.
func (s *Server) Range(ctx context.Context, query string, start, end time.Time, step time.Duration) ([]fairway.Sample, error) {
	if err := s.usable(); err != nil {
		return nil, fairway.Retryable(err)
	}
	q, err := s.engine.NewRangeQuery(ctx, s.db, nil, query, start, end, step)
	if err != nil {
		return nil, fairway.Invalid("query", query, "cannot be evaluated: "+err.Error(), "correct the PromQL query")
	}
	defer q.Close()
	r := q.Exec(ctx)
	if r.Err != nil {
		return nil, queryError(query, r.Err)
	}
	m, err := r.Matrix()
	if err != nil {
		return nil, queryError(query, err)
	}
	var samples []fairway.Sample
	for _, series := range m {
		key, err := keyOf(series.Metric)
		if err != nil {
			return nil, err
		}
		for _, p := range series.Floats {
			samples = append(samples, fairway.NewSample(key, time.UnixMilli(p.T).UTC(), p.F))
		}
	}
	return samples, nil
}

func (s *Server) usable() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.state != stateRunning {
		return errNotRunning()
	}
	return nil
}

func queryError(query string, err error) error {
	var timeout promql.ErrQueryTimeout
	var canceled promql.ErrQueryCanceled
	var storage promql.ErrStorage
	switch {
	case errors.As(err, &timeout), errors.As(err, &canceled), errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return fairway.Retryable(fairway.Errorf(fairway.KindUnavailable, "the query %q was not answered in time: %w", query, err))
	case errors.As(err, &storage):
		return fairway.Retryable(fairway.Errorf(fairway.KindUnavailable, "the query %q could not read the time series: %w", query, err))
	}
	return fairway.Invalid("query", query, "cannot be evaluated: "+err.Error(), "correct the PromQL query")
}

func toSamples(query string, v parser.Value) ([]fairway.Sample, error) {
	switch v := v.(type) {
	case promql.Scalar:
		return []fairway.Sample{fairway.NewSample("{}", time.UnixMilli(v.T).UTC(), v.V)}, nil
	case promql.Vector:
		var samples []fairway.Sample
		for _, s := range v {
			if s.H != nil {
				return nil, fairway.Invalid("query", query, "answers a histogram, not numbers", "use histogram_quantile, histogram_sum or histogram_count")
			}
			key, err := keyOf(s.Metric)
			if err != nil {
				return nil, err
			}
			samples = append(samples, fairway.NewSample(key, time.UnixMilli(s.T).UTC(), s.F))
		}
		return samples, nil
	}
	return nil, fairway.Invalid("query", query, "answers a "+string(v.Type())+", not numbers", "write a query that answers an instant vector or a scalar")
}

func keyOf(ls labels.Labels) (string, error) {
	b, err := json.Marshal(ls)
	if err != nil {
		return "", fairway.Errorf(fairway.KindInternal, "write the labels %s: %w", ls, err)
	}
	return string(b), nil
}
