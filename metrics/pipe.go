package metrics

import (
	"context"
	"errors"
	"net"
	"net/http"
	"sync"
	"time"
)

// pipeListener serves an http.Handler over connections in memory, so that
// what has no port of its own, or one behind a password, can be scraped.
type pipeListener struct {
	server http.Server
	conns  chan net.Conn
	done   chan struct{}
	once   sync.Once
	served sync.WaitGroup
}

func newPipeListener(h http.Handler) *pipeListener {
	l := &pipeListener{conns: make(chan net.Conn), done: make(chan struct{})}
	l.server = http.Server{Handler: h, ReadHeaderTimeout: 10 * time.Second}
	l.served.Go(func() { _ = l.server.Serve(l) }) // ends with ErrServerClosed
	return l
}

// Accept implements [net.Listener].
func (l *pipeListener) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.done:
		return nil, net.ErrClosed
	}
}

// Close implements [net.Listener].
func (l *pipeListener) Close() error {
	l.once.Do(func() { close(l.done) })
	return nil
}

// Addr implements [net.Listener].
func (l *pipeListener) Addr() net.Addr { return pipeAddr{} }

type pipeAddr struct{}

func (pipeAddr) Network() string { return "pipe" }
func (pipeAddr) String() string  { return "pipe" }

func (l *pipeListener) dial(ctx context.Context) (net.Conn, error) {
	ours, theirs := net.Pipe()
	select {
	case l.conns <- theirs:
		return ours, nil
	case <-l.done:
		return nil, net.ErrClosed
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// stop ends the server and waits for it.
func (l *pipeListener) stop() error {
	err := l.server.Close()
	l.served.Wait()
	if errors.Is(err, net.ErrClosed) {
		return nil
	}
	return err
}
