package access

import (
	"io"
	"net/http"
	"strings"
	"time"
)

// class is a class of routes that are limited and refused alike.
type class int

const (
	pages        class = iota // the console
	images                    // the registry
	repositories              // git
	events                    // CloudEvents
	programs                  // everything else that programs talk to
)

func classOf(path string) class {
	for _, c := range []struct {
		prefix string
		class  class
	}{
		{"/v2/", images}, {"/git/", repositories}, {"/api/v1/events/", events},
		{"/api/", programs}, {"/prometheus/", programs}, {"/metrics/", programs},
	} {
		if strings.HasPrefix(path+"/", c.prefix) {
			return c.class
		}
	}
	return pages
}

// bodyLimits are in bytes. Layers of images are large; what git and the
// registry take of them they limit themselves, more closely.
var bodyLimits = map[class]int64{
	pages: 64 << 10, images: 10 << 30, repositories: 1 << 30, events: 4 << 20, programs: 64 << 20,
}

const (
	// bodyPause is the longest pause within a body.
	bodyPause = time.Minute
	// bodyRest is how long a client may go on sending what nobody reads.
	bodyRest = 5 * time.Second
)

// Harden sets the limits that belong to the server: the size of headers, the
// time they may take, and how long an idle connection is kept. There is none
// on the whole of a request or answer: pushes and event streams take long.
func Harden(s *http.Server) {
	s.MaxHeaderBytes = 32 << 10
	s.ReadHeaderTimeout = 10 * time.Second
	s.IdleTimeout = 2 * time.Minute
}

// limitBody bounds the size of the request's body and the pauses in it. It
// reports false when the body says itself that it is too large. The returned
// function is called after the handler.
func limitBody(w http.ResponseWriter, r *http.Request) (release func(), ok bool) {
	if r.Body == nil || r.Body == http.NoBody {
		return func() {}, true
	}
	limit := bodyLimits[classOf(r.URL.Path)]
	if r.ContentLength > limit {
		return func() {}, false
	}
	body := &timedBody{ReadCloser: r.Body, control: http.NewResponseController(w)}
	r.Body = http.MaxBytesReader(w, body, limit)
	return body.release, true
}

// timedBody sets a deadline for each read and takes it away after the last:
// one that stayed would end the request's context in the middle of a long
// answer. Writers that know no deadlines, as in tests, go without.
type timedBody struct {
	io.ReadCloser
	control *http.ResponseController
	ended   bool
}

// Read reads from the body within the longest pause.
func (b *timedBody) Read(p []byte) (int, error) {
	if b.ended {
		return b.ReadCloser.Read(p)
	}
	b.control.SetReadDeadline(time.Now().Add(bodyPause))
	n, err := b.ReadCloser.Read(p)
	if err != nil {
		b.ended = true
	}
	b.control.SetReadDeadline(time.Time{})
	return n, err
}

func (b *timedBody) release() {
	if !b.ended {
		b.control.SetReadDeadline(time.Now().Add(bodyRest))
	}
}

// secure sets the headers that keep browsers from doing what our pages never
// ask for. Referrer-Policy stays above no-referrer, with which browsers hide
// the origin of our own forms.
func secure(h http.Header) {
	h.Set("Content-Security-Policy", "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("X-Frame-Options", "DENY")
	h.Set("Referrer-Policy", "same-origin")
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
}
