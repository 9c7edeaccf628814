package fairway

import (
	"context"
	"fmt"
	"strconv"
	"time"
)

// Weights maps a colour to its share of a service's traffic in percent.
type Weights map[Colour]int

// Full gives all traffic to one colour and names the other with 0.
func Full(c Colour) Weights {
	if c == Single {
		return Weights{Single: 100}
	}
	return Weights{c: 100, c.Other(): 0}
}

// Validate reports an error unless every weight is in 0..100 and they sum to
// 100.
func (w Weights) Validate() error {
	sum := 0
	for c, v := range w {
		if v < 0 || v > 100 {
			return Invalid("weight of "+c.String(), strconv.Itoa(v), "is not in 0..100", "weights are percentages")
		}
		sum += v
	}
	if sum != 100 {
		return Invalid("weights", w.String(), fmt.Sprintf("sum to %d", sum), "make them sum to 100")
	}
	return nil
}

// Leader returns the colour with the largest weight; ok is false when none
// has any. Blue wins a tie.
func (w Weights) Leader() (c Colour, ok bool) {
	most := 0
	for _, k := range []Colour{Single, Blue, Green} {
		if v := w[k]; v > most {
			c, most = k, v
		}
	}
	return c, most > 0
}

// String prints BLUE/GREEN, e.g. "0/100", or "100" in a direct stage.
func (w Weights) String() string {
	if v, ok := w[Single]; ok {
		return strconv.Itoa(v)
	}
	return strconv.Itoa(w[Blue]) + "/" + strconv.Itoa(w[Green])
}

// Route is how the traffic of a service in a namespace is split.
type Route struct {
	Namespace Namespace   `json:"namespace"`
	Service   ServiceName `json:"service"`
	Weights   Weights     `json:"weights"`
}

// Backend is what stands behind a place: the address that answers for it and
// the labels under which its requests are counted.
type Backend struct {
	Place    Place       `json:"place"`
	Project  ProjectName `json:"project"`
	Instance string      `json:"instance"`      // id of the platform's instance
	Address  string      `json:"address"`       // HOST:PORT
	Version  string      `json:"version"`       // the artifact's tag
	Run      string      `json:"run,omitempty"` // RunID of the test under way
	Ready    bool        `json:"ready"`
}

// Traffic moves requests between places. Implementations are safe for
// concurrent use.
type Traffic interface {
	// Attach puts the backend behind its place, replacing what stood there:
	// new requests go to the new backend at once, requests under way stay.
	Attach(ctx context.Context, b Backend) error
	// Drain takes the given instance out of its place if it still stands
	// there, and returns once its last request has ended or limit has passed.
	// It reports how many requests were cut off (0 after a clean drain).
	Drain(ctx context.Context, place Place, instance string, limit time.Duration) (cut int, err error)
	// SetWeights changes the split; nil weights take it away. It refuses
	// (KindRefused) a weight above zero for a place without a ready backend,
	// and changes nothing then.
	SetWeights(ctx context.Context, r Route) error
	// Restore puts back the split that was in force when the process ended,
	// without asking whether its backends are ready yet.
	Restore(ctx context.Context, r Route) error
	// SetReady changes the readiness of the instance, if it stands in its
	// place. It does not block.
	SetReady(place Place, instance string, ready bool)
	// Route returns the split in force; ok is false when none was set.
	Route(ctx context.Context, ns Namespace, s ServiceName) (r Route, ok bool, err error)
}
