package testrun

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
	"sync/atomic"
	"testing"
	"time"

	"github.com/fairwaycd/fairway"
)

// service answers like a version under test and remembers who asked.
type service struct {
	*httptest.Server
	mu    sync.Mutex
	hosts map[string]int
	runs  map[string]int
	adds  atomic.Int64
}

func newService(t *testing.T) *service {
	s := &service{hosts: map[string]int{}, runs: map[string]int{}}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /health", func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, `{"status":"OK"}`) })
	mux.HandleFunc("POST /items", func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		w.Header().Set("Content-Type", r.Header.Get("Content-Type"))
		w.Header().Set("X-Tenant", r.Header.Get("X-Tenant"))
		w.WriteHeader(http.StatusCreated)
		fmt.Fprintf(w, `{"item": %s, "count": %d, "big": 9007199254740993, "list": [{"a/b~": 1.50}], "none": null, "yes": true, "text": "1"}`, body, s.adds.Add(1))
	})
	mux.HandleFunc("GET /broken", func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(http.StatusInternalServerError)
		io.WriteString(w, "out of\nmemory \x1b[31m"+strings.Repeat("x", 500))
	})
	mux.HandleFunc("GET /moved", func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/health", http.StatusFound) })
	mux.HandleFunc("GET /text", func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "Version = v1") })
	mux.HandleFunc("GET /two", func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "{} {}") })
	mux.HandleFunc("GET /empty", func(w http.ResponseWriter, r *http.Request) {})
	mux.HandleFunc("GET /huge", func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, strings.Repeat("y", maxBody+1)) })
	mux.HandleFunc("GET /hangs", func(w http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	mux.HandleFunc("GET /stalls", func(w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, "half an ans")
		w.(http.Flusher).Flush()
		<-r.Context().Done()
	})
	mux.HandleFunc("GET /drops", func(w http.ResponseWriter, r *http.Request) { panic(http.ErrAbortHandler) })
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		s.hosts[r.Host]++
		s.runs[r.Header.Get(RunHeader)]++
		s.mu.Unlock()
		mux.ServeHTTP(w, r)
	}))
	t.Cleanup(s.Close)
	return s
}

const host = "carts-green.staging.localhost"

func (s *service) request(strategy fairway.TestStrategy, file, text string) Request {
	q := Request{Strategy: strategy, Host: host, Address: s.Listener.Addr().String(), RunID: "d1/staging/1"}
	if file != "" {
		q.Files = map[string][]byte{file: []byte(text)}
	}
	return q
}

func mustRun(t *testing.T, q Request) fairway.TestReport {
	t.Helper()
	report, err := newRunner(t, Options{}).Run(t.Context(), q)
	if err != nil {
		t.Fatal(err)
	}
	return report
}

func TestWithoutFilesTheHealthPathAloneIsAsked(t *testing.T) {
	t.Parallel()
	for strategy, file := range map[fairway.TestStrategy]string{fairway.FunctionalTests: FunctionalFile, fairway.PerformanceTests: PerformanceFile} {
		s := newService(t)
		report := mustRun(t, s.request(strategy, "", ""))
		if !report.Passed || len(report.Checks) != 1 || report.Checks[0].Name != "health" || report.Checks[0].Requests != 1 {
			t.Errorf("%s: %+v", strategy, report)
		}
		if len(report.Notes) != 1 || !strings.Contains(report.Notes[0], "the service has no "+file+": only its health path /health was asked") {
			t.Errorf("%s: notes %q", strategy, report.Notes)
		}
		if !strings.Contains(report.Reason, report.Notes[0]) {
			t.Errorf("%s: reason %q hides the note", strategy, report.Reason)
		}
	}
	s := newService(t)
	if report := mustRun(t, s.request(fairway.NoTests, "", "")); !report.Passed || len(report.Notes) != 0 {
		t.Errorf("no tests: %+v", report)
	}
}

