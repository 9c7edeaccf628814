package main

import (
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"syscall"
	"testing"

	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	otlp "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"
)

// A delivery is one trace, whole, though the collector was down and Fairway
// was killed in between; what a test asks belongs to it.
func TestADeliveryIsATrace(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	spans := map[string]*otlp.Span{} // by id: what is sent twice is the same
	up := false
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		var q collector.ExportTraceServiceRequest
		body, err := io.ReadAll(r.Body)
		if err != nil || proto.Unmarshal(body, &q) != nil || !up {
			w.WriteHeader(http.StatusInternalServerError)
			return
		}
		for _, rs := range q.ResourceSpans {
			for _, ss := range rs.ScopeSpans {
				for _, s := range ss.Spans {
					spans[string(s.SpanId)] = s
				}
			}
		}
		w.Header().Set("Content-Type", "application/x-protobuf")
	}))
	t.Cleanup(server.Close)
	env := []string{"OTEL_EXPORTER_OTLP_ENDPOINT=" + server.URL}
	s := start(t)
	s.shop(t, "stages:\n  - name: dev\n  - name: live\n    deployment_strategy: blue_green_service\n", "1s")
	must(t, s.stop())
	must(t, s.begin(env))
	d := s.deliver(t, "1", "finished")
	must(t, s.end(syscall.SIGKILL))
	mu.Lock()
	up = true
	mu.Unlock()
	must(t, s.begin(env))
	var all []string
	must(t, until("the trace is whole", func() (bool, error) {
		mu.Lock()
		defer mu.Unlock()
		all = nil
		var root string
		for _, sp := range spans {
			if hex.EncodeToString(sp.TraceId) != strings.ReplaceAll(string(d.ID), "-", "") {
				continue
			}
			all = append(all, sp.Name)
			if len(sp.ParentSpanId) == 0 {
				root = sp.Name
			} else if spans[string(sp.ParentSpanId)] == nil {
				return false, nil
			}
			if sp.EndTimeUnixNano < sp.StartTimeUnixNano {
				return false, fmt.Errorf("%s ends before it starts", sp.Name)
			}
		}
		return root == "delivery cart 1", nil
	}))
	text := strings.Join(all, ", ")
	for _, want := range []string{"stage dev", "stage live", "configure cart in dev", "deploy cart in live", "release cart in live"} {
		if !strings.Contains(text, want) {
			t.Errorf("no span %q among %s", want, text)
		}
	}
	if len(all) < 8 {
		t.Errorf("only these spans came: %s", text)
	}
	must(t, s.stop())
}
