package cloudevents

import (
	"fmt"
	"time"
)

// layouts are the ways in which senders write an instant. Those without a
// zone mean UTC.
var layouts = []string{
	time.RFC3339Nano,
	"2006-01-02T15:04:05.999999999Z0700",
	"2006-01-02T15:04:05.999999999",
	"2006-01-02 15:04:05.999999999Z07:00",
	"2006-01-02 15:04:05.999999999",
	"20060102-15:04:05.000", // Jenkins
	"20060102-15:04:05",
}

// timeRemedy tells how to write an instant.
const timeRemedy = "write it like 2019-04-11T09:14:31Z"

func parseTime(s string) (time.Time, error) {
	for _, layout := range layouts {
		t, err := time.Parse(layout, s)
		if err != nil {
			continue
		}
		t = t.UTC()
		if t.Year() < 1 || t.Year() > 9999 { // a zone can push it out of what JSON holds
			break
		}
		return t, nil
	}
	return time.Time{}, fmt.Errorf("%q is not an instant", s)
}
