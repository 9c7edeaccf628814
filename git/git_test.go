package git_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/fairwaycd/fairway"
	"github.com/fairwaycd/fairway/git"
	"github.com/fairwaycd/fairway/internal/testenv"
)

var when = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func info(message string) git.CommitInfo { return git.CommitInfo{Message: message, When: when} }

func open(t testing.TB, dir string, o git.Options) *git.Store {
	t.Helper()
	s, err := git.Open(dir, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

// content is what the test project begins with.
func content() map[string]map[string][]byte {
	stage := map[string][]byte{
		"helm-chart/values.yaml":     []byte("carts:\n  image: carts:1\n"),
		"helm-chart/templates/a.yml": []byte("a: 1\n"),
		"carts/tests/functional.yml": []byte("requests: []\n"),
	}
	return map[string]map[string][]byte{
		"main":    {"shipyard.yaml": []byte("stages:\n- name: dev\n")},
		"dev":     stage,
		"staging": stage,
	}
}

func create(t testing.TB, s *git.Store, project fairway.ProjectName) {
	t.Helper()
	if err := s.Create(t.Context(), project, content(), info("create")); err != nil {
		t.Fatal(err)
	}
}

// set returns a request that writes one file.
func set(path, text string) git.CommitRequest {
	return git.CommitRequest{Info: info("set " + path), Edit: func(*git.Snapshot) (map[string][]byte, error) {
		return map[string][]byte{path: []byte(text)}, nil
	}}
}

func commit(t testing.TB, s *git.Store, branch string, q git.CommitRequest) string {
	t.Helper()
	h, _, err := s.Commit(t.Context(), "sockshop", branch, q)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func file(t testing.TB, s *git.Store, rev, path string) string {
	t.Helper()
	snap, err := s.Read(t.Context(), "sockshop", rev)
	if err != nil {
		t.Fatal(err)
	}
	data, ok, err := snap.File(path)
	if err != nil || !ok {
		t.Fatalf("%s of %s: ok %v, error %v", path, rev, ok, err)
	}
	return string(data)
}

func serve(t testing.TB, s *git.Store) string {
	t.Helper()
	h := http.StripPrefix("/git", s.Handler())
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h.ServeHTTP(w, r.WithContext(git.WithActor(r.Context(), "ada")))
	}))
	t.Cleanup(srv.Close)
	return srv.URL + "/git/sockshop.git"
}

// client is a work tree that real git manages.
type client struct {
	t    testing.TB
	dir  string
	prog string
}

func newClient(t testing.TB, args ...string) *client {
	t.Helper()
	c := &client{t: t, prog: testenv.Need(t, "git"), dir: t.TempDir()}
	c.ok(append([]string{"clone", "-q"}, append(args, ".")...)...)
	return c
}

func (c *client) run(args ...string) (string, error) {
	cmd := exec.Command(c.prog, append([]string{"-c", "gc.auto=0", "-c", "advice.detachedHead=false"}, args...)...)
	cmd.Dir = c.dir
	cmd.Env = append(os.Environ(), "GIT_CONFIG_GLOBAL=/dev/null", "GIT_CONFIG_SYSTEM=/dev/null", "GIT_TERMINAL_PROMPT=0", "LC_ALL=C",
		"GIT_AUTHOR_NAME=Ada", "GIT_AUTHOR_EMAIL=ada@example.org", "GIT_COMMITTER_NAME=Ada", "GIT_COMMITTER_EMAIL=ada@example.org")
	out, err := cmd.CombinedOutput()
	return string(out), err
}

