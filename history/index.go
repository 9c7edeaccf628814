package history

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"

	"github.com/fairwaycd/fairway/internal/durable"
)

// line is one entry of the index file: a row, or the ids of rows that are gone.
type line struct {
	Row  *row     `json:"row,omitempty"`
	Gone []string `json:"gone,omitempty"`
}

// index is a file of lines to which is only appended.
type index struct {
	path  string
	file  *os.File
	size  int64 // of the whole lines
	lines int
}

// openIndex hands every line to f, in order. What a crash cut off at the end is
// dropped, and so is a line that cannot be read.
func openIndex(path string, f func(line)) (*index, error) {
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	x := &index{path: path, file: file}
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	for {
		text, rest, whole := bytes.Cut(data, []byte("\n"))
		if !whole {
			break
		}
		var l line
		if json.Unmarshal(text, &l) == nil {
			f(l)
		}
		x.size += int64(len(text)) + 1
		x.lines++
		data = rest
	}
	return x, durable.Sync(filepath.Dir(path))
}

// append stores a line durably. After a failure the next one takes its place.
func (x *index) append(l line) error {
	text, err := json.Marshal(l)
	if err != nil {
		return err
	}
	text = append(text, '\n')
	if err := x.file.Truncate(x.size); err != nil {
		return err
	}
	if _, err := x.file.WriteAt(text, x.size); err != nil {
		return err
	}
	if err := x.file.Sync(); err != nil {
		return err
	}
	x.size += int64(len(text))
	x.lines++
	return nil
}

// replace makes the file anew.
func (x *index) replace(lines []line) error {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	for _, l := range lines {
		if err := enc.Encode(l); err != nil {
			return err
		}
	}
	if err := durable.WriteFile(x.path, b.Bytes()); err != nil {
		return err
	}
	file, err := os.OpenFile(x.path, os.O_RDWR, 0o600)
	if err != nil {
		return err
	}
	old := x.file
	x.file, x.size, x.lines = file, int64(b.Len()), len(lines)
	return old.Close()
}
