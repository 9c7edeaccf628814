package git_test

import (
	"bufio"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/fairwaycd/fairway"
	"github.com/fairwaycd/fairway/git"
)

type crash struct{ at string }

// crashAt abandons the store at a failpoint, as a killed process does, and
// reports whether it got there.
func crashAt(t *testing.T, name string, dir string, f func(*git.Store)) (crashed bool) {
	t.Helper()
	armed := true
	s := open(t, dir, git.Options{Failpoint: func(at string) {
		if at == name && armed {
			armed = false
			panic(crash{at})
		}
	}})
	defer func() {
		if c, ok := recover().(crash); ok {
			crashed = c.at == name
		}
	}()
	f(s)
	return false
}

var failpoints = []string{"git.objects.written", "git.ref.before-rename", "git.ref.after-rename"}

// A crash leaves the old state or the new one, and the repeated effect ends
// in one commit.
func TestCrashInCommit(t *testing.T) {
	t.Parallel()
	for _, name := range failpoints {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			create(t, open(t, dir, git.Options{}), "sockshop")
			both := map[string]git.CommitRequest{}
			for _, b := range []string{"dev", "staging"} {
				q := set("helm-chart/values.yaml", "new")
				q.Key = "d1/configure/1"
				both[b] = q
			}
			if !crashAt(t, name, dir, func(s *git.Store) { _, _ = s.CommitAll(t.Context(), "sockshop", both) }) {
				t.Fatal("it did not crash")
			}
			s := open(t, dir, git.Options{})
			want := map[bool]string{false: "carts:\n  image: carts:1\n", true: "new"}[name == "git.ref.after-rename"]
			for _, b := range []string{"dev", "staging"} {
				if got := file(t, s, b, "helm-chart/values.yaml"); got != want {
					t.Errorf("%s after the crash: %q, want %q", b, got, want)
				}
			}
			fsck(t, dir)
			if _, err := s.CommitAll(t.Context(), "sockshop", both); err != nil {
				t.Fatal(err)
			}
			for _, b := range []string{"dev", "staging"} {
				if log, err := s.Log(t.Context(), "sockshop", b, 10); err != nil || len(log) != 3 {
					t.Errorf("%s has %d commits, error %v", b, len(log), err)
				}
				if got := file(t, s, b, "helm-chart/values.yaml"); got != "new" {
					t.Errorf("%s in the end: %q", b, got)
				}
			}
			fsck(t, dir)
		})
	}
}

// A crash while a project is made leaves no project, and no rubbish.
func TestCrashInCreate(t *testing.T) {
	t.Parallel()
	for _, name := range failpoints {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			if !crashAt(t, name, dir, func(s *git.Store) { create(t, s, "sockshop") }) {
				t.Fatal("it did not crash")
			}
			s := open(t, dir, git.Options{})
			if list := listing(t, dir); len(list) != 1 {
				t.Errorf("left behind: %v", list)
			}
			create(t, s, "sockshop")
			fsck(t, dir)
		})
	}
}

// The process is killed again and again while it commits; every commit that
// was reported is there.
func TestKilledWhileCommitting(t *testing.T) {
	if dir := os.Getenv("FAIRWAY_GIT_TEST_COMMITTER"); dir != "" {
		commitForEver(t, dir)
		return
	}
	t.Parallel()
	dir := t.TempDir()
	create(t, open(t, dir, git.Options{}), "sockshop")
	reported := map[string]string{}
	for round := range 4 {
		cmd := exec.Command(os.Args[0], "-test.run", "^TestKilledWhileCommitting$")
		cmd.Env = append(os.Environ(), "FAIRWAY_GIT_TEST_COMMITTER="+dir)
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		lines := bufio.NewScanner(out)
		n := 0
		for lines.Scan() {
			branch, h, ok := strings.Cut(lines.Text(), " ")
			if !ok || len(h) != 40 {
				continue
			}
			reported[h] = branch
			if n++; n == 50*(round+1) {
				if err := cmd.Process.Kill(); err != nil {
					t.Fatal(err)
				}
			}
		}
		_ = cmd.Wait() // killed
	}
	s := open(t, dir, git.Options{})
	if len(reported) < 500 {
		t.Errorf("only %d commits were reported", len(reported))
	}
	log := map[string]map[string]bool{}
	for _, b := range []string{"dev", "staging"} {
		log[b] = map[string]bool{}
		lines, err := s.Log(t.Context(), "sockshop", b, 1e6)
		if err != nil {
			t.Fatal(err)
		}
		for _, l := range lines {
			log[b][l.Hash] = true
		}
	}
	for h, b := range reported {
		if !log[b][h] {
			t.Fatalf("commit %s of %s was reported and is lost", h, b)
		}
	}
	fsck(t, dir)
}

