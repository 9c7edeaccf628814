package chart

import (
	"bytes"
	"maps"
	"path"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/fairwaycd/fairway"
)

// A service may bring a Helm chart of its own. It lies as it was given in the
// service's directory, and the umbrella's values.yaml holds what Fairway and
// people change: image, tag, and the values that differ from the chart's.
//
//	carts/chart/Chart.yaml, values.yaml, templates/…      as given
//	helm-chart/values.yaml                                carts: {chart, image, values}, cartsBlue: {image}, …
//	helm-chart/templates/istio-virtual-service-carts.yaml the weights
//
// So a switch changes two lines, and a new version a tag.

// ownDir is the directory of a service's own chart within the service's.
const ownDir = "chart"

// OwnDir returns where the service's own chart lies in the branch.
func OwnDir(s fairway.ServiceName) string { return string(s) + "/" + ownDir }

// ColourLabel is the label by which the pods of blue and green are told apart
// when they come from a chart that knows nothing of colours.
const ColourLabel = "fairway.dev/colour"

// Own is a service's own chart in the branch, for one colour.
type Own struct {
	Dir string // in the branch
	// ImageValues are the paths of the chart's values that take the image: one
	// for IMAGE:TAG, or one for the image and one for its tag.
	ImageValues []string
	// Values is the YAML that the chart is rendered with over its own values:
	// those of the branch, and the colour's image.
	Values []byte
}

// OwnChart returns the service's own chart with the values of a colour; ok is
// false for a service that is made of templates in the umbrella chart.
func OwnChart(files map[string][]byte, s fairway.ServiceName, c fairway.Colour) (own Own, ok bool, err error) {
	root, err := service(files[ValuesFile], s)
	if err != nil || !isOwn(root, s) {
		return Own{}, false, err
	}
	own = Own{Dir: OwnDir(s), ImageValues: imageValuesIn(root, s)}
	a, _, err := Image(files, s, c)
	if err != nil {
		return Own{}, false, err
	}
	values := &yaml.Node{Kind: yaml.MappingNode, Tag: "!!map"}
	if n := get(root, Key(s), "values"); !isNull(n) {
		values = clone(n)
	}
	if a.Image != "" {
		base, err := parse(own.Dir+"/values.yaml", files[own.Dir+"/values.yaml"])
		if err != nil {
			return Own{}, false, err
		}
		putImage(values, base, own.ImageValues, a)
	}
	own.Values, err = encode(values)
	return own, true, err
}

// putImage sets the image in the values. A registry beside it would stand
// before the image, which names its own, and a digest would win over the tag:
// both are emptied where chart or values have them.
func putImage(values, base *yaml.Node, paths []string, a fairway.Artifact) {
	keys := strings.Split(paths[0], ".")
	if len(paths) == 1 {
		set(values, textNode(a.String()), keys...)
		return
	}
	set(values, textNode(a.Image), keys...)
	set(values, textNode(a.Tag), strings.Split(paths[1], ".")...)
	for _, beside := range []string{"registry", "digest"} {
		other := append(slices.Clone(keys[:len(keys)-1]), beside)
		if slices.Contains(paths, strings.Join(other, ".")) {
			continue
		}
		for _, in := range []*yaml.Node{values, base} {
			if n := get(in, other...); !isNull(n) && n.Kind == yaml.ScalarNode && n.Value != "" {
				set(values, textNode(""), other...)
			}
		}
	}
}

// isOwn reports whether the service has a chart of its own.
func isOwn(root *yaml.Node, s fairway.ServiceName) bool {
	return !isNull(get(root, Key(s), "chart", "imageValues"))
}

func imageValuesIn(root *yaml.Node, s fairway.ServiceName) []string {
	n := get(root, Key(s), "chart", "imageValues")
	if n.Kind == yaml.ScalarNode {
		return []string{n.Value}
	}
	var paths []string
	for _, p := range n.Content {
		paths = append(paths, p.Value)
	}
	return paths
}

// checkOwn reports what is wrong with a service's own chart in the branch.
func (d differ) checkOwn(s fairway.ServiceName) []fairway.Problem {
	var ps []fairway.Problem
	if file := OwnDir(s) + "/Chart.yaml"; d.after[file] == nil {
		ps = append(ps, fairway.Problem{File: file, Message: "is missing", Remedy: "restore it; remove a service with fairway, so that what runs is stopped too"})
	}
	field := Key(s) + ".chart.imageValues"
	if err := checkImageValues(imageValuesIn(d.is, s)); err != nil {
		p := problem(ValuesFile, get(d.is, Key(s), "chart", "imageValues"), field, fairway.Problems(err)[0].Message, fairway.Problems(err)[0].Remedy)
		ps = append(ps, p)
	}
	if n := get(d.is, Key(s), "values"); !isNull(n) && n.Kind != yaml.MappingNode {
		ps = append(ps, problem(ValuesFile, n, Key(s)+".values", "is not a mapping", "write values: {KEY: VALUE}"))
	}
	return ps
}

func checkImageValues(paths []string) error {
	bad := len(paths) < 1 || len(paths) > 2
	for _, p := range paths {
		bad = bad || p == "" || slices.Contains(strings.Split(p, "."), "")
	}
	if bad {
		return fairway.Invalid("image-values", strings.Join(paths, ","), "are not one or two paths of the chart's values", "write the path that takes the image and the one that takes its tag, such as image.repository,image.tag, or one path that takes IMAGE:TAG")
	}
	return nil
}

