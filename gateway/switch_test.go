package gateway_test

import (
	"context"
	"fmt"
	"io"
	"net"
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

const (
	switches   = 50
	streamTime = 5 * time.Second
	slowTime   = 2 * time.Second
)

// version is a server with one endpoint for each kind of load. It waits on
// timers, as a service does that waits for its database.
func version(w http.ResponseWriter, r *http.Request) {
	switch r.URL.Path {
	case "/slow":
		wait(r.Context(), slowTime)
		io.WriteString(w, "slow")
	case "/stream":
		for i := range 20 {
			fmt.Fprintf(w, "part %d\n", i)
			http.NewResponseController(w).Flush()
			wait(r.Context(), streamTime/20)
		}
	case "/ws":
		echo(w, r)
	default:
		body, err := io.ReadAll(r.Body)
		if err != nil {
			http.Error(w, err.Error(), 500)
			return
		}
		fmt.Fprintf(w, "%s %s", r.Method, body)
	}
}

func wait(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

// load counts requests of one kind.
type load struct {
	name         string
	done, failed atomic.Int64
	first        atomic.Pointer[string] // error
}

// run repeats f until stop is closed.
func (l *load) run(stop <-chan struct{}, f func() error) {
	for {
		select {
		case <-stop:
			return
		default:
		}
		if err := f(); err != nil {
			text := err.Error()
			l.first.CompareAndSwap(nil, &text)
			l.failed.Add(1)
		}
		l.done.Add(1)
	}
}

// ask returns a function that sends a request and checks the whole answer.
func ask(c *http.Client, method, url, body, want string) func() error {
	return func() error {
		req, err := http.NewRequest(method, url, strings.NewReader(body))
		if err != nil {
			return err
		}
		resp, err := c.Do(req)
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		got, err := io.ReadAll(resp.Body)
		if err != nil {
			return fmt.Errorf("after %q: %w", got, err)
		}
		if resp.StatusCode != 200 || string(got) != want {
			return fmt.Errorf("status %d: %q", resp.StatusCode, got)
		}
		return nil
	}
}

// talk holds a WebSocket for two seconds.
func talk(ctx context.Context, c *http.Client) func() error {
	return func() error {
		ws, _, err := websocket.Dial(ctx, carts+"/ws", &websocket.DialOptions{HTTPClient: c})
		if err != nil {
			return err
		}
		defer ws.CloseNow()
		for i := range 20 {
			said := fmt.Sprint("message ", i)
			if err := ws.Write(ctx, websocket.MessageText, []byte(said)); err != nil {
				return err
			}
			if _, heard, err := ws.Read(ctx); err != nil || string(heard) != said {
				return fmt.Errorf("heard %q after %q: %w", heard, said, err)
			}
			wait(ctx, 100*time.Millisecond)
		}
		return ws.Close(websocket.StatusNormalClosure, "")
	}
}

func startLoad(t *testing.T, r *rig, stop <-chan struct{}, wg *sync.WaitGroup) []*load {
	var all []*load
	start := func(name string, n int, f func() error) {
		l := &load{name: name}
		all = append(all, l)
		for range n {
			wg.Go(func() { l.run(stop, f) })
		}
	}
	c := r.client(t)
	fresh := r.client(t)
	fresh.Transport.(*http.Transport).DisableKeepAlives = true
	var parts strings.Builder
	for i := range 20 {
		fmt.Fprintf(&parts, "part %d\n", i)
	}
	start("GET on kept connections", 3, ask(c, "GET", carts, "", "GET "))
	start("POST on kept connections", 2, ask(c, "POST", carts, "item=1", "POST item=1"))
	start("GET on new connections", 1, ask(fresh, "GET", carts, "", "GET "))
	start("HTTP/2 POST", 2, ask(r.client2(t), "POST", carts, "item=2", "POST item=2"))
	start("requests of 2 s", 3, ask(c, "GET", carts+"/slow", "", "slow"))
	start("HTTP/2 requests of 2 s", 2, ask(r.client2(t), "GET", carts+"/slow", "", "slow"))
	start("streams of 5 s", 3, ask(c, "GET", carts+"/stream", "", parts.String()))
	start("WebSockets of 2 s", 3, talk(t.Context(), c))
	return all
}

// TestFiftySwitches moves the traffic fifty times from one version to another
// and ends the old one's server the hard way as soon as Drain allows it. Not
// one request may fail.
func TestFiftySwitches(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("takes 15 seconds")
	}
	r := newRig(t, gateway.Options{})
	start := func(c fairway.Colour, id string) *http.Server {
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		srv := &http.Server{Handler: http.HandlerFunc(version)}
		go srv.Serve(ln)
		r.attach(t, backend(c, id, ln.Addr().String()))
		return srv
	}
	colour, id := fairway.Blue, "i0"
	old := start(colour, id)
	r.setWeights(t, fairway.Full(colour))
	stop := make(chan struct{})
	var clients, drains sync.WaitGroup
	loads := startLoad(t, r, stop, &clients)
	tick := time.NewTicker(160 * time.Millisecond)
	defer tick.Stop()
	for n := range switches {
		<-tick.C
		next := fmt.Sprint("i", n+1)
		srv := start(colour.Other(), next)
		r.setWeights(t, fairway.Full(colour.Other()))
		from, gone, goneID := place(colour), old, id
		drains.Go(func() {
			if cut, err := r.Drain(t.Context(), from, goneID, 20*time.Second); cut != 0 || err != nil {
				t.Errorf("Drain of %s: cut %d, %v", goneID, cut, err)
			}
			gone.Close()
		})
		old, id, colour = srv, next, colour.Other()
	}
	close(stop)
	clients.Wait()
	drains.Wait()
	old.Close()
	for _, l := range loads {
		t.Logf("%-26s %6d requests, %d failed", l.name, l.done.Load(), l.failed.Load())
		if first := l.first.Load(); first != nil {
			t.Errorf("%s: the first failure: %s", l.name, *first)
		}
		if l.done.Load() == 0 {
			t.Errorf("%s: no request", l.name)
		}
	}
}
