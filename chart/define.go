package chart

import (
	"bytes"
	"maps"
	"path"
	"regexp"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/fairwaycd/fairway"
)

// Definition is a new state of a service, as somebody gave it. What it leaves
// out stays as each stage has it.
type Definition struct {
	// Values are the service's; of a service with a chart of its own, those
	// that differ from the chart's. ValuesName is their file, for messages.
	Values     []byte
	ValuesName string
	Deployment []byte // template, as at onboarding
	Service    []byte // template, as at onboarding
	// Chart are the files of the service's own chart by their paths within it,
	// and ImageValues the paths of those of its values that take the image.
	Chart       map[string][]byte
	ImageValues []string
}

// definitionsDir holds on main what services were last defined as.
const definitionsDir = "services"

// DefinitionDir is the directory on main that holds the service's last
// definition, as it was given.
func DefinitionDir(s fairway.ServiceName) string { return definitionsDir + "/" + string(s) }

// DefinitionOf returns the service in whose definition a file of main lies.
func DefinitionOf(file string) (s fairway.ServiceName, ok bool) {
	rest, ok := strings.CutPrefix(file, definitionsDir+"/")
	name, _, within := strings.Cut(rest, "/")
	return fairway.ServiceName(name), ok && within
}

const imageValuesFile = "image-values"

// Empty reports whether nothing is defined.
func (d Definition) Empty() bool {
	return d.Values == nil && d.Deployment == nil && d.Service == nil && len(d.Chart) == 0 && len(d.ImageValues) == 0
}

// Files returns the definition as files of [DefinitionDir], by their paths
// within it.
func (d Definition) Files() map[string][]byte {
	files := map[string][]byte{}
	for name, body := range map[string][]byte{"values.yaml": d.Values, "deployment.yaml": d.Deployment, "service.yaml": d.Service} {
		if body != nil {
			files[name] = body
		}
	}
	for name, body := range d.Chart {
		files[ownDir+"/"+name] = body
	}
	if len(d.ImageValues) > 0 {
		files[imageValuesFile] = []byte(strings.Join(d.ImageValues, "\n") + "\n")
	}
	return files
}

// ReadDefinition reads the files of a [DefinitionDir], and refuses those that
// would mean nothing.
func ReadDefinition(s fairway.ServiceName, files map[string][]byte) (Definition, error) {
	dir := DefinitionDir(s) + "/"
	d := Definition{ValuesName: dir + "values.yaml"}
	var ps []fairway.Problem
	for _, name := range slices.Sorted(maps.Keys(files)) {
		body := files[name]
		switch rest, own := strings.CutPrefix(name, ownDir+"/"); {
		case own:
			if d.Chart == nil {
				d.Chart = map[string][]byte{}
			}
			d.Chart[rest] = body
		case name == "values.yaml":
			d.Values = body
		case name == "deployment.yaml":
			d.Deployment = body
		case name == "service.yaml":
			d.Service = body
		case name == imageValuesFile:
			d.ImageValues = strings.Fields(string(body))
		default:
			ps = append(ps, fairway.Problem{File: dir + name, Message: "is no part of a service's definition",
				Remedy: "write values.yaml, deployment.yaml, service.yaml, " + imageValuesFile + " or " + ownDir + "/…; tests and objectives lie in the stages' branches"})
		}
	}
	return d, fairway.InvalidAll(ps)
}

// Request returns the onboarding that leads to the new state in a branch, and
// the branch without the service, to which it applies. It is KindRefused for
// what can only be changed by onboarding the service again.
func (d Definition) Request(files map[string][]byte, s fairway.ServiceName, req OnboardRequest) (without map[string][]byte, _ OnboardRequest, err error) {
	root, err := service(files[ValuesFile], s)
	if err != nil {
		return nil, req, err
	}
	if err := d.fits(root, s); err != nil {
		return nil, req, err
	}
	req.Values, req.ValuesName, req.Deployment, req.Service = d.Values, d.ValuesName, d.Deployment, d.Service
	if isOwn(root, s) {
		err = d.own(&req, files, root, s)
	} else if d.Values == nil {
		req.Values, err = encode(get(root, Key(s)))
	}
	if err != nil {
		return nil, req, err
	}
	v, err := ParseValues(req.ValuesName, req.Values)
	if err != nil {
		return nil, req, err
	}
	if v.Service != s {
		return nil, req, fairway.InFile(req.ValuesName, fairway.Invalid("service.name", string(v.Service), "is not "+string(s)+", the service that is to be updated", "write "+string(s)))
	}
	if d.Values != nil && !isOwn(root, s) {
		if err := sameStrategy(req, v.Strategy, strategyIn(root, s)); err != nil {
			return nil, req, err
		}
	}
	changes, err := Remove(files, s)
	return Overlay(files, changes), req, err
}

