package metrics

import (
	"context"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/scrape"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/tsdb"
)

// watchedStorage is the database, and reports every scrape once its samples
// can be queried. That is how a wait for a scrape needs no polling.
type watchedStorage struct {
	db     *tsdb.DB
	report func(t *scrape.Target, at time.Time, ok bool)
}

// AppenderV2 implements [storage.AppendableV2].
func (w *watchedStorage) AppenderV2(ctx context.Context) storage.AppenderV2 {
	t, _ := scrape.TargetFromContext(ctx)
	return &watchedAppender{AppenderV2: w.db.AppenderV2(ctx), target: t, report: w.report}
}

// watchedAppender notes the sample "up" that ends every scrape.
type watchedAppender struct {
	storage.AppenderV2
	target *scrape.Target
	report func(t *scrape.Target, at time.Time, ok bool)
	seen   bool
	at     int64
	up     float64
}

// Append implements [storage.AppenderV2].
func (a *watchedAppender) Append(ref storage.SeriesRef, ls labels.Labels, st, t int64, v float64, h *histogram.Histogram, fh *histogram.FloatHistogram, opts storage.AppendV2Options) (storage.SeriesRef, error) {
	ref, err := a.AppenderV2.Append(ref, ls, st, t, v, h, fh, opts)
	// A process may export a metric called up; the report comes after it.
	if err == nil && ls.Get(model.MetricNameLabel) == "up" {
		a.seen, a.at, a.up = true, t, v
	}
	return ref, err
}

// Commit implements [storage.AppenderV2].
func (a *watchedAppender) Commit() error {
	if err := a.AppenderV2.Commit(); err != nil {
		return err
	}
	// The marker that ends a series is NaN, neither up nor down.
	if a.seen && a.target != nil && (a.up == 0 || a.up == 1) {
		a.report(a.target, time.UnixMilli(a.at).UTC(), a.up == 1)
	}
	return nil
}
