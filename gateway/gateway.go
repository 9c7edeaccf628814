package gateway

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/fairwaycd/fairway"
	"github.com/prometheus/client_golang/prometheus"
)

// Options says how a gateway is to be. The zero value of every field means
// its default.
type Options struct {
	// Domain is what the hosts end in. Default: localhost.
	Domain string
	// Logger gets changes of routes at info and requests of clients that
	// went away at debug. Default: none.
	Logger *slog.Logger
	// Registry exposes the metrics. Default: a registry of the gateway's own.
	Registry *prometheus.Registry
	// Failpoint is called with "route.change" before a change of the routes
	// takes effect. Default: none.
	Failpoint func(point string)
	// Drain is how long Serve lets requests end after its context ended, and
	// the limit of a call of Drain that gives none. Default: 30 s.
	Drain time.Duration
	// HeaderTimeout is how long a client may take to send a request's
	// header. Default: 10 s.
	HeaderTimeout time.Duration
	// IdleTimeout is how long a client's connection is kept without a
	// request. Default: 2 min.
	IdleTimeout time.Duration
	// MaxHeaderBytes limits the header of a request. Default: 64 KB.
	MaxHeaderBytes int
}

func (o Options) withDefaults() Options {
	if o.Domain == "" {
		o.Domain = "localhost"
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Registry == nil {
		o.Registry = prometheus.NewRegistry()
	}
	if o.Failpoint == nil {
		o.Failpoint = func(string) {}
	}
	if o.Drain == 0 {
		o.Drain = 30 * time.Second
	}
	if o.HeaderTimeout == 0 {
		o.HeaderTimeout = 10 * time.Second
	}
	if o.IdleTimeout == 0 {
		o.IdleTimeout = 2 * time.Minute
	}
	if o.MaxHeaderBytes == 0 {
		o.MaxHeaderBytes = 64 << 10
	}
	return o
}

func (o Options) validate() error {
	var ps []fairway.Problem
	if o.Domain != strings.ToLower(o.Domain) || strings.ContainsAny(o.Domain, ":/ ") || strings.HasPrefix(o.Domain, ".") || strings.HasSuffix(o.Domain, ".") {
		ps = append(ps, fairway.Problem{Field: "gateway domain", Value: o.Domain, Message: "is not a domain", Remedy: "use one such as localhost or apps.example.com, without port and outer dots"})
	}
	for field, d := range map[string]time.Duration{"gateway drain": o.Drain, "gateway header timeout": o.HeaderTimeout, "gateway idle timeout": o.IdleTimeout} {
		if d < 0 {
			ps = append(ps, fairway.Problem{Field: field, Value: d.String(), Message: "is negative", Remedy: "use a duration such as 30s"})
		}
	}
	return fairway.InvalidAll(ps)
}

// Gateway is the reverse proxy. It is safe for concurrent use.
type Gateway struct {
	o       Options
	suffix  string // "." and the domain
	metrics *metrics
	buffers buffers
	table   atomic.Pointer[table]

	mu      sync.Mutex // held while the table is replaced
	leaving []*target  // named by no table, but with requests under way
}

var _ fairway.Traffic = (*Gateway)(nil)

// New returns a gateway without routes. It fails with [fairway.KindInvalid]
// when an option makes no sense.
func New(o Options) (*Gateway, error) {
	o = o.withDefaults()
	if err := o.validate(); err != nil {
		return nil, err
	}
	m, err := newMetrics(o.Registry)
	if err != nil {
		return nil, err
	}
	o.Logger = o.Logger.With("component", "gateway")
	g := &Gateway{o: o, suffix: "." + o.Domain, metrics: m}
	g.table.Store(&table{})
	return g, nil
}

// Handler returns the proxy for a server of the caller's own.
func (g *Gateway) Handler() http.Handler { return http.HandlerFunc(g.serve) }

// MetricsHandler exposes the metrics for a scrape.
func (g *Gateway) MetricsHandler() http.Handler { return g.metrics.handler() }

// Serve answers on ln, HTTP/1.1 and HTTP/2 without TLS, until ctx ends. Then
// it takes no new connection, lets the requests under way end within
// Options.Drain, closes upgraded connections and whatever is left, takes every
// backend out of its place, and returns nil. It fails when the listener does.
func (g *Gateway) Serve(ctx context.Context, ln net.Listener) error {
	srv := g.server(ctx)
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	failed := make(chan error, 1)
	var wg sync.WaitGroup
	defer wg.Wait()
	wg.Go(func() { failed <- srv.Serve(ln) })
	wg.Go(func() { g.sweepUntil(ctx) })

	var err error
	select {
	case err = <-failed:
		err = fairway.Errorf(fairway.KindUnavailable, "the gateway cannot answer on %s any more: %w", ln.Addr(), err)
	case <-ctx.Done():
	}
	stop()
	g.shutdown(context.WithoutCancel(ctx), srv)
	return err
}

func (g *Gateway) server(ctx context.Context) *http.Server {
	var p http.Protocols
	p.SetHTTP1(true)
	p.SetUnencryptedHTTP2(true)
	return &http.Server{
		Handler:           g.Handler(),
		Protocols:         &p,
		ReadHeaderTimeout: g.o.HeaderTimeout,
		IdleTimeout:       g.o.IdleTimeout,
		MaxHeaderBytes:    g.o.MaxHeaderBytes,
		ErrorLog:          slog.NewLogLogger(g.o.Logger.Handler(), slog.LevelWarn),
		// Requests have to outlive ctx, which begins the drain.
		BaseContext: func(net.Listener) context.Context { return context.WithoutCancel(ctx) },
	}
}

func (g *Gateway) shutdown(ctx context.Context, srv *http.Server) {
	ctx, cancel := context.WithTimeout(ctx, g.o.Drain)
	defer cancel()
	if err := srv.Shutdown(ctx); err != nil {
		if !errors.Is(err, context.DeadlineExceeded) {
			g.o.Logger.Warn("the gateway's listener did not close", "error", err)
		}
		srv.Close()
	}
	for _, t := range g.leaveAll() {
		if n := t.up.cut(); n > 0 {
			g.o.Logger.Info("cut off what was left at the end", "place", t.Place.String(), "instance", t.Instance, "requests", n)
		}
		<-t.up.idle
	}
}

// sweepUntil deletes the series of versions that are long gone, until ctx
// ends.
func (g *Gateway) sweepUntil(ctx context.Context) {
	tick := time.NewTicker(time.Minute)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-tick.C:
			g.sweep(now)
		}
	}
}

func (g *Gateway) sweep(now time.Time) {
	g.mu.Lock()
	defer g.mu.Unlock()
	live := make(map[*meter]bool)
	t := g.table.Load()
	for _, s := range t.services.all() {
		live[s.unserved] = true
	}
	for _, b := range append(t.targets(), g.leaving...) {
		live[b.meter] = true
	}
	g.metrics.sweep(now, live)
}