// fits refuses a definition of another kind of service.
func (d Definition) fits(root *yaml.Node, s fairway.ServiceName) error {
	again := "; to change that, delete the service and onboard it again"
	switch own := isOwn(root, s); {
	case own && (d.Deployment != nil || d.Service != nil):
		return fairway.Errorf(fairway.KindRefused, "service %s has a chart of its own and takes no templates%s", s, again)
	case !own && (len(d.Chart) > 0 || len(d.ImageValues) > 0):
		return fairway.Errorf(fairway.KindRefused, "service %s is made of values and templates and has no chart of its own%s", s, again)
	}
	return nil
}

func sameStrategy(req OnboardRequest, asked, have fairway.DeploymentStrategy) error {
	is := asked
	if is == "" {
		is = req.Stage.WithDefaults().DeploymentStrategy
	}
	if is == have {
		return nil
	}
	remedy := "write strategy: " + string(have)
	if have == req.Stage.WithDefaults().DeploymentStrategy {
		remedy = "leave strategy out"
	}
	return fairway.InFile(req.ValuesName, fairway.Invalid("strategy", string(is), "is not that of the service in stage "+string(req.Stage.Name)+", which is laid out for "+string(have),
		remedy+", or delete the service and onboard it again"))
}

// own fills in what a chart of the service's own is onboarded with.
func (d Definition) own(req *OnboardRequest, files map[string][]byte, root *yaml.Node, s fairway.ServiceName) error {
	q := OwnRequest{Service: s, Values: d.Values, ValuesName: d.ValuesName, ImageValues: d.ImageValues}
	if n := get(root, Key(s), "strategy"); !isNull(n) {
		q.Strategy = fairway.DeploymentStrategy(n.Value)
	}
	if len(q.ImageValues) == 0 {
		q.ImageValues = imageValuesIn(root, s)
	}
	var err error
	if n := get(root, Key(s), "values"); q.Values == nil && !isNull(n) {
		if q.Values, err = encode(n); err != nil {
			return err
		}
	}
	if req.Values, err = q.Document(); err != nil {
		return err
	}
	if req.Own = d.Chart; len(req.Own) == 0 {
		req.Own = map[string][]byte{}
		for file, body := range files {
			if rest, ok := strings.CutPrefix(file, OwnDir(s)+"/"); ok {
				req.Own[rest] = body
			}
		}
	}
	return nil
}

// Merge returns the branch with what the definition gives, taken from the
// branch in which the service was onboarded anew as [Definition.Request] says.
// All else of the service stays: its other files, and its traffic rules as
// long as they lead to what the chart renders.
func (d Definition) Merge(files, onboarded map[string][]byte, s fairway.ServiceName) (map[string][]byte, error) {
	e := editing{service: s, files: maps.Clone(files), was: files}
	take := func(names ...string) {
		for _, name := range names {
			if body := onboarded[name]; body != nil {
				e.files[name] = body
			}
		}
	}
	for _, c := range []fairway.Colour{fairway.Single, fairway.Blue, fairway.Green} {
		if d.Deployment != nil {
			take(DeploymentFile(s, c))
		}
		if d.Values == nil && len(d.ImageValues) == 0 {
			continue
		}
		text, err := e.block(onboarded[ValuesFile], ColourKey(s, c))
		if err != nil {
			return nil, err
		}
		if text == nil {
			continue
		}
		if err := e.setBlock(ColourKey(s, c), text); err != nil {
			return nil, err
		}
	}
	if d.Service != nil {
		take(ServiceFile(s))
	}
	if len(d.Chart) > 0 {
		maps.DeleteFunc(e.files, func(file string, _ []byte) bool { return strings.HasPrefix(file, OwnDir(s)+"/") })
		for name := range d.Chart {
			take(path.Join(OwnDir(s), name))
		}
	}
	if rules := VirtualServiceFile(s); !sameHosts(files[rules], onboarded[rules]) {
		take(rules, DestinationRuleFile(s))
	}
	return e.files, nil
}

var hostLine = regexp.MustCompile(`(?m)^[ \t-]*host:[ \t]*(\S+)`)

// sameHosts reports whether a traffic rule leads to all that another leads to.
func sameHosts(have, want []byte) bool {
	for _, m := range hostLine.FindAllSubmatch(want, -1) {
		if !slices.ContainsFunc(hostLine.FindAllSubmatch(have, -1), func(h [][]byte) bool { return bytes.Equal(h[1], m[1]) }) {
			return false
		}
	}
	return true
}