func TestTheHealthPathMustAnswer2xx(t *testing.T) {
	t.Parallel()
	s := newService(t)
	for path, want := range map[string]string{
		"/broken": "health: health check (GET /broken) answered 500 Internal Server Error, expected a 2xx; body: out of memory  [31mxxx",
		"/moved":  "health: health check (GET /moved) answered 302 Found, expected a 2xx",
		"/gone?x": "health: health check (GET /gone?x) answered 404 Not Found, expected a 2xx; body: 404 page not found",
		"/drops":  "health: health check (GET /drops) got no answer: the connection was closed before the answer was complete",
	} {
		q := s.request(fairway.FunctionalTests, FunctionalFile, "requests: [{path: /health}]")
		q.HealthPath = path
		report := mustRun(t, q)
		if report.Passed || !strings.HasPrefix(report.Reason, want) || len(report.Checks) != 1 || len(report.Reason) > 400 {
			t.Errorf("%s: %+v\nwant %s", path, report, want)
		}
	}
}

func TestEveryExpectationThatHolds(t *testing.T) {
	t.Parallel()
	s := newService(t)
	before := time.Now()
	report := mustRun(t, s.request(fairway.FunctionalTests, FunctionalFile, `requests:
  - name: add item
    method: POST
    path: /items
    headers: {x-tenant: sock shop}
    body: '{"itemId": "sock"}'
    expect:
      status: 201
      json: {/item/itemId: sock, /count: 1.0, /big: 9007199254740993, /list/0/a~1b~0: 1.5, /none: null, /yes: true, /text: '1'}
      headers: {Content-Type: application/json, X-TENANT: sock shop}
      contains: '"itemId": "sock"'
      within: 30s
  - path: /text
    expect: {contains: Version =}
  - path: /moved
    expect: {status: 302, headers: {Location: /health}}
  - path: /broken
    expect: {status: 500}
  - path: /empty
  - path: /huge
`))
	if !report.Passed || report.Reason == "" || len(report.Checks) != 2 || report.Checks[1].Requests != 6 || report.Checks[1].Errors != 0 {
		t.Fatalf("%+v", report)
	}
	if s.hosts[host] != 7 || len(s.hosts) != 1 || s.runs["d1/staging/1"] != 7 || len(s.runs) != 1 {
		t.Errorf("hosts %v, runs %v", s.hosts, s.runs)
	}
	w := report.Window
	if w.Start.Before(before) || w.End.After(time.Now()) || w.Start != report.Checks[0].Window.Start || w.End != report.Checks[1].Window.End || w.Duration() <= 0 {
		t.Errorf("window %+v", w)
	}
}

