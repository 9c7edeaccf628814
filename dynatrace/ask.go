package dynatrace

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/fairwaycd/fairway"
	"github.com/fairwaycd/fairway/internal/outbound"
)

const (
	pathV1 = "api/v1/timeseries/"
	pathV2 = "api/v2/metrics/query"
	// maxSeries and maxPages bound what one query may answer in all.
	maxSeries = 10_000
	maxPages  = 50
)

// series are the values of one entity, or one combination of dimensions.
type series struct {
	key    string
	points []point
}

// point is the value of a span of time that ends at end.
type point struct {
	end   time.Time
	value float64
}

// data are what a query answered.
type data struct {
	series []series
	unit   string // as reported; v2 reports none
	notes  []string
}

// newest returns the end of the latest span that has a value.
func (d data) newest() (at time.Time) {
	for _, s := range d.series {
		for _, p := range s.points {
			if p.end.After(at) {
				at = p.end
			}
		}
	}
	return at
}

// ask puts a query to the API: with total for one value over the window, else
// for one each minute.
func (s *Source) ask(ctx context.Context, q query, sc scope, w fairway.Window, total bool) (data, error) {
	if q.v1 {
		return s.askV1(ctx, q, sc, w, total)
	}
	return s.askV2(ctx, q, sc, w, total)
}

func (s *Source) askV1(ctx context.Context, q query, sc scope, w fairway.Window, total bool) (data, error) {
	mode := "SERIES"
	if total {
		mode = "TOTAL"
	}
	body, err := json.Marshal(struct {
		TimeseriesID    string   `json:"timeseriesId"`
		AggregationType string   `json:"aggregationType"`
		Percentile      int      `json:"percentile,omitempty"`
		Start           int64    `json:"startTimestamp"`
		End             int64    `json:"endTimestamp"`
		QueryMode       string   `json:"queryMode"`
		Entities        []string `json:"entities,omitempty"`
		Tags            []string `json:"tags,omitempty"`
	}{q.metric, q.aggregation, q.percentile, w.Start.UnixMilli(), w.End.UnixMilli(), mode, sc.entities, sc.tags})
	if err != nil {
		return data{}, fairway.Errorf(fairway.KindInternal, "write the query of %s: %w", q.metric, err)
	}
	answer, err := s.client.Do(ctx, outbound.Request{Method: http.MethodPost, Path: pathV1 + url.PathEscape(q.metric), Body: body, Type: "application/json"})
	if err != nil {
		return data{}, s.failed(q, err)
	}
	if answer.Status != http.StatusOK {
		return data{}, s.refusal(q, answer)
	}
	return decodeV1(q, answer.Body)
}

func decodeV1(q query, body []byte) (data, error) {
	type result struct {
		DataPoints map[string][][]*float64 `json:"dataPoints"`
		Unit       string                  `json:"unit"`
		Resolution int64                   `json:"resolutionInMillisUTC"`
	}
	var a struct {
		Result     *result `json:"result"`     // of POST
		DataResult *result `json:"dataResult"` // of GET
	}
	err := json.Unmarshal(body, &a)
	if a.Result == nil {
		a.Result = a.DataResult
	}
	if err != nil || a.Result == nil {
		return data{}, stranger(q)
	}
	if len(a.Result.DataPoints) > maxSeries {
		return data{}, tooMany(q)
	}
	d := data{unit: a.Result.Unit}
	span := time.Duration(a.Result.Resolution) * time.Millisecond
	for _, key := range slices.Sorted(maps.Keys(a.Result.DataPoints)) {
		one := series{key: key}
		for _, p := range a.Result.DataPoints[key] {
			if len(p) < 2 || p[0] == nil || p[1] == nil {
				continue // a span without a value
			}
			one.points = append(one.points, point{time.UnixMilli(int64(*p[0])).Add(span).UTC(), *p[1]})
		}
		if len(one.points) > 0 {
			d.series = append(d.series, one)
		}
	}
	return d, nil
}

func (s *Source) askV2(ctx context.Context, q query, sc scope, w fairway.Window, total bool) (data, error) {
	resolution := "1m"
	if total {
		resolution = "Inf"
	}
	params := url.Values{"metricSelector": {q.metric}, "from": {millis(w.Start)}, "to": {millis(w.End)}, "resolution": {resolution}}
	if sc.selector != "" {
		params.Set("entitySelector", sc.selector)
	}
	var all data
	for range maxPages {
		answer, err := s.client.Do(ctx, outbound.Request{Path: pathV2, Query: params})
		if err != nil {
			return data{}, s.failed(q, err)
		}
		if answer.Status != http.StatusOK {
			return data{}, s.refusal(q, answer)
		}
		d, next, err := decodeV2(q, answer.Body)
		if err != nil {
			return data{}, err
		}
		all.series = append(all.series, d.series...)
		all.notes = append(all.notes, d.notes...)
		if len(all.series) > maxSeries {
			return data{}, tooMany(q)
		}
		if next == "" {
			return all, nil
		}
		params = url.Values{"nextPageKey": {next}} // it stands for all others
	}
	return data{}, tooMany(q)
}

