package git

import (
	"bytes"
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/go-git/go-git/v5/utils/diff"

	"github.com/fairwaycd/fairway"
)

// How much of a commit is shown.
const (
	shownFiles   = 200
	shownBytes   = 64 << 10 // of a file's diff
	shownTotal   = 1 << 20  // of all diffs
	comparedSize = 1 << 20  // of a file; a larger one is only named
	shownAround  = 3        // lines
)

// Shown is a commit and what it changed against its first parent.
type Shown struct {
	CommitLine
	Parent string // full hash; empty for a first commit
	Files  []ShownFile
	More   int // changed files beyond those
}

// ShownFile is what a commit changed in a file.
type ShownFile struct {
	Path           string
	Change         string // added, removed, changed
	Added, Removed int    // lines
	Diff           string // unified, without names
	Binary, Cut    bool
}

// Show returns a commit of a full hash, or the tip of a branch. Large changes
// are cut, and say so.
func (s *Store) Show(ctx context.Context, project fairway.ProjectName, rev string) (Shown, error) {
	r, err := s.repo(ctx, project)
	if err != nil {
		return Shown{}, err
	}
	h, err := r.resolve(rev)
	if err != nil {
		return Shown{}, err
	}
	c, err := readCommit(r, h)
	if err != nil {
		return Shown{}, err
	}
	name, email := splitSignature(c.author)
	subject, _, _ := strings.Cut(c.message, "\n")
	out := Shown{CommitLine: CommitLine{Hash: h.String(), Author: name, Email: email, When: time.Unix(c.seconds(), 0).UTC(), Subject: subject, Message: c.message}}
	after, err := snapshot(r, h)
	if err != nil {
		return Shown{}, err
	}
	var before *Snapshot
	if len(c.parents) > 0 {
		out.Parent = c.parents[0].String()
		if before, err = snapshot(r, c.parents[0]); err != nil {
			return Shown{}, err
		}
	}
	paths, err := Changed(before, after)
	if err != nil {
		return Shown{}, err
	}
	if len(paths) > shownFiles {
		out.More = len(paths) - shownFiles
		paths = paths[:shownFiles]
	}
	room := shownTotal
	for _, path := range paths {
		if err := ctx.Err(); err != nil {
			return Shown{}, err
		}
		f, err := showFile(path, before, after, min(shownBytes, room))
		if err != nil {
			return Shown{}, err
		}
		room -= len(f.Diff)
		out.Files = append(out.Files, f)
	}
	return out, nil
}

func showFile(path string, before, after *Snapshot, room int) (ShownFile, error) {
	f := ShownFile{Path: path, Change: "changed"}
	var old []byte
	was := false
	if before != nil {
		var err error
		if old, was, err = before.File(path); err != nil {
			return f, err
		}
	}
	now, is, err := after.File(path)
	if err != nil {
		return f, err
	}
	switch {
	case !was:
		f.Change = "added"
	case !is:
		f.Change = "removed"
	}
	if bytes.IndexByte(old, 0) >= 0 || bytes.IndexByte(now, 0) >= 0 {
		f.Binary = true
		return f, nil
	}
	if len(old) > comparedSize || len(now) > comparedSize {
		f.Cut = true
		return f, nil
	}
	lines := diffLines(string(old), string(now))
	for _, l := range lines {
		switch l.sign {
		case '+':
			f.Added++
		case '-':
			f.Removed++
		}
	}
	f.Diff, f.Cut = unified(lines, room)
	return f, nil
}

// diffLine is a line of both files, or of one.
type diffLine struct {
	sign byte // space, + or -
	text string
}

func diffLines(old, now string) []diffLine {
	var out []diffLine
	for _, d := range diff.Do(old, now) {
		sign := byte(' ')
		switch {
		case d.Type > 0:
			sign = '+'
		case d.Type < 0:
			sign = '-'
		}
		for text := range strings.Lines(d.Text) {
			out = append(out, diffLine{sign, strings.TrimSuffix(text, "\n")})
		}
	}
	return out
}

// unified writes the changed lines with some around them. It ends after room
// bytes, at the end of a line, and reports whether anything is missing.
func unified(lines []diffLine, room int) (text string, cut bool) {
	near := make([]bool, len(lines))
	for i, l := range lines {
		if l.sign == ' ' {
			continue
		}
		for j := max(0, i-shownAround); j <= min(len(lines)-1, i+shownAround); j++ {
			near[j] = true
		}
	}
	var b strings.Builder
	old, now := 1, 1
	for i := 0; i < len(lines); i++ {
		if near[i] && (i == 0 || !near[i-1]) {
			n, m := 0, 0
			for j := i; j < len(lines) && near[j]; j++ {
				if lines[j].sign != '+' {
					n++
				}
				if lines[j].sign != '-' {
					m++
				}
			}
			fmt.Fprintf(&b, "@@ -%s +%s @@\n", lineRange(old, n), lineRange(now, m))
		}
		if near[i] {
			if b.Len()+len(lines[i].text)+2 > room {
				return b.String(), true
			}
			fmt.Fprintf(&b, "%c%s\n", lines[i].sign, lines[i].text)
		}
		if lines[i].sign != '+' {
			old++
		}
		if lines[i].sign != '-' {
			now++
		}
	}
	return b.String(), false
}

// lineRange is written as git does: of nothing, the line before.
func lineRange(from, n int) string {
	switch n {
	case 0:
		return fmt.Sprintf("%d,0", from-1)
	case 1:
		return fmt.Sprint(from)
	}
	return fmt.Sprintf("%d,%d", from, n)
}
