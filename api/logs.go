package api

import (
	"net/http"
	"time"
)

// streamLogs copies output as it comes. A failure after the first byte breaks
// the answer off, so that nobody takes half of it for the whole.
func (s *server) streamLogs(w http.ResponseWriter, r *http.Request) error {
	q, err := query(r, "follow")
	if err != nil {
		return err
	}
	follow := q.flag("follow")
	if err := q.err(); err != nil {
		return err
	}
	h := w.Header()
	h.Set("Content-Type", "text/plain; charset=utf-8")
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	out := &flusher{w: w, c: http.NewResponseController(w), each: follow}
	// A server's time limit for answers is not meant for streams; what cannot
	// lift it has none.
	_ = out.c.SetWriteDeadline(time.Time{})
	err = s.b.Logs(r.Context(), r.PathValue("id"), out, follow)
	if err != nil && out.begun {
		if r.Context().Err() == nil {
			s.o.Logger.WarnContext(r.Context(), "log stream broke off", "delivery", r.PathValue("id"), "error", err)
		}
		panic(http.ErrAbortHandler)
	}
	return err
}

// flusher passes output on, at once if asked to.
type flusher struct {
	w     http.ResponseWriter
	c     *http.ResponseController
	each  bool
	begun bool
}

// Write implements io.Writer.
func (f *flusher) Write(b []byte) (int, error) {
	f.begun = true
	n, err := f.w.Write(b)
	if err == nil && f.each {
		err = f.c.Flush()
	}
	return n, err
}
