package image_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/remote"

	"github.com/fairwaycd/fairway"
	"github.com/fairwaycd/fairway/image"
	"github.com/fairwaycd/fairway/registry"
)

// A look logs in once and then asks one question for each repository, a tag is
// asked for as it is now, and a registry that wants to be left alone says so.
func TestElsewhere(t *testing.T) {
	t.Parallel()
	reg, err := registry.New(registry.Options{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	var asked, status atomic.Int64
	var password atomic.Value
	password.Store("first")
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		_, given, _ := r.BasicAuth()
		switch {
		case status.Load() != 0:
			w.Header().Set("Retry-After", "90")
			w.WriteHeader(int(status.Load()))
		case given != password.Load() && r.Header.Get("X-Test") == "":
			w.Header().Set("WWW-Authenticate", `Basic realm="r"`)
			w.WriteHeader(http.StatusUnauthorized)
		default:
			reg.Handler().ServeHTTP(w, r)
		}
	}))
	defer srv.Close()
	host := strings.TrimPrefix(srv.URL, "http://")
	r := fairway.Registry{Project: "shop", Name: "r", URL: srv.URL, Username: "bot", Password: "first"}
	s, err := image.NewStore(image.StoreOptions{Dir: t.TempDir(), Local: image.LocalRegistry{Host: "127.0.0.1:1"},
		Registry: func(p fairway.ProjectName, img string) (fairway.Registry, bool) {
			return r, p == "shop" && r.Covers(img)
		}})
	if err != nil {
		t.Fatal(err)
	}
	img, err := image.Pack(image.PackRequest{Binary: "elsewhere_test.go", Name: "carts", Entrypoint: []string{"/x"}})
	if err != nil {
		t.Fatal(err)
	}
	ref, err := name.NewTag(host + "/shop/carts:1")
	if err != nil {
		t.Fatal(err)
	}
	if err := remote.Write(ref, img, remote.WithContext(t.Context()), remote.WithTransport(marked{http.DefaultTransport})); err != nil {
		t.Fatal(err)
	}

	carts := fairway.Artifact{Image: host + "/shop/carts", Tag: "1"}
	if a, err := s.Resolve(t.Context(), "shop", carts); err != nil || a.Digest == "" {
		t.Errorf("with the project's credentials: %+v, %v", a, err)
	}
	if _, err := s.Resolve(t.Context(), "other", carts); fairway.KindOf(err) != fairway.KindUnauthorized {
		t.Errorf("with another project's: %v", err)
	}
	if err := s.Reach(t.Context(), r); err != nil {
		t.Error(err)
	}
	for range 2 {
		asked.Store(0)
		if tags, err := s.Tags(t.Context(), r, carts.Image); err != nil || !slices.Equal(tags, []string{"1"}) {
			t.Fatalf("tags %v, %v", tags, err)
		}
	}
	if n := asked.Load(); n != 1 {
		t.Errorf("the second look asked %d times", n)
	}
	if _, err := s.Created(t.Context(), r, carts); err != nil {
		t.Errorf("created: %v", err)
	}
	if _, err := s.Tags(t.Context(), r, host+"/shop/none"); fairway.KindOf(err) != fairway.KindNotFound {
		t.Errorf("a repository that does not exist: %v", err)
	}
	password.Store("second")
	if _, err := s.Tags(t.Context(), r, carts.Image); fairway.KindOf(err) != fairway.KindUnauthorized || !strings.Contains(err.Error(), "fairway registry add") {
		t.Errorf("with a password that was changed: %v", err)
	}
	r.Password = "second"
	if _, err := s.Digest(t.Context(), r, carts); err != nil {
		t.Errorf("with the new one: %v", err)
	}
	for _, code := range []int{http.StatusTooManyRequests, http.StatusServiceUnavailable} {
		status.Store(int64(code))
		asked.Store(0)
		_, err := s.Tags(t.Context(), r, carts.Image)
		busy, ok := err.(interface{ RetryAfter() time.Duration })
		if !ok || busy.RetryAfter() != 90*time.Second || fairway.KindOf(err) != fairway.KindUnavailable || asked.Load() > 1 {
			t.Errorf("%d: %v after %d questions", code, err, asked.Load())
		}
	}
}

// marked is a client that the registry of the test lets in.
type marked struct{ http.RoundTripper }

func (m marked) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	r.Header.Set("X-Test", "1")
	return m.RoundTripper.RoundTrip(r)
}

// Most registries give tokens for credentials. A look asks for one once.
func TestElsewhereWithTokens(t *testing.T) {
	t.Parallel()
	reg, err := registry.New(registry.Options{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	var tokens atomic.Int64
	mux := http.NewServeMux()
	mux.HandleFunc("/token", func(w http.ResponseWriter, r *http.Request) {
		tokens.Add(1)
		if user, password, _ := r.BasicAuth(); user != "bot" || password != "pa55word" {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		io.WriteString(w, `{"token":"for-`+r.FormValue("scope")+`"}`)
	})
	mux.HandleFunc("/v2/", func(w http.ResponseWriter, r *http.Request) {
		given := r.Header.Get("Authorization")
		if r.Header.Get("X-Test") == "" && (!strings.HasPrefix(given, "Bearer for-") || r.URL.Path != "/v2/" && !strings.Contains(given, "repository:shop/carts:pull")) {
			w.Header().Set("WWW-Authenticate", `Bearer realm="http://`+r.Host+`/token",service="r"`)
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		reg.Handler().ServeHTTP(w, r)
	})
	srv := httptest.NewServer(mux)
	defer srv.Close()
	s, err := image.NewStore(image.StoreOptions{Dir: t.TempDir(), Local: image.LocalRegistry{Host: "127.0.0.1:1"}})
	if err != nil {
		t.Fatal(err)
	}
	r := fairway.Registry{Project: "shop", Name: "r", URL: srv.URL, Username: "bot", Password: "wrong"}
	if err := s.Reach(t.Context(), r); fairway.KindOf(err) != fairway.KindUnauthorized {
		t.Errorf("with a wrong password: %v", err)
	}
	r.Password = "pa55word"
	if err := s.Reach(t.Context(), r); err != nil {
		t.Error(err)
	}
	host := strings.TrimPrefix(srv.URL, "http://")
	ref, err := name.NewTag(host + "/shop/carts:1")
	if err != nil {
		t.Fatal(err)
	}
	if err := remote.Write(ref, empty.Image, remote.WithContext(t.Context()), remote.WithTransport(marked{http.DefaultTransport})); err != nil {
		t.Fatal(err)
	}
	tokens.Store(0)
	for range 3 {
		if tags, err := s.Tags(t.Context(), r, host+"/shop/carts"); err != nil || !slices.Equal(tags, []string{"1"}) {
			t.Fatalf("tags %v, %v", tags, err)
		}
	}
	if n := tokens.Load(); n != 1 {
		t.Errorf("three looks asked for %d tokens", n)
	}
	public := r
	public.Username, public.Password = "", ""
	if err := s.Reach(t.Context(), public); err != nil {
		t.Errorf("a registry that tells strangers nothing: %v", err)
	}
}
