package main

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/fairwaycd/fairway"
)

// failpoint reads NAME, NAME:N or NAME:N+DELAY and returns a hook that kills
// the process, as a machine that dies does, when the point is reached for the
// N-th time, or DELAY after that. The name * is any point. It is how the fault
// harness chooses its moments; it reads from standard error what was hit.
func failpoint(spec string) (func(string), error) {
	if spec == "" {
		return nil, nil
	}
	head, late, delayed := strings.Cut(spec, "+")
	name, count, counted := strings.Cut(head, ":")
	n, delay := int64(1), time.Duration(0)
	var err error
	if counted {
		n, err = strconv.ParseInt(count, 10, 64)
	}
	if err == nil && delayed {
		delay, err = time.ParseDuration(late)
	}
	if err != nil || n < 1 || delay < 0 {
		return nil, fairway.Invalid("FAIRWAY_FAILPOINT", spec, "is not a point", "write NAME, NAME:N or NAME:N+DELAY, N being 1 or more and DELAY such as 3ms")
	}
	var hits atomic.Int64
	return func(point string) {
		if point != name && name != "*" || hits.Add(1) != n {
			return
		}
		reached := time.Now()
		die := func() {
			fmt.Fprintf(os.Stderr, "failpoint %s: ends %s after it\n", point, time.Since(reached))
			_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
			select {} // the signal is on its way; nothing more may happen
		}
		if !delayed {
			die()
		}
		time.AfterFunc(delay, die)
	}, nil
}
