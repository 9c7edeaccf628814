package dynatrace

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/fairwaycd/fairway"
	"github.com/fairwaycd/fairway/internal/outbound"
)

// Options bound how a [Source] asks. The zero value means the defaults.
type Options struct {
	Limits outbound.Options
	// Settle is how long Dynatrace is given to know the test's last minute.
	// Default 3 min: what an agent sees is there after one or two.
	Settle time.Duration
	// Poll is the time between two looks. Default 10 s.
	Poll time.Duration
}

// Source is the metric source "Dynatrace" of specifications. It is safe for
// concurrent use.
type Source struct {
	client    *outbound.Client
	colourTag string
	o         Options
}

var _ fairway.MetricSource = (*Source)(nil)

// New returns a source that asks the environment of the connection, whose URL
// is https://ENVIRONMENT.live.dynatrace.com or, for Dynatrace Managed,
// https://HOST/e/ENVIRONMENT. It does not contact it. A connection that cannot
// work is an error of [fairway.KindInvalid].
func New(c fairway.Connection, o Options) (*Source, error) {
	o.Limits.Scheme = "Api-Token"
	c.Kind = fairway.KindDynatrace
	client, err := outbound.New(c, o.Limits)
	if err := errors.Join(err, checkColourTag(c.ColourTag)); err != nil {
		return nil, err
	}
	if o.Settle <= 0 {
		o.Settle = 3 * time.Minute
	}
	if o.Poll <= 0 {
		o.Poll = 10 * time.Second
	}
	return &Source{client: client, colourTag: c.ColourTag, o: o}, nil
}

// Name returns "Dynatrace".
func (s *Source) Name() string { return "Dynatrace" }

// Close gives idle connections back.
func (s *Source) Close() { s.client.Close() }

// Query narrows the query to the subject's entities, waits until the last
// minute of the test is known, and answers one value for each entity over the
// test's window. Where no entity has a value there is an error of
// [fairway.KindNotFound].
func (s *Source) Query(ctx context.Context, q fairway.Query) (fairway.Answer, error) {
	parsed, err := parseQuery(q.Raw, q.Subject)
	if err != nil {
		return fairway.Answer{}, err
	}
	if !q.Window.Start.Before(q.Window.End) {
		return fairway.Answer{}, fairway.Errorf(fairway.KindInternal, "the query of %s was asked without the test's window", parsed.metric)
	}
	l := look{source: s, query: parsed, narrowing: narrowingOf(q.Subject.Place, s.colourTag), judged: q.Window}
	l.window, l.aligned = align(q.Window)
	settled, err := l.settle(ctx)
	if err != nil {
		return fairway.Answer{Resolved: l.resolved()}, err
	}
	found, err := l.once(ctx, true)
	if err != nil {
		return fairway.Answer{Resolved: l.resolved()}, err
	}
	if len(found.series) == 0 {
		return fairway.Answer{Resolved: l.resolved()}, l.nothing(0)
	}
	answer := fairway.Answer{Resolved: l.resolved(), Tied: l.tied && l.aligned, Notes: slices.Concat(parsed.notes, l.notes(), found.notes)}
	if settled != "" {
		answer.Notes = append(answer.Notes, settled)
	}
	if found.unit != "" && parsed.unit == "" {
		answer.Notes = append(answer.Notes, "the values are in "+found.unit)
	}
	for _, one := range found.series {
		v, err := parsed.convert(one.points[len(one.points)-1].value, found.unit)
		if err != nil {
			return answer, err
		}
		answer.Samples = append(answer.Samples, fairway.NewSample(one.key, q.Window.End.UTC(), v))
	}
	return answer, nil
}

// slot is the span of time for which Dynatrace keeps one value.
const slot = time.Minute

// align moves the window's start to the next whole minute, so that nothing
// from before the test counts. Where that would leave less than half of the
// test, and less than a minute, the window stays and ok is false.
func align(w fairway.Window) (aligned fairway.Window, ok bool) {
	start := w.Start.Truncate(slot)
	if start.Before(w.Start) {
		start = start.Add(slot)
	}
	if w.End.Sub(start) < min(w.Duration()/2, slot) {
		return w, false
	}
	return fairway.Window{Start: start, End: w.End}, true
}

// look is one query of the gate: how it is narrowed, and what became of that.
type look struct {
	source    *Source
	query     query
	narrowing narrowing
	judged    fairway.Window // of the test
	window    fairway.Window // that is asked
	aligned   bool
	tied      bool  // the entities are those of the subject
	asked     scope // that gave the data
	dropped   int   // series of the other colour
}

