// Command hello is a service for tests: it says its version and its pod, and
// may be made ill by its environment.
//
//	VERSION      the answer's first word, default v1
//	DELAY        time before each answer, such as 50ms
//	FAIL_PERCENT how many of 100 answers are 500
//	START_DELAY  time before /readyz and /health say 200
//	EXIT_AFTER   time after which it exits 1
//	PORT         default 8080
package main

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"os/signal"
	"strconv"
	"sync/atomic"
	"syscall"
	"time"
)

func main() {
	if err := serve(); err != nil {
		fmt.Fprintln(os.Stderr, "hello:", err)
		os.Exit(1)
	}
}

// duration reads a variable; none is 0.
func duration(name string) (time.Duration, error) {
	text := os.Getenv(name)
	if text == "" {
		return 0, nil
	}
	d, err := time.ParseDuration(text)
	if err != nil {
		return 0, fmt.Errorf("%s: %w", name, err)
	}
	return d, nil
}

func serve() error {
	delay, err := duration("DELAY")
	if err != nil {
		return err
	}
	start, err := duration("START_DELAY")
	if err != nil {
		return err
	}
	exit, err := duration("EXIT_AFTER")
	if err != nil {
		return err
	}
	fails, _ := strconv.Atoi(os.Getenv("FAIL_PERCENT"))
	ended := make(chan error, 2)
	go func() { ended <- http.ListenAndServe(":"+or(os.Getenv("PORT"), "8080"), handler(delay, start, fails)) }()
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT)
	var dies <-chan time.Time
	if exit > 0 {
		dies = time.After(exit)
	}
	select {
	case err := <-ended:
		return err
	case <-dies:
		return fmt.Errorf("over after %s, as EXIT_AFTER says", exit)
	case <-signals:
		return nil
	}
}

func or(s, otherwise string) string {
	if s == "" {
		return otherwise
	}
	return s
}

func handler(delay, start time.Duration, fails int) http.Handler {
	version, pod, begun := or(os.Getenv("VERSION"), "v1"), os.Getenv("HOSTNAME"), time.Now()
	var good, bad atomic.Int64
	ready := func(w http.ResponseWriter, _ *http.Request) {
		if time.Since(begun) < start {
			http.Error(w, "starting", http.StatusServiceUnavailable)
			return
		}
		fmt.Fprintln(w, "ok")
	}
	mux := http.NewServeMux()
	mux.HandleFunc("/readyz", ready)
	mux.HandleFunc("/health", ready)
	mux.HandleFunc("/metrics", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintf(w, "# TYPE http_requests_total counter\nhttp_requests_total{code=\"200\"} %d\nhttp_requests_total{code=\"500\"} %d\n", good.Load(), bad.Load())
	})
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		time.Sleep(delay) // the illness asked for
		if rand.IntN(100) < fails {
			bad.Add(1)
			http.Error(w, version+" failed", http.StatusInternalServerError)
			return
		}
		good.Add(1)
		fmt.Fprintf(w, "%s %s %s %s\n", version, pod, r.Host, r.URL.Path)
	})
	return mux
}
