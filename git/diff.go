package git

import (
	"bytes"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Diff shows what differs between two states of some files, as git does, up to
// the bounds of [Store.Show]. What is nil is not there.
func Diff(before, after map[string][]byte) string {
	all := map[string][]byte{}
	maps.Copy(all, before)
	maps.Copy(all, after)
	var b strings.Builder
	for _, name := range slices.Sorted(maps.Keys(all)) {
		old, now := before[name], after[name]
		if bytes.Equal(old, now) {
			continue
		}
		from, to := "a/"+name, "b/"+name
		if old == nil {
			from = "/dev/null"
		}
		if now == nil {
			to = "/dev/null"
		}
		if bytes.IndexByte(old, 0) >= 0 || bytes.IndexByte(now, 0) >= 0 || len(old) > comparedSize || len(now) > comparedSize {
			fmt.Fprintf(&b, "files %s and %s differ\n", from, to)
			continue
		}
		text, cut := unified(diffLines(string(old), string(now)), min(shownBytes, max(0, shownTotal-b.Len())))
		fmt.Fprintf(&b, "--- %s\n+++ %s\n%s", from, to, text)
		if cut {
			b.WriteString("… more lines of it differ\n")
		}
	}
	return b.String()
}
