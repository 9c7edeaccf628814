package cluster

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
)

// Image is a program to be packed: one layer with the program, the libraries it
// is linked with, the machine's certificate authorities, and a few users.
type Image struct {
	Ref        string            // NAME:TAG; the registry is the cluster's
	Program    string            // path on this machine
	At         string            // its path in the image; /usr/local/bin/NAME if empty
	Files      map[string]string // more files and directories, by their path in the image
	Env        []string          // NAME=VALUE
	Args       []string          // what it is run with unless the pod says otherwise
	User       string            // number; pods with runAsNonRoot need one
	Labels     map[string]string
	WorkingDir string
}

// Push packs an image, pushes it to the cluster's registry and returns its
// digest. The same files give the same digest.
func (c *Cluster) Push(ctx context.Context, i Image) (string, error) {
	img, err := i.pack()
	if err != nil {
		return "", fmt.Errorf("pack %s: %w", i.Ref, err)
	}
	ref, err := name.ParseReference(Registry + "/" + i.Ref)
	if err != nil {
		return "", err
	}
	if err := remote.Write(ref, img, remote.WithContext(ctx)); err != nil {
		return "", fmt.Errorf("push %s: %w", i.Ref, err)
	}
	digest, err := img.Digest()
	return digest.String(), err
}

func (i Image) pack() (v1.Image, error) {
	if i.At == "" {
		i.At = "/usr/local/bin/" + filepath.Base(i.Program)
	}
	l := layer{files: map[string]string{}, texts: map[string]string{
		"/etc/passwd": "root:x:0:0::/:/none\nnobody:x:65534:65534::/:/none\nistio-proxy:x:1337:1337::/:/none\n",
		"/etc/group":  "root:x:0:\nnobody:x:65534:\nistio-proxy:x:1337:\n",
	}}
	if err := l.add(i.Program, i.At); err != nil {
		return nil, err
	}
	for at, from := range i.Files {
		if err := l.add(from, at); err != nil {
			return nil, err
		}
	}
	const authorities = "/etc/ssl/certs/ca-certificates.crt"
	if _, err := os.Stat(authorities); err == nil {
		l.files[authorities] = authorities
	}
	packed, err := l.tar()
	if err != nil {
		return nil, err
	}
	// The network is this machine: packing small would cost more than it saves.
	made, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(packed)), nil },
		tarball.WithCompressionLevel(gzip.BestSpeed))
	if err != nil {
		return nil, err
	}
	img, err := mutate.AppendLayers(empty.Image, made)
	if err != nil {
		return nil, err
	}
	return mutate.ConfigFile(img, &v1.ConfigFile{Architecture: "amd64", OS: "linux", RootFS: must(img).RootFS, Config: v1.Config{
		Entrypoint: []string{i.At}, Cmd: i.Args, User: i.User, Labels: i.Labels, WorkingDir: i.WorkingDir,
		Env: append([]string{"PATH=/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin"}, i.Env...)}})
}

// must reads the configuration of an image that was made in memory.
func must(img v1.Image) *v1.ConfigFile {
	config, err := img.ConfigFile()
	if err != nil {
		panic(err)
	}
	return config
}

// A layer collects files by their path in the image.
type layer struct {
	files map[string]string // from this machine
	texts map[string]string // written here
}

// add takes a file or a directory, and the libraries of programs.
func (l layer) add(from, at string) error {
	from, err := filepath.EvalSymlinks(from)
	if err != nil {
		return err
	}
	return filepath.WalkDir(from, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		rel, err := filepath.Rel(from, path)
		if err != nil {
			return err
		}
		if path, err = filepath.EvalSymlinks(path); err != nil {
			return err
		}
		l.files[filepath.Join(at, rel)] = path
		for _, lib := range libraries(path) {
			l.files[lib] = lib
		}
		return nil
	})
}

var pathInLdd = regexp.MustCompile(`/[^ :)]+`)

// libraries are what the loader would load with a program. A static program,
// and what is no program, has none.
func libraries(program string) []string {
	out, err := exec.Command("ldd", program).Output()
	if err != nil {
		return nil
	}
	var libs []string
	for _, p := range pathInLdd.FindAllString(string(out), -1) {
		if info, err := os.Stat(p); err == nil && info.Mode().IsRegular() && p != program {
			libs = append(libs, p)
		}
	}
	return libs
}

