package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/fairwaycd/fairway"
	"github.com/fairwaycd/fairway/api"
)

// onDisk gives f a disk, and takes it away again.
func (h *harness) onDisk(ctx context.Context, r *row, f func(*disk) error) (err error) {
	h.sets++
	dir := filepath.Join(h.dir, fmt.Sprintf("disk-%d", h.sets))
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	d, err := newDisk(ctx, dir)
	if errors.Is(err, errNoDisk) && os.Getenv("FAIRWAY_REQUIRE_ALL") != "1" {
		r.note("not tried here: %v", err)
		return nil
	}
	if err != nil {
		return err
	}
	defer func() {
		err = errors.Join(err, d.detach(ctx))
		if !h.o.keep {
			err = errors.Join(err, os.RemoveAll(dir))
		}
	}()
	if err := d.forgets(ctx); err != nil {
		return err
	}
	return f(d)
}

// powerCuts cuts the power right after something was acknowledged or shown,
// and at any moment in between.
func powerCuts(ctx context.Context, h *harness, r *row) error {
	want := 24
	if h.o.short {
		want = 2
	}
	return h.onDisk(ctx, r, func(d *disk) error {
		for tries := 0; r.times < want && tries < 12; tries++ {
			_, err := h.trialIn(ctx, r, filepath.Join(d.mount, fmt.Sprintf("home-%d", tries)), func(ctx context.Context, s *set, done <-chan struct{}) error {
				for first := true; first || r.times < want; first = false {
					if !s.awaitNews(h, done) {
						return nil
					}
					r.times++
					if err := s.powerCut(ctx, d); err != nil {
						return err
					}
				}
				return nil
			})
			if err != nil {
				return err
			}
		}
		return nil
	})
}

// awaitNews waits until Fairway says yes to something, or shows an event, and
// sometimes a little longer. It reports false when done comes first.
func (s *set) awaitNews(h *harness, done <-chan struct{}) bool {
	news := make(chan struct{}, 1)
	tell := func() {
		select {
		case news <- struct{}{}:
		default:
		}
	}
	skip := h.rnd.IntN(4)
	s.witness.listen(func(api.StoredEvent) {
		if skip--; skip < 0 {
			tell()
		}
	})
	s.onAck(tell)
	defer s.witness.listen(nil)
	defer s.onAck(nil)
	select {
	case <-news:
	case <-done:
		return false
	}
	if h.rnd.IntN(3) == 0 {
		wait := time.NewTimer(time.Duration(h.rnd.Int64N(int64(time.Second))))
		defer wait.Stop()
		select {
		case <-wait.C:
		case <-done:
			return false
		}
	}
	return true
}

// powerCut ends everything as a power cut does, and starts again.
func (s *set) powerCut(ctx context.Context, d *disk) error {
	if err := s.blackout(ctx, d); err != nil {
		return err
	}
	return s.begin(ctx)
}

func (s *set) blackout(ctx context.Context, d *disk) error {
	s.witness.fault()
	if err := s.now().kill(); err != nil {
		return err
	}
	if err := endDelivered(ctx, s.home); err != nil {
		return err
	}
	return d.cut(ctx)
}

// powerLost is the counter-proof: without syncing, the same cuts lose what
// was acknowledged, and the harness sees it.
func powerLost(ctx context.Context, h *harness, r *row) error {
	return h.onDisk(ctx, r, func(d *disk) error {
		for tries := range 8 {
			lost, err := h.losesEvents(ctx, d, filepath.Join(d.mount, fmt.Sprintf("home-%d", tries)))
			if err != nil {
				return err
			}
			if r.times++; lost {
				r.note("an event was seen, and seen lost, as it has to be")
				return nil
			}
		}
		r.lost = append(r.lost, "--durability=process lost nothing in a power cut: the harness may not see a loss")
		return nil
	})
}

// losesEvents pushes to a Fairway that does not sync, cuts the power when its
// event is seen, and reports whether an event that was seen is lost. The push
// itself is not: what the registry has is found by the next start.
func (h *harness) losesEvents(ctx context.Context, d *disk, home string) (lost bool, err error) {
	s, err := h.newSet(ctx, home, "--durability", "process")
	if err != nil {
		return false, err
	}
	defer func() { err = errors.Join(err, s.end(ctx)) }()
	if err := s.makeProjects(ctx); err != nil {
		return false, err
	}
	// What came before is on the disk: the push alone is at stake.
	if err := errors.Join(s.now().stop(), sh(ctx, "sync", "-f", d.mount), s.begin(ctx)); err != nil {
		return false, err
	}
	v := h.services[0]
	if err := s.push(ctx, v, v.versions[0]); err != nil {
		return false, err
	}
	if err := until(ctx, "an event is seen", func() (bool, error) { return len(s.witness.about(fairway.TypeNewArtifact)) > 0, nil }); err != nil {
		return false, err
	}
	if err := s.blackout(ctx, d); err != nil {
		return false, err
	}
	if err := s.begin(ctx); err != nil {
		return true, nil // so much is lost that it does not start
	}
	_, f, err := s.collect(ctx)
	return err != nil || len(s.check(f)) > 0, nil // an error tells of a loss, too: of git, of projects
}
