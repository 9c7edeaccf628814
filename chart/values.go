package chart

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/fairwaycd/fairway"
)

// Values is what a service's values say to Fairway. Keys that it does not
// know belong to the user's templates and are kept.
type Values struct {
	Service  fairway.ServiceName
	Strategy fairway.DeploymentStrategy // the service's override; empty: the stage's
	// Artifact is the image that the values name, with tag latest when they
	// name none; its zero value means that they name no image.
	Artifact     fairway.Artifact
	Replicas     int // at least 1
	InternalPort int // of the container; default 8080
	ExternalPort int // of the Kubernetes Service; default 80
	Metrics      Metrics
	// HealthPath is asked to see whether the service is ready. It is empty
	// when values name another kind of probe, or none.
	HealthPath string

	root *yaml.Node
}

// Metrics says where a service's metrics are and how a Prometheus that
// Fairway did not set up tells its pods apart.
type Metrics struct {
	Path   string // empty: the service is not scraped
	Port   int
	Select string // label matchers with {{colour}}, e.g. pod=~"carts-{{colour}}-.*"
}

// The defaults of a values document.
const (
	defaultInternalPort = 8080
	defaultExternalPort = 80
	defaultHealthPath   = "/health"
	defaultMetricsPath  = "/metrics"
)

// ParseValues reads a service's values document, as it is given at onboarding.
// Every mistake is reported at once, with line and column in the named file.
func ParseValues(file string, data []byte) (Values, error) {
	root, err := parse(file, data)
	if err != nil {
		return Values{}, err
	}
	return readValues(file, root)
}

// ServiceValues returns the values of a service in the branch: what
// [ParseValues] read when it was onboarded, and what was edited since.
// KindNotFound when the branch has no such service.
func ServiceValues(files map[string][]byte, s fairway.ServiceName) (Values, error) {
	root, err := service(files[ValuesFile], s)
	if err != nil {
		return Values{}, err
	}
	v, err := readValues(ValuesFile, get(root, Key(s)))
	v.HealthPath = probePath(v.root)
	return v, err
}

// reader collects the problems of one values mapping.
type reader struct {
	file string
	root *yaml.Node
	ps   []fairway.Problem
}

func readValues(file string, root *yaml.Node) (Values, error) {
	r := &reader{file: file, root: root}
	v := Values{root: root}
	v.Service = r.name()
	v.Replicas = r.number(1, math.MaxInt32, 1, "replicaCount")
	v.InternalPort = r.number(1, 65535, defaultInternalPort, "service", "internalPort")
	v.ExternalPort = r.number(1, 65535, defaultExternalPort, "service", "externalPort")
	v.Strategy = r.strategy()
	v.Artifact = r.image()
	v.Metrics = r.metrics(v.InternalPort)
	v.HealthPath = r.health()
	for _, key := range []string{"resources", "container"} {
		r.mapping(key)
	}
	r.pullSecrets()
	return v, fairway.InvalidAll(r.ps)
}

func (r *reader) add(n *yaml.Node, field, message, remedy string) {
	if n == nil {
		n = r.root
		p := problem(r.file, n, field, message, remedy)
		p.Value = ""
		r.ps = append(r.ps, p)
		return
	}
	r.ps = append(r.ps, problem(r.file, n, field, message, remedy))
}

func (r *reader) name() fairway.ServiceName {
	n := get(r.root, "service", "name")
	if isNull(n) || n.Kind != yaml.ScalarNode || n.Value == "" {
		r.add(n, "service.name", "is missing", "write service: {name: NAME} at the top level of the document")
		return ""
	}
	s := fairway.ServiceName(n.Value)
	for _, p := range fairway.Problems(s.Validate()) {
		r.add(n, "service.name", p.Message, p.Remedy)
	}
	return s
}

func (r *reader) number(least, most, def int, keys ...string) int {
	n := get(r.root, keys...)
	if isNull(n) {
		return def
	}
	i, err := strconv.Atoi(n.Value)
	if n.Kind != yaml.ScalarNode || err != nil || i < least || i > most {
		r.add(n, strings.Join(keys, "."), "is not a whole number in range", fmt.Sprintf("write a number from %d to %d", least, most))
		return def
	}
	return i
}

// text returns the scalar under the keys as it is written.
func (r *reader) text(keys ...string) string {
	n := get(r.root, keys...)
	if isNull(n) {
		return ""
	}
	if n.Kind != yaml.ScalarNode {
		r.add(n, strings.Join(keys, "."), "is not a text", "write a single value")
		return ""
	}
	return n.Value
}

// mapping returns the mapping under the key, or nil when there is none.
func (r *reader) mapping(key string) *yaml.Node {
	n := get(r.root, key)
	if isNull(n) {
		return nil
	}
	if n.Kind != yaml.MappingNode {
		r.add(n, key, "is not a mapping", "write "+key+": {KEY: VALUE}")
		return nil
	}
	return n
}

