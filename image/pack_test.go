package image_test

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/fairwaycd/fairway"
	"github.com/fairwaycd/fairway/image"
	"github.com/fairwaycd/fairway/registry"
)

func write(t testing.TB, path, content string, mode os.FileMode) string {
	t.Helper()
	if err := os.WriteFile(path, []byte(content), mode); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestPackPushUnpack(t *testing.T) {
	t.Parallel()
	d := t.TempDir()
	q := image.PackRequest{
		Binary: write(t, filepath.Join(d, "carts"), "#!/bin/true\n", 0o700),
		Files: []image.File{
			{Source: write(t, filepath.Join(d, "version"), "Version = v1", 0o600), Path: "/app/version"},
			{Source: write(t, filepath.Join(d, "tool"), "x", 0o700), Path: "/usr/bin/tool"},
		},
		Cmd:  []string{"--port", "8080"},
		Env:  map[string]string{"B": "2", "A": "1"},
		Port: 8080, Labels: map[string]string{"version": "0.6.0"},
		OS: "linux", Arch: "amd64",
	}
	img, err := image.Pack(q)
	if err != nil {
		t.Fatal(err)
	}
	s := newSite(t, image.StoreOptions{})
	digest := s.push("sockshop/carts:0.6.0-1", img)
	u, err := s.Unpack(t.Context(), "", artifact("sockshop/carts:0.6.0-1"))
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"app/", "app/carts=#!/bin/true\n", "app/version=Version = v1", "usr/", "usr/bin/", "usr/bin/tool=x"}
	if got := shape(t, u.Root); !slices.Equal(got, want) {
		t.Errorf("unpacked %q, want %q", got, want)
	}
	if u.Digest != digest || u.WorkingDir != "/app" || !slices.Equal(u.Entrypoint, []string{"/app/carts"}) ||
		!slices.Equal(u.Env, []string{"A=1", "B=2"}) || !slices.Equal(u.Cmd, q.Cmd) {
		t.Errorf("unpacked %+v", u)
	}
	for name, mode := range map[string]os.FileMode{"app/carts": 0o755, "app/version": 0o644, "usr/bin/tool": 0o755} {
		if fi, err := os.Stat(filepath.Join(u.Root, name)); err != nil || fi.Mode() != mode {
			t.Errorf("%s: %v, error %v; want %v", name, fi.Mode(), err, mode)
		}
	}
	c, err := img.ConfigFile()
	if err != nil || c.Config.Labels["version"] != "0.6.0" || !c.Created.Equal(time.Unix(0, 0)) {
		t.Errorf("configuration %+v, error %v", c, err)
	}
	if _, ok := c.Config.ExposedPorts["8080/tcp"]; !ok {
		t.Errorf("ports %v", c.Config.ExposedPorts)
	}
}

// TestPackIsReproducible: only the input counts, not when or where it lies.
func TestPackIsReproducible(t *testing.T) {
	t.Parallel()
	pack := func(content string, created time.Time) string {
		d := t.TempDir()
		img, err := image.Pack(image.PackRequest{
			Binary:  write(t, filepath.Join(d, "carts"), content, 0o700),
			Files:   []image.File{{Source: write(t, filepath.Join(d, "b"), "b", 0o600), Path: "/b"}, {Source: write(t, filepath.Join(d, "a"), "a", 0o600), Path: "/a"}},
			Env:     map[string]string{"C": "1", "B": "2", "A": "3"},
			Created: created, OS: "linux", Arch: "amd64",
		})
		if err != nil {
			t.Fatal(err)
		}
		h, err := img.Digest()
		if err != nil {
			t.Fatal(err)
		}
		return h.String()
	}
	at := time.Date(2024, 5, 1, 12, 0, 0, 0, time.UTC)
	first := pack("x", at)
	if again := pack("x", at.In(time.FixedZone("", 7200))); again != first {
		t.Errorf("the same input gave %s and %s", first, again)
	}
	if other := pack("y", at); other == first {
		t.Error("another program gave the same digest")
	}
	if later := pack("x", at.Add(time.Second)); later == first {
		t.Error("another time gave the same digest")
	}
}

