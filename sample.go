package fairway

import (
	"math"
	"strconv"
	"time"
)

// NewSample returns a sample whose Text says what v is: the shortest decimal
// that gives v back, or NaN, +Inf, -Inf.
func NewSample(key string, at time.Time, v float64) Sample {
	return Sample{Key: key, Time: at, Value: v, Text: strconv.FormatFloat(v, 'f', -1, 64)}
}

// Float is the value that Text says, or NaN if it says none. A sample that
// came as JSON has its value there alone.
func (s Sample) Float() float64 {
	v, err := strconv.ParseFloat(s.Text, 64)
	if err != nil && v == 0 {
		return math.NaN()
	}
	return v
}
