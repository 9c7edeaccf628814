package app_test

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/distribution/distribution/v3/configuration"
	_ "github.com/distribution/distribution/v3/registry/auth/htpasswd"
	"github.com/distribution/distribution/v3/registry/handlers"
	_ "github.com/distribution/distribution/v3/registry/storage/driver/inmemory"
	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"golang.org/x/crypto/bcrypt"

	"github.com/fairwaycd/fairway/image"
)

const (
	hubUser   = "bot"
	hubSecret = "pa55word-of-the-registry"
	hookKey   = "0123456789abcdef-of-the-hook"
)

// hub is CNCF Distribution, with TLS of an authority of its own and basic
// authentication.
type hub struct {
	host, ca string
	client   http.RoundTripper
	answer   atomic.Int64 // when not 0, the status of all answers
	asked    atomic.Int64
}

// newHub starts it; hook, when set, is where it sends its notifications.
func newHub(t *testing.T, hook string) *hub {
	t.Helper()
	hash, err := bcrypt.GenerateFromPassword([]byte(hubSecret), bcrypt.MinCost)
	if err != nil {
		t.Fatal(err)
	}
	users := filepath.Join(t.TempDir(), "htpasswd")
	if err := os.WriteFile(users, fmt.Appendf(nil, "%s:%s\n", hubUser, hash), 0o600); err != nil {
		t.Fatal(err)
	}
	c := &configuration.Configuration{
		Storage: configuration.Storage{"inmemory": configuration.Parameters{}, "maintenance": configuration.Parameters{"uploadpurging": map[any]any{"enabled": false}}},
		Auth:    configuration.Auth{"htpasswd": configuration.Parameters{"realm": "hub", "path": users}},
	}
	c.HTTP.Secret = "any"
	if hook != "" {
		c.Notifications.Endpoints = []configuration.Endpoint{{Name: "fairway", URL: hook, Timeout: 5 * time.Second, Threshold: 1, Backoff: 50 * time.Millisecond,
			Headers: http.Header{"Authorization": {"Bearer " + hookKey}}}}
	}
	library := handlers.NewApp(t.Context(), c)
	h := &hub{}
	srv := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h.asked.Add(1)
		if status := int(h.answer.Load()); status != 0 {
			w.Header().Set("Retry-After", "3600")
			w.WriteHeader(status)
			return
		}
		library.ServeHTTP(w, r)
	}))
	t.Cleanup(srv.Close)
	h.host = srv.Listener.Addr().String()
	h.ca = string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: srv.Certificate().Raw}))
	pool := x509.NewCertPool()
	pool.AddCert(srv.Certificate())
	h.client = &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}}
	return h
}

// push pushes an image under the tag and returns its digest. Images of
// different content have different digests.
func (h *hub) push(t *testing.T, repository, tag, content string) string {
	t.Helper()
	img, err := image.Pack(image.PackRequest{Binary: "app_test.go", Name: "web", Entrypoint: []string{"/app/none-" + content}})
	if err != nil {
		t.Fatal(err)
	}
	return h.pushImage(t, repository, tag, img)
}

func (h *hub) pushImage(t *testing.T, repository, tag string, img v1.Image) string {
	t.Helper()
	ref, err := name.NewTag(h.host + "/" + repository + ":" + tag)
	if err != nil {
		t.Fatal(err)
	}
	err = remote.Write(ref, img, remote.WithContext(t.Context()), remote.WithTransport(h.client), remote.WithAuth(&authn.Basic{Username: hubUser, Password: hubSecret}))
	if err != nil {
		t.Fatal(err)
	}
	digest, err := img.Digest()
	if err != nil {
		t.Fatal(err)
	}
	return digest.String()
}
