package datadir

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"sync"

	"github.com/fairwaycd/fairway"
)

// Room that is kept on the disk of the data directory. On a disk too small
// for that, it is a share of the disk.
const (
	// Reserve is what images and git leave to the log, in bytes: at most an
	// eighth of the disk. Below a quarter of it nothing new is taken.
	Reserve = 256 << 20
	// Ballast is the size of a file that is removed when the disk fills, so that
	// somebody can work there, in bytes: at most a sixteenth of the disk.
	Ballast = 64 << 20
)

// Space watches the room on the disk of the data directory. What it calls spare
// is free once the ballast lies there: removing the ballast makes room for a
// person and not for more images.
type Space struct {
	dir              string
	log              *slog.Logger
	reserve, ballast int64

	mu   sync.Mutex
	laid bool // the ballast is there
}

// OpenSpace looks at the disk and lays the ballast where there is room.
func (d *Dir) OpenSpace(log *slog.Logger) (*Space, error) {
	_, total, err := Room(d.path)
	if err != nil {
		return nil, fmt.Errorf("look how much room there is in the data directory: %w", err)
	}
	s := &Space{dir: d.path, log: log, reserve: min(Reserve, total/8), ballast: min(Ballast, total/16)}
	info, err := os.Stat(s.file())
	s.laid = err == nil && info.Size() == s.ballast
	return s, s.Tend()
}

func (s *Space) file() string { return s.dir + string(os.PathSeparator) + "ballast" }

// Spare returns the bytes that are free without the ballast's.
func (s *Space) Spare() (int64, error) {
	free, _, err := Room(s.dir)
	if err != nil {
		return 0, fmt.Errorf("look how much room there is in the data directory: %w", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.laid {
		free -= s.ballast
	}
	return max(free, 0), nil
}

// Room refuses, with KindFull, what would take n more bytes of the reserve:
// images and pushes to git.
func (s *Space) Room(n int64) error { return s.leave(s.reserve + n) }

// Short says, with KindFull, that so little is left that nothing new is taken.
func (s *Space) Short() error { return s.leave(s.reserve / 4) }

func (s *Space) leave(n int64) error {
	spare, err := s.Spare()
	if err != nil {
		return err
	}
	if spare >= n {
		return nil
	}
	return fairway.Retryable(fairway.Errorf(fairway.KindFull,
		"the disk that holds Fairway's data directory %s is nearly full: %d MiB are left, and %d MiB are kept for deliveries under way; make room there, and it goes on by itself",
		s.dir, spare>>20, s.reserve>>20))
}

// Tend removes the ballast when the disk is full, and lays it again when there
// is room. Call it every now and then.
func (s *Space) Tend() error {
	spare, err := s.Spare()
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.laid && spare < s.reserve/16:
		if err := os.Remove(s.file()); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("remove the ballast of a full disk: %w", err)
		}
		s.laid = false
		s.log.Error("the disk is full; the ballast was removed, so that you can work there; make room", "dir", s.dir, "bytes", s.ballast)
	case !s.laid && spare >= s.reserve/2:
		if err := s.lay(); err != nil {
			return fmt.Errorf("lay the ballast for a full disk: %w", err)
		}
		s.laid = true
	}
	return nil
}

// lay writes the ballast: a file with holes would hold no room.
func (s *Space) lay() error {
	f, err := os.OpenFile(s.file(), os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	err = allocate(f, s.ballast)
	if err = errors.Join(err, f.Close()); err != nil {
		return errors.Join(err, os.Remove(s.file()))
	}
	return nil
}

// fill writes size bytes where the file system cannot set them aside.
func fill(f *os.File, size int64) error {
	chunk := make([]byte, 1<<20)
	for left := size; left > 0; left -= int64(len(chunk)) {
		chunk = chunk[:min(left, int64(len(chunk)))]
		if _, err := f.Write(chunk); err != nil {
			return err
		}
	}
	return nil
}
