package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// patience is how long the harness waits for what should come after a few
// seconds, on a machine that does much else.
const patience = 150 * time.Second

// errKilled says that a start was cut off by the failpoint that it was given.
var errKilled = errors.New("fairway up was killed before it was ready")

// life is one process of Fairway, from its start to its end.
type life struct {
	cmd    *exec.Cmd
	exited chan struct{} // closed when it has ended
	err    error         // of the process; read after exited
	log    string        // file of its output
	ready  struct{ Listen, Gateway, Data string }
}

// begin starts Fairway in the home directory and returns once it is ready.
// more are flags after the usual ones, of which the last one wins.
func begin(ctx context.Context, program, home, listen, gateway string, env []string, more ...string) (*life, error) {
	l := &life{exited: make(chan struct{}), log: filepath.Join(home, "fairway.log")}
	file := filepath.Join(home, "ready.json")
	if err := os.Remove(file); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	out, err := os.OpenFile(l.log, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return nil, err
	}
	defer out.Close() // the process has its own
	l.cmd = exec.Command(program, append([]string{"up", "--listen", listen, "--gateway", gateway, "--ready-file", file, "--drain", "3s",
		"--data", filepath.Join(home, "data")}, more...)...)
	l.cmd.Dir, l.cmd.Env = home, append(environ(home), env...)
	l.cmd.Stdout, l.cmd.Stderr = out, out
	if err := l.cmd.Start(); err != nil {
		return nil, err
	}
	go func() {
		l.err = l.cmd.Wait()
		close(l.exited)
	}()
	err = until(ctx, "fairway up is ready", func() (bool, error) {
		b, err := os.ReadFile(file)
		if err == nil {
			return true, json.Unmarshal(b, &l.ready)
		}
		if l.runs() {
			return false, nil
		}
		if l.killed() {
			return false, errKilled
		}
		return false, fmt.Errorf("fairway up ended: %w\n%s", l.err, l.tail())
	})
	if err != nil && l.runs() {
		err = errors.Join(err, l.kill())
	}
	return l, err
}

func environ(home string) []string {
	return []string{"HOME=" + home, "PATH=" + os.Getenv("PATH"), "TMPDIR=" + os.TempDir(), "NO_COLOR=1", "GIT_CONFIG_NOSYSTEM=1"}
}

func (l *life) runs() bool {
	select {
	case <-l.exited:
		return false
	default:
		return true
	}
}

// killed reports whether SIGKILL ended the process, which has ended.
func (l *life) killed() bool {
	status, ok := l.cmd.ProcessState.Sys().(syscall.WaitStatus)
	return ok && status.Signaled() && status.Signal() == syscall.SIGKILL
}

// kill ends the process at once, as a crash does.
func (l *life) kill() error {
	if err := l.cmd.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	<-l.exited
	return nil
}

// stop ends the process as Ctrl-C does.
func (l *life) stop() error {
	if err := l.cmd.Process.Signal(os.Interrupt); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	select {
	case <-l.exited:
	case <-time.After(patience):
		return errors.Join(fmt.Errorf("fairway up did not stop within %s", patience), l.kill())
	}
	if l.err != nil && !l.killed() {
		return fmt.Errorf("fairway up ended with %w\n%s", l.err, l.tail())
	}
	return nil
}

// tail is the end of what the process and those before it printed.
func (l *life) tail() string {
	b, err := os.ReadFile(l.log)
	if err != nil {
		return err.Error()
	}
	return string(b[max(0, len(b)-4000):])
}

// lateness is how long after its failpoint the process was ended, as it said
// itself.
func (l *life) lateness() (time.Duration, bool) {
	_, text, ok := cutLast(l.tail(), ": ends ")
	if !ok {
		return 0, false
	}
	text, _, _ = strings.Cut(text, " ")
	d, err := time.ParseDuration(text)
	return d, err == nil
}

func cutLast(s, sep string) (before, after string, found bool) {
	if i := strings.LastIndex(s, sep); i >= 0 {
		return s[:i], s[i+len(sep):], true
	}
	return s, "", false
}

// until polls a condition until it holds, fails, or patience ends.
func until(ctx context.Context, what string, ok func() (bool, error)) error {
	ctx, cancel := context.WithTimeoutCause(ctx, patience, fmt.Errorf("%s: not within %s", what, patience))
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		done, err := ok()
		if err != nil || done {
			return err
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-tick.C:
		}
	}
}

// delivered are the programs that run for the data directories under home, by
// process id: what their environment says they are.
func delivered(home string) (map[int]map[string]string, error) {
	links, err := filepath.Glob("/proc/[0-9]*/exe")
	if err != nil {
		return nil, err
	}
	found := map[int]map[string]string{}
	for _, link := range links {
		exe, err := os.Readlink(link)
		if err != nil || !strings.HasPrefix(exe, home+"/") {
			continue
		}
		b, err := os.ReadFile(filepath.Join(filepath.Dir(link), "environ"))
		if err != nil {
			continue // it has ended meanwhile
		}
		env := map[string]string{}
		for _, kv := range strings.Split(string(b), "\x00") {
			k, v, _ := strings.Cut(kv, "=")
			env[k] = v
		}
		var pid int
		fmt.Sscan(filepath.Base(filepath.Dir(link)), &pid)
		if env["FAIRWAY_INSTANCE"] != "" {
			found[pid] = env
		}
	}
	return found, nil
}

// endDelivered kills the programs that run for the data directories under
// home, and waits until they have gone.
func endDelivered(ctx context.Context, home string) error {
	return until(ctx, "the delivered programs have ended", func() (bool, error) {
		left, err := delivered(home)
		for pid := range left {
			_ = syscall.Kill(pid, syscall.SIGKILL)
		}
		return len(left) == 0, err
	})
}
