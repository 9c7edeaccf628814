package image

import (
	"context"
	"net/http"
	"strconv"
	"time"

	"github.com/google/go-containerregistry/pkg/v1/remote"

	"github.com/fairwaycd/fairway"
)

// busyError is what a registry answers that wants to be asked later.
type busyError struct {
	error
	after time.Duration
}

// RetryAfter is how long the registry wants to be left alone, or 0.
func (e busyError) RetryAfter() time.Duration { return e.after }

func (e busyError) Unwrap() error { return e.error }

// waitKey is the key under which a question's context has a *time.Duration.
type waitKey struct{}

// patience notes in the question's context the longest Retry-After of its
// answers.
type patience struct{ http.RoundTripper }

// RoundTrip implements [http.RoundTripper].
func (p patience) RoundTrip(r *http.Request) (*http.Response, error) {
	answer, err := p.RoundTripper.RoundTrip(r)
	wait, ok := r.Context().Value(waitKey{}).(*time.Duration)
	if ok && err == nil && (answer.StatusCode == http.StatusTooManyRequests || answer.StatusCode >= 500) {
		*wait = max(*wait, retryAfter(answer.Header.Get("Retry-After")))
	}
	return answer, err
}

func retryAfter(text string) time.Duration {
	if seconds, err := strconv.Atoi(text); err == nil {
		return time.Duration(min(max(seconds, 0), 86400)) * time.Second
	}
	if at, err := http.ParseTime(text); err == nil {
		return max(0, time.Until(at))
	}
	return 0
}

// visitor asks a registry again and again, and logs in once for each
// repository.
type visitor struct {
	registry fairway.Registry
	puller   *remote.Puller
}

// visited names the registry that a visitor is for.
type visited struct {
	project fairway.ProjectName
	name    string
}

// asked is a source that is asked by somebody who comes again: a busy registry
// is not asked a second time at once.
type asked struct {
	*source
	store  *Store
	r      fairway.Registry
	way    http.RoundTripper
	puller *remote.Puller
	wait   *time.Duration
}

// ask returns the source, and the context in which it is asked.
func (s *Store) ask(ctx context.Context, r fairway.Registry, a fairway.Artifact) (*asked, context.Context, error) {
	src, err := s.elsewhere(r, a)
	if err != nil {
		return nil, ctx, err
	}
	way, err := s.way(r)
	if err != nil {
		return nil, ctx, err
	}
	q := &asked{source: src, store: s, r: r, way: patience{way}, wait: new(time.Duration)}
	key := visited{r.Project, r.Name}
	s.mu.Lock()
	defer s.mu.Unlock()
	v, ok := s.visitors[key]
	if !ok || v.registry != r {
		v = visitor{registry: r}
		v.puller, err = remote.NewPuller(append(src.options, remote.WithTransport(q.way), remote.WithRetryBackoff(remote.Backoff{Steps: 1}))...)
		if err != nil {
			return nil, ctx, err
		}
		s.visitors[key] = v
	}
	q.puller = v.puller
	return q, context.WithValue(ctx, waitKey{}, q.wait), nil
}

// forget has the next question log in anew: what failed may have been the
// login.
func (q *asked) forget() {
	q.store.mu.Lock()
	defer q.store.mu.Unlock()
	key := visited{q.r.Project, q.r.Name}
	if q.store.visitors[key].puller == q.puller {
		delete(q.store.visitors, key)
	}
}