func TestEveryExpectationThatFails(t *testing.T) {
	t.Parallel()
	s := newService(t)
	for _, tc := range []struct{ request, want string }{
		{"{path: /broken}", "GET /broken answered 500 Internal Server Error, expected a 2xx; body: out of memory"},
		{"{path: /moved}", "GET /moved answered 302 Found, expected a 2xx"},
		{"{path: /health, expect: {status: 201}}", "GET /health answered 200 OK, expected 201 Created; body: {\"status\":\"OK\"}"},
		{"{name: look, path: /text, expect: {contains: v2}}", `look (GET /text) answered 200 OK, but without "v2"; body: Version = v1`},
		{"{path: /health, expect: {json: {/status: UP}}}", `answered 200 OK, but /status is "OK", expected "UP"; body`},
		{"{path: /health, expect: {json: {/state: UP}}}", `but /state is missing, expected "UP"`},
		{"{path: /health, expect: {json: {/status/0: UP}}}", `but /status/0 is missing`},
		{"{path: /health, expect: {json: {'': UP}}}", `but the document is {"status":"OK"}, expected "UP"`},
		{"{path: /text, expect: {json: {/a: 1}}}", "but the body is not JSON: invalid character 'V'"},
		{"{path: /empty, expect: {json: {/a: 1}}}", "but the body is not JSON: the connection was closed"},
		{"{path: /two, expect: {json: {/a: 1}}}", "but the body is not JSON: something follows the first value"},
		{"{path: /huge, expect: {contains: z}}", "but with more than 1048576 bytes"},
		{"{path: /items, method: POST, body: '{}', expect: {json: {/text: 1}}}", `but /text is "1", expected 1`},
		{"{path: /items, method: POST, body: '{}', expect: {json: {/big: 9007199254740992}}}", "but /big is 9007199254740993, expected 9007199254740992"},
		{"{path: /items, method: POST, body: '{}', expect: {json: {/list/00/a: 1}}}", "but /list/00/a is missing"},
		{"{path: /items, method: POST, body: '{}', expect: {json: {/list/-1: 1}}}", "but /list/-1 is missing"},
		{"{path: /items, method: POST, body: '{}', expect: {json: {/item: null}}}", "but /item is {}, expected null"},
		{"{path: /health, expect: {headers: {X-Kind: a}}}", `but header X-Kind is missing, expected "a"`},
		{"{path: /text, expect: {headers: {Content-Type: text/html}}}", `but header Content-Type is "text/plain; charset=utf-8", expected "text/html"`},
		{"{path: /hangs, timeout: 20ms}", "GET /hangs got no whole answer within "},
		{"{path: /stalls, timeout: 50ms}", "; it began with status 200 OK, body: half an ans"},
		{"{path: /drops}", "GET /drops got no answer: the connection was closed before the answer was complete"},
	} {
		report := mustRun(t, s.request(fairway.FunctionalTests, FunctionalFile, "requests:\n  - "+tc.request))
		if report.Passed || !strings.HasPrefix(report.Reason, "functional: ") || !strings.Contains(report.Reason, tc.want) {
			t.Errorf("%s: %q\nwant %q", tc.request, report.Reason, tc.want)
		}
	}
}

func TestAnAnswerThatComesTooLate(t *testing.T) {
	t.Parallel()
	kind, text := Expect{Within: 2 * time.Second}.judge(answer{status: 200}, 2300*time.Millisecond)
	if kind != failAnswer || text != "answered 200 OK after 2.3s, expected within 2s" {
		t.Errorf("%s: %s", kind, text)
	}
}

func TestAFunctionalTestNamesAllThatFailed(t *testing.T) {
	t.Parallel()
	s := newService(t)
	report := mustRun(t, s.request(fairway.FunctionalTests, FunctionalFile,
		"requests: [{path: /health}, {name: first, path: /broken}, {name: second, path: /moved}, {path: /drops}, {path: /never}]"))
	if c := report.Checks[1]; c.Requests != 4 || c.Errors != 3 {
		t.Errorf("%d requests, %d errors: a test goes on after a wrong answer, and stops where there is none", c.Requests, c.Errors)
	}
	if want := "functional: first (GET /broken) answered 500"; !strings.HasPrefix(report.Reason, want) || !strings.HasSuffix(report.Reason, "; 2 more failed: second, GET /drops") {
		t.Errorf("reason %q", report.Reason)
	}
}

func TestAFunctionalTestEndsAtATimeout(t *testing.T) {
	t.Parallel()
	s := newService(t)
	report := mustRun(t, s.request(fairway.FunctionalTests, FunctionalFile, "requests: [{path: /hangs, timeout: 10ms}, {path: /health}]"))
	if c := report.Checks[1]; c.Requests != 1 || c.Passed {
		t.Errorf("%+v", c)
	}
}

