package gateway_test

import (
	"context"
	"errors"
	"io"
	"maps"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/fairwaycd/fairway"
	"github.com/fairwaycd/fairway/gateway"
)

const carts = "http://carts.production.localhost"

func TestWeightsSplitRequests(t *testing.T) {
	t.Parallel()
	r := newRig(t, gateway.Options{})
	r.attach(t, backend(fairway.Blue, "b", serve(t, says("blue"))))
	r.attach(t, backend(fairway.Green, "g", serve(t, says("green"))))
	r.setWeights(t, fairway.Weights{fairway.Blue: 10, fairway.Green: 90})
	c := r.client(t)
	var blue, green atomic.Int64
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 1250 {
				resp, err := c.Get(carts)
				if err != nil {
					t.Error(err)
					return
				}
				body, _ := io.ReadAll(resp.Body)
				resp.Body.Close()
				switch string(body) {
				case "blue":
					blue.Add(1)
				case "green":
					green.Add(1)
				}
			}
		})
	}
	wg.Wait()
	// The standard deviation of 10 000 draws at 10 % is 30; five of them are
	// exceeded once in 1.7 million runs.
	if n := blue.Load(); n+green.Load() != 10000 || n < 850 || n > 1150 {
		t.Errorf("blue answered %d and green %d of 10 000 requests at weights 10/90", n, green.Load())
	}
}

func TestHosts(t *testing.T) {
	t.Parallel()
	r := newRig(t, gateway.Options{Domain: "apps.example.com"})
	r.attach(t, backend(fairway.Blue, "b", serve(t, says("blue"))))
	r.attach(t, backend(fairway.Green, "g", serve(t, says("green"))))
	r.setWeights(t, fairway.Full(fairway.Green))
	direct := backend(fairway.Single, "d", serve(t, says("direct")))
	direct.Place.Namespace = "dev"
	r.attach(t, direct)
	if err := r.SetWeights(t.Context(), fairway.Route{Namespace: "dev", Service: "carts", Weights: fairway.Full(fairway.Single)}); err != nil {
		t.Fatal(err)
	}
	c := r.client(t)
	for host, want := range map[string]string{
		"carts.production.apps.example.com":           "green",
		"carts.production.apps.example.com:8000":      "green",
		"Carts.PRODUCTION.apps.example.com.:8000":     "green",
		"carts-blue.production.apps.example.com":      "blue",
		"carts-green.production.apps.example.com:123": "green",
		"carts.dev.apps.example.com":                  "direct",
	} {
		if status, body := r.get(t, c, "http://"+host+"/version"); status != 200 || body != want {
			t.Errorf("%s: got %d %q, want %q", host, status, body, want)
		}
	}
	for _, host := range []string{"carts.production", "carts.staging.apps.example.com", "production.apps.example.com", "apps.example.com", "127.0.0.1", "[::1]:80", "xcarts.production.apps.example.com", "carts.production.apps.example.org"} {
		status, body := r.get(t, c, "http://"+host)
		if status != 404 || !strings.Contains(body, "carts-blue.production.apps.example.com") || !strings.Contains(body, "carts.dev.apps.example.com") {
			t.Errorf("%s: got %d %q, want 404 with the known hosts", host, status, body)
		}
	}
}

func TestUnavailableSaysWhy(t *testing.T) {
	t.Parallel()
	r := newRig(t, gateway.Options{})
	c := r.client(t)
	expect := func(url string, status int, parts ...string) {
		t.Helper()
		got, body := r.get(t, c, url)
		if got != status {
			t.Errorf("%s: got %d %q, want %d", url, got, body, status)
		}
		for _, p := range parts {
			if !strings.Contains(body, p) {
				t.Errorf("%s: %q lacks %q", url, body, p)
			}
		}
	}
	const green = "http://carts-green.production.localhost"
	expect(carts, 404, "carts.production.localhost", "No service has been deployed yet")
	b := backend(fairway.Green, "g1", serve(t, says("green")))
	b.Ready = false
	r.attach(t, b)
	expect(carts, 503, "carts has no released version in production")
	expect(green, 503, "carts-green in production", "v-g1 is not ready")
	r.SetReady(b.Place, "g1", true)
	expect(green, 200, "green")
	expect(carts, 503, "no released version", "v-g1, not released, answers at carts-green.production.localhost")
	r.setWeights(t, fairway.Full(fairway.Green))
	expect(carts, 200, "green")
	r.SetReady(b.Place, "g1", false)
	expect(carts, 503, "no version of carts in production is ready", "green (weight 100): its version v-g1 is not ready")
	if _, err := r.Drain(t.Context(), b.Place, "g1", 0); err != nil {
		t.Fatal(err)
	}
	expect(carts, 503, "green (weight 100): no version runs there")
	expect(green, 503, "no version runs there")
	if !strings.Contains(r.scrape(t), `destination_workload="unknown"`) {
		t.Error("requests that no version got are not counted")
	}
	r.Forget("production", "carts")
	expect(carts, 404)
	if got := r.Backends(); len(got) != 0 {
		t.Errorf("backends after Forget: %v", got)
	}
}

