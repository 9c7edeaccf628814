package process

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/fairwaycd/fairway"
)

// supervise keeps the instance's process running until ctx ends, whose cause
// says what becomes of it then. adopted is the process if it runs already.
func (i *instance) supervise(ctx context.Context, adopted *handle) {
	defer close(i.done)
	h, pause := adopted, firstBackoff
	for ctx.Err() == nil || h != nil {
		var err error
		if h == nil {
			h, err = i.launch(ctx)
		}
		switch {
		case err == nil:
			if i.watch(ctx, h) { // it was well for a while
				pause = firstBackoff
			}
			h = nil
		case ctx.Err() != nil:
		case terminal(err):
			i.log.Error("instance cannot run", "error", err)
			i.update(func(s *state) { s.refusal, s.view.Reason = err, err.Error() })
			<-ctx.Done()
		default:
			i.log.Warn("instance could not be started; trying again", "error", err, "in", pause)
			i.notReady("it could not be started yet: " + err.Error())
		}
		if !wait(ctx, pause) {
			break
		}
		pause = min(2*pause, i.p.o.MaxRestartBackoff)
	}
	if errors.Is(context.Cause(ctx), errStop) {
		i.finish()
	}
}

// terminal reports whether a failed launch would fail again for ever.
func terminal(err error) bool {
	if fairway.IsRetryable(err) {
		return false
	}
	switch fairway.KindOf(err) {
	case fairway.KindRefused, fairway.KindInvalid, fairway.KindNotFound, fairway.KindUnauthorized:
		return true
	}
	return false
}

// finish removes the record of an instance that has been stopped.
func (i *instance) finish() {
	i.update(func(s *state) { s.stopped, s.view.Ready, s.view.Reason = true, false, "it was stopped" })
	if err := i.p.records.remove(i.id()); err != nil {
		i.stopErr = fairway.Retryable(err)
	}
	i.p.forget(i.id())
	i.log.Info("instance is stopped")
}

// launch starts the program: record, start, record with pid.
func (i *instance) launch(ctx context.Context) (*handle, error) {
	i.mu.Lock()
	refusal := i.state.refusal
	i.mu.Unlock()
	if refusal != nil {
		return nil, refusal
	}
	img, err := i.p.o.Images.Unpack(ctx, i.workload.Project, i.workload.Artifact)
	if err != nil {
		return nil, err
	}
	if err := i.runHooks(ctx); err != nil {
		return nil, err
	}
	if i.spec.hasPort {
		if i.rec.Port, err = i.p.ports.take(i.rec.Port, i.id()); err != nil {
			return nil, err
		}
	}
	prog, err := newProgram(img, i.spec, append(ownEnvironment(), i.p.o.Env...), i.rec.Port)
	if err != nil {
		return nil, err
	}
	out, offset, err := openLog(i.logPath)
	if err != nil {
		return nil, err
	}
	defer out.Close()
	i.rec.Run = &run{Nonce: randomID(), StartedAt: time.Now().UTC(), LogOffset: offset, Program: prog}
	if err := i.p.records.save(i.rec); err != nil {
		return nil, err
	}
	h, err := i.start(prog, out)
	if err != nil {
		return nil, err
	}
	i.p.o.Failpoint("platform.apply.started")
	i.rec.Run.PID, i.rec.Run.Start = h.pid, h.start
	if err := i.p.records.save(i.rec); err != nil {
		// It can be found by its nonce all the same.
		i.log.Warn("pid could not be stored", "error", err)
	}
	fmt.Fprintf(out, "%s%s %s %s started, pid %d, port %d\n", logMark, i.rec.Run.StartedAt.Format(time.RFC3339Nano), i.workload.Place, i.workload.Artifact, h.pid, i.rec.Port)
	i.log.Info("process started", "pid", h.pid, "port", i.rec.Port)
	return h, nil
}

func (i *instance) start(prog program, out *os.File) (*handle, error) {
	null, err := os.Open(os.DevNull)
	if err != nil {
		return nil, err
	}
	defer null.Close()
	attr := sysProcAttr()
	child, err := os.StartProcess(prog.Path, prog.Argv, &os.ProcAttr{Dir: prog.Dir, Files: []*os.File{null, out, out}, Sys: attr,
		Env: withIdentity(prog.Env, i.p.identity, i.id(), i.rec.Run.Nonce)})
	if err != nil {
		if errors.Is(err, unix.ENOEXEC) || errors.Is(err, unix.EACCES) || errors.Is(err, unix.E2BIG) {
			return nil, fairway.Errorf(fairway.KindRefused, "the system does not execute %s: %w", prog.Argv[0], err)
		}
		return nil, fmt.Errorf("start %s: %w", prog.Argv[0], err)
	}
	h, err := startedHandle(child.Pid, attr)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("look after process %d: %w", child.Pid, err), child.Kill(), child.Release())
	}
	return h, child.Release() // waited for through the handle, as an adopted one is
}

