package registry_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/fairwaycd/fairway"
	"github.com/fairwaycd/fairway/registry"
)

// pushes records what OnPush is told; fail decides its answer.
type pushes struct {
	mu   sync.Mutex
	all  []registry.Push
	fail func(n int) error
}

func (p *pushes) onPush(_ context.Context, push registry.Push) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.all = append(p.all, push)
	if p.fail != nil {
		return p.fail(len(p.all))
	}
	return nil
}

func (p *pushes) told() []registry.Push {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.all)
}

type site struct {
	*registry.Registry
	pushes
	t    testing.TB
	dir  string
	host string
}

// serve opens a registry in o.Dir, or a new directory, behind a real server.
func serve(t testing.TB, o registry.Options) *site {
	t.Helper()
	s := &site{t: t, dir: o.Dir}
	if s.dir == "" {
		s.dir = filepath.Join(t.TempDir(), "registry")
	}
	o.Dir = s.dir
	if o.OnPush == nil {
		o.OnPush = s.onPush
	}
	r, err := registry.New(o)
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	s.Registry = r
	srv := httptest.NewServer(r.Handler())
	s.host = strings.TrimPrefix(srv.URL, "http://")
	t.Cleanup(func() {
		srv.Close()
		if err := r.Stop(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return s
}

func (s *site) ref(image string) name.Reference {
	s.t.Helper()
	r, err := name.ParseReference(s.host + "/" + image)
	if err != nil {
		s.t.Fatal(err)
	}
	return r
}

// quick makes the client's retries short.
var quick = remote.WithRetryBackoff(remote.Backoff{Duration: time.Millisecond, Factor: 1, Steps: 3})

func (s *site) push(image string, img v1.Image) error {
	return remote.Write(s.ref(image), img, quick)
}

func (s *site) mustPush(image string, img v1.Image) {
	s.t.Helper()
	if err := s.push(image, img); err != nil {
		s.t.Fatal(err)
	}
}

func newImage(t testing.TB) v1.Image {
	t.Helper()
	img, err := random.Image(2000, 2)
	if err != nil {
		t.Fatal(err)
	}
	return img
}

func digestOf(t testing.TB, d interface{ Digest() (v1.Hash, error) }) string {
	t.Helper()
	h, err := d.Digest()
	if err != nil {
		t.Fatal(err)
	}
	return h.String()
}

func TestPushPullAndTell(t *testing.T) {
	t.Parallel()
	s := serve(t, registry.Options{})
	img := newImage(t)
	s.mustPush("sockshop/carts:0.6.0-1", img)
	want := []registry.Push{{Repository: "sockshop/carts", Tag: "0.6.0-1", Digest: digestOf(t, img), MediaType: string(types.DockerManifestSchema2)}}
	if got := s.told(); !slices.Equal(got, want) {
		t.Fatalf("told %+v, want %+v", got, want)
	}
	back, err := remote.Image(s.ref("sockshop/carts:0.6.0-1"))
	if err != nil {
		t.Fatal(err)
	}
	if got := digestOf(t, back); got != want[0].Digest {
		t.Fatalf("pulled %s, pushed %s", got, want[0].Digest)
	}
	layers, err := back.Layers()
	if err != nil {
		t.Fatal(err)
	}
	rc, err := layers[0].Compressed()
	if err != nil {
		t.Fatal(err)
	}
	defer rc.Close()
	if _, err := io.Copy(io.Discard, rc); err != nil {
		t.Fatal(err)
	}
}

func TestRetagAndSameDigestAgainAreTold(t *testing.T) {
	t.Parallel()
	s := serve(t, registry.Options{})
	img := newImage(t)
	s.mustPush("p/s:1", img)
	for _, tag := range []string{"1", "2"} {
		if err := remote.Put(s.ref("p/s:"+tag), img); err != nil {
			t.Fatal(err)
		}
	}
	var tags []string
	for _, p := range s.told() {
		if p.Digest != digestOf(t, img) {
			t.Errorf("told %+v", p)
		}
		tags = append(tags, p.Tag)
	}
	if want := []string{"1", "1", "2"}; !slices.Equal(tags, want) {
		t.Fatalf("told of %v, want %v", tags, want)
	}
}

func TestIndexWithChildrenAndAttestationIsOnePush(t *testing.T) {
	t.Parallel()
	s := serve(t, registry.Options{})
	index := mutate.AppendManifests(mutate.IndexMediaType(empty.Index, types.OCIImageIndex),
		mutate.IndexAddendum{Add: newImage(t), Descriptor: v1.Descriptor{Platform: &v1.Platform{OS: "linux", Architecture: "amd64"}}},
		mutate.IndexAddendum{Add: newImage(t), Descriptor: v1.Descriptor{Platform: &v1.Platform{OS: "linux", Architecture: "arm64"}}},
		mutate.IndexAddendum{Add: newImage(t), Descriptor: v1.Descriptor{Platform: &v1.Platform{OS: "unknown", Architecture: "unknown"}}})
	if err := remote.WriteIndex(s.ref("p/s:1.0"), index, quick); err != nil {
		t.Fatal(err)
	}
	// A signature under the tag made of the digest is an attachment.
	if err := s.push("p/s:"+strings.Replace(digestOf(t, index), ":", "-", 1)+".sig", newImage(t)); err != nil {
		t.Fatal(err)
	}
	want := []registry.Push{{Repository: "p/s", Tag: "1.0", Digest: digestOf(t, index), MediaType: string(types.OCIImageIndex)}}
	if got := s.told(); !slices.Equal(got, want) {
		t.Fatalf("told %+v, want %+v", got, want)
	}
	want[0].MediaType = ""
	got, err := s.Tags(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for i := range got {
		if time.Since(got[i].At) > time.Minute {
			t.Errorf("%s was set at %s", got[i].Tag, got[i].At)
		}
		got[i].At = time.Time{}
	}
	if !slices.Equal(got, want) {
		t.Fatalf("Tags %+v, want %+v", got, want)
	}
}

// TestToldBeforeAnswer holds OnPush back and sees that the client waits.
func TestToldBeforeAnswer(t *testing.T) {
	t.Parallel()
	called, goOn, pushed := make(chan struct{}), make(chan struct{}), make(chan error, 1)
	var points []string
	s := serve(t, registry.Options{
		OnPush:    func(context.Context, registry.Push) error { close(called); <-goOn; return nil },
		Failpoint: func(n string) { points = append(points, n) },
	})
	go func() { pushed <- s.push("p/s:1", newImage(t)) }()
	<-called
	select {
	case err := <-pushed:
		t.Fatalf("the client had its answer (%v) before the event was stored", err)
	default:
	}
	// The image is there already: who reads the event finds it.
	if _, err := remote.Head(s.ref("p/s:1")); err != nil {
		t.Fatalf("the event's image is not there yet: %v", err)
	}
	close(goOn)
	if err := <-pushed; err != nil {
		t.Fatal(err)
	}
	if want := []string{"registry.put.before-event", "registry.put.after-event"}; !slices.Equal(points, want) {
		t.Fatalf("failpoints %v, want %v", points, want)
	}
}

func TestRefusedEvent(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name   string
		err    error
		status int
		says   string
	}{
		{"log down", fairway.Errorf(fairway.KindUnavailable, "the event log is down"), 503, "could not be recorded: the event log is down; push it again"},
		{"disk full", fairway.Errorf(fairway.KindFull, "the disk is full"), 507, "is stored as sha256:"},
		{"ours", errors.New("nil pointer in secret place"), 503, "could not be recorded; push it again"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s := serve(t, registry.Options{})
			s.fail = func(n int) error {
				if n == 1 {
					return c.err
				}
				return nil
			}
			img := newImage(t)
			s.mustPush("p/other:0", img) // lays down the blobs; consumes nothing of the test
			s.mu.Lock()
			s.all = nil
			s.mu.Unlock()
			status, body := s.putManifest(t, "p/other", "1", img)
			if status != c.status || !strings.Contains(body, c.says) || strings.Contains(body, "secret place") {
				t.Fatalf("answer %d %s, want %d with %q", status, body, c.status, c.says)
			}
			var oci struct {
				Errors []struct{ Code, Message string }
			}
			if err := json.Unmarshal([]byte(body), &oci); err != nil || len(oci.Errors) != 1 || oci.Errors[0].Code == "" {
				t.Fatalf("not an OCI error body: %s", body)
			}
			if status, body := s.putManifest(t, "p/other", "1", img); status != 201 {
				t.Fatalf("pushed again: %d %s", status, body)
			}
			if n := len(s.told()); n != 2 {
				t.Fatalf("told %d times, want 2", n)
			}
		})
	}
}

// putManifest is a PUT without a client's retries.
func (s *site) putManifest(t testing.TB, repo, reference string, img v1.Image) (int, string) {
	t.Helper()
	raw, err := img.RawManifest()
	if err != nil {
		t.Fatal(err)
	}
	mt, err := img.MediaType()
	if err != nil {
		t.Fatal(err)
	}
	return s.do(t, http.MethodPut, "/v2/"+repo+"/manifests/"+reference, string(mt), bytes.NewReader(raw))
}

func (s *site) do(t testing.TB, method, path, contentType string, body io.Reader) (int, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, "http://"+s.host+path, body)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", contentType)
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, string(b)
}

// TestClientRetriesByItself: the first event fails, the client's own retry
// succeeds, and the user sees nothing.
func TestClientRetriesByItself(t *testing.T) {
	t.Parallel()
	s := serve(t, registry.Options{})
	s.fail = func(n int) error {
		if n == 1 {
			return fairway.Errorf(fairway.KindUnavailable, "down")
		}
		return nil
	}
	s.mustPush("p/s:1", newImage(t))
	if n := len(s.told()); n != 2 {
		t.Fatalf("told %d times, want 2", n)
	}
}

// TestPushAgainIsTold: clients ask for the tag first and push nothing if it
// names their image already, which must not keep a lost event lost.
func TestPushAgainIsTold(t *testing.T) {
	t.Parallel()
	s := serve(t, registry.Options{})
	down := fairway.Errorf(fairway.KindUnavailable, "the event log is down")
	s.fail = func(int) error { return down }
	img := newImage(t)
	if err := s.push("p/s:1", img); err == nil || !strings.Contains(err.Error(), "push it again") {
		t.Fatalf("the client saw: %v", err)
	}
	if status, body := s.do(t, http.MethodGet, "/v2/p/s/manifests/1", "", nil); status != 404 || !strings.Contains(body, "push it again") {
		t.Errorf("GET: %d %s", status, body)
	}
	s.mu.Lock()
	s.fail, s.all = nil, nil
	s.mu.Unlock()
	s.mustPush("p/s:1", img)
	if n := len(s.told()); n != 1 {
		t.Fatalf("told %d times, want once", n)
	}
	if _, err := remote.Head(s.ref("p/s:1")); err != nil {
		t.Errorf("after all that: %v", err)
	}
}

func TestClientGoneEventStillTold(t *testing.T) {
	t.Parallel()
	client, goAway := context.WithCancel(t.Context())
	done := make(chan error, 1)
	requests := make(chan context.Context, 64)
	r, err := registry.New(registry.Options{Dir: t.TempDir(), OnPush: func(ctx context.Context, _ registry.Push) error {
		goAway()
		<-(<-requests).Done() // the server has noticed
		done <- ctx.Err()
		return nil
	}})
	if err != nil {
		t.Fatal(err)
	}
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		if req.Method == http.MethodPut && strings.HasSuffix(req.URL.Path, "/manifests/1") {
			requests <- req.Context()
		}
		r.Handler().ServeHTTP(w, req)
	}))
	defer srv.Close()
	s := &site{t: t, host: strings.TrimPrefix(srv.URL, "http://")}
	_ = remote.Write(s.ref("p/s:1"), newImage(t), remote.WithContext(client), quick)
	if err := <-done; err != nil {
		t.Fatalf("the event was given up when the client went away: %v", err)
	}
}

