package trace

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"strings"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/sdk/resource"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"github.com/fairwaycd/fairway"
	"github.com/fairwaycd/fairway/internal/durable"
)

// Entry is a stored decision: the deliveries of its service as they were after
// it, open ones and those that ended by it.
type Entry struct {
	Seq        uint64
	At         time.Time // of the decision, as in what ended by it
	Deliveries []fairway.Delivery
}

// Source is where decisions are stored. Its shards are independent.
type Source interface {
	Shards() int
	Last(ctx context.Context, shard int) (uint64, error)
	// After returns at most limit entries after seq, in order.
	After(ctx context.Context, shard int, seq uint64, limit int) ([]Entry, error)
	// Changed tells that there may be more.
	Changed() (changed <-chan struct{}, cancel func())
}

// Options are what traces are made of.
type Options struct {
	File    string // that keeps how far they were sent
	Version string // of Fairway
	Source  Source
	Logger  *slog.Logger
	// Getenv reads the environment. Which collector gets the traces is said by
	// the standard variables OTEL_*.
	Getenv func(string) string
	// Observe counts spans by outcome: sent, failed. Nil: nobody.
	Observe func(outcome string, n int)
}

// Enabled reports whether the environment names a collector.
func Enabled(getenv func(string) string) bool {
	off := strings.EqualFold(getenv("OTEL_SDK_DISABLED"), "true") || getenv("OTEL_TRACES_EXPORTER") == "none"
	return !off && (getenv("OTEL_EXPORTER_OTLP_ENDPOINT") != "" || getenv("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT") != "")
}

const (
	atOnce   = 200                    // entries of a shard
	gather   = 200 * time.Millisecond // before what is new is read
	look     = 30 * time.Second
	retry    = time.Second
	maxRetry = time.Minute
)

// Tracer sends spans.
type Tracer struct {
	o        Options
	exporter *otlptrace.Exporter
	res      *resource.Resource
	at       []uint64
	moved    bool
}

// Open makes a tracer for the collector that the environment names. It does
// not contact it.
func Open(ctx context.Context, o Options) (*Tracer, error) {
	if p := o.Getenv("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL"); p == "" {
		if p = o.Getenv("OTEL_EXPORTER_OTLP_PROTOCOL"); p != "" && p != "http/protobuf" {
			return nil, fairway.Invalid("OTEL_EXPORTER_OTLP_PROTOCOL", p, "is not supported", "use http/protobuf, and the collector's port for it, 4318")
		}
	} else if p != "http/protobuf" {
		return nil, fairway.Invalid("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", p, "is not supported", "use http/protobuf, and the collector's port for it, 4318")
	}
	exporter, err := otlptracehttp.New(ctx)
	if err != nil {
		return nil, fairway.Errorf(fairway.KindInvalid, "traces cannot be sent as OTEL_* says: %w", err)
	}
	res, err := resource.New(ctx, resource.WithAttributes(attribute.String("service.name", "fairway"), attribute.String("service.version", o.Version)), resource.WithFromEnv(), resource.WithTelemetrySDK())
	if err != nil && res == nil {
		return nil, fairway.Errorf(fairway.KindInvalid, "OTEL_RESOURCE_ATTRIBUTES cannot be read: %w", err)
	}
	if o.Observe == nil {
		o.Observe = func(string, int) {}
	}
	t := &Tracer{o: o, exporter: exporter, res: res}
	return t, t.load(ctx)
}

// load reads how far was sent; without a file that is all up to now.
func (t *Tracer) load(ctx context.Context) error {
	b, err := os.ReadFile(t.o.File)
	if err == nil && json.Unmarshal(b, &t.at) == nil && len(t.at) == t.o.Source.Shards() {
		return nil
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("read how far traces were sent: %w", err)
	}
	t.at = nil
	for shard := range t.o.Source.Shards() {
		last, err := t.o.Source.Last(ctx, shard)
		if err != nil {
			return err
		}
		t.at = append(t.at, last)
	}
	t.moved = true
	t.save()
	return nil
}

// Run sends spans until ctx ends, again and again while the collector takes
// none. Nothing waits for it.
func (t *Tracer) Run(ctx context.Context) {
	changed, cancel := t.o.Source.Changed()
	defer cancel()
	defer t.save()
	defer func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
		defer cancel()
		_ = t.exporter.Shutdown(ctx) // nothing is buffered
	}()
	wait := retry
	for ctx.Err() == nil {
		more, err := t.send(ctx)
		switch {
		case ctx.Err() != nil:
			return
		case err != nil:
			t.o.Logger.Warn("traces cannot be sent; they are tried again", "again", wait, "error", err)
			pause(ctx, wait)
			wait = min(2*wait, maxRetry)
			continue
		}
		wait = retry
		t.save()
		if more {
			continue
		}
		idle := time.NewTimer(look)
		select {
		case <-ctx.Done():
		case <-changed:
			pause(ctx, gather)
		case <-idle.C:
		}
		idle.Stop()
	}
}

// send sends what is new of each shard. more is set when there may be more.
func (t *Tracer) send(ctx context.Context) (more bool, err error) {
	for shard := range t.at {
		list, err := t.o.Source.After(ctx, shard, t.at[shard], atOnce)
		if err != nil {
			return false, err
		}
		var spans tracetest.SpanStubs
		for _, e := range list {
			for _, d := range e.Deliveries {
				spans = append(spans, spansOf(d, e.At, t.res)...)
			}
		}
		if len(spans) > 0 {
			if err := t.exporter.ExportSpans(ctx, spans.Snapshots()); err != nil {
				t.o.Observe("failed", len(spans))
				return false, err
			}
			t.o.Observe("sent", len(spans))
		}
		if n := len(list); n > 0 {
			t.at[shard], t.moved = list[n-1].Seq, true
			more = more || n == atOnce
		}
	}
	return more, nil
}

func (t *Tracer) save() {
	if !t.moved {
		return
	}
	b, err := json.Marshal(t.at)
	if err == nil {
		err = durable.WriteFile(t.o.File, b)
	}
	if err != nil {
		t.o.Logger.Error("how far traces were sent cannot be stored; a restart would send some again", "error", err)
		return
	}
	t.moved = false
}

func pause(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-t.C:
	}
}
