package promql

import (
	"context"
	"fmt"
	"time"

	"github.com/fairwaycd/fairway"
)

// Check asks how many targets the server scrapes, and says whether it answers.
func (s *Source) Check(ctx context.Context) []fairway.Checked {
	one := fairway.Checked{What: "instant queries"}
	samples, _, err := s.querier.Instant(ctx, "count(up)", time.Time{})
	switch {
	case err != nil:
		one.Text = err.Error()
	case len(samples) == 0:
		one.OK, one.Text = true, "answered; it has no targets (no series named up)"
	default:
		one.OK, one.Text = true, fmt.Sprintf("answered; it scrapes %s targets", samples[0].Text)
	}
	return []fairway.Checked{one}
}

// Close gives idle connections back.
func (s *Source) Close() {
	if c, ok := s.querier.(interface{ Close() }); ok {
		c.Close()
	}
}
