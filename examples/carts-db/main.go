package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"strconv"
	"syscall"
	"time"
)

// grace is how long requests under way may take once the process is asked to
// end; it stays below the 30 s after which a platform kills.
const grace = 25 * time.Second

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	log := slog.New(slog.NewTextHandler(os.Stdout, nil))
	if err := run(ctx, os.Getenv("PORT"), os.Getenv("DATA_DIR"), log); err != nil {
		fmt.Fprintln(os.Stderr, "carts-db:", err)
		os.Exit(1)
	}
}

// run serves until ctx ends, and then until the last request has been
// answered. Without a directory the data ends with the process.
func run(ctx context.Context, port, dir string, log *slog.Logger) (err error) {
	if port == "" {
		port = "27017"
	}
	if n, err := strconv.Atoi(port); err != nil || n < 0 || n > 65535 {
		return fmt.Errorf("PORT is %q; set it to a number in 0..65535, or leave it out for 27017", port)
	}
	s, err := openStore(dir)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.close()) }()
	listener, err := net.Listen("tcp", ":"+port)
	if err != nil {
		return fmt.Errorf("%w; stop what uses the port, or set PORT", err)
	}
	log.Info("serving carts-db", "address", listener.Addr(), "directory", dir, "keys", len(s.values))
	return serve(ctx, listener, newHandler(s), log)
}

func serve(ctx context.Context, listener net.Listener, handler http.Handler, log *slog.Logger) error {
	server := &http.Server{
		Handler:           handler,
		ReadHeaderTimeout: 10 * time.Second,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    64 << 10,
	}
	failed := make(chan error, 1)
	go func() { failed <- server.Serve(listener) }()
	select {
	case err := <-failed:
		return err
	case <-ctx.Done():
	}
	log.Info("finishing requests")
	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), grace)
	defer cancel()
	err := server.Shutdown(last)
	if served := <-failed; !errors.Is(served, http.ErrServerClosed) {
		err = errors.Join(err, served)
	}
	log.Info("ended")
	return err
}
