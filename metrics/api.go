package metrics

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"net/http"
	"sort"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/util/annotations"
)

const (
	maxFormBytes  = 1 << 20
	maxPoints     = 11_000 // per series of a range query, as in Prometheus
	maxListResult = 10_000 // series, label names or values in one answer
)

// Handler answers a part of Prometheus' HTTP API: /api/v1/query, query_range,
// series, labels, label/NAME/values and targets, and a plain page at /targets.
// It is to be mounted with its prefix stripped. At most Options.MaxQueries
// requests are worked on at once; one that waits longer than
// Options.QueryTimeout is answered with 503.
func (s *Server) Handler() http.Handler {
	mux := http.NewServeMux()
	for path, f := range map[string]apiFunc{
		"query": s.apiQuery, "query_range": s.apiQueryRange, "series": s.apiSeries, "labels": s.apiLabels,
	} {
		mux.Handle("GET /api/v1/"+path, s.api(f))
		mux.Handle("POST /api/v1/"+path, s.api(f))
	}
	mux.Handle("GET /api/v1/label/{name}/values", s.api(s.apiLabelValues))
	mux.Handle("GET /api/v1/targets", s.api(s.apiTargets))
	mux.HandleFunc("GET /targets", s.targetsPage)
	return mux
}

// apiFunc answers a request with data for the envelope.
type apiFunc func(ctx context.Context, r *http.Request) (data any, warnings annotations.Annotations, err error)

// badData is an error in a request's parameters.
type badData struct{ error }

func badParam(name string, err error) error {
	return badData{fmt.Errorf("invalid parameter %q: %w", name, err)}
}

// errBusy says that no query slot became free in time.
var errBusy = errors.New("too many queries are running; try again later")

// response is the envelope of every answer.
type response struct {
	Status    string   `json:"status"`
	Data      any      `json:"data,omitempty"`
	ErrorType string   `json:"errorType,omitempty"`
	Error     string   `json:"error,omitempty"`
	Warnings  []string `json:"warnings,omitempty"`
	Infos     []string `json:"infos,omitempty"`
}

// queryData is the data of a query's answer.
type queryData struct {
	ResultType string `json:"resultType"`
	Result     any    `json:"result"`
}

func (s *Server) api(f apiFunc) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r.Body = http.MaxBytesReader(w, r.Body, maxFormBytes)
		data, warnings, err := s.bounded(f, r)
		if err != nil {
			s.fail(w, err)
			return
		}
		answer := response{Status: "success", Data: data}
		answer.Warnings, answer.Infos = warnings.AsStrings(r.FormValue("query"), maxNotes, maxNotes)
		s.write(w, http.StatusOK, answer)
	})
}

// bounded runs f within the limits of time and number.
func (s *Server) bounded(f apiFunc, r *http.Request) (any, annotations.Annotations, error) {
	if err := r.ParseForm(); err != nil {
		return nil, nil, badData{err}
	}
	if err := s.usable(); err != nil {
		return nil, nil, errBusy
	}
	timeout := s.opts.QueryTimeout
	if text := r.FormValue("timeout"); text != "" {
		d, err := parseDuration(text)
		if err != nil || d <= 0 {
			return nil, nil, badParam("timeout", fmt.Errorf("%q is not a duration above zero", text))
		}
		timeout = min(timeout, d)
	}
	ctx, cancel := context.WithTimeout(r.Context(), timeout)
	defer cancel()
	select {
	case s.slots <- struct{}{}:
		defer func() { <-s.slots }()
	case <-ctx.Done():
		return nil, nil, errBusy
	}
	return f(ctx, r)
}

// fail writes an error with the status and type that Prometheus gives it.
func (s *Server) fail(w http.ResponseWriter, err error) {
	var timeout promql.ErrQueryTimeout
	var canceled promql.ErrQueryCanceled
	var store promql.ErrStorage
	var bad badData
	code, kind := http.StatusUnprocessableEntity, "execution"
	switch {
	case errors.As(err, &bad):
		code, kind = http.StatusBadRequest, "bad_data"
	case errors.Is(err, errBusy):
		code, kind = http.StatusServiceUnavailable, "unavailable"
		w.Header().Set("Retry-After", "1")
	case errors.As(err, &timeout), errors.Is(err, context.DeadlineExceeded):
		code, kind = http.StatusServiceUnavailable, "timeout"
	case errors.As(err, &canceled), errors.Is(err, context.Canceled):
		code, kind = 499, "canceled"
	case errors.As(err, &store):
		code, kind = http.StatusInternalServerError, "internal"
	}
	s.write(w, code, response{Status: "error", ErrorType: kind, Error: err.Error()})
}

