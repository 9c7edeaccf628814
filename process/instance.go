package process

import (
	"context"
	"log/slog"
	"net"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/fairwaycd/fairway"
)

// instance is one workload under supervision.
type instance struct {
	p          *Platform
	log        *slog.Logger
	spec       *spec
	logPath    string
	recordedAt time.Time
	workload   fairway.Workload // never changes

	rec     record // its supervisor's alone
	stop    context.CancelCauseFunc
	done    chan struct{} // closed when the supervisor has ended
	stopErr error         // readable after done

	announcing sync.Mutex // orders changes and their announcements

	mu    sync.Mutex
	state state
}

// state is what others see of an instance.
type state struct {
	view      fairway.Instance
	refusal   error         // it can never become ready
	exits     int           // ends since it was ready last
	lastEnd   string        // how it ended the last time
	lastLines string        // of its log before that
	logOffset int64         // where the output of the present process begins
	stopped   bool          // it is being stopped
	changed   chan struct{} // closed at the next change
}

func (p *Platform) newInstance(r record, s *spec) *instance {
	w := r.Workload
	i := &instance{p: p, spec: s, rec: r, workload: w, recordedAt: r.RecordedAt, logPath: p.o.logPath(r), done: make(chan struct{}),
		log: p.log.With("service", w.Place.String(), "instance", w.Instance, "delivery", string(w.Delivery))}
	i.state = state{changed: make(chan struct{}), view: fairway.Instance{ID: w.Instance, Project: w.Project, Stage: w.Stage, Place: w.Place,
		Delivery: w.Delivery, Artifact: w.Artifact, Reason: "its image is being unpacked", StartedAt: r.RecordedAt, Restarts: r.Restarts}}
	if s != nil {
		i.state.view.NotRun = s.notRun
		if s.readiness != nil && s.readiness.method == "http" {
			i.state.view.HealthPath = s.readiness.path
		}
	}
	return i
}

func (i *instance) id() string { return i.workload.Instance }

func (i *instance) snapshot() fairway.Instance {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.state.view
}

// update changes the state, wakes who waits for it, and announces a change of
// readiness.
func (i *instance) update(f func(*state)) {
	i.announcing.Lock()
	defer i.announcing.Unlock()
	i.mu.Lock()
	before := i.state.view.Ready
	f(&i.state)
	after := i.state.view
	close(i.state.changed)
	i.state.changed = make(chan struct{})
	i.mu.Unlock()
	if before == after.Ready {
		return
	}
	if after.Ready {
		i.log.Info("instance is ready", "address", after.Address)
	} else {
		i.log.Info("instance is no longer ready", "reason", after.Reason)
	}
	i.p.announce(after)
}

// notReady marks the instance so, with the reason.
func (i *instance) notReady(reason string) {
	i.update(func(s *state) { s.view.Ready, s.view.Reason = false, reason })
}

// sameAs says whether applying w again is the same wish.
func (i *instance) sameAs(w fairway.Workload) error {
	i.mu.Lock()
	stopped := i.state.stopped
	i.mu.Unlock()
	switch {
	case i.workload.Place != w.Place || !i.workload.Artifact.Same(w.Artifact):
		return fairway.Errorf(fairway.KindConflict, "instance %s runs %s in %s already and cannot become %s in %s; apply it under another instance id",
			w.Instance, i.workload.Artifact, i.workload.Place, w.Artifact, w.Place)
	case stopped:
		return fairway.Retryable(fairway.Errorf(fairway.KindConflict, "instance %s is being stopped; try again when that is done", w.Instance))
	}
	return nil
}

// awaitReady returns when the instance is ready or cannot become it.
func (i *instance) awaitReady(ctx context.Context) (fairway.Instance, error) {
	for {
		i.mu.Lock()
		s := i.state
		i.mu.Unlock()
		name := i.workload.Place.String() + " (" + i.workload.Artifact.String() + ")"
		switch {
		case s.view.Ready:
			return s.view, nil
		case s.stopped:
			return s.view, fairway.Errorf(fairway.KindRefused, "%s was stopped before it was ready", name)
		case s.refusal != nil:
			return s.view, fairway.Errorf(fairway.KindRefused, "%s cannot run: %w", name, s.refusal)
		case s.exits >= i.p.o.CrashLimit:
			return s.view, fairway.Errorf(fairway.KindRefused, "%s was started %d times and never became ready; the last time it %s%s", name, s.exits, s.lastEnd, i.evidence(s))
		}
		select {
		case <-s.changed:
		case <-i.done:
			if _, err := i.p.running(); err != nil {
				return s.view, err
			}
			<-s.changed // the supervisor's last word comes before done
		case <-ctx.Done():
			reason := s.view.Reason
			if s.lastEnd != "" {
				reason += "; before that it " + s.lastEnd
			}
			return s.view, fairway.Errorf(fairway.KindUnavailable, "%s is not ready: %s%s: %w", name, reason, i.evidence(s), ctx.Err())
		}
	}
}

// evidence adds what the program wrote last, and where there is more.
func (i *instance) evidence(s state) string {
	lines := s.lastLines
	if s.lastEnd == "" {
		lines = logTail(i.logPath, s.logOffset)
	}
	more := "see: fairway logs " + string(i.workload.Delivery)
	if lines == "" {
		return "; it wrote nothing; " + more
	}
	return "; the last lines of its log:\n  | " + strings.ReplaceAll(lines, "\n", "\n  | ") + "\n" + more
}

// setAddress notes where the instance is reached.
func (s *state) setAddress(host string, port int, metricsPath string) {
	s.view.Address, s.view.MetricsAddress, s.view.MetricsPath = "", "", ""
	if port == 0 {
		return
	}
	s.view.Address = net.JoinHostPort(host, strconv.Itoa(port))
	if metricsPath != "" {
		s.view.MetricsAddress, s.view.MetricsPath = s.view.Address, metricsPath
	}
}
