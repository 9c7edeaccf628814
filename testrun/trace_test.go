package testrun

import (
	"context"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/fairwaycd/fairway"
)

// Health and functional requests belong to the test's trace; a load does not.
func TestTheTraceIsTold(t *testing.T) {
	t.Parallel()
	const parent = "00-0123456789abcdef0123456789abcdef-0123456789abcdef-01"
	var mu sync.Mutex
	got := map[string]string{}
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		got[r.URL.Path] = r.Header.Get("traceparent")
	}))
	t.Cleanup(server.Close)
	r, err := New(Options{})
	if err != nil {
		t.Fatal(err)
	}
	q := Request{
		Strategy: fairway.PerformanceTests, Host: "cart", Address: strings.TrimPrefix(server.URL, "http://"), HealthPath: "/health", Traceparent: parent,
		Files: map[string][]byte{"tests/performance.yaml": []byte("users: 1\niterations: 2\nrequests:\n  - path: /load\n")},
	}
	for _, strategy := range []fairway.TestStrategy{fairway.PerformanceTests, fairway.FunctionalTests} {
		q.Strategy = strategy
		q.Files["tests/functional.yaml"] = []byte("requests:\n  - path: /functional\n")
		if report, err := r.Run(context.WithoutCancel(t.Context()), q); err != nil || !report.Passed {
			t.Fatal(report.Reason, err)
		}
	}
	mu.Lock()
	defer mu.Unlock()
	if got["/health"] != parent || got["/functional"] != parent || got["/load"] != "" {
		t.Errorf("told %v", got)
	}
	if facts := q.facts("functional", "/x"); !slices.Contains(facts, "TRACEPARENT="+parent) {
		t.Errorf("programs are told %v", facts)
	}
}
