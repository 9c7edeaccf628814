package gateway_test

import (
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/fairwaycd/fairway"
	"github.com/fairwaycd/fairway/gateway"
)

// counted returns the value of the series of istio_requests_total whose line
// contains all labels.
func counted(metrics string, labels ...string) string {
	return sample(metrics, "istio_requests_total{", labels...)
}

func sample(metrics, prefix string, labels ...string) string {
	for line := range strings.Lines(metrics) {
		if !strings.HasPrefix(line, prefix) {
			continue
		}
		all := true
		for _, l := range labels {
			all = all && strings.Contains(line, l)
		}
		if all {
			return strings.TrimSpace(line[strings.LastIndexByte(line, ' '):])
		}
	}
	return ""
}

// requestLines returns the lines of istio_requests_total.
func requestLines(metrics string) (lines string) {
	for line := range strings.Lines(metrics) {
		if strings.HasPrefix(line, "istio_requests_total{") {
			lines += "\n" + line
		}
	}
	return lines
}

func mustURL(t *testing.T, s string) *url.URL {
	t.Helper()
	u, err := url.Parse(s)
	if err != nil {
		t.Fatal(err)
	}
	return u
}

func TestMetricsCarryIstiosLabels(t *testing.T) {
	t.Parallel()
	r := newRig(t, gateway.Options{})
	b := backend(fairway.Green, "g", serve(t, func(w http.ResponseWriter, req *http.Request) {
		if req.URL.Path == "/none" {
			http.NotFound(w, req)
		}
	}))
	b.Place.Namespace, b.Version, b.Run = "staging", "0.6.1-2", "d1/staging/1"
	r.attach(t, b)
	c := r.client(t)
	const green = "http://carts-green.staging.localhost"
	for range 3 {
		r.get(t, c, green)
	}
	r.get(t, c, green+"/none")
	b.Run = "" // the test is over; the instance stays
	r.attach(t, b)
	r.get(t, c, green)
	eventually(t, "all are counted", func() bool { return counted(r.scrape(t), `fairway_run=""`) == "1" })
	m := r.scrape(t)
	labels := []string{
		`reporter="destination"`, `connection_security_policy="none"`,
		`destination_service="carts.staging.svc.cluster.local"`, `destination_service_name="carts"`, `destination_service_namespace="staging"`,
		`destination_workload="carts-green"`, `destination_workload_namespace="staging"`, `destination_app="carts"`, `destination_canonical_service="carts"`,
		`destination_version="0.6.1-2"`, `,version="0.6.1-2"`, `request_protocol="http"`, `response_flags="-"`, `fairway_run="d1/staging/1"`,
	}
	if n := counted(m, append(labels, `response_code="200"`)...); n != "3" {
		t.Errorf("%q requests with 200 in the run, want 3: %s", n, requestLines(m))
	}
	if n := counted(m, append(labels, `response_code="404"`)...); n != "1" {
		t.Errorf("%q requests with 404, want 1", n)
	}
	if n := sample(m, "istio_request_duration_milliseconds_count{", append(labels, `response_code="200"`)...); n != "3" {
		t.Errorf("%q durations, want 3", n)
	}
	for _, le := range []string{`le="0.5"`, `le="2500"`, `le="3.6e+06"`, `le="+Inf"`} {
		if sample(m, "istio_request_duration_milliseconds_bucket{", le) == "" {
			t.Errorf("no bucket %s", le)
		}
	}
}

func TestServeEndsGracefully(t *testing.T) {
	t.Parallel()
	entered, finish := make(chan bool), make(chan bool)
	r := newRig(t, gateway.Options{Drain: 10 * time.Second})
	r.attach(t, backend(fairway.Blue, "b", serve(t, func(w http.ResponseWriter, req *http.Request) {
		if req.URL.Path == "/ws" {
			echo(w, req)
			return
		}
		entered <- true
		<-finish
		io.WriteString(w, "whole")
	})))
	r.setWeights(t, fairway.Full(fairway.Blue))
	answers := make(chan string, 2)
	for _, c := range []*http.Client{r.client(t), r.client2(t)} {
		go func() {
			resp, err := c.Get(carts)
			if err != nil {
				answers <- err.Error()
				return
			}
			defer resp.Body.Close()
			body, _ := io.ReadAll(resp.Body)
			answers <- string(body)
		}()
		<-entered
	}
	ws, _, err := websocket.Dial(t.Context(), carts+"/ws", &websocket.DialOptions{HTTPClient: r.client(t)})
	if err != nil {
		t.Fatal(err)
	}
	defer ws.CloseNow()
	ended := make(chan error, 1)
	go func() { ended <- r.stop() }()
	eventually(t, "no new connection is taken", func() bool {
		c, err := net.Dial("tcp", r.addr)
		if err == nil {
			c.Close()
		}
		return err != nil
	})
	close(finish)
	for range 2 {
		if got := <-answers; got != "whole" {
			t.Errorf("a request under way at the end got %q", got)
		}
	}
	if err := <-ended; err != nil {
		t.Errorf("Serve: %v", err)
	}
	if _, _, err := ws.Read(t.Context()); err == nil {
		t.Error("a WebSocket outlived Serve")
	}
	if len(r.Backends()) != 0 {
		t.Errorf("after Serve: %v", r.Backends())
	}
}

