package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/fairwaycd/fairway"
	"github.com/fairwaycd/fairway/api"
)

// witness sees what the outside sees, through all lives: the events, and who
// answers at the gateway.
type witness struct {
	s  *set
	wg sync.WaitGroup

	mu      sync.Mutex
	seen    map[string]api.StoredEvent      // by id
	answers map[string]map[string]time.Time // host → version → when it first answered
	faulted time.Time                       // a fault after which no news came yet
	resumed []time.Duration                 // from faults to the next news
	hear    func(api.StoredEvent)           // told of each event that is new
}

// follow reads the events of a life, and asks the gateway who answers, until
// the life ends.
func (w *witness) follow(ctx context.Context, l *life) {
	ctx, cancel := context.WithCancel(ctx)
	c := w.s.client()
	w.wg.Go(func() {
		select {
		case <-l.exited:
		case <-ctx.Done():
		}
		cancel()
	})
	w.wg.Go(func() {
		_ = c.Watch(ctx, func(ch api.Change) error {
			w.take(ch)
			return nil
		})
	})
	for host := range provedHosts {
		w.wg.Go(func() { w.ask(ctx, l.ready.Gateway, host) })
	}
}

func (w *witness) take(c api.Change) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.faulted.IsZero() && len(c.Events)+len(c.Progress) > 0 {
		w.resumed = append(w.resumed, time.Since(w.faulted))
		w.faulted = time.Time{}
	}
	for _, e := range c.Events {
		if _, known := w.seen[e.ID]; !known {
			w.seen[e.ID] = e
			if w.hear != nil {
				w.hear(e)
			}
		}
	}
}

// about are the deliveries of which an event of the type was seen.
func (w *witness) about(typ string) (all []fairway.DeliveryID) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, e := range w.seen {
		if e.Type == typ {
			all = append(all, e.Context)
		}
	}
	return all
}

// listen lets f be told of each event that is new from now on; f must not
// block. It replaces the one before.
func (w *witness) listen(f func(api.StoredEvent)) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.hear = f
}

// fault starts the clock that runs until deliveries go on.
func (w *witness) fault() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.faulted.IsZero() {
		w.faulted = time.Now()
	}
}

// ask notes which version answers under the host, as often as it can.
func (w *witness) ask(ctx context.Context, gateway, host string) {
	client := http.Client{Timeout: patience}
	defer client.CloseIdleConnections()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for ctx.Err() == nil {
		if version, ok := whoAnswers(ctx, &client, gateway, host); ok {
			w.mu.Lock()
			if w.answers[host] == nil {
				w.answers[host] = map[string]time.Time{}
			}
			if _, known := w.answers[host][version]; !known {
				w.answers[host][version] = time.Now()
			}
			w.mu.Unlock()
		}
		select {
		case <-ctx.Done():
		case <-tick.C:
		}
	}
}

func whoAnswers(ctx context.Context, c *http.Client, gateway, host string) (version string, ok bool) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, fmt.Sprintf("http://%s/version", gateway), nil)
	if err != nil {
		return "", false
	}
	req.Host = host
	resp, err := c.Do(req)
	if err != nil {
		return "", false
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		return "", false
	}
	return strings.CutPrefix(string(b), "Version = ")
}
