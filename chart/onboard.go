package chart

import (
	"bytes"
	"cmp"
	"embed"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/fairwaycd/fairway"
)

//go:embed template/*.yaml
var defaults embed.FS

// Init returns the files that the branch of a new stage begins with.
func Init(project fairway.ProjectName, stage fairway.Stage, domain string) map[string][]byte {
	f := filler{project: project, stage: stage.Name, domain: domain}
	return map[string][]byte{
		ChartFile:   f.template("chart"),
		ValuesFile:  f.template("values"),
		GatewayFile: f.template("gateway"),
	}
}

// filler fills the placeholders of a template in. Users know the two of the
// service from their own templates.
type filler struct {
	project fairway.ProjectName
	stage   fairway.StageName
	domain  string
	service fairway.ServiceName
	host    string // of the Kubernetes Service; empty: the service's name
}

func (f filler) fill(text []byte) []byte {
	return []byte(strings.NewReplacer(
		"SERVICE_PLACEHOLDER_C", Key(f.service),
		"SERVICE_PLACEHOLDER_DEC", string(f.service),
		"PROJECT_PLACEHOLDER", string(f.project),
		"STAGE_PLACEHOLDER", string(f.stage),
		"DOMAIN_PLACEHOLDER", f.domain,
		"HOST_PLACEHOLDER", cmp.Or(f.host, string(f.service)),
	).Replace(string(text)))
}

// userFill fills in only what is documented for users' templates.
func (f filler) userFill(text []byte) []byte {
	return []byte(strings.NewReplacer("SERVICE_PLACEHOLDER_C", Key(f.service), "SERVICE_PLACEHOLDER_DEC", string(f.service)).Replace(string(text)))
}

func (f filler) template(name string) []byte {
	text, err := defaults.ReadFile("template/" + name + ".yaml")
	if err != nil {
		panic(err) // the embedded files are part of the program
	}
	return f.fill(text)
}

// OnboardRequest is a service for one stage's branch.
type OnboardRequest struct {
	Project fairway.ProjectName
	Stage   fairway.Stage // the values' own strategy wins over the stage's
	Domain  string        // of the gateway, e.g. localhost; used when the branch names none

	Values     []byte
	ValuesName string // for messages; default values.yaml
	// Deployment and Service are the user's templates; nil means the default.
	Deployment []byte
	Service    []byte
	// Resources are the service's other files by path: perfspec/…, tests/…,
	// jmeter/….
	Resources map[string][]byte
	// Own are the files of the service's own chart, and OwnHost the name of the
	// Kubernetes Service in it; nil for a service made of templates. Values is
	// [OwnRequest.Document] then.
	Own     map[string][]byte
	OwnHost string
}

// Onboard adds a service to the branch of a stage and returns the changes,
// with warnings about what will work otherwise than the user may expect. A
// service that is there already stays as it is, and a warning says so. The
// templates are not rendered here.
func Onboard(files map[string][]byte, req OnboardRequest) (changes map[string][]byte, warnings []string, err error) {
	if req.ValuesName == "" {
		req.ValuesName = "values.yaml"
	}
	v, err := ParseValues(req.ValuesName, req.Values)
	if err != nil {
		return nil, nil, err
	}
	if v.Strategy != "" {
		req.Stage.DeploymentStrategy = v.Strategy
	}
	req.Stage = req.Stage.WithDefaults()
	changes = map[string][]byte{}
	for file, data := range Init(req.Project, req.Stage, req.Domain) {
		if files[file] == nil {
			changes[file] = data
		}
	}
	branch := Overlay(files, changes)
	root, err := parse(ValuesFile, branch[ValuesFile])
	if err != nil {
		return nil, nil, err
	}
	services := servicesIn(root)
	if slices.Contains(services, v.Service) {
		return map[string][]byte{}, []string{fmt.Sprintf("service %s is onboarded in stage %s already and was left as it is; edit it in the project's repository, branch %s", v.Service, req.Stage.Name, req.Stage.Name)}, nil
	}
	if err := req.fits(root, services, v.Service); err != nil {
		return nil, nil, err
	}
	o := onboarding{OnboardRequest: req, values: v, owners: NewOwners(append(services, v.Service)),
		filler: filler{project: req.Project, stage: req.Stage.Name, service: v.Service, host: req.OwnHost}}
	if err := o.into(changes, branch[ValuesFile]); err != nil {
		return nil, nil, err
	}
	return changes, o.warnings, nil
}

// fits reports an error when the service's names are taken in the branch.
func (req OnboardRequest) fits(root *yaml.Node, services []fairway.ServiceName, s fairway.ServiceName) error {
	taken := names{}
	for _, other := range services {
		_ = taken.add(other) // what is there is Check's to judge
	}
	if err := taken.add(s); err != nil {
		return fairway.InFile(req.ValuesName, err)
	}
	if get(root, Key(s)) != nil {
		return fairway.Errorf(fairway.KindConflict, "%s of branch %s has a key %s that is no service's; rename the key or the service", ValuesFile, req.Stage.Name, Key(s))
	}
	return nil
}

// onboarding is one call of [Onboard] after its checks.
type onboarding struct {
	OnboardRequest
	filler   filler
	values   Values
	owners   Owners
	warnings []string
}

