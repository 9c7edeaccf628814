package testrun

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/fairwaycd/fairway"
)

const fullFunctional = `# what the service must do
requests:
  - name: add item
    method: POST
    path: /carts/1/items?x=1
    headers: {accept: application/json, X-Tenant: 007}
    body: '{"itemId": "sock"}'
    timeout: 10s
    expect:
      status: 201
      json: {/itemId: sock, /quantity: 1, /price: 9.50, /since: 2019-01-01, /gone: null, /ok: true, /code: '1e3', "": x}
      headers: {content-type: application/json}
      contains: sock
      within: 2s
  - path: /health
`

func TestParseFunctional(t *testing.T) {
	t.Parallel()
	got, err := ParseFunctional(FunctionalFile, []byte(fullFunctional))
	if err != nil {
		t.Fatal(err)
	}
	want := Functional{Requests: []Call{
		{
			Name: "add item", Method: "POST", Path: "/carts/1/items?x=1",
			Headers: map[string]string{"Accept": "application/json", "X-Tenant": "007", "Content-Type": "application/json"},
			Body:    `{"itemId": "sock"}`, Timeout: 10 * time.Second,
			Expect: Expect{
				Status: 201, Contains: "sock", Within: 2 * time.Second,
				Headers: map[string]string{"Content-Type": "application/json"},
				JSON: []Member{
					{"/itemId", "sock"}, {"/quantity", json.Number("1")}, {"/price", json.Number("9.5")}, {"/since", "2019-01-01"},
					{"/gone", nil}, {"/ok", true}, {"/code", "1e3"}, {"", "x"},
				},
			},
		},
		{Name: "GET /health", Method: "GET", Path: "/health", Timeout: DefaultTimeout},
	}}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
}

func TestParsePerformance(t *testing.T) {
	t.Parallel()
	one := []Call{{Name: "GET /", Method: "GET", Path: "/", Timeout: DefaultTimeout}}
	for name, tc := range map[string]struct {
		text string
		want Performance
	}{
		"defaults": {"requests: [{path: /}]", Performance{
			Users: 10, Iterations: 500, Think: 250 * time.Millisecond, RampUp: time.Second, Requests: one, Limits: Limits{Errors: 0.01}}},
		"iterations": {"users: 3\niterations: 7\nthink: 0\nrampUp: 0s\nrequests: [{path: /}]\nlimits: {errors: 0%}", Performance{
			Users: 3, Iterations: 7, Requests: one}},
		"duration": {"duration: 10s\nrequests: [{path: /}]\nlimits: {errors: 2.5%, mean: 1s, p50: 1ms, p90: 2ms, p95: 3ms, p99: 4ms, max: 5m}", Performance{
			Users: 10, Duration: 10 * time.Second, Think: 250 * time.Millisecond, RampUp: time.Second, Requests: one,
			Limits: Limits{Errors: 0.025, Mean: time.Second, P50: time.Millisecond, P90: 2 * time.Millisecond, P95: 3 * time.Millisecond, P99: 4 * time.Millisecond, Max: 5 * time.Minute}}},
		"a default ramp-up fits a short duration": {"duration: 400ms\nrequests: [{path: /}]", Performance{
			Users: 10, Duration: 400 * time.Millisecond, Think: 250 * time.Millisecond, RampUp: 200 * time.Millisecond, Requests: one, Limits: Limits{Errors: 0.01}}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := ParsePerformance(PerformanceFile, []byte(tc.text))
			if err != nil {
				t.Fatal(err)
			}
			if !reflect.DeepEqual(got, tc.want) {
				t.Errorf("got  %+v\nwant %+v", got, tc.want)
			}
		})
	}
}

func TestAnAliasStandsForWhatItNames(t *testing.T) {
	t.Parallel()
	f, err := ParseFunctional(FunctionalFile, []byte("requests:\n  - &first {path: /a}\n  - *first\n"))
	if err != nil || len(f.Requests) != 2 || f.Requests[1].Path != "/a" {
		t.Errorf("%+v, %v", f, err)
	}
}

