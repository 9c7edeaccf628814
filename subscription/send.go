package subscription

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strconv"
	"syscall"
	"time"

	"github.com/fairwaycd/fairway"
)

// sendLimit bounds one attempt; maxRetryAfter what the receiver may ask for.
const (
	sendLimit     = 15 * time.Second
	maxRetryAfter = time.Hour
)

// errAddress says that an address must not be sent to.
var errAddress = errors.New("is not an address that events may be sent to")

// client sends to public addresses, or to private ones too. The address is
// looked at when it is dialled, so that no name can be made to lead elsewhere
// after a check. There is no proxy, which would dial by itself, and redirects
// are not followed.
func client(private bool) *http.Client {
	d := &net.Dialer{Timeout: 5 * time.Second, Control: func(_, address string, _ syscall.RawConn) error { return mayDial(address, private) }}
	return &http.Client{
		Timeout:       sendLimit,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Transport: &http.Transport{
			DialContext: d.DialContext, TLSHandshakeTimeout: 5 * time.Second, ResponseHeaderTimeout: sendLimit,
			IdleConnTimeout: 30 * time.Second, MaxIdleConnsPerHost: 1, ForceAttemptHTTP2: true,
		},
	}
}

// shared are addresses of carriers and of tests and translations, which lead
// inside as private ones do.
var shared = []netip.Prefix{
	netip.MustParsePrefix("100.64.0.0/10"), netip.MustParsePrefix("192.0.0.0/24"), netip.MustParsePrefix("198.18.0.0/15"),
	netip.MustParsePrefix("64:ff9b::/96"), netip.MustParsePrefix("2002::/16"), netip.MustParsePrefix("0.0.0.0/8"), netip.MustParsePrefix("240.0.0.0/4"),
}

// mayDial refuses addresses that nobody means: link-local ones, where clouds
// keep their credentials, always; this machine and private networks unless
// the subscription says so.
func mayDial(address string, private bool) error {
	at, err := netip.ParseAddrPort(address)
	if err != nil {
		return fmt.Errorf("%s %w", address, errAddress)
	}
	ip := at.Addr().Unmap()
	inside := ip.IsLoopback() || ip.IsPrivate()
	for _, p := range shared {
		inside = inside || p.Contains(ip)
	}
	switch {
	case ip.IsLinkLocalUnicast() || ip.IsMulticast() || ip.IsUnspecified():
		return fmt.Errorf("%s %w", ip, errAddress)
	case inside && !private:
		return fmt.Errorf("%s %w: it is this machine's or a private network's, and the subscription was made without --private", ip, errAddress)
	}
	return nil
}

// failure is why an event was not taken.
type failure struct {
	reason string
	after  time.Duration // that the receiver asked to wait; 0: nothing
	never  bool          // this event will not be taken
}

// send sends one event. It returns nil when the receiver took it.
func send(ctx context.Context, c *http.Client, url string, secrets []fairway.Secret, e Outgoing, now time.Time) *failure {
	body, err := json.Marshal(e)
	if err != nil {
		return &failure{reason: "cannot be encoded: " + err.Error(), never: true}
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(body))
	if err != nil {
		return &failure{reason: err.Error(), never: true}
	}
	req.Header.Set("Content-Type", "application/cloudevents+json; charset=utf-8")
	req.Header.Set("User-Agent", "fairway")
	if e.Traceparent != "" {
		req.Header.Set("traceparent", e.Traceparent)
	}
	Sign(req.Header, e.ID, now, body, secrets)
	resp, err := c.Do(req)
	if err != nil {
		return &failure{reason: "cannot be reached: " + err.Error()}
	}
	text, _ := io.ReadAll(io.LimitReader(resp.Body, 200)) // what it says is for people
	resp.Body.Close()
	if resp.StatusCode/100 == 2 {
		return nil
	}
	f := &failure{reason: fmt.Sprintf("answered %s %q", resp.Status, text), after: retryAfter(resp.Header, now)}
	switch resp.StatusCode {
	case http.StatusBadRequest, http.StatusRequestEntityTooLarge, http.StatusUnsupportedMediaType, http.StatusUnprocessableEntity:
		f.never = true
	}
	return f
}

func retryAfter(h http.Header, now time.Time) time.Duration {
	text := h.Get("Retry-After")
	if n, err := strconv.Atoi(text); err == nil && n > 0 {
		return min(time.Duration(min(n, 1<<20))*time.Second, maxRetryAfter)
	}
	if at, err := http.ParseTime(text); err == nil {
		return min(max(at.Sub(now), 0), maxRetryAfter)
	}
	return 0
}

// Outgoing is an event as it is sent: a CloudEvent 1.0 in structured mode.
type Outgoing struct {
	fairway.Event
	Traceparent string `json:"traceparent,omitempty"` // extension: the trace of its delivery
}
