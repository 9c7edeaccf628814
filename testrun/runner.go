package testrun

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/fairwaycd/fairway"
)

// Options configure a [Runner].
type Options struct {
	// Dial opens connections; default: TCP, 10 s.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
	// GatewayAddr is dialled by requests without an address of their own.
	GatewayAddr string
	// Dir is where programs that test get their directories. What lies there
	// from an earlier process is removed. Default: the system's.
	Dir string
	// Env is the environment of programs that test, besides the facts about
	// the version.
	Env    []string
	Logger *slog.Logger // default: none
}

// Runner runs tests. It is safe for concurrent use and has nothing to close.
type Runner struct {
	dial    dialFunc
	gateway string
	dir     string
	env     []string
	log     *slog.Logger
}

// New returns a runner. It fails when Dir cannot be made.
func New(o Options) (*Runner, error) {
	r := &Runner{dial: o.Dial, gateway: o.GatewayAddr, dir: o.Dir, env: slices.Clip(o.Env), log: o.Logger}
	if r.dial == nil {
		r.dial = (&net.Dialer{Timeout: 10 * time.Second}).DialContext
	}
	if r.log == nil {
		r.log = slog.New(slog.DiscardHandler)
	}
	if r.dir == "" {
		return r, nil
	}
	if err := os.RemoveAll(r.dir); err != nil {
		return nil, fmt.Errorf("remove what earlier tests left: %w", err)
	}
	if err := os.MkdirAll(r.dir, 0o700); err != nil {
		return nil, fmt.Errorf("make the directory of tests: %w", err)
	}
	return r, nil
}

// Request says what to test, and how.
type Request struct {
	Strategy   fairway.TestStrategy
	Host       string            // of the colour under test, sent as Host
	Address    string            // HOST:PORT dialled; default: the runner's gateway
	HealthPath string            // default [DefaultHealthPath]
	Files      map[string][]byte // of the service, by path: tests/… and jmeter/…
	Subject    fairway.Subject   // what programs are told about the version
	RunID      string            // sent as [RunHeader]
	// Traceparent is told to programs, and sent with health and functional
	// requests: a load would flood the trace. Empty: there is no trace.
	Traceparent string
	Progress    func(Progress) // optional; at most 4 times a second, never twice at once
}

// Run tests the version that answers for q.Host: its health always, then what
// the strategy asks for. Without the strategy's file the health path is all
// that is asked, and a note of the report says so.
//
// A version that does not do what it should is no error: the report says
// which request failed and what it was answered. Errors are
//
//   - of kind invalid: the request makes no sense, or a test file is wrong
//     (with line and column). Nothing was sent;
//   - of kind unavailable, retryable: the gateway could not be reached, which
//     says nothing about the version;
//   - of kind unavailable, with the context's cause: ctx ended. What was found
//     until then proves nothing; the test is to be run again whole.
func (r *Runner) Run(ctx context.Context, q Request) (fairway.TestReport, error) {
	if q.Address == "" {
		q.Address = r.gateway
	}
	if q.HealthPath == "" {
		q.HealthPath = DefaultHealthPath
	}
	p, err := newPlan(q)
	if err != nil {
		return fairway.TestReport{}, err
	}
	s := newSession(r.dial, q, p.users())
	defer s.close()
	s.trace = q.Traceparent
	n := &run{plan: p, runner: r, session: s, reporter: &reporter{f: q.Progress}, request: q}
	report, err := n.all(ctx)
	if err != nil {
		return fairway.TestReport{}, err
	}
	r.log.Info("tested", "host", q.Host, "run", q.RunID, "strategy", string(q.Strategy), "passed", report.Passed, "reason", report.Reason)
	return report, nil
}

// plan is what a run will do, parsed before the first request.
type plan struct {
	health      Call
	functional  *Functional
	performance *Performance
	programs    []programCheck
	notes       []string
}

// programCheck is a check that a program performs.
type programCheck struct {
	check string
	load  Performance
}