func decodeV2(q query, body []byte) (d data, next string, err error) {
	var a struct {
		NextPageKey string   `json:"nextPageKey"`
		Warnings    []string `json:"warnings"`
		Result      *[]struct {
			MetricID string   `json:"metricId"`
			Warnings []string `json:"warnings"`
			Data     []struct {
				Dimensions   []string          `json:"dimensions"`
				DimensionMap map[string]string `json:"dimensionMap"`
				Timestamps   []int64           `json:"timestamps"`
				Values       []*float64        `json:"values"`
			} `json:"data"`
		} `json:"result"`
	}
	if err := json.Unmarshal(body, &a); err != nil || a.Result == nil {
		return data{}, "", stranger(q)
	}
	d.notes = a.Warnings
	for _, r := range *a.Result {
		d.notes = append(d.notes, r.Warnings...)
		for _, one := range r.Data {
			if len(one.Timestamps) != len(one.Values) {
				return data{}, "", stranger(q)
			}
			s := series{key: key(one.Dimensions, one.DimensionMap)}
			if len(*a.Result) > 1 {
				s.key = r.MetricID + " " + s.key
			}
			for i, v := range one.Values {
				if v != nil {
					s.points = append(s.points, point{time.UnixMilli(one.Timestamps[i]).UTC(), *v})
				}
			}
			if len(s.points) > 0 {
				d.series = append(d.series, s)
			}
		}
	}
	return d, a.NextPageKey, nil
}

// key names a series: by its only dimension, which is mostly an entity, or by
// all of them.
func key(dimensions []string, named map[string]string) string {
	switch {
	case len(dimensions) == 1:
		return dimensions[0]
	case len(named) > 0:
		if text, err := json.Marshal(named); err == nil {
			return string(text)
		}
	case len(dimensions) > 0:
		return strings.Join(dimensions, ", ")
	}
	return "{}"
}

func millis(t time.Time) string { return strconv.FormatInt(t.UnixMilli(), 10) }

func stranger(q query) error {
	return fairway.Errorf(fairway.KindRefused, "the answer to the query of %s is not that of Dynatrace's API; check the URL of the environment", q.metric)
}

func tooMany(q query) error {
	return fairway.Errorf(fairway.KindRefused, "the query of %s answers more than %d series; narrow it to the entities that matter", q.metric, maxSeries)
}

func (s *Source) failed(q query, err error) error {
	wrapped := fairway.Errorf(fairway.KindOf(err), "Dynatrace did not answer the query of %s: %w", q.metric, err)
	if fairway.IsRetryable(err) {
		return fairway.Retryable(wrapped)
	}
	return wrapped
}

// noData is a refusal that means: nothing is known yet. The v1 API answers so
// for entities that it has not seen.
type noData struct{ error }

// Unwrap keeps the error's kind.
func (e noData) Unwrap() error { return e.error }

// refusal turns an answer with an error status into an error.
func (s *Source) refusal(q query, a outbound.Answer) error {
	said := saidBy(a)
	scope := "metrics.read"
	if q.v1 {
		scope = "DataExport"
	}
	switch {
	case a.Status == http.StatusUnauthorized:
		return fairway.Errorf(fairway.KindUnauthorized, "Dynatrace does not take the token (401: %s); give a valid one that has the scope %s: fairway configure monitoring dynatrace", said, scope)
	case a.Status == http.StatusForbidden:
		return fairway.Errorf(fairway.KindUnauthorized, "the Dynatrace token lacks the scope %s (403: %s); add it, or give another token: fairway configure monitoring dynatrace", scope, said)
	case a.Status == http.StatusNotFound:
		return fairway.Invalid("query", q.metric, "is not known to Dynatrace: "+said, "correct the metric's name; case matters")
	case a.Status == http.StatusBadRequest:
		err := fairway.Invalid("query", q.metric, "was refused by Dynatrace: "+said, "correct the query")
		if text := strings.ToLower(said); q.v1 && (strings.Contains(text, "entit") || strings.Contains(text, "tag")) {
			return noData{err}
		}
		return err
	}
	return fairway.Errorf(fairway.KindRefused, "%s answered %d %s: %s; check that the URL is that of a Dynatrace environment", s.client.URL(""), a.Status, http.StatusText(a.Status), said)
}

// saidBy returns the message of Dynatrace's error envelope, or the answer's
// beginning.
func saidBy(a outbound.Answer) string {
	var e struct {
		Error struct {
			Message    string `json:"message"`
			Violations []struct {
				Path    string `json:"path"`
				Message string `json:"message"`
			} `json:"constraintViolations"`
		} `json:"error"`
	}
	if json.Unmarshal(a.Body, &e) != nil || e.Error.Message == "" {
		return a.Said()
	}
	text := e.Error.Message
	for _, v := range e.Error.Violations[:min(len(e.Error.Violations), 3)] {
		text += fmt.Sprintf("; %s: %s", v.Path, v.Message)
	}
	return outbound.Answer{Body: []byte(text)}.Said()
}
