package testenv

import "syscall"

func mountTmpfs(dir, options string) error {
	return syscall.Mount("tmpfs", dir, "tmpfs", 0, options)
}

// unmount lets go of the disk even where a file is open still.
func unmount(dir string) error { return syscall.Unmount(dir, syscall.MNT_DETACH) }