func TestNotReadyGetsNoRequest(t *testing.T) {
	t.Parallel()
	r := newRig(t, gateway.Options{})
	var atBlue atomic.Int64
	r.attach(t, backend(fairway.Blue, "b", serve(t, func(w http.ResponseWriter, _ *http.Request) { atBlue.Add(1) })))
	r.attach(t, backend(fairway.Green, "g", serve(t, says("green"))))
	r.setWeights(t, fairway.Weights{fairway.Blue: 90, fairway.Green: 10})
	c := r.client(t)
	for round := range 20 {
		r.SetReady(place(fairway.Blue), "b", round%2 == 1)
		before := atBlue.Load()
		for range 50 {
			if status, body := r.get(t, c, carts); status != 200 {
				t.Fatalf("got %d %q", status, body)
			}
		}
		if n := atBlue.Load() - before; round%2 == 0 && n > 0 {
			t.Fatalf("blue, not ready, got %d requests", n)
		} else if round%2 == 1 && n == 0 {
			t.Fatal("blue, ready again at weight 90, got none of 50 requests")
		}
	}
	// Weight 0 gets nothing even when the leader is not ready.
	r.setWeights(t, fairway.Full(fairway.Green))
	r.SetReady(place(fairway.Green), "g", false)
	before := atBlue.Load()
	if status, body := r.get(t, c, carts); status != 503 || atBlue.Load() != before {
		t.Errorf("got %d %q; blue at weight 0 got %d requests", status, body, atBlue.Load()-before)
	}
}

func TestDrainedInstanceGetsNoRequest(t *testing.T) {
	t.Parallel()
	r := newRig(t, gateway.Options{})
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	var late, answered atomic.Int64
	attach := func(c fairway.Colour, id string) *atomic.Bool {
		drained := new(atomic.Bool)
		r.attach(t, backend(c, id, serve(t, func(w http.ResponseWriter, _ *http.Request) {
			if drained.Load() {
				late.Add(1)
			}
			answered.Add(1)
		})))
		return drained
	}
	old, oldID := attach(fairway.Blue, "i0"), "i0"
	r.setWeights(t, fairway.Full(fairway.Blue))
	for range 6 {
		c := r.client(t)
		wg.Go(func() {
			for ctx.Err() == nil {
				resp, err := c.Post(carts, "text/plain", strings.NewReader("x"))
				if err != nil {
					t.Error(err)
					return
				}
				resp.Body.Close()
				if resp.StatusCode != 200 {
					t.Errorf("status %d", resp.StatusCode)
				}
			}
		})
	}
	colour := fairway.Blue
	for i := range 60 {
		id := "i" + string(rune('A'+i))
		next := attach(colour.Other(), id)
		r.setWeights(t, fairway.Full(colour.Other()))
		if cut, err := r.Drain(t.Context(), place(colour), oldID, 10*time.Second); cut != 0 || err != nil {
			t.Errorf("Drain: cut %d, %v", cut, err)
		}
		old.Store(true)
		old, oldID, colour = next, id, colour.Other()
		seen := answered.Load()
		eventually(t, "requests go on", func() bool { return answered.Load() > seen+5 })
	}
	cancel()
	wg.Wait()
	if late.Load() > 0 {
		t.Errorf("%d requests reached an instance after Drain had returned", late.Load())
	}
}

