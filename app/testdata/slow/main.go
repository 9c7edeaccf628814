// Command slow is a service whose /slow takes a second: the answer's first
// half comes at once, so that a client knows that its request is under way.
package main

import (
	"fmt"
	"net/http"
	"os"
	"time"
)

func main() {
	http.HandleFunc("/slow", func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, "begun, ")
		http.NewResponseController(w).Flush()
		select {
		case <-time.After(time.Second):
			fmt.Fprint(w, "done")
		case <-r.Context().Done():
		}
	})
	http.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "ok") })
	if err := http.ListenAndServe("127.0.0.1:"+os.Getenv("PORT"), nil); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
