package metrics

import (
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// TestAPIQueriesAreBounded takes the only slot, as a long query would.
func TestAPIQueriesAreBounded(t *testing.T) {
	t.Parallel()
	s, err := New(Options{Dir: t.TempDir(), Logger: slog.New(slog.DiscardHandler), MaxQueries: 1})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Stop() })
	ask := func(query string) *httptest.ResponseRecorder {
		w := httptest.NewRecorder()
		s.Handler().ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/api/v1/query?"+query, nil))
		return w
	}
	s.slots <- struct{}{}
	if w := ask("query=1&timeout=20ms"); w.Code != http.StatusServiceUnavailable || w.Header().Get("Retry-After") == "" || !strings.Contains(w.Body.String(), "too many queries") {
		t.Errorf("with no slot free: %d %s", w.Code, w.Body)
	}
	<-s.slots
	for range 3 {
		if w := ask("query=1"); w.Code != http.StatusOK {
			t.Errorf("with the slot free: %d %s", w.Code, w.Body)
		}
	}
}

// BenchmarkStart measures start and stop on an empty directory.
func BenchmarkStart(b *testing.B) {
	for b.Loop() {
		s, err := New(Options{Dir: b.TempDir(), Logger: slog.New(slog.DiscardHandler)})
		if err != nil {
			b.Fatal(err)
		}
		if err := s.Start(b.Context()); err != nil {
			b.Fatal(err)
		}
		if err := s.Stop(); err != nil {
			b.Fatal(err)
		}
	}
}
