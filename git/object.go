package git

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/go-git/go-git/v5/plumbing"
)

type hash = plumbing.Hash

// object is a git object, inflated. Its data is shared and never written to.
type object struct {
	typ  plumbing.ObjectType
	data []byte
}

// source is where objects are read from. It is safe for concurrent use.
type source interface {
	// object returns an error that wraps errMissing when there is none.
	object(h hash) (object, error)
	has(h hash) bool
}

var errMissing = errors.New("is not in the repository")

func parseHash(s string) (hash, bool) {
	if len(s) != 40 || !plumbing.IsHash(s) {
		return hash{}, false
	}
	return plumbing.NewHash(s), true
}

// commit is a commit, parsed. Author and committer are kept as git writes
// them: NAME <EMAIL> SECONDS ZONE.
type commit struct {
	tree              hash
	parents           []hash
	author, committer string
	message           string
}

func parseCommit(data []byte) (commit, error) {
	var c commit
	head, message, ok := bytes.Cut(data, []byte("\n\n"))
	if !ok {
		head = bytes.TrimSuffix(data, []byte("\n"))
	}
	c.message = string(message)
	for line := range strings.SplitSeq(string(head), "\n") {
		key, value, _ := strings.Cut(line, " ")
		switch key {
		case "tree", "parent":
			h, ok := parseHash(value)
			if !ok {
				return c, fmt.Errorf("malformed commit: %q is not a hash", value)
			}
			if key == "tree" {
				c.tree = h
			} else {
				c.parents = append(c.parents, h)
			}
		case "author":
			c.author = value
		case "committer":
			c.committer = value
		}
	}
	if c.tree.IsZero() || c.committer == "" {
		return c, errors.New("malformed commit: it has no tree or no committer")
	}
	return c, nil
}

func (c commit) encode() []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "tree %s\n", c.tree)
	for _, p := range c.parents {
		fmt.Fprintf(&b, "parent %s\n", p)
	}
	fmt.Fprintf(&b, "author %s\ncommitter %s\n\n%s", c.author, c.committer, c.message)
	return b.Bytes()
}

// seconds returns the committer's time in seconds since 1970, zero when it
// cannot be read.
func (c commit) seconds() int64 {
	_, rest, _ := strings.Cut(c.committer, "> ")
	text, _, _ := strings.Cut(rest, " ")
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		return 0
	}
	return n
}

// signature formats who made a commit, and when.
func signature(name, email string, when time.Time) string {
	clean := strings.NewReplacer("<", "", ">", "", "\n", " ", "\r", " ", "\x00", "")
	return fmt.Sprintf("%s <%s> %d %s", strings.TrimSpace(clean.Replace(name)), strings.TrimSpace(clean.Replace(email)),
		max(when.Unix(), 0), when.Format("-0700"))
}

// splitSignature is the inverse of signature, without the time.
func splitSignature(s string) (name, email string) {
	name, rest, _ := strings.Cut(s, "<")
	email, _, _ = strings.Cut(rest, ">")
	return strings.TrimSpace(name), email
}

// The modes that an entry of a tree may have.
const (
	modeDir       = 0o040000
	modeFile      = 0o100644
	modeGroupFile = 0o100664 // written by very old versions of git
	modeExec      = 0o100755
	modeLink      = 0o120000
	modeModule    = 0o160000
)

type treeEntry struct {
	mode uint32
	name string
	hash hash
}

func (e treeEntry) isDir() bool { return e.mode == modeDir }

func (e treeEntry) isFile() bool {
	return e.mode == modeFile || e.mode == modeExec || e.mode == modeGroupFile
}

func parseTree(data []byte) ([]treeEntry, error) {
	entries := make([]treeEntry, 0, len(data)/36)
	for len(data) > 0 {
		head, rest, ok := bytes.Cut(data, []byte{0})
		if !ok || len(rest) < len(hash{}) {
			return nil, errors.New("malformed tree: it ends in the middle of an entry")
		}
		mode, name, ok := strings.Cut(string(head), " ")
		n, err := strconv.ParseUint(mode, 8, 32)
		if !ok || err != nil {
			return nil, fmt.Errorf("malformed tree: entry %q has no mode", head)
		}
		e := treeEntry{mode: uint32(n), name: name}
		copy(e.hash[:], rest)
		entries = append(entries, e)
		data = rest[len(e.hash):]
	}
	return entries, nil
}

// encodeTree sorts the entries as git does, which compares a directory as if
// its name ended in a slash.
func encodeTree(entries []treeEntry) []byte {
	key := func(e treeEntry) string {
		if e.isDir() {
			return e.name + "/"
		}
		return e.name
	}
	slices.SortFunc(entries, func(a, b treeEntry) int { return strings.Compare(key(a), key(b)) })
	var b bytes.Buffer
	for _, e := range entries {
		fmt.Fprintf(&b, "%o %s\x00", e.mode, e.name)
		b.Write(e.hash[:])
	}
	return b.Bytes()
}

func readCommit(src source, h hash) (commit, error) {
	o, err := src.object(h)
	if err != nil {
		return commit{}, err
	}
	if o.typ != plumbing.CommitObject {
		return commit{}, fmt.Errorf("object %s is a %s, not a commit", h, o.typ)
	}
	return parseCommit(o.data)
}

func readTree(src source, h hash) ([]treeEntry, error) {
	o, err := src.object(h)
	if err != nil {
		return nil, err
	}
	if o.typ != plumbing.TreeObject {
		return nil, fmt.Errorf("object %s is a %s, not a tree", h, o.typ)
	}
	return parseTree(o.data)
}

// overlay is a source with new objects in memory over another one.
type overlay struct {
	base  source
	added map[hash]object
	order []hash
}

func newOverlay(base source) *overlay { return &overlay{base: base, added: map[hash]object{}} }

func (v *overlay) object(h hash) (object, error) {
	if o, ok := v.added[h]; ok {
		return o, nil
	}
	return v.base.object(h)
}

func (v *overlay) has(h hash) bool {
	_, ok := v.added[h]
	return ok || v.base.has(h)
}

// put adds an object unless it is there already.
func (v *overlay) put(typ plumbing.ObjectType, data []byte) hash {
	h := plumbing.ComputeHash(typ, data)
	if !v.has(h) {
		v.added[h] = object{typ, data}
		v.order = append(v.order, h)
	}
	return h
}

// truncate takes back all but the first n objects that were added.
func (v *overlay) truncate(n int) {
	for _, h := range v.order[n:] {
		delete(v.added, h)
	}
	v.order = v.order[:n]
}

// fill writes all that was added into a pack.
func (v *overlay) fill(pw *packWriter) error {
	for _, h := range v.order {
		o := v.added[h]
		if err := pw.object(h, o.typ, int64(len(o.data)), deflate(o.data)); err != nil {
			return err
		}
	}
	return nil
}

// nothing is the source of a repository that does not exist yet.
type nothing struct{}

func (nothing) has(hash) bool { return false }

func (nothing) object(h hash) (object, error) {
	return object{}, fmt.Errorf("object %s %w", h, errMissing)
}
