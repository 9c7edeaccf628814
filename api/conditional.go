package api

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"

	"github.com/fairwaycd/fairway"
)

// held keeps an answer back until its headers are known. What is streamed
// does not go through it.
type held struct {
	http.ResponseWriter
	status int
	body   []byte
	v      any // what the body was made from
}

// WriteHeader implements http.ResponseWriter.
func (h *held) WriteHeader(status int) { h.status = status }

// Write implements http.ResponseWriter.
func (h *held) Write(b []byte) (int, error) {
	h.body = append(h.body, b...)
	return len(b), nil
}

// send writes the answer.
func (h *held) send() {
	h.ResponseWriter.WriteHeader(h.status)
	_, _ = h.ResponseWriter.Write(h.body) // the asker has left if this fails
}

// settled is an answer that also tells what nobody has set, such as when a
// remote was last seen.
type settled interface {
	// settled returns what a request to change it would replace.
	settled() any
}

// etag is the entity tag of an answer: a part that changes with what can be
// set, and one that changes with anything.
func (h *held) etag() string {
	of := h.body
	if s, ok := h.v.(settled); ok {
		if b, err := encode(s.settled()); err == nil {
			of = b
		}
	}
	return `"` + digest(of) + "-" + digest(h.body) + `"`
}

func digest(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:8])
}

// unguarded are the routes whose changes are not of what their GET answers: a
// deletion's If-Match is about the deletion, and a service's is none.
var unguarded = []string{"projects/{project}/services/{s}", "DELETE projects/{project}"}

// careful puts around the handlers of a route what their requests' headers
// ask for: If-None-Match, If-Match and Idempotency-Key.
func (s *server) careful(path string, m methods) methods {
	get := m[http.MethodGet]
	if m[http.MethodHead] == nil {
		get = nil // a stream
	}
	for method, h := range m {
		free := slices.Contains(unguarded, path) || slices.Contains(unguarded, method+" "+path)
		switch {
		case method == http.MethodPost:
			m[method] = s.once(h)
		case get != nil && (method == http.MethodGet || method == http.MethodHead):
			m[method] = conditional(h)
		case method == http.MethodDelete && free:
		case method == http.MethodPut && (free || get == nil):
			m[method] = withoutMatch(h)
		case method == http.MethodPut || method == http.MethodDelete && get != nil:
			m[method] = s.guarded(get, h)
		}
	}
	return m
}

// withoutMatch refuses a condition that is not looked at.
func withoutMatch(h handler) handler {
	return func(w http.ResponseWriter, r *http.Request) error {
		if v := r.Header.Get("If-Match"); v != "" {
			return fairway.Invalid("If-Match", v, "is not looked at for "+r.URL.Path, "leave it out")
		}
		return h(w, r)
	}
}

// conditional answers 304 while an answer is what the asker has.
func conditional(get handler) handler {
	return func(w http.ResponseWriter, r *http.Request) error {
		h := &held{ResponseWriter: w, status: http.StatusOK}
		if err := get(h, r); err != nil {
			return err
		}
		tag := h.etag()
		w.Header().Set("ETag", tag)
		w.Header().Set("Cache-Control", "private, no-cache") // may be kept, and is asked for again
		if have := r.Header.Get("If-None-Match"); have != "" && among(have, tag) {
			w.Header().Del("Content-Type")
			w.WriteHeader(http.StatusNotModified)
			return nil
		}
		h.send()
		return nil
	}
}

// among reports whether a header's entity tags name the tag.
func among(header, tag string) bool {
	for t := range strings.SplitSeq(header, ",") {
		if t = strings.TrimPrefix(strings.TrimSpace(t), "W/"); t == "*" || t == tag {
			return true
		}
	}
	return false
}

// guarded refuses a change when If-Match names another state than that which
// get answers with. One change of an address goes on at a time, so that of two
// with the same tag one is refused.
func (s *server) guarded(get, change handler) handler {
	return func(w http.ResponseWriter, r *http.Request) error {
		release, err := s.one.lock(r.Context(), r.URL.Path)
		if err != nil {
			return err
		}
		defer release()
		if want := r.Header.Get("If-Match"); want != "" {
			if err := match(want, get, r); err != nil {
				return err
			}
		}
		return change(w, r)
	}
}

func match(want string, get handler, r *http.Request) error {
	now := r.Clone(r.Context())
	now.Method, now.Body, now.URL = http.MethodGet, http.NoBody, &url.URL{Path: r.URL.Path}
	h := &held{ResponseWriter: nowhere{}, status: http.StatusOK}
	err := get(h, now)
	switch {
	case fairway.KindOf(err) == fairway.KindNotFound && err != nil:
		return withStatus(http.StatusPreconditionFailed, fairway.Errorf(fairway.KindConflict, "it is gone, or was never there: %w", err))
	case err != nil:
		return err
	}
	tag := h.etag()
	for t := range strings.SplitSeq(want, ",") {
		t = strings.TrimSpace(t)
		given, _, _ := strings.Cut(t, "-")
		if have, _, _ := strings.Cut(tag, "-"); t == "*" || given == have {
			return nil
		}
	}
	return withStatus(http.StatusPreconditionFailed, &fairway.Error{Kind: fairway.KindConflict, Problems: []fairway.Problem{{
		Field: "If-Match", Value: want, Message: "is not what is there now; somebody has changed it since", Remedy: "look again with GET " + r.URL.Path + ", whose ETag is " + tag + " now",
	}}})
}

