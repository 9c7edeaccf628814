package image_test

import (
	"archive/tar"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/fairwaycd/fairway"
	"github.com/fairwaycd/fairway/image"
)

// shape lists what is in root: "NAME/", "NAME=CONTENT" and "NAME->TARGET".
func shape(t *testing.T, root string) []string {
	t.Helper()
	var all []string
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		name, rel := filepath.Rel(root, path)
		if err != nil || rel != nil || name == "." {
			return err
		}
		switch d.Type() {
		case fs.ModeDir:
			all = append(all, name+"/")
		case fs.ModeSymlink:
			to, err := os.Readlink(path)
			all = append(all, name+"->"+to)
			return err
		default:
			b, err := os.ReadFile(path)
			all = append(all, name+"="+string(b))
			return err
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func TestUnpackLayers(t *testing.T) {
	t.Parallel()
	device := fileEntry{tar.Header{Typeflag: tar.TypeChar, Name: "dev/null"}, ""}
	for _, c := range []struct {
		name   string
		layers [][]fileEntry
		want   []string
	}{
		{"upper replaces", [][]fileEntry{{file("a", "1"), file("b", "1")}, {file("a", "2")}}, []string{"a=2", "b=1"}},
		{"whiteout", [][]fileEntry{{file("d/a", "1"), file("d/b", "1"), file("e/f", "1")}, {file("d/.wh.a", ""), file(".wh.e", "")}}, []string{"d/", "d/b=1"}},
		{"whiteout and again in one layer", [][]fileEntry{{file("d/old", "1")}, {file("d/new", "2"), file(".wh.d", "")}}, []string{"d/", "d/new=2"}},
		{"whiteout of what is not there", [][]fileEntry{{file("a", "1"), file("x/.wh.y", "")}}, []string{"a=1", "x/"}},
		{"opaque first", [][]fileEntry{{file("d/a", "1"), file("d/s/b", "1")}, {dir("d"), file("d/.wh..wh..opq", ""), file("d/c", "2")}}, []string{"d/", "d/c=2"}},
		{"opaque last", [][]fileEntry{{file("d/a", "1"), file("d/s/b", "1"), file("d/t/x", "1")}, {file("d/s/c", "2"), file("d/c", "2"), file("d/.wh..wh..opq", "")}}, []string{"d/", "d/c=2", "d/s/", "d/s/c=2"}},
		{"opaque root", [][]fileEntry{{file("a", "1")}, {file(".wh..wh..opq", ""), file("b", "2")}}, []string{"b=2"}},
		{"drivers' records", [][]fileEntry{{file("a", "1"), file(".wh..wh.plnk", ""), file(".wh..wh.orph/x", "")}}, []string{"a=1"}},
		{"file over directory", [][]fileEntry{{file("d/a", "1")}, {file("d", "2")}}, []string{"d=2"}},
		{"directory over file", [][]fileEntry{{file("d", "1")}, {dir("d"), file("d/a", "2")}}, []string{"d/", "d/a=2"}},
		{"directory over link", [][]fileEntry{{dir("x"), link("d", "x")}, {dir("d"), file("d/a", "2")}}, []string{"d/", "d/a=2", "x/"}},
		{"file over link leaves its target", [][]fileEntry{{file("t", "1"), link("l", "t")}, {file("l", "2")}}, []string{"l=2", "t=1"}},
		{"through a relative link", [][]fileEntry{{dir("usr/bin"), link("bin", "usr/bin")}, {file("bin/sh", "x")}}, []string{"bin->usr/bin", "usr/", "usr/bin/", "usr/bin/sh=x"}},
		{"through an absolute link", [][]fileEntry{{dir("run"), link("var/run", "/run")}, {file("var/run/pid", "x")}}, []string{"run/", "run/pid=x", "var/", "var/run->../run"}},
		{"absolute link to a file", [][]fileEntry{{file("bin/busybox", "x"), link("bin/sh", "/bin/busybox"), link("root", "/")}}, []string{"bin/", "bin/busybox=x", "bin/sh->../bin/busybox", "root->."}},
		{"link above the root stops there", [][]fileEntry{{file("a/b/c", "x"), link("a/l", "../../../a/b"), link("m", "..")}}, []string{"a/", "a/b/", "a/b/c=x", "a/l->../a/b", "m->."}},
		{"link in a linked directory", [][]fileEntry{{dir("usr/lib"), link("lib", "usr/lib"), link("lib/l", "/etc/x")}}, []string{"lib->usr/lib", "usr/", "usr/lib/", "usr/lib/l->../../etc/x"}},
		{"hard link", [][]fileEntry{{file("a", "1"), hard("d/b", "a")}, {file("a", "2")}}, []string{"a=2", "d/", "d/b=1"}},
		{"hard link, absolute and through a link", [][]fileEntry{{file("x/a", "1"), link("y", "x"), hard("b", "/y/a")}}, []string{"b=1", "x/", "x/a=1", "y->x"}},
		{"hard link to a link", [][]fileEntry{{file("x/a", "1"), link("x/l", "a"), hard("y/m", "x/l")}}, []string{"x/", "x/a=1", "x/l->a", "y/", "y/m->../x/a"}},
		{"device is left out", [][]fileEntry{{device, file("a", "1")}}, []string{"a=1", "dev/"}},
		{"names with dots and slashes", [][]fileEntry{{file("./a", "1"), file("/b", "1"), file("c/../d", "1"), dir("./")}}, []string{"a=1", "b=1", "d=1"}},
		{"circle of links", [][]fileEntry{{link("a", "b"), link("b", "a"), file("c", "1")}}, []string{"a->b", "b->a", "c=1"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s := newSite(t, image.StoreOptions{})
			s.push("p/s:1", layered(t, c.layers...))
			u, err := s.Unpack(t.Context(), "", artifact("p/s:1"))
			if err != nil {
				t.Fatal(err)
			}
			if got := shape(t, u.Root); !slices.Equal(got, c.want) {
				t.Errorf("unpacked %q, want %q", got, c.want)
			}
		})
	}
}

func TestUnpackRefuses(t *testing.T) {
	t.Parallel()
	many := make([]fileEntry, 11)
	for i := range many {
		many[i] = file(strings.Repeat("x", i+1), "")
	}
	for _, c := range []struct {
		name   string
		layers [][]fileEntry
		says   string
	}{
		{"path above", [][]fileEntry{{file("../evil", "x")}}, "leads out of the image"},
		{"path above, hidden", [][]fileEntry{{file("a/../../evil", "x")}}, "leads out of the image"},
		{"hard link above", [][]fileEntry{{hard("a", "../../../etc/passwd")}}, "leads out of the image"},
		{"hard link to the host's", [][]fileEntry{{hard("a", "/etc/hostname")}}, "which is no file of the image"},
		{"hard link to a directory", [][]fileEntry{{dir("d"), hard("a", "d")}}, "which is no file of the image"},
		{"whiteout of the parent", [][]fileEntry{{file("d/.wh...", "")}}, "hides nothing"},
		{"links that together lead above", [][]fileEntry{{link("x", "."), link("y", "x/..")}}, `"y" leads out of the image`},
		{"circle on the way", [][]fileEntry{{link("a", "b"), link("b", "a"), file("a/c", "x")}}, "symbolic links"},
		{"too large", [][]fileEntry{{file("a", strings.Repeat("x", 60_000))}, {file("b", strings.Repeat("x", 60_000))}}, "larger than 100000 bytes"},
		{"too many", [][]fileEntry{many}, "more than 10 entries"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s := newSite(t, image.StoreOptions{Limits: image.Limits{Size: 100_000, Entries: 10}})
			s.push("p/s:1", layered(t, c.layers...))
			_, err := s.Unpack(t.Context(), "", artifact("p/s:1"))
			if fairway.KindOf(err) != fairway.KindRefused || fairway.IsRetryable(err) || !strings.Contains(err.Error(), c.says) {
				t.Errorf("error %v (%s), want %q", err, fairway.KindOf(err), c.says)
			}
			left, err := filepath.Glob(filepath.Join(s.dir, "*"))
			hidden, err2 := filepath.Glob(filepath.Join(s.dir, ".*"))
			if err != nil || err2 != nil || len(left)+len(hidden) != 0 {
				t.Errorf("left behind: %v %v", left, hidden)
			}
			if _, err := os.Lstat(filepath.Join(filepath.Dir(s.dir), "evil")); err == nil {
				t.Error("a file was written outside")
			}
		})
	}
}

// TestEscapeThroughLink: what a link names outside is neither written nor
// removed, wherever the image thinks it is.
func TestEscapeThroughLink(t *testing.T) {
	t.Parallel()
	victim := t.TempDir()
	if err := os.WriteFile(filepath.Join(victim, "keep"), []byte("mine"), 0o600); err != nil {
		t.Fatal(err)
	}
	s := newSite(t, image.StoreOptions{})
	s.push("p/s:1", layered(t,
		[]fileEntry{link("abs", victim), link("rel", strings.Repeat("../", 30)+victim[1:])},
		[]fileEntry{file("abs/keep", "yours"), file("rel/keep", "yours"), file("abs/.wh.keep", ""), file("rel/.wh..wh..opq", "")}))
	if _, err := s.Unpack(t.Context(), "", artifact("p/s:1")); err != nil {
		t.Fatal(err)
	}
	entries, err := os.ReadDir(victim)
	if err != nil || len(entries) != 1 {
		t.Fatalf("%v, error %v", entries, err)
	}
	if b, err := os.ReadFile(filepath.Join(victim, "keep")); err != nil || string(b) != "mine" {
		t.Errorf("the victim says %q, error %v", b, err)
	}
}

func TestUnpackModes(t *testing.T) {
	t.Parallel()
	s := newSite(t, image.StoreOptions{})
	mode := func(f fileEntry, m int64) fileEntry { f.header.Mode = m; return f }
	s.push("p/s:1", layered(t,
		[]fileEntry{mode(dir("locked"), 0o555), mode(file("sudo", "x"), 0o6755), mode(file("secret", "x"), 0), mode(dir("tmp"), 0o1777)},
		[]fileEntry{file("locked/a", "1")}))
	u, err := s.Unpack(t.Context(), "", artifact("p/s:1"))
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]fs.FileMode{"sudo": 0o755, "secret": 0o400, "locked": fs.ModeDir | 0o755, "tmp": fs.ModeDir | 0o777} {
		fi, err := os.Stat(filepath.Join(u.Root, name))
		if err != nil || fi.Mode() != want {
			t.Errorf("%s: %v, error %v; want %v", name, fi.Mode(), err, want)
		}
	}
}

