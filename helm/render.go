package helm

import (
	"context"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"
	"time"

	helmchart "helm.sh/helm/v3/pkg/chart"
	"helm.sh/helm/v3/pkg/chart/loader"
	"helm.sh/helm/v3/pkg/chartutil"
	"helm.sh/helm/v3/pkg/engine"

	"github.com/fairwaycd/fairway"
	"github.com/fairwaycd/fairway/chart"
)

// Release says what is rendered, and for where.
type Release struct {
	Project   fairway.ProjectName
	Stage     fairway.StageName
	Namespace fairway.Namespace
	Service   fairway.ServiceName
	Colour    fairway.Colour
	// Artifact, when its image is set, is rendered in place of the one that
	// the branch names; with its digest, the container's image becomes
	// IMAGE:TAG@DIGEST.
	Artifact fairway.Artifact
	// KubeVersion is what templates see as the cluster's version. Default
	// v1.34.0.
	KubeVersion string
	// Timeout bounds the rendering, default 10 s. A template is interrupted
	// at its next loop turn or named template; a single function is not.
	Timeout time.Duration
	// MaxOutput bounds what the templates may write, in bytes. Default 8 MiB.
	MaxOutput int
}

const (
	defaultKubeVersion = "v1.34.0"
	defaultTimeout     = 10 * time.Second
	defaultMaxOutput   = 8 << 20
)

func (r Release) withDefaults() Release {
	if r.KubeVersion == "" {
		r.KubeVersion = defaultKubeVersion
	}
	if r.Timeout == 0 {
		r.Timeout = defaultTimeout
	}
	if r.MaxOutput == 0 {
		r.MaxOutput = defaultMaxOutput
	}
	return r
}

func (r Release) place() fairway.Place {
	return fairway.Place{Namespace: r.Namespace, Service: r.Service, Colour: r.Colour}
}

// Rendered are the objects of one service, one YAML document each, in the
// order in which a cluster takes them.
type Rendered struct {
	// Manifests are the colour's own: its Deployment or StatefulSet and what
	// its pods need.
	Manifests [][]byte
	// Shared is what stands once for both colours, such as the Kubernetes
	// Service and Istio's objects.
	Shared [][]byte
	// Single is what a service's own chart has once for both colours: its
	// Kubernetes Services, Ingresses, RBAC, custom resource definitions, and
	// what they use. Shared holds only the traffic's objects then.
	Single [][]byte
	// Random says that the same files may render otherwise the next time.
	Random bool
	// Objects lists all of them.
	Objects []Object
}

// Object is a rendered object.
type Object struct {
	Kind   string
	Name   string
	File   string // the template in the branch
	Shared bool
}

// Render renders the service's templates of a stage's branch and returns the
// objects of one colour. Errors in values and templates are of KindInvalid and
// name file and line in the branch; KindNotFound means that the branch has no
// such service, KindRefused that the service has no such colour there.
func Render(ctx context.Context, files map[string][]byte, r Release) (Rendered, error) {
	r = r.withDefaults()
	files, err := r.configured(files)
	if err != nil {
		return Rendered{}, err
	}
	quoted, services, err := chart.ForRendering(files)
	if err != nil {
		return Rendered{}, err
	}
	owners := chart.NewOwners(services)
	c, err := load(files, quoted, r, owners)
	if err != nil {
		return Rendered{}, err
	}
	values, err := renderValues(c, r)
	if err != nil {
		return Rendered{}, err
	}
	ctx, cancel := context.WithTimeoutCause(ctx, r.Timeout, fairway.Errorf(fairway.KindInvalid, "rendering took longer than %s; look for a loop that does not end", r.Timeout))
	defer cancel()
	texts, err := execute(ctx, source{chart: c.Name(), dir: chart.Dir}, c, values, r.MaxOutput)
	if err != nil {
		return Rendered{}, err
	}
	out, err := r.sorted(ctx, files, texts, c.Name(), owners)
	out.Random = isRandom(files, r.Service)
	return out, err
}

// sorted picks the service's objects out of the umbrella's texts, or renders
// the service's own chart beside them.
func (r Release) sorted(ctx context.Context, files map[string][]byte, texts map[string]string, name string, owners chart.Owners) (Rendered, error) {
	own, ok, err := chart.OwnChart(files, r.Service, r.Colour)
	if err != nil {
		return Rendered{}, err
	}
	if !ok {
		return pick(texts, r, name, owners)
	}
	traffic, err := splitAll(texts, owners)
	if err != nil {
		return Rendered{}, err
	}
	all, err := renderOwn(ctx, files, own, r)
	if err != nil {
		return Rendered{}, err
	}
	return ownRendered(all, traffic)
}

