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

// ranging is a querier that knows its answer over time, too.
type ranging struct {
	answering
	fails error
	asked []time.Time
	step  time.Duration
}

func (r *ranging) Range(_ context.Context, _ string, start, end time.Time, step time.Duration) (all []fairway.Sample, err error) {
	r.asked, r.step = []time.Time{start, end}, step
	for _, s := range r.answering {
		for at := start; !at.After(end); at = at.Add(step) {
			all = append(all, fairway.NewSample(s.Key, at, s.Value))
		}
	}
	return all, r.fails
}

func TestTheCourseOverTheWindow(t *testing.T) {
	t.Parallel()
	end := time.Date(2026, 5, 4, 12, 0, 0, 0, time.UTC)
	ask := func(r *ranging, window time.Duration) fairway.Answer {
		t.Helper()
		a, err := NewSource(r, SourceOptions{}).Query(t.Context(), fairway.Query{Window: fairway.Window{Start: end.Add(-window), End: end}, Raw: []byte(`"x{job='carts'}"`),
			Subject: fairway.Subject{Stage: "staging", Version: "1", Place: fairway.Place{Namespace: "staging", Service: "carts", Colour: fairway.Green}}})
		if err != nil {
			t.Fatal(err)
		}
		return a
	}
	key := func(path string) string {
		return `{"colour":"green","fairway_run":"d/staging/1","path":"` + path + `","version":"1"}`
	}
	var many answering
	for i := range 26 {
		many = append(many, fairway.NewSample(key("/"+string(rune('a'+i))), end, float64(i*7%26)))
	}
	r := &ranging{answering: many}
	a := ask(r, 70*time.Second)
	if r.step != 1750*time.Millisecond || !r.asked[0].Equal(end.Add(-70*time.Second)) || !r.asked[1].Equal(end) {
		t.Errorf("asked from %s to %s, %s apart", r.asked[0], r.asked[1], r.step)
	}
	series := map[string]int{}
	for _, s := range a.Course {
		series[s.Key]++
		if s.Value >= 5 && s.Value < 21 {
			t.Errorf("%s with %v is neither among the largest nor among the smallest", s.Key, s.Value)
		}
	}
	if len(series) != courseSeries || series[`{"path":"/a"}`] != coursePoints+1 || len(a.Samples) != 26 {
		t.Errorf("%d samples, course %v", len(a.Samples), series)
	}
	if ask(r, 3*time.Second); r.step != courseStep {
		t.Errorf("in a short window they are %s apart", r.step)
	}
	a = ask(&ranging{answering: many[:1], fails: fairway.Errorf(fairway.KindUnavailable, "too busy")}, time.Minute)
	if len(a.Samples) != 1 || len(a.Course) != 0 || len(a.Notes) == 0 || a.Notes[len(a.Notes)-1] != "the course of the query over the window is not known: too busy" {
		t.Errorf("a course that cannot be had: %+v", a)
	}
}