// TestDamagedLayer: a layer that is not what its digest says is not kept.
func TestDamagedLayer(t *testing.T) {
	t.Parallel()
	s := newSite(t, image.StoreOptions{})
	s.push("p/s:1", layered(t, []fileEntry{file("a", strings.Repeat("abc", 1000))}))
	data, err := filepath.Glob(filepath.Join(s.data, "docker/registry/v2/blobs/sha256/*/*/data"))
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range data {
		b, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		if b[0] == '{' {
			continue
		}
		b[len(b)-1] ^= 1 // in gzip's trailer
		if err := os.WriteFile(f, b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := s.Unpack(t.Context(), "", artifact("p/s:1")); err == nil {
		t.Fatal("a damaged layer was unpacked")
	}
	left, err := filepath.Glob(filepath.Join(s.dir, "*"))
	if err != nil || len(left) != 0 {
		t.Errorf("left: %v, error %v", left, err)
	}
}

func FuzzUnpackStaysInside(f *testing.F) {
	f.Add("a", "../x", "a/b")
	f.Add("x", ".", "x/../../y")
	f.Add("l", "/", "l/.wh.l")
	f.Fuzz(func(t *testing.T, a, target, b string) {
		outer := t.TempDir()
		if err := os.WriteFile(filepath.Join(outer, "keep"), []byte("mine"), 0o600); err != nil {
			t.Fatal(err)
		}
		_ = image.UnpackForTest(filepath.Join(outer, "root"),
			&tar.Header{Typeflag: tar.TypeSymlink, Name: a, Linkname: target},
			&tar.Header{Typeflag: tar.TypeReg, Name: b},
			&tar.Header{Typeflag: tar.TypeLink, Name: b + "2", Linkname: a},
			&tar.Header{Typeflag: tar.TypeSymlink, Name: b + "3", Linkname: a + "/" + target},
			&tar.Header{Typeflag: tar.TypeReg, Name: b + "3/.wh.keep"},
			&tar.Header{Typeflag: tar.TypeReg, Name: a + "/.wh..wh..opq"})
		entries, err := os.ReadDir(outer)
		if err != nil || len(entries) > 2 {
			t.Fatalf("outside the root: %v, error %v", entries, err)
		}
		if b, err := os.ReadFile(filepath.Join(outer, "keep")); err != nil || string(b) != "mine" {
			t.Fatalf("%q, error %v", b, err)
		}
	})
}
