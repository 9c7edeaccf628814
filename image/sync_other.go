//go:build !linux

package image

import (
	"io/fs"
	"path/filepath"

	"github.com/fairwaycd/fairway/internal/durable"
)

// syncTree makes everything in dir durable.
func syncTree(dir string) error {
	return filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() && !d.IsDir() {
			return err
		}
		return durable.Sync(path)
	})
}
