package gateway_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/coder/websocket"
	"github.com/fairwaycd/fairway"
	"github.com/fairwaycd/fairway/gateway"
)

// one returns a gateway whose carts in production is the handler alone.
func one(t testing.TB, h http.HandlerFunc) *rig {
	t.Helper()
	r := newRig(t, gateway.Options{})
	r.attach(t, backend(fairway.Green, "g", serve(t, h)))
	r.setWeights(t, fairway.Full(fairway.Green))
	return r
}

func TestServiceSeesTheRequestAsItWas(t *testing.T) {
	t.Parallel()
	var seen *http.Request
	r := one(t, func(w http.ResponseWriter, req *http.Request) { seen = req })
	req, _ := http.NewRequest("GET", carts+":8000/a%2Fb?x=1;y=2", nil)
	for name, v := range map[string]string{
		"X-Forwarded-For": "6.6.6.6", "X-Forwarded-Host": "evil", "X-Forwarded-Proto": "https", "X-Forwarded-Port": "1",
		"X-Forwarded-Prefix": "/evil", "X-Real-Ip": "6.6.6.6", "Forwarded": "for=6.6.6.6", "Authorization": "Bearer mine",
		"Upgrade": "h2c", "Connection": "Upgrade, HTTP2-Settings", "Http2-Settings": "x",
	} {
		req.Header.Set(name, v)
	}
	resp, err := r.client(t).Do(req)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if seen.Host != "carts.production.localhost:8000" || seen.RequestURI != "/a%2Fb?x=1;y=2" {
		t.Errorf("host %q, URI %q", seen.Host, seen.RequestURI)
	}
	want := map[string]string{
		"X-Forwarded-For": "127.0.0.1", "X-Forwarded-Host": "carts.production.localhost:8000", "X-Forwarded-Proto": "http", "X-Forwarded-Port": "",
		"X-Forwarded-Prefix": "", "X-Real-Ip": "", "Forwarded": "", "Authorization": "Bearer mine",
		"Upgrade": "", "Connection": "", "Http2-Settings": "",
	}
	for name, v := range want {
		if got := strings.Join(seen.Header.Values(name), "|"); got != v {
			t.Errorf("%s: %q, want %q", name, got, v)
		}
	}
}

func TestStreamsReachTheClientAtOnce(t *testing.T) {
	t.Parallel()
	proceed := make(chan bool)
	r := one(t, func(w http.ResponseWriter, req *http.Request) {
		w.Header().Set("Trailer", "Sum")
		if req.URL.Path == "/sized" {
			w.Header().Del("Trailer")
			w.Header().Set("Content-Length", "10")
		}
		for range 2 {
			io.WriteString(w, "part\n")
			http.NewResponseController(w).Flush()
			<-proceed
		}
		if req.URL.Path != "/sized" {
			w.Header().Set("Sum", "10")
		}
	})
	for name, c := range map[string]*http.Client{"HTTP/1.1": r.client(t), "HTTP/2": r.client2(t)} {
		for _, path := range []string{"/", "/sized"} {
			resp, err := c.Get(carts + path)
			if err != nil {
				t.Fatal(err)
			}
			lines := bufio.NewReader(resp.Body)
			for range 2 {
				if line, err := lines.ReadString('\n'); line != "part\n" {
					t.Fatalf("%s %s: %q %v", name, path, line, err)
				}
				proceed <- true
			}
			if _, err := lines.ReadByte(); err != io.EOF {
				t.Errorf("%s %s: %v at the end", name, path, err)
			}
			if got := resp.Trailer.Get("Sum"); path == "/" && got != "10" {
				t.Errorf("%s: trailer %q", name, got)
			}
			resp.Body.Close()
		}
	}
}

func TestRequestTrailersAndChunkedBodies(t *testing.T) {
	t.Parallel()
	r := one(t, func(w http.ResponseWriter, req *http.Request) {
		body, _ := io.ReadAll(req.Body)
		fmt.Fprintf(w, "%s %s", body, req.Trailer.Get("Sum"))
	})
	for name, c := range map[string]*http.Client{"HTTP/1.1": r.client(t), "HTTP/2": r.client2(t)} {
		req, _ := http.NewRequest("PUT", carts, struct{ io.Reader }{strings.NewReader("body")})
		req.Trailer = http.Header{"Sum": {"4"}}
		resp, err := c.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		body, _ := io.ReadAll(resp.Body)
		resp.Body.Close()
		if string(body) != "body 4" {
			t.Errorf("%s: %q", name, body)
		}
	}
}