// settle looks until the window's last minute has a value, and says what is
// missing when the time for that is over. Without any value then, that is an
// error.
func (l *look) settle(ctx context.Context) (note string, err error) {
	limit := time.NewTimer(l.source.o.Settle)
	defer limit.Stop()
	tick := time.NewTicker(l.source.o.Poll)
	defer tick.Stop()
	for n := 1; ; n++ {
		found, err := l.once(ctx, false)
		var unknown noData
		switch {
		case err != nil && !errors.As(err, &unknown):
			return "", err
		case err == nil && !found.newest().Before(l.judged.End):
			return "", nil
		}
		select {
		case <-tick.C:
			continue
		case <-ctx.Done():
			return "", context.Cause(ctx)
		case <-limit.C:
		}
		switch {
		case err != nil:
			return "", unknown.error
		case len(found.series) > 0:
			return fmt.Sprintf("Dynatrace did not know the test's last minute %s after its end, so that its last requests may be missing", l.source.o.Settle), nil
		}
		return "", l.nothing(n)
	}
}

// once asks for the subject's own entities. Only where a person has chosen
// others, and none of them is the subject's, are those taken, without the
// other colour's.
func (l *look) once(ctx context.Context, total bool) (data, error) {
	s, q := l.source, l.query
	l.asked, l.tied, l.dropped = l.narrowing.own(q.v1, q.scope), true, 0
	own, err := s.ask(ctx, q, l.asked, l.window, total)
	if !q.scope.named() || q.scope.has(l.narrowing.colour) || len(own.series) > 0 {
		return own, err
	}
	var unknown noData
	if err != nil && !errors.As(err, &unknown) {
		return data{}, err
	}
	l.asked, l.tied = q.scope.with(q.v1), false
	all, err := s.ask(ctx, q, l.asked, l.window, total)
	if err != nil {
		return data{}, err
	}
	rivals, ok := l.narrowing.rival(q.v1, q.scope)
	if !ok {
		return all, nil
	}
	other, err := s.ask(ctx, q, rivals, l.window, total)
	if err != nil && !errors.As(err, &unknown) {
		return data{}, err
	}
	return l.without(all, other)
}

// without takes the other colour's series out of all. Where they have been
// merged into one value, nothing is left to take.
func (l *look) without(all, other data) (data, error) {
	keys := map[string]bool{}
	for _, s := range other.series {
		keys[s.key] = true
	}
	if keys["{}"] {
		return data{}, fairway.Invalid("query", l.query.metric, "merges both colours of the service into one value", "split it by entity, or name the colour's tag "+l.narrowing.colour+" in the query")
	}
	before := len(all.series)
	all.series = slices.DeleteFunc(all.series, func(s series) bool { return keys[s.key] })
	l.dropped = before - len(all.series)
	return all, nil
}

func (l *look) notes() []string {
	var notes []string
	switch {
	case !l.aligned:
		notes = append(notes, "Dynatrace keeps one value for each minute, and the test is so short that its first minute may hold requests from before it, so the query is not tied to the version; test for three minutes or more")
	case l.window.Start.After(l.judged.Start):
		notes = append(notes, fmt.Sprintf("the first %s of the test were left out: Dynatrace keeps one value for each minute, and that one may hold requests from before the test", l.window.Start.Sub(l.judged.Start).Round(time.Second)))
	}
	if !l.tied {
		notes = append(notes, fmt.Sprintf("no entity with %s has the tags of the version under test, so the query is not tied to it", l.query.scope))
	}
	if l.dropped > 0 {
		notes = append(notes, fmt.Sprintf("%d entities of the other colour (%s) did not count", l.dropped, l.narrowing.other))
	}
	return notes
}

// nothing is the error that no entity has data.
func (l *look) nothing(looks int) error {
	tried := ""
	if looks > 0 {
		tried = fmt.Sprintf(" (looked %d times in %s)", looks, l.source.o.Settle)
	}
	left := ""
	if l.dropped > 0 {
		left = fmt.Sprintf("; %d entities of the other colour do not count", l.dropped)
	}
	return fairway.Errorf(fairway.KindNotFound, "no Dynatrace entity with %s has data of %s between %s and %s%s%s; see that an agent watches the service, and that rules give its entity these tags",
		l.asked, l.query.metric, l.window.Start.UTC().Format(time.RFC3339), l.window.End.UTC().Format(time.RFC3339), tried, left)
}

// resolved is the query as people see it.
func (l *look) resolved() string {
	text := l.query.metric
	if l.query.v1 {
		text += " " + l.query.aggregation
		if l.query.percentile > 0 {
			text += fmt.Sprintf("(%d)", l.query.percentile)
		}
	}
	return fmt.Sprintf("%s of entities with %s from %s to %s", text, l.asked, l.window.Start.UTC().Format(time.RFC3339), l.window.End.UTC().Format(time.RFC3339))
}