// Each mistake is answered with its place, its field and a remedy.
func TestMistakes(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct{ text, at, want string }{
		{"", "1:1", "is empty; list at least one request"},
		{"# only a comment\n", "1:1", "is empty"},
		{"requests: [", "1:1", "is not YAML"},
		{"requests:\n- path: /\n- path: /b\n bad\n", "4:1", "is not YAML"},
		{"a: b\n c: d\n", "2:1", "is not YAML: mapping values are not allowed"},
		{"requests: [{path: /}]\n---\nrequests: []\n", "2:1", "is a second YAML document"},
		{"- path: /\n", "1:1", "is not a mapping"},
		{"{}", "1:1", "requests is missing; add it"},
		{"requests:\n", "1:1", "requests has no value"},
		{"requests: []", "1:11", "is not a list of 1 to 1000 elements"},
		{"requests: [{path: /}]\nrequest: 1", "2:1", "request is not a key of this file; use one of requests"},
		{"requests: [{path: /}]\nrequests: [{path: /}]", "2:1", "is given twice, first in line 1"},
		{"requests:\n  - {method: POST}", "2:5", "requests[0].path is missing"},
		{"requests:\n  - path: carts", "2:11", "requests[0].path \"carts\" is not a path"},
		{"requests:\n  - path: http://x/", "2:11", "is not a path"},
		{"requests:\n  - path: '/a b'", "2:11", "is not a path"},
		{"requests:\n  - path: '/%zz'", "2:11", "is not a path"},
		{"requests:\n  - path: /\n    method: get", "3:13", "requests[0].method \"get\" is not a method; use one of GET"},
		{"requests:\n  - path: /\n    body: {a: 1}", "3:11", "is not a text; write one value; put JSON between single quotes"},
		{"requests:\n  - path: /\n    headers: {Host: x}", "3:15", "requests[0].headers.Host is set by Fairway"},
		{"requests:\n  - path: /\n    headers: {x-fairway-run: x}", "3:15", "is set by Fairway"},
		{"requests:\n  - path: /\n    headers: {a: 1, A: 2}", "3:21", "is given twice; letter case"},
		{"requests:\n  - path: /\n    headers: {'a b': 1}", "3:15", "is not a header's name"},
		{"requests:\n  - path: /\n    headers: {a: \"x\\ny\"}", "3:18", "is not a header's value"},
		{"requests:\n  - path: /\n    headers: [a]", "3:14", "is not a mapping"},
		{"requests:\n  - path: /\n    timeout: 10", "3:14", "requests[0].timeout \"10\" is not a duration from 1ms to 10m0s; write a number with its unit"},
		{"requests:\n  - path: /\n    expect: {status: 2xx}", "3:22", "is not a whole number in 200..599"},
		{"requests:\n  - path: /\n    expect: {json: {itemId: x}}", "3:21", "is not a JSON pointer; start with a slash"},
		{"requests:\n  - path: /\n    expect: {json: {/a~2: x}}", "3:21", "is not a JSON pointer"},
		{"requests:\n  - path: /\n    expect: {json: {/a: [1]}}", "3:25", "is not a single JSON value"},
		{"requests:\n  - path: /\n    expect: {json: {/a: .nan}}", "3:25", "is not a single JSON value"},
		{"requests:\n  - path: /\n    expect: {json: {/a: !!binary aa}}", "3:25", "is not a single JSON value"},
		{"requests:\n  - path: /\n    expect: {within: -1s}", "3:22", "is not a duration"},
		{"requests:\n  - path: /\n    expect: {body: x}", "3:14", "is not a key of this file; use one of status, json, headers, contains, within"},
		{"requests:\n  - [a]: b\n", "2:5", "has a key that is not a text"},
		{strings.Repeat("#", maxFile+1), "", "keep test files under"},
	} {
		_, err := ParseFunctional("tests/f.yaml", []byte(tc.text))
		checkMistake(t, tc.text, "tests/f.yaml", err, tc.at, tc.want)
	}
	for _, tc := range []struct{ text, at, want string }{
		{"", "1:1", "is empty"},
		{"users: 10", "1:1", "requests is missing"},
		{"requests: [{path: /}]\nusers: 0", "2:8", "users \"0\" is not a whole number in 1..1000; write a number such as 10"},
		{"requests: [{path: /}]\nusers: [1]", "2:8", "is not a whole number"},
		{"requests: [{path: /}]\niterations: 5\nduration: 10s", "3:11", "is given beside iterations; keep one of the two"},
		{"requests: [{path: /}]\nduration: 10s\nrampUp: 10s", "3:9", "is not shorter than duration"},
		{"requests: [{path: /}]\nthink: fast", "2:8", "is not a duration"},
		{"requests: [{path: /}]\nlimits: {errors: 0.01}", "2:18", "is not a percentage from 0% to 100%; write a number and a percent sign"},
		{"requests: [{path: /}]\nlimits: {errors: NaN%}", "2:18", "is not a percentage"},
		{"requests: [{path: /}]\nlimits: {errors: 101%}", "2:18", "is not a percentage"},
		{"requests: [{path: /}]\nlimits: {p95: 0s}", "2:15", "is not a duration"},
		{"requests: [{path: /}]\nlimits: {p96: 1s}", "2:10", "use one of errors, mean, p50, p90, p95, p99, max"},
	} {
		_, err := ParsePerformance("tests/p.yaml", []byte(tc.text))
		checkMistake(t, tc.text, "tests/p.yaml", err, tc.at, tc.want)
	}
}

