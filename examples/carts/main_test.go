package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

func start(t *testing.T, c config) *httptest.Server {
	s := httptest.NewServer(newServer(c))
	t.Cleanup(s.Close)
	return s
}

func ask(t *testing.T, method, url, body string) (int, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, strings.TrimSpace(string(b))
}

// A shopping trip: each request and the answer that it must get.
func TestEndpoints(t *testing.T) {
	t.Parallel()
	s := start(t, config{version: "v7", prometheus: true})
	for _, tc := range []struct {
		method, path, body string
		status             int
		want               string // a pattern
	}{
		{"GET", "/version", "", 200, `^Version = v7$`},
		{"GET", "/health", "", 200, `^\{"health":\[\{"service":"carts","status":"OK","date":"20..-[^"]+"\}\]\}$`},
		{"GET", "/carts/1", "", 200, `^\{"id":"","customerId":"1","items":\[\]\}$`},
		{"GET", "/carts/1/items", "", 200, `^\[\]$`},
		{"POST", "/carts/1/items", `{"itemId":"sock","unitPrice":9.5}`, 201, `^\{"id":"[0-9a-f]{24}","itemId":"sock","quantity":1,"unitPrice":9.5\}$`},
		{"POST", "/carts/1/items", `{"itemId":"sock"}`, 201, `"quantity":2,"unitPrice":9.5`},
		{"POST", "/carts/1/items", `{"itemId":"hat","quantity":5}`, 201, `"quantity":5`},
		{"POST", "/carts/1/items", `{}`, 400, `needs an itemId`},
		{"POST", "/carts/1/items", `sock`, 400, `the body is not an item`},
		{"POST", "/carts/1/items", `"` + strings.Repeat("x", maxBody) + `"`, 400, `too large`},
		{"GET", "/carts/1/items", "", 200, `^\[\{.*"sock".*"hat".*\}\]$`},
		{"GET", "/carts/1/items/sock", "", 200, `"itemId":"sock","quantity":2`},
		{"GET", "/carts/1/items/shoe", "", 404, `no such item`},
		{"PATCH", "/carts/1/items", `{"itemId":"sock","quantity":9}`, 202, `^$`},
		{"PATCH", "/carts/1/items", `{"itemId":"shoe","quantity":9}`, 404, `no such item`},
		{"GET", "/carts/1/items/sock", "", 200, `"quantity":9,"unitPrice":9.5`},
		{"POST", "/carts/s/items", `{"itemId":"hat"}`, 201, ``},
		{"POST", "/carts/s/items", `{"itemId":"tie"}`, 201, ``},
		{"GET", "/carts/1/merge", "", 400, `sessionId is missing`},
		{"GET", "/carts/1/merge?sessionId=s", "", 202, `^$`},
		{"GET", "/carts/1/items/hat", "", 200, `"quantity":6`},
		{"GET", "/carts/1/items/tie", "", 200, `"quantity":1`},
		{"GET", "/carts/s", "", 200, `"items":\[\]`},
		{"DELETE", "/carts/1/items/hat", "", 202, `^$`},
		{"GET", "/carts/1/items/hat", "", 404, ``},
		{"DELETE", "/carts/1", "", 202, `^$`},
		{"GET", "/carts/1/items", "", 200, `^\[\]$`},
		{"GET", "/carts/1/items/health", "", 200, `^OK$`},
		{"GET", "/carts/1/items/delay/x", "", 400, `delay in milliseconds: \\"x\\" is not a whole number in 0..60000`},
		{"GET", "/carts/1/items/promotion/101", "", 400, `in 0..100`},
		{"GET", "/carts/1/items/promotion/100", "", 200, ``},
		{"POST", "/carts/1/items", `{"itemId":"sock"}`, 500, `the promotion failed`},
		{"GET", "/carts/1/items/promotion/0", "", 200, ``},
		{"POST", "/carts/1/items", `{"itemId":"sock"}`, 201, ``},
		{"GET", "/metrics", "", 200, `requests_total 10`},
		{"GET", "/nowhere", "", 404, ``},
		{"PUT", "/carts/1", "", 405, ``},
	} {
		status, body := ask(t, tc.method, s.URL+tc.path, tc.body)
		if status != tc.status || !regexp.MustCompile(tc.want).MatchString(body) {
			t.Errorf("%s %s %.40s: %d %s\nwant %d %s", tc.method, tc.path, tc.body, status, body, tc.status, tc.want)
		}
	}
}