func TestServeCutsAtItsLimit(t *testing.T) {
	t.Parallel()
	entered := make(chan bool, 1)
	r := newRig(t, gateway.Options{Drain: 50 * time.Millisecond})
	r.attach(t, backend(fairway.Blue, "b", serve(t, func(w http.ResponseWriter, req *http.Request) {
		entered <- true
		<-req.Context().Done()
	})))
	r.setWeights(t, fairway.Full(fairway.Blue))
	c := r.client(t)
	failed := make(chan bool, 1)
	go func() {
		resp, err := c.Get(carts)
		if err == nil {
			resp.Body.Close()
		}
		failed <- err != nil || resp.StatusCode == 502
	}()
	<-entered
	if err := r.stop(); err != nil {
		t.Errorf("Serve: %v", err)
	}
	if !<-failed {
		t.Error("a request without end outlived Serve")
	}
}

func TestServeEndsDespiteAClientThatDoesNotRead(t *testing.T) {
	t.Parallel()
	flood := make([]byte, 1<<20)
	stuck := make(chan bool)
	r := newRig(t, gateway.Options{Drain: 50 * time.Millisecond})
	r.attach(t, backend(fairway.Blue, "b", serve(t, func(w http.ResponseWriter, req *http.Request) {
		w.Header().Set("Connection", "Upgrade")
		w.Header().Set("Upgrade", "flood")
		w.WriteHeader(http.StatusSwitchingProtocols)
		c, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		defer c.Close()
		for err == nil {
			c.SetWriteDeadline(time.Now().Add(200 * time.Millisecond))
			_, err = c.Write(flood)
		}
		stuck <- true
		<-stuck // keeps the connection, as a service does that hangs
	})))
	r.setWeights(t, fairway.Full(fairway.Blue))
	c, err := net.Dial("tcp", r.addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	io.WriteString(c, "GET / HTTP/1.1\r\nHost: carts.production.localhost\r\nConnection: Upgrade\r\nUpgrade: flood\r\n\r\n")
	<-stuck
	if err := r.stop(); err != nil {
		t.Errorf("Serve: %v", err)
	}
	close(stuck)
}

func TestHeadersAreLimited(t *testing.T) {
	t.Parallel()
	r := newRig(t, gateway.Options{HeaderTimeout: 50 * time.Millisecond, MaxHeaderBytes: 8 << 10})
	r.attach(t, backend(fairway.Blue, "b", serve(t, says("blue"))))
	r.setWeights(t, fairway.Full(fairway.Blue))
	req, _ := http.NewRequest("GET", carts, nil)
	req.Header.Set("Cookie", strings.Repeat("x", 16<<10))
	resp, err := r.client(t).Do(req)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusRequestHeaderFieldsTooLarge {
		t.Errorf("a header that is too large got %d", resp.StatusCode)
	}
	slow, err := net.Dial("tcp", r.addr)
	if err != nil {
		t.Fatal(err)
	}
	defer slow.Close()
	io.WriteString(slow, "GET / HTTP/1.1\r\nHost: carts.produ")
	slow.SetReadDeadline(time.Now().Add(10 * time.Second))
	if answer, err := io.ReadAll(slow); err != nil {
		t.Errorf("a client that does not send its header is waited for: %q %v", answer, err)
	}
}

func TestServeSaysThatItsListenerFailed(t *testing.T) {
	t.Parallel()
	g, err := gateway.New(gateway.Options{})
	if err != nil {
		t.Fatal(err)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ln.Close()
	if err := g.Serve(t.Context(), ln); fairway.KindOf(err) != fairway.KindUnavailable || !strings.Contains(err.Error(), ln.Addr().String()) {
		t.Errorf("got %v", err)
	}
}
