package kubernetes

import (
	"io"
	"net/http"
	"net/http/httptest"
	"testing"

	"k8s.io/client-go/rest"
)

// Requests to Kubernetes Services take the way through the API server, with
// its credentials and not theirs; all others go as always.
func TestServiceTransport(t *testing.T) {
	t.Parallel()
	echo := func(name string) *httptest.Server {
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.WriteString(w, name+" "+r.RequestURI+" "+r.Header.Get("Authorization"))
		}))
		t.Cleanup(s.Close)
		return s
	}
	server, other := echo("server"), echo("other")
	for _, prefix := range []string{"", "/prefix"} {
		transport, err := ServiceTransport(&rest.Config{Host: server.URL + prefix, BearerToken: "cluster"})
		if err != nil {
			t.Fatal(err)
		}
		asks(t, transport, prefix, other.URL)
	}
}

func asks(t *testing.T, transport http.RoundTripper, prefix, other string) {
	t.Helper()
	for url, want := range map[string]string{
		"http://prometheus-service.monitoring.svc:8080/api/v1/query?a=b": "server " + prefix + "/api/v1/namespaces/monitoring/services/prometheus-service:8080/proxy/api/v1/query?a=b Bearer cluster",
		"https://web.shop.svc.cluster.local/x":                           "server " + prefix + "/api/v1/namespaces/shop/services/https:web:443/proxy/x Bearer cluster",
		other + "/api/v1/query":                                          "other /api/v1/query Bearer mine",
	} {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Authorization", "Bearer mine")
		answer, err := transport.RoundTrip(r)
		if err != nil {
			t.Fatalf("%s: %v", url, err)
		}
		body, err := io.ReadAll(answer.Body)
		answer.Body.Close()
		if err != nil || string(body) != want {
			t.Errorf("%s: %q, %v, want %q", url, body, err, want)
		}
	}
}
