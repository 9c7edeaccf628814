package web

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"sync"
	"time"

	"github.com/fairwaycd/fairway"
	"github.com/fairwaycd/fairway/api"
)

const (
	// livePause is the least time between two messages to one page.
	livePause = 500 * time.Millisecond
	// liveBeat is how often a quiet stream shows that it lives.
	liveBeat = 20 * time.Second
	// liveWrite is how long a page may take to receive a message.
	liveWrite = 10 * time.Second
)

// news collects what has changed since it was last taken. It grows with the
// number of deliveries under way and no further.
type news struct {
	mu       sync.Mutex
	changed  bool
	progress map[fairway.DeliveryID]string
	some     chan struct{} // holds a token while there is something
}

func (n *news) add(c api.Change) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.changed = n.changed || len(c.Events) > 0
	for _, p := range c.Progress {
		n.progress[p.Delivery] = p.Text
	}
	if n.changed || len(n.progress) > 0 {
		select {
		case n.some <- struct{}{}:
		default:
		}
	}
}

func (n *news) take() (changed bool, progress map[fairway.DeliveryID]string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	changed, progress = n.changed, n.progress
	n.changed, n.progress = false, map[fairway.DeliveryID]string{}
	return changed, progress
}

// live streams two kinds of messages: "progress" with the present text of
// deliveries by id, and "change", at which a page is to be loaded again. It
// ends with the request, or when the backend can no longer be watched; the
// page comes back by itself then.
func (c *console) live(w http.ResponseWriter, r *http.Request) error {
	ctx, cancel := context.WithCancel(r.Context())
	n := &news{progress: map[fairway.DeliveryID]string{}, some: make(chan struct{}, 1)}
	watched := make(chan error, 1)
	go func() {
		watched <- c.backend.Watch(ctx, func(change api.Change) error {
			n.add(change)
			return nil
		})
	}()
	ended := false
	defer func() {
		cancel()
		if !ended {
			<-watched
		}
	}()
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("Cache-Control", "no-store")
	out := stream{w: w, control: http.NewResponseController(w)}
	if out.send("retry: 2000\n\n") != nil {
		return nil
	}
	beat := time.NewTicker(liveBeat)
	defer beat.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case err := <-watched:
			ended = true
			if err != nil && ctx.Err() == nil {
				c.log.WarnContext(ctx, "watching for changes ended", "error", err)
			}
			return nil
		case <-beat.C:
			if out.send(": \n\n") != nil {
				return nil
			}
		case <-n.some:
			if out.sendNews(n.take()) != nil || !pause(ctx, livePause) {
				return nil
			}
		}
	}
}

// pause waits, so that a burst of changes becomes one message; it reports
// whether ctx goes on.
func pause(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
		return true
	}
}

type stream struct {
	w       http.ResponseWriter
	control *http.ResponseController
}

func (s stream) sendNews(changed bool, progress map[fairway.DeliveryID]string) error {
	if len(progress) > 0 {
		b, err := json.Marshal(progress)
		if err != nil {
			return err
		}
		if err := s.send(fmt.Sprintf("event: progress\ndata: %s\n\n", b)); err != nil {
			return err
		}
	}
	if changed {
		return s.send("event: change\ndata: {}\n\n")
	}
	return nil
}

func (s stream) send(text string) error {
	s.control.SetWriteDeadline(time.Now().Add(liveWrite)) // writers in tests have none
	if _, err := s.w.Write([]byte(text)); err != nil {
		return err
	}
	return s.control.Flush()
}
