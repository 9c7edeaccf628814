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

// holding sends requests to an upstream. Go repeats requests without a body,
// and those of idempotent methods, when a kept connection turns out to be
// closed; holding lets it do so for small bodies too, and repeats once what Go
// does not: a POST on a kept connection that broke before the first byte of an
// answer.
type holding struct{ up *upstream }

// RoundTrip sends the request.
func (h *holding) RoundTrip(r *http.Request) (*http.Response, error) {
	// A client that expects "100 Continue" wants to hear from the service
	// before it sends the body.
	if r.Body == nil || r.ContentLength <= 0 || r.ContentLength > holdLimit || r.Header.Get("Expect") != "" {
		return h.up.transport.RoundTrip(r)
	}
	body := make([]byte, r.ContentLength)
	if _, err := io.ReadFull(r.Body, body); err != nil {
		return nil, &bodyError{err}
	}
	var a attempt
	began := time.Now()
	resp, err := h.up.transport.RoundTrip(a.request(r, body))
	if err != nil && a.again() && time.Since(began) < retryWithin && r.Context().Err() == nil && !h.up.isCut() {
		return h.up.transport.RoundTrip(withBody(r.Context(), r, body))
	}
	return resp, err
}

// attempt watches over the first sending of a request.
type attempt struct{ reused, answered atomic.Bool }

// request returns r with the held body. Only methods that Go does not repeat
// are watched.
func (a *attempt) request(r *http.Request, body []byte) *http.Request {
	ctx := r.Context()
	switch r.Method {
	case http.MethodPost, http.MethodPatch:
		ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
			GotConn:              func(i httptrace.GotConnInfo) { a.reused.Store(i.Reused) },
			GotFirstResponseByte: func() { a.answered.Store(true) },
		})
	}
	return withBody(ctx, r, body)
}

// again reports whether the request may be sent a second time.
func (a *attempt) again() bool { return a.reused.Load() && !a.answered.Load() }

func withBody(ctx context.Context, r *http.Request, body []byte) *http.Request {
	r = r.WithContext(ctx)
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
