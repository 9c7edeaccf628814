package outbound_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/fairwaycd/fairway"
	"github.com/fairwaycd/fairway/internal/outbound"
)

func open(t *testing.T, c fairway.Connection) *outbound.Client {
	t.Helper()
	c.Kind = fairway.KindPrometheus
	client, err := outbound.New(c, outbound.Options{Backoff: time.Millisecond, Timeout: 5 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	return client
}

// Every way to say who asks reaches the server, and nothing of it comes back:
// the server here tells all that it was told.
func TestCredentialsAreSentAndNeverShown(t *testing.T) {
	t.Parallel()
	web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/500" {
			w.WriteHeader(500)
		}
		user, password, _ := r.BasicAuth()
		fmt.Fprintf(w, "%s|%s|%s|%s", r.Header, user, password, r.Header.Get("X-Key"))
	}))
	defer web.Close()
	for name, c := range map[string]struct {
		connection fairway.Connection
		sent       []string
	}{
		"password": {fairway.Connection{Username: "gate", Password: "p4ss word"}, []string{"|gate|…|"}},
		"token":    {fairway.Connection{Token: "tok-3n"}, []string{"Bearer …"}},
		"headers":  {fairway.Connection{Headers: map[string]fairway.Secret{"X-Key": "h34der"}, Tenant: "shop"}, []string{"X-Scope-Orgid:[shop]", "|…"}},
	} {
		c.connection.URL = web.URL
		client := open(t, c.connection)
		a, err := client.Do(t.Context(), outbound.Request{Path: "x"})
		if err != nil {
			t.Fatal(err)
		}
		_, bad := client.Do(t.Context(), outbound.Request{Path: "500"})
		if !fairway.IsRetryable(bad) {
			t.Errorf("%s: %v", name, bad)
		}
		printed := fmt.Sprintf("%v %+v %#v %s", c.connection, c.connection, c.connection, c.connection.Token)
		var log strings.Builder
		slog.New(slog.NewTextHandler(&log, nil)).Info("a", "token", c.connection.Token, "password", c.connection.Password)
		slog.New(slog.NewJSONHandler(&log, nil)).Info("a", "token", c.connection.Token, "password", c.connection.Password)
		for _, s := range append(c.connection.Secrets(), "Z2F0ZTpwNHNzIHdvcmQ") {
			for where, text := range map[string]string{"answer": string(a.Body), "error": bad.Error(), "print": printed, "log": log.String()} {
				if strings.Contains(text, s) {
					t.Errorf("%s: the %s shows %q: %s", name, where, s, text)
				}
			}
		}
		for _, s := range c.sent {
			if !strings.Contains(string(a.Body), s) {
				t.Errorf("%s: the server was not told %s: %s", name, s, a.Body)
			}
		}
	}
}

func TestTLS(t *testing.T) {
	t.Parallel()
	web := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, len(r.TLS.PeerCertificates)) }))
	web.TLS = &tls.Config{ClientAuth: tls.RequireAnyClientCert}
	web.Config.ErrorLog = slog.NewLogLogger(slog.NewTextHandler(io.Discard, nil), slog.LevelDebug)
	web.StartTLS()
	defer web.Close()
	ca := string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: web.Certificate().Raw}))
	private, err := x509.MarshalPKCS8PrivateKey(web.TLS.Certificates[0].PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	key := fairway.Secret(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private}))
	a, err := open(t, fairway.Connection{URL: web.URL, CA: ca, Cert: ca, Key: key}).Do(t.Context(), outbound.Request{})
	if err != nil || string(a.Body) != "1" {
		t.Errorf("with both certificates: %s, %v", a.Body, err)
	}
	if _, err := open(t, fairway.Connection{URL: web.URL}).Do(t.Context(), outbound.Request{}); fairway.KindOf(err) != fairway.KindUnauthorized || !strings.Contains(err.Error(), "--ca") {
		t.Errorf("an unknown authority: %v", err)
	}
	for name, c := range map[string]fairway.Connection{
		"a CA that is none": {CA: "hello"}, "a key that is none": {Cert: ca, Key: "hello"},
	} {
		c.Kind, c.URL = fairway.KindPrometheus, web.URL
		if _, err := outbound.New(c, outbound.Options{}); fairway.KindOf(err) != fairway.KindInvalid {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestConnectionsThatCannotWork(t *testing.T) {
	t.Parallel()
	const ok = "http://prometheus:9090"
	for says, c := range map[string]fairway.Connection{
		"is not an http or https URL": {URL: "prometheus:9090"},
		"holds credentials":           {URL: "http://me:s3cret@prometheus"},
		"query or fragment":           {URL: ok + "?token=s3cret"},
		"user name are both there":    {URL: ok, Token: "s3cret", Username: "me"},
		"password is missing":         {URL: ok, Username: "me"},
		"username is missing":         {URL: ok, Password: "s3cret"},
		"belong together":             {URL: ok, Cert: "x"},
		"is set by Fairway itself":    {URL: ok, Headers: map[string]fairway.Secret{"host": "x"}},
		"not the name of a header":    {URL: ok, Headers: map[string]fairway.Secret{"a b": "x"}},
		"with a line break":           {URL: ok, Headers: map[string]fairway.Secret{"A": "s3cret\r\nB: x"}},
		"has a line break":            {URL: ok, Token: "s3cret\nB: x"},
		"is for Dynatrace":            {URL: ok, ColourTag: "x:{{colour}}"},
	} {
		c.Kind = fairway.KindPrometheus
		if _, err := outbound.New(c, outbound.Options{}); fairway.KindOf(err) != fairway.KindInvalid || !strings.Contains(err.Error(), says) || strings.Contains(err.Error(), "s3cret") {
			t.Errorf("%s: %v", says, err)
		}
	}
}

// A date is a Retry-After, too, and the caller's end ends every wait.
func TestRetryAfter(t *testing.T) {
	t.Parallel()
	var asked atomic.Int32
	web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		w.Header().Set("Retry-After", time.Now().Add(time.Hour).UTC().Format(http.TimeFormat))
		w.WriteHeader(http.StatusServiceUnavailable)
	}))
	defer web.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	if _, err := open(t, fairway.Connection{URL: web.URL}).Do(ctx, outbound.Request{}); !fairway.IsRetryable(err) || asked.Load() != 1 {
		t.Errorf("%v after %d requests", err, asked.Load())
	}
}