func TestPackFindsPlatform(t *testing.T) {
	t.Parallel()
	d := t.TempDir()
	src := write(t, filepath.Join(d, "main.go"), "package main\nfunc main() {}\n", 0o600)
	for _, p := range [][2]string{{"linux", "arm64"}, {"darwin", "arm64"}} {
		out := filepath.Join(d, strings.Join(p[:], "-"))
		cmd := exec.CommandContext(t.Context(), "go", "build", "-o", out, src)
		cmd.Env = append(os.Environ(), "GOOS="+p[0], "GOARCH="+p[1], "CGO_ENABLED=0")
		if b, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, b)
		}
		img, err := image.Pack(image.PackRequest{Binary: out})
		if err != nil {
			t.Fatal(err)
		}
		if c, err := img.ConfigFile(); err != nil || c.OS != p[0] || c.Architecture != p[1] {
			t.Errorf("%v: %s/%s, error %v", p, c.OS, c.Architecture, err)
		}
	}
	img, err := image.Pack(image.PackRequest{Binary: src})
	if err != nil {
		t.Fatal(err)
	}
	if c, err := img.ConfigFile(); err != nil || c.OS != runtime.GOOS || c.Architecture != runtime.GOARCH {
		t.Errorf("script: %+v, error %v", c, err)
	}
}

func TestPackRefuses(t *testing.T) {
	t.Parallel()
	d := t.TempDir()
	bin := write(t, filepath.Join(d, "carts"), "x", 0o700)
	for _, c := range []struct {
		q        image.PackRequest
		problems int
		says     string
	}{
		{image.PackRequest{}, 1, "name the program's file"},
		{image.PackRequest{Binary: filepath.Join(d, "none")}, 1, "does not exist; build it first"},
		{image.PackRequest{Binary: d}, 1, "is not a regular file"},
		{image.PackRequest{Binary: bin, Name: "a/b", Port: 70000, OS: "linux", Files: []image.File{{Source: bin, Path: "x"}, {Source: bin, Path: "/a/../b"}}}, 5, "is no TCP port"},
		{image.PackRequest{Binary: bin, Files: []image.File{{Source: bin, Path: "/app/carts"}}}, 1, "is given twice"},
	} {
		_, err := image.Pack(c.q)
		if fairway.KindOf(err) != fairway.KindInvalid || len(fairway.Problems(err)) != c.problems || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%+v: %v; want %d problems with %q", c.q, err, c.problems, c.says)
		}
	}
}

// TestPushAgain: also an image that is there already is pushed, once a call.
func TestPushAgain(t *testing.T) {
	t.Parallel()
	var told []registry.Push
	r, err := registry.New(registry.Options{Dir: t.TempDir(), OnPush: func(_ context.Context, p registry.Push) error {
		told = append(told, p)
		return nil
	}})
	if err != nil {
		t.Fatal(err)
	}
	srv := httptest.NewServer(r.Handler())
	defer srv.Close()
	img := layered(t, []fileEntry{file("a", "1")})
	for i := range 2 {
		if _, err := image.Push(t.Context(), img, strings.TrimPrefix(srv.URL, "http://")+"/p/s:1", image.Credentials{}); err != nil {
			t.Fatal(err)
		}
		if len(told) != i+1 || told[i].Tag != "1" {
			t.Fatalf("after push %d told of %+v", i+1, told)
		}
	}
}

func TestPushErrors(t *testing.T) {
	t.Parallel()
	img := layered(t, []fileEntry{file("a", "1")})
	if _, err := image.Push(t.Context(), img, "127.0.0.1:1/x", image.Credentials{}); fairway.KindOf(err) != fairway.KindInvalid {
		t.Errorf("no tag: %v", err)
	}
	s := newSite(t, image.StoreOptions{})
	if _, err := image.Push(t.Context(), img, s.host+"/x:1", image.Credentials{User: "fairway", Token: "no"}); fairway.KindOf(err) != fairway.KindUnauthorized || !strings.Contains(err.Error(), "fairway login") {
		t.Errorf("wrong token: %v", err)
	}
	full := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/v2/" {
			return
		}
		if r.Method == http.MethodHead {
			w.WriteHeader(http.StatusNotFound)
			return
		}
		w.WriteHeader(http.StatusInsufficientStorage)
		_, _ = w.Write([]byte(`{"errors":[{"code":"UNAVAILABLE","message":"no room left"}]}`))
	}))
	defer full.Close()
	_, err := image.Push(t.Context(), img, strings.TrimPrefix(full.URL, "http://")+"/x:1", image.Credentials{})
	if fairway.KindOf(err) != fairway.KindFull || !strings.HasSuffix(err.Error(), ": no room left") {
		t.Errorf("disk full: %v (%s)", err, fairway.KindOf(err))
	}
}

