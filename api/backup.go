package api

import (
	"context"
	"io"
	"mime"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/fairwaycd/fairway"
)

const backupType = "application/gzip"

// streamBackup breaks an answer off that fails after its first byte: a backup
// that is not whole lacks its last entry too, and is refused by a restore.
func (s *server) streamBackup(w http.ResponseWriter, r *http.Request) error {
	q, err := query(r, "secrets")
	if err != nil {
		return err
	}
	secrets := q.flag("secrets")
	if err := q.err(); err != nil {
		return err
	}
	w.Header().Set("Content-Type", backupType)
	w.Header().Set("Cache-Control", "no-store")
	out := &flusher{w: w, c: http.NewResponseController(w)}
	_ = out.c.SetWriteDeadline(time.Time{}) // what cannot lift it has none
	err = s.b.Backup(r.Context(), secrets, out)
	if err != nil && out.begun {
		s.o.Logger.WarnContext(r.Context(), "a backup broke off", "error", err)
		panic(http.ErrAbortHandler)
	}
	return err
}

// Backup implements [Backend].
func (c *Client) Backup(ctx context.Context, secrets bool, w io.Writer) error {
	resp, err := c.open(ctx, call{method: http.MethodGet, path: []string{"backup"}, query: url.Values{"secrets": {strconv.FormatBool(secrets)}}})
	if err != nil {
		return c.explain(ctx, err)
	}
	defer resp.Body.Close()
	if t, _, _ := mime.ParseMediaType(resp.Header.Get("Content-Type")); t != backupType {
		return c.stranger(resp)
	}
	out := &sink{w: w}
	if _, err = io.Copy(out, resp.Body); err == nil || out.err != nil {
		return out.err
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return fairway.Errorf(fairway.KindUnavailable, "the backup broke off, Fairway stopped or failed to read its data; see its log: %w", err)
}
