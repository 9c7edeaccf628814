package git

import (
	"bytes"
	"crypto/sha1"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/format/pktline"

	"github.com/fairwaycd/fairway"
)

func packet(lines ...string) []byte {
	var b bytes.Buffer
	e := pktline.NewEncoder(&b)
	for _, l := range lines {
		_ = e.EncodeString(l)
	}
	return b.Bytes()
}

const (
	hashA = "1111111111111111111111111111111111111111"
	hashB = "2222222222222222222222222222222222222222"
	zero  = "0000000000000000000000000000000000000000"
)

func TestParseReceive(t *testing.T) {
	t.Parallel()
	rest := "PACK..."
	in := bytes.NewReader(append(packet(
		"shallow "+hashA, "shallow "+hashB,
		zero+" "+hashA+" refs/heads/dev\x00 report-status side-band-64k agent=git/2.39",
		hashA+" "+hashB+" refs/heads/main", ""), rest...))
	q, err := parseReceive(in)
	if err != nil {
		t.Fatal(err)
	}
	if len(q.commands) != 2 || q.commands[0].branch() != "dev" || !q.commands[0].old.IsZero() || q.commands[1].new.String() != hashB || !q.can("side-band-64k") || q.can("side-band") {
		t.Errorf("parsed %+v", q)
	}
	if got, _ := io.ReadAll(in); string(got) != rest {
		t.Errorf("left for the pack: %q", got)
	}
	for name, body := range map[string][]byte{
		"no flush":            packet(zero + " " + hashA + " refs/heads/dev\x00"),
		"no capabilities":     packet(zero+" "+hashA+" refs/heads/dev", ""),
		"capabilities twice":  packet(zero+" "+hashA+" refs/heads/a\x00x", zero+" "+hashA+" refs/heads/b\x00x", ""),
		"short hash":          packet("0 "+hashA+" refs/heads/dev\x00", ""),
		"no ref":              packet(zero+" "+hashA+"\x00", ""),
		"outside refs":        packet(zero+" "+hashA+" config\x00", ""),
		"line break in a ref": packet(zero+" "+hashA+" refs/heads/a\nb\x00", ""),
		"no packet":           []byte("hello"),
	} {
		if _, err := parseReceive(bytes.NewReader(body)); fairway.KindOf(err) != fairway.KindInvalid {
			t.Errorf("%s: %v, want an error of input", name, err)
		}
	}
}

func FuzzParseReceive(f *testing.F) {
	f.Add(packet(zero+" "+hashA+" refs/heads/dev\x00report-status", ""))
	f.Add(packet("shallow "+hashA, hashA+" "+hashB+" refs/heads/main\x00", hashA+" "+zero+" refs/heads/dev", ""))
	f.Add([]byte("0000"))
	f.Add([]byte("0001"))
	f.Add([]byte("fff0"))
	f.Add([]byte("0008ERR "))
	f.Fuzz(func(t *testing.T, data []byte) {
		q, err := parseReceive(bytes.NewReader(data))
		if err != nil {
			if fairway.KindOf(err) != fairway.KindInvalid {
				t.Fatalf("kind %s of %v", fairway.KindOf(err), err)
			}
			return
		}
		for _, c := range q.commands {
			if !strings.HasPrefix(c.ref, "refs/") || strings.ContainsAny(c.ref, " \n\x00") {
				t.Fatalf("accepted the ref %q", c.ref)
			}
		}
	})
}

func FuzzParseUpload(f *testing.F) {
	f.Add(packet("want "+hashA+" multi_ack_detailed no-done", "shallow "+hashB, "deepen 1", "", "have "+hashB, "", "done"))
	f.Add(packet("want "+hashA, "deepen 2147483647", ""))
	f.Add([]byte("0000"))
	f.Fuzz(func(t *testing.T, data []byte) {
		sc := pktline.NewScanner(bytes.NewReader(data))
		q, err := parseUpload(sc)
		if err != nil {
			if fairway.KindOf(err) != fairway.KindInvalid {
				t.Fatalf("kind %s of %v", fairway.KindOf(err), err)
			}
			return
		}
		n := negotiation{src: nothing{}, wants: q.wants, common: map[hash]bool{}, multi: q.can("multi_ack_detailed"), noDone: q.can("no-done")}
		if _, err := n.run(sc, io.Discard); err != nil && fairway.KindOf(err) != fairway.KindInvalid {
			t.Fatalf("kind %s of %v", fairway.KindOf(err), err)
		}
	})
}