// pullSecrets checks the names of the Secrets that the image is pulled with.
func (r *reader) pullSecrets() {
	const key, remedy = "imagePullSecrets", "write a list of names: imagePullSecrets: [fairway-ghcr.io]"
	n := get(r.root, key)
	if isNull(n) {
		return
	}
	if n.Kind != yaml.SequenceNode {
		r.add(n, key, "is not a list", remedy)
		return
	}
	for i, item := range n.Content {
		name := item
		if item.Kind == yaml.MappingNode {
			name = get(item, "name")
		}
		if isNull(name) || name.Kind != yaml.ScalarNode || name.Value == "" {
			r.add(item, fmt.Sprintf("%s[%d]", key, i), "is not the name of a Secret", remedy)
		}
	}
}

func (r *reader) strategy() fairway.DeploymentStrategy {
	s := r.text("strategy")
	if s != "" && !slices.Contains(fairway.Allowed()["deployment_strategy"], s) {
		r.add(get(r.root, "strategy"), "strategy", "is not a deployment strategy", "use one of "+strings.Join(fairway.Allowed()["deployment_strategy"], ", "))
		return ""
	}
	return fairway.DeploymentStrategy(s)
}

func (r *reader) image() fairway.Artifact {
	if r.mapping("image") == nil {
		return fairway.Artifact{}
	}
	a := imageOf(r.root)
	for _, key := range []string{"repository", "tag"} {
		r.text("image", key)
	}
	if a.Image == "" {
		if n := get(r.root, "image", "tag"); !isNull(n) {
			r.add(n, "image.tag", "has no repository that it belongs to", "set image.repository, or remove the tag")
		}
		return fairway.Artifact{}
	}
	for _, p := range fairway.Problems(a.Validate()) {
		n := get(r.root, "image", "tag")
		field := "image.tag"
		if p.Field == "image" || isNull(n) {
			n, field = get(r.root, "image", "repository"), "image.repository"
		}
		r.add(n, field, p.Message, p.Remedy)
	}
	return a
}

// imageOf returns what image.repository and image.tag say; a tag may stand in
// the repository, and no tag at all means latest.
func imageOf(root *yaml.Node) fairway.Artifact {
	repository := get(root, "image", "repository")
	if isNull(repository) || repository.Value == "" {
		return fairway.Artifact{}
	}
	var a fairway.Artifact
	a.Image, a.Tag = fairway.SplitImage(repository.Value)
	if tag := get(root, "image", "tag"); !isNull(tag) && tag.Value != "" {
		a.Image, a.Tag = repository.Value, tag.Value
	}
	if a.Tag == "" {
		a.Tag = "latest"
	}
	return a
}

func (r *reader) metrics(port int) Metrics {
	if r.mapping("metrics") == nil {
		return Metrics{}
	}
	m := Metrics{Path: r.text("metrics", "path"), Port: r.number(1, 65535, port, "metrics", "port"), Select: r.text("metrics", "select")}
	if m.Path == "" {
		m.Path = defaultMetricsPath
	}
	if !strings.HasPrefix(m.Path, "/") {
		r.add(get(r.root, "metrics", "path"), "metrics.path", "does not begin with a slash", "write /"+m.Path)
	}
	return m
}

// health checks the two ways to say how readiness is seen, health (a path) and
// readiness (a probe), and returns the path that is asked.
func (r *reader) health() string {
	health, readiness := get(r.root, "health"), get(r.root, "readiness")
	switch {
	case isNull(health) && isNull(readiness):
		return defaultHealthPath
	case isNull(health):
		return r.readiness(readiness)
	case !isNull(readiness):
		r.add(health, "health", "stands beside readiness", "remove one of the two")
		return ""
	}
	path := health
	if health.Kind == yaml.MappingNode {
		path = get(health, "path")
		r.number(1, 65535, 0, "health", "port")
	}
	if isNull(path) || path.Kind != yaml.ScalarNode || !strings.HasPrefix(path.Value, "/") {
		r.add(health, "health", "is not a path", "write health: /PATH or health: {path: /PATH, port: PORT}")
		return ""
	}
	return path.Value
}

// probeKinds are the ways in which a Kubernetes probe asks.
var probeKinds = []string{"httpGet", "tcpSocket", "exec", "grpc"}

func (r *reader) readiness(n *yaml.Node) string {
	remedy := "write readiness: {tcp: true}, or a Kubernetes probe with one of " + strings.Join(probeKinds, ", ")
	if n.Kind != yaml.MappingNode {
		r.add(n, "readiness", "is not a probe", remedy)
		return ""
	}
	kinds := 0
	for _, kind := range append([]string{"tcp"}, probeKinds...) {
		if get(n, kind) != nil {
			kinds++
		}
	}
	if tcp := get(n, "tcp"); tcp != nil && tcp.Value != "true" {
		r.add(tcp, "readiness.tcp", "is not true", remedy)
	}
	if kinds != 1 {
		r.add(n, "readiness", fmt.Sprintf("names %d ways to ask", kinds), remedy)
	}
	return probePath(r.root)
}

func probePath(root *yaml.Node) string {
	if n := get(root, "readiness", "httpGet", "path"); n != nil {
		return n.Value
	}
	return ""
}