var metricLine = regexp.MustCompile(`(?m)^(\w+(?:\{le="[^"]+"\})?) (\S+)$`)

func scrape(t *testing.T, url string) map[string]float64 {
	t.Helper()
	_, body := ask(t, "GET", url+"/prometheus", "")
	values := map[string]float64{}
	for _, m := range metricLine.FindAllStringSubmatch(body, -1) {
		v, err := strconv.ParseFloat(m[2], 64)
		if err != nil {
			t.Errorf("%s: %v", m[0], err)
		}
		values[m[1]] = v
	}
	return values
}

func TestOnlyAddingItemsIsMeasuredAndTheDelayCounts(t *testing.T) {
	t.Parallel()
	s := start(t, config{prometheus: true})
	if v := scrape(t, s.URL); v["requests_total"] != 0 || len(v) != 18 {
		t.Errorf("before the first request: %v", v)
	}
	add := func() { ask(t, "POST", s.URL+"/carts/1/items", `{"itemId":"sock"}`) }
	add()
	ask(t, "GET", s.URL+"/carts/1", "")
	ask(t, "GET", s.URL+"/carts/1/items/delay/60", "")
	add()
	v := scrape(t, s.URL)
	if v["requests_total"] != 2 || v["requests_latency_seconds_count"] != 2 || v[`requests_latency_seconds_bucket{le="+Inf"}`] != 2 {
		t.Errorf("after two items: %v", v)
	}
	if sum := v["requests_latency_seconds_sum"]; sum < 0.06 || sum > 30 {
		t.Errorf("sum %v", sum)
	}
	if v[`requests_latency_seconds_bucket{le="0.05"}`] > 1 {
		t.Errorf("a call that slept 60 ms is in the bucket of 50 ms: %v", v)
	}
	last := 0.0
	for _, b := range buckets {
		n, ok := v[fmt.Sprintf("requests_latency_seconds_bucket{le=%q}", number(b))]
		if !ok || n < last {
			t.Errorf("bucket %v: %v after %v", b, n, last)
		}
		last = n
	}
}

func TestCallsGivenUpAreNotMeasured(t *testing.T) {
	t.Parallel()
	c := newServer(config{delay: maxDelay * time.Millisecond, prometheus: true})
	ended := make(chan struct{})
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == "POST" {
			defer close(ended)
		}
		c.ServeHTTP(w, r)
	}))
	defer s.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, "POST", s.URL+"/carts/1/items", strings.NewReader(`{"itemId":"sock"}`))
	if err != nil {
		t.Fatal(err)
	}
	if resp, err := http.DefaultClient.Do(req); err == nil {
		resp.Body.Close()
		t.Fatal("answered")
	}
	<-ended
	if v := scrape(t, s.URL); v["requests_total"] != 0 {
		t.Errorf("%v", v)
	}
}

func TestMetricsCanBeSwitchedOff(t *testing.T) {
	t.Parallel()
	s := start(t, config{})
	if status, _ := ask(t, "GET", s.URL+"/prometheus", ""); status != 404 {
		t.Errorf("status %d", status)
	}
}