// FuzzReceivePack throws damaged packs at the quarantine: an error, never a
// panic, and what is accepted can be read.
func FuzzReceivePack(f *testing.F) {
	_, r := shop(f, Options{MaxPush: 1 << 20})
	p := (*r.packs.Load())[0]
	whole, err := os.ReadFile(p.path + ".pack")
	if err != nil {
		f.Fatal(err)
	}
	whole = whole[:len(whole)-sha1.Size]
	f.Add(whole)
	f.Add(whole[:len(whole)-3])
	f.Add(slices.Concat(whole, []byte("more")))
	delta := deltaPack(f)
	f.Add(delta[:len(delta)-sha1.Size])
	f.Fuzz(func(t *testing.T, data []byte) {
		sum := sha1.Sum(data) // or nothing would get past the checksum
		in, err := r.receive(bytes.NewReader(slices.Concat(data, sum[:])))
		defer in.drop()
		if err != nil || in.pack == nil {
			return
		}
		for _, h := range in.pack.names {
			if _, err := in.object(h); err != nil {
				t.Fatalf("accepted, but %s cannot be read: %v", h, err)
			}
		}
	})
}

// deltaPack is a pack with a blob and a delta on it.
func deltaPack(t testing.TB) []byte {
	t.Helper()
	var b bytes.Buffer
	pw, err := newPackWriter(&b, 2)
	if err != nil {
		t.Fatal(err)
	}
	base := []byte(strings.Repeat("hello ", 10))
	delta := []byte{60, 3, 0x90, 3}
	h, g := plumbing.ComputeHash(plumbing.BlobObject, base), plumbing.ComputeHash(plumbing.BlobObject, base[:3])
	if err := errors.Join(pw.object(h, plumbing.BlobObject, 60, deflate(base)), pw.delta(g, h, int64(len(delta)), deflate(delta))); err != nil {
		t.Fatal(err)
	}
	if _, err := pw.finish(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// A delta of four bytes that stands for two gigabytes is refused before
// anything is made of it.
func TestDeltaBombIsRefused(t *testing.T) {
	t.Parallel()
	_, r := shop(t, Options{MaxPush: 1 << 20})
	var b bytes.Buffer
	pw, err := newPackWriter(&b, 2)
	if err != nil {
		t.Fatal(err)
	}
	base := []byte("hello")
	h := plumbing.ComputeHash(plumbing.BlobObject, base)
	bomb := []byte{5, 0x80, 0x80, 0x80, 0x80, 8, 0x90, 5}
	if err := errors.Join(pw.object(h, plumbing.BlobObject, 5, deflate(base)), pw.delta(hash{1}, h, int64(len(bomb)), deflate(bomb))); err != nil {
		t.Fatal(err)
	}
	if _, err := pw.finish(); err != nil {
		t.Fatal(err)
	}
	in, err := r.receive(&b)
	in.drop()
	if err == nil || !strings.Contains(err.Error(), "too large") {
		t.Errorf("got %v", err)
	}
}

// Packs with holes or with names that a file system reads as something else
// are refused.
func TestIncomingObjectsAreChecked(t *testing.T) {
	t.Parallel()
	_, r := shop(t, Options{})
	blob := plumbing.ComputeHash(plumbing.BlobObject, []byte("x"))
	tree := func(entries ...treeEntry) object { return object{plumbing.TreeObject, encodeTree(entries)} }
	for says, o := range map[string]object{
		"neither in the push":   tree(treeEntry{modeFile, "a", hash{1}}),
		`has the part ".."`:     tree(treeEntry{modeFile, "..", blob}),
		"git's own":             tree(treeEntry{modeFile, ".GIT", blob}),
		"backslash":             tree(treeEntry{modeFile, "a/b", blob}),
		"twice":                 tree(treeEntry{modeFile, "a", blob}, treeEntry{modeExec, "a", blob}),
		"middle of an entry":    {plumbing.TreeObject, []byte("100644 a\x00short")},
		"no tree":               {plumbing.CommitObject, []byte("author a\n\nm")},
		"git fetch --unshallow": {plumbing.CommitObject, []byte(fmt.Sprintf("tree %s\nparent %s\nauthor a <a> 1 +0000\ncommitter a <a> 1 +0000\n\nm", hashA, hashB))},
	} {
		v := newOverlay(nothing{})
		v.put(plumbing.BlobObject, []byte("x"))
		v.put(o.typ, o.data)
		var b bytes.Buffer
		pw, err := newPackWriter(&b, 2)
		if err != nil {
			t.Fatal(err)
		}
		if err := v.fill(pw); err != nil {
			t.Fatal(err)
		}
		if _, err := pw.finish(); err != nil {
			t.Fatal(err)
		}
		in, err := r.receive(&b)
		in.drop()
		if err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%v, want %q", err, says)
		}
	}
}