func checkMistake(t *testing.T, text, file string, err error, at, want string) {
	t.Helper()
	if err == nil {
		t.Errorf("%.80q was accepted", text)
		return
	}
	where := file
	if at != "" {
		where += ":" + at
	}
	if !strings.HasPrefix(err.Error(), where+": ") || !strings.Contains(err.Error(), want) {
		t.Errorf("%.80q: %v\nwant %s … %s", text, err, where, want)
	}
	if fairway.KindOf(err) != fairway.KindInvalid {
		t.Errorf("%.80q: kind %s", text, fairway.KindOf(err))
	}
	for _, p := range fairway.Problems(err) {
		if p.Remedy == "" {
			t.Errorf("%.80q: no remedy in %v", text, p)
		}
	}
}

func TestAllMistakesAtOnce(t *testing.T) {
	t.Parallel()
	_, err := ParsePerformance(PerformanceFile, []byte("users: none\nthink: 5\nlimit: {}\nrequests:\n  - {path: x}\n  - {method: PUSH}\n"))
	var lines []int
	for _, p := range fairway.Problems(err) {
		lines = append(lines, p.Line)
	}
	if want := []int{1, 2, 3, 5, 6, 6}; !reflect.DeepEqual(lines, want) {
		t.Errorf("problems in lines %v, want %v:\n%v", lines, want, err)
	}
}

func FuzzParseFunctional(f *testing.F) {
	f.Add([]byte(fullFunctional))
	f.Add([]byte("requests:\n  - &a {path: /, expect: *a}\n"))
	f.Add([]byte("a: &a [*a]\n<<: *a\n"))
	f.Add([]byte("requests: [{path: /, expect: {json: {/a: !!int x, /b: 0x1F, /c: -.inf, /d: 1_000.5}}}]"))
	f.Fuzz(func(t *testing.T, data []byte) {
		got, err := ParseFunctional(FunctionalFile, data)
		checkFuzzed(t, got.Requests, err)
	})
}

func FuzzParsePerformance(f *testing.F) {
	f.Add([]byte("users: 3\niterations: 7\nthink: 0\nrampUp: 0s\nrequests: [{path: /}]\nlimits: {errors: 0%, p95: 2s}"))
	f.Add([]byte("duration: 10s\nrampUp: 20s\nrequests: [{path: /}]"))
	f.Add([]byte("? [a]\n: b\n--- !x\n%"))
	f.Fuzz(func(t *testing.T, data []byte) {
		got, err := ParsePerformance(PerformanceFile, data)
		checkFuzzed(t, got.Requests, err)
		if err == nil && (got.Users < 1 || (got.Iterations > 0) == (got.Duration > 0) || !(got.Limits.Errors >= 0)) {
			t.Errorf("accepted %+v", got)
		}
	})
}

// checkFuzzed reports what would surprise whoever uses a parsed file: an error
// without a place, or a request that cannot be sent.
func checkFuzzed(t *testing.T, calls []Call, err error) {
	if err != nil {
		for _, p := range fairway.Problems(err) {
			if p.Line < 1 && !strings.HasPrefix(p.Message, "has ") || p.Remedy == "" {
				t.Errorf("no place or remedy: %+v", p)
			}
		}
		if len(fairway.Problems(err)) == 0 {
			t.Errorf("no problems: %v", err)
		}
		return
	}
	if len(calls) == 0 {
		t.Error("no requests")
	}
	for _, c := range calls {
		if c.Name == "" || c.Timeout <= 0 || !validPath(c.Path) {
			t.Errorf("cannot be sent: %+v", c)
		}
		for _, m := range c.Expect.JSON {
			if n, ok := m.Value.(json.Number); ok && !json.Valid([]byte(n)) {
				t.Errorf("no JSON number: %q", n)
			}
		}
	}
}
