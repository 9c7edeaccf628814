package gateway_test

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/fairwaycd/fairway"
	"github.com/fairwaycd/fairway/gateway"
)

// rig is a gateway that answers on a port of its own.
type rig struct {
	*gateway.Gateway
	addr string
	logs *logs
	stop func() error // ends Serve and returns its error
}

func newRig(t testing.TB, o gateway.Options) *rig {
	t.Helper()
	l := &logs{}
	o.Logger = slog.New(slog.NewTextHandler(l, &slog.HandlerOptions{Level: slog.LevelDebug}))
	g, err := gateway.New(o)
	if err != nil {
		t.Fatal(err)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- g.Serve(ctx, ln) }()
	r := &rig{Gateway: g, addr: ln.Addr().String(), logs: l}
	r.stop = sync.OnceValue(func() error { cancel(); return <-done })
	t.Cleanup(func() {
		if err := r.stop(); err != nil {
			t.Errorf("Serve: %v", err)
		}
	})
	return r
}

// client returns a client that reaches every host through the gateway.
func (r *rig) client(t testing.TB) *http.Client {
	tr := &http.Transport{DialContext: r.dial, MaxIdleConnsPerHost: 64}
	t.Cleanup(tr.CloseIdleConnections)
	return &http.Client{Transport: tr}
}

// client2 does the same over HTTP/2 without TLS.
func (r *rig) client2(t testing.TB) *http.Client {
	tr := &http.Transport{DialContext: r.dial, Protocols: new(http.Protocols)}
	tr.Protocols.SetUnencryptedHTTP2(true)
	t.Cleanup(tr.CloseIdleConnections)
	return &http.Client{Transport: tr}
}

func (r *rig) dial(ctx context.Context, network, _ string) (net.Conn, error) {
	return (&net.Dialer{}).DialContext(ctx, network, r.addr)
}

// get asks carts in dev and returns status and body.
func (r *rig) get(t testing.TB, c *http.Client, url string) (int, string) {
	t.Helper()
	resp, err := c.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(body)
}

func (r *rig) scrape(t testing.TB) string {
	t.Helper()
	w := httptest.NewRecorder()
	r.MetricsHandler().ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
	return w.Body.String()
}

// logs collects what the gateway logs.
type logs struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logs) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

// with returns the lines that contain all of parts.
func (l *logs) with(parts ...string) (found []string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for line := range strings.Lines(l.b.String()) {
		all := true
		for _, p := range parts {
			all = all && strings.Contains(line, p)
		}
		if all {
			found = append(found, line)
		}
	}
	return found
}

func place(c fairway.Colour) fairway.Place {
	return fairway.Place{Namespace: "production", Service: "carts", Colour: c}
}

// backend is a ready backend of carts in production.
func backend(c fairway.Colour, instance, address string) fairway.Backend {
	return fairway.Backend{Place: place(c), Project: "sockshop", Instance: instance, Address: address, Version: "v-" + instance, Ready: true}
}

func weights(w fairway.Weights) fairway.Route {
	return fairway.Route{Namespace: "production", Service: "carts", Weights: w}
}

// serve starts a real server and returns its address.
func serve(t testing.TB, h http.HandlerFunc) string {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	return s.Listener.Addr().String()
}

// says answers every request with the text.
func says(text string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		io.WriteString(w, text)
	}
}

func (r *rig) attach(t testing.TB, b fairway.Backend) {
	t.Helper()
	if err := r.Attach(t.Context(), b); err != nil {
		t.Fatal(err)
	}
}

func (r *rig) setWeights(t testing.TB, w fairway.Weights) {
	t.Helper()
	if err := r.SetWeights(t.Context(), weights(w)); err != nil {
		t.Fatal(err)
	}
}

// eventually polls the condition for ten seconds.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	deadline := time.NewTimer(10 * time.Second)
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-tick.C:
		case <-deadline.C:
			t.Fatalf("did not come true within 10 s: %s", what)
		}
	}
}