func newPlan(q Request) (plan, error) {
	var ps []fairway.Problem
	if u, err := url.Parse("http://" + q.Host); err != nil || q.Host == "" || u.Host != q.Host {
		ps = append(ps, fairway.Problem{Field: "host", Value: q.Host, Message: "is not a host", Remedy: "give the host of the colour under test, e.g. carts-green.staging.localhost"})
	}
	if _, _, err := net.SplitHostPort(q.Address); err != nil {
		ps = append(ps, fairway.Problem{Field: "address", Value: q.Address, Message: "is not HOST:PORT", Remedy: "give the gateway's address, e.g. 127.0.0.1:8000"})
	}
	if !validPath(q.HealthPath) {
		ps = append(ps, fairway.Problem{Field: "health path", Value: q.HealthPath, Message: "is not a path", Remedy: "start it with a slash, e.g. /health"})
	}
	if strings.ContainsAny(q.RunID, "\r\n") {
		ps = append(ps, fairway.Problem{Field: "run id", Value: q.RunID, Message: "has a line break, which a header cannot carry", Remedy: "use DELIVERY/STAGE/ATTEMPT"})
	}
	if err := fairway.InvalidAll(ps); err != nil {
		return plan{}, err
	}
	p := plan{health: Call{Name: "health check", Method: http.MethodGet, Path: q.HealthPath, Timeout: DefaultTimeout}}
	return p, p.read(q)
}

// read parses the file that the strategy needs.
func (p *plan) read(q Request) error {
	file := ""
	switch q.Strategy {
	case fairway.NoTests:
		return nil
	case fairway.FunctionalTests:
		file = FunctionalFile
	case fairway.PerformanceTests:
		file = PerformanceFile
	default:
		return fairway.Invalid("test_strategy", string(q.Strategy), "is not a value of this key", "use functional or performance")
	}
	data, ok := q.Files[file]
	if !ok && p.readJMeter(q) {
		return nil
	}
	if !ok {
		p.notes = append(p.notes, fmt.Sprintf("the service has no %s: only its health path %s was asked; add the file with: fairway add resource", file, q.HealthPath))
		return nil
	}
	if q.Strategy == fairway.FunctionalTests {
		f, err := ParseFunctional(file, data)
		if err != nil || !f.any() {
			p.functional = &f
			return err
		}
		return p.add(checkFunctional, file, Performance{Program: f.Program, Users: 1, Iterations: 1, Think: DefaultThink}, q)
	}
	f, err := ParsePerformance(file, data)
	if err != nil || !f.any() {
		p.performance = &f
		return err
	}
	return p.add(checkPerformance, file, f, q)
}

// add takes a program into the plan; its script has to be there.
func (p *plan) add(check, file string, load Performance, q Request) error {
	if _, ok := q.Files[load.JMeter]; load.JMeter != "" && !ok {
		return fairway.InvalidAll([]fairway.Problem{{File: file, Field: "jmeter", Value: load.JMeter, Message: "is not among the service's files", Remedy: "add it with: fairway add resource, or name one that is there"}})
	}
	if load.JMeter != "" && check != checkHealth {
		p.addHealth(q)
	}
	p.programs = append(p.programs, programCheck{check, load})
	return nil
}

// addHealth lets JMeter make the health check too, if the service brings the
// script for it.
func (p *plan) addHealth(q Request) {
	if _, ok := q.Files[jmeterHealth]; ok {
		p.programs = append(p.programs, programCheck{checkHealth + " by JMeter", once(jmeterHealth)})
	}
}

// once is a script run once by one user, of which nothing may fail.
func once(script string) Performance {
	return Performance{Program: Program{JMeter: script, Timeout: DefaultProgramTimeout}, Users: 1, Iterations: 1, Think: DefaultThink}
}

// readJMeter plans the scripts of a service that has no test file. It returns
// false when there is none to run.
func (p *plan) readJMeter(q Request) bool {
	script := fmt.Sprintf(jmeterLoad, q.Subject.Place.Service)
	_, load := q.Files[script]
	_, health := q.Files[jmeterHealth]
	if !load && !health {
		return false
	}
	p.addHealth(q)
	switch {
	case !load:
		p.notes = append(p.notes, fmt.Sprintf("the service has no %s: only its health was asked", script))
	case q.Strategy == fairway.FunctionalTests:
		p.programs = append(p.programs, programCheck{checkFunctional, once(script)})
	default:
		all := once(script)
		all.Users, all.Iterations, all.Limits.Errors = DefaultUsers, DefaultIterations, DefaultErrors
		p.programs = append(p.programs, programCheck{checkPerformance, all})
	}
	return true
}

func (p plan) users() int {
	if p.performance != nil {
		return p.performance.Users
	}
	return 1
}
