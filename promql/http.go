package promql

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/fairwaycd/fairway"
)

// HTTPOptions configure [NewHTTP].
type HTTPOptions struct {
	// URL is the API's base, e.g. http://prometheus-service.monitoring:8080 or
	// https://metrics.example.com/prometheus. Required.
	URL string
	// Timeout bounds one attempt. Default 10 s.
	Timeout time.Duration
	// Retries is how often a query is asked again when the server is busy,
	// broken or cannot be reached. Default 3; negative means never.
	Retries int
	// Backoff is the longest wait before the first retry; it doubles with
	// each, and the wait is a random part of it. A Retry-After of the server
	// is heeded up to ten times Timeout. Default 250 ms.
	Backoff time.Duration
	// MaxBody bounds an answer in bytes. Default 4 MiB.
	MaxBody int64
	// Header is sent with every request, e.g. Authorization.
	Header http.Header
	// Client sends the requests. Default: one with a transport of its own.
	Client *http.Client
}

// HTTP asks any server that speaks Prometheus' HTTP API.
type HTTP struct {
	options HTTPOptions
	query   string // URL of the instant query
}

var _ Querier = (*HTTP)(nil)

// NewHTTP returns a querier for a Prometheus API. It does not contact the
// server. A base that is no http or https URL is an error of
// [fairway.KindInvalid].
func NewHTTP(o HTTPOptions) (*HTTP, error) {
	u, err := url.Parse(o.URL)
	if err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" {
		return nil, fairway.Invalid("prometheus", o.URL, "is not an http or https URL", "write the API's base, e.g. http://prometheus:9090")
	}
	if o.Timeout <= 0 {
		o.Timeout = 10 * time.Second
	}
	switch {
	case o.Retries == 0:
		o.Retries = 3
	case o.Retries < 0:
		o.Retries = 0
	}
	if o.Backoff <= 0 {
		o.Backoff = 250 * time.Millisecond
	}
	if o.MaxBody <= 0 {
		o.MaxBody = 4 << 20
	}
	if o.Client == nil {
		o.Client = &http.Client{Transport: http.DefaultTransport.(*http.Transport).Clone()}
	}
	return &HTTP{options: o, query: u.JoinPath("api/v1/query").String()}, nil
}

// Instant implements [Querier]. A server that is down, busy or slow is asked
// again a few times, and then the error is retryable and of
// [fairway.KindUnavailable].
func (h *HTTP) Instant(ctx context.Context, query string, at time.Time) ([]fairway.Sample, []string, error) {
	backoff := h.options.Backoff
	for attempt := 0; ; attempt++ {
		samples, notes, err := h.attempt(ctx, query, at)
		if err == nil || !fairway.IsRetryable(err) || attempt == h.options.Retries || ctx.Err() != nil {
			return samples, notes, err
		}
		wait := time.Duration(rand.Int64N(int64(backoff)) + 1)
		var b *busyError
		if errors.As(err, &b) && b.after > wait {
			wait = min(b.after, 10*h.options.Timeout)
		}
		backoff *= 2
		timer := time.NewTimer(wait)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return nil, nil, err
		}
	}
}

// busyError is an answer that says when to come back.
type busyError struct {
	text  string
	after time.Duration
}

func (e *busyError) Error() string { return e.text }

func (h *HTTP) attempt(ctx context.Context, query string, at time.Time) ([]fairway.Sample, []string, error) {
	ctx, cancel := context.WithTimeout(ctx, h.options.Timeout)
	defer cancel()
	form := url.Values{"query": {query}, "time": {seconds(at)}, "timeout": {h.options.Timeout.String()}}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, h.query, strings.NewReader(form.Encode()))
	if err != nil {
		return nil, nil, fairway.Errorf(fairway.KindInternal, "ask %s: %w", h.query, err)
	}
	for k, v := range h.options.Header {
		r.Header[k] = v
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	response, err := h.options.Client.Do(r)
	if err != nil {
		return nil, nil, h.unavailable(query, err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(io.LimitReader(response.Body, h.options.MaxBody+1))
	if err != nil {
		return nil, nil, h.unavailable(query, err)
	}
	if int64(len(body)) > h.options.MaxBody {
		return nil, nil, fairway.Invalid("query", query, fmt.Sprintf("is answered by more than %d bytes", h.options.MaxBody), "aggregate, so that the answer has fewer series")
	}
	if response.StatusCode/100 != 2 {
		return nil, nil, h.refusal(query, response, body)
	}
	return decode(query, body)
}

func (h *HTTP) unavailable(query string, err error) error {
	return fairway.Retryable(fairway.Errorf(fairway.KindUnavailable, "Prometheus did not answer the query %q; see that it runs and can be reached: %w", query, err))
}

// refusal turns an answer with an error status into an error.
func (h *HTTP) refusal(query string, response *http.Response, body []byte) error {
	said := strings.TrimSpace(string(body[:min(len(body), 300)]))
	var e envelope
	if json.Unmarshal(body, &e) == nil && e.Error != "" {
		said = e.ErrorType + ": " + e.Error
	}
	code := response.StatusCode
	text := fmt.Sprintf("%s answered the query %q with %s: %s", h.query, query, response.Status, said)
	switch {
	case code == http.StatusTooManyRequests || code >= 500:
		after, _ := strconv.Atoi(response.Header.Get("Retry-After"))
		return fairway.Retryable(fairway.Errorf(fairway.KindUnavailable, "%w", &busyError{text: text, after: time.Duration(after) * time.Second}))
	case code == http.StatusBadRequest || code == http.StatusUnprocessableEntity:
		return fairway.Invalid("query", query, "was refused by Prometheus: "+said, "correct the query")
	case code == http.StatusUnauthorized || code == http.StatusForbidden:
		return fairway.Errorf(fairway.KindUnauthorized, "%s; check the credentials for this Prometheus", text)
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
		key := "{}"
		if len(s.Metric) > 0 {
			text, err := json.Marshal(s.Metric)
			if err != nil {
				return nil, err
			}
			key = string(text)
		}
		samples = append(samples, fairway.NewSample(key, s.Value.at, s.Value.value))
	}
	return samples, nil
}

// seconds prints a time as the API reads it, with milliseconds.
func seconds(t time.Time) string {
	return strconv.FormatFloat(float64(t.UnixMilli())/1000, 'f', 3, 64)
}
