package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
)

// disk is an ext4 file system in a file, on a loop device. Its kernel writes
// to the file what was synced and, within five minutes, little else; so a copy
// of the file is what a power cut leaves.
type disk struct{ file, mount string }

// errNoDisk says why there is no such disk here.
var errNoDisk = errors.New("needs root and a loop device, to mount a file system that can be cut off")

func newDisk(ctx context.Context, dir string) (*disk, error) {
	if os.Geteuid() != 0 {
		return nil, errNoDisk
	}
	d := &disk{filepath.Join(dir, "disk.img"), filepath.Join(dir, "mnt")}
	if err := os.MkdirAll(d.mount, 0o700); err != nil {
		return nil, err
	}
	f, err := os.Create(d.file)
	if err != nil {
		return nil, err
	}
	if err := errors.Join(f.Truncate(2<<30), f.Close()); err != nil {
		return nil, err
	}
	if err := sh(ctx, "mkfs.ext4", "-q", "-F", "-E", "nodiscard", "-J", "size=16", d.file); err != nil {
		return nil, err
	}
	if err := d.attach(ctx); err != nil {
		return nil, errors.Join(errNoDisk, err)
	}
	return d, nil
}

func (d *disk) attach(ctx context.Context) error {
	return sh(ctx, "mount", "-o", "loop,commit=300", d.file, d.mount)
}

// detach leaves nothing mounted, also when ctx has ended.
func (d *disk) detach(ctx context.Context) error {
	return sh(context.WithoutCancel(ctx), "umount", d.mount)
}

// cut puts the disk into the state in which a power cut now would leave it.
// Nobody may have files of it open.
func (d *disk) cut(ctx context.Context) error {
	if err := sh(ctx, "cp", "--sparse=always", d.file, d.file+".cut"); err != nil {
		return err
	}
	// What is written now goes to the old file, which nobody reads again.
	if err := until(ctx, "the disk can be taken away", func() (bool, error) { return d.detach(ctx) == nil, nil }); err != nil {
		return errors.Join(err, d.detach(ctx))
	}
	if err := os.Rename(d.file+".cut", d.file); err != nil {
		return err
	}
	return d.attach(ctx)
}

func sh(ctx context.Context, name string, args ...string) error {
	if out, err := exec.CommandContext(ctx, name, args...).CombinedOutput(); err != nil {
		return fmt.Errorf("%s %v: %w\n%s", name, args, err, out)
	}
	return nil
}

// forgets shows that the disk does lose what was not synced, and nothing else.
func (d *disk) forgets(ctx context.Context) error {
	synced, unsynced := filepath.Join(d.mount, "synced"), filepath.Join(d.mount, "unsynced")
	f, err := os.Create(synced)
	if err != nil {
		return err
	}
	_, err = f.WriteString("kept")
	top, topErr := os.Open(d.mount)
	if err := errors.Join(err, f.Sync(), f.Close(), topErr, top.Sync(), top.Close(), os.WriteFile(unsynced, []byte("lost"), 0o600)); err != nil {
		return err
	}
	if err := d.cut(ctx); err != nil {
		return err
	}
	kept, err := os.ReadFile(synced)
	if err != nil || string(kept) != "kept" {
		return fmt.Errorf("the power cut lost a synced file: %w", err)
	}
	if lost, err := os.ReadFile(unsynced); err == nil && string(lost) == "lost" {
		return errors.New("the power cut kept a file that was not synced: this harness would see no loss")
	}
	return nil
}
