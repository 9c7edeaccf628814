package access

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/fairwaycd/fairway"
	"github.com/fairwaycd/fairway/internal/durable"
)

// gitUser is the user name that git sends beside the token; any would do.
const gitUser = "fairway"

// WriteGitCredentials has plain git send the token to http://HOST, where host
// is HOST:PORT, and to nowhere else. It touches two places, both the user's:
// a file of Fairway's own that holds the token, and git's global
// configuration, where git's own credential store is told of that file for
// that one address. Credential helpers that the user has for other addresses
// neither see the token nor lose anything. It returns a sentence for each
// change. A helper that somebody else set for this address stays, and the
// error is of [fairway.KindConflict].
func WriteGitCredentials(ctx context.Context, host, token string) ([]string, error) {
	c, err := newGitCredentials(host)
	if err != nil {
		return nil, err
	}
	if !c.installed() {
		return []string{"git is not installed here; nothing was set for it"}, nil
	}
	helpers, err := c.helpers(ctx)
	if err != nil {
		return nil, err
	}
	begun := len(helpers) == 1 && helpers[0] == "" // what an interrupted call leaves
	if len(helpers) > 0 && !begun && !c.ours(helpers) {
		return nil, fairway.Errorf(fairway.KindConflict, "git has a credential helper of yours for http://%s already (%s); remove it with git config --global --unset-all %s, or give it the user %s and the API token as password",
			host, strings.Join(helpers, ", "), c.key, gitUser)
	}
	entry := (&url.URL{Scheme: "http", User: url.UserPassword(gitUser, token), Host: host}).String()
	if err := c.rewrite(entry); err != nil {
		return nil, err
	}
	changes := []string{"the API token for git is in " + c.file}
	if c.ours(helpers) {
		return changes, nil
	}
	// The empty helper makes git forget those set for every address.
	for _, value := range []string{"", c.helper()}[len(helpers):] {
		if _, err := c.git(ctx, "config", "--global", "--add", c.key, value); err != nil {
			return changes, err
		}
	}
	return append(changes, "git's global configuration names that file for http://"+host+" ("+c.key+")"), nil
}

// RemoveGitCredentials undoes [WriteGitCredentials] and returns a sentence for
// each change. What it does not find is no error, and what is not ours stays.
func RemoveGitCredentials(ctx context.Context, host string) ([]string, error) {
	c, err := newGitCredentials(host)
	if err != nil {
		return nil, err
	}
	var changes []string
	held, err := c.holds()
	if err != nil {
		return nil, err
	}
	if held {
		if err := c.rewrite(""); err != nil {
			return nil, err
		}
		changes = append(changes, "the API token for http://"+host+" is no longer in "+c.file)
	}
	if !c.installed() {
		return changes, nil
	}
	helpers, err := c.helpers(ctx)
	if err != nil {
		return changes, err
	}
	if c.ours(helpers) {
		if _, err := c.git(ctx, "config", "--global", "--unset-all", c.key); err != nil {
			return changes, err
		}
		changes = append(changes, "git's global configuration no longer has "+c.key)
	}
	return changes, nil
}

// gitCredentials is where the token for one host is kept.
type gitCredentials struct {
	host string
	file string
	key  string // in git's configuration
}

func newGitCredentials(host string) (gitCredentials, error) {
	u, err := url.Parse("http://" + host)
	if err != nil || host == "" || u.Host != host || strings.ContainsAny(host, "@%\n\r\t ") {
		return gitCredentials{}, fairway.Invalid("host", host, "is not the host of a server", "write HOST:PORT, e.g. 127.0.0.1:8080")
	}
	dir, err := os.UserConfigDir()
	if err != nil {
		return gitCredentials{}, fmt.Errorf("find a place for git's credentials: %w", err)
	}
	return gitCredentials{
		host: host,
		file: filepath.Join(dir, "fairway", "git-credentials"),
		key:  "credential.http://" + host + ".helper",
	}, nil
}

// helper is the value in git's configuration; git hands it to a shell.
func (c gitCredentials) helper() string {
	return "store --file '" + strings.ReplaceAll(c.file, "'", `'\''`) + "'"
}

func (c gitCredentials) ours(helpers []string) bool {
	return len(helpers) > 0 && helpers[len(helpers)-1] == c.helper() && (len(helpers) == 1 || len(helpers) == 2 && helpers[0] == "")
}

func (c gitCredentials) installed() bool {
	_, err := exec.LookPath("git")
	return err == nil
}

// helpers returns the helpers that git's global configuration has for the
// host.
func (c gitCredentials) helpers(ctx context.Context) ([]string, error) {
	out, err := c.git(ctx, "config", "--global", "--null", "--get-all", c.key)
	var exit *exec.ExitError
	if errors.As(err, &exit) && exit.ExitCode() == 1 { // it has none
		return nil, nil
	}
	if err != nil || len(out) == 0 {
		return nil, err
	}
	return strings.Split(strings.TrimSuffix(string(out), "\x00"), "\x00"), nil
}

func (c gitCredentials) git(ctx context.Context, args ...string) ([]byte, error) {
	cmd := exec.CommandContext(ctx, "git", args...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("git %s: %w: %s", strings.Join(args[:2], " "), err, strings.TrimSpace(stderr.String()))
	}
	return out, nil
}

// lines returns the file's lines that are about other hosts, and whether
// there are some about this one.
func (c gitCredentials) lines() (others []string, held bool, err error) {
	b, err := os.ReadFile(c.file)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, false, nil
	}
	if err != nil {
		return nil, false, fmt.Errorf("read git's credentials: %w", err)
	}
	for line := range strings.Lines(string(b)) {
		line = strings.TrimRight(line, "\r\n")
		if c.isAbout(line) {
			held = true
		} else if line != "" {
			others = append(others, line)
		}
	}
	return others, held, nil
}

// isAbout reports whether the line is one for the host. Git writes lines it
// has used again with the port's colon percent-encoded, which is no URL.
func (c gitCredentials) isAbout(line string) bool {
	_, host, _ := strings.Cut(line, "@")
	host, err := url.PathUnescape(host)
	return err == nil && strings.HasPrefix(line, "http://") && strings.EqualFold(strings.TrimSuffix(host, "/"), c.host)
}

func (c gitCredentials) holds() (bool, error) {
	_, held, err := c.lines()
	return held, err
}

// rewrite replaces the host's line by entry, or removes it when that is empty.
func (c gitCredentials) rewrite(entry string) error {
	lines, _, err := c.lines()
	if err != nil {
		return err
	}
	if entry != "" {
		lines = append(lines, entry)
	}
	if len(lines) == 0 {
		err = os.Remove(c.file)
	} else if err = os.MkdirAll(filepath.Dir(c.file), 0o700); err == nil {
		err = durable.WriteFile(c.file, []byte(strings.Join(lines, "\n")+"\n"))
	}
	if err != nil {
		return fmt.Errorf("write git's credentials: %w", err)
	}
	return nil
}
