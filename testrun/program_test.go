package testrun

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/fairwaycd/fairway"
	"github.com/fairwaycd/fairway/internal/testenv"
)

func newRunner(t *testing.T, o Options) *Runner {
	t.Helper()
	o.Env = append(o.Env, "PATH="+os.Getenv("PATH"), "HOME="+t.TempDir())
	if o.Dir == "" {
		o.Dir = filepath.Join(t.TempDir(), "tests")
	}
	r, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

var subject = fairway.Subject{
	Project: "sockshop", Stage: "staging", Delivery: "d1", Attempt: 1, Version: "0.6.1-2",
	Place: fairway.Place{Namespace: "staging", Service: "carts", Colour: fairway.Green},
}

func (s *service) program(strategy fairway.TestStrategy, files map[string]string) Request {
	q := s.request(strategy, "", "")
	q.Subject, q.Files = subject, map[string][]byte{}
	for name, text := range files {
		q.Files[name] = []byte(text)
	}
	return q
}

func TestACommandTests(t *testing.T) {
	t.Parallel()
	s := newService(t)
	for _, c := range []struct {
		name, file string
		strategy   fairway.TestStrategy
		passed     bool
		reason     string
	}{
		{"exit code 0", "command: [sh, -c, 'exit 0']", fairway.FunctionalTests, true, "functional: sh ended with exit code 0"},
		{"exit code", "command: [sh, -c, 'echo no stock left; exit 3']", fairway.FunctionalTests, false, "functional: sh ended with exit code 3: no stock left"},
		{"a file of the service", "command: [sh, tests/check.sh]", fairway.FunctionalTests, true, "exit code 0"},
		{"the facts", `command: [sh, -c, 'test "$FAIRWAY_HOST $FAIRWAY_VERSION $FAIRWAY_STAGE $FAIRWAY_COLOUR $FAIRWAY_SERVICE $FAIRWAY_RUN" = "carts-green.staging.localhost 0.6.1-2 staging green carts d1/staging/1"']`, fairway.FunctionalTests, true, "exit code 0"},
		{"timeout", "command: [sh, -c, 'sleep 60 & wait']\ntimeout: 1s", fairway.FunctionalTests, false, "functional: sh was ended after its timeout of 1s"},
		{"results", `command: [sh, -c, 'echo "{\"requests\": 100, \"errors\": 1, \"latency\": {\"mean\": 0.1, \"p95\": 0.2}, \"reason\": \"k6 said so\"}" > $FAIRWAY_RESULTS']` + "\nlimits: {p95: 300ms}", fairway.PerformanceTests, true, "k6 said so"},
		{"results above a limit", `command: [sh, -c, 'echo "{\"requests\": 100, \"latency\": {\"p95\": 0.4}}" > $FAIRWAY_RESULTS']` + "\nlimits: {p95: 300ms}", fairway.PerformanceTests, false, "performance: p95 is 400ms, limit 300ms"},
		{"results without what a limit needs", `command: [sh, -c, 'echo "{\"requests\": 100, \"latency\": {\"p95\": 0.1}}" > $FAIRWAY_RESULTS']` + "\nlimits: {p99: 300ms}", fairway.PerformanceTests, false, "the limit of p99 is 300ms, but the results have no latency.p99"},
		{"too many errors", `command: [sh, -c, 'echo "{\"requests\": 100, \"errors\": 2}" > $FAIRWAY_RESULTS']`, fairway.PerformanceTests, false, "2 of 100 requests failed (2%, limit 1%)"},
		{"limits without results", "command: ['true']\nlimits: {p95: 300ms}", fairway.PerformanceTests, false, "there are limits, but the program wrote no results to $FAIRWAY_RESULTS"},
		{"results that are none", "command: [sh, -c, 'echo half > $FAIRWAY_RESULTS']", fairway.PerformanceTests, false, "the results are not the JSON that is expected"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			file := FunctionalFile
			if c.strategy == fairway.PerformanceTests {
				file = PerformanceFile
			}
			q := s.program(c.strategy, map[string]string{file: c.file, "tests/check.sh": "test -f tests/check.sh && echo fine"})
			report := mustRun(t, q)
			if report.Passed != c.passed || !strings.Contains(report.Reason, c.reason) {
				t.Errorf("passed %t: %s", report.Passed, report.Reason)
			}
			if len(report.Checks) != 2 || report.Checks[0].Name != checkHealth || report.Window.Duration() <= 0 {
				t.Errorf("checks %+v", report.Checks)
			}
		})
	}
}

