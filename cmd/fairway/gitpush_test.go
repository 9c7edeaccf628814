package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/fairwaycd/fairway"
	"github.com/fairwaycd/fairway/internal/testenv"
)

// git runs git in the clone of project shop that lies in the server's home.
func (s *server) git(t *testing.T, args ...string) error {
	t.Helper()
	cmd := s.program("git", args...)
	cmd.Dir = filepath.Join(s.home, "clone")
	cmd.Env = append(cmd.Env, "GIT_CONFIG_NOSYSTEM=1", "GIT_TERMINAL_PROMPT=0", "GIT_AUTHOR_NAME=ann", "GIT_AUTHOR_EMAIL=ann@example.com",
		"GIT_COMMITTER_NAME=ann", "GIT_COMMITTER_EMAIL=ann@example.com")
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Logf("git %s: %s", strings.Join(args, " "), out)
	}
	return err
}

// clone clones the branch and changes one of its files there.
func (s *server) clone(t *testing.T, branch, file string, replace ...string) {
	t.Helper()
	s.run(t, "login")
	dir := filepath.Join(s.home, "clone")
	must(t, os.RemoveAll(dir))
	must(t, os.Mkdir(dir, 0o700))
	must(t, s.git(t, "clone", "-q", "--depth", "1", "-b", branch, "http://"+s.ready.Listen+"/git/shop.git", "."))
	path := filepath.Join(dir, filepath.FromSlash(file))
	body, err := os.ReadFile(path)
	must(t, err)
	must(t, os.WriteFile(path, []byte(strings.NewReplacer(replace...).Replace(string(body))), 0o600))
	must(t, s.git(t, "commit", "-qam", "By hand"))
}

// What a push asks for happens once, wherever the process was killed after the
// branch had moved.
func TestKilledWhileWeightsArePushed(t *testing.T) {
	t.Parallel()
	testenv.Need(t, "git")
	for _, point := range []string{"git.ref.before-rename:1", "git.ref.after-rename:1", "event.after-append:2", "route.before-change:1", "route.after-change:1"} {
		t.Run(point, func(t *testing.T) {
			t.Parallel()
			s := start(t)
			s.shop(t, "stages:\n  - name: live\n    deployment_strategy: blue_green_service\n", "1s")
			s.deliver(t, "1", fairway.StatusFinished)
			s.deliver(t, "2", fairway.StatusFinished)
			s.clone(t, "live", "helm-chart/templates/istio-virtual-service-cart.yaml", "weight: 100", "weight: 60", "weight: 0", "weight: 40")
			must(t, s.stop())
			must(t, s.begin([]string{"FAIRWAY_FAILPOINT=" + point}))
			acknowledged := s.git(t, "push", "-q") == nil
			must(t, s.awaitExit())
			must(t, s.begin(nil))
			if strings.HasPrefix(point, "git.ref.before") {
				if acknowledged {
					t.Error("a push was acknowledged whose ref was not written")
				}
				must(t, s.git(t, "push", "-q"))
			}
			must(t, until("the weights are in force", func() (bool, error) {
				return strings.Contains(s.run(t, "get", "routes"), "40/60"), nil
			}))
			events := s.run(t, "get", "events", "--limit", "1000")
			for what, want := range map[string]int{"configuration.pushed": 1, "is split by hand": 1} {
				if n := strings.Count(events, what); n != want {
					t.Errorf("%q stands %d times in the events:\n%s", what, n, events)
				}
			}
			must(t, s.stop())
		})
	}
}

// A pushed configuration with which nothing can start is delivered once, and
// taken out of the branch again, wherever the process was killed.
func TestKilledWhileAPushIsTurnedAway(t *testing.T) {
	t.Parallel()
	testenv.Need(t, "git")
	for _, point := range []string{"git.ref.after-rename:1", "git.after-commit:1", "git.after-commit:2"} {
		t.Run(point, func(t *testing.T) {
			t.Parallel()
			s := start(t)
			s.shop(t, "stages:\n  - name: live\n    deployment_strategy: blue_green_service\n", "1s")
			s.deliver(t, "1", fairway.StatusFinished)
			s.clone(t, "live", "helm-chart/values.yaml", "cartBlue:\n", "cartBlue:\n  env: {FAIL: start}\n")
			must(t, s.stop())
			must(t, s.begin([]string{"FAIRWAY_FAILPOINT=" + point}))
			_ = s.git(t, "push", "-q")
			must(t, s.awaitExit())
			must(t, s.begin(nil))
			must(t, until("the delivery has ended", func() (bool, error) {
				return strings.Contains(s.run(t, "get", "events", "--limit", "1000"), "dev.fairway.delivery.failed"), nil
			}))
			must(t, s.awaitAnswer("cart.live.localhost", "1"))
			must(t, s.git(t, "pull", "-q", "--rebase"))
			body, err := os.ReadFile(filepath.Join(s.home, "clone", "helm-chart", "values.yaml"))
			must(t, err)
			if _, green, _ := strings.Cut(string(body), "cartGreen:"); strings.Count(string(body), "FAIL") != 1 || !strings.Contains(green, "FAIL") {
				t.Errorf("the branch says:\n%s", body)
			}
			events := s.run(t, "get", "events", "--limit", "1000")
			for what, want := range map[string]int{"configuration.pushed": 1, "with what": 1, "stage.rolledback": 1} {
				if n := strings.Count(events, what); n != want {
					t.Errorf("%q stands %d times in the events:\n%s", what, n, events)
				}
			}
			must(t, s.stop())
		})
	}
}
