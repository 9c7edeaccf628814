package datadir

import (
	"log/slog"
	"os"
	"path/filepath"
	"testing"

	"github.com/fairwaycd/fairway"
	"github.com/fairwaycd/fairway/internal/testenv"
)

// Images stop before events, the ballast goes when nothing is left, does not
// count as room, and comes back.
func TestSpaceIsGivenUpInOrder(t *testing.T) {
	t.Parallel()
	dir := testenv.SmallDisk(t, 64<<20) // reserve 8 MiB, ballast 4 MiB
	d, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	s, err := d.OpenSpace(slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	steps := []struct {
		fill           int // MiB that others have written
		images, events bool
		ballast        bool
	}{
		{0, true, true, true},
		{54, false, true, true},
		{59, false, false, true},
		{60, false, false, false},
		{58, false, true, false}, // 6 MiB are free, and 2 without the ballast
		{50, true, true, true},
	}
	for _, step := range steps {
		if err := os.WriteFile(filepath.Join(dir, "others"), make([]byte, max(0, step.fill<<20-64<<10)), 0o600); err != nil && step.fill < 60 {
			t.Fatal(err)
		}
		if err := s.Tend(); err != nil {
			t.Fatal(err)
		}
		images, events := s.Room(0), s.Short()
		for _, err := range []error{images, events} {
			if err != nil && fairway.KindOf(err) != fairway.KindFull {
				t.Fatal(err)
			}
		}
		_, err := os.Stat(filepath.Join(dir, "ballast"))
		if (images == nil) != step.images || (events == nil) != step.events || (err == nil) != step.ballast {
			t.Errorf("with %d of 64 MiB taken: images %v, events %v, ballast %v; want %+v", step.fill, images, events, err, step)
		}
	}
}
