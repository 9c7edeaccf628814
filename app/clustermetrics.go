package app

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/fairwaycd/fairway"
	"github.com/fairwaycd/fairway/promql"
)

// clusterMetrics follows how the Prometheus of a project scrapes its pods.
// They are labelled by the platform; here is only waited for it.
type clusterMetrics struct {
	a      *App
	places sync.Map // of fairway.Place: the project that has it
}

// errNotLabelled is why there is nothing to wait for.
var errNotLabelled = errors.New("the connected Prometheus does not label pods with version and fairway_run")

// of returns what the project's gates ask, if it labels pods.
func (m *clusterMetrics) of(p fairway.ProjectName) (*promql.Scrapes, func(), error) {
	c, ok := m.a.monitoring.For(fairway.KindPrometheus, p)
	if !ok {
		return nil, nil, errors.New("no Prometheus is connected; connect one: fairway configure monitoring prometheus")
	}
	if !c.Labelled {
		return nil, nil, errNotLabelled
	}
	h, err := m.a.promAPI(c)
	if err != nil {
		return nil, nil, err
	}
	return promql.NewScrapes(h, 0), h.Close, nil
}

// Track implements [controller.Metrics]. A context that has ended only begins
// to scrape, which the pods' labels have done.
func (m *clusterMetrics) Track(ctx context.Context, t fairway.Target) (time.Time, error) {
	if err := ctx.Err(); err != nil {
		return time.Time{}, err
	}
	s, done, err := m.of(t.Project)
	if err != nil {
		return time.Time{}, err
	}
	defer done()
	m.places.Store(t.Place, t.Project)
	return s.Begun(ctx, t)
}

// Settle implements [controller.Metrics].
func (m *clusterMetrics) Settle(ctx context.Context, p fairway.Place, after time.Time) (time.Time, error) {
	project, ok := m.places.Load(p)
	if !ok {
		return after, errors.New("nothing of it is scraped")
	}
	s, done, err := m.of(project.(fairway.ProjectName))
	if err != nil {
		return after, err
	}
	defer done()
	return s.After(ctx, p, after)
}

// Untrack implements [controller.Metrics]: pods that are gone are scraped no
// more.
func (m *clusterMetrics) Untrack(p fairway.Place) { m.places.Delete(p) }
