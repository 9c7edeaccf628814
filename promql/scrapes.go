package promql

import (
	"context"
	"fmt"
	"math"
	"time"

	"github.com/fairwaycd/fairway"
)

// Scrapes follows how a Prometheus scrapes the pods of a place: one whose
// configuration gives series the labels version and fairway_run, as that of
// package scrapeconf does.
type Scrapes struct {
	querier Querier
	poll    time.Duration
}

// NewScrapes returns one that asks q, and looks again after poll; 0 means 500 ms.
func NewScrapes(q Querier, poll time.Duration) *Scrapes {
	if poll <= 0 {
		poll = 500 * time.Millisecond
	}
	return &Scrapes{q, poll}
}

// Begun waits until every pod of the target's place is scraped under its
// version and run, and returns the time of the oldest of their newest samples.
// When ctx ends first, the error says what was scraped instead, and wraps
// ctx's.
func (s *Scrapes) Begun(ctx context.Context, t fairway.Target) (time.Time, error) {
	run := t.Run
	if run == "" {
		run = "none"
	}
	all := placeSelector(t.Place, "")
	ours := placeSelector(t.Place, fmt.Sprintf(`,version=%q,fairway_run=%q`, t.Version, run))
	query := fmt.Sprintf("min(timestamp(%s)) and min(%s) == 1 and count(%s) == count(%s)", ours, ours, all, ours)
	at, err := s.until(ctx, query, func(time.Time) bool { return true })
	if err == nil {
		return at, nil
	}
	return at, fmt.Errorf("%s is not scraped as version %s, run %s (%s): %w", t.Place, t.Version, run, s.instead(context.WithoutCancel(ctx), all), err)
}

// After waits until every pod of the place has been scraped after the given
// time, and returns the time of the latest of their newest samples.
func (s *Scrapes) After(ctx context.Context, p fairway.Place, after time.Time) (time.Time, error) {
	all := placeSelector(p, "")
	oldest, err := s.until(ctx, "min(timestamp("+all+"))", func(at time.Time) bool { return at.After(after) })
	if err != nil {
		return after, fmt.Errorf("no newer scrape of %s: %w", p, err)
	}
	latest, ok, err := s.ask(ctx, "max(timestamp("+all+"))")
	if err != nil || !ok {
		return oldest, err
	}
	return latest, nil
}

func placeSelector(p fairway.Place, more string) string {
	return fmt.Sprintf(`up{namespace=%q,job=%q,colour=%q%s}`, p.Namespace, p.Service, p.Colour.String(), more)
}

// until asks until the answer is a time that will do.
func (s *Scrapes) until(ctx context.Context, query string, enough func(time.Time) bool) (time.Time, error) {
	tick := time.NewTicker(s.poll)
	defer tick.Stop()
	for {
		at, ok, err := s.ask(ctx, query)
		if err != nil && ctx.Err() == nil {
			return at, err
		}
		if ok && err == nil && enough(at) {
			return at, nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return at, context.Cause(ctx)
		}
	}
}

// ask returns the time that a query of timestamps answers with, if it does.
func (s *Scrapes) ask(ctx context.Context, query string) (time.Time, bool, error) {
	got, _, err := s.querier.Instant(ctx, query, time.Time{})
	if err != nil || len(got) != 1 || math.IsNaN(got[0].Value) {
		return time.Time{}, false, err
	}
	return time.UnixMilli(int64(math.Round(got[0].Value * 1000))), true, nil
}

// instead says what is scraped of the place, for people.
func (s *Scrapes) instead(ctx context.Context, all string) string {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	got, _, err := s.querier.Instant(ctx, "count("+all+") by (version,fairway_run)", time.Time{})
	switch {
	case err != nil:
		return err.Error()
	case len(got) == 0:
		return "Prometheus has no target of it; see its /targets"
	}
	text := ""
	for i, g := range got {
		if i > 0 {
			text += ", "
		}
		text += g.Text + " pods as " + g.Key
	}
	return text
}
