package git_test

import (
	"context"
	"encoding/pem"
	"errors"
	"net"
	"net/http"
	"net/http/cgi"
	"net/http/httptest"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/fairwaycd/fairway"
	"github.com/fairwaycd/fairway/git"
	"github.com/fairwaycd/fairway/internal/testenv"
)

const secret = "s3cret/of the remote"

// gitServer is the real git behind a web server that asks for a password.
type gitServer struct {
	*httptest.Server
	dir  string // of the bare repository
	down atomic.Bool
}

func newGitServer(t testing.TB) *gitServer {
	t.Helper()
	program := testenv.Need(t, "git")
	g := &gitServer{dir: filepath.Join(t.TempDir(), "config.git")}
	for _, args := range [][]string{{"init", "-q", "--bare", "-b", "main", g.dir}, {"-C", g.dir, "config", "http.receivepack", "true"}} {
		if out, err := exec.CommandContext(t.Context(), program, args...).CombinedOutput(); err != nil {
			t.Fatalf("git %v: %v %s", args, err, out)
		}
	}
	backend := &cgi.Handler{
		Path: program, Args: []string{"http-backend"},
		Env: []string{"GIT_PROJECT_ROOT=" + filepath.Dir(g.dir), "GIT_HTTP_EXPORT_ALL=1", "GIT_CONFIG_NOSYSTEM=1", "HOME=" + t.TempDir()},
	}
	g.Server = httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		name, password, _ := r.BasicAuth()
		switch {
		case g.down.Load():
			http.Error(w, "the proxy has lost its server", http.StatusBadGateway)
		case name != "ada" || password != secret:
			w.Header().Set("WWW-Authenticate", `Basic realm="git"`)
			http.Error(w, "who are you?", http.StatusUnauthorized)
		default:
			backend.ServeHTTP(w, r)
		}
	}))
	t.Cleanup(g.Close)
	return g
}

func (g *gitServer) upstream() git.Upstream {
	ca := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: g.Certificate().Raw})
	return git.Upstream{URL: g.URL + "/config.git", Username: "ada", Password: secret, CA: string(ca), Poll: time.Second}
}

// withUpstream returns a store that keeps its upstreams in step, as long as
// the test runs.
func withUpstream(t *testing.T, dir string, o git.Options) (s *git.Store, stop func()) {
	t.Helper()
	o.Upstreams = filepath.Join(dir, "upstreams")
	s = open(t, filepath.Join(dir, "git"), o)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { defer close(done); s.KeepInStep(ctx) }()
	stop = func() { cancel(); <-done }
	t.Cleanup(stop)
	return s, stop
}

func (g *gitServer) tip(t testing.TB, branch string) string {
	t.Helper()
	out, _ := exec.CommandContext(t.Context(), "git", "-C", g.dir, "rev-parse", "-q", "--verify", "refs/heads/"+branch).Output()
	return strings.TrimSpace(string(out))
}

// eventually asks again until the condition holds.
func eventually(t testing.TB, what string, cond func() bool) {
	t.Helper()
	deadline := time.After(10 * time.Second)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for !cond() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("%s did not come true", what)
		}
	}
}

func condition(s *git.Store) fairway.UpstreamCondition {
	st, _ := s.Upstream("sockshop")
	return st.Condition
}

func configure(t testing.TB, s *git.Store, u git.Upstream) {
	t.Helper()
	st, err := s.SetUpstream(t.Context(), "sockshop", u)
	if err != nil || st.Condition != fairway.UpstreamInStep {
		t.Fatalf("the upstream is %s: %s; %v", st.Condition, st.Reason, err)
	}
}

