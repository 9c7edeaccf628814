package api_test

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fairwaycd/fairway"
	"github.com/fairwaycd/fairway/api"
)

func TestNobodyAnswers(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := "http://" + l.Addr().String()
	l.Close()
	c := api.NewClient(api.ClientOptions{URL: address})
	_, err = c.Status(t.Context())
	watch := c.Watch(t.Context(), func(api.Change) error { return nil })
	logs := c.Logs(t.Context(), "d", &buffer{}, true)
	for _, err := range []error{err, watch, logs} {
		if fairway.KindOf(err) != fairway.KindUnavailable || err.Error() != "Fairway does not answer at "+address+"; start it with: fairway up" {
			t.Errorf("error %s %v", fairway.KindOf(err), err)
		}
	}
}

func TestStrangersAndRefusals(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name                      string
		status                    int
		contentType, body, header string
		kind                      fairway.Kind
		says                      string
	}{
		{"a page", 200, "text/html", "<html>", "", fairway.KindUnavailable, "is not Fairway's API"},
		{"a page not found", 404, "text/html", "<html>", "", fairway.KindUnavailable, "is not Fairway's API"},
		{"a redirection", 302, "text/html", "", "http://example.com/", fairway.KindUnavailable, "is not Fairway's API"},
		{"a proxy without its server", 502, "text/html", "", "", fairway.KindUnavailable, "502 Bad Gateway"},
		{"a guard", 401, "text/plain", "no", "", fairway.KindUnauthorized, "the token was not accepted by"},
		{"a guard of hosts", 403, "text/plain", "no", "", fairway.KindUnauthorized, "403 Forbidden"},
		{"another version", 200, "application/json", `{"startedAt":7}`, "", fairway.KindInternal, "different versions"},
		{"an answer that breaks off", 200, "application/json", `{"version":"1"}`, "", fairway.KindUnavailable, "unexpected EOF"},
		{"a later kind", 418, "application/problem+json", `{"title":"I'm a teapot","kind":"later"}`, "", "later", "teapot"},
		{"half a problem", 409, "application/problem+json", `{"title":`, "", fairway.KindConflict, "409 Conflict"},
	} {
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", c.contentType)
			if c.header != "" {
				w.Header().Set("Location", c.header)
			}
			if strings.HasSuffix(c.name, "breaks off") {
				w.Header().Set("Content-Length", "1000")
			}
			w.WriteHeader(c.status)
			w.Write([]byte(c.body))
		}))
		_, err := api.NewClient(api.ClientOptions{URL: s.URL}).Status(t.Context())
		if err == nil || fairway.KindOf(err) != c.kind || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: error %s %v", c.name, fairway.KindOf(err), err)
		}
		s.Close()
	}
}

func TestWhatIsSentAlong(t *testing.T) {
	t.Parallel()
	var got http.Header
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { got = r.Header }))
	defer s.Close()
	_, _ = api.NewClient(api.ClientOptions{URL: s.URL, Token: "t", Version: "1.2"}).Status(t.Context())
	if got.Get("Authorization") != "Bearer t" || got.Get("User-Agent") != "fairway/1.2" {
		t.Errorf("headers %v", got)
	}
}

func TestInputThatIsNotSent(t *testing.T) {
	t.Parallel()
	for _, address := range []string{"127.0.0.1:8080", "ftp://x", "http://", "http://a b", "://"} {
		_, err := api.NewClient(api.ClientOptions{URL: address}).Projects(t.Context())
		if fairway.KindOf(err) != fairway.KindInvalid || !strings.Contains(err.Error(), address) {
			t.Errorf("address %q: %v", address, err)
		}
	}
	m := newMemory()
	c := backends["client"](t, m)
	_, err := c.Delivery(t.Context(), "")
	_, err2 := c.AddResources(t.Context(), api.AddResources{Project: "p"})
	for _, err := range []error{err, err2} {
		if fairway.KindOf(err) != fairway.KindInvalid {
			t.Errorf("an empty name: %v", err)
		}
	}
	if m.lastAsked() != nil {
		t.Errorf("an empty name asked for %v", m.lastAsked())
	}
}

func TestTimeLimits(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		slow := network(func(r *http.Request) (*http.Response, error) {
			<-r.Context().Done()
			return nil, r.Context().Err()
		})
		c := api.NewClient(api.ClientOptions{Timeout: time.Minute, HTTP: &http.Client{Transport: slow, Timeout: time.Second}})
		begin := time.Now()
		_, err := c.SendArtifact(t.Context(), api.SendArtifact{Project: "p", Service: "s"})
		if took := time.Since(begin); took != time.Minute || fairway.KindOf(err) != fairway.KindUnavailable || !strings.Contains(err.Error(), "within 1m0s") {
			t.Errorf("after %v: %v", took, err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err = c.Status(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("the caller's own limit: %v", err)
		}
		// A stream has no limit but the caller's.
		ctx, cancel = context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		begin = time.Now()
		if err = c.Logs(ctx, "d", &buffer{}, true); time.Since(begin) != time.Hour || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("logs ended after %v: %v", time.Since(begin), err)
		}
	})
}
