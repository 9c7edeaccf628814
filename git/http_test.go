package git_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/fairwaycd/fairway"
	"github.com/fairwaycd/fairway/git"
)

func TestCloneAndPush(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	var checked, after []git.Push
	s := open(t, dir, git.Options{
		CheckPush: func(_ context.Context, p git.Push) error { checked = append(checked, p); return nil },
		AfterPush: func(_ context.Context, p git.Push) error { after = append(after, p); return nil },
	})
	create(t, s, "sockshop")
	url := serve(t, s)
	c := newClient(t, url)
	if got := c.ok("branch", "--show-current"); got != "main" {
		t.Errorf("HEAD is %q", got)
	}
	if got := c.ok("branch", "-r", "--format=%(refname:short)"); got != "origin\norigin/dev\norigin/main\norigin/staging" && got != "origin/HEAD\norigin/dev\norigin/main\norigin/staging" {
		t.Errorf("branches: %q", got)
	}
	c.ok("checkout", "-q", "dev")
	old := c.ok("rev-parse", "HEAD")
	h := c.commit("helm-chart/values.yaml", "new")
	c.ok("push", "-q")
	if got := file(t, s, "dev", "helm-chart/values.yaml"); got != "new" {
		t.Errorf("after the push: %q", got)
	}
	if len(checked) != 1 || len(after) != 1 {
		t.Fatalf("%d checks, %d calls afterwards", len(checked), len(after))
	}
	p := checked[0]
	if p.Project != "sockshop" || p.Branch != "dev" || p.Old != old || p.New != h || p.Actor != "ada" {
		t.Errorf("the check was told %+v", p)
	}
	before, _, _ := p.Before().File("helm-chart/values.yaml")
	now, _, err := p.After().File("helm-chart/values.yaml")
	if string(before) != "carts:\n  image: carts:1\n" || string(now) != "new" || err != nil {
		t.Errorf("before %q, after %q, error %v", before, now, err)
	}
	if paths, err := p.Changed(); err != nil || !slices.Equal(paths, []string{"helm-chart/values.yaml"}) {
		t.Errorf("changed: %v, %v", paths, err)
	}
	// A new branch, without a new object.
	c.ok("push", "-q", "origin", "dev:production")
	if got := tips(t, s)["production"]; got != h {
		t.Errorf("production is at %s", got)
	}
	if p := checked[1]; p.Old != "" || p.Before() != nil || p.Branch != "production" {
		t.Errorf("the check of a new branch was told %+v", p)
	}
	// What we commit arrives by fetch.
	mine := commit(t, s, "dev", set("helm-chart/values.yaml", "newer"))
	c.ok("pull", "-q", "--ff-only")
	if got := c.ok("rev-parse", "HEAD"); got != mine {
		t.Errorf("pulled %s, not %s", got, mine)
	}
	c.ok("fsck", "--full", "--strict")
	fsck(t, dir)
}

func TestPushRefusals(t *testing.T) {
	t.Parallel()
	s := open(t, t.TempDir(), git.Options{})
	create(t, s, "sockshop")
	c := newClient(t, serve(t, s), "-b", "dev")
	old := c.ok("rev-parse", "HEAD")
	c.commit("a", "1")
	c.ok("push", "-q")
	before := tips(t, s)
	c.refused([]string{"cannot be deleted"}, "push", "origin", ":dev")
	c.refused([]string{"cannot be deleted"}, "push", "origin", ":main")
	c.ok("tag", "v1")
	c.refused([]string{"refs/tags/v1 is not a branch"}, "push", "origin", "v1")
	c.refused([]string{"cannot be the branch of a stage"}, "push", "origin", "HEAD:feature/x")
	c.refused([]string{"cannot be the branch of a stage"}, "push", "origin", "HEAD:master")
	c.refused([]string{"forced push to dev is refused", "git pull --rebase"}, "push", "-f", "origin", old+":dev")
	c.ok("reset", "-q", "--hard", old)
	c.commit("b", "1")
	c.refused([]string{"forced push to dev is refused"}, "push", "-f", "origin", "HEAD:dev")
	// One bad branch refuses the other one too.
	c.ok("reset", "-q", "--hard", before["dev"])
	c.commit("c", "1")
	c.refused([]string{"another branch of this push was refused", "cannot be the branch"}, "push", "origin", "HEAD:dev", "HEAD:a_b")
	if err := os.Symlink("a", filepath.Join(c.dir, "link")); err != nil {
		t.Fatal(err)
	}
	c.commit("d", "1")
	c.refused([]string{"link: is a symbolic link; commit the file"}, "push", "origin", "HEAD:dev")
	if got := tips(t, s); !maps.Equal(got, before) {
		t.Errorf("branches moved to %v from %v", got, before)
	}
}