// configured returns the files with the release's artifact in the values.
func (r Release) configured(files map[string][]byte) (map[string][]byte, error) {
	st, err := chart.Strategy(files, r.Service)
	if err != nil {
		return nil, err
	}
	if !slices.Contains(fairway.Stage{DeploymentStrategy: st}.Colours(), r.Colour) {
		return nil, fairway.Errorf(fairway.KindRefused, "service %s has no place %s in stage %s, where its strategy is %s", r.Service, r.Colour, r.Stage, st)
	}
	if r.Artifact.Image == "" {
		return files, nil
	}
	changes, err := chart.SetImage(files, r.Service, r.Colour, r.Artifact)
	if err != nil {
		return nil, err
	}
	files = maps.Clone(files)
	maps.Copy(files, changes)
	return files, nil
}

// load makes Helm's chart of the branch, with the service's templates, those
// of nobody and the helpers.
func load(files map[string][]byte, values []byte, r Release, owners chart.Owners) (*helmchart.Chart, error) {
	var list []*loader.BufferedFile
	for _, file := range slices.Sorted(maps.Keys(files)) {
		name, ok := strings.CutPrefix(file, chart.Dir+"/")
		if !ok || !rendered(file, r, owners) {
			continue
		}
		data := files[file]
		switch {
		case file == chart.ValuesFile:
			data = values
		case strings.HasPrefix(name, "templates/"):
			data = metered(name, data)
		}
		list = append(list, &loader.BufferedFile{Name: name, Data: data})
	}
	c, err := loader.LoadFiles(list)
	if err != nil {
		return nil, cannotLoad(chart.Dir, err)
	}
	return c, compatible(c, chart.Dir, r.KubeVersion)
}

func cannotLoad(dir string, err error) error {
	return fairway.InvalidAll([]fairway.Problem{{File: dir + "/Chart.yaml", Message: "Helm cannot load the chart: " + err.Error(), Remedy: "correct the chart's files"}})
}

func compatible(c *helmchart.Chart, dir, version string) error {
	if want := c.Metadata.KubeVersion; want != "" && !chartutil.IsCompatibleRange(want, version) {
		return fairway.InvalidAll([]fairway.Problem{{File: dir + "/Chart.yaml", Field: "kubeVersion", Value: want, Message: "does not allow Kubernetes " + version, Remedy: "widen the range, or deliver to a cluster of that version"}})
	}
	return nil
}

func (r Release) capabilities() (*chartutil.Capabilities, error) {
	kube, err := chartutil.ParseKubeVersion(r.KubeVersion)
	if err != nil {
		return nil, fairway.Invalid("Kubernetes version", r.KubeVersion, "is not a version", "write it as v1.34.0")
	}
	caps := chartutil.DefaultCapabilities.Copy()
	caps.KubeVersion = *kube
	return caps, nil
}

// rendered reports whether the file has a say in this service and colour.
func rendered(file string, r Release, owners chart.Owners) bool {
	if strings.HasPrefix(path.Base(file), "_") {
		return true
	}
	owner, ok := owners.File(file)
	return !ok || owner.Service == r.Service && (owner.Colour == fairway.Single || owner.Colour == r.Colour)
}

func renderValues(c *helmchart.Chart, r Release) (chartutil.Values, error) {
	caps, err := r.capabilities()
	if err != nil {
		return nil, err
	}
	none := map[string]any{}
	if err := chartutil.ProcessDependencies(c, none); err != nil {
		return nil, fairway.InvalidAll([]fairway.Problem{{File: chart.ChartFile, Field: "dependencies", Message: "cannot be resolved: " + err.Error(), Remedy: "put the charts under " + chart.Dir + "/charts"}})
	}
	options := chartutil.ReleaseOptions{Name: string(r.Project) + "-" + string(r.Stage), Namespace: string(r.Namespace), Revision: 1, IsInstall: true}
	values, err := chartutil.ToRenderValues(c, none, options, caps)
	if err != nil {
		return nil, fairway.InvalidAll([]fairway.Problem{{File: chart.ValuesFile, Message: "does not fit the chart: " + err.Error(), Remedy: "correct the values, or values.schema.json"}})
	}
	return values, nil
}

// execute runs the engine and returns the texts by template, in the branch's
// paths.
func execute(ctx context.Context, src source, c *helmchart.Chart, values chartutil.Values, most int) (map[string]string, error) {
	m := &meter{ctx: ctx}
	texts, err := engine.RenderWithClientProvider(c, values, m)
	if m.err != nil {
		return nil, templateError(src, fmt.Errorf("%w", err), m.err)
	}
	if err != nil {
		return nil, templateError(src, err, nil)
	}
	out := make(map[string]string, len(texts))
	size := 0
	for name, text := range texts {
		if size += len(text); size > most {
			return nil, fairway.InvalidAll([]fairway.Problem{{File: src.inBranch(name), Message: fmt.Sprintf("brings the rendered chart beyond %d bytes", most), Remedy: "look for a loop that writes too much"}})
		}
		out[src.inBranch(name)] = text
	}
	return out, nil
}
