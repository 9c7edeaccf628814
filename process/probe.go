package process

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"syscall"
	"time"

	corev1 "k8s.io/api/core/v1"
)

// probe is one of a container's probes, with Kubernetes' defaults filled in.
type probe struct {
	kind         string // startup, readiness or liveness
	method       string // http, tcp, exec, or none: it always succeeds
	scheme, path string // of http
	headers      http.Header
	command      []string // of exec
	initialDelay time.Duration
	period       time.Duration
	timeout      time.Duration
	successes    int            // in a row until it counts as passed
	failures     int            // in a row until it counts as failed
	grace        *time.Duration // of the stop that a failure leads to; nil: the pod's
}

// newProbe translates a probe; nil for none.
func newProbe(kind string, p *corev1.Probe) *probe {
	if p == nil {
		return nil
	}
	or := func(v, def int32) int32 {
		if v == 0 {
			return def
		}
		return v
	}
	seconds := func(v int32) time.Duration { return time.Duration(v) * time.Second }
	q := &probe{kind: kind, method: "tcp", initialDelay: seconds(p.InitialDelaySeconds), period: seconds(or(p.PeriodSeconds, 10)),
		timeout: seconds(or(p.TimeoutSeconds, 1)), successes: int(or(p.SuccessThreshold, 1)), failures: int(or(p.FailureThreshold, 3))}
	if g := p.TerminationGracePeriodSeconds; g != nil {
		q.grace = new(time.Duration(*g) * time.Second)
	}
	switch {
	case p.HTTPGet != nil:
		q.method, q.path, q.scheme = "http", "/"+strings.TrimPrefix(p.HTTPGet.Path, "/"), strings.ToLower(first(string(p.HTTPGet.Scheme), "http"))
		q.headers = make(http.Header)
		for _, h := range p.HTTPGet.HTTPHeaders {
			q.headers.Add(h.Name, h.Value)
		}
	case p.Exec != nil:
		q.method, q.command = "exec", p.Exec.Command
	}
	return q
}

// setProbes reads the container's probes.
func (s *spec) setProbes(c corev1.Container) {
	s.startup = newProbe("startup", c.StartupProbe)
	s.readiness = newProbe("readiness", c.ReadinessProbe)
	s.liveness = newProbe("liveness", c.LivenessProbe)
}

func (s *spec) asksNetwork() bool {
	for _, p := range []*probe{s.startup, s.readiness, s.liveness} {
		if p != nil && p.method != "exec" {
			return true
		}
	}
	return false
}

// readinessOrDefault returns the readiness probe, or what stands for it: a
// connection to the port, or a second of life.
func (s *spec) readinessOrDefault() *probe {
	switch {
	case s.readiness != nil:
		return s.readiness
	case s.hasPort:
		return newProbe("readiness", &corev1.Probe{})
	}
	p := newProbe("readiness", &corev1.Probe{InitialDelaySeconds: 1})
	p.method = "none"
	return p
}

// asker asks probes of one running process.
type asker struct {
	address string // HOST:PORT
	client  *http.Client
	exec    func(ctx context.Context, command []string) error
}

func newAsker(address string, exec func(context.Context, []string) error) *asker {
	return &asker{address: address, exec: exec, client: &http.Client{
		// As the kubelet's: no proxy, no kept connection, no verification of
		// certificates that cannot name this port, and no following of
		// redirects, which count as success.
		Transport:     &http.Transport{DisableKeepAlives: true, DisableCompression: true, TLSClientConfig: &tls.Config{InsecureSkipVerify: true}},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

// ask returns nil when the probe succeeds, and otherwise an error that says
// what was asked and what came back.
func (a *asker) ask(ctx context.Context, p *probe) error {
	ctx, cancel := context.WithTimeout(ctx, p.timeout)
	defer cancel()
	var what string
	var err error
	switch p.method {
	case "http":
		what, err = a.askHTTP(ctx, p)
	case "tcp":
		what, err = "a connection to "+a.address, a.askTCP(ctx)
	case "exec":
		what, err = strings.Join(p.command, " "), a.exec(ctx, p.command)
	}
	switch {
	case err == nil:
		return nil
	case errors.Is(ctx.Err(), context.DeadlineExceeded):
		return fmt.Errorf("its %s probe %s got no answer within %s", p.kind, what, p.timeout)
	case errors.Is(err, syscall.ECONNREFUSED):
		return fmt.Errorf("its %s probe %s found nothing listening there; the program has to listen on the port in $PORT", p.kind, what)
	}
	return fmt.Errorf("its %s probe %s %w", p.kind, what, err)
}

func (a *asker) askHTTP(ctx context.Context, p *probe) (what string, err error) {
	url := p.scheme + "://" + a.address + p.path
	what = "GET " + url
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return what, fmt.Errorf("cannot be asked: %w", err)
	}
	req.Header = p.headers.Clone()
	if host := p.headers.Get("Host"); host != "" {
		req.Host = host
	}
	if req.Header.Get("User-Agent") == "" {
		req.Header.Set("User-Agent", "fairway-probe")
	}
	resp, err := a.client.Do(req)
	if err != nil {
		return what, fmt.Errorf("failed: %w", err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, 10<<10))
	if err != nil && ctx.Err() != nil {
		return what, err
	}
	if resp.StatusCode < 200 || resp.StatusCode >= 400 {
		return what, fmt.Errorf("answered %s%s", resp.Status, excerpt(string(body)))
	}
	return what, nil
}

func (a *asker) askTCP(ctx context.Context) error {
	var d net.Dialer
	conn, err := d.DialContext(ctx, "tcp", a.address)
	if err != nil {
		return fmt.Errorf("failed: %w", err)
	}
	return conn.Close()
}

// excerpt returns the beginning of an answer, quoted, for an error's text.
func excerpt(s string) string {
	s = strings.TrimSpace(s)
	if s == "" {
		return ""
	}
	const most = 200
	if len(s) > most {
		s = strings.ToValidUTF8(s[:most], "") + "…"
	}
	return fmt.Sprintf(": %q", s)
}
