package promql

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/fairwaycd/fairway"
)

// How much of a course is kept: it is for people to look at, and is stored
// with each evaluation.
const (
	coursePoints = 40
	courseSeries = 10
	// courseStep is the least time between two points.
	courseStep = 250 * time.Millisecond
	// courseTime is how long the course may take. A judgement does not wait
	// for it any longer.
	courseTime = 5 * time.Second
)

// Ranger is a [Querier] that can also say what a query answered in the course
// of time.
type Ranger interface {
	// Range evaluates the query from start to end, a step apart. Keys are as
	// those of Instant; the samples of a series follow each other in time.
	Range(ctx context.Context, query string, start, end time.Time, step time.Duration) ([]fairway.Sample, error)
}

// course asks what the query answered over the window, for the series that
// were judged: of many, those with the largest and smallest values. The
// judgement does not rest on it, so that a failure is no more than a note.
func (s *Source) course(ctx context.Context, query string, win fairway.Window, judged []fairway.Sample) (course []fairway.Sample, note string) {
	r, ok := s.querier.(Ranger)
	if !ok || len(judged) == 0 || win.Start.IsZero() || !win.Start.Before(win.End) {
		return nil, ""
	}
	ctx, cancel := context.WithTimeout(ctx, courseTime)
	defer cancel()
	step := max(win.Duration()/coursePoints, courseStep).Truncate(time.Millisecond)
	// Points are counted back from the window's end, which is the one judged.
	start := win.End.Add(-win.Duration().Truncate(step))
	all, err := r.Range(ctx, query, start, win.End, step)
	if err != nil {
		return nil, fmt.Sprintf("the course of the query over the window is not known: %v", err)
	}
	kept := extremes(judged)
	return slices.DeleteFunc(all, func(x fairway.Sample) bool { return !kept[x.Key] }), ""
}

// extremes picks the series with the largest and the smallest values.
func extremes(judged []fairway.Sample) map[string]bool {
	sorted := slices.SortedStableFunc(slices.Values(judged), func(a, b fairway.Sample) int { return cmp.Compare(a.Value, b.Value) })
	if len(sorted) > courseSeries {
		sorted = slices.Concat(sorted[:courseSeries/2], sorted[len(sorted)-courseSeries/2:])
	}
	kept := map[string]bool{}
	for _, x := range sorted {
		kept[x.Key] = true
	}
	return kept
}