func TestTheStoreIsBounded(t *testing.T) {
	t.Parallel()
	s := newStore(2)
	for _, customer := range []string{"a", "b", "a", "c"} {
		if _, err := s.add(customer, item{ItemID: "sock"}); err != nil {
			t.Fatal(err)
		}
	}
	if len(s.carts) != 2 || s.used.Len() != 2 || len(s.cart("b").Items) != 0 || s.cart("a").Items[0].Quantity != 2 {
		t.Errorf("b was unused longest: %v", s.carts)
	}
	for i := range maxItems {
		_, err := s.add("a", item{ItemID: strconv.Itoa(i)})
		if full := i == maxItems-1; (err != nil) != full {
			t.Fatalf("item %d: %v", i, err)
		}
	}
}

func TestTheStoreUnderManyCustomers(t *testing.T) {
	t.Parallel()
	s := newStore(5)
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			name := strconv.Itoa(i)
			for range 200 {
				s.add(name, item{ItemID: "x"})
				s.cart(name)
				s.merge("0", name)
				s.removeItem(name, "x")
			}
		})
	}
	wg.Wait()
	if len(s.carts) > 5 || len(s.carts) != s.used.Len() {
		t.Errorf("%d carts, %d in order", len(s.carts), s.used.Len())
	}
}

func TestConfig(t *testing.T) {
	t.Parallel()
	got, err := parseConfig("# v2\n\nversion = v2\ndelayInMillis=1000\r\npromotionRate=5\nendpoints.prometheus.enabled=false\n")
	if want := (config{"v2", time.Second, 5, false}); err != nil || got != want {
		t.Errorf("%+v, %v", got, err)
	}
	for text, want := range map[string]string{
		"version":                           `application.properties:1: "version" has no =`,
		"\ndelayInMilis=1":                  "application.properties:2: delayInMilis is not a property; use version, delayInMillis",
		"delayInMillis=1s":                  `delayInMillis: "1s" is not a whole number in 0..60000`,
		"promotionRate=-1":                  "promotionRate: \"-1\" is not a whole number in 0..100",
		"endpoints.prometheus.enabled=perh": "endpoints.prometheus.enabled: \"perh\" is neither true nor false",
	} {
		if _, err := parseConfig(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v\nwant %s", text, err, want)
		}
	}
	if _, err := parseConfig(properties); err != nil {
		t.Error(err)
	}
	if release() == "" || strings.ContainsAny(release(), " \n") {
		t.Errorf("release %q", release())
	}
}

func TestBadPorts(t *testing.T) {
	t.Parallel()
	taken, err := net.Listen("tcp", ":0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	_, port, _ := net.SplitHostPort(taken.Addr().String())
	for value, want := range map[string]string{"http": "PORT is \"http\"; set it to a number", port: "address already in use; stop what uses the port, or set PORT"} {
		if err := run(t.Context(), value, slog.New(slog.DiscardHandler)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v\nwant %s", err, want)
		}
	}
}

func TestRequestsUnderWayAreFinished(t *testing.T) {
	t.Parallel()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	arrived := make(chan struct{})
	carts := newServer(config{delay: 200 * time.Millisecond})
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		close(arrived)
		carts.ServeHTTP(w, r)
	})
	ended := make(chan error, 1)
	go func() { ended <- serve(ctx, listener, handler, slog.New(slog.DiscardHandler)) }()
	go func() {
		<-arrived
		stop()
	}()
	status, body := ask(t, "POST", "http://"+listener.Addr().String()+"/carts/1/items", `{"itemId":"sock"}`)
	if status != 201 {
		t.Errorf("%d %s", status, body)
	}
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

// The objectives are those of the walk-through: the slow version must break
// them, and a fast one must not.
func TestPerfspec(t *testing.T) {
	t.Parallel()
	for _, file := range []string{"perfspec/perfspec.json", "perfspec/perfspec_dynatrace.json"} {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var spec struct {
			Version    string `json:"spec_version"`
			Indicators []struct{ ID, Source string }
			Objectives struct{ Pass, Warning int }
		}
		if err := json.Unmarshal(data, &spec); err != nil || spec.Version != "1.0" || len(spec.Indicators) != 1 || spec.Objectives.Pass != 90 {
			t.Errorf("%s: %+v, %v", file, spec, err)
		}
	}
}
