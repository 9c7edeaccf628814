package git_test

import (
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/fairwaycd/fairway"
	"github.com/fairwaycd/fairway/git"
	"github.com/fairwaycd/fairway/internal/testenv"
)

// hunks are a unified diff without its header.
func hunks(diff string) string {
	if i := strings.Index(diff, "@@"); i >= 0 {
		return diff[i:]
	}
	return ""
}

// What a commit changed is what git says that it changed.
func TestShow(t *testing.T) {
	t.Parallel()
	program := testenv.Need(t, "git")
	dir := t.TempDir()
	s := open(t, dir, git.Options{})
	create(t, s, "sockshop")
	var lines []string
	for i := range 40 {
		lines = append(lines, fmt.Sprintf("line %d", i))
	}
	commit(t, s, "dev", set("notes.txt", strings.Join(lines, "\n")+"\n"))
	lines[1], lines[30] = "changed", "changed, too"
	lines = append(lines[:10], lines[11:]...)
	q := git.CommitRequest{Info: info("change\n\nwith a reason"), Edit: func(*git.Snapshot) (map[string][]byte, error) {
		return map[string][]byte{"notes.txt": []byte(strings.Join(lines, "\n") + "\nlast\n"), "carts/tests/functional.yml": nil, "new.bin": {0, 1}, "helm-chart/new.yaml": []byte("a: 1\nb: 2\n")}, nil
	}}
	h := commit(t, s, "dev", q)
	shown, err := s.Show(t.Context(), "sockshop", h)
	if err != nil {
		t.Fatal(err)
	}
	if shown.Hash != h || shown.Subject != "change" || shown.Parent == "" || shown.More != 0 || len(shown.Files) != 4 {
		t.Fatalf("%+v", shown)
	}
	want := map[string]string{"carts/tests/functional.yml": "removed 0 1", "helm-chart/new.yaml": "added 2 0", "new.bin": "added 0 0", "notes.txt": "changed 3 3"}
	for _, f := range shown.Files {
		if got := fmt.Sprintf("%s %d %d", f.Change, f.Added, f.Removed); got != want[f.Path] {
			t.Errorf("%s: %s, not %s", f.Path, got, want[f.Path])
		}
		if f.Binary != (f.Path == "new.bin") || f.Cut {
			t.Errorf("%+v", f)
		}
		if f.Binary {
			continue
		}
		// The heading that git puts behind the second @@ is of no use here.
		out, err := exec.CommandContext(t.Context(), program, "-C", filepath.Join(dir, "sockshop.git"), "-c", "diff.noprefix=false", "diff", "--no-ext-diff", shown.Parent, h, "--", f.Path).CombinedOutput()
		if err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		var theirs []string
		for line := range strings.Lines(hunks(string(out))) {
			if strings.HasPrefix(line, "@@") {
				line = line[:strings.LastIndex(line, "@@")+2] + "\n"
			}
			theirs = append(theirs, line)
		}
		if f.Diff != strings.Join(theirs, "") {
			t.Errorf("%s:\n%s\nbut git says\n%s", f.Path, f.Diff, strings.Join(theirs, ""))
		}
	}
}

func TestShowIsBounded(t *testing.T) {
	t.Parallel()
	s := open(t, t.TempDir(), git.Options{NoSync: true})
	create(t, s, "sockshop")
	files := map[string][]byte{"large.txt": []byte(strings.Repeat("0123456789 and so on\n", 20_000))}
	for i := range 300 {
		files[fmt.Sprintf("many/%03d", i)] = []byte("x\n")
	}
	h := commit(t, s, "dev", git.CommitRequest{Info: info("much"), Edit: func(*git.Snapshot) (map[string][]byte, error) { return files, nil }})
	shown, err := s.Show(t.Context(), "sockshop", h)
	if err != nil {
		t.Fatal(err)
	}
	if len(shown.Files) != 200 || shown.More != 101 {
		t.Fatalf("%d files and %d more", len(shown.Files), shown.More)
	}
	if f := shown.Files[0]; f.Path != "large.txt" || !f.Cut || f.Added != 20_000 || len(f.Diff) > 64<<10 || !strings.HasSuffix(f.Diff, "\n") {
		t.Errorf("%s: cut %t, %d added, %d bytes", f.Path, f.Cut, f.Added, len(f.Diff))
	}
	if _, err := s.Show(t.Context(), "sockshop", strings.Repeat("0", 40)); fairway.KindOf(err) != fairway.KindNotFound {
		t.Errorf("an unknown commit: %v", err)
	}
}