func (c *client) ok(args ...string) string {
	c.t.Helper()
	out, err := c.run(args...)
	if err != nil {
		c.t.Fatalf("git %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return strings.TrimSpace(out)
}

// refused runs git, which must fail and say all of the texts.
func (c *client) refused(texts []string, args ...string) {
	c.t.Helper()
	out, err := c.run(args...)
	if err == nil {
		c.t.Fatalf("git %s: was not refused\n%s", strings.Join(args, " "), out)
	}
	for _, text := range texts {
		if !strings.Contains(out, text) {
			c.t.Errorf("git %s: does not say %q\n%s", strings.Join(args, " "), text, out)
		}
	}
}

func (c *client) write(path, text string) {
	c.t.Helper()
	path = filepath.Join(c.dir, path)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		c.t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		c.t.Fatal(err)
	}
}

func (c *client) commit(path, text string) string {
	c.t.Helper()
	c.write(path, text)
	c.ok("add", "-A")
	c.ok("commit", "-q", "-m", "edit "+path)
	return c.ok("rev-parse", "HEAD")
}

// fsck has real git check the repository on the disk.
func fsck(t testing.TB, dir string) {
	t.Helper()
	prog := testenv.Need(t, "git")
	out, err := exec.Command(prog, "-C", filepath.Join(dir, "sockshop.git"), "fsck", "--full", "--strict").CombinedOutput()
	if err != nil {
		t.Fatalf("git fsck: %v\n%s", err, out)
	}
}

func tips(t testing.TB, s *git.Store) map[string]string {
	t.Helper()
	m, err := s.Branches(t.Context(), "sockshop")
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func TestCreate(t *testing.T) {
	t.Parallel()
	ctx, dir := t.Context(), t.TempDir()
	s := open(t, dir, git.Options{})
	create(t, s, "sockshop")
	create(t, s, "sockshop") // the same again
	commit(t, s, "dev", set("new", "1"))
	create(t, s, "sockshop") // it began like this
	other := content()
	other["main"]["shipyard.yaml"] = []byte("other")
	if err := s.Create(ctx, "sockshop", other, info("create")); fairway.KindOf(err) != fairway.KindConflict {
		t.Fatalf("other content: %v, want a conflict", err)
	}
	projects, err := s.Projects(ctx)
	if err != nil || !slices.Equal(projects, []fairway.ProjectName{"sockshop"}) {
		t.Fatalf("projects %v, error %v", projects, err)
	}
	if ok, err := s.Exists(ctx, "sockshop"); !ok || err != nil {
		t.Fatalf("exists: %v, %v", ok, err)
	}
	if ok, err := s.Exists(ctx, "nosuch"); ok || err != nil {
		t.Fatalf("exists: %v, %v", ok, err)
	}
	fsck(t, dir)
}

func TestCreateRefusesBadInput(t *testing.T) {
	t.Parallel()
	s := open(t, t.TempDir(), git.Options{})
	for name, c := range map[string]struct {
		project  fairway.ProjectName
		branches map[string]map[string][]byte
		info     git.CommitInfo
	}{
		"project": {"../x", content(), info("m")},
		"no main": {"shop", map[string]map[string][]byte{"dev": {}}, info("m")},
		"branch":  {"shop", map[string]map[string][]byte{"main": {}, "a/b": {}}, info("m")},
		"path":    {"shop", map[string]map[string][]byte{"main": {"a/../b": []byte("x")}}, info("m")},
		"git":     {"shop", map[string]map[string][]byte{"main": {"a/.Git/config": []byte("x")}}, info("m")},
		"clash":   {"shop", map[string]map[string][]byte{"main": {"a": []byte("x"), "a/b": []byte("x")}}, info("m")},
		"time":    {"shop", content(), git.CommitInfo{Message: "m"}},
	} {
		if err := s.Create(t.Context(), c.project, c.branches, c.info); fairway.KindOf(err) != fairway.KindInvalid {
			t.Errorf("%s: %v, want an error of input", name, err)
		}
	}
	if p, _ := s.Projects(t.Context()); len(p) != 0 {
		t.Errorf("projects were made: %v", p)
	}
}

func TestReadSaysWhatExists(t *testing.T) {
	t.Parallel()
	s := open(t, t.TempDir(), git.Options{})
	create(t, s, "sockshop")
	for _, c := range []struct {
		project fairway.ProjectName
		rev     string
		says    string
	}{
		{"nosuch", "main", "sockshop"},
		{"sockshop", "prod", "dev, main, staging"},
		{"sockshop", strings.Repeat("1", 40), "no commit"},
	} {
		_, err := s.Read(t.Context(), c.project, c.rev)
		if fairway.KindOf(err) != fairway.KindNotFound || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s %s: %v, want not found with %q", c.project, c.rev, err, c.says)
		}
	}
}

func TestSnapshot(t *testing.T) {
	t.Parallel()
	s := open(t, t.TempDir(), git.Options{})
	create(t, s, "sockshop")
	snap, err := s.Read(t.Context(), "sockshop", "dev")
	if err != nil {
		t.Fatal(err)
	}
	paths, err := snap.Paths()
	if err != nil || !slices.Equal(paths, slices.Sorted(maps.Keys(content()["dev"]))) {
		t.Fatalf("paths %v, error %v", paths, err)
	}
	files, err := snap.Files("helm-chart")
	if err != nil || len(files) != 2 || string(files["helm-chart/templates/a.yml"]) != "a: 1\n" {
		t.Fatalf("files %q, error %v", files, err)
	}
	if files, err := snap.Files("helm"); err != nil || len(files) != 0 {
		t.Fatalf("a prefix that is no directory: %q, %v", files, err)
	}
	for _, path := range []string{"helm-chart", "nosuch", "carts/tests/functional.yml/x", ""} {
		if _, ok, err := snap.File(path); ok || err != nil {
			t.Errorf("%q: %v, %v", path, ok, err)
		}
	}
	old := snap.Commit
	commit(t, s, "dev", set("helm-chart/values.yaml", "new"))
	if got := file(t, s, old, "helm-chart/values.yaml"); got != "carts:\n  image: carts:1\n" {
		t.Errorf("the old commit has %q", got)
	}
}

func TestCommitEdits(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := open(t, dir, git.Options{})
	create(t, s, "sockshop")
	q := git.CommitRequest{Info: info("several"), Edit: func(snap *git.Snapshot) (map[string][]byte, error) {
		return map[string][]byte{
			"helm-chart/templates":    nil, // a whole directory
			"helm-chart/templates/b":  []byte("b"),
			"carts/tests":             nil,
			"deep/er/than/before.txt": []byte(""),
			"nosuch":                  nil,
			"helm-chart.txt":          []byte("sorts before the directory"),
		}, nil
	}}
	commit(t, s, "dev", q)
	snap, err := s.Read(t.Context(), "sockshop", "dev")
	if err != nil {
		t.Fatal(err)
	}
	paths, err := snap.Paths()
	want := []string{"deep/er/than/before.txt", "helm-chart.txt", "helm-chart/templates/b", "helm-chart/values.yaml"}
	if err != nil || !slices.Equal(paths, want) {
		t.Fatalf("paths %v, error %v, want %v", paths, err, want)
	}
	tip := tips(t, s)["dev"]
	h, changed, err := s.Commit(t.Context(), "sockshop", "dev", set("helm-chart/templates/b", "b"))
	if err != nil || changed || h != tip {
		t.Fatalf("no change: %s, %v, %v, want the tip %s", h, changed, err, tip)
	}
	fsck(t, dir)
}

func TestCommitRefusals(t *testing.T) {
	t.Parallel()
	s := open(t, t.TempDir(), git.Options{})
	create(t, s, "sockshop")
	before := tips(t, s)
	boom := errors.New("boom")
	fails := set("a", "b")
	fails.Edit = func(*git.Snapshot) (map[string][]byte, error) { return nil, boom }
	if _, _, err := s.Commit(t.Context(), "sockshop", "dev", fails); !errors.Is(err, boom) {
		t.Errorf("the error of Edit: %v", err)
	}
	for path, kind := range map[string]fairway.Kind{
		"../x":                     fairway.KindInvalid,
		"/x":                       fairway.KindInvalid,
		"helm-chart":               fairway.KindInvalid,
		"helm-chart/values.yaml/":  fairway.KindInvalid,
		"helm-chart/values.yaml/x": fairway.KindInvalid,
	} {
		if _, _, err := s.Commit(t.Context(), "sockshop", "dev", set(path, "x")); fairway.KindOf(err) != kind {
			t.Errorf("%s: %v, want %s", path, err, kind)
		}
	}
	if _, _, err := s.Commit(t.Context(), "sockshop", "prod", set("a", "b")); fairway.KindOf(err) != fairway.KindNotFound {
		t.Errorf("unknown branch: %v", err)
	}
	_, err := s.CommitAll(t.Context(), "sockshop", map[string]git.CommitRequest{"dev": set("a", "b"), "staging": fails})
	if !errors.Is(err, boom) {
		t.Errorf("one of two fails: %v", err)
	}
	if got := tips(t, s); !maps.Equal(got, before) {
		t.Errorf("branches moved: %v, were %v", got, before)
	}
	results, err := s.CommitAll(t.Context(), "sockshop", map[string]git.CommitRequest{"dev": set("a", "b"), "staging": set("a", "b")})
	if err != nil || !results["dev"].Changed || !results["staging"].Changed {
		t.Errorf("both: %v, %v", results, err)
	}
}

func TestKeyFindsItsCommit(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := open(t, dir, git.Options{})
	create(t, s, "sockshop")
	q := set("a", "1")
	q.Key = "d1/configure/1"
	first, changed, err := s.Commit(t.Context(), "sockshop", "dev", q)
	if err != nil || !changed {
		t.Fatal(changed, err)
	}
	for i := range 60 {
		commit(t, s, "dev", set("a", fmt.Sprint("later ", i)))
	}
	q.Edit = func(*git.Snapshot) (map[string][]byte, error) {
		t.Error("Edit is called although the commit is there")
		return nil, nil
	}
	again := func(s *git.Store) {
		t.Helper()
		h, changed, err := s.Commit(t.Context(), "sockshop", "dev", q)
		if err != nil || changed || h != first {
			t.Fatalf("again: %s, %v, %v, want %s", h, changed, err, first)
		}
	}
	again(s)
	again(open(t, dir, git.Options{})) // after a restart
	log, err := s.Log(t.Context(), "sockshop", "dev", 100)
	if err != nil || len(log) != 63 {
		t.Fatalf("log of %d, error %v", len(log), err)
	}
	if at := log[60]; at.Hash != first || at.Subject != "set a" || at.Author != "Fairway" || !at.When.Equal(when) || !strings.HasSuffix(at.Message, "\n\nFairway-Step: d1/configure/1\n") {
		t.Errorf("the line of the commit is %+v", at)
	}
	// A merge by a person keeps the key reachable by its second parent only.
	c := newClient(t, serve(t, s), "-b", "dev")
	c.ok("reset", "-q", "--hard", first+"~1")
	c.commit("mine", "1")
	c.ok("merge", "-q", "-m", "merge", "origin/dev")
	c.ok("push", "-q", "origin", "HEAD:dev")
	again(s)
}

func TestCreateBranch(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := open(t, dir, git.Options{})
	create(t, s, "sockshop")
	for _, want := range []bool{true, false} {
		created, err := s.CreateBranch(t.Context(), "sockshop", "staging", "production", set("new", "1"))
		if err != nil || created != want {
			t.Fatalf("created %v, error %v", created, err)
		}
	}
	again := open(t, dir, git.Options{})
	if lines := mustLog(t, again, "production", 2); lines[0].Subject != "set new" || lines[1].Hash != tips(t, again)["staging"] {
		t.Fatal(lines)
	}
	if _, err := s.CreateBranch(t.Context(), "sockshop", "nosuch", "other", set("new", "1")); fairway.KindOf(err) != fairway.KindNotFound {
		t.Errorf("from a branch that does not exist: %v", err)
	}
	if _, err := s.CreateBranch(t.Context(), "sockshop", "staging", "a/b", set("new", "1")); fairway.KindOf(err) != fairway.KindInvalid {
		t.Errorf("bad name: %v", err)
	}
}

// Many commits at once: each is there, in a chain, and they were joined.
func TestCommitsAreJoined(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	var mu sync.Mutex
	synced := 0
	s := open(t, dir, git.Options{Failpoint: func(name string) {
		if name == "git.objects.written" {
			mu.Lock()
			synced++
			mu.Unlock()
		}
	}})
	create(t, s, "sockshop")
	const n = 64
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() {
			branch := []string{"dev", "staging"}[i%2]
			if _, changed, err := s.Commit(t.Context(), "sockshop", branch, set(fmt.Sprint("f", i), "x")); err != nil || !changed {
				t.Error(changed, err)
			}
		})
	}
	wg.Wait()
	for i := range n {
		file(t, s, []string{"dev", "staging"}[i%2], fmt.Sprint("f", i))
	}
	log, err := s.Log(t.Context(), "sockshop", "dev", 1000)
	if err != nil || len(log) != n/2+2 {
		t.Errorf("%d commits, error %v", len(log), err)
	}
	if synced >= n {
		t.Errorf("%d commits were stored in %d batches: none was joined", n, synced)
	}
	fsck(t, dir)
}

