package testrun

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/fairwaycd/fairway"
)

const (
	maxLog        = 64 << 10 // bytes at the end of a program's output that a report keeps
	stopGrace     = 10 * time.Second
	resultsFile   = "fairway-results.json"
	maxResultFile = 1 << 30 // bytes of what a program may leave as its results
)

// program is a test that another program performs, in a directory of its own
// that holds the service's files.
type program struct {
	argv    []string
	env     []string
	dir     string
	timeout time.Duration
}

// output is how a program ended.
type output struct {
	code    int // -1 when it was killed
	timeout bool
	log     string // the last of what it said
	window  fairway.Window
}

// run performs the program. A program that cannot be started is an error, and
// so is the end of ctx; an exit code is none. Whatever the program started is
// ended with it.
func (p program) run(ctx context.Context) (output, error) {
	limited, cancel := context.WithTimeout(ctx, p.timeout)
	defer cancel()
	said := &tail{}
	cmd := exec.CommandContext(limited, p.argv[0], p.argv[1:]...)
	cmd.Dir, cmd.Env, cmd.Stdout, cmd.Stderr = p.dir, p.env, said, said
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGTERM) }
	cmd.WaitDelay = stopGrace
	o := output{window: fairway.Window{Start: time.Now()}}
	if err := cmd.Start(); err != nil {
		return o, cannotStart(p.argv[0], err)
	}
	err := cmd.Wait()
	o.window.End = time.Now()
	// The group may outlive its leader.
	_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
	o.log = said.String()
	if ctx.Err() != nil {
		return o, fairway.Errorf(fairway.KindUnavailable, "%s was interrupted and is to be run again whole: %w", p.argv[0], context.Cause(ctx))
	}
	o.timeout = limited.Err() != nil
	o.code = cmd.ProcessState.ExitCode()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) && !errors.Is(err, exec.ErrWaitDelay) && !o.timeout {
		return o, fmt.Errorf("run %s: %w", p.argv[0], err)
	}
	return o, nil
}

func cannotStart(name string, err error) error {
	if errors.Is(err, exec.ErrNotFound) || errors.Is(err, fs.ErrNotExist) {
		return fairway.Errorf(fairway.KindInvalid, "the program %s, which the test needs, is not on the machine that runs Fairway; install it there, or name it by its whole path", name)
	}
	return fairway.Errorf(fairway.KindInvalid, "the program %s, which the test needs, cannot be started: %w", name, err)
}

// failure says why an output is no success, or is empty.
func (o output) failure(name string, timeout time.Duration) string {
	switch {
	case o.timeout:
		return fmt.Sprintf("%s was ended after its timeout of %s%s", name, timeout, o.lastWords())
	case o.code != 0:
		return fmt.Sprintf("%s ended with exit code %d%s", name, o.code, o.lastWords())
	}
	return ""
}

// lastWords is the last line that a program printed, as the end of a sentence.
func (o output) lastWords() string {
	lines := strings.Split(strings.TrimSpace(o.log), "\n")
	last := strings.TrimSpace(lines[len(lines)-1])
	if last == "" {
		return ""
	}
	if len(last) > excerptSize {
		last = last[:excerptSize] + "…"
	}
	return ": " + strings.ToValidUTF8(last, "")
}

// workDir makes a directory with the service's files.
func (r *Runner) workDir(files map[string][]byte) (dir string, remove func(), err error) {
	if dir, err = os.MkdirTemp(r.dir, "test-"); err != nil {
		return "", nil, fmt.Errorf("make a directory for the test: %w", err)
	}
	remove = func() {
		if err := os.RemoveAll(dir); err != nil {
			r.log.Warn("the directory of a test stays", "dir", dir, "error", err)
		}
	}
	for name, body := range files {
		if !filepath.IsLocal(name) {
			remove()
			return "", nil, fairway.Invalid("file", name, "leads out of the service's directory", "rename it")
		}
		path := filepath.Join(dir, filepath.FromSlash(name))
		if err = os.MkdirAll(filepath.Dir(path), 0o700); err == nil {
			err = os.WriteFile(path, body, 0o600)
		}
		if err != nil {
			remove()
			return "", nil, fmt.Errorf("write the test's files: %w", err)
		}
	}
	return dir, remove, nil
}

// facts are the variables by which a program learns what to test.
func (q Request) facts(check, dir string) []string {
	s := q.Subject
	var facts []string
	if q.Traceparent != "" {
		facts = append(facts, "TRACEPARENT="+q.Traceparent)
	}
	return append(facts,
		"FAIRWAY_PROJECT="+string(s.Project), "FAIRWAY_STAGE="+string(s.Stage), "FAIRWAY_SERVICE="+string(s.Place.Service),
		"FAIRWAY_NAMESPACE="+string(s.Place.Namespace), "FAIRWAY_COLOUR="+string(s.Place.Colour), "FAIRWAY_VERSION="+s.Version,
		"FAIRWAY_DELIVERY="+string(s.Delivery), "FAIRWAY_RUN="+q.RunID, "FAIRWAY_CHECK="+check,
		"FAIRWAY_HOST="+q.Host, "FAIRWAY_ADDRESS="+q.Address, "FAIRWAY_URL=http://"+q.Address, "FAIRWAY_HEALTH_PATH="+q.HealthPath,
		"FAIRWAY_RESULTS="+filepath.Join(dir, resultsFile),
	)
}

// tail keeps the last maxLog bytes written to it.
type tail struct {
	mu  sync.Mutex
	buf []byte
	cut bool
}

func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.buf = append(t.buf, p...)
	if over := len(t.buf) - maxLog; over > 0 {
		t.buf, t.cut = append(t.buf[:0], t.buf[over:]...), true
	}
	return len(p), nil
}

// String returns what is kept, as text.
func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	text := strings.ToValidUTF8(string(t.buf), "")
	if t.cut {
		return "…" + text
	}
	return text
}
