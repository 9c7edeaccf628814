package process

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/fairwaycd/fairway"
)

// Platform runs workloads as local processes. It is safe for concurrent use.
type Platform struct {
	o        Options
	log      *slog.Logger
	identity string // of the data directory
	records  recordStore
	ports    *ports

	applying sync.Mutex // one Apply, Start or end at a time
	wg       sync.WaitGroup

	mu        sync.Mutex
	base      context.Context         // of everything that runs; nil before Start
	cancel    context.CancelCauseFunc // ends base
	hurry     context.Context         // ended when grace periods are over for all
	hurryUp   context.CancelFunc
	closed    bool
	instances map[string]*instance
	subs      map[int]func(fairway.Instance)
	nextSub   int
}

var _ fairway.Platform = (*Platform)(nil)

// The reasons for which an instance is let go.
var (
	errStop     = errors.New("the instance was stopped")
	errShutdown = errors.New("the platform is shutting down")
	errDetach   = errors.New("the processes are let go on")
)

// New returns a platform on the directory; it makes the directory, and starts
// nothing. An error of KindInvalid names the wrong options.
func New(o Options) (*Platform, error) {
	if err := o.validate(); err != nil {
		return nil, err
	}
	o = o.withDefaults()
	for _, dir := range []string{o.Dir, o.recordDir(), o.logDir()} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return nil, fmt.Errorf("make the directory of the local platform: %w", err)
		}
	}
	identity, err := identityOf(o.Dir)
	if err != nil {
		return nil, err
	}
	return &Platform{o: o, log: o.Logger, identity: identity, records: recordStore{o.recordDir()},
		ports:     &ports{host: o.Host, owner: map[int]string{}},
		instances: map[string]*instance{}, subs: map[int]func(fairway.Instance){}}, nil
}

// Environ is the environment for other programs that Fairway starts, such as
// tests: what a login gives, [Options.Env], and the identity of the data
// directory, so that the next [Platform.Start] ends those that a crash left.
func (p *Platform) Environ() []string {
	return append(append(ownEnvironment(), p.o.Env...), identityVar+"="+p.identity)
}

// Shutdown ends every process, each with its grace period and all with
// SIGKILL when ctx ends, and waits for all goroutines. The records stay: the
// next Start runs the instances again under their ids.
func (p *Platform) Shutdown(ctx context.Context) error { return p.close(ctx, errShutdown) }

// Detach stops looking after the processes and lets them run; the next Start
// finds them. It waits for all goroutines.
func (p *Platform) Detach(ctx context.Context) error { return p.close(ctx, errDetach) }

func (p *Platform) close(ctx context.Context, why error) error {
	p.applying.Lock() // an Apply under way is finished first
	p.mu.Lock()
	p.closed = true
	cancel := p.cancel
	p.mu.Unlock()
	p.applying.Unlock()
	if cancel == nil {
		return nil
	}
	cancel(why)
	defer context.AfterFunc(ctx, p.hurryUp)()
	p.wg.Wait()
	p.hurryUp()
	return nil
}

// running returns the context of all that runs, or an error of KindUnavailable
// before Start and after the end.
func (p *Platform) running() (context.Context, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.base == nil || p.closed {
		return nil, fairway.Retryable(fairway.Errorf(fairway.KindUnavailable, "the local platform does not run; it is being started or shut down, try again"))
	}
	return p.base, nil
}

