package testrun

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/url"
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
	Logger      *slog.Logger // default: none
}

// Runner runs tests. It is safe for concurrent use and has nothing to close.
type Runner struct {
	dial    dialFunc
	gateway string
	log     *slog.Logger
}

// New returns a runner.
func New(o Options) *Runner {
	r := &Runner{dial: o.Dial, gateway: o.GatewayAddr, log: o.Logger}
	if r.dial == nil {
		r.dial = (&net.Dialer{Timeout: 10 * time.Second}).DialContext
	}
	if r.log == nil {
		r.log = slog.New(slog.DiscardHandler)
	}
	return r
}

// Request says what to test, and how.
type Request struct {
	Strategy   fairway.TestStrategy
	Host       string            // of the colour under test, sent as Host
	Address    string            // HOST:PORT dialled; default: the runner's gateway
	HealthPath string            // default [DefaultHealthPath]
	Files      map[string][]byte // of the service, by path; those it needs are [FunctionalFile] and [PerformanceFile]
	RunID      string            // sent as [RunHeader]
	Progress   func(Progress)    // optional; at most 4 times a second, never twice at once
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
	n := &run{plan: p, session: s, reporter: &reporter{f: q.Progress}, request: q}
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
	notes       []string
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
	if !ok {
		p.notes = append(p.notes, fmt.Sprintf("the service has no %s: only its health path %s was asked; add the file with: fairway add resource", file, q.HealthPath))
		return nil
	}
	if q.Strategy == fairway.FunctionalTests {
		f, err := ParseFunctional(file, data)
		p.functional = &f
		return err
	}
	f, err := ParsePerformance(file, data)
	p.performance = &f
	return err
}

func (p plan) users() int {
	if p.performance != nil {
		return p.performance.Users
	}
	return 1
}
