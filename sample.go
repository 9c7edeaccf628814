package fairway

import (
	"strconv"
	"time"
)

// NewSample returns a sample whose Text says what v is: the shortest decimal
// that gives v back, or NaN, +Inf, -Inf.
func NewSample(key string, at time.Time, v float64) Sample {
	return Sample{Key: key, Time: at, Value: v, Text: strconv.FormatFloat(v, 'f', -1, 64)}
}
