package image

import (
	"archive/tar"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"strings"

	"github.com/fairwaycd/fairway"
)

// tree is a file system under construction. Paths in it are relative, clean
// and slash-separated; "" is the root itself. Every path is resolved here, as
// if the root were "/", before os.Root sees it, which would refuse an absolute
// link that is quite normal in an image; os.Root is the second lock.
type tree struct {
	root    *os.Root
	budget  *budget
	created map[string]bool // by the layer at hand, with all directories above
	links   []string        // every symbolic link that was made
}

const (
	whiteout = ".wh."         // prefix of a name that hides one of a lower layer
	opaque   = ".wh..wh..opq" // hides all that lower layers have in its directory
	ofAUFS   = ".wh..wh."     // prefix, at a layer's top, of a driver's own records
	mostHops = 255            // symbolic links on the way to one path
)

// put applies one entry of a layer.
func (t *tree) put(h *tar.Header, content io.Reader) error {
	name, err := inside(h.Name)
	if err != nil || name == "" {
		return err
	}
	dir, base := path.Split(name)
	if strings.HasPrefix(name, ofAUFS) && base != opaque {
		return nil
	}
	parent, err := t.ensure(path.Clean(dir))
	if err != nil {
		return err
	}
	if strings.HasPrefix(base, whiteout) {
		return t.hide(parent, base)
	}
	target := path.Join(parent, base)
	switch h.Typeflag {
	case tar.TypeDir, tar.TypeReg, tar.TypeSymlink, tar.TypeLink:
	default:
		return nil // devices, pipes and sockets are not for us to make
	}
	if err := t.clear(target, h.Typeflag == tar.TypeDir); err != nil {
		return err
	}
	switch h.Typeflag {
	case tar.TypeDir:
		err = t.directory(target, h.FileInfo().Mode())
	case tar.TypeReg:
		err = t.file(target, h.FileInfo().Mode(), content)
	case tar.TypeSymlink:
		err = t.symlink(target, h.Linkname)
	case tar.TypeLink:
		err = t.hardLink(target, h.Linkname)
	}
	if err == nil {
		t.mark(target)
	}
	return err
}

// inside cleans a layer's path and refuses one that leads above the root.
func inside(name string) (string, error) {
	clean := path.Clean(strings.TrimLeft(name, "/"))
	if clean == ".." || strings.HasPrefix(clean, "../") {
		return "", fairway.Errorf(fairway.KindRefused, "leads out of the image; such an image is broken or hostile, and nothing of it was kept")
	}
	if clean == "." {
		return "", nil
	}
	return clean, nil
}

func (t *tree) mark(name string) {
	for ; name != "." && name != "" && !t.created[name]; name = path.Dir(name) {
		t.created[name] = true
	}
}

// resolve follows the symbolic links in name as inside the image. Components
// that do not exist are taken as they are. clamped says that ".." was tried at
// the root.
func (t *tree) resolve(name string) (resolved string, clamped bool, err error) {
	var done []string
	todo := strings.Split(name, "/")
	for hops := 0; len(todo) > 0; {
		c := todo[0]
		todo = todo[1:]
		switch c {
		case "", ".":
			continue
		case "..":
			if len(done) == 0 {
				clamped = true
				continue
			}
			done = done[:len(done)-1]
			continue
		}
		here := path.Join(path.Join(done...), c)
		to, err := t.root.Readlink(here)
		if err != nil { // no link, or not there
			done = append(done, c)
			continue
		}
		if hops++; hops > mostHops {
			return "", clamped, fairway.Errorf(fairway.KindRefused, "leads through more than %d symbolic links; the image is broken", mostHops)
		}
		if path.IsAbs(to) {
			done = nil
		}
		todo = append(strings.Split(to, "/"), todo...)
	}
	return path.Join(done...), clamped, nil
}

// ensure makes the directory dir and those above it, and returns where it
// really is.
func (t *tree) ensure(dir string) (string, error) {
	if dir == "." || dir == "" {
		return "", nil
	}
	real, _, err := t.resolve(dir)
	if err != nil || real == "" {
		return "", err
	}
	if fi, err := t.root.Lstat(real); err == nil && fi.IsDir() {
		return real, nil
	}
	at := ""
	for _, c := range strings.Split(real, "/") {
		at = path.Join(at, c)
		if err := t.clear(at, true); err != nil {
			return "", err
		}
		if err := t.root.Mkdir(at, 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
			return "", err
		}
		t.mark(at)
	}
	return real, nil
}