func TestContinueIsTheServices(t *testing.T) {
	t.Parallel()
	r := one(t, func(w http.ResponseWriter, req *http.Request) {
		if req.Header.Get("Authorization") == "" {
			http.Error(w, "who are you?", http.StatusUnauthorized)
			return
		}
		io.Copy(w, req.Body)
	})
	for _, c := range []struct{ auth, first string }{{"", "HTTP/1.1 401 "}, {"Authorization: x\r\n", "HTTP/1.1 100 "}} {
		conn, err := net.Dial("tcp", r.addr)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		fmt.Fprintf(conn, "POST / HTTP/1.1\r\nHost: carts.production.localhost\r\n%sExpect: 100-continue\r\nContent-Length: 4\r\n\r\n", c.auth)
		br := bufio.NewReader(conn)
		line, err := br.ReadString('\n')
		if !strings.HasPrefix(line, c.first) {
			t.Errorf("first line %q %v, want %s", line, err, c.first)
		}
		if c.auth == "" {
			continue
		}
		br.ReadString('\n')
		io.WriteString(conn, "body")
		resp, err := http.ReadResponse(br, nil)
		if err != nil {
			t.Fatal(err)
		}
		if body, _ := io.ReadAll(resp.Body); string(body) != "body" {
			t.Errorf("got %d %q", resp.StatusCode, body)
		}
	}
}

func TestWebSocket(t *testing.T) {
	t.Parallel()
	r := one(t, echo)
	ws, _, err := websocket.Dial(t.Context(), carts, &websocket.DialOptions{HTTPClient: r.client(t)})
	if err != nil {
		t.Fatal(err)
	}
	defer ws.CloseNow()
	for _, said := range []string{"one", strings.Repeat("two", 10000)} {
		if err := ws.Write(t.Context(), websocket.MessageText, []byte(said)); err != nil {
			t.Fatal(err)
		}
		if _, heard, err := ws.Read(t.Context()); err != nil || string(heard) != said {
			t.Fatalf("heard %d bytes, %v", len(heard), err)
		}
	}
	ws.Close(websocket.StatusNormalClosure, "")
	eventually(t, "the upgrade is counted", func() bool {
		return strings.Contains(r.scrape(t), `response_code="101"`)
	})
}

// script is a service that speaks HTTP by hand: for every request that it has
// read, answer is called with its number, counted from one over all
// connections, and the number of the request on its connection. An empty
// answer closes the connection.
func script(t *testing.T, answer func(n, onConn int) string) string {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var n atomic.Int64
	var wg sync.WaitGroup
	t.Cleanup(func() { ln.Close() })
	handle := func(c net.Conn) {
		defer c.Close()
		br := bufio.NewReader(c)
		for onConn := 1; ; onConn++ {
			req, err := http.ReadRequest(br)
			if err != nil {
				return
			}
			io.Copy(io.Discard, req.Body)
			text := answer(int(n.Add(1)), onConn)
			io.WriteString(c, text)
			if !strings.HasSuffix(text, "ok") {
				return
			}
		}
	}
	go func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			wg.Go(func() { handle(c) })
		}
	}()
	return ln.Addr().String()
}

const okAnswer = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"

func TestRepeatsOnlyWhatWasNotAnswered(t *testing.T) {
	t.Parallel()
	once := func(_, onConn int) string { // keeps connections, and closes them at the second request
		if onConn == 1 {
			return okAnswer
		}
		return ""
	}
	for _, c := range []struct {
		name, method string
		size         int
		answer       func(n, onConn int) string
		status       int // of the second request
		seen         int // requests at the service altogether
	}{
		{"small POST on a stale connection", "POST", 100, once, 200, 3},
		{"PUT on a stale connection", "PUT", 100, once, 200, 3},
		{"largest held POST", "POST", 64 << 10, once, 200, 3},
		{"POST too large to hold", "POST", 64<<10 + 1, once, 502, 2},
		{"GET on a stale connection", "GET", 0, once, 200, 3},
		{"POST without a body on a stale connection", "POST", 0, once, 200, 3},
		{"DELETE on a stale connection", "DELETE", 0, once, 200, 3},
		{"GET with a body on a stale connection", "GET", 100, once, 200, 3},
		{"POST that always breaks", "POST", 100, func(n, _ int) string {
			if n == 1 {
				return okAnswer
			}
			return ""
		}, 502, 3},
		{"POST whose answer had begun", "POST", 100, func(n, _ int) string {
			if n == 1 {
				return okAnswer
			}
			return "HTTP/1.1 200"
		}, 502, 2},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			var seen atomic.Int64
			r := newRig(t, gateway.Options{})
			r.attach(t, backend(fairway.Blue, "b", script(t, func(n, onConn int) string {
				seen.Add(1)
				return c.answer(n, onConn)
			})))
			r.setWeights(t, fairway.Full(fairway.Blue))
			var status [2]int
			for i := range status {
				resp := send(t, r, c.method, c.size)
				status[i] = resp.StatusCode
			}
			if status != [2]int{200, c.status} || int(seen.Load()) != c.seen {
				t.Errorf("answers %v, %d requests at the service; want the second %d, and %d requests", status, seen.Load(), c.status, c.seen)
			}
		})
	}
}

