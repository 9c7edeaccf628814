//go:build unix && !linux

package process

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// handle means one process: pid and start time as ps prints it.
type handle struct {
	pid   int
	start string
	child bool // of this very process, which has to reap it
}

func sysProcAttr() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }

func startedHandle(pid int, _ *syscall.SysProcAttr) (*handle, error) {
	start, err := ps("-p", strconv.Itoa(pid), "-o", "lstart=")
	return &handle{pid: pid, start: start, child: true}, err
}

func openHandle(pid int, start string) (*handle, error) {
	h := &handle{pid: pid, start: start}
	if !h.alive() {
		return nil, fmt.Errorf("process %d has ended", pid)
	}
	return h, nil
}

func (h *handle) close() {}

func (h *handle) wait(ctx context.Context) error { return h.poll(ctx) }

func (h *handle) signal(sig unix.Signal) {
	if h.alive() {
		_ = unix.Kill(h.pid, sig)
	}
}

// startTime returns the start time of a process that runs.
func startTime(pid int) (string, error) {
	line, err := ps("-p", strconv.Itoa(pid), "-o", "state=", "-o", "lstart=")
	state, start, _ := strings.Cut(line, " ")
	if err == nil && strings.HasPrefix(state, "Z") {
		err = fmt.Errorf("process %d has ended", pid)
	}
	return strings.TrimSpace(start), err
}

// holdForks does nothing where package net takes the same lock.
func holdForks() (release func()) { return func() {} }

func ps(args ...string) (string, error) {
	out, err := exec.Command("ps", args...).Output()
	return strings.TrimSpace(string(out)), err
}

// ours lists the running processes whose environment carries the identity, as
// far as ps shows it: arguments and environment are one line.
func ours(identity string) ([]found, error) {
	out, err := ps("-A", "-E", "-ww", "-o", "pid=,pgid=,state=,command=")
	if err != nil {
		return nil, fmt.Errorf("list processes: %w", err)
	}
	var all []found
	for line := range strings.Lines(out) {
		words := strings.Fields(line)
		if !strings.Contains(line, identityVar+"="+identity) || len(words) < 4 || strings.HasPrefix(words[2], "Z") {
			continue
		}
		f := found{}
		f.pid, _ = strconv.Atoi(words[0]) // ps prints numbers; 0 is nobody's
		f.pgid, _ = strconv.Atoi(words[1])
		for _, w := range words[3:] {
			name, value, _ := strings.Cut(w, "=")
			switch name {
			case instanceVar:
				f.instance = value
			case nonceVar:
				f.nonce = value
			}
		}
		if f.start, err = startTime(f.pid); err == nil && f.pid != os.Getpid() {
			all = append(all, f)
		}
	}
	return all, nil
}
