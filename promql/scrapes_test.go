package promql_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/fairwaycd/fairway"
	"github.com/fairwaycd/fairway/promql"
)

// A place is scraped under the version and run that it is labelled with, and
// under no other.
func TestScrapesOfAPlace(t *testing.T) {
	t.Parallel()
	ctx := patience(t)
	s := promql.NewScrapes(embedded(t, strings.TrimPrefix(exporter(t).URL, "http://")), 20*time.Millisecond)
	target := fairway.Target{Place: green.Place, Version: green.Version, Run: green.RunID()}
	began, err := s.Begun(ctx, target)
	if err != nil || began.IsZero() {
		t.Fatalf("%v, %v", began, err)
	}
	now := time.Now()
	after, err := s.After(ctx, green.Place, now)
	if err != nil || !after.After(now) {
		t.Errorf("%v is not after %v: %v", after, now, err)
	}
	target.Run = "another/run/1"
	brief, cancel := context.WithTimeout(ctx, 100*time.Millisecond)
	defer cancel()
	if _, err := s.Begun(brief, target); !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), green.RunID()) {
		t.Errorf("another run: %v", err)
	}
	target.Place.Colour = fairway.Blue
	brief, cancel = context.WithTimeout(ctx, 100*time.Millisecond)
	defer cancel()
	if _, err := s.Begun(brief, target); err == nil || !strings.Contains(err.Error(), "no target") {
		t.Errorf("another colour: %v", err)
	}
}
