package cli

import (
	"strconv"
	"strings"

	"github.com/fairwaycd/fairway"
)

// parseWeights reads blue=70,green=30; a colour that is missing gets none.
func parseWeights(text string) (fairway.Weights, error) {
	wrong := func(value, message string) (fairway.Weights, error) {
		return nil, fairway.Invalid("weights", value, message, "write them like blue=70,green=30")
	}
	w := fairway.Weights{}
	for part := range strings.SplitSeq(text, ",") {
		name, share, ok := strings.Cut(part, "=")
		c := fairway.Colour(name)
		if !ok || c != fairway.Blue && c != fairway.Green {
			return wrong(part, "is not a colour and its share")
		}
		if _, twice := w[c]; twice {
			return wrong(text, "names "+name+" twice")
		}
		n, err := strconv.Atoi(share)
		if err != nil {
			return wrong(part, "is not a colour and its share in percent")
		}
		w[c] = n
	}
	for _, c := range []fairway.Colour{fairway.Blue, fairway.Green} {
		if _, ok := w[c]; !ok {
			w[c] = 0
		}
	}
	return w, w.Validate()
}
