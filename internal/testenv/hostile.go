package testenv

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"testing"
)

// Hostile are servers that answer as no monitoring system should. Until the
// test ends, those that hang do.
//
// With begin, series and end the server "many" builds an answer of a million
// series in the form of the system that is asked.
func Hostile(t testing.TB, begin, series, end string) map[string]http.Handler {
	t.Helper()
	over := make(chan struct{})
	t.Cleanup(func() { close(over) })
	say := func(kind, text string) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", kind)
			fmt.Fprint(w, text)
		})
	}
	var packed bytes.Buffer
	z, _ := gzip.NewWriterLevel(&packed, gzip.BestSpeed)
	_, _ = z.Write(make([]byte, 6<<20))
	_ = z.Close()
	chunk := strings.Repeat(series+",", 1000)
	return map[string]http.Handler{
		"hangs": http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			_, _ = io.Copy(io.Discard, r.Body) // else the client's leaving is not seen
			select {
			case <-over:
			case <-r.Context().Done():
			}
		}),
		"hangs in the middle": http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.Copy(io.Discard, r.Body)
			fmt.Fprint(w, begin)
			w.(http.Flusher).Flush()
			select {
			case <-over:
			case <-r.Context().Done():
			}
		}),
		"resets": http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			c, _, err := w.(http.Hijacker).Hijack()
			if err != nil {
				return
			}
			_ = c.(*net.TCPConn).SetLinger(0)
			_ = c.Close()
		}),
		"answers HTML":       say("text/html", "<html><body>Please log in</body></html>"),
		"answers half JSON":  say("application/json", begin+series),
		"answers other JSON": say("application/json", `{"hello": [1, 2, 3]}`),
		"answers nothing":    say("application/json", ""),
		"answers null":       say("application/json", "null"),
		"leads elsewhere":    http.RedirectHandler("https://login.example.com/", http.StatusFound),
		"many": http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			fmt.Fprint(w, begin)
			for range 1000 {
				if _, err := fmt.Fprint(w, chunk); err != nil {
					return
				}
			}
			fmt.Fprint(w, series, end)
		}),
		"packed": http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Encoding", "gzip")
			_, _ = w.Write(packed.Bytes())
		}),
	}
}

// Serve answers with the handler until the test's end.
func Serve(t testing.TB, h http.Handler) (url string) {
	t.Helper()
	web := httptest.NewServer(h)
	t.Cleanup(func() {
		web.CloseClientConnections()
		web.Close()
	})
	return web.URL
}

// Allocated returns how many bytes f allocates, whatever else of the process
// does meanwhile included: a test that asks does not run in parallel.
func Allocated(f func()) uint64 {
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}