// TestConcurrentPushesOfOneTag: the last event names what the tag names.
func TestConcurrentPushesOfOneTag(t *testing.T) {
	t.Parallel()
	s := serve(t, registry.Options{})
	var wg sync.WaitGroup
	for i := range 16 {
		img := newImage(t)
		wg.Go(func() {
			if err := s.push("p/s:latest", img); err != nil {
				t.Errorf("push %d: %v", i, err)
			}
			if err := s.push(fmt.Sprintf("p/s%d:1", i%4), img); err != nil {
				t.Errorf("push %d: %v", i, err)
			}
		})
	}
	wg.Wait()
	tags, err := s.Tags(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	last := map[string]string{}
	told := s.told()
	for _, p := range told {
		last[p.Repository+":"+p.Tag] = p.Digest
	}
	if len(told) != 32 || len(tags) != 5 {
		t.Fatalf("told %d times of %d tags, want 32 of 5", len(told), len(tags))
	}
	for _, p := range tags {
		if last[p.Repository+":"+p.Tag] != p.Digest {
			t.Errorf("%s:%s is %s, the last event said %s", p.Repository, p.Tag, p.Digest, last[p.Repository+":"+p.Tag])
		}
	}
	repos, err := s.Repositories(t.Context())
	if want := []string{"p/s", "p/s0", "p/s1", "p/s2", "p/s3"}; err != nil || !slices.Equal(repos, want) {
		t.Fatalf("repositories %v (%v), want %v", repos, err, want)
	}
}

// TestRestart opens the directory again: tags are there, and an upload that
// was begun before is resumed.
func TestRestart(t *testing.T) {
	t.Parallel()
	s := serve(t, registry.Options{})
	img := newImage(t)
	s.mustPush("p/s:1", img)
	res, err := http.Post("http://"+s.host+"/v2/p/s/blobs/uploads/", "", nil)
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	location := res.Header.Get("Location")
	if strings.Contains(location, "://") {
		t.Fatalf("the upload's location %q names a host", location)
	}

	s = serve(t, registry.Options{Dir: s.dir})
	tags, err := s.Tags(t.Context())
	if err != nil || len(tags) != 1 || tags[0].Digest != digestOf(t, img) {
		t.Fatalf("after the restart: tags %+v, error %v", tags, err)
	}
	if status, body := s.do(t, http.MethodPatch, location, "application/octet-stream", strings.NewReader("data")); status != http.StatusAccepted {
		t.Fatalf("resume: %d %s", status, body)
	}
	fi, err := os.Stat(filepath.Join(s.dir, "upload-secret"))
	if err != nil || fi.Mode().Perm() != 0o600 {
		t.Fatalf("secret: %v, error %v", fi.Mode(), err)
	}
}

func TestTooLarge(t *testing.T) {
	t.Parallel()
	s := serve(t, registry.Options{MaxManifest: 5000, MaxBlob: 10_000})
	status, body := s.do(t, http.MethodPut, "/v2/p/s/manifests/1", string(types.OCIManifestSchema1), strings.NewReader(strings.Repeat(" ", 5001)))
	if status != 413 || !strings.Contains(body, "larger than 5000 bytes") {
		t.Errorf("manifest: %d %s", status, body)
	}
	for _, size := range []struct {
		name string
		body io.Reader
	}{
		{"known size", bytes.NewReader(make([]byte, 10_001))},
		{"streamed", io.LimitReader(zeros{}, 10_001)},
	} {
		res, err := http.Post("http://"+s.host+"/v2/p/s/blobs/uploads/", "", nil)
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		status, body := s.do(t, http.MethodPatch, res.Header.Get("Location"), "application/octet-stream", size.body)
		if status != 413 || !strings.Contains(body, "larger than 10000 bytes") {
			t.Errorf("blob, %s: %d %s", size.name, status, body)
		}
	}
	left, err := filepath.Glob(filepath.Join(s.dir, "docker/registry/v2/repositories/p/s/_uploads/*"))
	if err != nil || len(left) != 0 {
		t.Errorf("refused uploads were left: %v, error %v", left, err)
	}
	big, err := random.Image(20_000, 1)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.push("p/s:big", big); err == nil || !strings.Contains(err.Error(), "larger than 10000 bytes") {
		t.Errorf("a client pushed too large a layer and saw: %v", err)
	}
	if len(s.told()) != 0 {
		t.Errorf("told of %+v", s.told())
	}
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

func TestBadPushesAreNotTold(t *testing.T) {
	t.Parallel()
	s := serve(t, registry.Options{})
	img := newImage(t)
	if status, body := s.putManifest(t, "p/s", "1", img); status != 404 && status != 400 {
		t.Errorf("a manifest without its blobs: %d %s", status, body)
	}
	if status, _ := s.do(t, http.MethodPut, "/v2/p/s/manifests/1", string(types.OCIManifestSchema1), strings.NewReader("{")); status != 400 {
		t.Errorf("a broken manifest: %d", status)
	}
	if status, _ := s.putManifest(t, "p/s", "sha256:12", img); status != 400 {
		t.Errorf("a broken digest: %d", status)
	}
	s.mustPush("p/s:1", img)
	if status, _ := s.putManifest(t, "p/s", digestOf(t, img), img); status != 201 {
		t.Errorf("by digest: %d", status)
	}
	if status, _ := s.do(t, http.MethodDelete, "/v2/p/s/manifests/"+digestOf(t, img), "", nil); status != 405 {
		t.Errorf("DELETE: %d, want 405", status)
	}
	if n := len(s.told()); n != 1 {
		t.Errorf("told %d times, want once", n)
	}
}

// TestRepositoryNamedLikeARoute: the last "manifests" in the path is the route.
func TestRepositoryNamedLikeARoute(t *testing.T) {
	t.Parallel()
	s := serve(t, registry.Options{Logger: slog.New(slog.NewTextHandler(io.Discard, nil))})
	s.mustPush("a/manifests/manifests:blobs", newImage(t))
	if p := s.told(); len(p) != 1 || p[0].Repository != "a/manifests/manifests" || p[0].Tag != "blobs" {
		t.Fatalf("told %+v", p)
	}
}

func TestNewRefuses(t *testing.T) {
	t.Parallel()
	if _, err := registry.New(registry.Options{}); fairway.KindOf(err) != fairway.KindInvalid {
		t.Errorf("no directory: %v", err)
	}
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "upload-secret"), []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := registry.New(registry.Options{Dir: dir}); fairway.KindOf(err) != fairway.KindRefused {
		t.Errorf("a spoilt secret: %v", err)
	}
}
