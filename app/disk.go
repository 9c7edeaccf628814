package app

import (
	"context"
	"net/http"
	"strings"
	"time"

	"github.com/fairwaycd/fairway"
)

// tendEvery is how often the room on the disk is looked at.
const tendEvery = 500 * time.Millisecond

// mend again, when it failed, is tried after that long.
const mendPause = 5 * time.Second

// tendDisk keeps the ballast, and opens the event store again once there is
// room after a full disk, until ctx ends. Decisions that could not be stored
// meanwhile wait in their shards, which go on by themselves.
func (a *App) tendDisk(ctx context.Context) {
	t := time.NewTicker(tendEvery)
	defer t.Stop()
	var next time.Time
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.C:
		}
		if err := a.space.Tend(); err != nil {
			a.o.Logger.Error("the room on the disk cannot be looked after", "error", err)
		}
		err := a.events.Health()
		if ctx.Err() != nil {
			return
		}
		a.setStore(err)
		if err == nil || a.space.Short() != nil || time.Now().Before(next) {
			continue
		}
		if err := a.events.Restart(ctx); err != nil {
			a.o.Logger.Error("the event store could not be opened again; it is tried again", "error", err)
			next = time.Now().Add(mendPause)
			continue
		}
		a.o.Logger.Warn("there is room on the disk again; the event store was opened anew and deliveries go on")
		a.setStore(nil)
	}
}

// setStore notes whether events can be stored, and logs when that changes.
func (a *App) setStore(err error) {
	if old := a.broken.Swap(&err); err != nil && (old == nil || *old == nil) {
		a.o.Logger.Error("the event store takes nothing more; it is opened again as soon as there is room on the disk", "error", err)
	}
}

// full says why nothing new can be stored now, or returns nil.
func (a *App) full() error {
	if err := a.space.Short(); err != nil {
		return err
	}
	if err := a.broken.Load(); err != nil && *err != nil {
		return fairway.Retryable(fairway.Errorf(fairway.KindFull, "nothing can be stored now; it goes on by itself once the disk has room: %w", *err))
	}
	return nil
}

// held reports whether steps cannot do their work for want of room.
func (a *App) held() bool { return a.full() != nil }

// room refuses pushes to git before they take the last room. The client shows
// the text to whoever pushes.
func (a *App) room(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		push := strings.HasSuffix(r.URL.Path, "/git-receive-pack") || r.URL.Query().Get("service") == "git-receive-pack"
		if err := a.space.Room(max(r.ContentLength, 0)); push && err != nil {
			w.Header().Set("Retry-After", "5")
			http.Error(w, err.Error(), http.StatusInsufficientStorage)
			return
		}
		h.ServeHTTP(w, r)
	})
}
