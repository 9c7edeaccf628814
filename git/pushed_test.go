package git_test

import (
	"context"
	"strings"
	"testing"

	"github.com/fairwaycd/fairway"
	"github.com/fairwaycd/fairway/git"
)

// A push that was stored is not forgotten before it is handled: neither by an
// error nor by a restart. No client sees the note of it.
func TestAPushThatWasNotHandledIsKept(t *testing.T) {
	t.Parallel()
	dir, full := t.TempDir(), true
	o := git.Options{AfterPush: func(context.Context, git.Push) error {
		if full {
			return fairway.Errorf(fairway.KindFull, "the disk is full")
		}
		return nil
	}}
	s := open(t, dir, o)
	create(t, s, "sockshop")
	c := newClient(t, serve(t, s), "-b", "dev")
	old := c.ok("rev-parse", "HEAD")
	first := c.commit("a", "1")
	c.refused([]string{"the disk is full", "need not be pushed again"}, "push", "-q")
	second := c.commit("a", "2")
	c.refused(nil, "push", "-q")
	if out := c.ok("ls-remote", "origin"); strings.Contains(out, "fairway") || !strings.Contains(out, second) {
		t.Errorf("the client sees: %s", out)
	}
	s = open(t, dir, o)
	left, err := s.Unhandled(t.Context())
	if err != nil || len(left) != 2 || left[0].Old != old || left[0].New != first || left[1].Old != first || left[1].New != second {
		t.Fatalf("kept: %+v, error %v", left, err)
	}
	if body, _, err := left[1].Before().File("a"); string(body) != "1" || err != nil {
		t.Errorf("before the second: %q, error %v", body, err)
	}
	for _, p := range left {
		if err := s.Handled(t.Context(), p); err != nil {
			t.Error(err)
		}
	}
	full = false
	c.ok("remote", "set-url", "origin", serve(t, s))
	c.commit("a", "3")
	c.ok("push", "-q")
	if left, err := open(t, dir, o).Unhandled(t.Context()); err != nil || len(left) != 0 {
		t.Errorf("kept: %+v, error %v", left, err)
	}
}