// A push that the check refuses says why, and leaves nothing behind.
func TestRefusedPushLeavesNothing(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := open(t, dir, git.Options{CheckPush: func(_ context.Context, p git.Push) error {
		if other, ok := p.Beside("main"); !ok || other.Commit == "" {
			return errors.New("main is not beside")
		}
		if p.Branch != "dev" {
			return nil
		}
		return fairway.InvalidAll([]fairway.Problem{
			{File: "helm-chart/values.yaml", Line: 3, Column: 5, Message: "is not YAML", Remedy: "close the quote"},
			{File: "shipyard.yaml", Line: 7, Message: "second problem"},
		})
	}})
	create(t, s, "sockshop")
	c := newClient(t, serve(t, s), "-b", "dev")
	before, list := tips(t, s), listing(t, dir)
	h := c.commit("a", "1")
	c.refused([]string{"remote: helm-chart/values.yaml:3:5: is not YAML; close the quote", "remote: shipyard.yaml:7: second problem", "! [remote rejected] HEAD -> dev"},
		"push", "origin", "HEAD:dev", "HEAD:staging")
	if got := tips(t, s); !maps.Equal(got, before) {
		t.Errorf("branches moved to %v from %v", got, before)
	}
	if got := listing(t, dir); !slices.Equal(got, list) {
		t.Errorf("files are %v, were %v", got, list)
	}
	if _, err := s.Read(t.Context(), "sockshop", h); fairway.KindOf(err) != fairway.KindNotFound {
		t.Errorf("the refused commit can be read: %v", err)
	}
}

// Internal text of a check stays inside.
func TestInternalErrorIsNotShown(t *testing.T) {
	t.Parallel()
	s := open(t, t.TempDir(), git.Options{CheckPush: func(context.Context, git.Push) error { return errors.New("secret /path") }})
	create(t, s, "sockshop")
	c := newClient(t, serve(t, s), "-b", "dev")
	c.commit("a", "1")
	if out, err := c.run("push"); err == nil || strings.Contains(out, "secret") || !strings.Contains(out, "its log says why") {
		t.Errorf("error %v, output\n%s", err, out)
	}
}

