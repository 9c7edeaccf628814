package nats

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	natsgo "github.com/nats-io/nats.go"

	"github.com/fairwaycd/fairway"
)

// ServerOptions says how the embedded server keeps its data.
type ServerOptions struct {
	Dir    string // made when it does not exist
	Logger *slog.Logger
	// Sync makes every write survive a power cut. Without it the last second
	// may be lost in one; a kill of the process never loses anything.
	Sync     bool
	MaxStore int64 // bytes on disk; default 10 GiB
}

// Server is a NATS server with JetStream inside this process. It listens on
// no port.
type Server struct {
	o ServerOptions

	mu  sync.Mutex
	srv *server.Server // replaced by Restart

	restarting sync.Mutex // one at a time stops and starts it
}

// StartServer starts the server and waits until JetStream is ready.
func StartServer(ctx context.Context, o ServerOptions) (*Server, error) {
	if o.MaxStore == 0 {
		o.MaxStore = 10 << 30
	}
	srv, err := startServer(ctx, o)
	if err != nil {
		return nil, err
	}
	return &Server{o: o, srv: srv}, nil
}

func startServer(ctx context.Context, o ServerOptions) (*server.Server, error) {
	if err := os.MkdirAll(o.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("make the directory of the event store: %w", err)
	}
	if err := dropConsumers(o.Dir); err != nil {
		return nil, err
	}
	opts := &server.Options{
		ServerName: "fairway", DontListen: true, NoSigs: true, NoSystemAccount: true,
		JetStream: true, StoreDir: o.Dir, SyncAlways: o.Sync, SyncInterval: time.Second,
		JetStreamMaxStore: o.MaxStore, JetStreamMaxMemory: 64 << 20,
		MaxPayload: 8 << 20,
	}
	srv, err := server.NewServer(opts)
	if err != nil {
		return nil, fmt.Errorf("configure the event store: %w", err)
	}
	if o.Logger != nil {
		srv.SetLoggerV2(logBridge{o.Logger}, false, false, false)
	}
	go srv.Start()
	wait := 30 * time.Second
	if dl, ok := ctx.Deadline(); ok {
		wait = time.Until(dl)
	}
	if !srv.ReadyForConnections(wait) {
		srv.Shutdown()
		return nil, fairway.Errorf(fairway.KindUnavailable, "the event store in %s was not ready within %s", o.Dir, wait)
	}
	if !srv.JetStreamEnabled() {
		srv.Shutdown()
		return nil, fairway.Errorf(fairway.KindUnavailable, "the event store in %s could not be opened; see the log for the reason", o.Dir)
	}
	return srv, nil
}

// dropConsumers takes away how far the queue had been read, before the server
// looks at it: it writes that file in place, and one that a power cut has torn
// would keep it from reading the queue for ever. The stream itself knows what
// is undecided; see [Store.Inputs], which begins anew anyway.
func dropConsumers(dir string) error {
	queues, err := filepath.Glob(filepath.Join(dir, "jetstream", "*", "streams", "IN", "obs"))
	for _, q := range queues {
		err = errors.Join(err, os.RemoveAll(q))
	}
	if err != nil {
		return fmt.Errorf("begin the queue anew: %w", err)
	}
	return nil
}

// Connect returns a connection inside the process. It outlives a
// [Server.Restart].
func (s *Server) Connect() (*natsgo.Conn, error) {
	return natsgo.Connect("", natsgo.InProcessServer(s), natsgo.Name("fairway"), natsgo.MaxReconnects(-1), natsgo.ReconnectWait(50*time.Millisecond))
}

// InProcessConn connects to the server as it is now; the client calls it.
func (s *Server) InProcessConn() (net.Conn, error) { return s.now().InProcessConn() }

func (s *Server) now() *server.Server {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.srv
}

// Health returns why something cannot be stored. A stream whose write has
// failed once, as on a full disk, takes nothing more and does not even answer
// until [Server.Restart].
func (s *Server) Health() error {
	// The server's own check gives itself a millisecond to see that its start
	// is over, which on a busy machine may pass unused. That start was waited
	// for; what counts is what the check says of the streams.
	for range healthTries {
		h := s.now().Healthz(nil)
		switch {
		case h.Status == "ok":
			return nil
		case !strings.Contains(h.Error, "startup did not complete"):
			return fairway.Errorf(fairway.KindUnavailable, "the event store has switched itself off: %s", h.Error)
		}
	}
	return nil
}

// healthTries is how often the server is asked until it speaks of streams.
const healthTries = 50

// Restart ends the server and starts it again over the same files. Clients
// connect anew by themselves. When it fails, it can be called again.
func (s *Server) Restart(ctx context.Context) error {
	return s.standing(ctx, func() error { return nil })
}

// Copy copies the server's files to a directory, at one moment: the server
// stands while that lasts, and what is to be stored waits.
func (s *Server) Copy(ctx context.Context, to string) error {
	return s.standing(ctx, func() error { return os.CopyFS(to, os.DirFS(s.o.Dir)) })
}

// standing does something while the server is stopped, and starts it again
// whatever came of it.
func (s *Server) standing(ctx context.Context, do func() error) error {
	s.restarting.Lock()
	defer s.restarting.Unlock()
	s.Stop()
	done := do()
	if err := s.again(context.WithoutCancel(ctx)); err != nil {
		return errors.Join(done, err)
	}
	return done
}

// again starts the server over the same files.
func (s *Server) again(ctx context.Context) error {
	srv, err := startServer(ctx, s.o)
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.srv = srv
	return nil
}

// Stop ends the server and waits for its files to be closed.
func (s *Server) Stop() {
	srv := s.now()
	srv.Shutdown()
	srv.WaitForShutdown()
}

// logBridge hands the server's log on. Its notices are details to us, and what
// it says of every start after a kill is no more than news.
type logBridge struct{ log *slog.Logger }

func (l logBridge) Noticef(f string, v ...any) { l.log.Debug(line(f, v)) }
func (l logBridge) Warnf(f string, v ...any) {
	level := slog.LevelWarn
	if text := fmt.Sprintf(f, v...); slices.ContainsFunc(recoveries, func(r string) bool { return strings.Contains(text, r) }) {
		level = slog.LevelInfo
	}
	l.log.Log(context.Background(), level, line(f, v)) // the server has none to give
}
func (l logBridge) Fatalf(f string, v ...any) { l.log.Error(line(f, v)) }
func (l logBridge) Errorf(f string, v ...any) { l.log.Error(line(f, v)) }
func (l logBridge) Debugf(f string, v ...any) { l.log.Debug(line(f, v)) }
func (l logBridge) Tracef(f string, v ...any) { l.log.Debug(line(f, v)) }

// recoveries are the warnings of a start at which the index of a stream, or the
// checksum of a consumer, is older than its data, as after a kill: it is made
// again from the data, and nothing is lost.
var recoveries = []string{
	"Recovering stream state from index errored: prior state file",
	"Stream state outdated, last block has additional entries",
	"Stream state detected prior state, could not locate msg block",
	"Missing consumer checksum for",
}

func line(f string, v []any) string { return strings.TrimSpace(fmt.Sprintf(f, v...)) }
