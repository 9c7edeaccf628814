package image

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/fairwaycd/fairway"
)

// unpack applies the image's layers, lowest first, to the new directory root.
func (s *Store) unpack(ctx context.Context, img v1.Image, root string) error {
	layers, err := img.Layers()
	if err != nil {
		return err
	}
	if err := os.Mkdir(root, 0o700); err != nil {
		return err
	}
	r, err := os.OpenRoot(root)
	if err != nil {
		return err
	}
	defer r.Close()
	t := &tree{root: r, budget: &budget{ctx: ctx, size: s.o.Limits.Size, entries: s.o.Limits.Entries, limits: s.o.Limits}}
	for i, l := range layers {
		if err := t.apply(l); err != nil {
			return fmt.Errorf("layer %d of %d: %w", i+1, len(layers), err)
		}
	}
	return t.confine()
}

// apply unpacks one layer over what is there.
func (t *tree) apply(l v1.Layer) error {
	t.created = map[string]bool{}
	rc, err := l.Uncompressed()
	if err != nil {
		return err
	}
	defer rc.Close()
	content := &metered{r: rc, budget: t.budget}
	tr := tar.NewReader(content)
	for {
		h, err := tr.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			return badLayer(err)
		}
		if err := t.budget.entry(); err != nil {
			return err
		}
		if err := t.put(h, tr); err != nil {
			return fmt.Errorf("%q: %w", h.Name, err)
		}
	}
	// The digest is checked when the end has been read, and not before.
	if _, err := io.Copy(io.Discard, content); err != nil {
		return badLayer(err)
	}
	return nil
}

// badLayer classes an error of reading a layer: only a malformed archive is
// final, all else may be the network's.
func badLayer(err error) error {
	if errors.Is(err, tar.ErrHeader) {
		return fairway.Errorf(fairway.KindRefused, "is not a tar archive; build and push the image again: %w", err)
	}
	return err
}

// budget is what is left of the limits.
type budget struct {
	ctx     context.Context // of the Unpack that the budget belongs to
	size    int64
	entries int
	limits  Limits
}

func (b *budget) entry() error {
	if b.entries--; b.entries < 0 {
		return fairway.Errorf(fairway.KindRefused, "the image has more than %d entries; make it smaller, or raise the limit", b.limits.Entries)
	}
	return nil
}

// metered reads at the budget's expense.
type metered struct {
	r      io.Reader
	budget *budget
}

func (m *metered) Read(p []byte) (int, error) {
	if err := m.budget.ctx.Err(); err != nil {
		return 0, err
	}
	n, err := m.r.Read(p)
	if m.budget.size -= int64(n); m.budget.size < 0 {
		return 0, fairway.Errorf(fairway.KindRefused, "the image is larger than %d bytes when unpacked; make it smaller, or raise the limit", m.budget.limits.Size)
	}
	return n, err
}