func TestUpstreamIsKeptInStepBothWays(t *testing.T) {
	t.Parallel()
	var pushed atomic.Value
	dir := t.TempDir()
	g := newGitServer(t)
	s, _ := withUpstream(t, dir, git.Options{AfterPush: func(_ context.Context, p git.Push) error { pushed.Store(p); return nil }})
	create(t, s, "sockshop")
	configure(t, s, g.upstream())
	for _, b := range []string{"main", "dev", "staging"} {
		if g.tip(t, b) != tips(t, s)[b] {
			t.Errorf("branch %s is at %s, ours at %s", b, g.tip(t, b), tips(t, s)[b])
		}
	}
	h := commit(t, s, "dev", set("a", "ours"))
	eventually(t, "our commit is there", func() bool { return g.tip(t, "dev") == h })

	c := newClient(t, g.dir)
	c.ok("checkout", "-q", "dev")
	theirs := c.commit("b", "theirs")
	c.ok("push", "-q")
	eventually(t, "their commit is here", func() bool { return tips(t, s)["dev"] == theirs && condition(s) == fairway.UpstreamInStep })
	if p, _ := pushed.Load().(git.Push); p.New != theirs || p.Old != h || p.Actor != "upstream "+g.URL+"/config.git" {
		t.Errorf("after the push came %+v", p)
	}

	// Nothing of the secret is where it does not belong.
	info, err := os.Stat(filepath.Join(dir, "upstreams", "sockshop.json"))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the file of the upstream: %v, %v", info, err)
	}
	if st, _ := s.Upstream("sockshop"); strings.Contains(st.Reason+st.URL, secret) {
		t.Errorf("the state shows the secret: %+v", st)
	}
	if existed, err := s.RemoveUpstream("sockshop"); !existed || err != nil {
		t.Errorf("removed: %v, %v", existed, err)
	}
	if left, _ := os.ReadDir(filepath.Join(dir, "upstreams")); len(left) != 0 {
		t.Errorf("left behind: %v", left)
	}
	if _, ok := s.Upstream("sockshop"); ok {
		t.Error("there is an upstream still")
	}
}

func TestUpstreamThatIsDownForAWhile(t *testing.T) {
	t.Parallel()
	g := newGitServer(t)
	s, _ := withUpstream(t, t.TempDir(), git.Options{})
	create(t, s, "sockshop")
	configure(t, s, g.upstream())
	g.down.Store(true)
	h := commit(t, s, "dev", set("a", "1")) // does not wait for the remote
	eventually(t, "it is noticed", func() bool { return condition(s) == fairway.UpstreamUnreachable })
	if st, _ := s.Upstream("sockshop"); st.Since.Before(st.Contact) || !strings.Contains(st.Reason, "502") {
		t.Errorf("state %+v", st)
	}
	g.down.Store(false)
	eventually(t, "the commit is there", func() bool { return g.tip(t, "dev") == h && condition(s) == fairway.UpstreamInStep })
}

