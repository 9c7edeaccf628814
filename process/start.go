package process

import (
	"context"
	"fmt"

	"github.com/fairwaycd/fairway"
)

// Start finds again what ran before: processes that are still there are
// adopted, remainders ended, and instances without a process run again. It
// returns once all are found; AwaitReady tells when they are ready. What
// Start begins goes on after ctx has ended, until Shutdown or Detach.
func (p *Platform) Start(ctx context.Context) error {
	p.applying.Lock()
	defer p.applying.Unlock()
	p.mu.Lock()
	started := p.base != nil || p.closed
	p.mu.Unlock()
	if started {
		return fairway.Errorf(fairway.KindRefused, "the local platform was started already; make a new one")
	}
	records, damaged, err := p.records.load()
	if err != nil {
		return err
	}
	for _, path := range damaged {
		p.log.Error("record of an instance is damaged and was put aside; its process is ended, and the delivery has to be run again", "file", path)
	}
	adopted, err := p.recover(ctx, records)
	if err != nil {
		return err
	}
	base, cancel := context.WithCancelCause(context.WithoutCancel(ctx))
	p.mu.Lock()
	p.base, p.cancel = base, cancel
	p.hurry, p.hurryUp = context.WithCancel(context.WithoutCancel(ctx))
	p.mu.Unlock()
	for n := range records {
		p.revive(base, records[n], adopted[records[n].Workload.Instance])
	}
	p.wg.Go(func() { p.retainLogs(base) })
	return nil
}

// recover matches running processes with records, ends what no record means
// and returns the handles of the rest by instance.
func (p *Platform) recover(ctx context.Context, records []record) (map[string]*handle, error) {
	running, err := ours(p.identity)
	if err != nil {
		return nil, err
	}
	adopted := make(map[string]*handle)
	keep := make(map[string]bool) // nonces of what is adopted
	for n := range records {
		r := &records[n]
		p.ports.reserve(r.Port, r.Workload.Instance)
		h := p.adopt(r, running)
		if h == nil {
			continue
		}
		adopted[r.Workload.Instance] = h
		keep[r.Run.Nonce] = true
	}
	killed, err := sweep(ctx, p.identity, func(f found) bool { return !keep[f.nonce] })
	if killed > 0 {
		p.log.Warn("ended processes that an earlier run of Fairway had left behind", "processes", killed)
	}
	if err != nil {
		for _, h := range adopted {
			h.close()
		}
		return nil, fmt.Errorf("end the processes that an earlier run of Fairway had left behind: %w", err)
	}
	return adopted, nil
}

// adopt returns the handle of the record's process, or nil when it does not
// run. A record from between start and the storing of the pid is completed.
func (p *Platform) adopt(r *record, running []found) *handle {
	if r.Run == nil {
		return nil
	}
	for _, f := range running {
		if f.nonce != r.Run.Nonce || f.instance != r.Workload.Instance || !f.leads() {
			continue
		}
		if r.Run.PID != 0 && (f.pid != r.Run.PID || f.start != r.Run.Start) {
			continue // a child that leads a group of its own
		}
		h, err := openHandle(f.pid, f.start)
		if err != nil {
			return nil // ended just now
		}
		r.Run.PID, r.Run.Start = f.pid, f.start
		return h
	}
	if start, err := startTime(r.Run.PID); r.Run.PID != 0 && err == nil && start == r.Run.Start {
		p.log.Warn("a process may be ours, but its environment does not say so; it is left alone, end it by hand if it is",
			"pid", r.Run.PID, "instance", r.Workload.Instance, "service", r.Workload.Place.String())
	}
	return nil
}

// revive supervises a recorded instance again.
func (p *Platform) revive(base context.Context, r record, adopted *handle) {
	w := r.Workload
	for _, m := range r.Manifests {
		w.Manifests = append(w.Manifests, []byte(m))
	}
	s, err := decode(w, p.o.Host)
	i := p.newInstance(r, s)
	if err != nil { // accepted by an earlier version of Fairway only
		i.spec = &spec{}
		i.update(func(s *state) { s.refusal = err })
	}
	if adopted != nil {
		p.log.Info("found a process of before again", "service", w.Place.String(), "instance", w.Instance, "pid", adopted.pid)
	}
	p.begin(base, i, adopted)
}
