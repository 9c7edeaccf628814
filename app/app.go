package app

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/fairwaycd/fairway"
	"github.com/fairwaycd/fairway/access"
	"github.com/fairwaycd/fairway/blob"
	"github.com/fairwaycd/fairway/controller"
	"github.com/fairwaycd/fairway/datadir"
	"github.com/fairwaycd/fairway/gate"
	"github.com/fairwaycd/fairway/git"
	"github.com/fairwaycd/fairway/history"
	"github.com/fairwaycd/fairway/image"
	"github.com/fairwaycd/fairway/metrics"
	"github.com/fairwaycd/fairway/monitoring"
	"github.com/fairwaycd/fairway/nats"
	"github.com/fairwaycd/fairway/project"
	"github.com/fairwaycd/fairway/registries"
	"github.com/fairwaycd/fairway/registry"
	"github.com/fairwaycd/fairway/subscription"
	"github.com/fairwaycd/fairway/testrun"
	"github.com/fairwaycd/fairway/trace"
)

// App is Fairway, put together. Its parts are made by New in the order of
// their dependencies and torn down in the opposite order.
type App struct {
	o       Options
	started time.Time
	dir     *datadir.Dir
	space   *datadir.Space
	guard   *access.Guard
	events  *nats.Server
	log     *nats.Store
	git     *git.Store
	images  *image.Store
	reg     *registry.Registry
	site    site
	metrics *metrics.Server
	// monitoring holds what projects have connected, connected what asks it.
	monitoring *monitoring.Store
	connected  []*connected
	// elsewhere holds the registries that projects take images from, watcher
	// looks at their tags.
	elsewhere *registries.Store
	watcher   *registries.Watcher
	// putPullSecret puts a Secret of type kubernetes.io/dockerconfigjson into a
	// namespace; nil where the platform has none. The site sets it.
	putPullSecret func(ctx context.Context, p fairway.ProjectName, ns fairway.Namespace, name string, dockerConfigJSON []byte) error
	blobs         *blob.Store
	answers       answers
	history       *history.Store
	// subscriptions send events to others, and sending counts what came of it.
	subscriptions *subscription.Dispatcher
	sending       *prometheus.CounterVec
	tracer        *trace.Tracer // nil without a collector
	spans         *prometheus.CounterVec
	keeper        *project.Keeper
	control       *controller.Controller
	view          *controller.View
	readiness     readiness

	refusals *prometheus.CounterVec
	changing sync.RWMutex // held, for reading, while services and projects are added; a deletion begins alone

	listen, gate net.Listener
	server       *http.Server
	ready        atomic.Bool
	loaded       atomic.Bool // the stored states are known
	teardown     []func(context.Context) error
	bg           sync.WaitGroup
	failed       chan error

	catching   atomic.Bool           // what was missed is being caught up with
	storage    storage               // what the data directory takes
	missed     atomic.Pointer[error] // why not all that was missed before the start is done
	broken     atomic.Pointer[error] // why the event store takes nothing
	storing    atomic.Bool           // events can be stored: from the start of the controller until the API has ended
	streams    context.Context       // of answers without an end
	endStreams context.CancelFunc
}

// New validates the options, takes the ports and the data directory, and
// opens every part. Nothing runs yet. When it fails, everything taken is given
// back.
func New(ctx context.Context, o Options) (*App, error) {
	o, err := o.withDefaults()
	if err != nil {
		return nil, err
	}
	a := &App{o: o, started: time.Now(), site: o.site(), view: controller.NewView(), refusals: newRefusals(), failed: make(chan error, 2)}
	for _, step := range []func(context.Context) error{
		a.takePorts, a.openData, a.connectSite, a.openLog, a.openGit, a.openRegistry, a.openMetrics, a.openSite, a.openControl, a.openSubscriptions, a.openTraces,
	} {
		if err := step(ctx); err != nil {
			return nil, errors.Join(err, a.Stop(context.WithoutCancel(ctx)))
		}
	}
	return a, nil
}

// later registers what undoes a step.
func (a *App) later(f func(context.Context) error) { a.teardown = append(a.teardown, f) }