func (s *Server) write(w http.ResponseWriter, code int, v response) {
	b, err := json.Marshal(v)
	if err != nil {
		s.log.Error("an answer could not be written as JSON", "err", err)
		http.Error(w, "internal error", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	_, _ = w.Write(b) // the client has gone
}

func (s *Server) apiQuery(ctx context.Context, r *http.Request) (any, annotations.Annotations, error) {
	at, err := timeParam(r, "time", time.Now())
	if err != nil {
		return nil, nil, err
	}
	q, err := s.engine.NewInstantQuery(ctx, s.db, nil, r.FormValue("query"), at)
	if err != nil {
		return nil, nil, badParam("query", err)
	}
	return evaluate(ctx, q)
}

func (s *Server) apiQueryRange(ctx context.Context, r *http.Request) (any, annotations.Annotations, error) {
	start, err := timeParam(r, "start", time.Time{})
	if err != nil {
		return nil, nil, err
	}
	end, err := timeParam(r, "end", time.Time{})
	if err != nil {
		return nil, nil, err
	}
	step, err := parseDuration(r.FormValue("step"))
	switch {
	case err != nil:
		return nil, nil, badParam("step", err)
	case step < time.Millisecond:
		return nil, nil, badParam("step", errors.New("must be a millisecond or more"))
	case end.Before(start):
		return nil, nil, badParam("end", errors.New("must not be before start"))
	case end.Sub(start)/step > maxPoints:
		return nil, nil, badParam("step", fmt.Errorf("gives more than %d points for each series; use a longer one", maxPoints))
	}
	q, err := s.engine.NewRangeQuery(ctx, s.db, nil, r.FormValue("query"), start, end, step)
	if err != nil {
		return nil, nil, badParam("query", err)
	}
	return evaluate(ctx, q)
}

// evaluate runs q. The result is written as JSON at once, because closing the
// query takes its memory back.
func evaluate(ctx context.Context, q promql.Query) (any, annotations.Annotations, error) {
	defer q.Close()
	r := q.Exec(ctx)
	if r.Err != nil {
		return nil, nil, r.Err
	}
	data := queryData{ResultType: string(r.Value.Type()), Result: r.Value}
	switch v := r.Value.(type) { // an empty list is [], never null
	case promql.Vector:
		if v == nil {
			data.Result = promql.Vector{}
		}
	case promql.Matrix:
		if v == nil {
			data.Result = promql.Matrix{}
		}
	}
	b, err := json.Marshal(data)
	return json.RawMessage(b), r.Warnings, err
}

// selection is what the endpoints that list things have in common.
type selection struct {
	matchers [][]*labels.Matcher
	querier  storage.Querier
	hints    storage.SelectHints
	limit    int
}

// selectionOf reads match[], start, end and limit. Its querier is to be closed.
func (s *Server) selectionOf(r *http.Request) (sel selection, err error) {
	if sel.matchers, err = s.parser.ParseMetricSelectors(r.Form["match[]"]); err != nil {
		return sel, badParam("match[]", err)
	}
	start, err := timeParam(r, "start", time.Now().Add(-s.opts.Retention))
	if err != nil {
		return sel, err
	}
	end, err := timeParam(r, "end", time.Now())
	if err != nil {
		return sel, err
	}
	sel.limit = maxListResult
	if text := r.FormValue("limit"); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil || n < 0 {
			return sel, badParam("limit", fmt.Errorf("%q is not a number from 0", text))
		}
		if n > 0 {
			sel.limit = min(n, maxListResult)
		}
	}
	sel.hints = storage.SelectHints{Start: start.UnixMilli(), End: end.UnixMilli(), Func: "series", Limit: sel.limit + 1}
	sel.querier, err = s.db.Querier(sel.hints.Start, sel.hints.End)
	return sel, err
}

// cut shortens a list to the limit, with a warning.
func cut[T any](list []T, limit int, ws annotations.Annotations) ([]T, annotations.Annotations) {
	if len(list) <= limit {
		return list, ws
	}
	ws.Add(fmt.Errorf("%w: results truncated to %d", annotations.PromQLWarning, limit))
	return list[:limit], ws
}

func (s *Server) apiSeries(ctx context.Context, r *http.Request) (any, annotations.Annotations, error) {
	if len(r.Form["match[]"]) == 0 {
		return nil, nil, badData{errors.New("no match[] parameter provided")}
	}
	sel, err := s.selectionOf(r)
	if err != nil {
		return nil, nil, err
	}
	defer sel.querier.Close()
	list := []labels.Labels{}
	seen := map[uint64]bool{}
	ws := annotations.New()
	for _, ms := range sel.matchers {
		set := sel.querier.Select(ctx, false, &sel.hints, ms...)
		for set.Next() && len(list) <= sel.limit {
			ls := set.At().Labels()
			if h := ls.Hash(); !seen[h] {
				seen[h] = true
				list = append(list, ls.Copy()) // it lives as long as the querier
			}
		}
		if err := set.Err(); err != nil {
			return nil, nil, err
		}
		ws.Merge(set.Warnings())
	}
	sort.Slice(list, func(i, j int) bool { return labels.Compare(list[i], list[j]) < 0 })
	list, warnings := cut(list, sel.limit, *ws)
	return list, warnings, nil
}

func (s *Server) apiLabels(ctx context.Context, r *http.Request) (any, annotations.Annotations, error) {
	return s.listLabels(r, func(sel selection, ms []*labels.Matcher) ([]string, annotations.Annotations, error) {
		return sel.querier.LabelNames(ctx, &storage.LabelHints{Limit: sel.hints.Limit}, ms...)
	})
}

func (s *Server) apiLabelValues(ctx context.Context, r *http.Request) (any, annotations.Annotations, error) {
	name := r.PathValue("name")
	if !model.UTF8Validation.IsValidLabelName(name) {
		return nil, nil, badData{fmt.Errorf("invalid label name: %q", name)}
	}
	return s.listLabels(r, func(sel selection, ms []*labels.Matcher) ([]string, annotations.Annotations, error) {
		return sel.querier.LabelValues(ctx, name, &storage.LabelHints{Limit: sel.hints.Limit}, ms...)
	})
}

// listLabels joins what list gives for each selector, sorted.
func (s *Server) listLabels(r *http.Request, list func(selection, []*labels.Matcher) ([]string, annotations.Annotations, error)) (any, annotations.Annotations, error) {
	sel, err := s.selectionOf(r)
	if err != nil {
		return nil, nil, err
	}
	defer sel.querier.Close()
	if len(sel.matchers) == 0 {
		sel.matchers = append(sel.matchers, nil)
	}
	seen := map[string]bool{}
	ws := annotations.New()
	for _, ms := range sel.matchers {
		values, w, err := list(sel, ms)
		if err != nil {
			return nil, nil, err
		}
		ws.Merge(w)
		for _, v := range values {
			seen[strings.Clone(v)] = true // v lives as long as the querier
		}
	}
	names := make([]string, 0, len(seen))
	for v := range seen {
		names = append(names, v)
	}
	sort.Strings(names)
	names, warnings := cut(names, sel.limit, *ws)
	return names, warnings, nil
}

func timeParam(r *http.Request, name string, def time.Time) (time.Time, error) {
	text := r.FormValue(name)
	if text == "" && !def.IsZero() {
		return def, nil
	}
	if f, err := strconv.ParseFloat(text, 64); err == nil && math.Abs(f) < 1e11 {
		return time.UnixMilli(int64(math.Round(f * 1000))).UTC(), nil
	}
	if t, err := time.Parse(time.RFC3339Nano, text); err == nil {
		return t, nil
	}
	return time.Time{}, badParam(name, fmt.Errorf("cannot parse %q to a valid timestamp", text))
}

func parseDuration(text string) (time.Duration, error) {
	if f, err := strconv.ParseFloat(text, 64); err == nil && math.Abs(f) < 1e9 {
		return time.Duration(f * float64(time.Second)), nil
	}
	if d, err := model.ParseDuration(text); err == nil {
		return time.Duration(d), nil
	}
	return 0, fmt.Errorf("cannot parse %q to a valid duration", text)
}
