package api

import (
	"context"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/fairwaycd/fairway"
	"github.com/fairwaycd/fairway/dora"
)

// DoraFilter names what figures are asked for: those of a service, or of all
// services of a project.
type DoraFilter struct {
	Project fairway.ProjectName
	Service fairway.ServiceName
	Since   time.Time // default: 30 days before now
}

// figures are the calls of [Backend] about how well things are delivered.
type figures interface {
	// Dora returns the figures from Since until now.
	Dora(ctx context.Context, f DoraFilter) (dora.Figures, error)
}

func (s *server) showDora(w http.ResponseWriter, r *http.Request) error {
	q, err := query(r, "since")
	if err != nil {
		return err
	}
	f := DoraFilter{Project: fairway.ProjectName(r.PathValue("project")), Service: fairway.ServiceName(r.PathValue("s"))}
	if text := q.text("since"); text != "" {
		if f.Since, err = ParseSince(text, time.Now()); err != nil {
			return err
		}
	}
	if err := q.err(); err != nil {
		return err
	}
	got, err := s.b.Dora(r.Context(), f)
	return answer(w, http.StatusOK, got, err)
}

// ParseSince reads an instant (2026-05-04T12:00:00Z), a day (2026-05-04, its
// midnight in UTC), or how long before now something was (90d, 12h).
func ParseSince(text string, now time.Time) (time.Time, error) {
	for _, layout := range []string{time.RFC3339, time.DateOnly} {
		if t, err := time.Parse(layout, text); err == nil {
			return t, nil
		}
	}
	if days, ok := strings.CutSuffix(text, "d"); ok {
		if n, err := strconv.ParseUint(days, 10, 16); err == nil {
			return now.Add(-time.Duration(n) * 24 * time.Hour), nil
		}
	}
	if d, err := time.ParseDuration(text); err == nil && d >= 0 {
		return now.Add(-d), nil
	}
	return time.Time{}, fairway.Invalid("since", text, "is neither an instant nor a span of time", "write 2026-05-04T12:00:00Z, 2026-05-04, 90d or 12h")
}

// Dora implements [Backend].
func (c *Client) Dora(ctx context.Context, f DoraFilter) (dora.Figures, error) {
	path := []string{"projects", string(f.Project)}
	if f.Service != "" {
		path = append(path, "services", string(f.Service))
	}
	q := url.Values{}
	if !f.Since.IsZero() {
		q.Set("since", f.Since.Format(time.RFC3339Nano))
	}
	return get[dora.Figures](ctx, c, q, append(path, "dora")...)
}
