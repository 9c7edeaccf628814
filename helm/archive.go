package helm

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"

	"helm.sh/helm/v3/pkg/ignore"

	"github.com/fairwaycd/fairway"
)

// What a chart may hold, unpacked, with the charts inside it. Real ones are a
// hundredth of that.
const (
	maxChartBytes = 8 << 20
	maxChartFiles = 2000
	maxNested     = 5 // levels of archives within archives
)

// ReadChart reads a chart from a directory, leaving out what its .helmignore
// says, or from an archive (.tgz), by the paths within the chart. Errors are of
// KindInvalid and name the path.
func ReadChart(name string) (map[string][]byte, error) {
	info, err := os.Stat(name)
	if err != nil {
		return nil, fairway.Invalid("chart", name, "cannot be read: "+err.Error(), "name the directory or .tgz archive of a Helm chart")
	}
	if info.IsDir() {
		return readDir(name)
	}
	f, err := os.Open(name)
	if err != nil {
		return nil, fairway.Invalid("chart", name, "cannot be read: "+err.Error(), "name the directory or .tgz archive of a Helm chart")
	}
	defer f.Close()
	return ReadArchive(name, f)
}

// ReadArchive reads a chart's archive: a gzipped tar of one directory. Nothing
// is written anywhere, and no more is unpacked than a chart may hold.
func ReadArchive(name string, r io.Reader) (map[string][]byte, error) {
	l := &limit{name: name}
	files, err := l.archive(r)
	if err != nil {
		return nil, err
	}
	if files["Chart.yaml"] == nil {
		return nil, fairway.Invalid("chart", name, "holds no Chart.yaml in its directory", "make the archive with: helm package DIR")
	}
	return files, nil
}

// CheckChart reports an error when the files are more than a chart may hold.
func CheckChart(files map[string][]byte) error {
	l := &limit{name: "the chart"}
	for _, body := range files {
		if err := l.add(len(body)); err != nil {
			return err
		}
	}
	return nil
}

// limit counts what is unpacked.
type limit struct {
	name         string
	bytes, files int
}

func (l *limit) add(size int) error {
	l.bytes += size
	l.files++
	if l.bytes > maxChartBytes || l.files > maxChartFiles {
		return l.tooMuch()
	}
	return nil
}

func (l *limit) tooMuch() error {
	return fairway.Invalid("chart", l.name, fmt.Sprintf("holds more than %d MiB or %d files", maxChartBytes>>20, maxChartFiles), "list in .helmignore what is not part of the chart")
}

func (l *limit) archive(r io.Reader) (map[string][]byte, error) {
	bad := func(what string) error {
		return fairway.Invalid("chart", l.name, what, "make the archive with: helm package DIR")
	}
	z, err := gzip.NewReader(r)
	if err != nil {
		return nil, bad("is no gzip archive: " + err.Error())
	}
	defer z.Close()
	// Headers and padding count too, so that an archive of nothing ends.
	t := tar.NewReader(io.LimitReader(z, 2*maxChartBytes+maxChartFiles*4<<10))
	files := map[string][]byte{}
	for {
		h, err := t.Next()
		if errors.Is(err, io.EOF) {
			return files, nil
		}
		if err != nil {
			return nil, bad("cannot be read: " + err.Error())
		}
		switch h.Typeflag {
		case tar.TypeDir, tar.TypeXGlobalHeader:
			if err := l.add(0); err != nil {
				return nil, err
			}
			continue
		case tar.TypeReg:
		default:
			return nil, bad(fmt.Sprintf("holds %q, which is neither a file nor a directory", h.Name))
		}
		name, ok := within(h.Name)
		if !ok {
			return nil, bad(fmt.Sprintf("holds %q, which is no path of a file in the chart's directory", h.Name))
		}
		if _, twice := files[name]; twice {
			return nil, bad("holds " + h.Name + " twice")
		}
		body, err := l.read(t)
		if err != nil {
			return nil, err
		}
		files[name] = body
	}
}

// read takes one file as far as there is room for it.
func (l *limit) read(r io.Reader) ([]byte, error) {
	body, err := io.ReadAll(io.LimitReader(r, int64(maxChartBytes-l.bytes)+1))
	if err != nil {
		return nil, fairway.Invalid("chart", l.name, "cannot be read: "+err.Error(), "make the archive with: helm package DIR")
	}
	return body, l.add(len(body))
}

// within returns the path within an archive's one directory.
func within(name string) (string, bool) {
	name = strings.TrimPrefix(name, "./")
	if strings.ContainsAny(name, "\\\x00") || path.Clean(name) != name || path.IsAbs(name) {
		return "", false
	}
	dir, rest, ok := strings.Cut(name, "/")
	return rest, ok && dir != ".." && rest != ""
}

func readDir(dir string) (map[string][]byte, error) {
	rules := ignore.Empty()
	if text, err := os.ReadFile(filepath.Join(dir, ignore.HelmIgnore)); err == nil {
		if rules, err = ignore.Parse(bytes.NewReader(text)); err != nil {
			return nil, fairway.Invalid("chart", filepath.Join(dir, ignore.HelmIgnore), "cannot be read: "+err.Error(), "correct its patterns")
		}
	}
	rules.AddDefaults()
	l := &limit{name: dir}
	files := map[string][]byte{}
	err := filepath.WalkDir(dir, func(name string, d fs.DirEntry, err error) error {
		if err != nil || name == dir {
			return err
		}
		rel, err := filepath.Rel(dir, name)
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		rel = filepath.ToSlash(rel)
		switch {
		case d.IsDir() && (d.Name() == ".git" || rules.Ignore(rel, info)):
			return filepath.SkipDir
		case d.IsDir() || rules.Ignore(rel, info):
			return nil
		case !d.Type().IsRegular():
			return fairway.Invalid("chart", name, "is neither a file nor a directory", "run helm package "+dir+", which follows links, and give the archive")
		}
		f, err := os.Open(name)
		if err != nil {
			return err
		}
		defer f.Close()
		files[rel], err = l.read(f)
		return err
	})
	if err != nil && fairway.KindOf(err) != fairway.KindInvalid {
		err = fairway.Invalid("chart", dir, "cannot be read: "+err.Error(), "name a directory that can be read")
	}
	if err == nil && files["Chart.yaml"] == nil {
		err = fairway.Invalid("chart", dir, "holds no Chart.yaml", "name the directory of a Helm chart")
	}
	return files, err
}

// unpacked returns the files with the archives under charts/ unpacked, so that
// their templates are bounded as all others are.
func unpacked(files map[string][]byte, l *limit, level int) (map[string][]byte, error) {
	out := make(map[string][]byte, len(files))
	for name, body := range files {
		dir, base := path.Split(name)
		if path.Ext(name) != ".tgz" || dir != "charts/" {
			if err := l.add(len(body)); err != nil {
				return nil, err
			}
			out[name] = body
			continue
		}
		if level == maxNested {
			return nil, fairway.Invalid("chart", name, "is an archive within more than five others", "unpack it")
		}
		inner := &limit{name: name, bytes: l.bytes, files: l.files}
		sub, err := inner.archive(bytes.NewReader(body))
		if err != nil {
			return nil, err
		}
		l.bytes, l.files = inner.bytes, inner.files
		if sub, err = unpacked(sub, &limit{name: name}, level+1); err != nil {
			return nil, err
		}
		for file, body := range sub {
			out[dir+strings.TrimSuffix(base, ".tgz")+"/"+file] = body
		}
	}
	return out, nil
}
