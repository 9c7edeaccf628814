package image_test

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/fairwaycd/fairway"
	"github.com/fairwaycd/fairway/image"
	"github.com/fairwaycd/fairway/registry"
)

const token = "open-sesame"

// site is a registry that asks for the token, and a store over it.
type site struct {
	*image.Store
	t     testing.TB
	dir   string // of the store
	data  string // of the registry
	host  string
	blobs atomic.Int64 // how many were fetched
	down  atomic.Bool
}

func newSite(t testing.TB, o image.StoreOptions) *site {
	t.Helper()
	s := &site{t: t, dir: o.Dir, data: t.TempDir()}
	r, err := registry.New(registry.Options{Dir: s.data})
	if err != nil {
		t.Fatal(err)
	}
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		user, password, _ := req.BasicAuth()
		switch {
		case s.down.Load():
			w.WriteHeader(http.StatusBadGateway)
		case user != "fairway" || password != token:
			w.Header().Set("WWW-Authenticate", `Basic realm="fairway"`)
			w.WriteHeader(http.StatusUnauthorized)
		default:
			if req.Method == http.MethodGet && strings.Contains(req.URL.Path, "/blobs/") {
				s.blobs.Add(1)
			}
			r.Handler().ServeHTTP(w, req)
		}
	}))
	t.Cleanup(srv.Close)
	s.host = strings.TrimPrefix(srv.URL, "http://")
	if s.dir == "" {
		s.dir = filepath.Join(t.TempDir(), "images")
	}
	o.Dir = s.dir
	o.Local = image.LocalRegistry{Host: s.host, Token: func() string { return token }}
	if o.GOOS == "" {
		o.GOOS, o.GOARCH = "linux", "amd64"
	}
	s.Store, err = image.NewStore(o)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// artifact is image:tag in the local registry, named without its host.
func artifact(ref string) fairway.Artifact {
	img, tag := fairway.SplitImage(ref)
	return fairway.Artifact{Image: img, Tag: tag}
}

func (s *site) push(ref string, img v1.Image) string {
	s.t.Helper()
	digest, err := image.Push(s.t.Context(), img, s.host+"/"+ref, image.Credentials{User: "fairway", Token: token})
	if err != nil {
		s.t.Fatal(err)
	}
	return digest
}

// pushIndex pushes an index of images, each for the platform that is its key.
func (s *site) pushIndex(ref string, images map[string]v1.Image) string {
	s.t.Helper()
	index := mutate.IndexMediaType(empty.Index, types.OCIImageIndex)
	for platform, img := range images {
		system, arch, _ := strings.Cut(platform, "/")
		index = mutate.AppendManifests(index, mutate.IndexAddendum{Add: img, Descriptor: v1.Descriptor{Platform: &v1.Platform{OS: system, Architecture: arch}}})
	}
	tag, err := name.NewTag(s.host + "/" + ref)
	if err != nil {
		s.t.Fatal(err)
	}
	if err := remote.WriteIndex(tag, index, remote.WithAuth(basic())); err != nil {
		s.t.Fatal(err)
	}
	h, err := index.Digest()
	if err != nil {
		s.t.Fatal(err)
	}
	return h.String()
}

func file(name, content string) fileEntry {
	return fileEntry{tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: 0o644}, content}
}

func dir(name string) fileEntry {
	return fileEntry{tar.Header{Typeflag: tar.TypeDir, Name: name, Mode: 0o755}, ""}
}

func link(name, target string) fileEntry {
	return fileEntry{tar.Header{Typeflag: tar.TypeSymlink, Name: name, Linkname: target}, ""}
}

func hard(name, target string) fileEntry {
	return fileEntry{tar.Header{Typeflag: tar.TypeLink, Name: name, Linkname: target}, ""}
}

type fileEntry struct {
	header  tar.Header
	content string
}

func basic() authn.Authenticator { return &authn.Basic{Username: "fairway", Password: token} }

