package testrun

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// RunHeader is the header that every request of a test carries; its value is
// the run's id.
const RunHeader = "X-Fairway-Run"

const (
	excerptSize = 200     // bytes of an answer that a reason shows
	maxBody     = 1 << 20 // bytes of an answer that expectations are compared with
)

// failKind says why a request failed.
type failKind string

// The kinds, in the order in which reasons list them.
const (
	failStatus     failKind = "status"     // answered with another status than expected
	failAnswer     failKind = "answer"     // right status, but not the expected content or time
	failTimeout    failKind = "timeout"    // no whole answer in time
	failConnection failKind = "connection" // no answer, or one that broke off
)

var failKinds = []failKind{failStatus, failAnswer, failTimeout, failConnection}

// outcome is what became of one request. A zero kind is a success.
type outcome struct {
	start, end time.Time
	kind       failKind
	reason     string // names request and answer when it failed
	err        error  // why there was no answer
}

func (o outcome) failed() bool { return o.kind != "" }

func (o outcome) took() time.Duration { return o.end.Sub(o.start) }

// session sends the requests of one run over connections that it keeps open.
type session struct {
	client *http.Client
	base   string // http://HOST, the colour's host whatever is dialled
	run    string
	trace  string // traceparent of what is sent; empty: none
}

// dialError says that no connection was made, so that no version was asked.
type dialError struct{ err error }

func (e *dialError) Error() string { return e.err.Error() }
func (e *dialError) Unwrap() error { return e.err }

type dialFunc func(ctx context.Context, network, address string) (net.Conn, error)

// newSession dials address for every request, whatever the host says: not
// every resolver knows *.localhost, and the Host header decides which version
// answers. users is how many connections it keeps.
func newSession(dial dialFunc, q Request, users int) *session {
	transport := &http.Transport{
		DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			conn, err := dial(ctx, network, q.Address)
			if err != nil {
				return nil, &dialError{err}
			}
			return conn, nil
		},
		MaxIdleConns:        users,
		MaxIdleConnsPerHost: users,
		// Below the usual keep-alive time of servers: a POST that meets a
		// connection just closed by the other side would count as an error.
		IdleConnTimeout:    4 * time.Second,
		DisableCompression: true,

		MaxResponseHeaderBytes: 64 << 10,
	}
	return &session{
		client: &http.Client{
			Transport:     transport,
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
		base: "http://" + q.Host,
		run:  q.RunID,
	}
}

func (s *session) close() { s.client.CloseIdleConnections() }

// send sends one request and compares the answer with what is expected. When
// ctx ends under way the outcome means nothing.
func (s *session) send(ctx context.Context, c Call) outcome {
	ctx, cancel := context.WithTimeout(ctx, c.Timeout)
	defer cancel()
	o := outcome{start: time.Now()}
	a, err := s.exchange(ctx, c)
	o.end = time.Now()
	if err != nil {
		o.kind, o.reason, o.err = failConnection, c.title()+" got no answer: "+plain(err), err
		if isTimeout(err) {
			o.kind, o.reason = failTimeout, c.title()+" got no whole answer within "+short(o.took())+a.describe()
		}
		return o
	}
	if kind, fault := c.Expect.judge(a, o.took()); kind != "" {
		o.kind, o.reason = kind, c.title()+" "+fault+"; body: "+a.excerpt()
	}
	return o
}

// answer is what came back.
type answer struct {
	status  int
	header  http.Header
	body    []byte // at most maxBody, or an excerpt when no expectation needs more
	clipped bool   // the body was longer than that
}

func (s *session) exchange(ctx context.Context, c Call) (answer, error) {
	var body io.Reader
	if c.Body != "" {
		body = strings.NewReader(c.Body)
	}
	req, err := http.NewRequestWithContext(ctx, c.Method, s.base+c.Path, body)
	if err != nil {
		return answer{}, err
	}
	for name, value := range c.Headers {
		req.Header.Set(name, value)
	}
	if req.Header.Get("User-Agent") == "" {
		req.Header.Set("User-Agent", "fairway-test")
	}
	req.Header.Set(RunHeader, s.run)
	if s.trace != "" && req.Header.Get("traceparent") == "" {
		req.Header.Set("traceparent", s.trace)
	}
	resp, err := s.client.Do(req)
	if err != nil {
		return answer{}, err
	}
	defer resp.Body.Close()
	a := answer{status: resp.StatusCode, header: resp.Header}
	keep := int64(excerptSize + 4)
	if c.Expect.needsBody() {
		keep = maxBody
	}
	a.body, err = io.ReadAll(io.LimitReader(resp.Body, keep))
	if err != nil {
		return a, err
	}
	rest, err := io.Copy(io.Discard, resp.Body)
	a.clipped = rest > 0
	return a, err
}

// describe tells of an answer that began and did not end.
func (a answer) describe() string {
	if a.status == 0 {
		return ""
	}
	return "; it began with status " + statusText(a.status) + ", body: " + a.excerpt()
}

// excerpt returns the beginning of the body, safe to print in one line.
func (a answer) excerpt() string {
	b := bytes.TrimSpace(a.body)
	if len(b) == 0 {
		return "(empty)"
	}
	cut := a.clipped || len(b) > excerptSize
	b = b[:min(len(b), excerptSize)]
	text := strings.Map(func(c rune) rune {
		if c < ' ' || c >= 0x7f && c < 0xa0 {
			return ' '
		}
		return c
	}, strings.ToValidUTF8(string(b), ""))
	if cut {
		text += "…"
	}
	return text
}

func isTimeout(err error) bool {
	var t interface{ Timeout() bool }
	return errors.Is(err, context.DeadlineExceeded) || errors.As(err, &t) && t.Timeout()
}

// plain strips what net/http puts in front of a cause: method and URL are in
// the text already.
func plain(err error) string {
	var u *url.Error
	if errors.As(err, &u) {
		err = u.Err
	}
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return "the connection was closed before the answer was complete"
	}
	return err.Error()
}
