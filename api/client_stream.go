package api

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"io"
	"mime"
	"net/http"
	"net/url"
	"time"

	"github.com/fairwaycd/fairway"
)

// Bounds of a watch: the waits between two attempts to connect again, for
// how long that is tried, how long a stream may be silent (a server gives a
// sign of life every 15 s), and the largest change in bytes.
const (
	firstWait   = 100 * time.Millisecond
	longestWait = 5 * time.Second
	giveUpAfter = 2 * time.Minute
	silence     = 45 * time.Second
	largest     = 64 << 20
)

// errSilent ends a stream that shows no sign of life.
var errSilent = fairway.Errorf(fairway.KindUnavailable, "the connection to Fairway went silent")

// Logs implements [Backend]. It has no time limit.
func (c *Client) Logs(ctx context.Context, id string, w io.Writer, follow bool) error {
	var q url.Values
	if follow {
		q = url.Values{"follow": {"true"}}
	}
	resp, err := c.open(ctx, call{method: http.MethodGet, path: []string{"deliveries", id, "logs"}, query: q})
	if err != nil {
		return c.explain(ctx, err)
	}
	defer resp.Body.Close()
	if t, _, _ := mime.ParseMediaType(resp.Header.Get("Content-Type")); t != "text/plain" {
		return c.stranger(resp)
	}
	out := &sink{w: w}
	if _, err = io.Copy(out, resp.Body); err == nil || out.err != nil {
		return out.err
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return fairway.Errorf(fairway.KindUnavailable, "the output of delivery %s broke off, Fairway stopped or failed to read it: %w", id, err)
}

// sink remembers that it was the receiver of a copy that failed.
type sink struct {
	w   io.Writer
	err error
}

// Write implements io.Writer.
func (s *sink) Write(b []byte) (int, error) {
	n, err := s.w.Write(b)
	s.err = err
	return n, err
}

// Watch implements [Backend]. A broken connection is made again, and what was
// missed meanwhile comes before what is new; each time f is called once
// without events. It gives up with KindUnavailable when the first connection
// fails, or after two minutes without one.
func (c *Client) Watch(ctx context.Context, f func(Change) error) error {
	w := &watcher{c: c, f: f}
	wait, since := firstWait, time.Now()
	for {
		heard, began := w.heard, time.Now()
		err := w.once(ctx)
		switch {
		case w.stopped != nil:
			return w.stopped
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case w.heard == 0 || final(err):
			return err
		case w.heard > heard:
			since = time.Now()
		case time.Since(since) > giveUpAfter:
			return err
		}
		if time.Since(began) > longestWait {
			wait = firstWait // a server that drops everybody at once is not hurried
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(wait):
		}
		wait = min(2*wait, longestWait)
	}
}

// final reports whether asking again would bring the same refusal.
func final(err error) bool {
	switch fairway.KindOf(err) {
	case fairway.KindUnavailable, fairway.KindFull, fairway.KindInternal:
		return false
	}
	return true
}

// watcher is a watch over several connections.
type watcher struct {
	c       *Client
	f       func(Change) error
	last    string // id of the last event that f saw
	heard   int    // messages so far
	stopped error  // what ended it for good, such as f's error
}

// once follows one connection to its end and says why it ended.
func (w *watcher) once(ctx context.Context) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	alive := time.AfterFunc(silence, func() { cancel(errSilent) })
	defer alive.Stop()

	k := call{method: http.MethodGet, path: []string{"watch"}, header: http.Header{"Accept": {"text/event-stream"}}}
	if w.last != "" {
		k.header.Set("Last-Event-ID", w.last)
	}
	resp, err := w.c.open(ctx, k)
	if err != nil {
		return w.c.explain(ctx, err)
	}
	defer resp.Body.Close()
	if t, _, _ := mime.ParseMediaType(resp.Header.Get("Content-Type")); t != "text/event-stream" {
		return w.c.stranger(resp)
	}
	lines := bufio.NewScanner(resp.Body)
	lines.Buffer(nil, largest)
	var m message
	for lines.Scan() {
		alive.Reset(silence)
		if !m.take(lines.Bytes()) {
			continue
		}
		// f may take its time; that is no silence of the server.
		alive.Stop()
		if err := w.deliver(m); err != nil {
			return err
		}
		alive.Reset(silence)
		m = message{}
	}
	err = lines.Err()
	if err == nil {
		err = io.EOF
	}
	return w.c.explain(ctx, err)
}

func (w *watcher) deliver(m message) error {
	w.heard++
	if m.event != "change" {
		return nil
	}
	var c Change
	if err := json.Unmarshal(m.data, &c); err != nil {
		w.stopped = w.c.misread(err) // it would come again
		return w.stopped
	}
	if w.stopped = w.f(c); w.stopped != nil {
		return w.stopped
	}
	if m.id != "" {
		w.last = m.id
	}
	return nil
}

// message is a server-sent event.
type message struct {
	event, id string
	data      []byte
}

// take adds a line and reports whether the message is complete.
func (m *message) take(line []byte) bool {
	if len(line) == 0 {
		return len(m.data) > 0
	}
	name, value, _ := bytes.Cut(line, []byte(":"))
	value = bytes.TrimPrefix(value, []byte(" "))
	switch string(name) {
	case "event":
		m.event = string(value)
	case "id":
		m.id = string(value)
	case "data":
		m.data = append(m.data, value...)
	}
	return false
}
