package main

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/fairwaycd/fairway"
	"github.com/fairwaycd/fairway/api"
)

// begins waits for the beginning of a step; it reports false when ctx ends or
// done comes first.
func (s *set) begins(ctx context.Context, step fairway.Step, done <-chan struct{}) bool {
	begun := make(chan struct{}, 1)
	s.witness.listen(func(e api.StoredEvent) {
		if begunBy(e) == step {
			select {
			case begun <- struct{}{}:
			default:
			}
		}
	})
	defer s.witness.listen(nil)
	select {
	case <-begun:
		return true
	case <-ctx.Done():
		return false
	case <-done:
		return false
	}
}

// frozen stops the process, as a machine that is suspended does, while a
// version is started and while one is tested.
func frozen(ctx context.Context, h *harness, r *row) error {
	length, at := time.Minute, []fairway.Step{fairway.StepDeploy, fairway.StepTest}
	if h.o.short {
		length, at = 5*time.Second, at[1:]
	}
	r.note("for %s each", length)
	_, err := h.trial(ctx, r, func(ctx context.Context, s *set, done <-chan struct{}) error {
		for _, step := range at {
			if !s.begins(ctx, step, done) {
				return fmt.Errorf("no %s began", step)
			}
			if err := s.freeze(ctx, length); err != nil {
				return err
			}
			r.times++
		}
		return nil
	})
	return err
}

func (s *set) freeze(ctx context.Context, length time.Duration) error {
	p := s.now().cmd.Process
	if err := p.Signal(syscall.SIGSTOP); err != nil {
		return err
	}
	over := time.NewTimer(length)
	defer over.Stop()
	select {
	case <-over.C:
	case <-ctx.Done():
	}
	s.witness.fault()
	return p.Signal(syscall.SIGCONT)
}

// secondProcess starts another Fairway on the directory, which must refuse.
func secondProcess(ctx context.Context, h *harness, r *row) error {
	want := 10
	if h.o.short {
		want = 2
	}
	_, err := h.trial(ctx, r, func(ctx context.Context, s *set, done <-chan struct{}) error {
		for range want {
			if !s.begins(ctx, fairway.StepDeploy, done) {
				return nil
			}
			c := exec.CommandContext(ctx, h.program, "up", "--listen", "127.0.0.1:0", "--gateway", "127.0.0.1:0", "--data", filepath.Join(s.home, "data"))
			c.Dir, c.Env = s.home, environ(s.home)
			out, err := c.CombinedOutput()
			var ended *exec.ExitError
			if !errors.As(err, &ended) || !strings.Contains(string(out), fmt.Sprint(s.now().cmd.Process.Pid)) {
				return fmt.Errorf("a second process was not refused with the first one's id: %w\n%s", err, out)
			}
			r.times++
		}
		return nil
	})
	return err
}

// inProcess is a fault that only a test inside the program can make.
func inProcess(dir, test string) func(context.Context, *harness, *row) error {
	return func(ctx context.Context, _ *harness, r *row) error {
		out, err := exec.CommandContext(ctx, "go", "test", "-count=1", "-v", "-run", "^"+test+"$", "./"+dir).CombinedOutput()
		if err != nil {
			return fmt.Errorf("%w\n%s", err, out)
		}
		if r.times = strings.Count(string(out), "--- PASS: "+test+" "); r.times == 0 {
			return fmt.Errorf("there is no %s in %s", test, dir)
		}
		r.note("`%s` `%s`", dir, test)
		return nil
	}
}