func TestAPerformanceTest(t *testing.T) {
	t.Parallel()
	s := newService(t)
	report := mustRun(t, s.request(fairway.PerformanceTests, PerformanceFile, `users: 5
iterations: 20
think: 1ms
rampUp: 10ms
requests:
  - {method: POST, path: /items, body: '{"itemId": "sock"}', expect: {status: 201}}
  - {path: /text}
limits: {errors: 0%, p95: 30s, max: 30s}
`))
	c := report.Checks[1]
	if !report.Passed || c.Name != "performance" || c.Users != 5 || c.Requests != 200 || c.Errors != 0 || s.adds.Load() != 100 {
		t.Errorf("%+v, %d items added", report, s.adds.Load())
	}
	if l := c.Latency; l == nil || l.Mean <= 0 || l.P50 > l.P90 || l.P90 > l.P95 || l.P95 > l.P99 || l.P99 > l.Max {
		t.Errorf("latency %+v", c.Latency)
	}
	if !strings.Contains(report.Reason, "performance: 200 requests by 5 users in ") {
		t.Errorf("reason %q", report.Reason)
	}
	if s.hosts[host] != 201 || s.runs["d1/staging/1"] != 201 {
		t.Errorf("hosts %v, runs %v", s.hosts, s.runs)
	}
}

func TestAPerformanceTestThatFails(t *testing.T) {
	t.Parallel()
	s := newService(t)
	const load = "users: 4\nthink: 1ms\nrampUp: 1ms\n"
	for _, tc := range []struct{ name, text, want string }{
		{"all 500s, by duration", load + "duration: 200ms\nrequests: [{name: ask, path: /broken}]",
			"requests failed (100%, limit 1%): "},
		{"all 500s, by iterations", load + "iterations: 100\nrequests: [{name: ask, path: /broken}]",
			"performance: ended early, since 5 errors are more than 1% of the 400 planned requests; 5 of 5 requests failed (100%, limit 1%): 5 status; the first: ask (GET /broken) answered 500 Internal Server Error, expected a 2xx; body: out of memory"},
		{"half of them", load + "iterations: 2\nrequests: [{path: /text}, {path: /broken}]\nlimits: {errors: 49%}",
			"ended early, since 8 errors are more than 49% of the 16 planned requests"},
		{"kinds", "users: 1\niterations: 1\nthink: 1ms\nrequests: [{path: /broken}, {path: /drops}, {path: /hangs, timeout: 20ms}, {path: /text, expect: {contains: v2}}]\nlimits: {errors: 99%}",
			"4 of 4 requests failed (100%, limit 99%): 1 status, 1 answer, 1 timeout, 1 connection; the first: GET /broken"},
		{"limits", load + "iterations: 5\nrequests: [{path: /text}]\nlimits: {mean: 1us, p50: 1us, p90: 1us, p95: 1us, p99: 1us, max: 1us}",
			"limit 1µs; p50 is "},
	} {
		report := mustRun(t, s.request(fairway.PerformanceTests, PerformanceFile, tc.text))
		if report.Passed || !strings.Contains(report.Reason, tc.want) {
			t.Errorf("%s: %q\nwant %q", tc.name, report.Reason, tc.want)
		}
		for _, name := range []string{"mean is", "p90 is", "p95 is", "p99 is", "max is"} {
			if tc.name == "limits" && !strings.Contains(report.Reason, name) {
				t.Errorf("%q does not name %s", report.Reason, name)
			}
		}
	}
	within := "errors: 50%"
	report := mustRun(t, s.request(fairway.PerformanceTests, PerformanceFile, load+"iterations: 2\nrequests: [{path: /text}, {path: /broken}]\nlimits: {"+within+"}"))
	if !report.Passed || report.Checks[1].Errors != 8 {
		t.Errorf("a share of errors at the limit passes: %+v", report)
	}
}

func TestInterruptedTestsAreErrors(t *testing.T) {
	t.Parallel()
	for _, strategy := range []struct {
		name       fairway.TestStrategy
		file, text string
	}{
		{fairway.NoTests, "", ""},
		{fairway.FunctionalTests, FunctionalFile, "requests: [{path: /hangs}]"},
		{fairway.PerformanceTests, PerformanceFile, "think: 1ms\nrequests: [{path: /hangs}]"},
	} {
		ctx, cancel := context.WithCancelCause(t.Context())
		gone := errors.New("the delivery was aborted")
		asked := make(chan struct{})
		var once sync.Once
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/hangs" || strategy.name == fairway.NoTests {
				once.Do(func() { close(asked) })
				<-r.Context().Done()
			}
		}))
		go func() {
			<-asked
			cancel(gone)
		}()
		q := Request{Strategy: strategy.name, Host: host, Address: server.Listener.Addr().String(), Files: map[string][]byte{strategy.file: []byte(strategy.text)}}
		_, err := newRunner(t, Options{}).Run(ctx, q)
		if !errors.Is(err, gone) || !strings.Contains(err.Error(), "is to be run again whole") || fairway.KindOf(err) != fairway.KindUnavailable {
			t.Errorf("%s: %v", strategy.name, err)
		}
		server.Close()
	}
}

