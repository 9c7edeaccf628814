package harness

import (
	"bytes"
	"crypto/tls"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"regexp"
	"strings"
	"sync"
	"testing"

	"github.com/fairwaycd/fairway/e2e/cluster"
)

// Proxy stands before the apiserver. It passes everything on until it is told
// to answer otherwise.
type Proxy struct {
	Kubeconfig string // of the administrator, by way of the proxy

	mu    sync.Mutex
	fault func(*http.Request) int
	hits  int
	over  chan struct{} // closed when requests that hang are let go
}

// Hang is a fault that is no answer at all.
const Hang = -1

var serverLine = regexp.MustCompile(`server: "?([^",}\s]+)"?`)

// NewProxy starts a proxy, which ends with the test.
func NewProxy(t testing.TB, c *cluster.Cluster) *Proxy {
	t.Helper()
	config, err := os.ReadFile(c.Kubeconfig())
	if err != nil {
		t.Fatal(err)
	}
	line := serverLine.FindSubmatch(config)
	if line == nil {
		t.Fatalf("%s names no server", c.Kubeconfig())
	}
	target, err := url.Parse(string(line[1]))
	if err != nil {
		t.Fatal(err)
	}
	p := &Proxy{over: make(chan struct{})}
	pass := httputil.NewSingleHostReverseProxy(target)
	pass.FlushInterval = -1 // watches
	// The proxy is trusted by its place, and port-forwarding needs HTTP/1.1.
	pass.Transport = &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, MaxIdleConnsPerHost: 64}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch code := p.judge(r); code {
		case 0:
			pass.ServeHTTP(w, r)
		case Hang:
			select {
			case <-r.Context().Done():
			case <-p.well():
				// Whoever waited that long is cut off: the connection is of no use.
				panic(http.ErrAbortHandler)
			}
		default:
			w.Header().Set("Content-Type", "application/json")
			if code == http.StatusTooManyRequests {
				w.Header().Set("Retry-After", "1")
			}
			w.WriteHeader(code)
			fmt.Fprintf(w, `{"kind":"Status","apiVersion":"v1","status":"Failure","message":"ill for a test","reason":%q,"code":%d}`, reasons[code], code)
		}
	}))
	t.Cleanup(server.Close)
	t.Cleanup(p.Heal)
	// A kubeconfig for plain HTTP cannot carry a token, so the proxy adds it.
	token := regexp.MustCompile(`token: "?([^"}\s]+)"?`).FindSubmatch(config)
	if token == nil {
		t.Fatalf("%s holds no token", c.Kubeconfig())
	}
	direct := pass.Director
	pass.Director = func(r *http.Request) {
		direct(r)
		r.Header.Set("Authorization", "Bearer "+string(token[1]))
	}
	p.Kubeconfig = t.TempDir() + "/kubeconfig"
	if err := os.WriteFile(p.Kubeconfig, plain(server.URL), 0o600); err != nil {
		t.Fatal(err)
	}
	return p
}

func plain(server string) []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "apiVersion: v1\nkind: Config\nclusters: [{name: proxy, cluster: {server: %q}}]\nusers: [{name: nobody, user: {}}]\n", server)
	b.WriteString("contexts: [{name: proxy, context: {cluster: proxy, user: nobody}}]\ncurrent-context: proxy\n")
	return b.Bytes()
}

var reasons = map[int]string{409: "Conflict", 429: "TooManyRequests", 500: "InternalError"}

// Fail has the proxy ask f about each request: 0 passes it on, [Hang] holds
// it, all else is the answer's status. nil passes everything on.
func (p *Proxy) Fail(f func(*http.Request) int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.fault, p.hits = f, 0
}

// Heal has everything passed on, and ends the requests that hang.
func (p *Proxy) Heal() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.fault = nil
	close(p.over)
	p.over = make(chan struct{})
}

func (p *Proxy) well() <-chan struct{} {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.over
}

// Hits is how many requests were not passed on since the last Fail.
func (p *Proxy) Hits() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.hits
}

func (p *Proxy) judge(r *http.Request) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.fault == nil {
		return 0
	}
	code := p.fault(r)
	if code != 0 {
		p.hits++
	}
	return code
}

// Writes makes a fault of the next n requests that change something other than
// leases and events.
func Writes(n, code int) func(*http.Request) int {
	return func(r *http.Request) int {
		change := r.Method == http.MethodPatch || r.Method == http.MethodPut || r.Method == http.MethodPost || r.Method == http.MethodDelete
		if !change || strings.Contains(r.URL.Path, "/portforward") || n == 0 {
			return 0
		}
		n--
		return code
	}
}
