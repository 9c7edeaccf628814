package fairway

import (
	"fmt"
	"regexp"
	"strings"
)

// ProjectName names a project. It is a DNS label of 2 to 40 characters.
type ProjectName string

// StageName names a stage within a project, and its git branch.
type StageName string

// ServiceName names a service within a project. It is a DNS label.
type ServiceName string

// Namespace is the environment of a stage: a Kubernetes namespace, and the
// second label of every host (SERVICE.NAMESPACE.DOMAIN).
type Namespace string

// DeliveryID identifies a delivery. It is the correlation id
// (shkeptncontext) of every event that the delivery causes.
type DeliveryID string

// Short returns the first eight characters, enough for a person to type.
func (id DeliveryID) Short() string {
	if len(id) <= 8 {
		return string(id)
	}
	return string(id[:8])
}

// Colour is the place of a version within a stage: blue, green, or [Single]
// where the stage's strategy is direct.
type Colour string

// The colours. Single is the only place of a direct stage.
const (
	Single Colour = ""
	Blue   Colour = "blue"
	Green  Colour = "green"
)

// Other returns the opposite colour; Single is its own opposite.
func (c Colour) Other() Colour {
	switch c {
	case Blue:
		return Green
	case Green:
		return Blue
	}
	return c
}

// String returns "blue", "green" or, for Single, "direct".
func (c Colour) String() string {
	if c == Single {
		return "direct"
	}
	return string(c)
}

// MarshalText writes what [Colour.String] writes. As a key of a JSON object
// encoding/json takes the plain string instead: a direct stage's key is "".
func (c Colour) MarshalText() ([]byte, error) { return []byte(c.String()), nil }

// UnmarshalText reads what [Colour.MarshalText] wrote.
func (c *Colour) UnmarshalText(b []byte) error {
	v, err := ParseColour(string(b))
	if err != nil {
		return err
	}
	*c = v
	return nil
}

// ParseColour reads what [Colour.String] wrote.
func ParseColour(s string) (Colour, error) {
	switch s {
	case "blue", "green":
		return Colour(s), nil
	case "", "direct":
		return Single, nil
	}
	return "", Invalid("colour", s, "no such colour", "use blue or green")
}

// Place is where one version of a service lives in a stage.
type Place struct {
	Namespace Namespace   `json:"namespace"`
	Service   ServiceName `json:"service"`
	Colour    Colour      `json:"slot,omitempty"`
}

// Workload returns the name of the place's Deployment: SERVICE-COLOUR, or
// SERVICE alone in a direct stage.
func (p Place) Workload() string {
	if p.Colour == Single {
		return string(p.Service)
	}
	return string(p.Service) + "-" + string(p.Colour)
}

// Host returns the host under which the place alone answers.
func (p Place) Host(domain string) string {
	return p.Workload() + "." + string(p.Namespace) + "." + domain
}

// Instance returns the value of the Prometheus label "instance" under which
// the place is scraped.
func (p Place) Instance() string {
	return p.Workload() + "." + string(p.Namespace) + ".svc.cluster.local:80"
}

// String returns NAMESPACE/WORKLOAD.
func (p Place) String() string { return string(p.Namespace) + "/" + p.Workload() }

// ServiceHost returns the host whose traffic the route's weights split.
func ServiceHost(ns Namespace, s ServiceName, domain string) string {
	return string(s) + "." + string(ns) + "." + domain
}

var dnsLabel = regexp.MustCompile(`^[a-z]([a-z0-9-]*[a-z0-9])?$`)

// Validate reports whether the name can be a git repository, a host and a
// Kubernetes label at once.
func (n ProjectName) Validate() error { return validateLabel("project", string(n), 2, 40) }

// Validate reports whether the name can be a git branch and a namespace.
func (n StageName) Validate() error {
	if n == "main" || n == "master" {
		return Invalid("stage", string(n), "is the name of the branch that holds the shipyard", "choose another name, such as dev")
	}
	return validateLabel("stage", string(n), 1, 40)
}

// Validate reports whether the name can be a workload with a colour's suffix.
// Names that end in -blue or -green are refused, since they would collide
// with the colours of another service.
func (n ServiceName) Validate() error {
	if strings.HasSuffix(string(n), "-blue") || strings.HasSuffix(string(n), "-green") {
		return Invalid("service", string(n), "ends like a colour", "choose a name that does not end in -blue or -green")
	}
	return validateLabel("service", string(n), 2, 50)
}

// Validate reports whether the name is a DNS label.
func (n Namespace) Validate() error { return validateLabel("namespace", string(n), 1, 63) }

func validateLabel(field, s string, least, most int) error {
	if len(s) < least || len(s) > most || !dnsLabel.MatchString(s) {
		return Invalid(field, s, "is not a valid name",
			fmt.Sprintf("use %d to %d lower-case letters, digits and hyphens, starting with a letter and not ending in a hyphen", least, most))
	}
	return nil
}
