package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// tear is a write that a crash cuts in two: where the program dies, and what
// is done to its files before the next start. Nothing of it had been
// acknowledged.
type tear struct {
	name, point string
	harm        func(h *harness, data string) error
}

var tears = []tear{
	{"the log's last record is cut short", "record.after-append:10", func(h *harness, data string) error { return h.shorten(data, "LOG_") }},
	{"the queue's last record is cut short", "event.after-append:1", func(h *harness, data string) error { return h.shorten(data, "IN") }},
	{"the log ends with the beginning of a record", "record.before-append:10", func(h *harness, data string) error { return h.lengthen(data, "LOG_", false) }},
	{"the log ends with zeros", "record.before-append:11", func(h *harness, data string) error { return h.lengthen(data, "LOG_", true) }},
	{"the queue ends with the beginning of a record", "event.before-append:1", func(h *harness, data string) error { return h.lengthen(data, "IN", false) }},
	{"indexes and consumers' states are garbled", "input.before-ack:1", (*harness).garbleIndexes},
	{"files are half written beside what they replace", "git.ref.before-rename:1", (*harness).leaveHalves},
}

func tornWrites(ctx context.Context, h *harness, r *row) error {
	want := tears
	if h.o.short {
		want = tears[:3]
	}
	left := slices.Clone(want)
	for tries := 0; len(left) > 0; tries++ {
		if tries > 4 {
			return fmt.Errorf("not reached within four sets: %s", left[0].name)
		}
		_, err := h.trial(ctx, r, func(ctx context.Context, s *set, done <-chan struct{}) error {
			for len(left) > 0 {
				torn, err := s.tear(ctx, left[0], done)
				if err != nil {
					return fmt.Errorf("%s: %w", left[0].name, err)
				}
				if !torn {
					return nil
				}
				r.times++
				left = left[1:]
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// tear lets the program die at the point, harms the files, and starts it
// again. It reports false when done came first.
func (s *set) tear(ctx context.Context, t tear, done <-chan struct{}) (bool, error) {
	if err := s.now().stop(); err != nil {
		return false, err
	}
	if err := s.begin(ctx, "FAIRWAY_FAILPOINT="+t.point); err != nil && !errors.Is(err, errKilled) {
		return false, err
	}
	select {
	case <-s.now().exited:
	case <-done:
		return false, nil
	}
	s.witness.fault()
	if err := t.harm(s.h, s.now().ready.Data); err != nil {
		return false, err
	}
	return true, s.begin(ctx)
}

// newestBlock is the file of messages that was written last among the streams
// whose names begin so.
func newestBlock(data, stream string) (string, error) {
	blocks, err := filepath.Glob(filepath.Join(data, "nats", "jetstream", "*", "streams", stream+"*", "msgs", "*.blk"))
	newest, at := "", time.Time{}
	for _, b := range blocks {
		st, statErr := os.Stat(b)
		if err = errors.Join(err, statErr); statErr == nil && st.Size() > 0 && st.ModTime().After(at) {
			newest, at = b, st.ModTime()
		}
	}
	if newest == "" {
		err = errors.Join(err, fmt.Errorf("stream %s has no messages in %s", stream, data))
	}
	return newest, err
}

// shorten cuts a few bytes off the last record; each is longer than that.
func (h *harness) shorten(data, stream string) error {
	b, err := newestBlock(data, stream)
	if err != nil {
		return err
	}
	st, err := os.Stat(b)
	if err != nil {
		return err
	}
	return os.Truncate(b, st.Size()-1-h.rnd.Int64N(60))
}

// lengthen puts what looks like the beginning of a record, or zeros, behind
// the last one.
func (h *harness) lengthen(data, stream string, zeros bool) error {
	b, err := newestBlock(data, stream)
	if err != nil {
		return err
	}
	whole, err := os.ReadFile(b)
	if err != nil {
		return err
	}
	more := slices.Clone(whole[:min(len(whole), 30+h.rnd.IntN(60))]) // as the first record begins
	if zeros {
		clear(more)
	}
	return os.WriteFile(b, append(whole, more...), 0o600)
}

// garbleIndexes spoils what the event store can make again.
func (h *harness) garbleIndexes(data string) error {
	return filepath.WalkDir(filepath.Join(data, "nats"), func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.Name() != "index.db" && d.Name() != "o.dat" {
			return err
		}
		b, err := os.ReadFile(path)
		if err != nil || len(b) == 0 {
			return err
		}
		return os.WriteFile(path, b[:h.rnd.IntN(len(b))], 0o600)
	})
}

// leaveHalves leaves beside every file that is replaced as a whole the
// beginning of its next content, under the names that the program uses.
func (h *harness) leaveHalves(data string) error {
	for _, dir := range []string{"git", "run", "evaluations"} {
		err := filepath.WalkDir(filepath.Join(data, dir), func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() || strings.HasPrefix(d.Name(), ".") || d.Name() != "packed-refs" && filepath.Ext(path) != ".json" {
				return err
			}
			b, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			for _, name := range []string{"." + d.Name() + ".123456", d.Name() + ".new", d.Name() + ".lock", "tmp_" + d.Name()} {
				if err := os.WriteFile(filepath.Join(filepath.Dir(path), name), b[:len(b)/2], 0o600); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}