func listing(t testing.TB, dir string) []string {
	t.Helper()
	var names []string
	err := filepath.WalkDir(dir, func(path string, _ os.DirEntry, err error) error {
		names = append(names, path)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return names
}

// Four people push to one branch at the same time: one wins each round, and
// whatever git said was pushed is there in the end.
func TestConcurrentPushes(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := open(t, dir, git.Options{})
	create(t, s, "sockshop")
	url := serve(t, s)
	const people, rounds = 4, 5
	clients := make([]*client, people)
	for i := range clients {
		clients[i] = newClient(t, url, "-b", "dev")
	}
	var pushed []string
	for round := range rounds {
		mine, won := make([]string, people), make([]bool, people)
		for i, c := range clients {
			c.ok("fetch", "-q")
			c.ok("reset", "-q", "--hard", "origin/dev")
			mine[i] = c.commit(fmt.Sprintf("r%d-p%d", round, i), "x")
		}
		var wg sync.WaitGroup
		for i, c := range clients {
			wg.Go(func() {
				_, err := c.run("push", "origin", "HEAD:dev")
				won[i] = err == nil
			})
		}
		wg.Wait()
		n := 0
		for i, ok := range won {
			if ok {
				n++
				pushed = append(pushed, mine[i])
			}
		}
		if n != 1 {
			t.Errorf("round %d: %d pushes won, want one", round, n)
		}
	}
	for _, h := range pushed {
		if ok, err := s.Contains(t.Context(), "sockshop", "dev", h); !ok || err != nil {
			t.Errorf("%s was pushed and is lost: %v", h, err)
		}
	}
	fsck(t, dir)
}

// Our own commits race pushes to the same branch; nothing is lost.
func TestCommitRacesPush(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := open(t, dir, git.Options{})
	create(t, s, "sockshop")
	c := newClient(t, serve(t, s), "-b", "dev")
	var ours, theirs []string
	for i := range 10 {
		c.ok("fetch", "-q")
		c.ok("reset", "-q", "--hard", "origin/dev")
		h := c.commit("theirs", fmt.Sprint(i))
		var wg sync.WaitGroup
		wg.Go(func() {
			h, _, err := s.Commit(t.Context(), "sockshop", "dev", set("ours", fmt.Sprint(i)))
			if err != nil {
				t.Error(err)
			}
			ours = append(ours, h)
		})
		out, err := c.run("push", "origin", "HEAD:dev")
		wg.Wait()
		switch {
		case err == nil:
			theirs = append(theirs, h)
		case !strings.Contains(out, "has moved to") && !strings.Contains(out, "fetch first"):
			t.Errorf("push: %v\n%s", err, out)
		}
	}
	for _, h := range append(ours, theirs...) {
		if ok, err := s.Contains(t.Context(), "sockshop", "dev", h); !ok || err != nil {
			t.Fatalf("%s is lost: %v", h, err)
		}
	}
	fsck(t, dir)
}

// A commit that arrives while a push is checked lands on top of it.
func TestCommitWaitsForPush(t *testing.T) {
	t.Parallel()
	checking, goOn := make(chan struct{}), make(chan struct{})
	s := open(t, t.TempDir(), git.Options{CheckPush: func(context.Context, git.Push) error {
		close(checking)
		<-goOn
		return nil
	}})
	create(t, s, "sockshop")
	c := newClient(t, serve(t, s), "-b", "dev")
	h := c.commit("theirs", "1")
	var wg sync.WaitGroup
	wg.Go(func() { c.ok("push", "-q") })
	<-checking
	began := make(chan struct{})
	wg.Go(func() {
		close(began)
		commit(t, s, "dev", set("ours", "1"))
	})
	<-began
	close(goOn)
	wg.Wait()
	lines := mustLog(t, s, "dev", 10)
	if ok, err := s.Contains(t.Context(), "sockshop", "dev", h); !ok || err != nil || file(t, s, "dev", "ours") != "1" {
		t.Errorf("one of both is lost: %v, %v", lines, err)
	}
}

// AfterPush may write to the project that was pushed to.
func TestAfterPushMayWrite(t *testing.T) {
	t.Parallel()
	var s *git.Store
	s = open(t, t.TempDir(), git.Options{AfterPush: func(ctx context.Context, p git.Push) error {
		if _, err := s.CreateBranch(ctx, p.Project, p.New, "production", set("b", "1")); err != nil {
			t.Error(err)
		}
		_, _, err := s.Commit(ctx, p.Project, "production", set("a", "1"))
		return err
	}})
	create(t, s, "sockshop")
	c := newClient(t, serve(t, s), "-b", "dev")
	c.commit("theirs", "1")
	c.ok("push", "-q")
	if file(t, s, "production", "a") != "1" || file(t, s, "production", "theirs") != "1" {
		t.Error("production lacks something")
	}
}

func history(t testing.TB, s *git.Store, branch string, n int) []string {
	t.Helper()
	var hashes []string
	for i := range n {
		hashes = append(hashes, commit(t, s, branch, set("helm-chart/values.yaml", fmt.Sprint("version ", i))))
	}
	return hashes
}

func (c *client) count() string { return c.ok("rev-list", "--count", "HEAD") }

func TestShallow(t *testing.T) {
	t.Parallel()
	s := open(t, t.TempDir(), git.Options{})
	create(t, s, "sockshop")
	url := serve(t, s)
	history(t, s, "dev", 20) // 22 commits in all
	c := newClient(t, "--depth", "1", "-b", "dev", url)
	expect := func(want, after string) {
		t.Helper()
		if got := c.count(); got != want {
			t.Fatalf("%s: %s commits, want %s", after, got, want)
		}
		c.ok("fsck", "--full", "--strict")
	}
	expect("1", "clone --depth 1")
	if n := objects(c); n > 10 {
		t.Errorf("clone --depth 1 got %d objects", n)
	}
	c.commit("mine", "1")
	c.ok("push", "-q", "origin", "HEAD:dev")
	expect("2", "push from a shallow clone")
	c.ok("fetch", "-q", "--depth", "3")
	expect("3", "fetch --depth 3")
	c.ok("fetch", "-q", "--deepen", "2")
	expect("5", "fetch --deepen 2")
	history(t, s, "dev", 3)
	c.ok("pull", "-q", "--ff-only")
	expect("8", "pull into a shallow clone")
	c.ok("fetch", "-q", "--depth", "2")
	expect("2", "fetch --depth 2 makes it shallower")
	c.ok("fetch", "-q", "--unshallow")
	expect("26", "fetch --unshallow")
	if out, err := c.run("fetch", "--shallow-since=2020-01-01"); err == nil || !strings.Contains(out, "shallow-since") {
		t.Errorf("--shallow-since: %v\n%s", err, out)
	}
	all := newClient(t, "--depth", "2", "--no-single-branch", url)
	all.ok("checkout", "-q", "staging")
	all.commit("mine", "2")
	all.ok("push", "-q")
	all.ok("fsck", "--full", "--strict")
	one := newClient(t, "--single-branch", "-b", "staging", url)
	if got := one.count(); got != "3" {
		t.Errorf("clone --single-branch: %s commits", got)
	}
}

// A build checks out a commit by its hash.
func TestFetchByHash(t *testing.T) {
	t.Parallel()
	s := open(t, t.TempDir(), git.Options{})
	create(t, s, "sockshop")
	url := serve(t, s)
	h := history(t, s, "dev", 5)
	c := newClient(t, url)
	c.ok("fetch", "-q", "--depth", "1", "origin", h[2])
	if got := c.ok("show", "FETCH_HEAD:helm-chart/values.yaml"); got != "version 2" {
		t.Errorf("got %q", got)
	}
	c.refused([]string{"has no commit"}, "fetch", "origin", strings.Repeat("1", 40))
}

// A fetch sends what is missing and no more.
func TestFetchSendsOnlyWhatIsMissing(t *testing.T) {
	t.Parallel()
	s := open(t, t.TempDir(), git.Options{})
	create(t, s, "sockshop")
	url := serve(t, s)
	history(t, s, "dev", 50)
	c := newClient(t, url, "-b", "dev")
	// Some commits of its own, so that the client has what we do not know.
	for i := range 40 {
		c.ok("commit", "-q", "--allow-empty", "-m", fmt.Sprint("mine ", i))
	}
	history(t, s, "dev", 2)
	before := objects(c)
	c.ok("-c", "fetch.unpackLimit=1", "fetch", "-q") // keeps the pack, so that what came twice is counted
	// Two commits, with a root tree, a tree helm-chart and a blob each; the
	// second round of history writes "version 0" and "version 1" again.
	if got := objects(c) - before; got > 8 || got < 2 {
		t.Errorf("%d objects came for two commits", got)
	}
	out := c.ok("log", "--oneline", "origin/dev")
	if n := strings.Count(out, "\n") + 1; n != 54 {
		t.Errorf("origin/dev has %d commits", n)
	}
	c.ok("fsck", "--full", "--strict")
}

func objects(c *client) int {
	var loose, packed int
	for line := range strings.SplitSeq(c.ok("count-objects", "-v"), "\n") {
		fmt.Sscanf(line, "count: %d", &loose)
		fmt.Sscanf(line, "in-pack: %d", &packed)
	}
	return loose + packed
}

// More than git's buffer of 1 MB goes in chunks, after a probe; commits with
// many haves go gzipped.
func TestLargeBodies(t *testing.T) {
	t.Parallel()
	s := open(t, t.TempDir(), git.Options{MaxPush: 8 << 20})
	create(t, s, "sockshop")
	c := newClient(t, serve(t, s), "-b", "dev")
	noise := make([]byte, 3<<20)
	r := rand.New(rand.NewSource(1))
	r.Read(noise)
	c.commit("noise", string(noise))
	c.ok("push", "-q")
	if got := file(t, s, "dev", "noise"); got != string(noise) {
		t.Error("the large file arrived damaged")
	}
	c.ok("fetch", "-q")
	before := tips(t, s)
	for i := range 3 {
		r.Read(noise)
		c.commit(fmt.Sprint("noise", i), string(noise))
	}
	c.refused([]string{"at most 8 MB may be sent"}, "push")
	if got := tips(t, s); !maps.Equal(got, before) {
		t.Error("the push that was too large moved a branch")
	}
	// A little that stands for a lot.
	c.ok("reset", "-q", "--hard", "origin/dev")
	c.commit("zeros", strings.Repeat("0", 9<<20))
	c.refused([]string{"a file may have 8 MB"}, "push")
}

// Stage branches are often nearly alike; a merge keeps both parents.
func TestMergeCommitIsPushed(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := open(t, dir, git.Options{})
	create(t, s, "sockshop")
	c := newClient(t, serve(t, s), "-b", "staging")
	history(t, s, "dev", 3)
	c.ok("fetch", "-q")
	c.ok("merge", "-q", "--no-ff", "-m", "promote", "origin/dev")
	c.ok("push", "-q")
	if got := file(t, s, "staging", "helm-chart/values.yaml"); got != "version 2" {
		t.Errorf("after the merge: %q", got)
	}
	fsck(t, dir)
}

func TestHTTPRefusals(t *testing.T) {
	t.Parallel()
	s := open(t, t.TempDir(), git.Options{})
	create(t, s, "sockshop")
	url := serve(t, s)
	for _, c := range []struct {
		name, method, path, contentType, encoding, body string
		status                                          int
		says                                            string
	}{
		{"dumb", "GET", "/info/refs", "", "", "", 403, "smart"},
		{"unknown service", "GET", "/info/refs?service=git-x", "", "", "", 403, "smart"},
		{"a form of a browser", "POST", "/git-receive-pack", "application/x-www-form-urlencoded", "", "0000", 400, "content type"},
		{"encoding", "POST", "/git-receive-pack", "application/x-git-receive-pack-request", "br", "0000", 400, "only gzip"},
		{"not gzip", "POST", "/git-receive-pack", "application/x-git-receive-pack-request", "gzip", "0000", 400, "not gzip"},
		{"probe", "POST", "/git-receive-pack", "application/x-git-receive-pack-request", "", "0000", 200, ""},
		{"torn", "POST", "/git-receive-pack", "application/x-git-receive-pack-request", "", "00", 400, "malformed"},
		{"nonsense", "POST", "/git-upload-pack", "application/x-git-upload-pack-request", "", "0009hello0000", 400, "not understood"},
		{"no file of the repository", "GET", "/HEAD", "", "", "", 404, ""},
		{"nor one outside", "GET", "/..%2f..%2fHEAD", "", "", "", 404, ""},
	} {
		q, err := http.NewRequest(c.method, url+c.path, strings.NewReader(c.body))
		if err != nil {
			t.Fatal(err)
		}
		q.Header.Set("Content-Type", c.contentType)
		q.Header.Set("Content-Encoding", c.encoding)
		resp, err := http.DefaultClient.Do(q)
		if err != nil {
			t.Fatal(err)
		}
		text, _ := io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		if resp.StatusCode != c.status || !strings.Contains(string(text), c.says) {
			t.Errorf("%s: %d %q, want %d with %q", c.name, resp.StatusCode, text, c.status, c.says)
		}
	}
	c := newClient(t, url)
	c.refused([]string{"there is no project nosuch; these exist: sockshop"}, "clone", strings.Replace(url, "sockshop", "nosuch", 1), "x")
	c.ok("clone", "-q", strings.TrimSuffix(url, ".git"), "y")
}

// A gzip of zeros is bounded by what it becomes.
func TestGzipIsBounded(t *testing.T) {
	t.Parallel()
	s := open(t, t.TempDir(), git.Options{})
	create(t, s, "sockshop")
	url := serve(t, s)
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	line := fmt.Sprintf("0032want %s\n", tips(t, s)["main"])
	for range 10 << 20 / len(line) {
		_, _ = io.WriteString(z, line)
	}
	_ = z.Close()
	q, err := http.NewRequest("POST", url+"/git-upload-pack", &b)
	if err != nil {
		t.Fatal(err)
	}
	q.Header.Set("Content-Type", "application/x-git-upload-pack-request")
	q.Header.Set("Content-Encoding", "gzip")
	resp, err := http.DefaultClient.Do(q)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if text, _ := io.ReadAll(resp.Body); resp.StatusCode != 400 || !strings.Contains(string(text), "too large") {
		t.Errorf("%d %s", resp.StatusCode, text)
	}
}
