// Package outbound asks monitoring systems of others over HTTP: with their
// credentials and certificates, within bounded time and memory, again when
// they are busy, and without a word of the credentials in any answer or error.
package outbound

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/fairwaycd/fairway"
)

// Options bound what a [Client] does. The zero value means the defaults.
type Options struct {
	// Timeout bounds one attempt, the reading of its answer included. Default 10 s.
	Timeout time.Duration
	// Retries is how often a request is sent again when the server is busy,
	// broken or cannot be reached. Default 3; negative means never.
	Retries int
	// Backoff is the longest wait before the first retry; it doubles with
	// each, and the wait is a random part of it. Default 250 ms.
	Backoff time.Duration
	// MaxWait is the longest Retry-After of the server that is heeded; a longer
	// one is cut to it. Default 1 min.
	MaxWait time.Duration
	// MaxBody bounds an answer in bytes, after decompression. Default 4 MiB.
	MaxBody int64
	// Transport, when set, carries the requests of connections without
	// certificates of their own.
	Transport http.RoundTripper
	// Scheme is the word before the token in the Authorization header. Default Bearer.
	Scheme string
}

func (o Options) withDefaults() Options {
	switch {
	case o.Retries == 0:
		o.Retries = 3
	case o.Retries < 0:
		o.Retries = 0
	}
	for _, d := range []struct {
		v   *time.Duration
		def time.Duration
	}{{&o.Timeout, 10 * time.Second}, {&o.Backoff, 250 * time.Millisecond}, {&o.MaxWait, time.Minute}} {
		if *d.v <= 0 {
			*d.v = d.def
		}
	}
	if o.MaxBody <= 0 {
		o.MaxBody = 4 << 20
	}
	if o.Scheme == "" {
		o.Scheme = "Bearer"
	}
	return o
}

// Client asks one server. It is safe for concurrent use.
type Client struct {
	o       Options
	base    *url.URL
	header  http.Header
	http    *http.Client
	secrets [][]byte // longest first
}

