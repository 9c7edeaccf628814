package image

import (
	"archive/tar"
	"os"
	"strings"
)

// UnpackForTest applies entries as one layer to the new directory root.
func UnpackForTest(root string, entries ...*tar.Header) error {
	if err := os.Mkdir(root, 0o700); err != nil {
		return err
	}
	r, err := os.OpenRoot(root)
	if err != nil {
		return err
	}
	defer r.Close()
	t := &tree{root: r, created: map[string]bool{}}
	for _, h := range entries {
		if err := t.put(h, strings.NewReader("x")); err != nil {
			return err
		}
	}
	return t.confine()
}
