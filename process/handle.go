//go:build unix

package process

import (
	"context"
	"errors"
	"fmt"
	"time"

	"golang.org/x/sys/unix"
)

// found is a process that carries our identity in its environment.
type found struct {
	pid, pgid       int
	start           string // the system's word for its start time
	instance, nonce string
}

// leads reports whether the process leads its own group, as all do that we
// start.
func (f found) leads() bool { return f.pid == f.pgid }

// pollInterval is how often the end of a process is looked for where the
// system cannot tell.
const pollInterval = 50 * time.Millisecond

// poll waits for the end of a process by looking again and again.
func (h *handle) poll(ctx context.Context) error {
	for h.alive() {
		if !wait(ctx, pollInterval) {
			return context.Cause(ctx)
		}
	}
	return nil
}

// alive reports whether the process runs; one that waits to be reaped does
// not.
func (h *handle) alive() bool {
	start, err := startTime(h.pid)
	return err == nil && start == h.start
}

// signalGroup sends sig to the process group that h leads. It may be called
// only while the leader runs or waits to be reaped by us, so that the number
// cannot mean another group.
func (h *handle) signalGroup(sig unix.Signal) {
	_ = unix.Kill(-h.pid, sig) // ESRCH: there is nobody left, as wanted
}

// reap collects the exit status of an ended child. known is false for a
// process that an earlier run of Fairway started: it is nobody's child here.
func (h *handle) reap() (status unix.WaitStatus, known bool) {
	options := unix.WNOHANG
	if h.child {
		options = 0 // its last threads may need another moment
	}
	for {
		pid, err := unix.Wait4(h.pid, &status, options, nil)
		if !errors.Is(err, unix.EINTR) {
			return status, err == nil && pid == h.pid
		}
	}
}

// exitText says in words how a process ended.
func exitText(status unix.WaitStatus, known bool) string {
	switch {
	case !known:
		return "ended with an unknown exit code, since an earlier run of Fairway had started it"
	case status.Signaled():
		return fmt.Sprintf("was ended by the signal %s", status.Signal())
	}
	return fmt.Sprintf("ended with exit code %d", status.ExitStatus())
}

// sweepRounds bounds how often remainders are looked for again, since a
// process may fork while it is being ended.
const sweepRounds = 20

// sweepWait is how long one killed process may take to disappear. Only one
// that hangs inside the kernel takes longer.
const sweepWait = 5 * time.Second

// sweep kills every process of ours that matches and waits until they are
// gone.
func sweep(ctx context.Context, identity string, matches func(found) bool) (killed int, err error) {
	for range sweepRounds {
		all, err := ours(identity)
		if err != nil {
			return killed, err
		}
		left := 0
		for _, f := range all {
			if matches(f) {
				left++
				if err := kill(ctx, f); err != nil {
					return killed, err
				}
			}
		}
		if left == 0 {
			return killed, nil
		}
		killed += left
	}
	return killed, fmt.Errorf("processes of ours start faster than they can be ended; end them by hand: their environment has %s=%s", identityVar, identity)
}

func kill(ctx context.Context, f found) error {
	h, err := openHandle(f.pid, f.start)
	if err != nil {
		return nil // it has ended meanwhile
	}
	defer h.close()
	h.signal(unix.SIGKILL)
	ctx, cancel := context.WithTimeout(ctx, sweepWait)
	defer cancel()
	if err := h.wait(ctx); err != nil {
		return fmt.Errorf("process %d of instance %s was killed and is still there: %w", f.pid, f.instance, err)
	}
	h.reap()
	return nil
}