func TestWriteLogin(t *testing.T) {
	t.Parallel()
	login := func(t *testing.T, path string) map[string]any {
		t.Helper()
		if err := image.WriteLogin(path, "127.0.0.1:8080", "fairway", "t0<ken"); err != nil {
			t.Fatal(err)
		}
		fi, err := os.Stat(path)
		if err != nil || fi.Mode().Perm() != 0o600 {
			t.Errorf("mode %v, error %v", fi.Mode(), err)
		}
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		var m map[string]any
		if err := json.Unmarshal(b, &m); err != nil {
			t.Fatal(err)
		}
		if got := m["auths"].(map[string]any)["127.0.0.1:8080"].(map[string]any)["auth"]; got != "ZmFpcndheTp0MDxrZW4=" {
			t.Errorf("auth %v", got)
		}
		return m
	}
	t.Run("new file in a new directory", func(t *testing.T) {
		t.Parallel()
		login(t, filepath.Join(t.TempDir(), ".docker", "config.json"))
	})
	for _, content := range []string{"", "null", "{}", `{"auths":null}`} {
		t.Run("file "+content, func(t *testing.T) {
			t.Parallel()
			login(t, write(t, filepath.Join(t.TempDir(), "c"), content, 0o644))
		})
	}
	t.Run("the rest stays", func(t *testing.T) {
		t.Parallel()
		m := login(t, write(t, filepath.Join(t.TempDir(), "c"), `{"auths":{"other":{"auth":"eA==","email":"a@b"},"127.0.0.1:8080":{"auth":"old"}},"HttpHeaders":{"X":"<y>"},"credHelpers":{"gcr.io":"gcloud"}}`, 0o644))
		if m["auths"].(map[string]any)["other"].(map[string]any)["email"] != "a@b" || m["HttpHeaders"].(map[string]any)["X"] != "<y>" {
			t.Errorf("left: %v", m)
		}
		if _, ok := m["credHelpers"].(map[string]any)["127.0.0.1:8080"]; ok {
			t.Errorf("exempted from a store that there is not: %v", m)
		}
	})
	t.Run("credentials store", func(t *testing.T) {
		t.Parallel()
		m := login(t, write(t, filepath.Join(t.TempDir(), "c"), `{"credsStore":"desktop"}`, 0o644))
		if v, ok := m["credHelpers"].(map[string]any)["127.0.0.1:8080"]; !ok || v != "" || m["credsStore"] != "desktop" {
			t.Errorf("not exempted from the store: %v", m)
		}
	})
	t.Run("through a link", func(t *testing.T) {
		t.Parallel()
		d := t.TempDir()
		write(t, filepath.Join(d, "real"), "{}", 0o644)
		if err := os.Symlink("real", filepath.Join(d, "link")); err != nil {
			t.Fatal(err)
		}
		login(t, filepath.Join(d, "link"))
		if fi, err := os.Lstat(filepath.Join(d, "link")); err != nil || fi.Mode()&os.ModeSymlink == 0 {
			t.Errorf("the link was replaced: %v, error %v", fi.Mode(), err)
		}
	})
	for _, content := range []string{"{\n  \"auths\": oops\n}", `{"auths":[]}`, `{"credsStore":1}`, `[]`} {
		t.Run("spoilt "+content, func(t *testing.T) {
			t.Parallel()
			path := write(t, filepath.Join(t.TempDir(), "c"), content, 0o644)
			err := image.WriteLogin(path, "h", "u", "t")
			if fairway.KindOf(err) != fairway.KindInvalid || !strings.Contains(err.Error(), path) || !strings.Contains(err.Error(), "nothing was changed") {
				t.Errorf("error %v", err)
			}
			if strings.Contains(content, "oops") && !strings.Contains(err.Error(), path+":2:12:") {
				t.Errorf("no line and column: %v", err)
			}
			if b, err := os.ReadFile(path); err != nil || string(b) != content {
				t.Errorf("changed to %q, error %v", b, err)
			}
		})
	}
}

func TestRemoveLogin(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "config.json")
	if err := os.WriteFile(path, []byte(`{"credsStore":"desktop","auths":{"example.com":{"auth":"eDp5"}}}`), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := image.WriteLogin(path, "127.0.0.1:8080", "fairway", "secret"); err != nil {
		t.Fatal(err)
	}
	if err := image.RemoveLogin(path, "127.0.0.1:8080"); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(path)
	if err != nil || strings.Contains(string(b), "127.0.0.1") || !strings.Contains(string(b), "example.com") {
		t.Errorf("after removal: %s, %v", b, err)
	}
	if err := image.RemoveLogin(filepath.Join(t.TempDir(), "none"), "x"); err != nil {
		t.Errorf("where there is no file: %v", err)
	}
}