// New returns a client for the connection. It does not contact the server. A
// connection that cannot work is an error of [fairway.KindInvalid] that lists
// everything that is wrong.
func New(c fairway.Connection, o Options) (*Client, error) {
	if err := c.Validate(); err != nil {
		return nil, err
	}
	base, err := url.Parse(c.URL)
	if err != nil {
		return nil, fairway.Invalid("url", "", "cannot be read", "write the base of the API")
	}
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.MaxIdleConnsPerHost = 8
	if transport.TLSClientConfig, err = tlsConfig(c); err != nil {
		return nil, err
	}
	var carrier http.RoundTripper = transport
	if o.Transport != nil && c.CA == "" && c.Cert == "" {
		carrier = o.Transport
	}
	client := &Client{o: o.withDefaults(), base: base, header: http.Header{}, http: &http.Client{
		Transport: carrier,
		// A redirect leads to a login page or another host, which must not
		// get the credentials.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
	for name, v := range c.Headers {
		client.header.Set(name, string(v))
	}
	if c.Tenant != "" {
		client.header.Set("X-Scope-OrgID", c.Tenant)
	}
	hide := c.Secrets()
	switch {
	case c.Token != "":
		client.header.Set("Authorization", client.o.Scheme+" "+string(c.Token))
	case c.Username != "":
		pair := base64.StdEncoding.EncodeToString([]byte(c.Username + ":" + string(c.Password)))
		client.header.Set("Authorization", "Basic "+pair)
		hide = append(hide, pair)
	}
	for _, s := range hide {
		client.secrets = append(client.secrets, []byte(s))
	}
	slices.SortFunc(client.secrets, func(a, b []byte) int { return len(b) - len(a) })
	return client, nil
}

func tlsConfig(c fairway.Connection) (*tls.Config, error) {
	config := &tls.Config{MinVersion: tls.VersionTLS12}
	if c.CA != "" {
		config.RootCAs = x509.NewCertPool()
		if !config.RootCAs.AppendCertsFromPEM([]byte(c.CA)) {
			return nil, fairway.Invalid("ca", "", "holds no certificate in PEM form", "give the file of the authority that signed the server's certificate: -----BEGIN CERTIFICATE-----")
		}
	}
	if c.Cert != "" {
		pair, err := tls.X509KeyPair([]byte(c.Cert), []byte(c.Key))
		if err != nil { // its text may not hold a part of the key, and is not needed
			return nil, fairway.Invalid("clientCert", "", "and clientKey are no certificate and its key in PEM form", "give the two files that belong together")
		}
		config.Certificates = []tls.Certificate{pair}
	}
	return config, nil
}

// Close gives idle connections back.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// URL returns the address of a path of the server.
func (c *Client) URL(path string) string { return c.base.JoinPath(path).String() }

// Request is one question.
type Request struct {
	Method string // default GET
	Path   string // below the connection's URL
	Query  url.Values
	Body   []byte
	Type   string // of the body
	Accept string // default application/json
}

// Answer is what a server said. No secret of the connection is in it.
type Answer struct {
	Status int
	Body   []byte
}

// Said returns the beginning of an answer's text, for people.
func (a Answer) Said() string {
	text := strings.Join(strings.Fields(strings.ToValidUTF8(string(a.Body[:min(len(a.Body), 300)]), "")), " ")
	return text
}

// Do sends the request until the server answers with anything but 429 or 5xx,
// or no retry is left. Then the error is retryable and of
// [fairway.KindUnavailable]. An answer that is too long is an error of
// [fairway.KindRefused].
func (c *Client) Do(ctx context.Context, r Request) (Answer, error) {
	backoff := c.o.Backoff
	for attempt := 0; ; attempt++ {
		answer, after, err := c.attempt(ctx, r)
		if err == nil || !fairway.IsRetryable(err) || attempt == c.o.Retries || ctx.Err() != nil {
			return answer, err
		}
		wait := time.Duration(rand.Int64N(int64(backoff)) + 1)
		wait = max(wait, min(after, c.o.MaxWait))
		backoff *= 2
		timer := time.NewTimer(wait)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return answer, err
		}
	}
}

func (c *Client) attempt(ctx context.Context, r Request) (Answer, time.Duration, error) {
	ctx, cancel := context.WithTimeout(ctx, c.o.Timeout)
	defer cancel()
	request, err := c.request(ctx, r)
	if err != nil {
		return Answer{}, 0, err
	}
	response, err := c.http.Do(request)
	if err != nil {
		return Answer{}, 0, c.unavailable(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(io.LimitReader(response.Body, c.o.MaxBody+1))
	if err != nil {
		return Answer{}, 0, c.unavailable(err)
	}
	if int64(len(body)) > c.o.MaxBody {
		return Answer{}, 0, fairway.Errorf(fairway.KindRefused, "%s answers with more than %d bytes; aggregate, so that the answer has fewer series", c.base.Host, c.o.MaxBody)
	}
	answer := Answer{Status: response.StatusCode, Body: c.hide(body)}
	if answer.Status == http.StatusTooManyRequests || answer.Status >= 500 {
		err := fairway.Errorf(fairway.KindUnavailable, "%s answered %s: %s", c.base.Host, http.StatusText(answer.Status), answer.Said())
		return answer, retryAfter(response.Header.Get("Retry-After")), fairway.Retryable(err)
	}
	return answer, 0, nil
}

func (c *Client) request(ctx context.Context, r Request) (*http.Request, error) {
	u := c.base.JoinPath(r.Path)
	u.RawQuery = r.Query.Encode()
	method := r.Method
	if method == "" {
		method = http.MethodGet
	}
	request, err := http.NewRequestWithContext(ctx, method, u.String(), bytes.NewReader(r.Body))
	if err != nil {
		return nil, fairway.Errorf(fairway.KindInternal, "ask %s: %w", c.base.Host, err)
	}
	request.Header = c.header.Clone()
	if r.Type != "" {
		request.Header.Set("Content-Type", r.Type)
	}
	accept := r.Accept
	if accept == "" {
		accept = "application/json"
	}
	request.Header.Set("Accept", accept)
	return request, nil
}

// unavailable explains why there was no answer. The cause is kept as text
// only, without the request's address.
func (c *Client) unavailable(err error) error {
	var u *url.Error
	if errors.As(err, &u) {
		err = u.Err
	}
	hint := "see that it runs and can be reached"
	var unknown x509.UnknownAuthorityError
	var name x509.HostnameError
	switch {
	case errors.As(err, &unknown):
		return fairway.Errorf(fairway.KindUnauthorized, "%s has a certificate of an authority that is not trusted; give the authority's certificate: --ca FILE", c.base.Host)
	case errors.As(err, &name):
		return fairway.Errorf(fairway.KindUnauthorized, "%s shows the certificate of another host: %s", c.base.Host, c.Hide(err.Error()))
	case errors.Is(err, context.DeadlineExceeded):
		hint = fmt.Sprintf("it took longer than %s", c.o.Timeout)
	}
	return fairway.Retryable(fairway.Errorf(fairway.KindUnavailable, "%s did not answer; %s: %s", c.base.Host, hint, c.Hide(err.Error())))
}

// Hide takes the connection's secrets out of a text.
func (c *Client) Hide(text string) string { return string(c.hide([]byte(text))) }

func (c *Client) hide(text []byte) []byte {
	for _, s := range c.secrets {
		// What is shorter than this cannot be told from ordinary text.
		if len(s) >= 4 && bytes.Contains(text, s) {
			text = bytes.ReplaceAll(text, s, []byte("…"))
		}
	}
	return text
}

// retryAfter reads the header in both of its forms.
func retryAfter(text string) time.Duration {
	if seconds, err := strconv.Atoi(text); err == nil {
		return time.Duration(min(max(seconds, 0), 3600)) * time.Second
	}
	if at, err := http.ParseTime(text); err == nil {
		return time.Until(at)
	}
	return 0
}
