package kubernetes

import (
	"maps"
	"testing"

	"github.com/fairwaycd/fairway"
)

func TestCapacityThatTrafficNeeds(t *testing.T) {
	t.Parallel()
	const blue, green = fairway.Blue, fairway.Green
	for _, c := range []struct {
		name      string
		now, next fairway.Weights
		ready     map[fairway.Colour]int
		want      map[fairway.Colour]int
	}{
		{"all of it", fairway.Full(blue), fairway.Full(green), map[fairway.Colour]int{blue: 6, green: 1}, map[fairway.Colour]int{green: 6}},
		{"a tenth", fairway.Full(blue), fairway.Weights{blue: 90, green: 10}, map[fairway.Colour]int{blue: 6, green: 1}, map[fairway.Colour]int{blue: 6, green: 1}},
		{"rounded up", fairway.Full(blue), fairway.Weights{blue: 49, green: 51}, map[fairway.Colour]int{blue: 3}, map[fairway.Colour]int{blue: 2, green: 2}},
		{"both serve", fairway.Weights{blue: 50, green: 50}, fairway.Full(green), map[fairway.Colour]int{blue: 3, green: 3}, map[fairway.Colour]int{green: 6}},
		{"the first version", nil, fairway.Full(blue), nil, map[fairway.Colour]int{blue: 1}},
		{"nothing is ready", fairway.Full(blue), fairway.Full(green), map[fairway.Colour]int{blue: 0}, map[fairway.Colour]int{green: 1}},
		{"direct", fairway.Full(fairway.Single), fairway.Full(fairway.Single), map[fairway.Colour]int{fairway.Single: 2}, map[fairway.Colour]int{fairway.Single: 2}},
		{"taken away", fairway.Full(blue), nil, map[fairway.Colour]int{blue: 2}, map[fairway.Colour]int{}},
	} {
		if got := needed(c.now, c.next, c.ready); !maps.Equal(got, c.want) {
			t.Errorf("%s: %v, want %v", c.name, got, c.want)
		}
	}
}

func TestEndpointsThatGetRequests(t *testing.T) {
	t.Parallel()
	slice := parsed(t, `
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: a}
endpoints:
- {conditions: {ready: true}, targetRef: {kind: Pod, name: a}}
- {conditions: {ready: false}, targetRef: {kind: Pod, name: b}}
- {targetRef: {kind: Pod, name: c}}
- {conditions: {ready: true}}
`)
	if got := readyPods(*slice); len(got) != 2 || got[0] != "a" || got[1] != "c" {
		t.Errorf("%v", got)
	}
}
