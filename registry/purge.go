package registry

import (
	"context"
	"os"
	"path/filepath"
	"time"
)

const (
	purgeEvery = time.Hour
	purgeAge   = 24 * time.Hour
)

// purgeLoop removes abandoned uploads at once and then every hour.
func (r *Registry) purgeLoop(ctx context.Context) {
	tick := time.NewTicker(purgeEvery)
	defer tick.Stop()
	for {
		if n, err := r.purge(ctx, time.Now().Add(-purgeAge)); err != nil && ctx.Err() == nil {
			r.log.Warn("abandoned uploads not removed; tried again in an hour", "error", err)
		} else if n > 0 {
			r.log.Info("abandoned uploads removed", "uploads", n)
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// purge removes the uploads that nobody has added to since before, and returns
// how many.
func (r *Registry) purge(ctx context.Context, before time.Time) (int, error) {
	n := 0
	err := r.disk.walk(ctx, "", func(repo string, _ []string) error {
		ids, err := list(r.disk.repo(repo, "_uploads"))
		if err != nil {
			return err
		}
		for _, id := range ids {
			dir := r.disk.repo(repo, "_uploads", id)
			if youngerThan(dir, before) || youngerThan(filepath.Join(dir, "data"), before) {
				continue
			}
			if err := os.RemoveAll(dir); err != nil {
				return err
			}
			n++
		}
		return nil
	})
	return n, err
}
