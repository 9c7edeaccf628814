package access

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/fairwaycd/fairway"
	"github.com/fairwaycd/fairway/internal/testenv"
)

// home gives the test a home directory of its own, with a space and a quote in
// its name. Tests that call it cannot be parallel: git reads the environment.
func home(t *testing.T) string {
	t.Helper()
	testenv.Need(t, "git")
	dir := filepath.Join(t.TempDir(), "it's a home")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	t.Setenv("HOME", dir)
	t.Setenv("XDG_CONFIG_HOME", "")
	t.Setenv("GIT_CONFIG_GLOBAL", "")
	os.Unsetenv("GIT_CONFIG_GLOBAL")
	t.Setenv("GIT_CONFIG_NOSYSTEM", "1")
	t.Setenv("GIT_TERMINAL_PROMPT", "0")
	return dir
}

func git(t *testing.T, args ...string) (string, error) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "git", args...)
	cmd.Dir = os.Getenv("HOME")
	out, err := cmd.CombinedOutput()
	return string(out), err
}

func TestPlainGitLogsIn(t *testing.T) {
	dir := home(t)
	s := newStage(t)
	host := s.Listener.Addr().String()
	// A helper of the user's for every address, which must not see the token.
	spy := filepath.Join(dir, "spy")
	if out, err := git(t, "config", "--global", "credential.helper", "!f() { cat >> '"+strings.ReplaceAll(spy, "'", `'\''`)+"'; }; f"); err != nil {
		t.Fatalf("%s %v", out, err)
	}
	before, err := os.ReadFile(filepath.Join(dir, ".gitconfig"))
	if err != nil {
		t.Fatal(err)
	}

	for range 2 { // the second time changes nothing
		changes, err := WriteGitCredentials(t.Context(), host, s.guard.Token())
		if err != nil || len(changes) == 0 || strings.Contains(strings.Join(changes, ""), s.guard.Token()) {
			t.Fatalf("WriteGitCredentials: %q, %v", changes, err)
		}
	}
	file := filepath.Join(dir, ".config", "fairway", "git-credentials")
	if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
		t.Fatalf("%v %v", info, err)
	}
	// The server is none of git's; that it let git in shows in what it refused.
	out, err := git(t, "ls-remote", "http://"+host+"/git/sockshop.git")
	if err == nil || !strings.Contains(out, "not valid") {
		t.Errorf("git said: %s", out)
	}
	if s.count(RefusedToken) != 0 || s.count(RefusedMissing) != 1 {
		t.Errorf("refused %v", s.refused)
	}
	if b, err := os.ReadFile(spy); err == nil {
		t.Errorf("the other helper was told: %s", b)
	}

	changes, err := RemoveGitCredentials(t.Context(), host)
	if err != nil || len(changes) != 2 {
		t.Errorf("RemoveGitCredentials: %q, %v", changes, err)
	}
	if _, err := os.Stat(file); !os.IsNotExist(err) {
		t.Errorf("the file stays: %v", err)
	}
	if after, err := os.ReadFile(filepath.Join(dir, ".gitconfig")); err != nil || string(after) != string(before) {
		t.Errorf("git's configuration was\n%s\nand is\n%s", before, after)
	}
	if changes, err := RemoveGitCredentials(t.Context(), host); err != nil || len(changes) != 0 {
		t.Errorf("removed twice: %q, %v", changes, err)
	}
}

func TestGitCredentialsOfOthersStay(t *testing.T) {
	home(t)
	if _, err := WriteGitCredentials(t.Context(), "127.0.0.1:8080", "fwy_a"); err != nil {
		t.Fatal(err)
	}
	if _, err := WriteGitCredentials(t.Context(), "[::1]:9090", "fwy_b"); err != nil {
		t.Fatal(err)
	}
	if _, err := WriteGitCredentials(t.Context(), "127.0.0.1:8080", "fwy_c"); err != nil {
		t.Fatal(err)
	}
	c, err := newGitCredentials("127.0.0.1:8080")
	if err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(c.file)
	if want := "http://fairway:fwy_b@[::1]:9090\nhttp://fairway:fwy_c@127.0.0.1:8080\n"; err != nil || string(b) != want {
		t.Errorf("%v\n%s", err, b)
	}
	if _, err := RemoveGitCredentials(t.Context(), "127.0.0.1:8080"); err != nil {
		t.Fatal(err)
	}
	if b, err := os.ReadFile(c.file); err != nil || string(b) != "http://fairway:fwy_b@[::1]:9090\n" {
		t.Errorf("%v\n%s", err, b)
	}

	if out, err := git(t, "config", "--global", c.key, "mine"); err != nil {
		t.Fatalf("%s %v", out, err)
	}
	if _, err := WriteGitCredentials(t.Context(), "127.0.0.1:8080", "fwy_a"); fairway.KindOf(err) != fairway.KindConflict || !strings.Contains(err.Error(), "mine") {
		t.Errorf("over a helper of the user's: %v", err)
	}
	if changes, err := RemoveGitCredentials(t.Context(), "127.0.0.1:8080"); err != nil || len(changes) != 0 {
		t.Errorf("removing a helper of the user's: %q %v", changes, err)
	}
	if out, err := git(t, "config", "--global", c.key); err != nil || strings.TrimSpace(out) != "mine" {
		t.Errorf("it is %q, %v", out, err)
	}
}

func TestAnInterruptedLoginIsFinished(t *testing.T) {
	home(t)
	c, err := newGitCredentials("localhost:8080")
	if err != nil {
		t.Fatal(err)
	}
	if out, err := git(t, "config", "--global", "--add", c.key, ""); err != nil {
		t.Fatalf("%s %v", out, err)
	}
	if _, err := WriteGitCredentials(t.Context(), "localhost:8080", "fwy_a"); err != nil {
		t.Fatal(err)
	}
	helpers, err := c.helpers(t.Context())
	if err != nil || len(helpers) != 2 || !c.ours(helpers) {
		t.Errorf("helpers %q, %v", helpers, err)
	}
}

func TestHostsThatAreNone(t *testing.T) {
	t.Parallel()
	for _, host := range []string{"", "http://x", "a/b", "u@h", "h:8080\nx", "a b"} {
		if _, err := WriteGitCredentials(t.Context(), host, "fwy_a"); fairway.KindOf(err) != fairway.KindInvalid {
			t.Errorf("%q: %v", host, err)
		}
	}
}