func (a *App) takePorts(context.Context) error {
	for _, p := range []struct {
		ln         *net.Listener
		addr, flag string
	}{{&a.listen, a.o.Listen, "--listen"}, {&a.gate, a.o.Gateway, "--gateway"}} {
		if p.ln == &a.gate && a.o.Platform == PlatformKubernetes {
			continue // the cluster has a gateway
		}
		ln, err := net.Listen("tcp", p.addr)
		if errors.Is(err, syscall.EADDRINUSE) {
			return fairway.Errorf(fairway.KindConflict, "%s is taken by another process; stop it, or choose another address with %s", p.addr, p.flag)
		}
		if err != nil {
			return fmt.Errorf("listen on %s (choose another address with %s): %w", p.addr, p.flag, err)
		}
		*p.ln = ln
		a.later(func(context.Context) error { ln.Close(); return nil })
	}
	return nil
}

func (a *App) openData(ctx context.Context) (err error) {
	if a.dir, err = datadir.Open(a.o.Data); err != nil {
		return err
	}
	a.later(func(context.Context) error { return a.dir.Close() })
	if a.space, err = a.dir.OpenSpace(a.o.Logger.With("component", "disk")); err != nil {
		return err
	}
	if a.guard, err = access.Open(a.dir.Path()); err != nil {
		return err
	}
	if a.monitoring, err = monitoring.Open(a.dir.Path("monitoring.json")); err != nil {
		return err
	}
	if a.elsewhere, err = registries.Open(a.dir.Path("registries")); err != nil {
		return err
	}
	if a.answers.blobs, err = blob.Open(a.dir.Path("answers")); err != nil {
		return err
	}
	if a.blobs, err = blob.Open(a.dir.Path("evaluations")); err != nil {
		return err
	}
	a.history, err = history.Open(ctx, a.dir.Path("evaluations", "index"), a.blobs, a.o.Logger.With("component", "history"))
	if err == nil {
		a.later(func(context.Context) error { return a.history.Close() })
	}
	return err
}

func (a *App) openLog(ctx context.Context) (err error) {
	a.events, err = nats.StartServer(ctx, nats.ServerOptions{
		Dir: a.dir.Path("nats"), Logger: a.o.Logger.With("component", "nats"), Sync: a.o.Durability == DurabilityPower,
	})
	if err != nil {
		return err
	}
	a.later(func(context.Context) error { a.events.Stop(); return nil })
	nc, err := a.events.Connect()
	if err != nil {
		return fmt.Errorf("connect to the event store: %w", err)
	}
	a.later(func(context.Context) error { nc.Close(); return nil })
	a.log, err = nats.OpenStore(ctx, nc, nats.StoreOptions{})
	return err
}

func (a *App) openGit(context.Context) (err error) {
	a.git, err = git.Open(a.dir.Path("git"), git.Options{
		Logger:    a.o.Logger.With("component", "git"),
		Upstreams: a.dir.Path("upstreams"),
		NoSync:    a.o.Durability != DurabilityPower,
		Failpoint: a.o.Failpoint,
		CheckPush: a.checkPush,
		AfterPush: a.afterPush,
		Deciding:  func(p fairway.ProjectName, branches []string) func() { return a.keeper.Deciding(p, branches) },
	})
	if err != nil {
		return err
	}
	a.later(func(context.Context) error { return a.git.Close() })
	rendered, err := blob.Open(a.dir.Path("rendered"))
	if err != nil {
		return err
	}
	a.keeper = project.New(project.Options{
		Rendered: rendered, Runs: a.site.runs,
		Git: a.git, Domain: a.site.domain(), Logger: a.o.Logger.With("component", "project"), MayRoute: a.mayRoute, Store: a.storePushed, Agrees: a.agrees,
	})
	return nil
}