// The process ends between a commit and its push, or after it was asked for
// and before it was sent: the next one sends it.
func TestKilledBetweenCommitAndPush(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	g := newGitServer(t)
	s, stop := withUpstream(t, dir, git.Options{})
	create(t, s, "sockshop")
	configure(t, s, g.upstream())
	stop()
	h := commit(t, s, "dev", set("a", "1"))
	if g.tip(t, "dev") == h {
		t.Fatal("it was pushed by nobody")
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s, _ = withUpstream(t, dir, git.Options{})
	eventually(t, "the commit is there", func() bool { return g.tip(t, "dev") == h && condition(s) == fairway.UpstreamInStep })
}

func TestUpstreamThatHasDiverged(t *testing.T) {
	t.Parallel()
	for _, take := range []git.Side{git.Ours, git.Theirs} {
		t.Run(string(take), func(t *testing.T) {
			t.Parallel()
			g := newGitServer(t)
			s, _ := withUpstream(t, t.TempDir(), git.Options{})
			create(t, s, "sockshop")
			configure(t, s, g.upstream())
			c := newClient(t, g.dir)
			c.ok("checkout", "-q", "dev")
			g.down.Store(true)
			ours := commit(t, s, "dev", set("who", "ours"))
			theirs := c.commit("who", "theirs")
			c.ok("push", "-q")
			g.down.Store(false)
			eventually(t, "it is noticed", func() bool { return condition(s) == fairway.UpstreamDiverged })
			st, _ := s.Upstream("sockshop")
			if !strings.Contains(st.Reason, "ours is 1 commits ahead at "+ours[:10]) || !strings.Contains(st.Reason, "theirs 1 at "+theirs[:10]) {
				t.Errorf("the reason is %q", st.Reason)
			}
			st, err := s.SyncUpstream(t.Context(), "sockshop", take, info("Join what has diverged"))
			if err != nil || st.Condition != fairway.UpstreamInStep {
				t.Fatalf("after it: %+v, %v", st, err)
			}
			if got := file(t, s, "dev", "who"); got != string(take) {
				t.Errorf("the branch says %q", got)
			}
			c.ok("pull", "-q", "--ff-only")
			for _, h := range []string{ours, theirs} {
				c.ok("merge-base", "--is-ancestor", h, "HEAD")
			}
		})
	}
}

// A commit of theirs that a push would be refused for is not applied, says so,
// and can be undone from here.
func TestRefusedCommitOfTheRemote(t *testing.T) {
	t.Parallel()
	g := newGitServer(t)
	s, _ := withUpstream(t, t.TempDir(), git.Options{CheckPush: func(_ context.Context, p git.Push) error {
		if body, _, _ := p.After().File("bad"); len(body) > 0 {
			return fairway.InFile("bad", fairway.Invalid("weights", "200/0", "sum to 200", "make them sum to 100"))
		}
		return nil
	}})
	create(t, s, "sockshop")
	configure(t, s, g.upstream())
	before := tips(t, s)["dev"]
	c := newClient(t, g.dir)
	c.ok("checkout", "-q", "dev")
	bad := c.commit("bad", "x")
	c.ok("push", "-q")
	eventually(t, "it is refused", func() bool { return condition(s) == fairway.UpstreamRefused })
	st, _ := s.Upstream("sockshop")
	if !strings.Contains(st.Reason, bad[:10]) || !strings.Contains(st.Reason, "sum to 200") || tips(t, s)["dev"] != before {
		t.Errorf("state %+v, branch at %s", st, tips(t, s)["dev"])
	}
	if st, err := s.SyncUpstream(t.Context(), "sockshop", git.Ours, info("Undo it")); err != nil || st.Condition != fairway.UpstreamInStep {
		t.Fatalf("after it: %+v, %v", st, err)
	}
	c.ok("pull", "-q", "--ff-only")
	if out, err := c.run("show", "HEAD:bad"); err == nil {
		t.Errorf("the remote has it still: %s", out)
	}
}

func TestRemoteThatRefusesOurCommits(t *testing.T) {
	t.Parallel()
	g := newGitServer(t)
	s, _ := withUpstream(t, t.TempDir(), git.Options{})
	create(t, s, "sockshop")
	configure(t, s, g.upstream())
	hook := filepath.Join(g.dir, "hooks", "pre-receive")
	if err := os.WriteFile(hook, []byte("#!/bin/sh\necho 'dev is protected, ask the platform team'\nexit 1\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	h := commit(t, s, "dev", set("a", "1"))
	eventually(t, "it is noticed", func() bool { return condition(s) == fairway.UpstreamNotTaken })
	if st, _ := s.Upstream("sockshop"); !strings.Contains(st.Reason, "dev is protected, ask the platform team") {
		t.Errorf("the reason is %q", st.Reason)
	}
	if err := os.Remove(hook); err != nil {
		t.Fatal(err)
	}
	eventually(t, "it is there", func() bool { return g.tip(t, "dev") == h && condition(s) == fairway.UpstreamInStep })
}

func TestUpstreamsThatAreRefused(t *testing.T) {
	t.Parallel()
	g := newGitServer(t)
	s, _ := withUpstream(t, t.TempDir(), git.Options{})
	create(t, s, "sockshop")
	good := g.upstream()
	edit := func(f func(*git.Upstream)) git.Upstream { u := good; f(&u); return u }
	for want, u := range map[string]git.Upstream{
		"has a password in it":        edit(func(u *git.Upstream) { u.URL = "https://ada:hunter2@example.com/x.git" }),
		"in the clear":                edit(func(u *git.Upstream) { u.URL = "http://example.com/x.git" }),
		"not reached over HTTPS":      edit(func(u *git.Upstream) { u.URL = "/etc/passwd" }),
		"ssh-known-hosts is missing":  {URL: "git@example.com:x.git", SSHKey: "key"},
		"does not accept the credent": edit(func(u *git.Upstream) { u.Password = "wrong" }),
		"certificate":                 edit(func(u *git.Upstream) { u.CA = "" }),
		"holds no certificate":        edit(func(u *git.Upstream) { u.CA = "x" }),
	} {
		_, err := s.SetUpstream(t.Context(), "sockshop", u)
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "hunter2") || strings.Contains(err.Error(), secret) {
			t.Errorf("the error is %v, want %q", err, want)
		}
	}
	other, _ := withUpstream(t, t.TempDir(), git.Options{})
	err := other.Create(t.Context(), "sockshop", map[string]map[string][]byte{"main": {"shipyard.yaml": []byte("other")}}, info("Another project"))
	if err != nil {
		t.Fatal(err)
	}
	configure(t, s, good)
	if _, err := other.SetUpstream(t.Context(), "sockshop", good); fairway.KindOf(err) != fairway.KindConflict || !strings.Contains(err.Error(), "has another history than project sockshop in: main") {
		t.Errorf("a remote with another history: %v", err)
	}
	if _, ok := other.Upstream("sockshop"); ok {
		t.Error("it was configured all the same")
	}
}

// sshServer is a real sshd that knows one key.
func sshServer(t *testing.T) (addr, key, known string) {
	t.Helper()
	program := testenv.Need(t, "sshd")
	dir := t.TempDir()
	if os.Geteuid() == 0 { // sshd's service would have made it
		if err := os.MkdirAll("/run/sshd", 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for _, k := range []string{"host", "client"} {
		if out, err := exec.CommandContext(t.Context(), testenv.Need(t, "ssh-keygen"), "-q", "-t", "ed25519", "-N", "", "-f", filepath.Join(dir, k)).CombinedOutput(); err != nil {
			t.Fatalf("ssh-keygen: %v %s", err, out)
		}
	}
	read := func(name string) string {
		b, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	if err := os.WriteFile(filepath.Join(dir, "authorized"), []byte(read("client.pub")), 0o600); err != nil {
		t.Fatal(err)
	}
	config := "StrictModes no\nUsePAM no\nPidFile none\nHostKey " + filepath.Join(dir, "host") + "\nAuthorizedKeysFile " + filepath.Join(dir, "authorized") + "\n"
	if err := os.WriteFile(filepath.Join(dir, "config"), []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			conn, err := ln.Accept()
			if errors.Is(err, net.ErrClosed) {
				return
			}
			if err != nil {
				continue
			}
			file, err := conn.(*net.TCPConn).File()
			conn.Close()
			if err != nil {
				continue
			}
			cmd := exec.Command(program, "-i", "-e", "-f", filepath.Join(dir, "config")) // one connection, as inetd does
			cmd.Stdin, cmd.Stdout = file, file
			if err := cmd.Start(); err == nil {
				go func() { _ = cmd.Wait() }()
			}
			file.Close()
		}
	}()
	t.Cleanup(func() { ln.Close(); <-done })
	host := strings.Fields(read("host.pub"))
	_, port, _ := net.SplitHostPort(ln.Addr().String())
	return ln.Addr().String(), read("client"), "[127.0.0.1]:" + port + " " + host[0] + " " + host[1] + "\n"
}

func TestUpstreamOverSSH(t *testing.T) {
	t.Parallel()
	addr, key, known := sshServer(t)
	me, err := user.Current()
	if err != nil {
		t.Fatal(err)
	}
	g := newGitServer(t)
	s, _ := withUpstream(t, t.TempDir(), git.Options{})
	create(t, s, "sockshop")
	u := git.Upstream{URL: "ssh://" + me.Username + "@" + addr + g.dir, SSHKey: key, KnownHosts: known, Poll: time.Second}
	other := u
	other.KnownHosts = "example.com " + strings.SplitN(known, " ", 2)[1]
	if _, err := s.SetUpstream(t.Context(), "sockshop", other); err == nil || !strings.Contains(err.Error(), "is not in known_hosts") || !strings.Contains(err.Error(), "SHA256:") {
		t.Errorf("an unknown host: %v", err)
	}
	_, strangeKey, strangeHost := sshServer(t)
	other = u
	other.KnownHosts = strings.SplitN(known, " ", 2)[0] + " " + strings.SplitN(strangeHost, " ", 2)[1]
	if _, err := s.SetUpstream(t.Context(), "sockshop", other); err == nil || !strings.Contains(err.Error(), "has changed") {
		t.Errorf("a host with another key: %v", err)
	}
	other = u
	other.SSHKey = strangeKey
	if _, err := s.SetUpstream(t.Context(), "sockshop", other); err == nil || !strings.Contains(err.Error(), "does not accept the credentials") {
		t.Errorf("a key that the remote does not know: %v", err)
	}
	configure(t, s, u)
	h := commit(t, s, "dev", set("a", "1"))
	eventually(t, "our commit is there", func() bool { return g.tip(t, "dev") == h })
	c := newClient(t, g.dir)
	c.ok("checkout", "-q", "dev")
	theirs := c.commit("b", "theirs")
	c.ok("push", "-q")
	eventually(t, "their commit is here", func() bool { return tips(t, s)["dev"] == theirs })
}
