package kubernetes

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/util/workqueue"

	"github.com/fairwaycd/fairway"
)

// Platform runs workloads in a cluster. It is safe for concurrent use.
type Platform struct {
	o   Options
	log *slog.Logger
	c   *cluster

	deployments, statefulSets, pods cache.SharedIndexInformer
	queue                           workqueue.TypedRateLimitingInterface[fairway.Place]

	wg     sync.WaitGroup
	base   context.Context // of everything that runs; nil before Start
	cancel context.CancelFunc

	mu         sync.Mutex
	closed     bool
	places     map[fairway.Place]*sync.Mutex // one change of a place at a time
	rolled     map[string]bool               // instances whose rollout was complete once
	seen       map[fairway.Place]fairway.Instance
	runs       map[string]string // run by instance, for pods to come
	namespaces map[fairway.Namespace]string
	trouble    string        // why a watch was interrupted last
	changed    chan struct{} // closed at the next change of anything
	subs       map[int]func(fairway.Instance)
	nextSub    int
	keeping    map[string]bool // pods whose logs are being kept
	healed     chan struct{}   // closed when what an earlier run has raised is put back
}

var _ fairway.Platform = (*Platform)(nil)

// New returns a platform of the cluster, and asks nothing of it yet. An error
// of KindInvalid names the wrong options.
func New(o Options) (*Platform, error) {
	if err := o.validate(); err != nil {
		return nil, err
	}
	o = o.withDefaults()
	if err := os.MkdirAll(o.logDir(), 0o700); err != nil {
		return nil, fmt.Errorf("make the directory of logs: %w", err)
	}
	c, err := newCluster(o.Config)
	if err != nil {
		return nil, err
	}
	p := &Platform{o: o, log: o.Logger, c: c,
		places: map[fairway.Place]*sync.Mutex{}, rolled: map[string]bool{}, seen: map[fairway.Place]fairway.Instance{}, runs: map[string]string{},
		namespaces: map[fairway.Namespace]string{}, changed: make(chan struct{}), subs: map[int]func(fairway.Instance){}, keeping: map[string]bool{},
		healed: make(chan struct{})}
	return p, p.prepareWatches()
}

func (o Options) logDir() string { return filepath.Join(o.Dir, "logs") }

// syncWait is how long Start waits for the cluster. What runs can be asked
// later, too: until then all questions are KindUnavailable.
const syncWait = 15 * time.Second

// Start begins to watch the cluster, and puts back what a switch that was
// interrupted has raised. A cluster that does not answer is waited for in the
// background; one that refuses Fairway's credentials is an error. What Start
// begins goes on after ctx has ended, until Shutdown.
func (p *Platform) Start(ctx context.Context) error {
	p.mu.Lock()
	if p.base != nil || p.closed {
		p.mu.Unlock()
		return fairway.Errorf(fairway.KindRefused, "the platform was started already; make a new one")
	}
	p.base, p.cancel = context.WithCancel(context.WithoutCancel(ctx))
	base := p.base
	p.mu.Unlock()
	if err := p.greet(ctx); err != nil {
		return err
	}
	for _, informer := range p.watched() {
		p.wg.Go(func() { informer.Run(base.Done()) })
	}
	p.wg.Go(func() { p.follow(base) })
	p.wg.Go(func() { p.heal(base) })
	p.wg.Go(func() { p.retainLogs(base) })
	wait, cancel := context.WithTimeout(ctx, syncWait)
	defer cancel()
	if !cache.WaitForCacheSync(wait.Done(), p.synced) {
		p.log.Warn("the cluster does not say yet what runs; waiting for it in the background", "server", p.o.Config.Host)
	}
	return nil
}

// greet asks for the cluster's version, to say at once what is wrong with the
// credentials.
func (p *Platform) greet(ctx context.Context) error {
	v, err := p.c.version(ctx)
	switch {
	case err == nil:
		p.log.Info("connected to the cluster", "server", p.o.Config.Host, "version", v)
		return nil
	case apierrors.IsUnauthorized(err), apierrors.IsForbidden(err):
		return explain("connect to the cluster at "+p.o.Config.Host, err)
	}
	p.log.Warn("the cluster does not answer", "server", p.o.Config.Host, "error", err)
	return context.Cause(ctx)
}

// Shutdown stops watching and waits for all goroutines. What runs in the
// cluster goes on.
func (p *Platform) Shutdown(context.Context) error {
	p.mu.Lock()
	p.closed = true
	cancel := p.cancel
	p.mu.Unlock()
	if cancel != nil {
		cancel()
		p.queue.ShutDown()
		p.wg.Wait()
	}
	return nil
}

var errNotRunning = fairway.Retryable(fairway.Errorf(fairway.KindUnavailable, "the platform does not run; it is being started or shut down, try again"))

// running returns the context of all that runs.
func (p *Platform) running() (context.Context, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.base == nil || p.closed {
		return nil, errNotRunning
	}
	return p.base, nil
}

// ready is running, and knows what the cluster runs.
func (p *Platform) ready() error {
	if _, err := p.running(); err != nil {
		return err
	}
	if !p.synced() {
		p.mu.Lock()
		why := p.trouble
		p.mu.Unlock()
		if why != "" {
			why = ": " + why
		}
		return fairway.Retryable(fairway.Errorf(fairway.KindUnavailable, "the cluster at %s has not said yet what runs; it is asked all the time%s", p.o.Config.Host, why))
	}
	return nil
}

// lock makes the caller the only one who changes the place.
func (p *Platform) lock(place fairway.Place) (unlock func()) {
	p.mu.Lock()
	g := p.places[place]
	if g == nil {
		g = &sync.Mutex{}
		p.places[place] = g
	}
	p.mu.Unlock()
	g.Lock()
	return g.Unlock
}

// Subscribe implements [fairway.Platform]. Calls come one after another, in
// the order of the changes.
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
