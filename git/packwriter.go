package git

import (
	"bytes"
	"crypto/sha1"
	"encoding/binary"
	"fmt"
	gohash "hash"
	"hash/crc32"
	"io"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/format/idxfile"
)

// packWriter writes a pack: a header with the number of objects, the objects,
// a checksum.
type packWriter struct {
	w     io.Writer
	sum   gohash.Hash
	off   int64
	count int
	index idxfile.Writer
	pos   map[hash]int64 // of what was written
	whole bool           // the reader knows no deltas by offset: copy without them
}

func newPackWriter(w io.Writer, count int) (*packWriter, error) {
	pw := &packWriter{w: w, sum: sha1.New(), count: count, pos: make(map[hash]int64, count)}
	head := binary.BigEndian.AppendUint32([]byte("PACK"), 2)
	head = binary.BigEndian.AppendUint32(head, uint32(count))
	if err := pw.index.OnHeader(uint32(count)); err != nil {
		return nil, err
	}
	return pw, pw.write(head)
}

func (pw *packWriter) write(b []byte) error {
	pw.sum.Write(b)
	pw.off += int64(len(b))
	_, err := pw.w.Write(b)
	return err
}

// emit writes one entry: the bytes of its head, then its deflated data.
func (pw *packWriter) emit(h hash, head, z []byte) error {
	off := pw.off
	pw.pos[h] = off
	pw.index.Add(h, uint64(off), crc32.Update(crc32.ChecksumIEEE(head), crc32.IEEETable, z))
	if err := pw.write(head); err != nil {
		return err
	}
	return pw.write(z)
}

// object writes a whole object whose data is deflated already.
func (pw *packWriter) object(h hash, typ plumbing.ObjectType, size int64, z []byte) error {
	return pw.emit(h, entryHead(typ, size), z)
}

// delta writes an object as the difference to one that was written before.
func (pw *packWriter) delta(h, base hash, size int64, z []byte) error {
	head := entryHead(plumbing.OFSDeltaObject, size)
	back := pw.off - pw.pos[base]
	var b [10]byte
	n := len(b) - 1
	b[n] = byte(back & 0x7f)
	for back >>= 7; back > 0; back >>= 7 {
		back--
		n--
		b[n] = 0x80 | byte(back&0x7f)
	}
	return pw.emit(h, append(head, b[n:]...), z)
}

// copy writes the i-th object of a pack as it lies there, or whole when it is
// a delta whose base was not written before it.
func (pw *packWriter) copy(p *pack, f io.ReaderAt, i int) error {
	h := p.names[i]
	if _, ok := pw.pos[h]; ok {
		return nil
	}
	e, err := p.entry(f, i)
	if err != nil {
		return err
	}
	if !e.isDelta() {
		return pw.object(h, e.typ, e.size, e.z)
	}
	if _, ok := pw.pos[p.names[e.base]]; ok && !pw.whole {
		return pw.delta(h, p.names[e.base], e.size, e.z)
	}
	o, err := p.read(f, i)
	if err != nil {
		return err
	}
	return pw.object(h, o.typ, int64(len(o.data)), deflate(o.data))
}

// finish writes the checksum, by which git names a pack.
func (pw *packWriter) finish() (hash, error) {
	if len(pw.pos) != pw.count {
		return hash{}, fmt.Errorf("a pack of %d objects was given %d", pw.count, len(pw.pos))
	}
	var sum hash
	pw.sum.Sum(sum[:0])
	if err := pw.index.OnFooter(sum); err != nil {
		return sum, err
	}
	return sum, pw.write(sum[:])
}

// entryHead encodes type and size as an entry of a pack begins.
func entryHead(typ plumbing.ObjectType, size int64) []byte {
	c := byte(typ)<<4 | byte(size&15)
	var b []byte
	for size >>= 4; size > 0; size >>= 7 {
		b = append(b, c|0x80)
		c = byte(size & 0x7f)
	}
	return append(b, c)
}

func encodeIndex(index *idxfile.MemoryIndex) ([]byte, error) {
	var b bytes.Buffer
	_, err := idxfile.NewEncoder(&b).Encode(index)
	return b.Bytes(), err
}
