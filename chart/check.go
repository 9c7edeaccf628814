package chart

import (
	"bytes"
	"fmt"
	"maps"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/fairwaycd/fairway"
)

// Change is what became different between two states of a stage's branch.
type Change struct {
	Services []ServiceChange // those that changed, in alphabetical order
	// Chart is set when something changed that is no single service's: a
	// helper, Chart.yaml, a value of the user's own. Any service may render
	// otherwise then.
	Chart bool
	// Files are the paths that were added, changed or removed, sorted.
	Files []string
}

// ServiceChange is what became different about one service. One that was added
// or removed also says what came or went with it.
type ServiceChange struct {
	Service        fairway.ServiceName
	Added, Removed bool
	// Weights is the new split; nil when it stayed as it was.
	Weights fairway.Weights
	// Images are the colours whose image or tag changed, with what they have
	// now; an empty artifact means none.
	Images map[fairway.Colour]fairway.Artifact
	// Scale is set when replicas or resources changed, which takes effect in
	// place.
	Scale bool
	// Other is set when anything else in its values or templates changed.
	Other bool
	// Resources is set when a file of the service's directory changed.
	Resources bool
	// Chart is set when the service's own chart, or the values that it is
	// rendered with, changed. What that means can only be told by rendering
	// both states.
	Chart bool
}

// changed reports whether anything is different at all.
func (c ServiceChange) changed() bool {
	return c.Added || c.Removed || c.Weights != nil || len(c.Images) > 0 || c.Scale || c.Other || c.Resources || c.Chart
}

// Check compares two states of a stage's branch, before and after a push, and
// refuses a new state that Fairway could not work with: every problem at once,
// with file and line. It does not render the templates.
func Check(before, after map[string][]byte) (Change, error) {
	is, err := parse(ValuesFile, after[ValuesFile])
	if err != nil {
		return Change{}, err
	}
	was, err := parse(ValuesFile, before[ValuesFile])
	if err != nil { // a broken state may always be repaired
		was = &yaml.Node{Kind: yaml.MappingNode, Tag: "!!map"}
	}
	d := differ{before: before, after: after, was: was, is: is}
	if err := d.check(); err != nil {
		return Change{}, err
	}
	return d.change()
}

// differ compares two states of a branch. was and is are their values.
type differ struct {
	before, after map[string][]byte
	was, is       *yaml.Node
}

// check reports what is wrong with the new state.
func (d differ) check() error {
	var ps []fairway.Problem
	add := func(err error) { ps = append(ps, fairway.Problems(err)...) }
	add(checkChart(d.before, d.after))
	services, taken := servicesIn(d.is), names{}
	for _, s := range services {
		add(fairway.InFile(ValuesFile, taken.add(s)))
		add(d.checkService(s))
	}
	for _, s := range servicesIn(d.was) {
		if !slices.Contains(services, s) {
			ps = append(ps, d.leftOver(s)...)
		}
	}
	return fairway.InvalidAll(ps)
}

// leftOver reports templates of a service whose values are gone.
func (d differ) leftOver(s fairway.ServiceName) []fairway.Problem {
	var ps []fairway.Problem
	for _, file := range layout(s) {
		if d.after[file] != nil {
			ps = append(ps, fairway.Problem{File: file, Message: "belongs to service " + string(s) + ", whose values are gone", Remedy: "restore the key " + Key(s) + " in " + ValuesFile + ", or remove this file too"})
		}
	}
	return ps
}

// checkChart refuses a change of the chart's name, which is in the labels that
// running pods are selected by.
func checkChart(before, after map[string][]byte) error {
	is, err := parse(ChartFile, after[ChartFile])
	if err != nil {
		return err
	}
	name := get(is, "name")
	if isNull(name) {
		return problemAt(ChartFile, is, "name", "is missing", "restore name: PROJECT")
	}
	if was, err := parse(ChartFile, before[ChartFile]); err == nil {
		if old := get(was, "name"); !isNull(old) && old.Value != name.Value {
			return problemAt(ChartFile, name, "name", "was "+old.Value+" and cannot change: pods are selected by it", "write name: "+old.Value)
		}
	}
	return nil
}