// watch looks after a running process until it has ended, or ctx has with the
// wish to let it run. It reports whether the process was well for so long that
// its end is no crash loop.
func (i *instance) watch(ctx context.Context, h *handle) (wasWell bool) {
	defer h.close()
	startedAt, offset := i.rec.Run.StartedAt, i.rec.Run.LogOffset
	i.update(func(s *state) {
		s.logOffset = offset
		s.view.PID, s.view.StartedAt, s.view.Reason = h.pid, startedAt, "its probes have not answered yet"
		s.setAddress(i.p.o.Host, i.rec.Port, i.spec.metricsPath)
	})
	waitCtx, stopWaiting := context.WithCancel(context.WithoutCancel(ctx))
	probeCtx, stopProbing := context.WithCancel(ctx)
	defer stopWaiting()
	defer stopProbing()
	exited, dead := make(chan error, 1), make(chan verdict, 1)
	var readySince time.Time
	var wg sync.WaitGroup
	wg.Go(func() { exited <- h.wait(waitCtx) })
	pr := i.prober(probeCtx, &readySince)
	pr.dead = func(p *probe, why error) { dead <- verdict{p, why} }
	wg.Go(func() { pr.run(probeCtx) })

	var why string
	select {
	case <-exited:
		stopProbing()
	case v := <-dead:
		stopProbing()
		why = v.why.Error()
		i.notReady(why + "; it is being restarted")
		i.end(h, i.grace(v.probe), exited)
	case <-ctx.Done():
		stopProbing()
		if errors.Is(context.Cause(ctx), errDetach) {
			stopWaiting()
			wg.Wait()
			return false
		}
		i.markStopping(context.Cause(ctx))
		i.end(h, i.grace(nil), exited)
	}
	wg.Wait()
	i.ended(ctx, h, why)
	return !readySince.IsZero() && time.Since(readySince) > i.p.o.MaxRestartBackoff
}

// verdict is a probe's that the process has to be restarted.
type verdict struct {
	probe *probe
	why   error
}

// grace returns the time between SIGTERM and SIGKILL; p is the probe that
// asked for the end, if one did.
func (i *instance) grace(p *probe) time.Duration {
	switch {
	case p != nil && p.grace != nil:
		return *p.grace
	case i.spec.grace != nil:
		return *i.spec.grace
	}
	return i.p.o.Grace
}

// prober returns the prober of the current process; readySince is set at its
// first readiness.
func (i *instance) prober(ctx context.Context, readySince *time.Time) *prober {
	prog := i.rec.Run.Program
	ask := newAsker(net.JoinHostPort(i.p.o.Host, strconv.Itoa(i.rec.Port)), func(ctx context.Context, command []string) error {
		return i.execProbe(ctx, prog, command)
	})
	return &prober{spec: i.spec, ask: ask.ask, startedAt: i.rec.Run.StartedAt, ready: func(ok bool, why error) {
		i.update(func(s *state) {
			if ctx.Err() != nil { // it has ended meanwhile, and that is the last word
				return
			}
			s.view.Ready, s.view.Reason = ok, ""
			if !ok {
				s.view.Reason = why.Error()
				return
			}
			s.exits, s.lastEnd, s.lastLines = 0, "", ""
			if readySince.IsZero() {
				*readySince = time.Now()
			}
		})
	}}
}

// markStopping makes the wish to stop durable, so that a crash in the midst of
// it does not start the instance again.
func (i *instance) markStopping(why error) {
	i.update(func(s *state) {
		s.stopped = errors.Is(why, errStop)
		s.view.Ready, s.view.Reason = false, "it is being stopped"
	})
	if !errors.Is(why, errStop) {
		return
	}
	i.rec.Stopping = true
	if err := i.p.records.save(i.rec); err != nil {
		i.log.Warn("the wish to stop could not be stored; a crash now would start the instance again", "error", err)
	}
	i.p.o.Failpoint("platform.stop")
}

// end asks the process to end and kills it when grace is over, or when
// Shutdown is in a hurry. It returns when the process has ended.
func (i *instance) end(h *handle, grace time.Duration, exited <-chan error) {
	if grace > 0 {
		h.signal(unix.SIGTERM)
		timer := time.NewTimer(grace)
		defer timer.Stop()
		select {
		case <-exited:
			return
		case <-timer.C:
			i.log.Warn("process did not end within its grace period and is killed", "pid", h.pid, "grace", grace)
		case <-i.p.hurry.Done():
		}
	}
	h.signal(unix.SIGKILL)
	<-exited
}

// ended cleans up after a process that has ended: what it left behind is
// killed, its status is collected and told. why is the reason if it was
// restarted on purpose.
func (i *instance) ended(ctx context.Context, h *handle, why string) {
	// Until it is reaped a child keeps its number, so that the group cannot be
	// another's. An adopted process is reaped by others; there the sweep does it.
	if h.child {
		h.signalGroup(unix.SIGKILL)
	}
	status, known := h.reap()
	sweepCtx := context.WithoutCancel(ctx)
	nonce := i.rec.Run.Nonce
	if _, err := sweep(sweepCtx, i.p.identity, func(f found) bool { return f.nonce == nonce }); err != nil {
		i.log.Error("what the process left behind could not be ended", "error", err)
	}
	text := exitText(status, known)
	i.note(text)
	if ctx.Err() != nil {
		i.log.Info("process ended", "how", text)
		return
	}
	tail := logTail(i.logPath, i.rec.Run.LogOffset)
	if strings.Contains(tail, "address already in use") {
		i.p.ports.release(i.id())
		i.rec.Port = 0 // somebody was faster; the next start gets another
	}
	i.rec.Restarts++
	if why != "" {
		text = "was restarted because " + why
	}
	i.log.Warn("process ended by itself or by a probe; it is started again", "how", text)
	i.update(func(s *state) {
		s.exits++
		s.lastEnd, s.lastLines = text, tail
		s.view.Ready, s.view.PID, s.view.Restarts, s.view.Reason = false, 0, i.rec.Restarts, "it "+text
	})
}

// note writes a line of Fairway's own into the log.
func (i *instance) note(text string) {
	out, _, err := openLog(i.logPath)
	if err != nil {
		i.log.Warn("log cannot be written", "error", err)
		return
	}
	defer out.Close()
	fmt.Fprintf(out, "%s%s %s %s %s\n", logMark, time.Now().UTC().Format(time.RFC3339Nano), i.workload.Place, i.workload.Artifact, text)
}