// layered makes an image for linux/amd64 of the given layers.
func layered(t testing.TB, layers ...[]fileEntry) v1.Image {
	t.Helper()
	var all []v1.Layer
	for _, entries := range layers {
		var buf bytes.Buffer
		w := tar.NewWriter(&buf)
		for _, e := range entries {
			h := e.header
			h.Size = int64(len(e.content))
			if err := w.WriteHeader(&h); err != nil {
				t.Fatal(err)
			}
			if _, err := io.WriteString(w, e.content); err != nil {
				t.Fatal(err)
			}
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		l, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(buf.Bytes())), nil })
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, l)
	}
	img, err := mutate.AppendLayers(empty.Image, all...)
	if err != nil {
		t.Fatal(err)
	}
	return platform(t, img, "linux/amd64")
}

func platform(t testing.TB, img v1.Image, p string) v1.Image {
	t.Helper()
	c, err := img.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	c = c.DeepCopy()
	c.OS, c.Architecture, _ = strings.Cut(p, "/")
	if img, err = mutate.ConfigFile(img, c); err != nil {
		t.Fatal(err)
	}
	return img
}

func TestResolve(t *testing.T) {
	t.Parallel()
	s := newSite(t, image.StoreOptions{})
	digest := s.push("sockshop/carts:1.0", layered(t, []fileEntry{file("a", "1")}))
	_, port, _ := strings.Cut(s.host, ":")
	for _, img := range []string{"sockshop/carts", s.host + "/sockshop/carts", "localhost:" + port + "/sockshop/carts"} {
		a, err := s.Resolve(t.Context(), "", fairway.Artifact{Image: img, Tag: "1.0"})
		if err != nil || a.Digest != digest || a.Image != img {
			t.Errorf("%s: %+v, error %v", img, a, err)
		}
	}
	moved := s.push("sockshop/carts:1.0", layered(t, []fileEntry{file("a", "2")}))
	a, err := s.Resolve(t.Context(), "", fairway.Artifact{Image: "sockshop/carts", Tag: "1.0", Digest: digest})
	if err != nil || a.Digest != moved {
		t.Errorf("moved tag: %+v, error %v", a, err)
	}
}

func TestResolveErrors(t *testing.T) {
	t.Parallel()
	s := newSite(t, image.StoreOptions{})
	_, err := s.Resolve(t.Context(), "", artifact("mongo:latest"))
	for _, want := range []string{"fairway image push --binary PROGRAM " + s.host + "/mongo:latest", "docker push " + s.host + "/mongo:latest"} {
		if fairway.KindOf(err) != fairway.KindNotFound || !strings.Contains(err.Error(), want) {
			t.Errorf("missing image: %v; want not_found with %q", err, want)
		}
	}
	if _, err := s.Resolve(t.Context(), "", artifact("UPPER:1")); fairway.KindOf(err) != fairway.KindInvalid {
		t.Errorf("bad name: %v", err)
	}
	s.down.Store(true)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	if _, err := s.Resolve(ctx, "", artifact("mongo:latest")); fairway.KindOf(err) != fairway.KindUnavailable || !fairway.IsRetryable(err) {
		t.Errorf("registry down: %v", err)
	}
	s.down.Store(false)
	o := image.StoreOptions{Dir: t.TempDir(), Local: image.LocalRegistry{Host: s.host, Token: func() string { return "wrong" }}}
	st, err := image.NewStore(o)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := st.Resolve(t.Context(), "", artifact("mongo:latest")); fairway.KindOf(err) != fairway.KindUnauthorized {
		t.Errorf("wrong token: %v", err)
	}
}