func (d differ) checkService(s fairway.ServiceName) error {
	var ps []fairway.Problem
	st := strategyIn(d.is, s)
	keys, own := []string{Key(s)}, isOwn(d.is, s)
	if own {
		ps = append(ps, d.checkOwn(s)...)
	}
	if get(d.was, Key(s)) != nil && isOwn(d.was, s) != own {
		ps = append(ps, problem(ValuesFile, get(d.is, Key(s), "chart"), Key(s)+".chart", "was added or removed by hand", "restore it; to bring or drop a chart of its own, remove the service and onboard it again"))
	}
	for _, c := range coloursOf(st) {
		if c != fairway.Single {
			keys = append(keys, ColourKey(s, c))
		}
		if file := DeploymentFile(s, c); d.after[file] == nil && !own {
			ps = append(ps, fairway.Problem{File: file, Message: "is missing", Remedy: "restore it; remove a service with fairway, so that what runs is stopped too"})
		}
	}
	for _, key := range keys {
		ps = append(ps, checkValues(get(d.is, key), key, s)...)
	}
	if n := get(d.is, Key(s), "strategy"); !isNull(n) && n.Value != string(st) {
		ps = append(ps, problem(ValuesFile, n, Key(s)+".strategy", "differs from the layout of the branch, which is "+string(st), "write "+string(st)+"; to change it, remove the service and onboard it again"))
	}
	if was := strategyIn(d.was, s); get(d.was, Key(s)) != nil && was != st {
		ps = append(ps, problem(ValuesFile, nil, Key(s), fmt.Sprintf("was laid out for %s and is now for %s", was, st), "restore the keys and templates; to change the strategy, remove the service and onboard it again"))
	}
	if st == fairway.BlueGreen {
		file := VirtualServiceFile(s)
		_, ok, err := ReadWeights(file, d.after[file])
		ps = append(ps, fairway.Problems(err)...)
		if _, had, _ := ReadWeights(file, d.before[file]); err == nil && had && !ok {
			ps = append(ps, fairway.Problem{File: file, Field: "weights", Message: "are both 0", Remedy: "make them sum to 100"})
		}
	}
	return fairway.InvalidAll(ps)
}

// checkValues checks one key's values as at onboarding.
func checkValues(n *yaml.Node, key string, s fairway.ServiceName) []fairway.Problem {
	if n.Kind != yaml.MappingNode {
		return []fairway.Problem{problem(ValuesFile, n, key, "is not a mapping", "restore the values of service "+string(s))}
	}
	checked := clone(n)
	set(checked, wordNode(string(s)), "service", "name") // a colour's own name ends in the colour
	_, err := readValues(ValuesFile, checked)
	ps := fairway.Problems(err)
	for i := range ps {
		ps[i].Field = key + "." + ps[i].Field
	}
	if tcp := get(n, "readiness", "tcp"); tcp != nil {
		ps = append(ps, problem(ValuesFile, tcp, key+".readiness.tcp", "is a short form for onboarding only", "write tcpSocket: {port: http}"))
	}
	return ps
}

func (d differ) change() (Change, error) {
	var c Change
	c.Files = d.files()
	olds, news := servicesIn(d.was), servicesIn(d.is)
	all := slices.Compact(slices.Sorted(slices.Values(append(slices.Clone(olds), news...))))
	byService := map[fairway.ServiceName]*ServiceChange{}
	for _, s := range all {
		one := &ServiceChange{Service: s, Added: !slices.Contains(olds, s), Removed: !slices.Contains(news, s)}
		byService[s] = one
		if !one.Removed {
			d.values(one)
		}
	}
	if err := d.templates(&c, byService, NewOwners(all)); err != nil {
		return Change{}, err
	}
	c.Chart = c.Chart || d.ownValues(all)
	for _, s := range all {
		if byService[s].changed() {
			c.Services = append(c.Services, *byService[s])
		}
	}
	return c, nil
}

