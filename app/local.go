package app

import (
	"context"
	"fmt"
	"net/http"

	"github.com/fairwaycd/fairway"
	"github.com/fairwaycd/fairway/controller"
	"github.com/fairwaycd/fairway/gateway"
	"github.com/fairwaycd/fairway/metrics"
	"github.com/fairwaycd/fairway/process"
	"github.com/fairwaycd/fairway/promql"
)

// local is this machine: processes, and the gateway inside.
type local struct {
	run     *process.Platform
	gateway *gateway.Gateway
	scrapes *metrics.Server
	at      string
	drop    func() // stops following readiness
}

var _ site = (*local)(nil)

func (l *local) connect(context.Context, *App) error { return nil }

func (l *local) open(_ context.Context, a *App) (err error) {
	l.at, l.scrapes, l.drop = a.gate.Addr().String(), a.metrics, func() {}
	l.run, err = process.New(process.Options{
		Dir: a.dir.Path("run"), Images: a.images, Logger: a.o.Logger.With("component", "process"), Failpoint: a.o.Failpoint,
		Env: []string{"FAIRWAY_GATEWAY=http://" + l.at},
	})
	if err != nil {
		return err
	}
	l.gateway, err = gateway.New(gateway.Options{
		Domain: l.domain(), Logger: a.o.Logger.With("component", "gateway"), Failpoint: a.o.Failpoint, Drain: a.o.Drain,
	})
	return err
}

func (l *local) runs(w fairway.Workload) error { return process.Check(w) }
func (l *local) platform() fairway.Platform    { return l.run }
func (l *local) traffic() fairway.Traffic      { return l.gateway }
func (l *local) metrics() controller.Metrics   { return l.scrapes }
func (l *local) prometheus() fairway.MetricSource {
	return promql.NewSource(l.scrapes, promql.SourceOptions{})
}
func (l *local) transport() http.RoundTripper { return nil }

func (l *local) install(context.Context, [][]byte) error {
	return fairway.Errorf(fairway.KindRefused, "on this machine Prometheus is inside Fairway and scrapes every version; there is nothing to install: it is for fairway up --platform kubernetes")
}

func (l *local) connected(context.Context, fairway.Connection) ([]string, error) { return nil, nil }

func (l *local) domain() string    { return "localhost" }
func (l *local) address() string   { return l.at }
func (l *local) environ() []string { return l.run.Environ() }

func (l *local) backends(context.Context) ([]fairway.Backend, error) {
	return l.gateway.Backends(), nil
}

func (l *local) forget(_ context.Context, ns fairway.Namespace, s fairway.ServiceName) error {
	l.gateway.Forget(ns, s)
	return nil
}

func (l *local) start(ctx context.Context, a *App) error {
	if err := a.metrics.TrackEndpoint(metrics.Endpoint{Name: "gateway", Handler: l.gateway.MetricsHandler()}); err != nil {
		return fmt.Errorf("observe the gateway: %w", err)
	}
	if err := l.run.Start(ctx); err != nil {
		return fmt.Errorf("find again what ran: %w", err)
	}
	a.later(l.run.Shutdown)
	return nil
}

// serve answers on the second port. At a stop it lets the requests under way
// end; a version that fails meanwhile gets no more of them, although the
// controller, which sees to that otherwise, has stopped by then.
func (l *local) serve(ctx context.Context, a *App) {
	ctx, stop := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := l.gateway.Serve(ctx, a.gate); err != nil {
			a.fail(fmt.Errorf("the gateway stopped: %w", err))
		}
	}()
	a.later(func(ctx context.Context) error {
		defer l.drop()
		stop()
		return within(ctx, done, "requests to delivered services")
	})
}

func (l *local) stopping() {
	l.drop = l.run.Subscribe(func(i fairway.Instance) {
		if !i.Ready {
			l.gateway.SetReady(i.Place, i.ID, false)
		}
	})
}