func TestAGatewayThatIsDownSaysNothingAboutTheVersion(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := l.Addr().String()
	l.Close()
	_, err = newRunner(t, Options{GatewayAddr: address}).Run(t.Context(), Request{Host: host})
	if !fairway.IsRetryable(err) || fairway.KindOf(errors.Unwrap(err)) != fairway.KindUnavailable || !strings.Contains(err.Error(), "the gateway at "+address) {
		t.Errorf("%v", err)
	}
}

func TestBadRequestsSendNothing(t *testing.T) {
	t.Parallel()
	s := newService(t)
	for want, change := range map[string]func(*Request){
		"host is not a host":                   func(q *Request) { q.Host = "" },
		`host "a b" is not a host`:             func(q *Request) { q.Host = "a b" },
		`host "a/b" is not a host`:             func(q *Request) { q.Host = "a/b" },
		`address "here" is not HOST:PORT`:      func(q *Request) { q.Address = "here" },
		`health path "health" is not a path`:   func(q *Request) { q.HealthPath = "health" },
		"has a line break":                     func(q *Request) { q.RunID = "a\nb" },
		`test_strategy "smoke" is not a value`: func(q *Request) { q.Strategy = "smoke" },
		"tests/functional.yaml:1:12: requests[0].path is missing": func(q *Request) {
			q.Files = map[string][]byte{FunctionalFile: []byte("requests: [{name: x}]")}
		},
	} {
		q := s.request(fairway.FunctionalTests, "", "")
		change(&q)
		_, err := newRunner(t, Options{}).Run(t.Context(), q)
		if err == nil || fairway.KindOf(err) != fairway.KindInvalid || !strings.Contains(err.Error(), want) {
			t.Errorf("%v\nwant %s", err, want)
		}
	}
	if len(s.hosts) != 0 {
		t.Errorf("asked anyway: %v", s.hosts)
	}
}

func TestProgressIsReported(t *testing.T) {
	t.Parallel()
	s := newService(t)
	q := s.request(fairway.PerformanceTests, PerformanceFile, "users: 2\nduration: 700ms\nthink: 1ms\nrequests: [{path: /text}]")
	var seen []Progress
	q.Progress = func(p Progress) { seen = append(seen, p) }
	if report := mustRun(t, q); !report.Passed {
		t.Fatal(report.Reason)
	}
	if len(seen) == 0 || len(seen) > 3 {
		t.Fatalf("%d reports in 0.7 s", len(seen))
	}
	if p := seen[len(seen)-1]; p.Check != "performance" || p.Requests == 0 || p.Total != 700*time.Millisecond || p.Elapsed == 0 {
		t.Errorf("%+v", p)
	}
}

func TestConnectionsAreKept(t *testing.T) {
	t.Parallel()
	s := newService(t)
	var dialled atomic.Int64
	r := newRunner(t, Options{Dial: func(ctx context.Context, network, address string) (net.Conn, error) {
		dialled.Add(1)
		return (&net.Dialer{}).DialContext(ctx, network, address)
	}})
	q := s.request(fairway.PerformanceTests, PerformanceFile, "users: 5\niterations: 50\nthink: 0\nrampUp: 0\nrequests: [{path: /text}]")
	if report, err := r.Run(t.Context(), q); err != nil || !report.Passed {
		t.Fatal(report, err)
	}
	if n := dialled.Load(); n > 10 {
		t.Errorf("%d connections for 5 users", n)
	}
}