func TestDrainWaitsForWhatAttachReplaced(t *testing.T) {
	t.Parallel()
	r := newRig(t, gateway.Options{})
	entered, finish := make(chan bool), make(chan bool)
	r.attach(t, backend(fairway.Single, "old", serve(t, func(w http.ResponseWriter, _ *http.Request) {
		entered <- true
		<-finish
		io.WriteString(w, "old")
	})))
	r.setWeights(t, fairway.Full(fairway.Single))
	c := r.client(t)
	answer := make(chan string, 1)
	go func() {
		resp, err := c.Get(carts)
		if err != nil {
			answer <- err.Error()
			return
		}
		defer resp.Body.Close()
		body, _ := io.ReadAll(resp.Body)
		answer <- string(body)
	}()
	<-entered
	r.attach(t, backend(fairway.Single, "new", serve(t, says("new"))))
	if _, body := r.get(t, c, carts); body != "new" {
		t.Errorf("after Attach %q answers", body)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if _, err := r.Drain(ctx, place(fairway.Single), "old", time.Minute); !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "1 requests under way") {
		t.Errorf("Drain with a request under way: %v", err)
	}
	drained := make(chan int, 1)
	go func() {
		cut, err := r.Drain(context.WithoutCancel(ctx), place(fairway.Single), "old", time.Minute)
		if err != nil {
			t.Error(err)
		}
		drained <- cut
	}()
	close(finish)
	if got := <-answer; got != "old" {
		t.Errorf("the request under way got %q", got)
	}
	if cut := <-drained; cut != 0 {
		t.Errorf("Drain cut %d", cut)
	}
	if _, body := r.get(t, c, carts); body != "new" {
		t.Errorf("after Drain of the old instance %q answers", body)
	}
	if cut, err := r.Drain(t.Context(), place(fairway.Single), "nobody", 0); cut != 0 || err != nil {
		t.Errorf("Drain of an unknown instance: %d, %v", cut, err)
	}
}

func TestDrainCutsAtItsLimit(t *testing.T) {
	t.Parallel()
	r := newRig(t, gateway.Options{})
	entered := make(chan bool, 1)
	r.attach(t, backend(fairway.Blue, "b", serve(t, func(w http.ResponseWriter, req *http.Request) {
		if req.URL.Path == "/ws" {
			echo(w, req)
			return
		}
		entered <- true
		<-req.Context().Done()
	})))
	r.setWeights(t, fairway.Full(fairway.Blue))
	c := r.client(t)
	status := make(chan int, 1)
	go func() {
		resp, err := c.Get(carts)
		if err != nil {
			t.Error(err)
			status <- 0
			return
		}
		resp.Body.Close()
		status <- resp.StatusCode
	}()
	<-entered
	ws, _, err := websocket.Dial(t.Context(), carts+"/ws", &websocket.DialOptions{HTTPClient: c})
	if err != nil {
		t.Fatal(err)
	}
	defer ws.CloseNow()
	cut, err := r.Drain(t.Context(), place(fairway.Blue), "b", 50*time.Millisecond)
	if cut != 2 || err != nil {
		t.Errorf("Drain: cut %d, %v; want 2", cut, err)
	}
	if s := <-status; s != 502 {
		t.Errorf("the request that was cut off got %d, want 502", s)
	}
	if _, _, err := ws.Read(t.Context()); err == nil {
		t.Error("the WebSocket outlived the drain limit")
	}
	if len(r.logs.with("drain limit", "requests=1", "upgraded=1")) != 1 {
		t.Error("the log does not tell requests and upgraded connections that were cut off apart")
	}
}

