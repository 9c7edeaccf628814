// Command child is the program that the tests of the local platform run. It
// serves HTTP on $PORT and does what its arguments and requests ask for.
package main

import (
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"strings"
	"sync/atomic"
	"syscall"
)

func main() {
	exit := flag.Int("exit", -1, "end with this code")
	say := flag.String("say", "boom", "what to say before an end")
	ignore := flag.Bool("ignore-term", false, "ignore SIGTERM")
	spawn := flag.Bool("spawn", false, "start two children: one in this process group and one in a session of its own")
	idle := flag.Bool("idle", false, "do not listen")
	health := flag.Int("health", 200, "what /health answers at first")
	probe := flag.String("probe", "", "be an exec probe: fail when this file exists")
	flag.Parse()
	switch {
	case *probe != "":
		if _, err := os.Stat(*probe); err == nil {
			fmt.Println("the file is there")
			os.Exit(7)
		}
		return
	case *exit >= 0:
		fmt.Fprintln(os.Stderr, *say)
		os.Exit(*exit)
	}
	if *ignore {
		signal.Ignore(syscall.SIGTERM)
	}
	if *spawn {
		for _, session := range []bool{false, true} {
			c := exec.Command(os.Args[0], "-idle", "-ignore-term")
			c.Path, _ = os.Executable()
			c.SysProcAttr = &syscall.SysProcAttr{Setsid: session}
			if err := c.Start(); err != nil {
				panic(err)
			}
		}
	}
	fmt.Println("hello from", os.Getpid())
	if *idle {
		forever := make(chan os.Signal, 1)
		signal.Notify(forever, syscall.SIGUSR1) // else the runtime sees a deadlock
		<-forever
	}
	serve(*health)
}

func serve(health int) {
	var status atomic.Int64
	status.Store(int64(health))
	mux := http.NewServeMux()
	mux.HandleFunc("/health", func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(int(status.Load()))
		io.WriteString(w, "feeling like "+r.Header.Get("X-Probe"))
	})
	mux.HandleFunc("/set", func(w http.ResponseWriter, r *http.Request) {
		var code int64
		fmt.Sscan(r.FormValue("health"), &code)
		status.Store(code)
	})
	mux.HandleFunc("/env", func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, strings.Join(os.Environ(), "\n")) })
	mux.HandleFunc("/args", func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, strings.Join(os.Args, "\n")) })
	mux.HandleFunc("/pid", func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, os.Getpid()) })
	mux.HandleFunc("/die", func(w http.ResponseWriter, r *http.Request) { fmt.Println("dying"); os.Exit(4) })
	mux.HandleFunc("/say", func(w http.ResponseWriter, r *http.Request) { fmt.Println(r.FormValue("text")) })
	fmt.Println(http.ListenAndServe("127.0.0.1:"+os.Getenv("PORT"), mux))
	os.Exit(1)
}
