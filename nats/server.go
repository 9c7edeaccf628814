package nats

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"strings"
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
	srv *server.Server
}

// StartServer starts the server and waits until JetStream is ready.
func StartServer(ctx context.Context, o ServerOptions) (*Server, error) {
	if o.MaxStore == 0 {
		o.MaxStore = 10 << 30
	}
	if err := os.MkdirAll(o.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("make the directory of the event store: %w", err)
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
	return &Server{srv: srv}, nil
}

// Connect returns a connection inside the process.
func (s *Server) Connect() (*natsgo.Conn, error) {
	return natsgo.Connect("", natsgo.InProcessServer(s.srv), natsgo.Name("fairway"), natsgo.MaxReconnects(-1), natsgo.ReconnectWait(50*time.Millisecond))
}

// Stop ends the server and waits for its files to be closed.
func (s *Server) Stop() {
	s.srv.Shutdown()
	s.srv.WaitForShutdown()
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