func TestRefusalsChangeNothing(t *testing.T) {
	t.Parallel()
	points := 0
	r := newRig(t, gateway.Options{Failpoint: func(p string) {
		if p != "route.change" {
			t.Errorf("failpoint %q", p)
		}
		points++
	}})
	ctx := t.Context()
	r.attach(t, backend(fairway.Blue, "b", "127.0.0.1:1"))
	green := backend(fairway.Green, "g", "127.0.0.1:2")
	green.Ready = false
	r.attach(t, green)
	r.setWeights(t, fairway.Full(fairway.Blue))
	before := points
	for _, c := range []struct {
		w    fairway.Weights
		kind fairway.Kind
		text string
	}{
		{fairway.Weights{fairway.Blue: 90, fairway.Green: 10}, fairway.KindRefused, "its version v-g is not ready; the weights stay 100/0"},
		{fairway.Weights{fairway.Single: 100}, fairway.KindRefused, "no version runs there"},
		{fairway.Weights{fairway.Blue: 90}, fairway.KindInvalid, "sum to 90"},
		{fairway.Weights{}, fairway.KindInvalid, "sum to 0"},
		{fairway.Weights{fairway.Blue: 150, fairway.Green: -50}, fairway.KindInvalid, "0..100"},
		{fairway.Weights{fairway.Blue: 50, fairway.Single: 50}, fairway.KindInvalid, "direct"},
		{fairway.Weights{"red": 100}, fairway.KindInvalid, "no such colour"},
	} {
		err := r.SetWeights(ctx, weights(c.w))
		if fairway.KindOf(err) != c.kind || err == nil || !strings.Contains(err.Error(), c.text) {
			t.Errorf("SetWeights(%v): %v", c.w, err)
		}
	}
	bad := backend(fairway.Blue, "", "localhost")
	bad.Place.Service, bad.Project = "carts-blue", "X"
	if err := r.Attach(ctx, bad); fairway.KindOf(err) != fairway.KindInvalid || len(fairway.Problems(err)) != 4 {
		t.Errorf("Attach of a bad backend: %v", err)
	}
	other := backend(fairway.Blue, "x", "127.0.0.1:3")
	other.Project = "bookshop"
	if err := r.Attach(ctx, other); fairway.KindOf(err) != fairway.KindConflict || !strings.Contains(err.Error(), "bookshop-production") {
		t.Errorf("Attach for another project: %v", err)
	}
	ended, cancel := context.WithCancel(ctx)
	cancel()
	if err := r.Attach(ended, green); !errors.Is(err, context.Canceled) {
		t.Errorf("Attach with an ended context: %v", err)
	}
	route, ok, err := r.Route(ctx, "production", "carts")
	if err != nil || !ok || !maps.Equal(route.Weights, fairway.Full(fairway.Blue)) || points != before {
		t.Errorf("after refusals: %v %v %v, %d changes", route, ok, err, points-before)
	}
	if _, ok, _ := r.Route(ctx, "dev", "carts"); ok {
		t.Error("a service that nobody knows has a route")
	}
	if got := r.Backends(); len(got) != 2 || got[0].Instance != "b" || got[1].Instance != "g" {
		t.Errorf("backends: %v", got)
	}
}

func TestRestoreTrustsThePast(t *testing.T) {
	t.Parallel()
	r := newRig(t, gateway.Options{})
	c := r.client(t)
	if err := r.Restore(t.Context(), weights(fairway.Full(fairway.Blue))); err != nil {
		t.Fatal(err)
	}
	if status, body := r.get(t, c, carts); status != 503 || !strings.Contains(body, "no version runs there") {
		t.Errorf("before Attach: %d %q", status, body)
	}
	r.attach(t, backend(fairway.Blue, "b", serve(t, says("blue"))))
	if status, body := r.get(t, c, carts); status != 200 || body != "blue" {
		t.Errorf("after Attach: %d %q", status, body)
	}
}

func TestNewRefusesBadOptions(t *testing.T) {
	t.Parallel()
	_, err := gateway.New(gateway.Options{Domain: "localhost:8000", Drain: -1})
	if fairway.KindOf(err) != fairway.KindInvalid || len(fairway.Problems(err)) != 2 {
		t.Errorf("got %v", err)
	}
}

// echo answers every message of a WebSocket with itself.
func echo(w http.ResponseWriter, r *http.Request) {
	ws, err := websocket.Accept(w, r, nil)
	if err != nil {
		return
	}
	defer ws.CloseNow()
	for {
		kind, msg, err := ws.Read(r.Context())
		if err != nil {
			return
		}
		if err := ws.Write(r.Context(), kind, msg); err != nil {
			return
		}
	}
}

// A service whose first release was taken back has no released version again.
func TestNilWeightsTakeTheSplitAway(t *testing.T) {
	t.Parallel()
	g := newRig(t, gateway.Options{})
	ctx := t.Context()
	r := fairway.Route{Namespace: "staging", Service: "carts", Weights: fairway.Full(fairway.Blue)}
	if err := g.Restore(ctx, r); err != nil {
		t.Fatal(err)
	}
	r.Weights = nil
	if err := g.SetWeights(ctx, r); err != nil {
		t.Fatal(err)
	}
	if got, ok, err := g.Route(ctx, "staging", "carts"); ok || err != nil {
		t.Errorf("the split is %s, %v; want none", got.Weights, err)
	}
}
