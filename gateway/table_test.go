package gateway

import (
	"context"
	"fmt"
	"maps"
	"testing"
	"time"

	"github.com/fairwaycd/fairway"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"pgregory.net/rapid"
)

// shadow is what a place should hold.
type shadow struct {
	instance string
	ready    bool
}

// TestTableKeepsItsPromises makes random changes and compares the table with
// a plain description of what was asked for.
func TestTableKeepsItsPromises(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		g, err := New(Options{})
		if err != nil {
			t.Fatal(err)
		}
		ctx := context.Background()
		colours := []fairway.Colour{fairway.Blue, fairway.Green}
		places := map[fairway.Place]shadow{}
		split := map[fairway.Namespace]fairway.Weights{}
		known := map[fairway.Place]bool{}
		n := 0
		draw := func() fairway.Place {
			return fairway.Place{
				Namespace: rapid.SampledFrom([]fairway.Namespace{"dev", "staging"}).Draw(t, "namespace"),
				Service:   "carts", Colour: rapid.SampledFrom(colours).Draw(t, "colour"),
			}
		}
		t.Repeat(map[string]func(*rapid.T){
			"attach": func(t *rapid.T) {
				p := draw()
				n++
				s := shadow{fmt.Sprint("i", n), rapid.Bool().Draw(t, "ready")}
				if err := g.Attach(ctx, fairway.Backend{Place: p, Project: "sockshop", Instance: s.instance, Address: "127.0.0.1:1", Ready: s.ready}); err != nil {
					t.Fatal(err)
				}
				places[p], known[p] = s, true
			},
			"ready": func(t *rapid.T) {
				p, ready := draw(), rapid.Bool().Draw(t, "ready")
				s, ok := places[p]
				g.SetReady(p, "somebody else", !ready)
				g.SetReady(p, s.instance, ready)
				if ok {
					places[p] = shadow{s.instance, ready}
				}
			},
			"drain": func(t *rapid.T) {
				p := draw()
				if cut, err := g.Drain(ctx, p, places[p].instance, time.Minute); cut != 0 || err != nil {
					t.Fatal(cut, err)
				}
				delete(places, p)
			},
			"weights": func(t *rapid.T) {
				ns := draw().Namespace
				w := fairway.Weights{fairway.Blue: rapid.IntRange(0, 100).Draw(t, "blue")}
				w[fairway.Green] = 100 - w[fairway.Blue]
				if rapid.Bool().Draw(t, "wrong") {
					w[fairway.Green]++
				}
				want := w.Validate() == nil
				for c, v := range w {
					s, ok := places[fairway.Place{Namespace: ns, Service: "carts", Colour: c}]
					want = want && (v == 0 || ok && s.ready)
				}
				err := g.SetWeights(ctx, fairway.Route{Namespace: ns, Service: "carts", Weights: w})
				if (err == nil) != want {
					t.Fatalf("SetWeights(%v) with %v: %v", w, places, err)
				}
				if want {
					split[ns] = w
				}
			},
			"forget": func(t *rapid.T) {
				ns := draw().Namespace
				g.Forget(ns, "carts")
				delete(split, ns)
				for _, c := range colours {
					p := fairway.Place{Namespace: ns, Service: "carts", Colour: c}
					delete(places, p)
					delete(known, p)
				}
			},
			"": func(t *rapid.T) { checkTable(t, g, places, split, known) },
		})
	})
}

func checkTable(t *rapid.T, g *Gateway, places map[fairway.Place]shadow, split map[fairway.Namespace]fairway.Weights, known map[fairway.Place]bool) {
	tab := g.table.Load()
	for _, ns := range []fairway.Namespace{"dev", "staging"} {
		r, ok, _ := g.Route(context.Background(), ns, "carts")
		if !maps.Equal(r.Weights, split[ns]) || ok != (split[ns] != nil) {
			t.Fatalf("route of %s is %v, want %v", ns, r.Weights, split[ns])
		}
		eligible := map[string]bool{}
		for _, c := range []fairway.Colour{fairway.Blue, fairway.Green} {
			p := fairway.Place{Namespace: ns, Service: "carts", Colour: c}
			s, stands := places[p]
			if stands && s.ready && split[ns][c] > 0 {
				eligible[s.instance] = true
			}
			e := tab.lookup(p.Host("localhost"), g.suffix)
			if (e != nil) != known[p] {
				t.Fatalf("host of %s known: %v, want %v", p, e != nil, known[p])
			}
			if e == nil {
				continue
			}
			if got := e.pick(); (got != nil) != (stands && s.ready) || got != nil && got.Instance != s.instance {
				t.Fatalf("%s alone leads to %v, want %v", p, got, s)
			}
		}
		e := tab.lookup(fairway.ServiceHost(ns, "carts", "localhost")+":8000", g.suffix)
		for range 20 {
			if e == nil {
				break
			}
			got := e.pick()
			if (got == nil) != (len(eligible) == 0) || got != nil && !eligible[got.Instance] {
				t.Fatalf("%s: picked %v of %v", ns, got, eligible)
			}
		}
	}
	if len(g.Backends()) != len(places) || len(g.leaving) != 0 {
		t.Fatalf("backends %v, leaving %d; want %v", g.Backends(), len(g.leaving), places)
	}
}

