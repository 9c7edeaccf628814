package helm_test

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"os"
	"path"
	"path/filepath"
	"strings"
	"testing"

	"github.com/fairwaycd/fairway"
	"github.com/fairwaycd/fairway/helm"
)

func packed(t testing.TB, headers ...tar.Header) []byte {
	t.Helper()
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	w := tar.NewWriter(z)
	for _, h := range headers {
		body := "x"
		if h.Size > 0 {
			body = strings.Repeat("x", int(h.Size))
		}
		if h.Typeflag != 0 && h.Typeflag != tar.TypeReg {
			body = ""
		}
		h.Size, h.Mode = int64(len(body)), 0o644
		if err := w.WriteHeader(&h); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write([]byte(body)); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestReadArchive(t *testing.T) {
	t.Parallel()
	chartFile := tar.Header{Name: "shop/Chart.yaml"}
	many := make([]tar.Header, 3000)
	for i := range many {
		many[i] = tar.Header{Name: "shop/" + strings.Repeat("d/", i%50) + string(rune('a'+i%26)) + strings.Repeat("x", i/100)}
	}
	tests := []struct {
		name string
		data []byte
		want string // of the error; empty: none
	}{
		{"good", packed(t, chartFile, tar.Header{Name: "shop/templates/", Typeflag: tar.TypeDir}, tar.Header{Name: "./shop/templates/a.yaml"}), ""},
		{"no archive", []byte("PK"), "is no gzip archive"},
		{"cut", packed(t, chartFile)[:40], "cannot be read"},
		{"no chart", packed(t, tar.Header{Name: "shop/values.yaml"}), "holds no Chart.yaml"},
		{"upwards", packed(t, chartFile, tar.Header{Name: "shop/../../etc/passwd"}), "no path of a file"},
		{"upwards at once", packed(t, chartFile, tar.Header{Name: "../x"}), "no path of a file"},
		{"absolute", packed(t, chartFile, tar.Header{Name: "/etc/passwd"}), "no path of a file"},
		{"backslash", packed(t, chartFile, tar.Header{Name: `shop/..\..\x`}), "no path of a file"},
		{"link", packed(t, chartFile, tar.Header{Name: "shop/x", Typeflag: tar.TypeSymlink, Linkname: "/etc/passwd"}), "neither a file nor a directory"},
		{"device", packed(t, chartFile, tar.Header{Name: "shop/x", Typeflag: tar.TypeChar}), "neither a file nor a directory"},
		{"twice", packed(t, chartFile, chartFile), "twice"},
		{"bomb", packed(t, chartFile, tar.Header{Name: "shop/x", Size: 9 << 20}), "more than 8 MiB"},
		{"many", packed(t, many...), "2000 files"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			files, err := helm.ReadArchive("shop.tgz", bytes.NewReader(tt.data))
			if tt.want == "" {
				if err != nil || len(files) != 2 || files["templates/a.yaml"] == nil {
					t.Errorf("files %v, error %v", files, err)
				}
				return
			}
			if err == nil || !strings.Contains(err.Error(), tt.want) || fairway.KindOf(err) != fairway.KindInvalid {
				t.Errorf("error %v, want %q", err, tt.want)
			}
		})
	}
}

func TestReadChartDirectory(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for name, body := range map[string]string{"Chart.yaml": "name: x", ".helmignore": "*.bak\nsecret/\n", "a.bak": "x", "secret/k": "x", ".git/config": "x", "templates/a.yaml": "x"} {
		if err := os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), []byte(body), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	files, err := helm.ReadChart(dir)
	if err != nil || len(files) != 3 || files["templates/a.yaml"] == nil || files["Chart.yaml"] == nil {
		t.Errorf("files %v, error %v", files, err)
	}
	if err := os.Symlink("/etc/passwd", filepath.Join(dir, "templates/link")); err != nil {
		t.Fatal(err)
	}
	if _, err := helm.ReadChart(dir); err == nil || !strings.Contains(err.Error(), "run helm package") {
		t.Errorf("a link: error %v", err)
	}
	for _, name := range []string{filepath.Join(dir, "nothing"), t.TempDir(), filepath.Join(dir, "Chart.yaml")} {
		if _, err := helm.ReadChart(name); fairway.KindOf(err) != fairway.KindInvalid {
			t.Errorf("%s: error %v", name, err)
		}
	}
}

// FuzzReadArchive looks for archives that get out of the chart's directory or
// beyond its size.
func FuzzReadArchive(f *testing.F) {
	f.Add(packed(f, tar.Header{Name: "shop/Chart.yaml"}, tar.Header{Name: "shop/templates/a.yaml"}))
	f.Add(packed(f, tar.Header{Name: "shop/../x"}, tar.Header{Name: "shop/y", Typeflag: tar.TypeLink, Linkname: "x"}))
	f.Add([]byte("\x1f\x8b"))
	f.Fuzz(func(t *testing.T, data []byte) {
		files, err := helm.ReadArchive("x", bytes.NewReader(data))
		if err != nil {
			if fairway.KindOf(err) != fairway.KindInvalid {
				t.Errorf("error %v of kind %s", err, fairway.KindOf(err))
			}
			return
		}
		size := 0
		for name, body := range files {
			size += len(body)
			if path.Clean(name) != name || path.IsAbs(name) || strings.HasPrefix(name, "..") && (name == ".." || name[2] == '/') {
				t.Errorf("path %q", name)
			}
		}
		if size > 8<<20 || len(files) > 2000 {
			t.Errorf("%d bytes in %d files", size, len(files))
		}
	})
}