func TestACommandsLogIsKept(t *testing.T) {
	t.Parallel()
	s := newService(t)
	r := mustRun(t, s.program(fairway.FunctionalTests, map[string]string{FunctionalFile: "command: [sh, -c, 'seq 100000; echo bad >&2; exit 1']"}))
	log := r.Checks[1].Log
	if !strings.HasSuffix(log, "99999\n100000\nbad\n") || len(log) > maxLog+10 || !strings.HasPrefix(log, "…") {
		t.Errorf("a log of %d bytes that ends with %q", len(log), log[max(0, len(log)-40):])
	}
}

func TestAProgramThatIsNotThere(t *testing.T) {
	t.Parallel()
	s := newService(t)
	q := s.program(fairway.FunctionalTests, map[string]string{FunctionalFile: "command: [no-such-tester, run]"})
	_, err := newRunner(t, Options{}).Run(t.Context(), q)
	if fairway.KindOf(err) != fairway.KindInvalid || fairway.IsRetryable(err) || !strings.Contains(err.Error(), "no-such-tester, which the test needs, is not on the machine") {
		t.Errorf("%v", err)
	}
}

// TestAnInterruptedProgramLeavesNothing: neither its children nor its files.
func TestAnInterruptedProgramLeavesNothing(t *testing.T) {
	t.Parallel()
	s := newService(t)
	pipe := filepath.Join(t.TempDir(), "alive")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(t.TempDir(), "tests")
	q := s.program(fairway.FunctionalTests, map[string]string{FunctionalFile: "command: [sh, -c, '(trap : TERM; while :; do sleep 1; done) > " + pipe + " & wait']"})
	ctx, cancel := context.WithCancelCause(t.Context())
	gone := errors.New("the delivery was aborted")
	done := make(chan error, 1)
	go func() {
		_, err := newRunner(t, Options{Dir: dir}).Run(ctx, q)
		done <- err
	}()
	reader, err := os.Open(pipe) // returns once the child has it open
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Close()
	cancel(gone)
	if _, err := reader.Read(make([]byte, 1)); err == nil || err.Error() != "EOF" {
		t.Errorf("the child wrote, or: %v", err) // EOF says that the last child is gone
	}
	if err := <-done; !errors.Is(err, gone) || fairway.KindOf(err) != fairway.KindUnavailable {
		t.Errorf("%v", err)
	}
	if left, _ := os.ReadDir(dir); len(left) != 0 {
		t.Errorf("%d directories are left", len(left))
	}
}

func TestJMeter(t *testing.T) {
	t.Parallel()
	testenv.Need(t, "jmeter")
	script, err := os.ReadFile("testdata/load.jmx")
	if err != nil {
		t.Fatal(err)
	}
	s := newService(t)
	for _, c := range []struct {
		name     string
		strategy fairway.TestStrategy
		files    map[string]string
		health   string
		passed   bool
		checks   string
		requests int
		reason   string
	}{
		{"functional by Keptn's file names", fairway.FunctionalTests, map[string]string{"jmeter/basiccheck.jmx": string(script), "jmeter/carts_load.jmx": string(script)}, "/health", true, "health, health by JMeter, functional", 1, "functional: jmeter jmeter/carts_load.jmx: 1 requests by 1 users"},
		{"performance", fairway.PerformanceTests, map[string]string{PerformanceFile: "jmeter: jmeter/load.jmx\nusers: 3\niterations: 20\nthink: 1ms", "jmeter/load.jmx": string(script)}, "/health", true, "health, performance", 60, "60 requests by 3 users"},
		{"a limit", fairway.PerformanceTests, map[string]string{PerformanceFile: "jmeter: jmeter/load.jmx\nusers: 1\niterations: 5\nthink: 0s\nlimits: {p50: 1µs}", "jmeter/load.jmx": string(script)}, "/health", false, "health, performance", 5, "limit 1µs"},
		{"a script that is none", fairway.FunctionalTests, map[string]string{FunctionalFile: "jmeter: jmeter/load.jmx", "jmeter/load.jmx": "<nonsense"}, "/health", false, "health, functional", 0, "jmeter left no result file"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			q := s.program(c.strategy, c.files)
			q.HealthPath = c.health
			report := mustRun(t, q)
			var names []string
			for _, k := range report.Checks {
				names = append(names, k.Name)
			}
			last := report.Checks[len(report.Checks)-1]
			if report.Passed != c.passed || strings.Join(names, ", ") != c.checks || last.Requests != c.requests || !strings.Contains(report.Reason, c.reason) {
				t.Errorf("passed %t, checks %s, %d requests: %s\n%s", report.Passed, strings.Join(names, ", "), last.Requests, report.Reason, last.Log)
			}
			if !strings.Contains(last.Log, jmeterLog) {
				t.Errorf("no log: %q", last.Log)
			}
			if c.requests > 0 && (last.Latency == nil || last.Window.Start.After(last.Window.End) || time.Since(last.Window.End) > time.Minute) {
				t.Errorf("latency %v, window %v", last.Latency, last.Window)
			}
		})
	}
	t.Cleanup(func() {
		if s.hosts[host] == 0 {
			t.Errorf("asked were only %v", s.hosts)
		}
	})
}

