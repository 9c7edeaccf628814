package promql

import (
	"context"
	"fmt"
	"math"
	"time"

	"github.com/prometheus/prometheus/promql/parser"
)

// maxAwaited bounds the selectors of one query whose next scrape is waited for.
const maxAwaited = 16

// settle waits until every series that the query selects has a sample at or
// after end, and returns the time of the latest of these samples: as of then
// the answer holds all of the test. A server that scrapes too rarely, or does
// not know the series, is waited for until the time that it is given is over;
// then end comes back. The note says what was done.
func (s *Source) settle(ctx context.Context, query string, end time.Time) (time.Time, string, error) {
	limit, cancel := context.WithTimeout(ctx, s.options.Settle)
	defer cancel()
	latest := end
	for _, sel := range selectors(query) {
		at, err := s.await(limit, sel, end)
		switch {
		case ctx.Err() != nil:
			return end, "", context.Cause(ctx)
		case limit.Err() != nil:
			return end, fmt.Sprintf("no newer sample of %s came within %s after the test's end, so that its last samples may be missing; have Prometheus scrape it more often", sel, s.options.Settle), nil
		case err != nil:
			return end, "", err
		}
		if at.After(latest) {
			latest = at
		}
	}
	return latest, "evaluated as of " + latest.UTC().Format(time.RFC3339Nano) + ", the first scrape after the test's end", nil
}

// await looks until the oldest of the selected series' newest samples is not
// older than end, and returns its time.
func (s *Source) await(ctx context.Context, selector string, end time.Time) (time.Time, error) {
	tick := time.NewTicker(s.options.Poll)
	defer tick.Stop()
	for {
		got, _, err := s.querier.Instant(ctx, "min(timestamp("+selector+"))", time.Time{})
		if err != nil {
			return end, err
		}
		// Samples carry milliseconds; the test's end is finer.
		if len(got) == 1 && !math.IsNaN(got[0].Value) {
			if at := time.UnixMilli(int64(math.Round(got[0].Value * 1000))); !at.Before(end.Truncate(time.Millisecond)) {
				return at, nil
			}
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return end, ctx.Err()
		}
	}
}

// selectors returns the query's distinct selectors that look at the time of
// the evaluation: those with an offset or another time have their samples
// already.
func selectors(query string) []string {
	expr, err := parse(query)
	if err != nil {
		return nil // it was parsed before, and whoever sends it will say so
	}
	var out []string
	seen := map[string]bool{}
	parser.Inspect(expr, func(n parser.Node, _ []parser.Node) error {
		v, ok := n.(*parser.VectorSelector)
		if !ok || v.OriginalOffset != 0 || v.OriginalOffsetExpr != nil || v.Timestamp != nil || v.StartOrEnd != 0 {
			return nil
		}
		if text := v.String(); !seen[text] && len(out) < maxAwaited {
			seen[text] = true
			out = append(out, text)
		}
		return nil
	})
	return out
}