// ownChanged reports whether the service's own chart, or the values that it is
// rendered with, differ.
func (d differ) ownChanged(s fairway.ServiceName) bool {
	if !isOwn(d.is, s) {
		return false
	}
	if !equal(get(d.was, Key(s), "values"), get(d.is, Key(s), "values")) {
		return true
	}
	prefix := OwnDir(s) + "/"
	for file := range maps.Keys(Overlay(d.before, d.after)) {
		if strings.HasPrefix(file, prefix) && !bytes.Equal(d.before[file], d.after[file]) {
			return true
		}
	}
	return false
}

// OwnRequest says how a service with a chart of its own is onboarded.
type OwnRequest struct {
	Service  fairway.ServiceName
	Strategy fairway.DeploymentStrategy // empty: the stage's
	// Values is the YAML of the values that differ from the chart's, in the
	// file ValuesName.
	Values     []byte
	ValuesName string
	// Files are the chart's, by their paths within it.
	Files map[string][]byte
	// ImageValues are the paths of the values that take the image; none means
	// that they are found out, see [FindImageValues].
	ImageValues []string
}

// Document returns the service's values document for [OnboardRequest.Values].
// The image is in it only when req's own values name one, since what a chart
// names by default is its author's, and not what is to be delivered.
func (req OwnRequest) Document() ([]byte, error) {
	if err := checkImageValues(req.ImageValues); err != nil {
		return nil, err
	}
	values, err := parse(req.ValuesName, req.Values)
	if err != nil {
		return nil, err
	}
	root := &yaml.Node{Kind: yaml.MappingNode, Tag: "!!map"}
	set(root, wordNode(string(req.Service)), "service", "name")
	if req.Strategy != "" {
		set(root, wordNode(string(req.Strategy)), "strategy")
	}
	paths := &yaml.Node{Kind: yaml.SequenceNode, Tag: "!!seq", Style: yaml.FlowStyle}
	for _, p := range req.ImageValues {
		paths.Content = append(paths.Content, wordNode(p))
	}
	set(root, paths, "chart", "imageValues")
	a := imageAt(values, req.ImageValues)
	if a.Image != "" {
		set(root, textNode(a.Image), "image", "repository")
		set(root, textNode(a.Tag), "image", "tag")
	}
	if len(values.Content) == 0 {
		values.Style = yaml.FlowStyle
	}
	set(root, values, "values")
	return encode(root)
}

// imageAt returns the image that values name under the paths, if they name
// both an image and its tag.
func imageAt(values *yaml.Node, paths []string) fairway.Artifact {
	text := func(path string) string {
		if n := get(values, strings.Split(path, ".")...); !isNull(n) && n.Kind == yaml.ScalarNode {
			return n.Value
		}
		return ""
	}
	image, tag := fairway.SplitImage(text(paths[0]))
	if len(paths) == 2 {
		image, tag = text(paths[0]), text(paths[1])
	}
	if image == "" || tag == "" {
		return fairway.Artifact{}
	}
	return fairway.Artifact{Image: image, Tag: tag}
}

// FindImageValues looks for the values that take the image: image.repository
// and image.tag as most charts have them, or an image that is one text.
func FindImageValues(chartValues []byte) ([]string, error) {
	root, err := parse("values.yaml", chartValues)
	if err != nil {
		return nil, err
	}
	switch n := get(root, "image"); {
	case n != nil && n.Kind == yaml.MappingNode && get(n, "repository") != nil:
		return []string{"image.repository", "image.tag"}, nil
	case n != nil && n.Kind == yaml.MappingNode && get(n, "name") != nil && get(n, "tag") != nil:
		return []string{"image.name", "image.tag"}, nil
	case n != nil && n.Kind == yaml.ScalarNode && n.Tag == "!!str":
		return []string{"image"}, nil
	}
	return nil, fairway.InvalidAll([]fairway.Problem{{File: "values.yaml", Field: "image", Message: "does not say which values take the image and its tag",
		Remedy: "name them: --image-values image.repository,image.tag, or one path that takes IMAGE:TAG"}})
}

// ownFiles returns the chart's files by their paths in the branch.
func ownFiles(s fairway.ServiceName, files map[string][]byte) (map[string][]byte, error) {
	out := make(map[string][]byte, len(files))
	var ps []fairway.Problem
	for _, name := range slices.Sorted(maps.Keys(files)) {
		if path.Clean(name) != name || path.IsAbs(name) || name == ".." || strings.HasPrefix(name, "../") || strings.ContainsAny(name, "\\\x00") {
			ps = append(ps, fairway.Problem{File: name, Message: "is not a path within a chart", Remedy: "remove it from the chart"})
			continue
		}
		out[OwnDir(s)+"/"+name] = append([]byte{}, files[name]...)
	}
	if files["Chart.yaml"] == nil {
		ps = append(ps, fairway.Problem{File: "Chart.yaml", Message: "is missing", Remedy: "name the directory or archive of a Helm chart"})
	}
	return out, fairway.InvalidAll(ps)
}

// ReplaceOwn returns the changes that put another state of the service's own
// chart in the place of what the branch has; values and weights stay. It is
// KindRefused for a service without a chart of its own.
func ReplaceOwn(files map[string][]byte, s fairway.ServiceName, chart map[string][]byte) (map[string][]byte, error) {
	root, err := service(files[ValuesFile], s)
	if err != nil {
		return nil, err
	}
	if !isOwn(root, s) {
		return nil, fairway.Errorf(fairway.KindRefused, "service %s has no chart of its own in this stage; remove the service and onboard it again with --chart", s)
	}
	placed, err := ownFiles(s, chart)
	if err != nil {
		return nil, err
	}
	changes := map[string][]byte{}
	for file := range files {
		if strings.HasPrefix(file, OwnDir(s)+"/") && placed[file] == nil {
			changes[file] = nil
		}
	}
	for file, data := range placed {
		if have, ok := files[file]; !ok || !bytes.Equal(have, data) {
			changes[file] = data
		}
	}
	return changes, nil
}
