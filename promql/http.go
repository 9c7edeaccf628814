package promql

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/fairwaycd/fairway"
	"github.com/fairwaycd/fairway/internal/outbound"
)

// HTTPOptions configure [NewHTTP].
type HTTPOptions struct {
	// Connection says where the API is and with which credentials it is asked.
	// Its URL is the API's base, e.g. http://prometheus-service.monitoring:8080
	// or https://metrics.example.com/prometheus.
	Connection fairway.Connection
	// URL is Connection's, for a server that asks for nothing else.
	URL string
	// Limits bound time and memory of each query.
	Limits outbound.Options
}

// HTTP asks any server that speaks Prometheus' HTTP API: Prometheus, Thanos,
// Mimir, Cortex, VictoriaMetrics.
type HTTP struct {
	client  *outbound.Client
	timeout time.Duration
}

var (
	_ Querier = (*HTTP)(nil)
	_ Ranger  = (*HTTP)(nil)
)

// queryPath is the instant query's, rangePath the range query's.
const (
	queryPath = "api/v1/query"
	rangePath = "api/v1/query_range"
)

// NewHTTP returns a querier for a Prometheus API. It does not contact the
// server. A connection that cannot work is an error of [fairway.KindInvalid].
func NewHTTP(o HTTPOptions) (*HTTP, error) {
	if o.URL != "" {
		o.Connection.URL = o.URL
	}
	o.Connection.Kind = fairway.KindPrometheus
	client, err := outbound.New(o.Connection, o.Limits)
	if err != nil {
		return nil, err
	}
	h := &HTTP{client: client, timeout: o.Limits.Timeout}
	if h.timeout <= 0 {
		h.timeout = 10 * time.Second
	}
	return h, nil
}

// Close gives idle connections back.
func (h *HTTP) Close() { h.client.Close() }

// Instant implements [Querier]. A server that is down, busy or slow is asked
// again a few times, and then the error is retryable and of
// [fairway.KindUnavailable].
func (h *HTTP) Instant(ctx context.Context, query string, at time.Time) ([]fairway.Sample, []string, error) {
	form := url.Values{"query": {query}, "timeout": {h.timeout.String()}}
	if !at.IsZero() {
		form.Set("time", seconds(at))
	}
	body, err := h.ask(ctx, queryPath, query, form)
	if err != nil {
		return nil, nil, err
	}
	return decode(query, body)
}

// Range implements [Ranger].
func (h *HTTP) Range(ctx context.Context, query string, start, end time.Time, step time.Duration) ([]fairway.Sample, error) {
	body, err := h.ask(ctx, rangePath, query, url.Values{
		"query": {query}, "timeout": {h.timeout.String()}, "start": {seconds(start)}, "end": {seconds(end)}, "step": {strconv.FormatFloat(step.Seconds(), 'f', 3, 64)},
	})
	if err != nil {
		return nil, err
	}
	var e envelope
	if err := json.Unmarshal(body, &e); err != nil || e.Status != "success" || e.Data.ResultType != "matrix" {
		return nil, fairway.Errorf(fairway.KindRefused, "the answer to the query %q is not that of a Prometheus API to a range query", query)
	}
	samples, err := matrix(e.Data.Result)
	if err != nil {
		return nil, fairway.Errorf(fairway.KindRefused, "the answer to the query %q cannot be read: %w", query, err)
	}
	return samples, nil
}

// ask returns the body of a good answer.
func (h *HTTP) ask(ctx context.Context, path, query string, form url.Values) ([]byte, error) {
	answer, err := h.client.Do(ctx, outbound.Request{
		Method: http.MethodPost, Path: path, Body: []byte(form.Encode()), Type: "application/x-www-form-urlencoded",
	})
	switch {
	case fairway.IsRetryable(err):
		return nil, fairway.Retryable(fairway.Errorf(fairway.KindUnavailable, "Prometheus did not answer the query %q: %w", query, err))
	case err != nil:
		return nil, fairway.Errorf(fairway.KindOf(err), "Prometheus did not answer the query %q: %w", query, err)
	case answer.Status/100 != 2:
		return nil, h.refusal(query, answer)
	}
	return answer.Body, nil
}