func commitForEver(t *testing.T, dir string) {
	s := open(t, dir, git.Options{})
	go s.Maintain(t.Context())
	lines := make(chan string)
	for i := range 4 {
		go func() {
			for n := 0; ; n++ {
				b := []string{"dev", "staging"}[i%2]
				h, _, err := s.Commit(t.Context(), "sockshop", b, set(fmt.Sprint("f", i), fmt.Sprint(os.Getpid(), " ", n)))
				if err != nil {
					panic(err)
				}
				lines <- b + " " + h
			}
		}()
	}
	for l := range lines {
		fmt.Println(l)
	}
}

// What another program did to the repository is neither used nor ignored.
func TestLooseRefIsRefused(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := open(t, dir, git.Options{})
	create(t, s, "sockshop")
	h := tips(t, s)["main"]
	if err := os.WriteFile(filepath.Join(dir, "sockshop.git/refs/heads/dev"), []byte(h+"\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	_, err := open(t, dir, git.Options{}).Read(t.Context(), "sockshop", "dev")
	if fairway.KindOf(err) != fairway.KindRefused || !strings.Contains(err.Error(), "pack-refs --all") {
		t.Errorf("got %v", err)
	}
}

func TestDamageIsReported(t *testing.T) {
	t.Parallel()
	for name, damage := range map[string]func(repo string) error{
		"empty refs": func(repo string) error { return os.Truncate(filepath.Join(repo, "packed-refs"), 0) },
		"no refs":    func(repo string) error { return os.Remove(filepath.Join(repo, "packed-refs")) },
		"broken refs": func(repo string) error {
			return os.WriteFile(filepath.Join(repo, "packed-refs"), []byte("x y\n"), 0o644)
		},
		"packs gone": func(repo string) error { return each(repo, "*.pack", os.Remove) },
		"broken index": func(repo string) error {
			return each(repo, "*.idx", func(p string) error { return os.Truncate(p, 100) })
		},
	} {
		dir := t.TempDir()
		create(t, open(t, dir, git.Options{}), "sockshop")
		if err := damage(filepath.Join(dir, "sockshop.git")); err != nil {
			t.Fatal(err)
		}
		_, err := open(t, dir, git.Options{}).Read(t.Context(), "sockshop", "dev")
		if err == nil || !strings.Contains(err.Error(), "sockshop") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func each(repo, pattern string, f func(string) error) error {
	paths, err := filepath.Glob(filepath.Join(repo, "objects/pack", pattern))
	for _, p := range paths {
		if err == nil {
			err = f(p)
		}
	}
	return err
}

// A full disk is not a lost commit: the writer is told, and goes on later.
func TestWriteFails(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := open(t, dir, git.Options{})
	create(t, s, "sockshop")
	before := tips(t, s)
	lock := filepath.Join(dir, "sockshop.git/packed-refs.lock")
	if err := os.Mkdir(lock, 0o755); err != nil { // in the way of the file
		t.Fatal(err)
	}
	q := set("a", "1")
	q.Key = "k"
	if _, _, err := s.Commit(t.Context(), "sockshop", "dev", q); err == nil {
		t.Fatal("the refs could not be written, and the commit succeeded")
	}
	if got := tips(t, s); !maps.Equal(got, before) {
		t.Errorf("branches are %v, were %v", got, before)
	}
	if err := os.Remove(lock); err != nil {
		t.Fatal(err)
	}
	if _, changed, err := s.Commit(t.Context(), "sockshop", "dev", q); err != nil || !changed {
		t.Errorf("afterwards: %v, %v", changed, err)
	}
	file(t, s, "dev", "a")
	fsck(t, dir)
}
