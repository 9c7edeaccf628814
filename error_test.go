package fairway

import (
	"errors"
	"fmt"
	"testing"
)

func TestKindOf(t *testing.T) {
	t.Parallel()
	conflict := Errorf(KindConflict, "taken: %w", errors.New("in use"))
	for name, c := range map[string]struct {
		err  error
		want Kind
	}{
		"plain":     {errors.New("x"), KindInternal},
		"wrapped":   {fmt.Errorf("open: %w", conflict), KindConflict},
		"joined":    {errors.Join(errors.New("x"), conflict), KindConflict},
		"retryable": {Retryable(conflict), KindConflict},
		"outermost": {Errorf(KindFull, "no space: %w", conflict), KindFull},
		"invalid":   {fmt.Errorf("stage dev: %w", Invalid("name", "", "is missing", "give one")), KindInvalid},
	} {
		if got := KindOf(c.err); got != c.want {
			t.Errorf("%s: %s, want %s", name, got, c.want)
		}
	}
}

func TestProblemsNameWhereAndWhat(t *testing.T) {
	t.Parallel()
	err := InFile("a.yaml", &Error{Kind: KindInvalid, Problems: []Problem{{Line: 3, Column: 5, Field: "gate", Value: "maybe", Message: "is not a value", Remedy: "use off"}}})
	if got := err.Error(); got != `a.yaml:3:5: gate "maybe" is not a value; use off` {
		t.Errorf("%s", got)
	}
}

func TestNames(t *testing.T) {
	t.Parallel()
	for _, bad := range []ServiceName{"", "c", "Carts", "carts-", "carts_db", "carts-blue", "carts.db", "1carts"} {
		if bad.Validate() == nil {
			t.Errorf("service %q was accepted", bad)
		}
	}
	for _, good := range []ServiceName{"carts", "carts-db", "svc2"} {
		if err := good.Validate(); err != nil {
			t.Error(err)
		}
	}
	if StageName("main").Validate() == nil {
		t.Error("a stage was given the shipyard's branch")
	}
	for ref, want := range map[string][2]string{
		"127.0.0.1:8080/a/b:1.0": {"127.0.0.1:8080/a/b", "1.0"}, "127.0.0.1:8080/a/b": {"127.0.0.1:8080/a/b", ""}, "mongo:latest": {"mongo", "latest"},
	} {
		if image, tag := SplitImage(ref); image != want[0] || tag != want[1] {
			t.Errorf("%s: %s %s", ref, image, tag)
		}
	}
	if got := (Artifact{Image: "127.0.0.1:8080/sockshop/carts"}).Path(); got != "sockshop/carts" {
		t.Error(got)
	}
}
