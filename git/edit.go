package git

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/go-git/go-git/v5/plumbing"

	"github.com/fairwaycd/fairway"
)

// edit writes the tree that results from the changes into v and returns its
// hash: content by path; nil deletes a file, or a directory with everything
// below it. Only the directories on the way to a change are rewritten. A zero
// root is the empty tree.
func edit(v *overlay, root hash, changes map[string][]byte) (hash, error) {
	for path := range changes {
		if err := validPath(path); err != nil {
			return hash{}, err
		}
	}
	h, err := editTree(v, root, "", changes)
	if err == nil && h.IsZero() {
		h = v.put(plumbing.TreeObject, nil)
	}
	return h, err
}

// editTree returns the zero hash when nothing is left.
func editTree(v *overlay, tree hash, prefix string, changes map[string][]byte) (hash, error) {
	entries := map[string]treeEntry{}
	if !tree.IsZero() {
		list, err := readTree(v, tree)
		if err != nil {
			return hash{}, err
		}
		for _, e := range list {
			entries[e.name] = e
		}
	}
	deeper := map[string]map[string][]byte{}
	for path, data := range changes {
		name, rest, below := strings.Cut(path, "/")
		switch {
		case below:
			if deeper[name] == nil {
				deeper[name] = map[string][]byte{}
			}
			deeper[name][rest] = data
		case data == nil:
			delete(entries, name)
		}
	}
	for path, data := range changes {
		if strings.Contains(path, "/") || data == nil {
			continue
		}
		if err := setFile(v, entries, prefix, path, data); err != nil {
			return hash{}, err
		}
	}
	for _, name := range slices.Sorted(maps.Keys(deeper)) {
		if err := editDir(v, entries, prefix, name, deeper[name]); err != nil {
			return hash{}, err
		}
	}
	if len(entries) == 0 {
		return hash{}, nil
	}
	return v.put(plumbing.TreeObject, encodeTree(slices.Collect(maps.Values(entries)))), nil
}

func setFile(v *overlay, entries map[string]treeEntry, prefix, name string, data []byte) error {
	old, ok := entries[name]
	if ok && old.isDir() {
		return fairway.Invalid("path", prefix+name, "is a directory", "delete it in the same change, or choose another name")
	}
	e := treeEntry{mode: modeFile, name: name, hash: v.put(plumbing.BlobObject, slices.Clone(data))}
	if ok && old.isFile() {
		e.mode = old.mode // keeps the executable bit
	}
	entries[name] = e
	return nil
}

func editDir(v *overlay, entries map[string]treeEntry, prefix, name string, changes map[string][]byte) error {
	old, ok := entries[name]
	if ok && !old.isDir() {
		if onlyDeletes(changes) {
			return nil
		}
		return fairway.Invalid("path", prefix+name, "is a file, so nothing can lie below it", "delete it in the same change, or choose another name")
	}
	h, err := editTree(v, old.hash, prefix+name+"/", changes)
	if err != nil {
		return err
	}
	if h.IsZero() {
		delete(entries, name)
		return nil
	}
	entries[name] = treeEntry{mode: modeDir, name: name, hash: h}
	return nil
}

func onlyDeletes(changes map[string][]byte) bool {
	for _, data := range changes {
		if data != nil {
			return false
		}
	}
	return true
}

// validPath refuses paths that git or a file system would read as something
// else than a file below the root.
func validPath(path string) error {
	for name := range strings.SplitSeq(path, "/") {
		if problem := badName(name); problem != "" {
			return fairway.Invalid("path", path, problem, "use a relative path such as helm-chart/values.yaml")
		}
	}
	return nil
}

// badName says what is wrong with a name within a tree, or nothing.
func badName(name string) string {
	switch {
	case name == "":
		return "has an empty part"
	case name == "." || name == "..":
		return fmt.Sprintf("has the part %q", name)
	case strings.EqualFold(name, ".git"):
		return "has the part .git, which is git's own"
	case len(name) > 255:
		return "has a part of more than 255 bytes"
	case strings.ContainsFunc(name, func(c rune) bool { return c < ' ' || c == '\\' || c == '/' || c == 0x7f }):
		return "has a control character or a backslash"
	}
	return ""
}
