package image

import (
	"archive/tar"
	"bytes"
	"debug/elf"
	"debug/macho"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path"
	"runtime"
	"slices"
	"strings"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/fairwaycd/fairway"
)

// PackRequest says what goes into an image.
type PackRequest struct {
	Binary string // program on this machine; lies in the image as /app/NAME
	Name   string // of the program in the image; default: Binary's last component
	Files  []File
	// Entrypoint defaults to the program alone.
	Entrypoint []string
	Cmd        []string
	Env        map[string]string
	WorkingDir string // default /app
	Port       int    // TCP port that the program listens on; 0 exposes none
	Labels     map[string]string
	// Created is the time of the image and of every file in it; the zero time
	// is 1970. It is the caller's to fill from SOURCE_DATE_EPOCH: the same
	// input gives the same digest.
	Created time.Time
	// OS and Arch default to those that the program was built for, and for
	// what is neither ELF nor Mach-O to this machine's.
	OS, Arch string
}

// File is one more file of an image.
type File struct {
	Source string      // on this machine
	Path   string      // absolute, in the image
	Mode   fs.FileMode // permissions; zero means 0644, or 0755 if Source is executable
}

// packed is a file on its way into the layer.
type packed struct {
	path    string
	mode    fs.FileMode
	content []byte
}

// Pack makes an image of one layer. All problems of the request are reported
// at once, as KindInvalid.
func Pack(q PackRequest) (v1.Image, error) {
	if err := q.setDefaults(); err != nil {
		return nil, err
	}
	files, err := q.read()
	if err != nil {
		return nil, err
	}
	layer, err := layerOf(files, q.Created)
	if err != nil {
		return nil, fmt.Errorf("pack %s: %w", q.Binary, err)
	}
	base := mutate.ConfigMediaType(mutate.MediaType(empty.Image, types.OCIManifestSchema1), types.OCIConfigJSON)
	img, err := mutate.Append(base, mutate.Addendum{Layer: layer, History: v1.History{Created: v1.Time{Time: q.Created}, CreatedBy: "fairway image push"}})
	if err == nil {
		img, err = q.configure(img)
	}
	if err != nil {
		return nil, fmt.Errorf("pack %s: %w", q.Binary, err)
	}
	return img, nil
}