func TestUnpackOnceForAll(t *testing.T) {
	t.Parallel()
	s := newSite(t, image.StoreOptions{})
	s.push("p/s:1", layered(t, []fileEntry{file("app/s", "x")}))
	a, err := s.Resolve(t.Context(), "", artifact("p/s:1"))
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	roots := make([]string, 8)
	for i := range roots {
		wg.Go(func() {
			u, err := s.Unpack(t.Context(), "", a)
			if err != nil {
				t.Error(err)
			}
			roots[i] = u.Root
		})
	}
	wg.Wait()
	for _, r := range roots {
		if r != roots[0] {
			t.Errorf("unpacked to %s and %s", r, roots[0])
		}
	}
	if n := s.blobs.Load(); n != 2 { // configuration and layer
		t.Errorf("%d blobs were fetched, want 2", n)
	}
	// A new store finds it without the registry, and removes what was left.
	left := filepath.Join(s.dir, ".unpack-1")
	if err := os.MkdirAll(left, 0o700); err != nil {
		t.Fatal(err)
	}
	st, err := image.NewStore(image.StoreOptions{Dir: s.dir, Local: image.LocalRegistry{Host: "127.0.0.1:1"}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(left); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the leftover is still there: %v", err)
	}
	u, err := st.Unpack(t.Context(), "", a)
	if err != nil || u.Root != roots[0] || u.OS != "linux" {
		t.Fatalf("second store: %+v, error %v", u, err)
	}
	if n, err := st.Prune(t.Context(), func(string) bool { return true }); n != 0 || err != nil {
		t.Errorf("pruned %d, error %v", n, err)
	}
	if n, err := st.Prune(t.Context(), func(d string) bool { return d != a.Digest }); n != 1 || err != nil {
		t.Errorf("pruned %d, error %v", n, err)
	}
}

func TestUnpackGivesUpWithItsCaller(t *testing.T) {
	t.Parallel()
	s := newSite(t, image.StoreOptions{Limits: image.Limits{Time: time.Nanosecond}})
	s.push("p/s:1", layered(t, []fileEntry{file("a", "x")}))
	_, err := s.Unpack(t.Context(), "", artifact("p/s:1"))
	if fairway.KindOf(err) != fairway.KindUnavailable || !strings.Contains(err.Error(), "not fetched and unpacked within") {
		t.Errorf("time limit: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := s.Unpack(ctx, "", artifact("p/s:1")); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
	left, err := filepath.Glob(filepath.Join(s.dir, "*"))
	if err != nil || len(left) != 0 {
		t.Errorf("left: %v, error %v", left, err)
	}
}

func TestPlatforms(t *testing.T) {
	t.Parallel()
	s := newSite(t, image.StoreOptions{})
	amd, arm := layered(t, []fileEntry{file("arch", "amd64")}), platform(t, layered(t, []fileEntry{file("arch", "arm64")}), "linux/arm64")
	attestation := platform(t, layered(t, []fileEntry{file("arch", "none")}), "unknown/unknown")
	index := s.pushIndex("p/s:both", map[string]v1.Image{"linux/amd64": amd, "linux/arm64": arm, "unknown/unknown": attestation})
	s.pushIndex("p/s:arm", map[string]v1.Image{"linux/arm64": arm, "unknown/unknown": attestation})
	s.push("p/s:single-arm", arm)

	u, err := s.Unpack(t.Context(), "", fairway.Artifact{Image: "p/s", Tag: "both", Digest: index})
	if err != nil {
		t.Fatal(err)
	}
	if h, _ := amd.Digest(); u.Digest != h.String() || u.Arch != "amd64" {
		t.Errorf("unpacked %+v, want %s", u, h)
	}
	if b, err := os.ReadFile(filepath.Join(u.Root, "arch")); err != nil || string(b) != "amd64" {
		t.Errorf("arch %q, error %v", b, err)
	}
	for _, tag := range []string{"arm", "single-arm"} {
		_, err := s.Unpack(t.Context(), "", artifact("p/s:"+tag))
		want := "is for linux/arm64, and this machine is linux/amd64; build it for linux/amd64: GOOS=linux GOARCH=amd64 go build"
		if fairway.KindOf(err) != fairway.KindRefused || fairway.IsRetryable(err) || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v; want %q", tag, err, want)
		}
	}
}