func TestSamplesOfAResultFile(t *testing.T) {
	t.Parallel()
	const head = "timeStamp,elapsed,label,responseCode,responseMessage,success,failureMessage\n"
	for name, c := range map[string]struct{ text, fault, errors string }{
		"good":               {head + "1556540000000,12,get,200,OK,true,\n1556540000100,8,get,200,OK,true,\n", "", ""},
		"each kind":          {head + "1,1,a,500,Oops,false,\n2,1,a,200,OK,false,no sock\n3,1,a,Non HTTP response code: java.net.ConnectException,refused,false,\n4,1,a,Non HTTP response code: java.net.SocketTimeoutException,late,false,\n", "", "1 status, 1 answer, 1 timeout, 1 connection"},
		"quotes":             {head + "1,1,\"a, \"\"b\"\"\",200,OK,true,\n", "", ""},
		"empty":              {"", "jmeter's result file is empty", ""},
		"no column":          {"timeStamp,label\n", "has no column elapsed", ""},
		"half a line":        {head + "15565", "line 2: elapsed", ""},
		"no time":            {head + "now,1,a,200,OK,true,\n", `line 2: timeStamp "now" is no time`, ""},
		"negative":           {head + "1,-1,a,200,OK,true,\n", `line 2: elapsed "-1"`, ""},
		"success unknown":    {head + "1,1,a,200,OK,maybe,\n", `line 2: success is "maybe"`, ""},
		"a quote stays open": {head + "1,1,\"a,200,OK,true,\n", "", ""},
	} {
		tl := newTally()
		err := readSamples(strings.NewReader(c.text), tl)
		if c.fault != "" && (err == nil || !strings.Contains(err.Error(), c.fault)) {
			t.Errorf("%s: %v, want %s", name, err, c.fault)
		}
		if c.fault == "" && name != "a quote stays open" && err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if got := tl.figures().errors; got != c.errors {
			t.Errorf("%s: errors %q, want %q", name, got, c.errors)
		}
	}
}

func TestProgramsInTestFiles(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"command: [k6]\nrequests: [{path: /}]": "is given beside requests",
		"command: []":                          "is not a list of 1 to 100 elements",
		"command: ['']":                        "names no program",
		"command: [k6]\nusers: 3":              "means nothing to a program",
		"jmeter: jmeter/a.jmx\nrampUp: 3s":     "means nothing to a program",
		"jmeter: ../a.jmx":                     "is not a JMeter script of the service",
		"jmeter: jmeter/../../a.jmx":           "is not a JMeter script of the service",
		"jmeter: jmeter/a.txt":                 "is not a JMeter script of the service",
		"command: [a]\njmeter: jmeter/a.jmx":   "is given beside command",
		"command: [a]\ntimeout: 2h":            "is not a duration from 1s to 55m0s",
		"timeout: 1m\nrequests: [{path: /}]":   "is for programs",
		"limits: {errors: 1%}":                 "is missing",
	} {
		_, err := ParsePerformance("f", []byte(text))
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %s", text, err, want)
		}
	}
	p, err := ParsePerformance("f", []byte("jmeter: jmeter/a.jmx\nusers: 2"))
	if err != nil || p.Users != 2 || p.Iterations != DefaultIterations || p.Think != DefaultThink || p.Timeout != DefaultProgramTimeout {
		t.Errorf("%+v, %v", p, err)
	}
}

func FuzzReadSamples(f *testing.F) {
	f.Add("timeStamp,elapsed,label,responseCode,responseMessage,success\n1,1,a,200,OK,true\n")
	f.Add("timeStamp,elapsed,label,responseCode,success\n1,1,\"a\n")
	f.Fuzz(func(t *testing.T, text string) {
		tl := newTally()
		if readSamples(strings.NewReader(text), tl) == nil && tl.figures().failed > tl.figures().requests {
			t.Fatal("more errors than requests")
		}
	})
}

func FuzzParseResults(f *testing.F) {
	f.Add([]byte(`{"requests": 100, "errors": 1, "latency": {"p95": 0.2}, "reason": "x"}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		if r, err := parseResults(body); err == nil && r.Requests != nil {
			_ = Limits{Errors: 0.01}.exceeded(r.figures())
		}
	})
}
