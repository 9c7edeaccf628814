package testrun

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// bench runs a load against a service that takes a fixed time, in a bubble
// whose clock is exact.
type bench struct {
	mu     sync.Mutex
	starts []time.Duration // of each request, since the load's start
	paths  []string
	began  time.Time
	takes  time.Duration
	fail   failKind
}

func (b *bench) send(ctx context.Context, c Call) outcome {
	o := outcome{start: time.Now()}
	b.mu.Lock()
	b.starts = append(b.starts, o.start.Sub(b.began))
	b.paths = append(b.paths, c.Path)
	b.mu.Unlock()
	pause(ctx, b.takes)
	o.end = time.Now()
	if b.fail != "" {
		o.kind, o.reason = b.fail, "GET / answered 500"
	}
	return o
}

func runLoad(ctx context.Context, p Performance, takes time.Duration, fail failKind) (*bench, *load, bool) {
	b := &bench{began: time.Now(), takes: takes, fail: fail}
	l := newLoad(p, b.send)
	early := l.run(ctx)
	slices.Sort(b.starts)
	return b, l, early
}

var twoCalls = []Call{{Name: "a", Path: "/a"}, {Name: "b", Path: "/b"}}

func TestOneUserSendsTheListInOrderAndThinks(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := Performance{Users: 1, Iterations: 2, Think: 250 * time.Millisecond, RampUp: time.Second, Requests: twoCalls}
		b, l, _ := runLoad(t.Context(), p, 100*time.Millisecond, "")
		want := []time.Duration{0, 350 * time.Millisecond, 700 * time.Millisecond, 1050 * time.Millisecond}
		if !slices.Equal(b.starts, want) || !slices.Equal(b.paths, []string{"/a", "/b", "/a", "/b"}) {
			t.Errorf("requests at %v for %v", b.starts, b.paths)
		}
		if took := time.Since(b.began); took != 1150*time.Millisecond {
			t.Errorf("thought after the last answer: %v", took)
		}
		f := l.tally.figures()
		if f.requests != 4 || f.mean != 100*time.Millisecond || f.max != 100*time.Millisecond || f.window.Duration() != 1150*time.Millisecond {
			t.Errorf("figures %+v", f)
		}
	})
}

func TestUsersStartEvenlyOverTheRampUp(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := Performance{Users: 4, Iterations: 1, RampUp: time.Second, Requests: twoCalls[:1]}
		b, _, _ := runLoad(t.Context(), p, 0, "")
		if want := []time.Duration{0, 250 * time.Millisecond, 500 * time.Millisecond, 750 * time.Millisecond}; !slices.Equal(b.starts, want) {
			t.Errorf("users started at %v", b.starts)
		}
	})
}

func TestADurationEndsTheTest(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := Performance{Users: 2, Duration: time.Second, Think: 100 * time.Millisecond, RampUp: 500 * time.Millisecond, Requests: twoCalls}
		b, l, early := runLoad(t.Context(), p, 200*time.Millisecond, "")
		// User 1 at 0, 300, 600, 900; user 2 at 250, 550, 850.
		if requests, _ := l.tally.counts(); requests != 7 || early {
			t.Errorf("%d requests at %v, early %v", requests, b.starts, early)
		}
		if took := time.Since(b.began); took != 1100*time.Millisecond {
			t.Errorf("took %v: the last answer is to be waited for, and nothing else", took)
		}
	})
}

func TestNoRequestStartsAfterTheDuration(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := Performance{Users: 1, Duration: time.Second, Think: 100 * time.Millisecond, Requests: twoCalls}
		b, _, _ := runLoad(t.Context(), p, 440*time.Millisecond, "")
		if took := time.Since(b.began); len(b.starts) != 2 || took != 980*time.Millisecond {
			t.Errorf("requests at %v, ended after %v: the thought after 980ms would end too late", b.starts, took)
		}
	})
}

