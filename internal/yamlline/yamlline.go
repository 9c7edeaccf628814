// Package yamlline finds the line at which a YAML document goes wrong. The
// parser's own errors name the beginning of the block that could not be read
// to its end, which may be far above.
package yamlline

import (
	"bytes"
	"sort"
)

// Of returns the first line, from 1 on, up to which the document gives the
// same error as the whole does, or 0 when the whole gives none. A parser reads
// on from the beginning, so that this line holds what it could not take.
func Of(data []byte, parse func([]byte) error) int {
	whole := parse(data)
	if whole == nil {
		return 0
	}
	var ends []int
	for at := 0; at < len(data); {
		n := bytes.IndexByte(data[at:], '\n')
		if n < 0 {
			n = len(data) - at - 1
		}
		at += n + 1
		ends = append(ends, at)
	}
	n := sort.Search(len(ends), func(i int) bool {
		err := parse(data[:ends[i]])
		return err != nil && err.Error() == whole.Error()
	})
	return min(n+1, len(ends))
}