// clear removes what is at name, unless it is a directory and is to be one.
func (t *tree) clear(name string, forDir bool) error {
	fi, err := t.root.Lstat(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if forDir && fi.IsDir() {
		return nil
	}
	return t.root.RemoveAll(name)
}

func (t *tree) directory(name string, mode fs.FileMode) error {
	if err := t.root.Mkdir(name, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return t.root.Chmod(name, mode.Perm()|0o700) // ours to fill and to remove
}

func (t *tree) file(name string, mode fs.FileMode, content io.Reader) error {
	f, err := t.root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	if _, err = io.Copy(f, content); err == nil {
		err = f.Chmod(mode.Perm() | 0o400) // Perm leaves out setuid, setgid and sticky
	}
	if closed := f.Close(); err == nil {
		err = closed
	}
	return err
}

// symlink makes a link whose target starts at the root relative, and one with
// too many ".." stop at the root, so that it leads to the same place without
// chroot.
func (t *tree) symlink(name, target string) error {
	if target == "" {
		return fairway.Errorf(fairway.KindRefused, "is a symbolic link to nothing; the image is broken")
	}
	parent := path.Dir(name)
	if path.IsAbs(target) || climbs(parent, target) {
		if path.IsAbs(target) {
			target = path.Clean(target)
		} else {
			target = path.Clean("/" + parent + "/" + target)
		}
		target = relative(parent, target[1:])
	}
	if err := t.root.Symlink(target, name); err != nil {
		return err
	}
	t.links = append(t.links, name)
	return nil
}

// climbs reports whether target, read literally from the directory parent,
// leads above the root at any point.
func climbs(parent, target string) bool {
	depth := 0
	for _, c := range strings.Split(path.Join("/", parent)+"/"+target, "/") {
		switch c {
		case "", ".":
		case "..":
			if depth--; depth < 0 {
				return true
			}
		default:
			depth++
		}
	}
	return false
}

// relative returns the way from the directory parent to target.
func relative(parent, target string) string {
	up := ""
	if parent != "." && parent != "" {
		up = strings.Repeat("../", strings.Count(parent, "/")+1)
	}
	if target = up + target; target == "" {
		return "."
	}
	return target
}

// hardLink links to a file of this or a lower layer. The last component is not
// followed, as tar does not either.
func (t *tree) hardLink(name, target string) error {
	clean, err := inside(target)
	if err != nil {
		return fmt.Errorf("hard link to %q: %w", target, err)
	}
	dir, _, err := t.resolve(path.Dir(clean))
	if err != nil {
		return err
	}
	old := path.Join(dir, path.Base(clean))
	fi, err := t.root.Lstat(old)
	if err != nil || fi.IsDir() {
		return fairway.Errorf(fairway.KindRefused, "is a hard link to %q, which is no file of the image; the image is broken", target)
	}
	if fi.Mode()&fs.ModeSymlink != 0 {
		// Another directory needs another relative target.
		to, err := t.root.Readlink(old)
		if err != nil {
			return err
		}
		if !path.IsAbs(to) {
			to = path.Clean("/" + dir + "/" + to)
		}
		return t.symlink(name, to)
	}
	return t.root.Link(old, name)
}

// hide applies a whiteout that lies in the directory parent.
func (t *tree) hide(parent, base string) error {
	if base == opaque {
		return t.hideLower(parent)
	}
	name := strings.TrimPrefix(base, whiteout)
	if name == "" || name == "." || name == ".." {
		return fairway.Errorf(fairway.KindRefused, "hides nothing that could be there; the image is broken")
	}
	target := path.Join(parent, name)
	if !t.created[target] {
		return t.root.RemoveAll(target)
	}
	// This layer has its own, under which lower layers' may lie.
	if fi, err := t.root.Lstat(target); err != nil || !fi.IsDir() {
		return err
	}
	return t.hideLower(target)
}

// hideLower removes from dir what lower layers put there, wherever in the
// layer the marker stands.
func (t *tree) hideLower(dir string) error {
	if dir == "" {
		dir = "."
	}
	entries, err := fs.ReadDir(t.root.FS(), dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		name := path.Join(dir, e.Name())
		switch {
		case !t.created[name]:
			err = t.root.RemoveAll(name)
		case e.IsDir():
			err = t.hideLower(name)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// confine refuses the image if a symbolic link still leads above the root, by
// way of another one.
func (t *tree) confine() error {
	for _, name := range t.links {
		if _, err := t.root.Readlink(name); err != nil {
			continue // hidden or replaced by a higher layer
		}
		// A circle of links hurts only who opens it.
		if _, clamped, _ := t.resolve(name); clamped {
			return fairway.Errorf(fairway.KindRefused, "the symbolic link %q leads out of the image; make it point inside", name)
		}
	}
	return nil
}
