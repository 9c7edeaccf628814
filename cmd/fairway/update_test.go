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