func (o *onboarding) into(changes map[string][]byte, valuesFile []byte) error {
	s, blueGreen := o.values.Service, o.Stage.DeploymentStrategy == fairway.BlueGreen
	values, err := o.addValues(valuesFile)
	if err != nil {
		return err
	}
	changes[ValuesFile] = values
	changes[VirtualServiceFile(s)] = o.filler.template("virtual-service")
	if blueGreen {
		changes[VirtualServiceFile(s)] = o.filler.template("virtual-service-colours")
		changes[DestinationRuleFile(s)] = o.filler.template("destination-rule")
	}
	if o.Own != nil {
		return o.intoOwn(changes)
	}
	changes[ServiceFile(s)] = o.filler.template("service")
	if o.Service != nil {
		changes[ServiceFile(s)] = o.filler.userFill(o.Service)
	}
	deployment := o.filler.template("deployment")
	if o.Deployment != nil {
		deployment = o.filler.userFill(o.Deployment)
	}
	for _, c := range o.Stage.Colours() {
		text := colourCopy(deployment, s, c, o.owners)
		if c != fairway.Single && !namesWorkload(text, s, c) {
			return fairway.Invalid("deployment", "", "does not name its Deployment after the service, so that blue and green would be one", "write name: SERVICE_PLACEHOLDER_DEC in its metadata, or strategy: direct in the values")
		}
		changes[DeploymentFile(s, c)] = text
	}
	o.warn(deployment)
	return o.addResources(changes)
}

func (o *onboarding) addResources(changes map[string][]byte) error {
	resources, err := Resources(o.values.Service, o.Resources)
	maps.Copy(changes, resources)
	return err
}

// intoOwn adds the service's own chart as it is.
func (o *onboarding) intoOwn(changes map[string][]byte) error {
	s := o.values.Service
	if o.Stage.DeploymentStrategy == fairway.BlueGreen {
		changes[DestinationRuleFile(s)] = o.filler.template("destination-rule-own")
	}
	files, err := ownFiles(s, o.Own)
	if err != nil {
		return err
	}
	maps.Copy(changes, files)
	return o.addResources(changes)
}

// addValues appends the service's keys to the branch's values.
func (o *onboarding) addValues(data []byte) ([]byte, error) {
	s := o.values.Service
	root, err := o.values.normal(o.ValuesName, o.Deployment != nil)
	if o.Own != nil {
		root, err = o.values.ownNormal(), nil
	}
	if err != nil {
		return nil, err
	}
	added := &yaml.Node{Kind: yaml.MappingNode, Tag: "!!map", Content: []*yaml.Node{wordNode(Key(s)), root}}
	if o.Stage.DeploymentStrategy == fairway.BlueGreen {
		for _, c := range o.Stage.Colours() {
			coloured := blankImage(root)
			if o.Own != nil { // all else is the same for both
				drop(coloured, "chart")
				drop(coloured, "values")
				drop(coloured, "strategy")
			}
			set(coloured, wordNode(fairway.Place{Service: s, Colour: c}.Workload()), "service", "name")
			added.Content = append(added.Content, wordNode(ColourKey(s, c)), coloured)
		}
	}
	text, err := encode(added)
	if err != nil {
		return nil, err
	}
	old, err := parse(ValuesFile, data)
	if err != nil {
		return nil, err
	}
	wanted := clone(old)
	wanted.Content = append(wanted.Content, added.Content...)
	if len(data) > 0 && !bytes.HasSuffix(data, []byte("\n")) {
		data = append(bytes.Clone(data), '\n')
	}
	out := append(bytes.Clone(data), text...)
	if got, err := parse(ValuesFile, out); err == nil && equal(got, wanted) {
		return out, nil
	}
	return encode(wanted)
}

// warn looks at the user's Deployment template for what will surprise.
func (o *onboarding) warn(deployment []byte) {
	s := o.values.Service
	warn := func(format string, args ...any) { o.warnings = append(o.warnings, fmt.Sprintf(format, args...)) }
	blueGreen := o.Stage.DeploymentStrategy == fairway.BlueGreen
	if blueGreen && stateful.Match(deployment) {
		warn("service %s keeps state, and in stage %s blue and green each get a state of their own: a switch shows the other one's; write strategy: direct in its values for one version that stays with its data", s, o.Stage.Name)
	}
	if oldAPI.Match(deployment) {
		warn("the Deployment template of service %s uses an API version that Kubernetes 1.16 and later refuse; write apiVersion: apps/v1 and add spec.selector", s)
	}
	if blueGreen && !labelled(deployment, s) {
		warn("the Deployment template of service %s has no label deployment: SERVICE_PLACEHOLDER_DEC on its pods, by which Istio tells blue from green in stage %s; add it to spec.template.metadata.labels", s, o.Stage.Name)
	}
}

// resourceDirs are the directories of a service beside its chart.
var resourceDirs = []string{"perfspec", "tests", "jmeter", "prometheus", "dynatrace"}

// resourceFiles lie in the service's directory itself.
var resourceFiles = []string{"slo.yaml", "sli.yaml"}

// Resources returns the paths in the branch for a service's other files, given
// by their paths within its directory.
func Resources(s fairway.ServiceName, resources map[string][]byte) (map[string][]byte, error) {
	out := make(map[string][]byte, len(resources))
	var ps []fairway.Problem
	for _, name := range slices.Sorted(maps.Keys(resources)) {
		dir, rest, _ := strings.Cut(name, "/")
		placed := rest != "" && slices.Contains(resourceDirs, dir) || slices.Contains(resourceFiles, name)
		if path.Clean(name) != name || !placed {
			ps = append(ps, fairway.Problem{File: name, Message: "has no place in a service's directory", Remedy: "put it under " + strings.Join(resourceDirs, "/, ") + "/, or name it " + strings.Join(resourceFiles, " or ")})
			continue
		}
		out[string(s)+"/"+name] = append([]byte{}, resources[name]...)
	}
	return out, fairway.InvalidAll(ps)
}
