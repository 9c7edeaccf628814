package chart

import (
	"fmt"
	"path"
	"strings"

	"github.com/fairwaycd/fairway"
)

// The files that every branch has.
const (
	Dir         = "helm-chart"
	ChartFile   = Dir + "/Chart.yaml"
	ValuesFile  = Dir + "/values.yaml"
	GatewayFile = templateDir + "istio-gateway.yaml"

	templateDir = Dir + "/templates/"
)

// Key returns the service's key in values.yaml: its name in camel case
// (orders-db becomes ordersDb). Two names can have the same key; [Onboard]
// refuses the second.
func Key(s fairway.ServiceName) string {
	parts := strings.Split(string(s), "-")
	for i, p := range parts[1:] {
		parts[i+1] = title(p)
	}
	return strings.Join(parts, "")
}

// ColourKey returns the key of the values that one colour is rendered with.
func ColourKey(s fairway.ServiceName, c fairway.Colour) string { return Key(s) + title(string(c)) }

func title(s string) string {
	if s == "" {
		return ""
	}
	return strings.ToUpper(s[:1]) + s[1:]
}

// DeploymentFile returns the path of the template of one colour's Deployment.
func DeploymentFile(s fairway.ServiceName, c fairway.Colour) string {
	return templateDir + ColourKey(s, c) + "-deployment.yaml"
}

// ServiceFile returns the path of the template of the Kubernetes Service.
func ServiceFile(s fairway.ServiceName) string { return templateDir + string(s) + "-service.yaml" }

// VirtualServiceFile returns the path of the file that holds the weights.
func VirtualServiceFile(s fairway.ServiceName) string {
	return templateDir + "istio-virtual-service-" + string(s) + ".yaml"
}

// DestinationRuleFile returns the path of the template that names the colours.
func DestinationRuleFile(s fairway.ServiceName) string {
	return templateDir + "istio-destination-rule-" + string(s) + ".yaml"
}

// layout returns every path that the service may have in some stage.
func layout(s fairway.ServiceName) []string {
	return []string{
		DeploymentFile(s, fairway.Single), DeploymentFile(s, fairway.Blue), DeploymentFile(s, fairway.Green),
		ServiceFile(s), VirtualServiceFile(s), DestinationRuleFile(s),
	}
}

// names are the files and values keys that services have, in lower case:
// letters that differ only in case count as equal, for clones on file systems
// that do not tell them apart.
type names map[string]fairway.ServiceName

// add takes the service's names, or reports an error when it cannot live
// beside those that took theirs before.
func (n names) add(s fairway.ServiceName) error {
	for _, reserved := range []string{"global", Dir} {
		if strings.EqualFold(Key(s), reserved) || strings.EqualFold(string(s), reserved) {
			return fairway.Invalid("service.name", string(s), "is a name that the chart uses itself", "choose another name")
		}
	}
	mine := append(layout(s), Key(s), ColourKey(s, fairway.Blue), ColourKey(s, fairway.Green))
	for i, name := range mine {
		mine[i] = strings.ToLower(name)
		if other, taken := n[mine[i]]; taken {
			return fairway.Invalid("service.name", string(s), fmt.Sprintf("cannot stand beside the service %s: both would be called %s in the chart", other, path.Base(mine[i])), "choose another name")
		}
	}
	for _, name := range mine {
		n[name] = s
	}
	return nil
}

// Owners tells which service a template of the chart belongs to.
type Owners struct {
	exact map[string]Owner
	names map[string]fairway.ServiceName // by name and key
}

// Owner is whose template a file is. Colour is [fairway.Single] unless the
// file is one colour's alone.
type Owner struct {
	Service fairway.ServiceName
	Colour  fairway.Colour
}

// NewOwners returns the owners among the given services.
func NewOwners(services []fairway.ServiceName) Owners {
	o := Owners{exact: map[string]Owner{}, names: map[string]fairway.ServiceName{}}
	for _, s := range services {
		for _, p := range layout(s) {
			o.exact[p] = Owner{Service: s}
		}
		for _, c := range []fairway.Colour{fairway.Blue, fairway.Green} {
			o.exact[DeploymentFile(s, c)] = Owner{Service: s, Colour: c}
		}
		o.names[Key(s)] = s
	}
	for _, s := range services { // a name wins over another service's key
		o.names[string(s)] = s
	}
	return o
}

// File returns the owner of the template at path. Beside the files of the
// layout, a service owns what begins with its name or key (carts-config.yaml,
// carts/config.yaml); of carts and carts-db, carts-db-config.yaml belongs to
// the longer one. ok is false for what belongs to nobody.
func (o Owners) File(file string) (owner Owner, ok bool) {
	if owner, ok = o.exact[file]; ok {
		return owner, true
	}
	rel, ok := strings.CutPrefix(file, templateDir)
	if !ok || file == GatewayFile {
		return Owner{}, false
	}
	if dir, _, nested := strings.Cut(rel, "/"); nested {
		if s, ok := o.Name(dir); ok {
			return Owner{Service: s}, true
		}
	}
	base, _, _ := strings.Cut(path.Base(rel), ".")
	s, ok := o.Name(base)
	return Owner{Service: s}, ok
}

// Name returns the service whose name or key is the longest beginning of the
// given name up to a hyphen or its end.
func (o Owners) Name(name string) (fairway.ServiceName, bool) {
	for {
		if s, ok := o.names[name]; ok {
			return s, true
		}
		i := strings.LastIndexByte(name, '-')
		if i < 0 {
			return "", false
		}
		name = name[:i]
	}
}
