package api

import (
	"encoding/json"
	"errors"
	"net/http"
	"strings"

	"github.com/fairwaycd/fairway"
)

// statuses is the HTTP status of each kind of error.
var statuses = map[fairway.Kind]int{
	fairway.KindInvalid:      http.StatusUnprocessableEntity,
	fairway.KindNotFound:     http.StatusNotFound,
	fairway.KindConflict:     http.StatusConflict,
	fairway.KindRefused:      http.StatusConflict,
	fairway.KindUnauthorized: http.StatusUnauthorized,
	fairway.KindUnavailable:  http.StatusServiceUnavailable,
	fairway.KindFull:         http.StatusInsufficientStorage,
	fairway.KindInternal:     http.StatusInternalServerError,
}

// kinds is the kind of an answer that is no problem document, or one without
// a kind; any other status from 400 on is ours or somebody else's failure.
var kinds = map[int]fairway.Kind{
	http.StatusBadRequest:            fairway.KindInvalid,
	http.StatusUnauthorized:          fairway.KindUnauthorized,
	http.StatusForbidden:             fairway.KindUnauthorized,
	http.StatusNotFound:              fairway.KindNotFound,
	http.StatusMethodNotAllowed:      fairway.KindInvalid,
	http.StatusConflict:              fairway.KindConflict,
	http.StatusPreconditionFailed:    fairway.KindConflict,
	http.StatusRequestEntityTooLarge: fairway.KindInvalid,
	http.StatusUnsupportedMediaType:  fairway.KindInvalid,
	http.StatusUnprocessableEntity:   fairway.KindInvalid,
	http.StatusTooManyRequests:       fairway.KindUnavailable,
	http.StatusBadGateway:            fairway.KindUnavailable,
	http.StatusServiceUnavailable:    fairway.KindUnavailable,
	http.StatusGatewayTimeout:        fairway.KindUnavailable,
	http.StatusInsufficientStorage:   fairway.KindFull,
}

// problemType is the media type of a problem document.
const problemType = "application/problem+json"

// retryAfter is what senders are told to wait when a part is down, in seconds.
const retryAfter = "5"

// statusError is an error whose status is not that of its kind.
type statusError struct {
	status int
	err    error
}

func (e *statusError) Error() string { return e.err.Error() }
func (e *statusError) Unwrap() error { return e.err }

func withStatus(status int, err error) error { return &statusError{status, err} }

// DetailsOf returns the problem document of an error. An internal error's
// text is not in it.
func DetailsOf(err error) Details {
	kind := fairway.KindOf(err)
	status, ok := statuses[kind]
	if !ok {
		kind, status = fairway.KindInternal, http.StatusInternalServerError
	}
	var s *statusError
	if errors.As(err, &s) {
		status = s.status
	}
	d := Details{Type: "about:blank", Title: http.StatusText(status), Status: status, Kind: kind}
	if kind == fairway.KindInternal {
		d.Detail = "Fairway failed to answer; its log says why"
		return d
	}
	d.Problems = fairway.Problems(err)
	d.Detail = messageOf(err, d.Problems)
	return d
}

// messageOf returns the error's text without the lines of its problems, which
// the document lists by themselves.
func messageOf(err error, problems []fairway.Problem) string {
	rest := err.Error()
	var text strings.Builder
	for _, p := range problems { // they stand in the text in this order
		before, after, ok := strings.Cut(rest, p.String())
		if !ok {
			break
		}
		text.WriteString(before)
		rest = after
	}
	text.WriteString(rest)
	var lines []string
	for line := range strings.Lines(text.String()) {
		if line = strings.TrimRight(line, ": \r\n"); line != "" {
			lines = append(lines, line)
		}
	}
	return strings.Join(lines, "\n")
}

// WriteProblem answers a request with the problem document of err.
func WriteProblem(w http.ResponseWriter, err error) {
	d := DetailsOf(err)
	body, mErr := json.Marshal(d)
	if mErr != nil { // a Details holds nothing that cannot be written
		panic(mErr)
	}
	h := w.Header()
	h.Set("Content-Type", problemType)
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	if d.Status == http.StatusServiceUnavailable || d.Status == http.StatusInsufficientStorage {
		h.Set("Retry-After", retryAfter)
	}
	w.WriteHeader(d.Status)
	_, _ = w.Write(append(body, '\n')) // the asker has left if this fails
}
