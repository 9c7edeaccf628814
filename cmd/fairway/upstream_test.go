package main

import (
	"bytes"
	"net/http"
	"net/http/cgi"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/fairwaycd/fairway"
	"github.com/fairwaycd/fairway/internal/testenv"
)

// What a delivery commits comes to the upstream, what is pushed there is
// applied here, a kill in between loses nothing, and the password is nowhere
// but in its file.
func TestUpstream(t *testing.T) {
	t.Parallel()
	const password = "s3cret-of-the-remote"
	program, dir := testenv.Need(t, "git"), t.TempDir()
	git := func(args ...string) string {
		cmd := exec.CommandContext(t.Context(), program, args...)
		cmd.Env = append(os.Environ(), "GIT_CONFIG_GLOBAL=/dev/null", "GIT_TERMINAL_PROMPT=0", "GIT_AUTHOR_NAME=Ada", "GIT_AUTHOR_EMAIL=ada@example.org", "GIT_COMMITTER_NAME=Ada", "GIT_COMMITTER_EMAIL=ada@example.org")
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("git %v: %v\n%s", args, err, out)
		}
		return strings.TrimSpace(string(out))
	}
	bare, clone := filepath.Join(dir, "config.git"), filepath.Join(dir, "clone")
	git("init", "-q", "--bare", "-b", "main", bare)
	git("-C", bare, "config", "http.receivepack", "true")
	backend := &cgi.Handler{Path: program, Args: []string{"http-backend"}, Env: []string{"GIT_PROJECT_ROOT=" + dir, "GIT_HTTP_EXPORT_ALL=1"}}
	remote := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, given, _ := r.BasicAuth(); given != password {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		backend.ServeHTTP(w, r)
	}))
	defer remote.Close()

	s := start(t)
	s.shop(t, "stages:\n  - name: production\n    deployment_strategy: blue_green_service\n", "1s")
	configure := s.command("configure", "upstream", "--project", "shop", "--url", remote.URL+"/config.git", "--password-stdin", "--username", "ada", "--poll", "1")
	configure.Stdin = strings.NewReader(password + "\n")
	if out, err := configure.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	s.deliver(t, "1", fairway.StatusFinished)
	s.deliver(t, "2", fairway.StatusFinished)
	inStep := func() {
		t.Helper()
		must(t, until("they are in step", func() (bool, error) {
			return strings.Contains(s.run(t, "get", "project", "shop"), "config.git: in step"), nil
		}))
	}
	inStep()
	git("clone", "-q", "-b", "production", bare, clone)
	if log := git("-C", clone, "log", "--format=%s"); !strings.Contains(log, "2") || strings.Count(log, "\n") < 4 {
		t.Errorf("the upstream has:\n%s", log)
	}

	// Weights that are pushed there are applied here.
	file := filepath.Join(clone, "helm-chart", "templates", "istio-virtual-service-cart.yaml")
	text, err := os.ReadFile(file)
	must(t, err)
	swapped := strings.NewReplacer("weight: 100", "weight: 0", "weight: 0", "weight: 100").Replace(string(text))
	must(t, os.WriteFile(file, []byte(swapped), 0o600))
	git("-C", clone, "commit", "-qam", "Back to the first")
	git("-C", clone, "push", "-q")
	must(t, until("version 1 has the traffic", func() (bool, error) {
		_, body, err := s.ask("cart.production.localhost", "/version")
		return body == "Version = 1", err
	}))

	// What is refused says so, and does not stand in the way of a kill.
	must(t, os.WriteFile(file, []byte(strings.Replace(swapped, "weight: 100", "weight: 60", 1)), 0o600))
	git("-C", clone, "commit", "-qam", "Not enough")
	git("-C", clone, "push", "-q")
	must(t, until("it is refused", func() (bool, error) {
		return strings.Contains(s.run(t, "get", "project", "shop"), "config.git: refused"), nil
	}))
	must(t, s.end(syscall.SIGKILL))
	must(t, s.begin(nil))
	must(t, until("it is refused still", func() (bool, error) {
		return strings.Contains(s.run(t, "get", "project", "shop"), "config.git: refused"), nil
	}))
	s.run(t, "sync", "upstream", "--project", "shop", "--take", "ours", "--reason", "they sum to 60")
	inStep()

	must(t, filepath.WalkDir(s.ready.Data, func(path string, e os.DirEntry, err error) error {
		if err != nil || e.IsDir() || filepath.Base(filepath.Dir(path)) == "upstreams" {
			return nil // what is being removed meanwhile
		}
		if body, err := os.ReadFile(path); err == nil && bytes.Contains(body, []byte(password)) {
			t.Errorf("the password is in %s", path)
		}
		return nil
	}))
	if strings.Contains(s.out.String(), password) {
		t.Error("the password is in the log")
	}
	s.run(t, "delete", "project", "shop", "--yes")
	if left, err := os.ReadDir(filepath.Join(s.ready.Data, "upstreams")); len(left) > 0 || err != nil {
		t.Errorf("left of the upstream: %v, %v", left, err)
	}
	must(t, s.stop())
}
