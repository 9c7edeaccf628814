package api

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"strconv"
	"sync"
	"time"

	"github.com/fairwaycd/fairway"
)

// catchUpPage is how many missed events are sent as one change.
const catchUpPage = 500

// writeLimit is how long a watcher may take nothing before it is let go; it
// comes back with the number of the last event that it saw.
const writeLimit = 30 * time.Second

// watch sends every change as a server-sent event "change" whose id is the
// number of its last event. With Last-Event-ID what was missed comes first.
func (s *server) watch(w http.ResponseWriter, r *http.Request) error {
	only, err := watchFilter(r)
	if err != nil {
		return err
	}
	last, err := lastEventID(r)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	out := &stream{w: w, c: http.NewResponseController(w)}
	var beat sync.WaitGroup
	beat.Go(func() {
		defer cancel()
		out.beat(ctx, s.o.Heartbeat)
	})
	resume := &resumption{b: s.b, last: last, send: out.send}
	if only != (WatchFilter{}) {
		find := func(id string) (fairway.Delivery, error) { return s.b.Delivery(ctx, id) }
		resume.send = (&selection{find: find, only: only, out: out}).send
	}
	err = s.b.Watch(ctx, func(c Change) error { return resume.pass(ctx, c) })
	left := ctx.Err() != nil
	cancel()
	beat.Wait()
	switch {
	case err == nil || left:
		return nil
	case out.begun:
		// The watcher asks again, and is told then if it goes on.
		s.o.Logger.WarnContext(r.Context(), "watch ended", "error", err)
		return nil
	}
	return err
}

func lastEventID(r *http.Request) (uint64, error) {
	v := r.Header.Get("Last-Event-ID")
	if v == "" {
		return 0, nil
	}
	n, err := strconv.ParseUint(v, 10, 64)
	if err != nil {
		return 0, fairway.Invalid("Last-Event-ID", v, "is not the number of an event", "send the id of the last event that was received, or leave it out")
	}
	return n, nil
}

// resumption puts what a watcher missed before what is new.
type resumption struct {
	b    Backend
	last uint64 // the watcher has seen up to here; 0 when it begins
	done bool
	send func(Change) error
}

// pass sends c, and before the first one what was missed. By then the watch
// is in force, so that nothing falls between the two; what both hold is sent
// once.
func (r *resumption) pass(ctx context.Context, c Change) error {
	if !r.done && r.last > 0 {
		if err := r.catchUp(ctx); err != nil {
			return err
		}
	}
	r.done = true
	n := 0
	for n < len(c.Events) && c.Events[n].Seq <= r.last {
		n++
	}
	if had := len(c.Events); had > 0 && n == had && len(c.Progress) == 0 {
		return nil
	}
	c.Events = c.Events[n:]
	return r.send(c)
}

func (r *resumption) catchUp(ctx context.Context) error {
	newest, err := r.b.Events(ctx, EventFilter{Limit: 1})
	if err != nil {
		return fmt.Errorf("find the newest event: %w", err)
	}
	if len(newest) == 0 || newest[len(newest)-1].Seq < r.last {
		r.last = 0 // the watcher saw another data directory's events
		return nil
	}
	for {
		es, err := r.b.Events(ctx, EventFilter{After: r.last, Limit: catchUpPage})
		if err != nil {
			return fmt.Errorf("read missed events: %w", err)
		}
		if len(es) == 0 {
			return nil
		}
		if err := r.send(Change{Events: es}); err != nil {
			return err
		}
		r.last = es[len(es)-1].Seq
	}
}

// stream writes server-sent events; the answer begins with the first. It is
// safe for concurrent use.
type stream struct {
	mu    sync.Mutex
	w     http.ResponseWriter
	c     *http.ResponseController
	begun bool
}

// beat sends a comment every so often until ctx ends or the asker has left.
func (s *stream) beat(ctx context.Context, every time.Duration) {
	t := time.NewTicker(every)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.C:
			if s.write([]byte(":\n\n")) != nil {
				return
			}
		}
	}
}

func (s *stream) send(c Change) error {
	var id uint64
	if n := len(c.Events); n > 0 {
		id = c.Events[n-1].Seq
	}
	return s.sendAs(c, id)
}

// sendAs sends a change under a number, unless that is 0.
func (s *stream) sendAs(c Change, id uint64) error {
	if c.Events == nil {
		c.Events = []StoredEvent{}
	}
	data, err := encode(c)
	if err != nil {
		return fmt.Errorf("write a change: %w", err)
	}
	var b bytes.Buffer
	if id > 0 {
		fmt.Fprintf(&b, "id: %d\n", id)
	}
	fmt.Fprintf(&b, "event: change\ndata: %s\n", data) // data ends its own line
	return s.write(b.Bytes())
}

func (s *stream) write(b []byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.begun {
		s.begun = true
		h := s.w.Header()
		h.Set("Content-Type", "text/event-stream")
		h.Set("Cache-Control", "no-store")
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("X-Accel-Buffering", "no") // a proxy in front must not hold events back
		b = append([]byte("retry: 1000\n\n"), b...)
	}
	// What cannot set a limit has none. It is lifted again, because HTTP/2
	// ends a stream whose limit passes even while nothing is written.
	_ = s.c.SetWriteDeadline(time.Now().Add(writeLimit))
	_, err := s.w.Write(b)
	if err == nil {
		err = s.c.Flush()
	}
	_ = s.c.SetWriteDeadline(time.Time{})
	return err
}
