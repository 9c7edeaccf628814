//go:build unix && !linux

package datadir

import (
	"os"
	"syscall"
)

// Room returns the free and all bytes of the disk that dir lies on.
func Room(dir string) (free, total int64, err error) {
	var st syscall.Statfs_t
	if err := syscall.Statfs(dir, &st); err != nil {
		return 0, 0, err
	}
	return int64(st.Bavail) * int64(st.Bsize), int64(st.Blocks) * int64(st.Bsize), nil
}

func allocate(f *os.File, size int64) error { return fill(f, size) }
