package image

import (
	"os"

	"golang.org/x/sys/unix"
)

// syncTree makes everything in dir durable. One sync of the file system costs
// less than one of each of ten thousand files.
func syncTree(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer f.Close()
	return unix.Syncfs(int(f.Fd()))
}
