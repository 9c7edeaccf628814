package process

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os/exec"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// execProbe runs a probe's command beside the program, with its environment
// and working directory. Exit code 0 is success.
func (i *instance) execProbe(ctx context.Context, prog program, command []string) error {
	if len(command) == 0 {
		return errors.New("names no command")
	}
	argv := make([]string, len(command))
	for n, word := range command {
		argv[n] = fill(word, i.rec.Port)
	}
	workingDir := first(strings.TrimPrefix(prog.Dir, prog.Root), "/")
	file, err := findProgram(prog.Root, workingDir, first(valueOf(prog.Env, "PATH"), defaultPath), argv[0])
	if err == nil {
		err = checkProgram(file, argv[0])
	}
	if err != nil {
		return fmt.Errorf("cannot run: %w", err)
	}
	output := &limited{most: 10 << 10}
	cmd := exec.CommandContext(ctx, file)
	cmd.Args, cmd.Dir, cmd.Stdout, cmd.Stderr = argv, prog.Dir, output, output
	cmd.Env = withIdentity(prog.Env, i.p.identity, i.id(), i.rec.Run.Nonce)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return unix.Kill(-cmd.Process.Pid, unix.SIGKILL) }
	cmd.WaitDelay = time.Second // for children that keep its output open
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("failed: %w%s", err, excerpt(output.buf.String()))
	}
	return nil
}

func valueOf(env []string, name string) string {
	for _, kv := range env {
		if v, ok := strings.CutPrefix(kv, name+"="); ok {
			return v
		}
	}
	return ""
}

// limited keeps the beginning of what is written to it.
type limited struct {
	buf  bytes.Buffer
	most int
}

func (l *limited) Write(b []byte) (int, error) {
	l.buf.Write(b[:min(len(b), l.most-l.buf.Len())])
	return len(b), nil
}
