package datadir

import (
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/fairwaycd/fairway"
)

func TestSecondHolderIsRefusedWithTheFirstOnesPID(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	d, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	_, err = Open(dir)
	if fairway.KindOf(err) != fairway.KindConflict || !strings.Contains(err.Error(), strconv.Itoa(os.Getpid())) {
		t.Fatalf("opening it twice: %v", err)
	}
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	d, err = Open(dir)
	if err != nil {
		t.Fatalf("after the first holder left: %v", err)
	}
	d.Close()
}