func (d differ) files() []string {
	var list []string
	for file := range maps.Keys(Overlay(d.before, d.after)) {
		was, had := d.before[file]
		is, has := d.after[file]
		if had != has || !bytes.Equal(was, is) {
			list = append(list, file)
		}
	}
	slices.Sort(list)
	return list
}

// values compares the service's keys.
func (d differ) values(one *ServiceChange) {
	s := one.Service
	one.Chart = d.ownChanged(s)
	for _, c := range append([]fairway.Colour{fairway.Single}, coloursOf(strategyIn(d.is, s))...) {
		was, is := get(d.was, ColourKey(s, c)), get(d.is, ColourKey(s, c))
		if a, b := imageIn(was), imageIn(is); !a.Same(b) && (c != fairway.Single || strategyIn(d.is, s) == fairway.Direct) {
			if one.Images == nil {
				one.Images = map[fairway.Colour]fairway.Artifact{}
			}
			one.Images[c] = b
		}
		for _, key := range []string{"replicaCount", "resources"} {
			one.Scale = one.Scale || !equal(get(was, key), get(is, key))
		}
		one.Other = one.Other || !equal(without(was), without(is))
	}
}

func imageIn(n *yaml.Node) fairway.Artifact {
	if n == nil {
		return fairway.Artifact{}
	}
	return imageOf(n)
}

// without returns the values without what [ServiceChange] names apart.
func without(n *yaml.Node) *yaml.Node {
	if n == nil || n.Kind != yaml.MappingNode {
		return n
	}
	n = clone(n)
	drop(n, "replicaCount")
	drop(n, "resources")
	if get(n, "chart", "imageValues") != nil {
		drop(n, "values")
	}
	if image := get(n, "image"); image != nil && image.Kind == yaml.MappingNode {
		drop(image, "repository")
		drop(image, "tag")
	}
	return n
}

// templates sorts the changed files by service.
func (d differ) templates(c *Change, byService map[fairway.ServiceName]*ServiceChange, owners Owners) error {
	for _, file := range c.Files {
		dir, _, nested := strings.Cut(file, "/")
		if one := byService[fairway.ServiceName(dir)]; nested && one != nil && one.Chart && strings.HasPrefix(file, OwnDir(one.Service)+"/") {
			continue
		}
		if nested && byService[fairway.ServiceName(dir)] != nil {
			byService[fairway.ServiceName(dir)].Resources = true
			continue
		}
		owner, ok := owners.File(file)
		switch {
		case file == ValuesFile:
		case !ok:
			c.Chart = c.Chart || strings.HasPrefix(file, Dir+"/")
		case file == VirtualServiceFile(owner.Service) && !byService[owner.Service].Removed && strategyIn(d.is, owner.Service) == fairway.BlueGreen:
			if err := d.weights(byService[owner.Service], file); err != nil {
				return err
			}
		default:
			byService[owner.Service].Other = true
		}
	}
	return nil
}

// weights tells a change of the weights from any other of the file.
func (d differ) weights(one *ServiceChange, file string) error {
	is, ok, err := ReadWeights(file, d.after[file])
	if err != nil {
		return err
	}
	was, had, err := ReadWeights(file, d.before[file])
	if ok && (err != nil || !had || was.String() != is.String()) {
		one.Weights = is
	}
	probe := fairway.Full(fairway.Blue)
	a, errA := editWeights(file, d.before[file], probe)
	b, errB := editWeights(file, d.after[file], probe)
	one.Other = one.Other || errA != nil || errB != nil || !bytes.Equal(a, b)
	return nil
}

// ownValues reports whether a key that is no service's changed.
func (d differ) ownValues(services []fairway.ServiceName) bool {
	was, is := clone(d.was), clone(d.is)
	for _, s := range services {
		for _, c := range []fairway.Colour{fairway.Single, fairway.Blue, fairway.Green} {
			drop(was, ColourKey(s, c))
			drop(is, ColourKey(s, c))
		}
	}
	return !equal(was, is)
}
