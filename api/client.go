package api

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net"
	"net/http"
	"net/url"
	"strings"
	"syscall"
	"time"

	"github.com/fairwaycd/fairway"
)

// DefaultURL is where fairway up listens unless told otherwise.
const DefaultURL = "http://127.0.0.1:8080"

// problemLimit is how many bytes of a refusal are read.
const problemLimit = 4 << 20

// ClientOptions say which Fairway to ask and how; the zero value asks
// [DefaultURL] without a token.
type ClientOptions struct {
	// URL is the address of a server, without the API's path. Default:
	// [DefaultURL].
	URL string
	// Token is sent as a bearer token if it is not empty.
	Token string
	// Version of the asker, for the server's log.
	Version string
	// Timeout bounds every call but Watch and Logs. Default: 30 s.
	Timeout time.Duration
	// HTTP makes the requests; its own Timeout is left aside, since it would
	// end streams. Default: a client with connections of its own.
	HTTP *http.Client
}

func (o ClientOptions) withDefaults() ClientOptions {
	if o.URL == "" {
		o.URL = DefaultURL
	}
	o.URL = strings.TrimRight(o.URL, "/")
	if o.Version == "" {
		o.Version = "unknown"
	}
	if o.Timeout <= 0 {
		o.Timeout = 30 * time.Second
	}
	if o.HTTP == nil {
		o.HTTP = &http.Client{Transport: &http.Transport{
			Proxy:               http.ProxyFromEnvironment,
			DialContext:         (&net.Dialer{Timeout: 5 * time.Second}).DialContext,
			TLSHandshakeTimeout: 5 * time.Second,
			IdleConnTimeout:     30 * time.Second,
			ForceAttemptHTTP2:   true,
		}}
	}
	c := *o.HTTP
	c.Timeout = 0
	// The API redirects nobody, and a token is for one server.
	c.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	o.HTTP = &c
	return o
}

// Client is a [Backend] that asks a server. Errors have the kind and the
// problems that the server's Backend gave them; KindUnavailable also when no
// server answers. It is safe for concurrent use.
type Client struct {
	o ClientOptions
}

var _ Backend = (*Client)(nil)

// NewClient returns a client. It connects at the first call; a wrong address
// is that call's error.
func NewClient(o ClientOptions) *Client { return &Client{o.withDefaults()} }

// call is one request: what is sent and where the answer goes.
type call struct {
	method string
	path   []string // segments below the API's prefix
	query  url.Values
	body   any
	kind   string // media type of body; default application/json
	header http.Header
}

// get asks for a document.
func get[T any](ctx context.Context, c *Client, query url.Values, path ...string) (T, error) {
	return ask[T](ctx, c, call{method: http.MethodGet, path: path, query: query})
}

// getList asks for a list.
func getList[T any](ctx context.Context, c *Client, query url.Values, path ...string) ([]T, error) {
	l, err := get[list[T]](ctx, c, query, path...)
	return l.Items, err
}

// ask makes a call whose answer is a document of type T.
func ask[T any](ctx context.Context, c *Client, k call) (T, error) {
	var v T
	limited, cancel := context.WithTimeout(ctx, c.o.Timeout)
	defer cancel()
	resp, err := c.open(limited, k)
	if err == nil {
		defer resp.Body.Close()
		err = c.read(resp, &v)
	}
	if err != nil {
		var none T
		return none, c.explain(ctx, err)
	}
	return v, nil
}

// open sends the request and returns the answer if it is no refusal. The
// caller closes the body.
func (c *Client) open(ctx context.Context, k call) (*http.Response, error) {
	req, err := c.request(ctx, k)
	if err != nil {
		return nil, err
	}
	resp, err := c.o.HTTP.Do(req)
	if err != nil {
		return nil, err
	}
	if resp.StatusCode/100 == 2 {
		return resp, nil
	}
	defer resp.Body.Close()
	return nil, c.refusal(resp)
}

