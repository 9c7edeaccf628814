package process

import (
	"context"
	"errors"
	"os/exec"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func TestParseStat(t *testing.T) {
	t.Parallel()
	st, err := parseStat([]byte("42 (a ) R (b) S 1 40 40 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 987654 1000 2\n"))
	must(t, err)
	if st != (stat{state: "S", pgid: 40, start: "987654"}) {
		t.Errorf("got %+v", st)
	}
}

func FuzzParseStat(f *testing.F) {
	f.Add([]byte("42 (x) S 1 40 40 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 987654 1000 2\n"))
	f.Add([]byte(")"))
	f.Fuzz(func(t *testing.T, b []byte) {
		if st, err := parseStat(b); err == nil && st.start == "" {
			t.Errorf("%q has no start time and no error", b)
		}
	})
}

// An old kernel has no pidfds; then the end is seen by looking again.
func TestWaitWithoutPidfd(t *testing.T) {
	t.Parallel()
	cmd := exec.Command(child, "-idle")
	must(t, cmd.Start())
	start, err := startTime(cmd.Process.Pid)
	must(t, err)
	if _, err := openHandle(cmd.Process.Pid, "1"); err == nil {
		t.Error("a wrong start time was believed")
	}
	h := &handle{pid: cmd.Process.Pid, start: start, child: true}
	ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	if err := h.wait(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("waiting for a running process returned %v", err)
	}
	h.signal(unix.SIGKILL)
	must(t, h.wait(t.Context()))
	if status, known := h.reap(); !known || status.Signal() != unix.SIGKILL {
		t.Errorf("reaped %v, %t", status, known)
	}
}