func (q *PackRequest) setDefaults() error {
	if q.Binary == "" {
		return fairway.Invalid("program", "", "is missing", "name the program's file, e.g. bin/carts")
	}
	if q.Name == "" {
		q.Name = path.Base(strings.ReplaceAll(q.Binary, `\`, "/"))
	}
	var ps []fairway.Problem
	if q.Name != path.Base(q.Name) || q.Name == "." || q.Name == ".." || q.Name == "/" {
		ps = append(ps, fairway.Problem{Field: "name", Value: q.Name, Message: "is not a file's name", Remedy: "use one without slashes"})
	}
	if q.Port < 0 || q.Port > 65535 {
		ps = append(ps, fairway.Problem{Field: "port", Value: fmt.Sprint(q.Port), Message: "is no TCP port", Remedy: "use 1 to 65535, or 0 for none"})
	}
	for _, f := range q.Files {
		if !path.IsAbs(f.Path) || path.Clean(f.Path) != f.Path || f.Path == "/" {
			ps = append(ps, fairway.Problem{Field: "file", Value: f.Path, Message: "is not an absolute, clean path in the image", Remedy: "write it like /app/config.yaml"})
		}
	}
	if (q.OS == "") != (q.Arch == "") {
		ps = append(ps, fairway.Problem{Field: "platform", Value: q.OS + "/" + q.Arch, Message: "is half a platform", Remedy: "give both, such as linux/amd64, or none"})
	}
	if q.OS == "" {
		q.OS, q.Arch = builtFor(q.Binary)
	}
	if len(q.Entrypoint) == 0 {
		q.Entrypoint = []string{"/app/" + q.Name}
	}
	if q.WorkingDir == "" {
		q.WorkingDir = "/app"
	}
	if q.Created.IsZero() {
		q.Created = time.Unix(0, 0)
	}
	q.Created = q.Created.UTC().Truncate(time.Second)
	return fairway.InvalidAll(ps)
}

// read reads all files, sorted by path; two for one path are a problem.
func (q *PackRequest) read() ([]packed, error) {
	all := append([]File{{Source: q.Binary, Path: "/app/" + q.Name, Mode: 0o755}}, q.Files...)
	var ps []fairway.Problem
	seen := map[string]bool{}
	files := make([]packed, 0, len(all))
	for _, f := range all {
		fi, err := os.Stat(f.Source)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			ps = append(ps, fairway.Problem{Field: "file", Value: f.Source, Message: "does not exist", Remedy: "build it first, or correct the path"})
			continue
		case err != nil:
			return nil, err
		case !fi.Mode().IsRegular():
			ps = append(ps, fairway.Problem{Field: "file", Value: f.Source, Message: "is not a regular file", Remedy: "name each file by itself"})
			continue
		case seen[f.Path]:
			ps = append(ps, fairway.Problem{Field: "file", Value: f.Path, Message: "is given twice", Remedy: "leave one of them out"})
			continue
		}
		seen[f.Path] = true
		b, err := os.ReadFile(f.Source)
		if err != nil {
			return nil, err
		}
		if f.Mode == 0 {
			f.Mode = 0o644
			if fi.Mode()&0o100 != 0 {
				f.Mode = 0o755
			}
		}
		files = append(files, packed{path: f.Path, mode: f.Mode.Perm(), content: b})
	}
	slices.SortFunc(files, func(a, b packed) int { return strings.Compare(a.path, b.path) })
	return files, fairway.InvalidAll(ps)
}

// layerOf writes the files, and the directories above them, as a layer.
func layerOf(files []packed, created time.Time) (v1.Layer, error) {
	var buf bytes.Buffer
	w := tar.NewWriter(&buf)
	made := map[string]bool{}
	var mkdir func(dir string) error
	mkdir = func(dir string) error {
		if dir == "/" || made[dir] {
			return nil
		}
		if err := mkdir(path.Dir(dir)); err != nil {
			return err
		}
		made[dir] = true
		return w.WriteHeader(&tar.Header{Typeflag: tar.TypeDir, Name: dir[1:] + "/", Mode: 0o755, ModTime: created, Format: tar.FormatPAX})
	}
	for _, f := range files {
		if err := mkdir(path.Dir(f.path)); err != nil {
			return nil, err
		}
		h := &tar.Header{Typeflag: tar.TypeReg, Name: f.path[1:], Mode: int64(f.mode), Size: int64(len(f.content)), ModTime: created, Format: tar.FormatPAX}
		if err := w.WriteHeader(h); err != nil {
			return nil, err
		}
		if _, err := w.Write(f.content); err != nil {
			return nil, err
		}
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	open := func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(buf.Bytes())), nil }
	return tarball.LayerFromOpener(open, tarball.WithCompressedCaching, tarball.WithMediaType(types.OCILayer))
}

func (q *PackRequest) configure(img v1.Image) (v1.Image, error) {
	c, err := img.ConfigFile()
	if err != nil {
		return nil, err
	}
	c = c.DeepCopy()
	c.OS, c.Architecture, c.Created = q.OS, q.Arch, v1.Time{Time: q.Created}
	c.Config = v1.Config{Entrypoint: q.Entrypoint, Cmd: q.Cmd, WorkingDir: q.WorkingDir, Labels: q.Labels}
	for _, k := range slices.Sorted(maps.Keys(q.Env)) {
		c.Config.Env = append(c.Config.Env, k+"="+q.Env[k])
	}
	if q.Port > 0 {
		c.Config.ExposedPorts = map[string]struct{}{fmt.Sprintf("%d/tcp", q.Port): {}}
	}
	return mutate.ConfigFile(img, c)
}

// elfArch maps what ELF says to what images say.
var elfArch = map[elf.Machine]string{
	elf.EM_X86_64: "amd64", elf.EM_AARCH64: "arm64", elf.EM_386: "386", elf.EM_ARM: "arm",
	elf.EM_RISCV: "riscv64", elf.EM_S390: "s390x", elf.EM_PPC64: "ppc64le", elf.EM_LOONGARCH: "loong64",
}

// builtFor returns the platform that a program was built for.
func builtFor(program string) (system, arch string) {
	if f, err := elf.Open(program); err == nil {
		defer f.Close()
		if a, ok := elfArch[f.Machine]; ok {
			return "linux", a
		}
	}
	if f, err := macho.Open(program); err == nil {
		defer f.Close()
		switch f.Cpu {
		case macho.CpuAmd64:
			return "darwin", "amd64"
		case macho.CpuArm64:
			return "darwin", "arm64"
		}
	}
	return runtime.GOOS, runtime.GOARCH
}
