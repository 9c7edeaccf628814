package istio

//lint:file-ignore SA1019 client-go's Negotiate takes the types of the deprecated package alone

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"k8s.io/apimachinery/pkg/util/httpstream"
	httpspdy "k8s.io/apimachinery/pkg/util/httpstream/spdy"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/transport/spdy"
)

const (
	forwardProtocol = "portforward.k8s.io"
	// connectLimit bounds the making of a connection to a pod.
	connectLimit = 5 * time.Second
	pingPeriod   = 5 * time.Second
	// reasonWait is how long a node may take to say why a port ended.
	reasonWait = time.Second
)

// forward reaches a port of a pod through the API server, as kubectl
// port-forward does, and without a port on this machine. One connection to the
// API server carries all that is dialled.
type forward struct {
	config *rest.Config
	url    *url.URL
	port   int

	closed atomic.Bool
	under  atomic.Pointer[net.Conn] // the connection that is being made or used

	mu      sync.Mutex // held while a connection is made
	conn    httpstream.Connection
	request int
}

func newForward(config *rest.Config, ns, pod string, port int) (*forward, error) {
	base, _, err := rest.DefaultServerUrlFor(config)
	if err != nil {
		return nil, fmt.Errorf("read the API server's address: %w", err)
	}
	return &forward{config: config, url: base.JoinPath("api", "v1", "namespaces", ns, "pods", pod, "portforward"), port: port}, nil
}

// dial opens a connection to the port. The context's end does not close it.
func (f *forward) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.closed.Load() {
		return nil, net.ErrClosed
	}
	if f.conn != nil {
		c, err := f.open()
		if err == nil {
			return c, nil
		}
		_ = f.conn.Close()
		f.conn = nil
	}
	ctx, cancel := context.WithTimeout(ctx, connectLimit)
	defer cancel()
	var err error
	if f.conn, err = f.connect(ctx); err != nil {
		f.conn = nil
		return nil, fmt.Errorf("port-forward: %w", err)
	}
	return f.open()
}

// connect upgrades a connection to the API server. The library reads the
// answer whatever the context says, so that the connection is closed under it.
func (f *forward) connect(ctx context.Context) (httpstream.Connection, error) {
	config, err := rest.TLSConfigFor(f.config)
	if err != nil {
		return nil, fmt.Errorf("read the TLS configuration of the cluster: %w", err)
	}
	if config == nil {
		config = &tls.Config{}
	}
	stop := func() bool { return true }
	defer func() { stop() }()
	under := &http.Transport{TLSClientConfig: config, DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
		dial := (&net.Dialer{}).DialContext
		if f.config.Dial != nil {
			dial = f.config.Dial
		}
		c, err := dial(ctx, network, address)
		if err == nil {
			f.under.Store(&c)
			stop = context.AfterFunc(ctx, func() { _ = c.Close() })
		}
		return c, err
	}}
	upgrade, err := httpspdy.NewRoundTripperWithConfig(httpspdy.RoundTripperConfig{UpgradeTransport: under, PingPeriod: pingPeriod})
	if err != nil {
		return nil, fmt.Errorf("prepare a connection: %w", err)
	}
	authorized, err := rest.HTTPWrappersForConfig(f.config, upgrade)
	if err != nil {
		return nil, fmt.Errorf("read the credentials of the cluster: %w", err)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, f.url.String(), nil)
	if err != nil {
		return nil, fmt.Errorf("make a request: %w", err)
	}
	conn, _, err := spdy.Negotiate(upgrade, &http.Client{Transport: authorized}, req, forwardProtocol)
	if err != nil && ctx.Err() != nil {
		return nil, fmt.Errorf("the API server does not answer: %w", ctx.Err())
	}
	return conn, err
}

// open makes the two streams that stand for one connection to the port. The
// caller holds f.mu.
func (f *forward) open() (net.Conn, error) {
	f.request++
	h := http.Header{}
	h.Set("streamType", "error")
	h.Set("port", strconv.Itoa(f.port))
	h.Set("requestID", strconv.Itoa(f.request))
	errs, err := f.conn.CreateStream(h)
	if err != nil {
		return nil, fmt.Errorf("port-forward: %w", err)
	}
	_ = errs.Close() // nothing is written there
	h.Set("streamType", "data")
	data, err := f.conn.CreateStream(h)
	if err != nil {
		f.conn.RemoveStreams(errs)
		_ = errs.Reset()
		return nil, fmt.Errorf("port-forward: %w", err)
	}
	c := &forwarded{Stream: data, errs: errs, conn: f.conn, done: make(chan struct{})}
	go c.listen()
	return c, nil
}

// reset drops the connection; the next dial makes another.
func (f *forward) reset() {
	if c := f.under.Swap(nil); c != nil {
		_ = (*c).Close() // whoever makes it waits for an answer and holds f.mu
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.conn != nil {
		_ = f.conn.Close()
		f.conn = nil
	}
}

// close drops the connection for good.
func (f *forward) close() {
	f.closed.Store(true)
	f.reset()
}

// forwarded is a connection to a pod's port.
type forwarded struct {
	httpstream.Stream
	errs httpstream.Stream
	conn httpstream.Connection
	done chan struct{}
	once sync.Once

	mu  sync.Mutex
	why error
}

// listen waits for what the node says when the port cannot be reached. It ends
// with the connection.
func (c *forwarded) listen() {
	defer close(c.done)
	text, _ := io.ReadAll(io.LimitReader(c.errs, 1<<10))
	if len(text) == 0 {
		return
	}
	c.mu.Lock()
	c.why = errors.New(strings.TrimSpace(string(text)))
	c.mu.Unlock()
	_ = c.Stream.Reset()
}

// Read reads what the pod sends; at the end of it, the error says why it could
// not be reached. The node says that on the other stream, perhaps a moment
// later.
func (c *forwarded) Read(p []byte) (int, error) {
	n, err := c.Stream.Read(p)
	if err == nil {
		return n, nil
	}
	late := time.NewTimer(reasonWait)
	defer late.Stop()
	select {
	case <-c.done:
	case <-late.C:
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.why != nil {
		err = c.why
	}
	return n, err
}

// Close ends the connection and waits for what listens.
func (c *forwarded) Close() error {
	c.once.Do(func() {
		c.conn.RemoveStreams(c.Stream, c.errs)
		_ = c.Stream.Reset()
		_ = c.errs.Reset()
	})
	<-c.done
	return nil
}

// LocalAddr and RemoteAddr have no meaning here; deadlines are those of whoever
// closes.
func (*forwarded) LocalAddr() net.Addr              { return &net.TCPAddr{} }
func (*forwarded) RemoteAddr() net.Addr             { return &net.TCPAddr{} }
func (*forwarded) SetDeadline(time.Time) error      { return nil }
func (*forwarded) SetReadDeadline(time.Time) error  { return nil }
func (*forwarded) SetWriteDeadline(time.Time) error { return nil }
