package cluster

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// started is when a process began, in ticks since the machine did: field 22 of
// its stat file. A process that has ended and only waits for its parent to notice
// has none.
func started(pid int) string {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return ""
	}
	// The name, field 2, may hold blanks and brackets.
	fields := strings.Fields(string(b)[strings.LastIndexByte(string(b), ')')+1:])
	if len(fields) < 20 || fields[0] == "Z" {
		return ""
	}
	return fields[19]
}

// Pid is the number of a process that Up started, and whether it runs.
func (c *Cluster) Pid(name string) (int, bool) {
	b, err := os.ReadFile(c.path("pids", name))
	if err != nil {
		return 0, false
	}
	number, since, _ := strings.Cut(strings.TrimSpace(string(b)), " ")
	pid, err := strconv.Atoi(number)
	if err != nil || since == "" || started(pid) != since {
		return 0, false
	}
	return pid, true
}

// start runs a program in a session of its own, so that it outlives this one,
// unless it runs already. Its log is in logs/.
func (c *Cluster) start(name string, argv ...string) error {
	if _, runs := c.Pid(name); runs {
		return nil
	}
	log, err := os.OpenFile(c.path("logs", name+".log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	defer log.Close()
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.Dir, cmd.Stdout, cmd.Stderr = c.Dir, log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	// Debian keeps what containerd and kube-proxy call in sbin.
	cmd.Env = append(os.Environ(), "PATH="+os.Getenv("PATH")+":/usr/local/sbin:/usr/sbin:/sbin")
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start %s: %w", name, err)
	}
	record := fmt.Sprintf("%d %s\n", cmd.Process.Pid, started(cmd.Process.Pid))
	if err := os.WriteFile(c.path("pids", name), []byte(record), 0o644); err != nil {
		return errors.Join(err, cmd.Process.Kill())
	}
	return cmd.Process.Release()
}

// stop ends a process, by force after ten seconds.
func (c *Cluster) stop(ctx context.Context, name string) error {
	pid, runs := c.Pid(name)
	if runs {
		_ = syscall.Kill(pid, syscall.SIGTERM)
		gone := func(context.Context) error {
			if _, runs := c.Pid(name); runs {
				return errors.New("it still runs")
			}
			return nil
		}
		if err := await(ctx, "end of "+name, 10*time.Second, gone); err != nil {
			_ = syscall.Kill(pid, syscall.SIGKILL)
			if err := await(ctx, "end of "+name, 5*time.Second, gone); err != nil {
				return err
			}
		}
		c.say("stopped %s", name)
	}
	return os.RemoveAll(c.path("pids", name))
}

// Running lists the processes by name, in the order of their names; those that
// died have pid 0.
func (c *Cluster) Running() (map[string]int, error) {
	files, err := filepath.Glob(c.path("pids", "*"))
	if err != nil {
		return nil, err
	}
	pids := map[string]int{}
	for _, f := range files {
		name := filepath.Base(f)
		pids[name], _ = c.Pid(name)
	}
	return pids, nil
}