// nowhere takes an answer that nobody reads.
type nowhere struct{}

func (nowhere) Header() http.Header         { return http.Header{} }
func (nowhere) WriteHeader(int)             {}
func (nowhere) Write(b []byte) (int, error) { return len(b), nil }

// keyed are locks by name; the zero value is ready.
type keyed struct {
	mu    sync.Mutex
	taken map[string]chan struct{} // closed when it is free
}

// lock waits until nobody else has the name, or ctx ends.
func (k *keyed) lock(ctx context.Context, name string) (release func(), err error) {
	for {
		k.mu.Lock()
		busy, ok := k.taken[name]
		if !ok {
			mine := make(chan struct{})
			if k.taken == nil {
				k.taken = map[string]chan struct{}{}
			}
			k.taken[name] = mine
			k.mu.Unlock()
			return func() {
				k.mu.Lock()
				delete(k.taken, name)
				k.mu.Unlock()
				close(mine)
			}, nil
		}
		k.mu.Unlock()
		select {
		case <-busy:
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
}

// Answers keeps what requests with an Idempotency-Key were answered.
type Answers interface {
	// Answer returns what was kept under a name, which may be a day old; ok is
	// false when there is nothing.
	Answer(ctx context.Context, name string) (a Answer, ok bool, err error)
	// Keep stores an answer durably.
	Keep(ctx context.Context, name string, a Answer) error
}

// Answer is what a request was answered.
type Answer struct {
	Request  string `json:"request"` // its digest
	Status   int    `json:"status"`
	Location string `json:"location,omitempty"`
	Body     []byte `json:"body"`
}

const (
	keyHeader  = "Idempotency-Key"
	longestKey = 255
)

type keyOf struct{}

// idOf is the id of a request that has none of its own: its Idempotency-Key
// stands for one, so that what was begun before a crash is found again.
func idOf(r *http.Request, id *string) {
	if name, ok := r.Context().Value(keyOf{}).(string); ok && *id == "" {
		*id = "key-" + name
	}
}

// once answers a repeated request as the first one was, without doing anything.
func (s *server) once(post handler) handler {
	return func(w http.ResponseWriter, r *http.Request) error {
		key := r.Header.Get(keyHeader)
		if key == "" {
			return post(w, r)
		}
		if len(key) > longestKey || s.o.Answers == nil {
			return fairway.Invalid(keyHeader, clip(key), "cannot be kept", "use at most 255 characters, and a server that keeps them")
		}
		body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, s.o.MaxBody))
		if err != nil {
			return bodyError(err)
		}
		sum := sha256.Sum256([]byte(r.Method + " " + r.URL.Path + "\x00" + key))
		name, request := hex.EncodeToString(sum[:16]), requestDigest(r, body)
		release, err := s.one.lock(r.Context(), "key "+name)
		if err != nil {
			return err
		}
		defer release()
		before, ok, err := s.o.Answers.Answer(r.Context(), name)
		switch {
		case err != nil:
			return err
		case ok && before.Request != request:
			return fairway.Invalid(keyHeader, key, "was sent with another request to "+r.URL.Path, "use a new key for each request, and the same one only to repeat it as it was")
		case ok:
			return replay(w, before)
		}
		ctx := context.WithValue(r.Context(), keyOf{}, name)
		r = r.WithContext(ctx)
		r.Body = io.NopCloser(bytes.NewReader(body))
		h := &held{ResponseWriter: w, status: http.StatusOK}
		if err := post(h, r); err != nil {
			return err
		}
		// It is done; the asker's leaving must not come between that and its record.
		err = s.o.Answers.Keep(context.WithoutCancel(ctx), name, Answer{Request: request, Status: h.status, Location: w.Header().Get("Location"), Body: h.body})
		if err != nil {
			s.o.Logger.WarnContext(ctx, "an answer could not be kept for a repetition of its request", "path", r.URL.Path, "error", err)
		}
		h.send()
		return nil
	}
}

// requestDigest is the same for a request and its repetition.
func requestDigest(r *http.Request, body []byte) string {
	sum := sha256.New()
	io.WriteString(sum, r.URL.RawQuery+"\x00"+r.Header.Get("Content-Type")+"\x00")
	ce := http.Header{}
	for name, v := range r.Header {
		if strings.HasPrefix(name, "Ce-") { // a CloudEvent's attributes
			ce[name] = v
		}
	}
	_ = ce.Write(sum) // by name; a hash takes all
	sum.Write(body)
	return hex.EncodeToString(sum.Sum(nil))
}

func replay(w http.ResponseWriter, a Answer) error {
	h := w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Idempotency-Replayed", "true")
	if a.Location != "" {
		h.Set("Location", a.Location)
	}
	w.WriteHeader(a.Status)
	_, _ = w.Write(a.Body) // the asker has left if this fails
	return nil
}