// Apply implements [fairway.Platform]. Manifests that cannot be read are
// KindInvalid, and nothing is stored then; another workload under the same
// instance id, or one that is being stopped, is KindConflict. What is wrong
// with the image is told by AwaitReady.
func (p *Platform) Apply(ctx context.Context, w fairway.Workload) error {
	if w.Instance == "" {
		return fairway.Invalid("instance", "", "is empty", "give the workload an instance id")
	}
	s, err := decode(w, p.o.Host)
	if err != nil {
		return err
	}
	p.applying.Lock()
	defer p.applying.Unlock()
	base, err := p.running()
	if err != nil {
		return err
	}
	if i := p.find(w.Instance); i != nil {
		return i.sameAs(w)
	}
	if err := ctx.Err(); err != nil {
		return context.Cause(ctx)
	}
	r := record{Workload: w, RecordedAt: time.Now().UTC()}
	for _, m := range w.Manifests {
		r.Manifests = append(r.Manifests, string(m))
	}
	if err := p.records.save(r); err != nil {
		return fairway.Retryable(err)
	}
	p.o.Failpoint("platform.apply.recorded")
	p.begin(base, p.newInstance(r, s), nil)
	return nil
}

// begin makes the instance known and supervises it. adopted is its process if
// it runs already.
func (p *Platform) begin(base context.Context, i *instance, adopted *handle) {
	ctx, stop := context.WithCancelCause(base)
	i.stop = stop
	p.mu.Lock()
	p.instances[i.id()] = i
	p.mu.Unlock()
	if i.rec.Stopping {
		stop(errStop)
	}
	p.wg.Go(func() {
		defer stop(nil)
		i.supervise(ctx, adopted)
	})
}

func (p *Platform) find(id string) *instance {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.instances[id]
}

// forget drops an instance that was stopped.
func (p *Platform) forget(id string) {
	p.ports.release(id)
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.instances, id)
}

// AwaitReady implements [fairway.Platform]. An unknown instance is
// KindNotFound.
func (p *Platform) AwaitReady(ctx context.Context, id string) (fairway.Instance, error) {
	if _, err := p.running(); err != nil {
		return fairway.Instance{}, err
	}
	i := p.find(id)
	if i == nil {
		return fairway.Instance{}, fairway.Errorf(fairway.KindNotFound, "there is no instance %s; it was never applied, or has been stopped", id)
	}
	return i.awaitReady(ctx)
}

// Stop implements [fairway.Platform]. When ctx ends first, the stopping goes
// on all the same and the cause is returned.
func (p *Platform) Stop(ctx context.Context, id string) error {
	if _, err := p.running(); err != nil {
		return err
	}
	i := p.find(id)
	if i == nil {
		return nil
	}
	i.stop(errStop)
	select {
	case <-i.done:
		return i.stopErr
	case <-ctx.Done():
		return fmt.Errorf("instance %s is still being stopped: %w", id, context.Cause(ctx))
	}
}

// Instances implements [fairway.Platform]: all that were applied and not
// stopped, ready or not, oldest first.
func (p *Platform) Instances(context.Context) ([]fairway.Instance, error) {
	if _, err := p.running(); err != nil {
		return nil, err
	}
	p.mu.Lock()
	all := slices.Collect(maps.Values(p.instances))
	p.mu.Unlock()
	slices.SortFunc(all, func(a, b *instance) int {
		return cmp.Or(a.recordedAt.Compare(b.recordedAt), cmp.Compare(a.id(), b.id()))
	})
	out := make([]fairway.Instance, 0, len(all))
	for _, i := range all {
		out = append(out, i.snapshot())
	}
	return out, nil
}

// Subscribe implements [fairway.Platform]. Calls for one instance come in the
// order of its changes; f may call Instances, but nothing that waits. One call
// may still be under way when cancel returns.
func (p *Platform) Subscribe(f func(fairway.Instance)) (cancel func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	n := p.nextSub
	p.nextSub++
	p.subs[n] = f
	return func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		delete(p.subs, n)
	}
}

func (p *Platform) announce(v fairway.Instance) {
	p.mu.Lock()
	subs := slices.Collect(maps.Values(p.subs))
	p.mu.Unlock()
	for _, f := range subs {
		f(v)
	}
}

// ownedLogs names the log files of all instances.
func (p *Platform) ownedLogs() map[string]bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	owned := make(map[string]bool, len(p.instances))
	for _, i := range p.instances {
		owned[i.logPath] = true
	}
	return owned
}
