package git

import (
	"bytes"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/fairwaycd/fairway"
)

const headsPrefix = "refs/heads/"

// refs are all refs of a repository by full name. A value is never changed
// once it was published.
type refs map[string]hash

func (r refs) branch(name string) (hash, bool) {
	h, ok := r[headsPrefix+name]
	return h, ok
}

func (r refs) branches() []string {
	var names []string
	for name := range r {
		if b, ok := strings.CutPrefix(name, headsPrefix); ok {
			names = append(names, b)
		}
	}
	slices.Sort(names)
	return names
}

// readRefs reads the file packed-refs. Loose refs are not ours: another
// program left them, and to ignore them would hide what it did.
func readRefs(dir string) (refs, error) {
	if err := refuseLoose(dir); err != nil {
		return nil, err
	}
	path := filepath.Join(dir, "packed-refs")
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read refs: %w; restore the repository from a clone or a backup", err)
	}
	r := refs{}
	for i, line := range bytes.Split(data, []byte("\n")) {
		if len(line) == 0 || line[0] == '#' || line[0] == '^' {
			continue
		}
		text, name, ok := strings.Cut(string(line), " ")
		h, valid := parseHash(text)
		if !ok || !valid {
			return nil, fairway.Errorf(fairway.KindInternal, "%s:%d: %q is not a ref; restore the file from a clone or a backup", path, i+1, line)
		}
		r[name] = h
	}
	if _, ok := r.branch("main"); !ok {
		return nil, fairway.Errorf(fairway.KindInternal, "%s has no branch main; restore the file from a clone or a backup", path)
	}
	return r, nil
}

func refuseLoose(dir string) error {
	return filepath.WalkDir(filepath.Join(dir, "refs"), func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		return fairway.Errorf(fairway.KindRefused,
			"%s was written by another program; stop Fairway and run: git -C %s pack-refs --all && git -C %s repack -ad", path, dir, dir)
	})
}

// writeRefs replaces packed-refs as a whole, so that all refs change at once
// or none does.
func writeRefs(d disk, dir string, r refs) error {
	var b bytes.Buffer
	b.WriteString("# pack-refs with: sorted \n")
	for _, name := range slices.Sorted(maps.Keys(r)) {
		fmt.Fprintf(&b, "%s %s\n", r[name], name)
	}
	path := filepath.Join(dir, "packed-refs")
	if err := d.write(path+".lock", b.Bytes()); err != nil {
		return err
	}
	d.fail("git.ref.before-rename")
	if err := os.Rename(path+".lock", path); err != nil {
		return err
	}
	d.fail("git.ref.after-rename")
	return d.syncDir(dir)
}
