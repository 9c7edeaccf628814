package app_test

import (
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/fairwaycd/fairway"
	"github.com/fairwaycd/fairway/api"
	"github.com/fairwaycd/fairway/app"
	"github.com/fairwaycd/fairway/image"
	"github.com/fairwaycd/fairway/internal/testenv"
)

// runSlow delivers the service of testdata/slow into the stage dev.
func runSlow(t *testing.T, a *app.App, c *api.Client) {
	t.Helper()
	shop(t, c)
	img, err := image.Pack(image.PackRequest{Binary: buildSlow(t), Name: "web", Port: 8080})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := image.Push(t.Context(), img, a.Address()+"/shop/web:1", image.Credentials{User: "t", Token: a.Token()}); err != nil {
		t.Fatal(err)
	}
	if ds := waitFor(t, c, 1); ds[0].Status != fairway.StatusFinished {
		t.Fatalf("the delivery ended %s: %s", ds[0].Status, ds[0].Reason)
	}
}

// buildSlow builds testdata/slow and returns the program's file.
func buildSlow(t *testing.T) string {
	t.Helper()
	bin := filepath.Join(t.TempDir(), "slow")
	build := exec.CommandContext(t.Context(), "go", "build", "-o", bin, "./testdata/slow")
	build.Env = append(build.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return bin
}

// shop makes a project with one stage and one service.
func shop(t *testing.T, c *api.Client) {
	t.Helper()
	if _, err := c.CreateProject(t.Context(), api.CreateProject{Name: "shop", Shipyard: "stages: [{name: dev}]\n"}); err != nil {
		t.Fatal(err)
	}
	if _, err := c.OnboardService(t.Context(), api.OnboardService{Project: "shop", Values: "service: {name: web}\n"}); err != nil {
		t.Fatal(err)
	}
}

// A request to a delivered service that is under way at a stop gets its whole
// answer: the gateway drains before the service's process is ended.
func TestAStopLetsRequestsToServicesEnd(t *testing.T) {
	t.Parallel()
	a, c := start(t, t.TempDir())
	runSlow(t, a, c)
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+a.GatewayAddress()+"/slow", nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Host = "web.dev.localhost"
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	begun := make([]byte, len("begun, "))
	if _, err := io.ReadFull(resp.Body, begun); err != nil || resp.StatusCode != 200 {
		t.Fatalf("status %d, %q, %v", resp.StatusCode, begun, err)
	}
	rest := make(chan string, 1)
	go func() {
		b, err := io.ReadAll(resp.Body)
		if err != nil {
			b = append(b, err.Error()...)
		}
		rest <- string(b)
	}()
	stop(t, a)
	if got := <-rest; got != "done" {
		t.Errorf("the rest of the answer is %q", got)
	}
}

// A stop ends the streams at once, and lets a request that is under way end.
func TestAStopLetsRequestsToTheAPIEnd(t *testing.T) {
	t.Parallel()
	a, c := start(t, t.TempDir())
	shop(t, c)
	watching := make(chan struct{})
	watched := make(chan error, 1)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	go func() {
		once := false
		watched <- c.Watch(ctx, func(api.Change) error {
			if !once {
				once = true
				close(watching)
			}
			return nil
		})
	}()
	<-watching
	push := beginPush(t, a)
	stopped := make(chan error, 1)
	began := time.Now()
	go func() { stopped <- a.Stop(context.WithoutCancel(t.Context())) }()
	for { // until nothing new is taken
		conn, err := net.Dial("tcp", a.Address())
		if err != nil {
			break
		}
		conn.Close()
	}
	if got := push(); got != "" {
		t.Errorf("a push that was under way failed: %s", got)
	}
	if err := <-stopped; err != nil {
		t.Error(err)
	}
	if took := time.Since(began); took > 8*time.Second {
		t.Errorf("the stop took %s: it waited for a watcher", took)
	}
	cancel()
	<-watched
}

// beginPush pushes a comment on the shipyard with git, through a proxy that
// holds the pack back once the server has begun to read it, until finish is
// called.
func beginPush(t *testing.T, a *app.App) (finish func() string) {
	t.Helper()
	testenv.Need(t, "git")
	held, release := make(chan struct{}), make(chan struct{})
	proxy := httptest.NewServer(&httputil.ReverseProxy{Transport: &http.Transport{ExpectContinueTimeout: time.Minute}, Rewrite: func(r *httputil.ProxyRequest) {
		r.Out.URL.Scheme, r.Out.URL.Host, r.Out.Host = "http", a.Address(), a.Address()
		if strings.HasSuffix(r.In.URL.Path, "/git-receive-pack") {
			r.Out.Header.Set("Expect", "100-continue") // the body is asked for once the server reads it
			r.Out.Body = &heldBody{ReadCloser: r.In.Body, held: held, release: release}
		}
	}})
	t.Cleanup(proxy.Close)
	dir := t.TempDir()
	git := func(arg ...string) (string, error) {
		cmd := exec.CommandContext(t.Context(), "git", append([]string{"-c", "user.name=t", "-c", "user.email=t@example.com", "-C", dir}, arg...)...)
		cmd.Env = append(os.Environ(), "GIT_CONFIG_GLOBAL=/dev/null", "GIT_CONFIG_NOSYSTEM=1", "GIT_TERMINAL_PROMPT=0")
		out, err := cmd.CombinedOutput()
		return string(out), err
	}
	url := "http://t:" + a.Token() + "@" + proxy.Listener.Addr().String() + "/git/shop.git"
	if out, err := git("clone", "-q", "-b", "main", url, "."); err != nil {
		t.Fatal(out, err)
	}
	if err := os.WriteFile(filepath.Join(dir, "shipyard.yaml"), []byte("# ours\nstages: [{name: dev}]\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := git("commit", "-q", "-a", "-m", "Say whose it is"); err != nil {
		t.Fatal(out, err)
	}
	pushed := make(chan string, 1)
	go func() {
		out, err := git("push", "-q", "origin", "main")
		if err != nil {
			out += err.Error()
		}
		pushed <- out
	}()
	<-held
	return func() string {
		close(release)
		return <-pushed
	}
}

// heldBody waits for release before its first byte.
type heldBody struct {
	io.ReadCloser
	held, release chan struct{}
	begun         bool
}

func (b *heldBody) Read(p []byte) (int, error) {
	if !b.begun {
		b.begun = true
		close(b.held)
		<-b.release
	}
	return b.ReadCloser.Read(p)
}
