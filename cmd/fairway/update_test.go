package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// A shipyard that is replaced is followed once, wherever the process was
// killed after main had moved.
func TestKilledWhileAProjectIsUpdated(t *testing.T) {
	t.Parallel()
	for _, point := range []string{"git.ref.before-rename:1", "git.ref.after-rename:1", "event.after-append:1"} {
		t.Run(point, func(t *testing.T) {
			t.Parallel()
			s := start(t)
			s.shop(t, "stages:\n  - name: live\n", "1s")
			file := filepath.Join(t.TempDir(), "shipyard.yaml")
			must(t, os.WriteFile(file, []byte("stages:\n  - name: live\n  - name: more\n"), 0o600))
			must(t, s.stop())
			must(t, s.begin([]string{"FAIRWAY_FAILPOINT=" + point}))
			_ = s.command("update", "project", "shop", file).Run() // the answer is lost
			must(t, s.awaitExit())
			must(t, s.begin(nil))
			again := s.run(t, "update", "project", "shop", file)
			if lost := strings.HasPrefix(point, "git.ref.before"); strings.Contains(again, "already") == lost {
				t.Errorf("the same update again says:\n%s", again)
			}
			if events := s.run(t, "get", "events", "--limit", "1000"); strings.Count(events, "project.changed") != 1 {
				t.Errorf("the change is not told of once:\n%s", events)
			}
			s.deliver(t, "1", "finished")
			must(t, s.awaitAnswer("cart.more.localhost", "1"))
			must(t, s.stop())
		})
	}
}

// A service that is updated gets one delivery with the new definition, wherever
// the process was killed after main had moved.
func TestKilledWhileAServiceIsUpdated(t *testing.T) {
	t.Parallel()
	for _, point := range []string{"git.ref.after-rename:1", "event.after-append:1", "git.ref.after-rename:2"} {
		t.Run(point, func(t *testing.T) {
			t.Parallel()
			s := start(t)
			s.shop(t, "stages:\n  - name: live\n", "1s")
			s.deliver(t, "1", "finished")
			file := filepath.Join(t.TempDir(), "values.yaml")
			must(t, os.WriteFile(file, []byte("service: {name: cart, internalPort: 8080}\nhealth: /health\nenv: {VERSION: loud}\n"), 0o600))
			must(t, s.stop())
			must(t, s.begin([]string{"FAIRWAY_FAILPOINT=" + point}))
			_ = s.command("update", "service", "cart", "--project", "shop", "--values", file).Run() // the answer is lost
			must(t, s.awaitExit())
			must(t, s.begin(nil))
			must(t, until("the definition is delivered", func() (bool, error) {
				_, body, err := s.ask("cart.live.localhost", "/version")
				return err == nil && strings.Contains(body, "loud"), nil
			}))
			if events := s.run(t, "get", "events", "--limit", "1000"); strings.Count(events, "service.updated") != 1 || strings.Count(events, "with the definition of the service that") != 1 {
				t.Errorf("the update is not followed once:\n%s", events)
			}
			must(t, s.stop())
		})
	}
}
