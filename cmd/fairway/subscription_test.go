package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/fairwaycd/fairway"
)

// Events of a delivery come to whoever subscribed, in their order and all of
// them, though the receiver was down and Fairway was killed in between.
func TestSubscribersMissNothing(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	var got []fairway.Event
	up := false
	receiver := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		var e fairway.Event
		if err := json.NewDecoder(r.Body).Decode(&e); err != nil || !up && len(got) > 1 {
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		if !slices.ContainsFunc(got, func(x fairway.Event) bool { return x.ID == e.ID }) {
			got = append(got, e)
		}
	}))
	t.Cleanup(receiver.Close)
	s := start(t)
	s.shop(t, "stages:\n  - name: live\n", "1s")
	s.run(t, "subscription", "add", receiver.URL, "--private", "--project", "shop", "--service", "cart")
	d := s.deliver(t, "1", "finished")
	must(t, until("two events are taken", func() (bool, error) {
		mu.Lock()
		defer mu.Unlock()
		return len(got) == 2, nil
	}))
	must(t, s.end(syscall.SIGKILL))
	mu.Lock()
	up = true
	mu.Unlock()
	must(t, s.begin(nil))
	want := s.types(t, d)
	must(t, until("all events are taken", func() (bool, error) {
		mu.Lock()
		defer mu.Unlock()
		var types []string
		for _, e := range got {
			if e.Context == d.ID {
				types = append(types, fairway.ShortType(e.Type))
			}
		}
		if len(types) == len(want) && !slices.Equal(types, want) {
			return false, fmt.Errorf("events came as %v, and are %v", types, want)
		}
		return len(types) == len(want), nil
	}))
	if list := s.run(t, "subscription", "list"); !strings.Contains(list, receiver.URL) {
		t.Errorf("the list is\n%s", list)
	}
	must(t, s.stop())
}
