package gateway

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"net/http/httptrace"
	"sync/atomic"
	"time"
)

const (
	// holdLimit is the size up to which a request's body is read before it is
	// sent on, so that it can be sent again.
	holdLimit = 64 << 10
	// retryWithin is how soon a connection that the service had closed for
	// idleness shows itself. A connection that breaks later broke while the
	// service was at work, and the work must not be done twice.
	retryWithin = 250 * time.Millisecond
)

// holding sends requests to an upstream. When a kept connection turns out to
// be closed, Go repeats only what reads (GET, HEAD, OPTIONS, TRACE) and has no
// body. For a small body holding lets it do the same, and it repeats once what
// Go does not: a POST, PUT, PATCH or DELETE on a kept connection that broke
// before the first byte of an answer.
type holding struct{ up *upstream }

// RoundTrip sends the request.
func (h *holding) RoundTrip(r *http.Request) (*http.Response, error) {
	var body []byte
	switch {
	case r.Body == nil || r.Body == http.NoBody:
		if reads(r.Method) {
			return h.up.transport.RoundTrip(r)
		}
	case r.ContentLength <= 0 || r.ContentLength > holdLimit || r.Header.Get("Expect") != "":
		// Too large, or a stream. And a client that expects "100 Continue"
		// wants to hear from the service before it sends the body.
		return h.up.transport.RoundTrip(r)
	default:
		body = make([]byte, r.ContentLength)
		if _, err := io.ReadFull(r.Body, body); err != nil {
			return nil, &bodyError{err}
		}
	}
	var a attempt
	began := time.Now()
	resp, err := h.up.transport.RoundTrip(withBody(a.watch(r.Context()), r, body))
	if err != nil && a.again() && time.Since(began) < retryWithin && r.Context().Err() == nil && !h.up.isCut() {
		return h.up.transport.RoundTrip(withBody(r.Context(), r, body))
	}
	return resp, err
}

// reads reports whether Go itself repeats requests of the method.
func reads(method string) bool {
	switch method {
	case http.MethodGet, http.MethodHead, http.MethodOptions, http.MethodTrace:
		return true
	}
	return false
}

// attempt watches over the first sending of a request.
type attempt struct{ reused, answered atomic.Bool }

func (a *attempt) watch(ctx context.Context) context.Context {
	return httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		GotConn:              func(i httptrace.GotConnInfo) { a.reused.Store(i.Reused) },
		GotFirstResponseByte: func() { a.answered.Store(true) },
	})
}

// again reports whether the request may be sent a second time.
func (a *attempt) again() bool { return a.reused.Load() && !a.answered.Load() }

// withBody returns r with the held body, if it has one.
func withBody(ctx context.Context, r *http.Request, body []byte) *http.Request {
	r = r.WithContext(ctx)
	if body == nil {
		return r
	}
	r.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(body)), nil }
	r.Body, _ = r.GetBody()
	return r
}

// bodyError says that the client's body could not be read to its end.
type bodyError struct{ err error }

// Error returns the cause's text.
func (e *bodyError) Error() string { return e.err.Error() }

// Unwrap returns the cause.
func (e *bodyError) Unwrap() error { return e.err }