// refusal turns an answer with an error status into an error.
func (h *HTTP) refusal(query string, answer outbound.Answer) error {
	said := answer.Said()
	var e envelope
	if json.Unmarshal(answer.Body, &e) == nil && e.Error != "" {
		said = e.ErrorType + ": " + e.Error
	}
	code := answer.Status
	text := fmt.Sprintf("%s answered the query %q with %d %s: %s", h.client.URL(queryPath), query, code, http.StatusText(code), said)
	switch {
	case code == http.StatusBadRequest || code == http.StatusUnprocessableEntity:
		return fairway.Invalid("query", query, "was refused by Prometheus: "+said, "correct the query")
	case code == http.StatusUnauthorized || code == http.StatusForbidden:
		return fairway.Errorf(fairway.KindUnauthorized, "%s; check the credentials for this Prometheus: fairway configure monitoring prometheus", text)
	case code/100 == 3:
		return fairway.Errorf(fairway.KindRefused, "%s; it leads elsewhere, as to a login page: give the API's own address and credentials", text)
	}
	return fairway.Errorf(fairway.KindRefused, "%s; check that the URL is the base of a Prometheus API", text)
}

// envelope is the outer form of every answer of the API.
type envelope struct {
	Status string `json:"status"`
	Data   struct {
		ResultType string          `json:"resultType"`
		Result     json.RawMessage `json:"result"`
	} `json:"data"`
	ErrorType string   `json:"errorType"`
	Error     string   `json:"error"`
	Warnings  []string `json:"warnings"`
}

// point is [seconds, "value"].
type point struct {
	at    time.Time
	value float64
}

// UnmarshalJSON reads the API's pair of a number and a text.
func (p *point) UnmarshalJSON(b []byte) error {
	var pair []json.RawMessage
	if err := json.Unmarshal(b, &pair); err != nil {
		return err
	}
	if len(pair) != 2 {
		return fmt.Errorf("%d values where a time and a value should be", len(pair))
	}
	var at float64
	var text string
	if err := errors.Join(json.Unmarshal(pair[0], &at), json.Unmarshal(pair[1], &text)); err != nil {
		return err
	}
	value, err := strconv.ParseFloat(text, 64)
	if err != nil && !errors.Is(err, strconv.ErrRange) {
		return err
	}
	p.at, p.value = time.UnixMilli(int64(at*1000+0.5)).UTC(), value
	return nil
}

// decode reads the answer to an instant query.
func decode(query string, body []byte) ([]fairway.Sample, []string, error) {
	var e envelope
	if err := json.Unmarshal(body, &e); err != nil || e.Status == "" {
		return nil, nil, fairway.Errorf(fairway.KindRefused, "the answer to the query %q is not that of a Prometheus API; check its URL", query)
	}
	if e.Status != "success" {
		return nil, nil, fairway.Invalid("query", query, "was refused by Prometheus: "+e.ErrorType+": "+e.Error, "correct the query")
	}
	var samples []fairway.Sample
	var err error
	switch e.Data.ResultType {
	case "scalar":
		var p point
		err = json.Unmarshal(e.Data.Result, &p)
		samples = []fairway.Sample{fairway.NewSample("{}", p.at, p.value)}
	case "vector":
		samples, err = vector(e.Data.Result)
	default:
		return nil, nil, fairway.Invalid("query", query, "answers a "+e.Data.ResultType+", not numbers", "write a query that answers an instant vector or a scalar")
	}
	if err != nil {
		return nil, nil, fairway.Errorf(fairway.KindRefused, "the answer to the query %q cannot be read: %w", query, err)
	}
	return samples, e.Warnings, nil
}

func vector(raw json.RawMessage) ([]fairway.Sample, error) {
	var series []struct {
		Metric    map[string]string `json:"metric"`
		Value     *point            `json:"value"`
		Histogram json.RawMessage   `json:"histogram"`
	}
	if err := json.Unmarshal(raw, &series); err != nil {
		return nil, err
	}
	var samples []fairway.Sample
	for _, s := range series {
		if s.Value == nil {
			return nil, errors.New("a series has a histogram where a number should be; use histogram_quantile, histogram_sum or histogram_count")
		}
		key, err := keyOf(s.Metric)
		if err != nil {
			return nil, err
		}
		samples = append(samples, fairway.NewSample(key, s.Value.at, s.Value.value))
	}
	return samples, nil
}

func matrix(raw json.RawMessage) ([]fairway.Sample, error) {
	var series []struct {
		Metric map[string]string `json:"metric"`
		Values []point           `json:"values"`
	}
	if err := json.Unmarshal(raw, &series); err != nil {
		return nil, err
	}
	var samples []fairway.Sample
	for _, s := range series {
		key, err := keyOf(s.Metric)
		if err != nil {
			return nil, err
		}
		for _, p := range s.Values {
			samples = append(samples, fairway.NewSample(key, p.at, p.value))
		}
	}
	return samples, nil
}

func keyOf(metric map[string]string) (string, error) {
	if len(metric) == 0 {
		return "{}", nil
	}
	text, err := json.Marshal(metric)
	return string(text), err
}

// seconds prints a time as the API reads it, with milliseconds.
func seconds(t time.Time) string {
	return strconv.FormatFloat(float64(t.UnixMilli())/1000, 'f', 3, 64)
}
