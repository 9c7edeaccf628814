package e2e

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"

	"github.com/fairwaycd/fairway"
	"github.com/fairwaycd/fairway/kubernetes"
)

// between stands between Fairway and the API server, and makes it ill.
type between struct {
	mu       sync.Mutex
	ill      func(w http.ResponseWriter, r *http.Request) bool // whether it has answered
	requests map[string]int
}

func (b *between) be(ill func(http.ResponseWriter, *http.Request) bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.ill = ill
}

// newBetween returns the way to the cluster through it.
func newBetween(t *testing.T) (*between, *rest.Config) {
	t.Helper()
	c := connected(t)
	through, err := rest.TransportFor(c)
	if err != nil {
		t.Fatal(err)
	}
	to, err := url.Parse(c.Host)
	if err != nil {
		t.Fatal(err)
	}
	b := &between{requests: map[string]int{}}
	proxy := httputil.NewSingleHostReverseProxy(to)
	proxy.Transport, proxy.FlushInterval = through, -1
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b.mu.Lock()
		ill := b.ill
		b.requests[r.Method]++
		b.mu.Unlock()
		if ill == nil || !ill(w, r) {
			proxy.ServeHTTP(w, r)
		}
	}))
	s.EnableHTTP2 = true
	s.StartTLS()
	t.Cleanup(func() { s.CloseClientConnections(); s.Close() })
	return b, &rest.Config{Host: s.URL, TLSClientConfig: rest.TLSClientConfig{Insecure: true}, QPS: 100, Burst: 200}
}

func status(w http.ResponseWriter, code int, reason metav1.StatusReason) {
	w.Header().Set("Content-Type", "application/json")
	if code == http.StatusTooManyRequests {
		w.Header().Set("Retry-After", "1")
	}
	w.WriteHeader(code)
	fmt.Fprintf(w, `{"kind":"Status","apiVersion":"v1","status":"Failure","code":%d,"reason":%q,"message":"the test says so"}`, code, reason)
}

func TestAnAPIServerThatIsIll(t *testing.T) {
	b, config := newBetween(t)
	pt := newPlatformTest(t, func(o *kubernetes.Options) { o.Config = config })
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var n atomic.Int64
	illnesses := map[string]func(http.ResponseWriter, *http.Request) bool{
		"429": func(w http.ResponseWriter, _ *http.Request) bool {
			status(w, 429, metav1.StatusReasonTooManyRequests)
			return true
		},
		"500": func(w http.ResponseWriter, _ *http.Request) bool {
			status(w, 500, metav1.StatusReasonInternalError)
			return true
		},
		"409": func(w http.ResponseWriter, r *http.Request) bool {
			if r.Method == http.MethodGet {
				return false
			}
			status(w, 409, metav1.StatusReasonConflict)
			return true
		},
		"hangs": func(_ http.ResponseWriter, r *http.Request) bool {
			select {
			case <-r.Context().Done():
			case <-ctx.Done():
			}
			return true
		},
		"cut": func(http.ResponseWriter, *http.Request) bool { panic(http.ErrAbortHandler) },
	}
	for name, ill := range illnesses {
		// Every third request fails, whichever it is.
		b.be(func(w http.ResponseWriter, r *http.Request) bool {
			if r.URL.Query().Get("watch") == "true" || n.Add(1)%3 != 0 {
				return false
			}
			return ill(w, r)
		})
		w := pt.workload(fairway.Blue, name, deployment("carts-blue", "1", ""), "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: carts}\ndata: {a: b}\n")
		limit := pt.within(4 * time.Minute)
		if err := pt.p.Apply(limit, w); err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if _, err := pt.p.AwaitReady(limit, w.Instance); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	// All of them fail: whoever asks is told what it is, and to come again.
	b.be(illnesses["500"])
	if err := pt.p.Apply(pt.within(10*time.Second), pt.workload(fairway.Blue, "never", deployment("carts-blue", "1", ""))); !fairway.IsRetryable(err) || fairway.KindOf(err) != fairway.KindUnavailable || !strings.Contains(err.Error(), "the test says so") {
		t.Errorf("all requests fail: %v", err)
	}
	b.be(nil)
	if err := pt.p.Stop(pt.within(time.Minute), "cut"); err != nil && pt.get("Deployment", "carts-blue") != nil {
		t.Error(err)
	}
}

// TestDyingAtEveryPoint ends Apply and Stop at each of their points, as a
// crash does, and has another Fairway do the same again.
func TestDyingAtEveryPoint(t *testing.T) {
	pt := newPlatformTest(t)
	configMap := "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: %s}\ndata: {a: b}\n"
	manifests := func(name string) []string {
		return []string{deployment("carts", "1", ""), fmt.Sprintf(configMap, "of-"+name), fmt.Sprintf(hook, "create")}
	}
	former := ""
	for i, point := range []string{"platform.apply.hooks", "platform.apply.before-workload", "platform.apply.before-prune"} {
		name := fmt.Sprintf("v%d", i)
		dying := pt.start(func(o *kubernetes.Options) {
			o.Failpoint = func(p string) {
				if p == point {
					runtime.Goexit()
				}
			}
		})
		w := pt.workload(fairway.Single, name, manifests(name)...)
		died := make(chan struct{})
		go func() {
			defer close(died)
			if err := dying.Apply(pt.within(time.Minute), w); err != nil {
				t.Errorf("%s: %v", point, err)
			}
		}()
		<-died
		next := pt.start()
		if err := next.Apply(pt.within(time.Minute), w); err != nil {
			t.Fatalf("after %s: %v", point, err)
		}
		if _, err := next.AwaitReady(pt.within(time.Minute), name); err != nil {
			t.Fatalf("after %s: %v", point, err)
		}
		if pt.get("ConfigMap", "of-"+name) == nil || former != "" && pt.get("ConfigMap", "of-"+former) != nil {
			t.Errorf("after %s: a ConfigMap is missing, or one of before is left", point)
		}
		former = name
	}
	dying := pt.start(func(o *kubernetes.Options) {
		o.Failpoint = func(p string) {
			if p == "platform.stop" {
				runtime.Goexit()
			}
		}
	})
	died := make(chan struct{})
	go func() {
		defer close(died)
		_ = dying.Stop(pt.within(time.Minute), former)
	}()
	<-died
	if err := pt.start().Stop(pt.within(time.Minute), former); err != nil {
		t.Fatal(err)
	}
	if pt.get("Deployment", "carts") != nil || pt.get("ConfigMap", "of-"+former) != nil || pt.get("Job", "migrate") != nil {
		t.Error("something is left")
	}
}

// TestRequestsOfADelivery counts what a delivery asks of the API server.
func TestRequestsOfADelivery(t *testing.T) {
	b, config := newBetween(t)
	pt := newPlatformTest(t, func(o *kubernetes.Options) { o.Config = config })
	pt.run(pt.workload(fairway.Blue, "first", deployment("carts-blue", "1", "")))
	count := func() int {
		b.mu.Lock()
		defer b.mu.Unlock()
		n := 0
		for _, v := range b.requests {
			n += v
		}
		return n
	}
	before := count()
	pt.run(pt.workload(fairway.Blue, "second", deployment("carts-blue", "1", "")))
	applied := count()
	if err := pt.p.Stop(pt.within(time.Minute), "second"); err != nil {
		t.Fatal(err)
	}
	t.Logf("%d requests to deliver, %d to stop", applied-before, count()-applied)
	if n := applied - before; n > 10 {
		t.Errorf("a delivery of one object takes %d requests", n)
	}
}
