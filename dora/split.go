package dora

import (
	"time"

	"github.com/fairwaycd/fairway"
)

// maxParts is how many parts a window is split into at most.
const maxParts = 500

// split cuts the window into hours, days or weeks, whichever is a good number
// of parts. They begin at full hours, at midnight or on Mondays, in UTC, so
// that the first and the last one may be shorter.
func split(w fairway.Window) []Bucket {
	const day = 24 * time.Hour
	length := w.Duration()
	if length <= 0 {
		return nil
	}
	step := 7 * day
	switch {
	case length <= 2*day:
		step = time.Hour
	case length <= 62*day:
		step = day
	}
	for length/step > maxParts {
		step *= 2
	}
	var out []Bucket
	// The zero time is a Monday's midnight, so that Truncate keeps weeks.
	for at := w.Start; at.Before(w.End); {
		next := at.UTC().Truncate(step).Add(step)
		if next.After(w.End) {
			next = w.End
		}
		out = append(out, Bucket{Window: fairway.Window{Start: at, End: next}})
		at = next
	}
	return out
}

// part returns the bucket that the instant lies in, -1 when it is in none.
func part(series []Bucket, at time.Time) int {
	for i, b := range series {
		if !at.Before(b.Start) && (at.Before(b.End) || i == len(series)-1 && at.Equal(b.End)) {
			return i
		}
	}
	return -1
}