func TestCommitHonoursContext(t *testing.T) {
	t.Parallel()
	s := open(t, t.TempDir(), git.Options{})
	create(t, s, "sockshop")
	entered, release := make(chan struct{}), make(chan struct{})
	slow := set("a", "1")
	slow.Edit = func(*git.Snapshot) (map[string][]byte, error) {
		close(entered)
		<-release
		return map[string][]byte{"a": []byte("1")}, nil
	}
	var wg sync.WaitGroup
	wg.Go(func() { commit(t, s, "dev", slow) })
	<-entered
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	ctx2, cancel2 := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel2()
	if _, _, err := s.Commit(ctx, "sockshop", "dev", set("b", "1")); !errors.Is(err, context.Canceled) {
		t.Errorf("ended context: %v", err)
	}
	if _, _, err := s.Commit(ctx2, "sockshop", "dev", set("c", "1")); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("waiting context: %v", err)
	}
	close(release)
	wg.Wait()
	snap, err := s.Read(t.Context(), "sockshop", "dev")
	if err != nil {
		t.Fatal(err)
	}
	if _, ok, _ := snap.File("c"); ok {
		t.Error("the change that was given up was made")
	}
}

func TestCloseEndsWork(t *testing.T) {
	t.Parallel()
	s := open(t, t.TempDir(), git.Options{})
	create(t, s, "sockshop")
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if _, _, err := s.Commit(t.Context(), "sockshop", "dev", set("a", "1")); fairway.KindOf(err) != fairway.KindUnavailable {
		t.Errorf("after Close: %v", err)
	}
}
