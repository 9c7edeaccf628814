package istio

//lint:file-ignore SA1019 client-go's Negotiate takes the types of the deprecated package alone

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/util/httpstream"
	httpspdy "k8s.io/apimachinery/pkg/util/httpstream/spdy"
	"k8s.io/client-go/rest"
)

// forwards is what an API server and a node do for a port-forward: streams
// become connections to address. It counts the connections to itself.
func forwards(t *testing.T, address string) (config *rest.Config, connections func() int) {
	t.Helper()
	var mu sync.Mutex
	var upgraded []httpstream.Connection
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodPost || r.URL.Path != "/api/v1/namespaces/istio-system/pods/gateway-1/portforward" {
			http.NotFound(w, r)
			return
		}
		if _, err := httpstream.Handshake(r, w, []string{forwardProtocol}); err != nil {
			t.Error(err)
			return
		}
		streams := make(chan httpstream.Stream, 10)
		conn := httpspdy.NewResponseUpgrader().UpgradeResponse(w, r, func(s httpstream.Stream, _ <-chan struct{}) error {
			streams <- s
			return nil
		})
		mu.Lock()
		upgraded = append(upgraded, conn)
		mu.Unlock()
		errs := map[string]httpstream.Stream{}
		for {
			select {
			case <-conn.CloseChan():
				return
			case s := <-streams:
				id := s.Headers().Get("requestID")
				if s.Headers().Get("streamType") == "error" {
					errs[id] = s
					continue
				}
				go join(s, errs[id], address)
			}
		}
	}))
	t.Cleanup(func() {
		mu.Lock()
		for _, c := range upgraded {
			_ = c.Close()
		}
		mu.Unlock()
		server.Close()
	})
	return &rest.Config{Host: server.URL}, func() int { mu.Lock(); defer mu.Unlock(); return len(upgraded) }
}

func join(data, errs httpstream.Stream, address string) {
	defer errs.Close()
	c, err := net.Dial("tcp", address)
	if err != nil {
		fmt.Fprintf(errs, "error forwarding port: %v", err)
		return
	}
	go func() { _, _ = io.Copy(c, data); _ = c.(*net.TCPConn).CloseWrite() }()
	_, _ = io.Copy(data, c)
	_ = data.Close()
	_ = c.Close()
}

func adminOf(t *testing.T, config *rest.Config) *envoy {
	t.Helper()
	all := &envoys{config: config, port: 15000, open: map[string]*envoy{}}
	e, done, err := all.use("istio-system", "gateway-1", "uid-1")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(done)
	return e
}

func TestAnEnvoyIsAskedThroughThePortForward(t *testing.T) {
	t.Parallel()
	big := strings.Repeat("c::10.0.0.1:80::health_flags::healthy\n", 20_000)
	admin := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, big) }))
	defer admin.Close()
	config, connections := forwards(t, admin.Listener.Addr().String())
	e := adminOf(t, config)
	for range 5 {
		all, err := e.clusters(t.Context(), ".*")
		if err != nil || healthy(all["c"]) != 1 {
			t.Fatalf("%v, %v", all, err)
		}
	}
	if n := connections(); n != 1 {
		t.Errorf("five questions took %d connections to the API server, want 1", n)
	}
	e.to.reset() // as when the API server goes away
	if _, err := e.clusters(t.Context(), ".*"); err != nil {
		t.Errorf("after the connection has gone: %v", err)
	}
	if n := connections(); n != 2 {
		t.Errorf("%d connections, want another one", n)
	}
}

func TestWhyAnEnvoyCannotBeAskedIsSaid(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_ = l.Close() // nobody listens in the pod
	config, _ := forwards(t, l.Addr().String())
	if _, err := adminOf(t, config).clusters(t.Context(), ".*"); err == nil || !strings.Contains(err.Error(), "connection refused") {
		t.Errorf("nobody listens in the pod: %v", err)
	}
	gone := &rest.Config{Host: "http://" + l.Addr().String()}
	if _, err := adminOf(t, gone).clusters(t.Context(), ".*"); err == nil || !strings.Contains(err.Error(), "port-forward") {
		t.Errorf("no API server: %v", err)
	}
}

// An API server that takes connections and says nothing, and an Envoy that
// does, end with the question's time and not later.
func TestWhatHangsIsLeft(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	forwarding, _ := forwards(t, l.Addr().String())
	for name, config := range map[string]*rest.Config{"API server": {Host: "http://" + l.Addr().String()}, "Envoy": forwarding} {
		ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
		_, err := adminOf(t, config).clusters(ctx, ".*")
		cancel()
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("a silent %s: %v", name, err)
		}
	}
}

func TestAStoppedTrafficAsksNobody(t *testing.T) {
	t.Parallel()
	all := &envoys{config: &rest.Config{Host: "http://127.0.0.1:1"}, open: map[string]*envoy{}}
	all.stop()
	if _, _, err := all.use("ns", "pod", "uid"); err == nil {
		t.Error("a pod is asked after the stop")
	}
}
