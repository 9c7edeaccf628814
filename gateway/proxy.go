package gateway

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httputil"
	"slices"
	"strconv"
	"strings"
	"time"
)

// serve answers one request.
func (g *Gateway) serve(w http.ResponseWriter, r *http.Request) {
	began := time.Now()
	if r.Method == http.MethodConnect {
		http.Error(w, "405: the gateway is no forward proxy; ask for a path of a service's host.", http.StatusMethodNotAllowed)
		return
	}
	t, e := g.acquire(r.Host)
	switch {
	case e == nil:
		g.notFound(w, r.Host)
		return
	case t == nil:
		http.Error(w, "503: "+e.why(g.o.Domain), http.StatusServiceUnavailable)
		e.service.unserved.count(outcome{code: http.StatusServiceUnavailable, flag: flagNoUpstream}, time.Since(began))
		return
	}
	x := &exchange{ResponseWriter: w, target: t, began: began, flag: flagNone}
	defer g.end(x, r)
	t.proxy.ServeHTTP(x, r)
	x.whole = true
}

// acquire picks a target for the host and counts the request there. The
// target is nil when none is ready, the entry is nil when the host is unknown.
func (g *Gateway) acquire(host string) (*target, *entry) {
	for {
		t := g.table.Load()
		e := t.lookup(host, g.suffix)
		if e == nil {
			return nil, nil
		}
		b := e.pick()
		if b == nil {
			return nil, e
		}
		b.up.acquire()
		if g.table.Load() == t {
			return b, e
		}
		b.up.release()
	}
}

// end releases and counts the request, also when the proxy gave up half-way
// by a panic.
func (g *Gateway) end(x *exchange, r *http.Request) {
	t := x.target
	if x.upgraded != nil {
		t.up.upgrades.Add(-1)
		t.up.untrack(x.upgraded)
	}
	t.up.release()
	if !x.whole && x.upgraded == nil {
		x.broken(r.Context())
		g.logBroken(x, r)
	}
	if x.took == 0 {
		x.took = time.Since(x.began)
	}
	grpc := r.ProtoMajor == 2 && strings.HasPrefix(r.Header.Get("Content-Type"), "application/grpc")
	t.meter.count(outcome{x.code, x.flag, grpc}, x.took)
}

func (g *Gateway) logBroken(x *exchange, r *http.Request) {
	if x.flag == flagClient {
		g.o.Logger.Debug("client went away", "host", r.Host, "path", r.URL.Path, "place", x.target.Place.String(), "version", x.target.Version)
		return
	}
	g.o.Logger.Warn("the version broke off its answer", "host", r.Host, "method", r.Method, "path", r.URL.Path,
		"place", x.target.Place.String(), "instance", x.target.Instance, "version", x.target.Version)
}

// exchange is one request on its way through a target: the client's
// ResponseWriter, and what is to be counted.
type exchange struct {
	http.ResponseWriter
	target   *target
	began    time.Time
	took     time.Duration // until the upgrade; else 0
	code     int
	flag     flag
	rest     int64    // bytes that are still to come of an answer of known length
	upgraded net.Conn // the client's, or nil
	whole    bool     // the answer was written to its end
}

// Unwrap lets http.ResponseController find what the wrapped writer can do.
func (x *exchange) Unwrap() http.ResponseWriter { return x.ResponseWriter }

// WriteHeader remembers the final status and the length of the answer.
func (x *exchange) WriteHeader(code int) {
	if code >= 200 && x.code == 0 {
		x.code = code
		x.rest, _ = strconv.ParseInt(x.Header().Get("Content-Length"), 10, 64)
	}
	x.ResponseWriter.WriteHeader(code)
}

// Write passes on a part of the answer. Unless it is the last, the client gets
// it at once. The proxy does that for answers of unknown length; its switch to
// do it for all costs every short answer a second write to the socket, which
// is a seventh of all processor time.
func (x *exchange) Write(p []byte) (int, error) {
	n, err := x.ResponseWriter.Write(p)
	x.rest -= int64(n)
	if err == nil && x.rest > 0 {
		err = http.NewResponseController(x.ResponseWriter).Flush()
	}
	return n, err
}

