package process

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/fairwaycd/fairway"
)

// child is the static program that the tests run, built once.
var child string

func TestMain(m *testing.M) {
	if dir := os.Getenv("FAIRWAY_TEST_PARENT"); dir != "" {
		parent(dir, os.Getenv("FAIRWAY_TEST_CRASH_AT"))
		return
	}
	os.Exit(runTests(m))
}

func runTests(m *testing.M) int {
	dir, err := os.MkdirTemp("", "fairway-process-")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(dir)
	child = filepath.Join(dir, "child")
	build := exec.Command("go", "build", "-o", child, "./testdata/child")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "build the program that the tests run: %v\n%s", err, out)
		return 1
	}
	return m.Run()
}

// images is an image store whose images lie prepared in directories.
type images map[string]fairway.UnpackedImage // by image name

func (s images) Resolve(_ context.Context, _ fairway.ProjectName, a fairway.Artifact) (fairway.Artifact, error) {
	return a, nil
}

func (s images) Unpack(_ context.Context, _ fairway.ProjectName, a fairway.Artifact) (fairway.UnpackedImage, error) {
	img, ok := s[a.Image]
	if !ok {
		return img, fairway.Errorf(fairway.KindNotFound, "there is no image %s", a.Image)
	}
	return img, nil
}

// newRoot makes an unpacked image that holds the child as /app/child.
func newRoot(t testing.TB) string {
	t.Helper()
	root := t.TempDir()
	must(t, os.MkdirAll(filepath.Join(root, "app"), 0o755))
	must(t, os.Link(child, filepath.Join(root, "app", "child")))
	return root
}

func testImage(root string) fairway.UnpackedImage {
	return fairway.UnpackedImage{Root: root, Entrypoint: []string{"/app/child"}, WorkingDir: "/app", Env: []string{"FROM_IMAGE=yes", "PATH=/bin:/app"}}
}

// fixture is a platform on its own directory.
type fixture struct {
	*Platform
	t    testing.TB
	root string
	o    Options
}

func start(t testing.TB, change ...func(*Options)) *fixture {
	t.Helper()
	root := newRoot(t)
	o := Options{Dir: t.TempDir(), Images: images{"carts": testImage(root)}, Grace: 5 * time.Second, MaxRestartBackoff: time.Second,
		Logger: slog.New(slog.NewTextHandler(testWriter{t}, &slog.HandlerOptions{Level: slog.LevelWarn}))}
	for _, f := range change {
		f(&o)
	}
	f := &fixture{t: t, root: root, o: o}
	f.restart()
	t.Cleanup(func() { f.shutdown() })
	return f
}

// restart makes a new platform on the same directory.
func (f *fixture) restart() {
	f.t.Helper()
	p, err := New(f.o)
	must(f.t, err)
	must(f.t, p.Start(f.t.Context()))
	f.Platform = p
}

func (f *fixture) shutdown() {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	if err := f.Shutdown(ctx); err != nil {
		f.t.Error(err)
	}
	left, err := ours(f.identity)
	if err != nil || len(left) > 0 {
		f.t.Errorf("after Shutdown there are still %v (%v)", left, err)
	}
}

// apply starts a workload whose Deployment has the container's lines, indented
// by eight, in it.
func (f *fixture) apply(id, container string, more ...string) {
	f.t.Helper()
	must(f.t, f.Apply(f.t.Context(), workload(id, container, more...)))
}

func workload(id, container string, more ...string) fairway.Workload {
	w := fairway.Workload{Project: "sockshop", Stage: "staging", Place: fairway.Place{Namespace: "staging", Service: "carts", Colour: fairway.Blue},
		Delivery: fairway.DeliveryID("d-" + id), Artifact: fairway.Artifact{Image: "carts", Tag: "1.0"}, Instance: id}
	w.Manifests = append(w.Manifests, []byte(deployment(container)))
	for _, m := range more {
		w.Manifests = append(w.Manifests, []byte(m))
	}
	return w
}

func deployment(container string) string {
	return `
apiVersion: extensions/v1beta1
kind: Deployment
metadata: {name: carts-blue}
spec:
  template:
    metadata:
      annotations: {prometheus.io/scrape: "true", prometheus.io/path: /prometheus}
    spec:
      terminationGracePeriodSeconds: 3
      containers:
      - name: carts
` + indent(container, "        ")
}

func indent(s, by string) string {
	return by + strings.ReplaceAll(strings.TrimSpace(s), "\n", "\n"+by) + "\n"
}

const withPort = "ports: [{containerPort: 8080}]\n"

func (f *fixture) ready(id string) fairway.Instance {
	f.t.Helper()
	ctx, cancel := context.WithTimeout(f.t.Context(), 30*time.Second)
	defer cancel()
	i, err := f.AwaitReady(ctx, id)
	must(f.t, err)
	return i
}

// never asserts that the instance is refused with all texts in the error.
func (f *fixture) never(id string, texts ...string) {
	f.t.Helper()
	ctx, cancel := context.WithTimeout(f.t.Context(), 30*time.Second)
	defer cancel()
	_, err := f.AwaitReady(ctx, id)
	if fairway.KindOf(err) != fairway.KindRefused {
		f.t.Fatalf("got %v (%s), want a refusal", err, fairway.KindOf(err))
	}
	contains(f.t, err.Error(), texts...)
}

func (f *fixture) instance(id string) fairway.Instance {
	f.t.Helper()
	all, err := f.Instances(f.t.Context())
	must(f.t, err)
	for _, i := range all {
		if i.ID == id {
			return i
		}
	}
	f.t.Fatalf("there is no instance %s", id)
	return fairway.Instance{}
}

func get(t testing.TB, address, path string) string {
	t.Helper()
	resp, err := http.Get("http://" + address + path)
	if err != nil {
		if strings.HasPrefix(path, "/die") {
			return ""
		}
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	must(t, err)
	return string(b)
}

// eventually waits for the condition.
func eventually(t testing.TB, what string, condition func() bool) {
	t.Helper()
	deadline := time.Now().Add(20 * time.Second)
	for !condition() {
		if time.Now().After(deadline) {
			t.Fatalf("in vain waited for: %s", what)
		}
		wait(t.Context(), 5*time.Millisecond)
	}
}

func contains(t testing.TB, s string, texts ...string) {
	t.Helper()
	for _, text := range texts {
		if !strings.Contains(s, text) {
			t.Errorf("%q is not in:\n%s", text, s)
		}
	}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// runs reports whether the process is there and no zombie.
func runs(pid int) bool {
	_, err := startTime(pid)
	return err == nil && !errors.Is(syscall.Kill(pid, 0), syscall.ESRCH)
}

type testWriter struct{ t testing.TB }

func (w testWriter) Write(b []byte) (int, error) {
	w.t.Helper()
	w.t.Log(strings.TrimSpace(string(b)))
	return len(b), nil
}
