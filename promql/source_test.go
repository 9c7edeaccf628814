package promql

import (
	"context"
	"testing"
	"time"

	"github.com/fairwaycd/fairway"
)

func TestKeysLeaveOutWhatThePinFixes(t *testing.T) {
	t.Parallel()
	q := answering{fairway.NewSample(`{"colour":"green","fairway_run":"d/staging/1","job":"carts","path":"/a","version":"1"}`, time.Now(), 1),
		fairway.NewSample(`{"colour":"green","fairway_run":"d/staging/1","job":"carts","path":"/b","version":"1"}`, time.Now(), 2)}
	a, err := NewSource(q, SourceOptions{}).Query(t.Context(), fairway.Query{Window: fairway.Window{Start: time.Now(), End: time.Now()}, Raw: []byte(`"x{job='carts'}"`),
		Subject: fairway.Subject{Stage: "staging", Version: "1", Place: fairway.Place{Namespace: "staging", Service: "carts", Colour: fairway.Green}}})
	if err != nil {
		t.Fatal(err)
	}
	if got := a.Samples[0].Key + a.Samples[1].Key; got != `{"job":"carts","path":"/a"}{"job":"carts","path":"/b"}` {
		t.Errorf("keys %s", got)
	}
	if got := shortKeys([]fairway.Sample{q[0], q[0]}); got[0].Key != q[0].Key {
		t.Errorf("two series were given one name %s", got[0].Key)
	}
}

// answering is a querier that knows its answer.
type answering []fairway.Sample

func (a answering) Instant(context.Context, string, time.Time) ([]fairway.Sample, []string, error) {
	return a, nil, nil
}