func send(t *testing.T, r *rig, method string, size int) *http.Response {
	t.Helper()
	req, _ := http.NewRequest(method, carts, strings.NewReader(strings.Repeat("x", size)))
	resp, err := r.client(t).Do(req)
	if err != nil {
		t.Fatal(err)
	}
	io.Copy(io.Discard, resp.Body)
	resp.Body.Close()
	return resp
}

func TestFreshConnectionIsNotRetried(t *testing.T) {
	t.Parallel()
	var seen atomic.Int64
	r := newRig(t, gateway.Options{})
	r.attach(t, backend(fairway.Blue, "b", script(t, func(int, int) string { seen.Add(1); return "" })))
	r.setWeights(t, fairway.Full(fairway.Blue))
	if resp := send(t, r, "POST", 10); resp.StatusCode != 502 || seen.Load() != 1 {
		t.Errorf("status %d, %d requests: a service that died of a request must not get it twice", resp.StatusCode, seen.Load())
	}
}

func TestErrorsOfTheService(t *testing.T) {
	t.Parallel()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	dead := ln.Addr().String()
	ln.Close()
	r := newRig(t, gateway.Options{})
	r.attach(t, backend(fairway.Blue, "b", dead))
	r.attach(t, backend(fairway.Green, "g", script(t, func(int, int) string {
		return "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nbroke"
	})))
	r.setWeights(t, fairway.Full(fairway.Blue))
	c := r.client(t)
	status, body := r.get(t, c, carts)
	if status != 502 || !strings.Contains(body, "carts-blue in production (version v-b) did not answer") || !strings.Contains(body, "refused") {
		t.Errorf("dead service: %d %q", status, body)
	}
	resp, err := c.Get("http://carts-green.production.localhost/")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if got, err := io.ReadAll(resp.Body); err == nil {
		t.Errorf("an answer that was broken off looks whole: %q", got)
	}
	eventually(t, "both are counted as 502", func() bool {
		m := r.scrape(t)
		return counted(m, `destination_workload="carts-blue"`, `response_code="502"`, `response_flags="UF"`) == "1" &&
			counted(m, `destination_workload="carts-green"`, `response_code="502"`, `response_flags="UC"`) == "1"
	})
	if len(r.logs.with("level=WARN")) != 2 {
		t.Errorf("want a warning each: %q", r.logs.with("level=WARN"))
	}
	if resp, err := c.Do(&http.Request{Method: "CONNECT", URL: mustURL(t, carts)}); err != nil || resp.StatusCode != 405 {
		t.Errorf("CONNECT: %v %v", resp, err)
	}
}

func TestClientsThatLeaveAreLoggedAtDebugOnly(t *testing.T) {
	t.Parallel()
	entered := make(chan bool, 2)
	r := one(t, func(w http.ResponseWriter, req *http.Request) {
		if req.URL.Path == "/begun" {
			io.WriteString(w, "begun")
			http.NewResponseController(w).Flush()
		}
		io.Copy(io.Discard, req.Body)
		entered <- true
		<-req.Context().Done()
	})
	for _, c := range []*http.Client{r.client(t), r.client2(t)} {
		for _, path := range []string{"/", "/begun"} {
			leave(t, c, path, entered)
		}
	}
	eventually(t, "all four are noted", func() bool { return len(r.logs.with("level=DEBUG", "client went away")) == 4 })
	if bad := append(r.logs.with("level=WARN"), r.logs.with("level=ERROR")...); len(bad) > 0 {
		t.Errorf("logged: %q", bad)
	}
	m := r.scrape(t)
	if counted(m, `response_code="0"`, `response_flags="DC"`) != "2" || counted(m, `response_code="200"`, `response_flags="DC"`) != "2" {
		t.Errorf("counts: %s", requestLines(m))
	}
}

// leave sends a request and goes away: when the service has it, or on the
// path /begun when the answer has begun.
func leave(t *testing.T, c *http.Client, path string, entered <-chan bool) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	req, _ := http.NewRequestWithContext(ctx, "POST", carts+path, strings.NewReader("body"))
	if path == "/" {
		go func() { <-entered; cancel() }()
	}
	resp, err := c.Do(req)
	if err == nil {
		io.ReadFull(resp.Body, make([]byte, len("begun")))
		<-entered
		cancel()
		_, err = io.ReadAll(resp.Body)
		resp.Body.Close()
	}
	if !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
}