func TestAClosedModelSlowsDownWithTheService(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := Performance{Users: 10, Duration: 8 * time.Second, Think: 50 * time.Millisecond, RampUp: time.Second, Requests: twoCalls[:1]}
		_, l, _ := runLoad(t.Context(), p, time.Second, "")
		if f := l.tally.figures(); f.requests < 60 || f.requests > 80 || f.p50 < 999*time.Millisecond || f.p50 > time.Second {
			t.Errorf("%d requests, p50 %v", f.requests, f.p50)
		}
	})
}

func TestATestThatCannotPassEndsEarly(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := Performance{Users: 10, Iterations: 500, Think: 250 * time.Millisecond, Requests: twoCalls[:1], Limits: Limits{Errors: 0.01}}
		_, l, early := runLoad(t.Context(), p, 30*time.Second, failTimeout)
		requests, failed := l.tally.counts()
		if !early || requests != 51 || failed != 51 {
			t.Errorf("early %v after %d requests, %d failed; 51 are more than 1%% of 5000", early, requests, failed)
		}
	})
}

func TestAShareOfErrorsAtTheLimitIsNotAboveIt(t *testing.T) {
	t.Parallel()
	for percent := range 101 {
		limits := Limits{Errors: float64(percent) / 100}
		tally := newTally()
		tally.planned, tally.limit = 100, limits.Errors
		for i := range 100 {
			o := outcome{start: time.Unix(1, 0), end: time.Unix(2, 0)}
			if i < percent {
				o.kind = failStatus
			}
			if !tally.add(o) {
				t.Fatalf("closed after %d errors with a limit of %d%%", i+1, percent)
			}
		}
		if over := limits.exceeded(tally.figures()); over != nil {
			t.Errorf("%d%%: %q", percent, over)
		}
	}
}

func TestALoadEndsWithItsContext(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancelCause(t.Context())
		gone := errors.New("stage withdrawn")
		time.AfterFunc(1500*time.Millisecond, func() { cancel(gone) })
		p := Performance{Users: 3, Iterations: 500, Think: time.Hour, RampUp: 2 * time.Second, Requests: twoCalls}
		b, l, early := runLoad(ctx, p, 10*time.Millisecond, "")
		if requests, _ := l.tally.counts(); early || requests != 3 {
			t.Errorf("early %v, %d requests", early, requests)
		}
		if took := time.Since(b.began); took != 1500*time.Millisecond {
			t.Errorf("ended after %v", took)
		}
	})
}

func TestPercentilesAreWithinATenthOfAPercent(t *testing.T) {
	t.Parallel()
	tally, at := newTally(), time.Unix(1000, 0)
	for i := 1; i <= 1000; i++ {
		tally.add(outcome{start: at, end: at.Add(time.Duration(i) * time.Millisecond)})
	}
	tally.add(outcome{start: at, end: at.Add(time.Second), kind: failConnection, reason: "refused"})
	f := tally.figures()
	for _, c := range []struct{ got, want time.Duration }{
		{f.mean, 500500 * time.Microsecond}, {f.p50, 500 * time.Millisecond}, {f.p90, 900 * time.Millisecond},
		{f.p95, 950 * time.Millisecond}, {f.p99, 990 * time.Millisecond}, {f.max, time.Second},
	} {
		if diff := (c.got - c.want).Abs(); diff > c.want/1000 {
			t.Errorf("got %v, want %v", c.got, c.want)
		}
	}
	if f.requests != 1001 || f.failed != 1 || f.measured != 1000 {
		t.Errorf("a request without an answer has no latency: %+v", f)
	}
}

func TestProgressIsThrottled(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		calls := 0
		r := &reporter{f: func(Progress) { calls++ }}
		stop := r.every(func() {
			for range 10 {
				r.report(Progress{})
			}
		})
		time.Sleep(10*time.Second - time.Millisecond) // the bubble's clock
		stop()
		if calls < 36 || calls > 40 {
			t.Errorf("%d calls in 10 s, want just under 40", calls)
		}
	})
}
