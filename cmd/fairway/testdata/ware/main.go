// Command ware is what the stories deliver: a service whose version and
// faults are variables of its image.
//
//	VERSION  what /version answers
//	DELAY    how long /work takes, e.g. 400ms
//	WHILE    a file of the host: DELAY holds only while it exists
//	FAIL     start: end at once; health: never be healthy; work: answer 500
//	MIGRATE  why the migration fails, which "ware migrate" is; default: it succeeds
package main

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"
)

func main() {
	if os.Getenv("FAIL") == "start" {
		fmt.Fprintln(os.Stderr, "ware: cannot find its configuration")
		os.Exit(3)
	}
	if len(os.Args) > 1 && os.Args[1] == "migrate" {
		if why := os.Getenv("MIGRATE"); why != "" {
			fmt.Fprintln(os.Stderr, "ware: cannot migrate:", why)
			os.Exit(4)
		}
		fmt.Println("ware migrated to version", os.Getenv("VERSION"))
		return
	}
	var delay time.Duration
	if text := os.Getenv("DELAY"); text != "" {
		d, err := time.ParseDuration(text)
		if err != nil {
			fmt.Fprintln(os.Stderr, "ware: DELAY:", err)
			os.Exit(2)
		}
		delay = d
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	srv := &http.Server{Addr: ":" + os.Getenv("PORT"), Handler: handler(delay)}
	go func() {
		<-ctx.Done()
		last, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		srv.Shutdown(last)
	}()
	fmt.Println("ware serves version", os.Getenv("VERSION"))
	if err := srv.ListenAndServe(); err != http.ErrServerClosed {
		fmt.Fprintln(os.Stderr, "ware:", err)
		os.Exit(1)
	}
}

func handler(delay time.Duration) http.Handler {
	var mu sync.Mutex
	var seconds float64
	var count int
	fail, while := os.Getenv("FAIL"), os.Getenv("WHILE")
	mux := http.NewServeMux()
	mux.HandleFunc("GET /version", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintf(w, "Version = %s", os.Getenv("VERSION"))
	})
	mux.HandleFunc("GET /health", func(w http.ResponseWriter, _ *http.Request) {
		if fail == "health" {
			http.Error(w, "the store is away", http.StatusServiceUnavailable)
		}
	})
	mux.HandleFunc("GET /work", func(w http.ResponseWriter, _ *http.Request) {
		began := time.Now()
		if _, err := os.Stat(while); while == "" || err == nil {
			time.Sleep(delay)
		}
		mu.Lock()
		seconds += time.Since(began).Seconds()
		count++
		mu.Unlock()
		if fail == "work" {
			http.Error(w, "the basket has a hole", http.StatusInternalServerError)
			return
		}
		fmt.Fprint(w, "done")
	})
	mux.HandleFunc("GET /metrics", func(w http.ResponseWriter, _ *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		fmt.Fprintf(w, "work_seconds_sum %g\nwork_seconds_count %d\n", seconds, count)
	})
	return mux
}