func TestPickFollowsWeights(t *testing.T) {
	t.Parallel()
	e := &entry{total: 100, arms: []arm{{10, &target{Backend: fairway.Backend{Instance: "b"}}}, {90, &target{Backend: fairway.Backend{Instance: "g"}}}}}
	const n = 1_000_000
	blue := 0
	for range n {
		if e.pick().Instance == "b" {
			blue++
		}
	}
	if blue < 98_500 || blue > 101_500 { // five standard deviations of 300
		t.Errorf("weight 10 got %d of %d", blue, n)
	}
}

func TestSeriesOfGoneVersionsAreDeleted(t *testing.T) {
	t.Parallel()
	g, err := New(Options{})
	if err != nil {
		t.Fatal(err)
	}
	attach := func(c fairway.Colour, version string) *meter {
		t.Helper()
		p := fairway.Place{Namespace: "dev", Service: "carts", Colour: c}
		if err := g.Attach(t.Context(), fairway.Backend{Place: p, Project: "sockshop", Instance: version, Address: "127.0.0.1:1", Version: version}); err != nil {
			t.Fatal(err)
		}
		m := g.table.Load().service(key{"dev", "carts"}).places[c].meter
		m.count(outcome{200, flagNone, false}, time.Second)
		m.count(outcome{500, flagNone, false}, time.Second)
		return m
	}
	expect := func(what string, want int) {
		t.Helper()
		if n := testutil.CollectAndCount(g.metrics.requests); n != want {
			t.Errorf("%s: %d series of requests, want %d", what, n, want)
		}
		if n := testutil.CollectAndCount(g.metrics.duration); n != want {
			t.Errorf("%s: %d series of durations, want %d", what, n, want)
		}
	}
	now := time.Unix(1_700_000_000, 0)
	old := attach(fairway.Blue, "1")
	attach(fairway.Green, "2")
	attach(fairway.Blue, "3")
	expect("three versions", 6)
	g.sweep(now)
	g.sweep(now.Add(keepGone))
	expect("gone for exactly the time", 6)
	g.sweep(now.Add(keepGone + time.Second))
	expect("gone for longer", 4)
	if attach(fairway.Green, "1") == old {
		t.Error("a version that came back under another colour has the old meter")
	}
	g.sweep(now.Add(3 * keepGone)) // 2 is gone from now on
	attach(fairway.Green, "2")     // and back
	g.sweep(now.Add(5 * keepGone))
	expect("2 came back, 1 went", 6)
	g.sweep(now.Add(7 * keepGone))
	expect("1 is gone", 4)
}

func TestCountAndRouteAreOneStep(t *testing.T) {
	t.Parallel()
	g, err := New(Options{})
	if err != nil {
		t.Fatal(err)
	}
	p := fairway.Place{Namespace: "dev", Service: "carts", Colour: fairway.Blue}
	ctx := t.Context()
	stop := make(chan struct{})
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for {
			select {
			case <-stop:
				return
			default:
			}
			if b, _ := g.acquire("carts-blue.dev.localhost"); b != nil {
				if b.up.isIdle() {
					t.Error("a request was routed to an instance that was drained")
				}
				b.up.release()
			}
		}
	}()
	for i := range 5000 {
		id := fmt.Sprint(i)
		if err := g.Attach(ctx, fairway.Backend{Place: p, Project: "sockshop", Instance: id, Address: "127.0.0.1:1", Ready: true}); err != nil {
			t.Fatal(err)
		}
		if cut, err := g.Drain(ctx, p, id, time.Minute); cut != 0 || err != nil {
			t.Fatal(cut, err)
		}
	}
	close(stop)
	<-ended
}
