package datadir

import (
	"context"
	"io/fs"
	"os"
	"path/filepath"
)

// Usage is how many bytes, in how many files, a part of the data directory
// takes.
type Usage struct {
	Name  string // of the directory or file
	Bytes int64
	Files int
}

// Usage measures every entry of the data directory. It looks at every file, so
// do not ask for it often. What goes away meanwhile is left out.
func (d *Dir) Usage(ctx context.Context) ([]Usage, error) {
	entries, err := os.ReadDir(d.path)
	if err != nil {
		return nil, err
	}
	var out []Usage
	for _, e := range entries {
		u := Usage{Name: e.Name()}
		err := filepath.WalkDir(filepath.Join(d.path, e.Name()), func(_ string, f fs.DirEntry, err error) error {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			if err != nil || f.IsDir() {
				return nil // it has gone
			}
			if info, err := f.Info(); err == nil {
				u.Bytes += info.Size()
				u.Files++
			}
			return nil
		})
		if err != nil {
			return nil, err
		}
		out = append(out, u)
	}
	return out, nil
}

// Disk is the room on the disk of the data directory, in bytes.
type Disk struct {
	Free    int64 // without the ballast's
	Total   int64
	Reserve int64 // below this, images and pushes to git are refused
	Least   int64 // below this, everything new is
}

// Disk looks at the disk.
func (s *Space) Disk() (Disk, error) {
	free, err := s.Spare()
	if err != nil {
		return Disk{}, err
	}
	_, total, err := Room(s.dir)
	return Disk{Free: free, Total: total, Reserve: s.reserve, Least: s.reserve / 4}, err
}