func (l layer) tar() ([]byte, error) {
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, dir := range []string{"tmp/", "var/tmp/"} {
		if err := w.WriteHeader(&tar.Header{Typeflag: tar.TypeDir, Name: dir, Mode: 0o1777}); err != nil {
			return nil, err
		}
	}
	paths := make([]string, 0, len(l.files)+len(l.texts))
	for p := range l.files {
		paths = append(paths, p)
	}
	for p := range l.texts {
		paths = append(paths, p)
	}
	slices.Sort(paths)
	for _, p := range paths {
		content, mode := []byte(l.texts[p]), int64(0o644)
		if from := l.files[p]; from != "" {
			info, err := os.Stat(from)
			if err != nil {
				return nil, err
			}
			mode = int64(info.Mode().Perm())
			if content, err = os.ReadFile(from); err != nil {
				return nil, err
			}
		}
		h := tar.Header{Typeflag: tar.TypeReg, Name: strings.TrimPrefix(p, "/"), Size: int64(len(content)), Mode: mode}
		if err := w.WriteHeader(&h); err != nil {
			return nil, err
		}
		if _, err := w.Write(content); err != nil {
			return nil, err
		}
	}
	return b.Bytes(), w.Close()
}

// images packs what the cluster itself runs, if the registry lacks it.
func (c *Cluster) images(ctx context.Context) error {
	proxy, err := c.proxyImage()
	if err != nil {
		return err
	}
	all := []Image{
		{Ref: "pause:1", Program: c.Bin("pause")},
		{Ref: "hello:1", Program: c.Bin("hello")},
		{Ref: "coredns:1", Program: c.Bin("coredns")},
		{Ref: "volume:1", Program: c.Bin("volume")},
		{Ref: "rancher/local-path-provisioner:" + provisioner, Program: c.Bin("local-path-provisioner")},
		{Ref: "istio/pilot:" + istioTag, Program: c.Bin("pilot-discovery"), User: "1337"},
		proxy,
		{Ref: "prom/prometheus:" + PrometheusTag, Program: c.Bin("prometheus"), At: "/bin/prometheus", User: "65534", WorkingDir: "/prometheus",
			Args: []string{"--config.file=/etc/prometheus/prometheus.yml", "--storage.tsdb.path=/prometheus"}},
	}
	var failed []error
	for _, i := range all {
		if c.holds(ctx, i) {
			continue
		}
		digest, err := c.Push(ctx, i)
		if err == nil {
			err = c.remember(i, digest)
		}
		failed = append(failed, err)
	}
	return errors.Join(failed...)
}

// PrometheusTag is the tag under which Prometheus is pushed as prom/prometheus,
// whatever its own version.
const PrometheusTag = "v3.5.0"

// proxyImage is the image of gateways and sidecars: Istio's agent, an Envoy, and
// the iptables that turn a pod's traffic to it.
func (c *Cluster) proxyImage() (Image, error) {
	i := Image{Ref: "istio/proxyv2:" + istioTag, Program: c.Bin("pilot-agent"), User: "1337", Files: map[string]string{
		"/usr/local/bin/envoy":                           c.Bin("envoy"),
		"/var/lib/istio/envoy/envoy_bootstrap_tmpl.json": c.Bin("envoy_bootstrap.json"),
	}}
	for _, tool := range []string{"iptables", "iptables-save", "iptables-restore", "ip6tables", "ip6tables-save", "ip6tables-restore"} {
		i.Files["/usr/sbin/"+tool] = "/usr/sbin/" + tool
	}
	extensions, err := filepath.Glob("/usr/lib/*/xtables/libxt_REDIRECT.so")
	if err != nil || len(extensions) == 0 {
		return i, errors.Join(err, errors.New("the extensions of iptables are not in /usr/lib/*/xtables; install the package iptables"))
	}
	dir := filepath.Dir(extensions[0])
	i.Files[dir] = dir
	if _, err := os.Stat("/etc/protocols"); err == nil {
		i.Files["/etc/protocols"] = "/etc/protocols"
	}
	return i, nil
}

// mark tells whether the registry's image is of this very program.
func (c *Cluster) mark(i Image) (file, text string) {
	info, err := os.Stat(i.Program)
	if err != nil {
		return "", ""
	}
	return c.path("images", strings.NewReplacer("/", "_", ":", "_").Replace(i.Ref)), fmt.Sprintf("%d %d", info.Size(), info.ModTime().UnixNano())
}

func (c *Cluster) holds(ctx context.Context, i Image) bool {
	file, text := c.mark(i)
	b, err := os.ReadFile(file)
	if err != nil || !strings.HasPrefix(string(b), text+" ") {
		return false
	}
	ref, err := name.ParseReference(Registry + "/" + i.Ref)
	if err != nil {
		return false
	}
	found, err := remote.Head(ref, remote.WithContext(ctx))
	return err == nil && string(b) == text+" "+found.Digest.String()
}

func (c *Cluster) remember(i Image, digest string) error {
	file, text := c.mark(i)
	c.say("packed %s", i.Ref)
	return os.WriteFile(file, []byte(text+" "+digest), 0o644)
}
