package backup

import (
	"archive/tar"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/fairwaycd/fairway"
	"github.com/fairwaycd/fairway/internal/durable"
)

// Restore makes a data directory of a backup. Everything is read and checked
// before dir changes. A dir that holds something is refused unless force is
// set; it is moved aside then, and before says where.
func Restore(r io.Reader, dir string, force bool) (head Head, before string, err error) {
	if dir, err = filepath.Abs(dir); err != nil {
		return head, "", err
	}
	entries, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return head, "", fmt.Errorf("look at %s: %w", dir, err)
	}
	if len(entries) > 0 && !force {
		return head, "", fairway.Errorf(fairway.KindConflict, "%s is not empty, and nothing was changed; name another directory with --data, or move what is there aside with --force", dir)
	}
	if err := os.MkdirAll(filepath.Dir(dir), 0o700); err != nil {
		return head, "", fmt.Errorf("make the directory above %s: %w", dir, err)
	}
	tmp, err := os.MkdirTemp(filepath.Dir(dir), "."+filepath.Base(dir)+".restoring-")
	if err != nil {
		return head, "", fmt.Errorf("make a directory beside %s: %w", dir, err)
	}
	defer os.RemoveAll(tmp) // in vain after the rename
	if head, err = unpack(r, tmp); err != nil {
		return head, "", err
	}
	if len(entries) > 0 {
		before = dir + ".before-" + time.Now().UTC().Format("20060102T150405")
		err = os.Rename(dir, before)
	} else if err = os.Remove(dir); errors.Is(err, fs.ErrNotExist) {
		err = nil
	}
	if err == nil {
		err = os.Rename(tmp, dir)
	}
	if err == nil {
		err = durable.Sync(filepath.Dir(dir))
	}
	if err != nil {
		return head, before, fmt.Errorf("put the restored directory in its place: %w", err)
	}
	return head, before, nil
}

// damaged says that a file is no whole backup.
func damaged(format string, args ...any) error {
	return fairway.Errorf(fairway.KindInvalid, "the backup is damaged or not whole, and nothing was changed: %s; use another one", fmt.Sprintf(format, args...))
}

// unpack writes the files of a backup below dir, and checks that all are there
// as they were written.
func unpack(r io.Reader, dir string) (head Head, err error) {
	zip, err := gzip.NewReader(r)
	if err != nil {
		return head, fairway.Errorf(fairway.KindInvalid, "this is no backup of Fairway: %w", err)
	}
	in, sums := tar.NewReader(zip), map[string]string{}
	for first := true; ; first = false {
		h, err := in.Next()
		if err != nil {
			return head, damaged("it ends without its list of files (%v)", err)
		}
		switch {
		case first:
			if h.Name != headFile || json.NewDecoder(in).Decode(&head) != nil {
				return head, fairway.Errorf(fairway.KindInvalid, "this is no backup of Fairway: it does not begin with %s", headFile)
			}
			if head.Format > format {
				return head, fairway.Errorf(fairway.KindRefused, "the backup was written by Fairway %s in a newer form than this program reads; restore it with that version or a later one", head.Version)
			}
		case h.Name == manifestFile:
			return head, check(in, sums)
		case !filepath.IsLocal(h.Name) || h.Typeflag != tar.TypeReg && h.Typeflag != tar.TypeDir:
			return head, damaged("%q is no path within it", h.Name)
		case h.Typeflag == tar.TypeDir:
			if err := os.MkdirAll(filepath.Join(dir, h.Name), 0o700); err != nil {
				return head, fmt.Errorf("restore: %w", err)
			}
		default:
			if sums[h.Name], err = write(filepath.Join(dir, h.Name), in); err != nil {
				return head, err
			}
		}
	}
}

func write(path string, r io.Reader) (sum string, err error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return "", fmt.Errorf("restore: %w", err)
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return "", fmt.Errorf("restore: %w", err)
	}
	h := sha256.New()
	_, err = io.Copy(io.MultiWriter(f, h), r)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return "", fmt.Errorf("restore %s: %w", filepath.Base(path), err)
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

func check(r io.Reader, sums map[string]string) error {
	var want map[string]string
	if err := json.NewDecoder(r).Decode(&want); err != nil {
		return damaged("its list of files cannot be read")
	}
	delete(want, headFile)
	for name, sum := range want {
		if sums[name] != sum {
			return damaged("%s is not as it was written", name)
		}
	}
	if len(want) != len(sums) {
		return damaged("it holds %d files and lists %d", len(sums), len(want))
	}
	return nil
}
