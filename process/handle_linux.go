package process

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// handle means one process for good: its pid may be given to another after its
// end, and then the handle knows.
type handle struct {
	pid   int
	start string
	child bool     // of this very process, which has to reap it
	fd    *os.File // pidfd; nil on kernels before 5.3
}

// startedHandle returns the handle of a child that attr started.
func startedHandle(pid int, attr *syscall.SysProcAttr) (*handle, error) {
	h := &handle{pid: pid, child: true}
	if attr.PidFD != nil && *attr.PidFD >= 0 {
		if err := h.setFD(*attr.PidFD); err != nil {
			return nil, err
		}
	}
	start, err := startTimeOf(pid, true)
	if err != nil {
		h.close()
		return nil, err
	}
	h.start = start
	return h, nil
}

func sysProcAttr() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, PidFD: new(-1)}
}

// openHandle returns a handle of the running process with this pid and start
// time; an error when there is none.
func openHandle(pid int, start string) (*handle, error) {
	h := &handle{pid: pid, start: start}
	fd, err := unix.PidfdOpen(pid, 0)
	if err == nil {
		err = h.setFD(fd)
	} else if errors.Is(err, unix.ENOSYS) {
		err = nil
	}
	if err != nil {
		return nil, fmt.Errorf("open process %d: %w", pid, err)
	}
	if !h.alive() { // looked at after the opening, so that the descriptor is of this very process
		h.close()
		return nil, fmt.Errorf("process %d has ended", pid)
	}
	return h, nil
}

// setFD makes the descriptor one that the runtime's poller can wait for.
func (h *handle) setFD(fd int) error {
	if err := unix.SetNonblock(fd, true); err != nil {
		return errors.Join(err, unix.Close(fd))
	}
	h.fd = os.NewFile(uintptr(fd), "pidfd")
	return nil
}

func (h *handle) close() {
	if h.fd != nil {
		_ = h.fd.Close() // nothing was written to it
	}
}

// wait returns nil once the process has ended, or the cause of ctx's end.
func (h *handle) wait(ctx context.Context) error {
	if h.fd == nil {
		return h.poll(ctx)
	}
	conn, err := h.fd.SyscallConn()
	if err != nil {
		return h.poll(ctx)
	}
	interrupt := context.AfterFunc(ctx, func() { _ = h.fd.SetReadDeadline(time.Unix(1, 0)) })
	defer interrupt()
	if conn.Read(ended) == nil {
		return nil
	}
	return h.poll(ctx) // ctx has ended, or the poller does not take the descriptor
}

// ended reports whether the pidfd says that its process has ended.
func ended(fd uintptr) bool {
	n, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, 0)
	return err == nil && n > 0
}

// signal sends sig to the process and to no other. That it has ended is no
// error.
func (h *handle) signal(sig unix.Signal) {
	if h.fd == nil {
		if h.alive() {
			_ = unix.Kill(h.pid, sig)
		}
		return
	}
	conn, err := h.fd.SyscallConn()
	if err != nil {
		return
	}
	_ = conn.Control(func(fd uintptr) { _ = unix.PidfdSendSignal(int(fd), sig, nil, 0) })
}

// startTime returns the start time of a process that runs.
func startTime(pid int) (string, error) { return startTimeOf(pid, false) }

// startTimeOf reads the start time in clock ticks since boot, field 22 of
// /proc/PID/stat.
func startTimeOf(pid int, zombies bool) (string, error) {
	b, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return "", err
	}
	st, err := parseStat(b)
	if err == nil && st.state == "Z" && !zombies {
		err = fmt.Errorf("process %d has ended", pid)
	}
	return st.start, err
}

type stat struct {
	state string
	pgid  int
	start string
}

// holdForks keeps this process from starting others until release. Sockets are
// made without this lock on Linux, so that it is not taken twice.
func holdForks() (release func()) {
	syscall.ForkLock.RLock()
	return syscall.ForkLock.RUnlock
}

// parseStat reads /proc/PID/stat. The program's name in brackets may contain
// anything, brackets and spaces too.
func parseStat(b []byte) (stat, error) {
	end := bytes.LastIndexByte(b, ')')
	if end < 0 {
		return stat{}, errors.New("no name in brackets in /proc/PID/stat")
	}
	fields := strings.Fields(string(b[end+1:])) // from field 3 on
	if len(fields) < 20 {
		return stat{}, errors.New("too few fields in /proc/PID/stat")
	}
	pgid, err := strconv.Atoi(fields[2])
	return stat{state: fields[0], pgid: pgid, start: fields[19]}, err
}

// ours lists the running processes whose environment carries the identity,
// the oldest first, so that a leader comes before its children.
func ours(identity string) ([]found, error) {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil, fmt.Errorf("list processes: %w", err)
	}
	var all []found
	for _, e := range entries {
		if pid, err := strconv.Atoi(e.Name()); err == nil && pid != os.Getpid() {
			if f, ok := inspect(pid, identity); ok {
				all = append(all, f)
			}
		}
	}
	slices.SortFunc(all, func(a, b found) int {
		return cmp.Or(cmp.Compare(len(a.start), len(b.start)), cmp.Compare(a.start, b.start), cmp.Compare(a.pid, b.pid))
	})
	return all, nil
}

// inspect reads one process. All is read through one open directory, which
// stays that of the process even when its pid is given to another.
func inspect(pid int, identity string) (found, bool) {
	root, err := os.OpenRoot("/proc/" + strconv.Itoa(pid))
	if err != nil {
		return found{}, false
	}
	defer root.Close()
	environ, err := root.ReadFile("environ") // of another user: refused, and not ours
	if err != nil || !bytes.Contains(environ, []byte(identity)) {
		return found{}, false
	}
	vars := make(map[string]string)
	for kv := range strings.SplitSeq(string(environ), "\x00") {
		if name, value, ok := strings.Cut(kv, "="); ok {
			vars[name] = value
		}
	}
	if vars[identityVar] != identity {
		return found{}, false
	}
	b, err := root.ReadFile("stat")
	if err != nil {
		return found{}, false
	}
	st, err := parseStat(b)
	if err != nil || st.state == "Z" {
		return found{}, false
	}
	return found{pid: pid, pgid: st.pgid, start: st.start, instance: vars[instanceVar], nonce: vars[nonceVar]}, true
}
