package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/fairwaycd/fairway"
)

// A backup of a running server, restored into an empty directory, goes on with
// the delivery that was under way; a damaged one changes nothing.
func TestARestoredBackupGoesOn(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.shop(t, "stages:\n  - name: dev\n  - name: live\n    deployment_strategy: blue_green_service\n    approval: manual\n", "1s")
	must(t, s.push("cart", "1"))
	_, err := s.at("cart", "1", "live", "approve")
	must(t, err)
	file := filepath.Join(t.TempDir(), "fairway.tgz")
	s.run(t, "backup", file)
	info, err := os.Stat(file)
	must(t, err)
	if info.Mode().Perm() != 0o600 {
		t.Errorf("the backup, which holds secrets, has mode %s", info.Mode())
	}

	// The server went on, and is gone then with all that it had.
	d := s.run(t, "get", "deliveries", "-o", "json")
	if !strings.Contains(d, `"approve"`) {
		t.Errorf("the delivery is\n%s", d)
	}
	must(t, s.stop())
	if out, err := s.command("restore", file).CombinedOutput(); err == nil || !strings.Contains(string(out), "--force") {
		t.Errorf("a directory that is not empty is answered %s", out)
	}
	body, err := os.ReadFile(file)
	must(t, err)
	for name, bad := range map[string][]byte{"cut": body[:len(body)/2], "changed": append(append([]byte{}, body[:len(body)/2]...), body[len(body)/2+1:]...)} {
		wrong := filepath.Join(t.TempDir(), name)
		must(t, os.WriteFile(wrong, bad, 0o600))
		empty := filepath.Join(t.TempDir(), "data")
		if out, err := s.command("restore", wrong, "--data", empty).CombinedOutput(); err == nil {
			t.Errorf("a backup that is %s is restored: %s", name, out)
		}
		if _, err := os.Stat(empty); err == nil {
			t.Errorf("a backup that is %s left something behind", name)
		}
	}
	must(t, os.RemoveAll(filepath.Join(s.home, ".local", "share", "fairway")))
	if out := s.run(t, "restore", file); !strings.Contains(out, "next: fairway up") {
		t.Errorf("restore says %s", out)
	}
	must(t, s.begin(nil))
	got, err := s.at("cart", "1", "live", "approve")
	must(t, err)
	s.run(t, "approve", string(got.ID), "--reason", "after the move")
	got, err = s.ended("cart", "1")
	must(t, err)
	if got.Status != fairway.StatusFinished {
		t.Errorf("the delivery ended as %s: %s", got.Status, got.Reason)
	}
	must(t, s.awaitAnswer("cart.live.localhost", "1"))
	must(t, s.awaitAnswer("cart.dev.localhost", "1"))
	s.deliver2(t)
	must(t, s.stop())
}

// deliver2 delivers another version, for which registry, git and log have to
// work as before.
func (s *server) deliver2(t *testing.T) {
	t.Helper()
	must(t, s.push("cart", "2"))
	d, err := s.at("cart", "2", "live", "approve")
	must(t, err)
	s.run(t, "approve", string(d.ID), "--reason", "as before")
	if d, err = s.ended("cart", "2"); err != nil || d.Status != fairway.StatusFinished {
		t.Errorf("the next delivery ended as %s: %s %v", d.Status, d.Reason, err)
	}
}