func (a *App) openRegistry(context.Context) (err error) {
	a.reg, err = registry.New(registry.Options{
		Dir: a.dir.Path("registry"), Logger: a.o.Logger.With("component", "registry"), OnPush: a.pushed, Admit: a.admit, Failpoint: a.o.Failpoint, Grace: a.o.Retention.Pushed, Room: a.space.Room,
	})
	if err != nil {
		return err
	}
	former, err := a.rememberAddress()
	if err != nil {
		return err
	}
	a.images, err = image.NewStore(image.StoreOptions{
		Dir:    a.dir.Path("images"),
		Local:  image.LocalRegistry{Host: a.Address(), Former: former, Token: a.guard.Token},
		Logger: a.o.Logger.With("component", "image"), Room: a.space.Room, Registry: a.elsewhere.For,
	})
	return err
}

func (a *App) openMetrics(context.Context) (err error) {
	a.metrics, err = metrics.New(metrics.Options{
		Dir: a.dir.Path("metrics"), Logger: a.o.Logger.With("component", "metrics"), ScrapeInterval: a.o.ScrapeInterval,
	})
	return err
}

func (a *App) connectSite(ctx context.Context) error { return a.site.connect(ctx, a) }

func (a *App) openSite(ctx context.Context) error { return a.site.open(ctx, a) }

func (a *App) openControl(context.Context) error {
	runner, err := testrun.New(testrun.Options{
		GatewayAddr: a.GatewayAddress(), Dir: a.dir.Path("tests"), Env: a.site.environ(), Logger: a.o.Logger.With("component", "testrun"),
	})
	if err != nil {
		return err
	}
	a.watcher = a.newWatcher()
	a.connected = a.sources()
	ask := make([]fairway.MetricSource, len(a.connected))
	for i, s := range a.connected {
		ask[i] = s
	}
	judge := gate.New(ask, gate.Options{Logger: a.o.Logger.With("component", "gate"), Timeout: sourceLimit})
	a.control = controller.New(a.o.Outside.in(controller.Options{
		Log: a.log, Configuration: a.keeper, Platform: a.platform(), Traffic: a.site.traffic(), Images: a.images, Metrics: a.site.metrics(),
		Tester: tester{runner, a.site.domain(), a.traceOfTest}, Gate: judgeWith{judge, a.keeper, a.history, a.connectedTo, a.o.NoGate}, Blobs: a.blobs, Evaluations: a.history, View: a.view,
		Logger: a.o.Logger.With("keptnService", "controller"), Failpoint: a.o.Failpoint, Drain: a.o.Drain, FirstScrape: a.o.firstScrape(), Settle: a.o.settle(), Forget: a.forget, Hold: a.held,
	}))
	return nil
}

// Address is where console, API, git and registry answer. Where they listen
// on all addresses, it is that of this machine.
func (a *App) Address() string {
	at, ok := a.listen.Addr().(*net.TCPAddr)
	if ok && at.IP.IsUnspecified() {
		return net.JoinHostPort("127.0.0.1", strconv.Itoa(at.Port))
	}
	return a.listen.Addr().String()
}

// GatewayAddress is where the delivered services answer.
func (a *App) GatewayAddress() string { return a.site.address() }

// Domain is what the hosts of delivered services end in.
func (a *App) Domain() string { return a.site.domain() }

// Token is the API token.
func (a *App) Token() string { return a.guard.Token() }

// LoginURL is a link that logs a browser in, once, within ten minutes.
func (a *App) LoginURL() string {
	return "http://" + a.Address() + "/login?code=" + a.guard.NewCode()
}

// Data is the data directory.
func (a *App) Data() string { return a.dir.Path() }

