package testenv

import (
	"os"
	"strconv"
	"testing"
)

// SmallDisk mounts an empty file system of that many bytes for the time of the
// test and returns its directory. Only root can mount: others skip the test,
// unless FAIRWAY_REQUIRE_ALL is 1.
func SmallDisk(t testing.TB, size int) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "fairway-disk-")
	if err != nil {
		t.Fatal(err)
	}
	err = mountTmpfs(dir, "size="+strconv.Itoa(size))
	if err != nil {
		os.Remove(dir)
		if os.Getenv("FAIRWAY_REQUIRE_ALL") == "1" {
			t.Fatalf("a small disk cannot be mounted, which needs root: %v", err)
		}
		t.Skipf("a small disk cannot be mounted, which needs root: %v", err)
	}
	t.Cleanup(func() {
		if err := unmount(dir); err != nil {
			t.Errorf("unmount %s: %v", dir, err)
		}
		os.Remove(dir)
	})
	return dir
}

// Fill takes all room of the disk that dir lies on, and returns what gives it
// back.
func Fill(t testing.TB, dir string) (free func()) {
	t.Helper()
	f, err := os.CreateTemp(dir, "fill-")
	if err != nil {
		t.Fatal(err)
	}
	chunk := make([]byte, 64<<10)
	for len(chunk) > 0 {
		if _, err := f.Write(chunk); err != nil {
			chunk = chunk[:len(chunk)/2]
		}
	}
	return func() {
		f.Close()
		os.Remove(f.Name())
	}
}
