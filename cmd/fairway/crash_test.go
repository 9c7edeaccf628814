package main

import (
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/fairwaycd/fairway"
)

// What a crash cuts off of a person's command is done by the same command
// again, whichever branches it had reached.
func TestKilledWhileAProjectIsMade(t *testing.T) {
	t.Parallel()
	shop, err := filepath.Abs("testdata/shop")
	must(t, err)
	create := []string{"create", "project", "shop", "shipyard.yaml"}
	onboard := []string{"onboard", "service", "cart", "--project", "shop", "--values", filepath.Join(shop, "cart.yaml")}
	add := []string{"add", "resource", "cart", "--project", "shop", "--all-stages", filepath.Join(shop, "resources", "tests")}
	for name, c := range map[string]struct {
		before [][]string
		cut    []string
		points []string
	}{
		"create":  {nil, create, []string{"git.objects.written:1"}},
		"onboard": {[][]string{create}, onboard, []string{"git.objects.written:1", "git.ref.before-rename:1", "git.ref.after-rename:1", "event.before-append:1", "event.after-append:1", "record.after-append:1"}},
		"add":     {[][]string{create, onboard}, add, []string{"git.ref.after-rename:1", "event.after-append:1"}},
	} {
		for _, point := range c.points {
			t.Run(name+"/"+point, func(t *testing.T) {
				t.Parallel()
				s := start(t)
				must(t, os.WriteFile(filepath.Join(s.home, "shipyard.yaml"), []byte("stages:\n  - name: dev\n    test_strategy: functional\n  - name: staging\n    deployment_strategy: blue_green_service\n"), 0o600))
				for _, args := range c.before {
					s.run(t, args...)
				}
				must(t, s.stop())
				must(t, s.begin([]string{"FAIRWAY_FAILPOINT=" + point}))
				if out, err := s.command(c.cut...).CombinedOutput(); err == nil {
					t.Errorf("the command whose server was killed succeeded: %s", out)
				}
				must(t, s.awaitExit())
				must(t, s.begin(nil))
				for _, args := range [][]string{create, onboard, add} {
					s.run(t, args...)
				}
				s.deliver(t, "1", fairway.StatusFinished)
				must(t, s.awaitAnswer("cart.staging.localhost", "1"))
				must(t, s.stop())
			})
		}
	}
}

// A released version that dies is started again and gets its traffic back;
// meanwhile nobody else answers for it. Nothing of that is a delivery.
func TestReleasedVersionThatDies(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.shop(t, "stages:\n  - name: production\n    deployment_strategy: blue_green_service\n", "1s")
	s.deliver(t, "1", fairway.StatusFinished)
	old := s.deliver(t, "2", fairway.StatusFinished)
	running, err := s.children()
	must(t, err)
	killed := 0
	for pid, instance := range running {
		if strings.HasPrefix(instance, string(old.ID)) {
			must(t, syscall.Kill(pid, syscall.SIGKILL))
			killed = pid
		}
	}
	must(t, until("another process runs instead", func() (bool, error) {
		running, err := s.children()
		_, there := running[killed]
		return len(running) == 2 && !there, err
	}))
	must(t, until("version 2 answers again", func() (bool, error) {
		status, body, err := s.ask("cart.production.localhost", "/version")
		if status == http.StatusOK && body != "Version = 2" {
			t.Errorf("another version answered: %s", body)
		}
		return status == http.StatusOK, err
	}))
	if out := s.run(t, "get", "deliveries"); strings.Count(out, "cart") != 2 {
		t.Errorf("there are other deliveries than two:\n%s", out)
	}
	must(t, s.stop())
}