// Hijack hands out the client's connection for an upgrade. Nobody but us can
// end it: a client that does not read would hold up the end of a drain.
func (x *exchange) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	c, rw, err := http.NewResponseController(x.ResponseWriter).Hijack()
	if err != nil {
		return nil, nil, err
	}
	x.upgraded, x.code, x.took = c, http.StatusSwitchingProtocols, time.Since(x.began)
	x.target.up.upgrades.Add(1)
	if !x.target.up.track(c) {
		c.Close()
	}
	return c, rw, nil
}

// broken notes who ended an answer before its end. An answer that the version
// broke off counts as 502, though the client saw the status that came first:
// a gate that looks for errors has to find it.
func (x *exchange) broken(ctx context.Context) {
	if ctx.Err() != nil {
		x.flag = flagClient
		return
	}
	x.code, x.flag = http.StatusBadGateway, flagBroken
}

// proxy returns the reverse proxy to the target.
func (g *Gateway) proxy(t *target) *httputil.ReverseProxy {
	return &httputil.ReverseProxy{
		Rewrite:    func(p *httputil.ProxyRequest) { rewrite(p, t.Address) },
		Transport:  &holding{up: t.up},
		ErrorLog:   silent,
		BufferPool: &g.buffers,
		ErrorHandler: func(w http.ResponseWriter, r *http.Request, err error) {
			g.failed(w.(*exchange), r, err)
		},
	}
}

// rewrite addresses the request to the backend. The service sees the host
// that the client asked for, the query as it was written, and of the
// X-Forwarded headers only ours.
func rewrite(p *httputil.ProxyRequest, address string) {
	out := p.Out
	out.URL.Scheme, out.URL.Host = "http", address
	out.URL.RawQuery = p.In.URL.RawQuery
	// The proxy copied the trailer before the body was read, when it has
	// names only. The original gets its values as the body ends.
	out.Trailer = p.In.Trailer
	for name := range out.Header {
		if strings.HasPrefix(name, "X-Forwarded-") || name == "X-Real-Ip" {
			delete(out.Header, name)
		}
	}
	p.SetXForwarded()
	// An upgrade to HTTP/2 would be a tunnel to the service past every
	// routing decision.
	if strings.Contains(strings.ToLower(out.Header.Get("Upgrade")), "h2c") {
		delete(out.Header, "Upgrade")
		delete(out.Header, "Connection")
		delete(out.Header, "Http2-Settings")
	}
}

// failed answers a request that got no answer from the target.
func (g *Gateway) failed(x *exchange, r *http.Request, err error) {
	t := x.target
	var body *bodyError
	if r.Context().Err() != nil {
		// Nobody listens; end drops the connection and notes who left.
		panic(http.ErrAbortHandler)
	}
	if errors.As(err, &body) {
		x.flag = flagClient
		http.Error(x, "400: the request's body could not be read: "+body.Error()+".", http.StatusBadRequest)
		return
	}
	if t.up.isCut() {
		err = errCut
	}
	x.flag = flagBroken
	var op *net.OpError
	if errors.As(err, &op) && op.Op == "dial" {
		x.flag = flagNoConnection
	}
	g.o.Logger.Warn("the version did not answer", "host", r.Host, "method", r.Method, "path", r.URL.Path,
		"place", t.Place.String(), "instance", t.Instance, "version", t.Version, "error", err)
	http.Error(x, fmt.Sprintf("502: %s in %s (version %s) did not answer: %v. Look into its log.",
		t.Place.Workload(), t.Place.Namespace, t.Version, err), http.StatusBadGateway)
}

// hostsListed is how many known hosts the answer for an unknown one names.
const hostsListed = 20

// notFound answers a request for an unknown host with those that are known.
func (g *Gateway) notFound(w http.ResponseWriter, host string) {
	var b strings.Builder
	fmt.Fprintf(&b, "404: no service answers at %.100q.", host)
	var known []string
	for name := range g.table.Load().hosts.all() {
		known = append(known, name)
	}
	slices.Sort(known)
	if len(known) == 0 {
		b.WriteString(" No service has been deployed yet.")
	} else {
		b.WriteString(" Known hosts:")
	}
	for i, name := range known {
		if i == hostsListed {
			fmt.Fprintf(&b, "\n  and %d more", len(known)-i)
			break
		}
		b.WriteString("\n  " + name + g.suffix)
	}
	http.Error(w, b.String(), http.StatusNotFound)
}