// Start serves, finds again what ran, and goes on with what was under way. It
// returns when Fairway is ready. The order here is, read backwards, that of a
// stop:
//
//	nothing new is taken       ready is false
//	streams end                watch, logs, the pages' news
//	decisions and steps end    a test that is cut off counts as interrupted, not as failed
//	the gateway drains         while what it leads to still runs
//	processes end
//	requests to the API end    pushes under way are still stored
func (a *App) Start(ctx context.Context) error {
	running := context.WithoutCancel(ctx) // each part ends by its own stop
	if err := a.metrics.Start(running); err != nil {
		return err
	}
	a.later(func(context.Context) error { return a.metrics.Stop() })
	if err := a.reg.Start(running); err != nil {
		return err
	}
	a.later(a.reg.Stop)
	a.serveAPI(running)
	if err := a.observeOwn(); err != nil {
		return err
	}
	if err := a.keeper.Complete(ctx); err != nil {
		return err
	}
	if err := a.site.start(running, a); err != nil {
		return err
	}
	a.site.serve(running, a)
	if err := a.control.Start(ctx); err != nil {
		return err
	}
	a.loaded.Store(true)
	a.later(a.stopControl)
	a.later(a.startRetention(running))
	a.storing.Store(true)
	a.later(func(context.Context) error { a.endStreams(); return nil })
	a.ready.Store(true)
	a.later(func(context.Context) error { a.ready.Store(false); return nil })
	a.bg.Go(func() { a.git.KeepInStep(a.streams) })
	a.startTraces(running)
	a.subscriptions.Start(running)
	a.later(func(context.Context) error { a.subscriptions.Stop(); return nil })
	a.bg.Go(func() { a.watcher.Run(a.streams) })
	if !a.catchUp(ctx) {
		a.catchUpLater()
	}
	return nil
}

// apiLimit is how long requests to the API may take to end at a stop.
const apiLimit = 10 * time.Second

// serveAPI answers on the first port until the app is stopped.
func (a *App) serveAPI(ctx context.Context) {
	ctx, cancelRequests := context.WithCancel(ctx)
	a.streams, a.endStreams = context.WithCancel(ctx)
	a.server = &http.Server{
		Handler:     a.handler(),
		BaseContext: func(net.Listener) context.Context { return ctx },
	}
	access.Harden(a.server)
	a.bg.Go(func() { a.git.Maintain(ctx) })
	a.bg.Go(func() { a.tendDisk(ctx) })
	a.bg.Go(func() {
		if err := a.server.Serve(a.listen); err != nil && !errors.Is(err, http.ErrServerClosed) {
			a.fail(fmt.Errorf("the API stopped: %w", err))
		}
	})
	a.later(func(ctx context.Context) error {
		a.endStreams()
		ctx, cancel := context.WithTimeout(ctx, apiLimit)
		defer cancel()
		err := a.server.Shutdown(ctx)
		cancelRequests()
		if err != nil {
			err = errors.Join(fmt.Errorf("requests to the API did not end in time and were cut off: %w", err), a.server.Close())
		}
		a.bg.Wait()
		return err
	})
}

// untilStop ends the requests' contexts at the beginning of a stop: for
// streams, which would never end by themselves.
func (a *App) untilStop(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ctx, cancel := context.WithCancel(r.Context())
		defer cancel()
		defer context.AfterFunc(a.streams, cancel)()
		h.ServeHTTP(w, r.WithContext(ctx))
	})
}

// stopControl stops deciding. Whatever is under way goes on at the next start.
func (a *App) stopControl(ctx context.Context) error {
	a.site.stopping()
	done := make(chan struct{})
	go func() {
		defer close(done)
		a.control.Stop()
	}()
	return within(ctx, done, "decisions and steps")
}

// within waits for done, at most three quarters of what ctx leaves, so that
// the parts that stop later have time too.
func within(ctx context.Context, done <-chan struct{}, what string) error {
	if at, ok := ctx.Deadline(); ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, time.Until(at)*3/4)
		defer cancel()
	}
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return fairway.Errorf(fairway.KindUnavailable, "%s did not end in time and are cut off", what)
	}
}

func (a *App) fail(err error) {
	select {
	case a.failed <- err:
	default:
	}
}

// Failed delivers the error of a part that stopped by itself.
func (a *App) Failed() <-chan error { return a.failed }

// Stop stops everything in the opposite order of its start and gives ports
// and data directory back. What was under way goes on at the next start.
func (a *App) Stop(ctx context.Context) error {
	var errs []error
	for len(a.teardown) > 0 {
		last := a.teardown[len(a.teardown)-1]
		a.teardown = a.teardown[:len(a.teardown)-1]
		if err := last(ctx); err != nil && !errors.Is(err, os.ErrClosed) && !errors.Is(err, net.ErrClosed) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}
