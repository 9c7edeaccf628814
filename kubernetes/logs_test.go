package kubernetes

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/iotest"
	"time"
)

func TestLinesOfSeveralPods(t *testing.T) {
	t.Parallel()
	var b strings.Builder
	out := &interleaved{w: &b}
	long := strings.Repeat("x", 70_000)
	for _, s := range []struct{ source, text string }{{"a main", "1\n2\n"}, {"a main", "3\n"}, {"b main", "4"}, {"c main", ""}, {"a main", "\n" + long}} {
		if err := out.copy(s.source, iotest.HalfReader(strings.NewReader(s.text))); err != nil {
			t.Fatal(err)
		}
	}
	if want := "fairway: pod a main\n1\n2\n3\nfairway: pod b main\n4fairway: pod a main\n\n" + long; b.String() != want {
		t.Errorf("got %.200q", b.String())
	}
}

func TestOldLogsGo(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	now := time.Now()
	for name, age := range map[string]time.Duration{"d1/old.log": 8 * 24 * time.Hour, "d2/old.log": 8 * 24 * time.Hour, "d2/new.log": time.Hour} {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte("x"), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(path, now.Add(-age), now.Add(-age)); err != nil {
			t.Fatal(err)
		}
	}
	if err := dropOld(dir, now.Add(-7*24*time.Hour)); err != nil {
		t.Fatal(err)
	}
	left, err := filepath.Glob(filepath.Join(dir, "*", "*"))
	if err != nil || len(left) != 1 || !strings.HasSuffix(left[0], "d2/new.log") {
		t.Errorf("left: %v, %v", left, err)
	}
	if _, err := os.Stat(filepath.Join(dir, "d1")); !os.IsNotExist(err) {
		t.Errorf("the empty directory: %v", err)
	}
}
