package app

import (
	"context"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/fairwaycd/fairway"
	"github.com/fairwaycd/fairway/controller"
	"github.com/fairwaycd/fairway/trace"
)

// openTraces makes the tracer, where the environment names a collector.
func (a *App) openTraces(ctx context.Context) (err error) {
	a.spans = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "fairway_trace_spans_total", Help: "Spans of deliveries by outcome: sent to the collector, or failed and tried again.",
	}, []string{"outcome"})
	for _, outcome := range []string{"sent", "failed"} {
		a.spans.WithLabelValues(outcome) // shown from the start
	}
	if !trace.Enabled(a.o.Getenv) {
		return nil
	}
	a.tracer, err = trace.Open(ctx, trace.Options{
		File: a.dir.Path("traces.json"), Version: a.o.Version, Source: decisions{eventLog{a.log, a.view}}, Getenv: a.o.Getenv,
		Logger:  a.o.Logger.With("component", "trace"),
		Observe: func(outcome string, n int) { a.spans.WithLabelValues(outcome).Add(float64(n)) },
	})
	return err
}

// startTraces sends spans until the app stops.
func (a *App) startTraces(ctx context.Context) {
	if a.tracer == nil {
		return
	}
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		a.tracer.Run(ctx)
	}()
	a.later(func(context.Context) error {
		cancel()
		<-done
		return nil
	})
}

// traceOf tells which trace an event belongs to, where there are traces.
func (a *App) traceOf() func(fairway.Event) string {
	if !trace.Enabled(a.o.Getenv) {
		return nil
	}
	return func(e fairway.Event) string { return trace.Delivery(e.Context) }
}

// traceOfTest is the traceparent of what a test causes.
func (a *App) traceOfTest(s fairway.Subject) string {
	if !trace.Enabled(a.o.Getenv) {
		return ""
	}
	return trace.Step(s.Delivery, s.Stage, fairway.StepTest, s.Attempt)
}

// decisions hands stored decisions to the tracer.
type decisions struct{ eventLog }

var _ trace.Source = decisions{}

// After implements [trace.Source].
func (d decisions) After(ctx context.Context, shard int, seq uint64, limit int) ([]trace.Entry, error) {
	var out []trace.Entry
	err := d.each(ctx, shard, seq, limit, func(e fairway.LogEntry) error {
		all, at, err := controller.DeliveriesOf(e)
		out = append(out, trace.Entry{Seq: e.Seq, At: at, Deliveries: all})
		return err
	})
	return out, err
}