func (c *Client) request(ctx context.Context, k call) (*http.Request, error) {
	u, err := url.Parse(c.o.URL)
	if err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" {
		return nil, fairway.Invalid("address", c.o.URL, "is not the address of a Fairway", "write it like "+DefaultURL)
	}
	path, err := escape(k.path)
	if err != nil {
		return nil, err
	}
	target := c.o.URL + strings.TrimSuffix(Prefix, "/") + path
	if len(k.query) > 0 {
		target += "?" + k.query.Encode()
	}
	var body io.Reader
	if k.body != nil {
		data, err := encode(k.body)
		if err != nil {
			return nil, fairway.Errorf(fairway.KindInvalid, "the request cannot be written as JSON: %w", err)
		}
		body = bytes.NewReader(data)
	}
	req, err := http.NewRequestWithContext(ctx, k.method, target, body)
	if err != nil {
		return nil, fairway.Errorf(fairway.KindInvalid, "ask Fairway: %w", err)
	}
	for name, values := range k.header {
		req.Header[name] = values
	}
	if k.body != nil {
		req.Header.Set("Content-Type", k.kind)
		if k.kind == "" {
			req.Header.Set("Content-Type", "application/json")
		}
	}
	req.Header.Set("User-Agent", "fairway/"+c.o.Version)
	if c.o.Token != "" {
		req.Header.Set("Authorization", "Bearer "+c.o.Token)
	}
	return req, nil
}

// escape joins segments to a path. A segment that is empty would ask for
// something else, and dots would be taken for directories.
func escape(segments []string) (string, error) {
	var b strings.Builder
	for _, s := range segments {
		if s == "" {
			return "", fairway.Invalid("name", "", "is empty", "name what you ask for")
		}
		b.WriteByte('/')
		if s == "." || s == ".." {
			b.WriteString(strings.ReplaceAll(s, ".", "%2E"))
			continue
		}
		b.WriteString(url.PathEscape(s))
	}
	return b.String(), nil
}

// read decodes a document.
func (c *Client) read(resp *http.Response, v any) error {
	if t, _, _ := mime.ParseMediaType(resp.Header.Get("Content-Type")); t != "application/json" {
		return c.stranger(resp)
	}
	data, err := io.ReadAll(resp.Body)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(data, v); err != nil {
		return c.misread(err)
	}
	return nil
}

// misread says that an answer does not have the form that this client knows.
func (c *Client) misread(err error) error {
	return &fairway.Error{Kind: fairway.KindInternal, Message: "the answer of " + c.o.URL + " is not understood; client and server may be of different versions", Cause: err}
}

// stranger says that something else than Fairway answered.
func (c *Client) stranger(resp *http.Response) error {
	return fairway.Errorf(fairway.KindUnavailable, "what answers at %s is not Fairway's API (status %s, type %q); check the address", c.o.URL, resp.Status, resp.Header.Get("Content-Type"))
}

// refusal turns a problem document back into the error that it was.
func (c *Client) refusal(resp *http.Response) error {
	d := c.details(resp)
	if resp.StatusCode == http.StatusUnauthorized {
		return &fairway.Error{Kind: fairway.KindUnauthorized, Message: "the token was not accepted by " + c.o.URL +
			"; give the one that this Fairway made at its first start (it lies in its data directory)"}
	}
	if d.Kind == "" {
		kind, ok := kinds[resp.StatusCode]
		if !ok || resp.StatusCode == http.StatusNotFound {
			return c.stranger(resp)
		}
		d.Kind = kind
		if d.Detail == "" {
			d.Detail = fmt.Sprintf("%s answered %s", c.o.URL, resp.Status)
		}
	}
	if d.Detail == "" && len(d.Problems) == 0 {
		d.Detail = d.Title
	}
	return &fairway.Error{Kind: d.Kind, Message: d.Detail, Problems: d.Problems}
}

// details reads the problem document; it is empty when the answer has none.
func (c *Client) details(resp *http.Response) Details {
	var d Details
	if t, _, _ := mime.ParseMediaType(resp.Header.Get("Content-Type")); t != problemType {
		return d
	}
	if json.NewDecoder(io.LimitReader(resp.Body, problemLimit)).Decode(&d) != nil {
		return Details{}
	}
	return d
}

// explain turns a failure of the connection into an error for people. ctx is
// the caller's, without the client's own limit.
func (c *Client) explain(ctx context.Context, err error) error {
	var domain *fairway.Error
	switch {
	case errors.As(err, &domain) || fairway.KindOf(err) != fairway.KindInternal:
		return err
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case errors.Is(err, syscall.ECONNREFUSED):
		return fairway.Errorf(fairway.KindUnavailable, "Fairway does not answer at %s; start it with: fairway up", c.o.URL)
	case errors.Is(err, context.DeadlineExceeded):
		return fairway.Errorf(fairway.KindUnavailable, "Fairway did not answer within %s at %s; it may be done all the same", c.o.Timeout, c.o.URL)
	}
	var answer *url.Error
	if errors.As(err, &answer) {
		err = answer.Err // without method and address, which the sentence has
	}
	return fairway.Errorf(fairway.KindUnavailable, "the connection to Fairway at %s failed: %w", c.o.URL, err)
}
