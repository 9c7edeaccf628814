package fairway

import (
	"net"
	"net/url"
	"regexp"
	"strings"
	"time"
)

// Registry is a registry elsewhere that a project takes images from, and how
// it is learnt that there is a new one. It holds credentials: it is kept in the
// data directory, and never in git, events or logs.
type Registry struct {
	Project ProjectName `json:"project"`
	Name    string      `json:"name"` // within the project; by default the host
	// URL is https://HOST[:PORT] and, where the project has only a part of the
	// registry, the path before the services' names. http is for this machine,
	// or for a registry that asks for no password.
	URL      string `json:"url"`
	Username string `json:"username,omitempty"`
	Password Secret `json:"password,omitempty"` // or token
	CA       string `json:"ca,omitempty"`       // certificates, PEM, trusted beside the system's
	// Poll is the time between two looks at the tags; 0 means that nobody looks.
	Poll time.Duration `json:"poll,omitempty"`
	// Filter is a range of semantic versions, FilterRegexp a regular
	// expression for the whole tag: a tag has to fit to be delivered. At most
	// one is set; none takes every tag that the shipyard takes.
	Filter       string `json:"filter,omitempty"`
	FilterRegexp string `json:"filterRegexp,omitempty"`
	// Secret is what senders of notifications have to know. Without it none
	// is taken.
	Secret Secret `json:"secret,omitempty"`
	// CopyPullSecret puts the credentials into the namespaces of the project's
	// stages, as a Secret called PullSecretName.
	CopyPullSecret bool `json:"copyPullSecret,omitempty"`
	// DeliverExisting is "newest" to have the first look at a repository
	// deliver the newest tag there; empty means that it delivers nothing.
	DeliverExisting string `json:"deliverExisting,omitempty"`
}

// The times between two looks at a registry.
const (
	DefaultRegistryPoll = 30 * time.Second
	MinRegistryPoll     = time.Second
)

// DeliverNewest is the value of [Registry.DeliverExisting] that has an effect.
const DeliverNewest = "newest"

var registryNamePattern = regexp.MustCompile(`^[a-z0-9]([a-z0-9.-]{0,61}[a-z0-9])?$`)

// RegistryName returns the name that a registry has if nobody gives it one:
// its host, with a hyphen before the port.
func RegistryName(address string) string {
	u, err := url.Parse(address)
	if err != nil {
		return ""
	}
	return strings.NewReplacer(":", "-", "[", "", "]", "").Replace(hostOf(u))
}

// hostOf returns the host as image names have it. Docker Hub has several.
func hostOf(u *url.URL) string { return canonicalHost(strings.ToLower(u.Host)) }

func canonicalHost(host string) string {
	switch host {
	case "index.docker.io", "registry-1.docker.io", "registry.hub.docker.com", "hub.docker.com":
		return "docker.io"
	}
	return host
}

// CanonicalImage returns the image's repository with the host that [Registry.Host]
// gives it: all names of Docker Hub become docker.io.
func CanonicalImage(image string) string {
	host, rest, ok := strings.Cut(image, "/")
	if !ok {
		return image
	}
	return canonicalHost(strings.ToLower(host)) + "/" + rest
}

// Host returns the registry's host, as image names begin with it.
func (r Registry) Host() string {
	u, err := url.Parse(r.URL)
	if err != nil {
		return ""
	}
	return hostOf(u)
}

// Path returns the path of the URL without slashes at its ends.
func (r Registry) Path() string {
	u, err := url.Parse(r.URL)
	if err != nil {
		return ""
	}
	return strings.Trim(u.Path, "/")
}

// Plain reports whether the registry is asked without TLS.
func (r Registry) Plain() bool { return strings.HasPrefix(r.URL, "http://") }

// Covers reports whether the image's repository lies below the registry's URL.
func (r Registry) Covers(image string) bool {
	base := r.Host() + "/"
	if p := r.Path(); p != "" {
		base += p + "/"
	}
	return strings.HasPrefix(CanonicalImage(image), base)
}

// PullSecretName is the name of the Secret that [Registry.CopyPullSecret] makes.
func (r Registry) PullSecretName() string { return "fairway-" + r.Name }

// Validate reports everything that is wrong with the registry at once. What the
// certificates hold, and whether the filters can be read, is not looked at.
func (r Registry) Validate() error {
	var ps []Problem
	add := func(field, value, message, remedy string) {
		ps = append(ps, Problem{Field: field, Value: value, Message: message, Remedy: remedy})
	}
	if err := r.Project.Validate(); err != nil {
		ps = append(ps, Problems(err)...)
	}
	if !registryNamePattern.MatchString(r.Name) {
		add("name", r.Name, "is not the name of a registry", "use 1 to 63 lower-case letters, digits, dots and hyphens")
	}
	r.validateURL(add)
	if (r.Username == "") != (r.Password == "") {
		add("username", r.Username, "and password belong together", "give both, --username and --password-stdin, or neither")
	}
	if r.CA != "" && r.Plain() {
		add("ca", "", "is for a registry with TLS", "write the URL with https://, or leave the certificates out")
	}
	for _, text := range []struct{ field, value string }{{"username", r.Username}, {"password", string(r.Password)}, {"secret", string(r.Secret)}} {
		if strings.ContainsAny(text.value, "\r\n\x00") {
			add(text.field, "", "has a line break in it", "give it in one line")
		}
	}
	if r.Poll != 0 && r.Poll < MinRegistryPoll {
		add("poll", r.Poll.String(), "is too short", "use at least 1s, or 0s to never look")
	}
	if r.Secret != "" && len(r.Secret) < minHookSecret {
		add("secret", "", "is too short to keep others out", "use at least 16 characters: openssl rand -hex 20")
	}
	if r.Poll == 0 && r.Secret == "" {
		add("poll", "0s", "leaves no way to hear of a push, since there is no secret for notifications either", "look at the tags (--poll 30s), or take notifications (--secret-stdin)")
	}
	if r.Filter != "" && r.FilterRegexp != "" {
		add("filter", r.Filter, "and filterRegexp both choose tags", "give one of them")
	}
	if r.DeliverExisting != "" && r.DeliverExisting != DeliverNewest {
		add("deliverExisting", r.DeliverExisting, "is not known", "use newest, or leave it out")
	}
	if r.DeliverExisting != "" && r.Poll == 0 {
		add("deliverExisting", r.DeliverExisting, "needs looks at the tags", "say --poll 30s, too")
	}
	if r.CopyPullSecret && r.Username == "" {
		add("copyPullSecret", "true", "has no credentials to copy", "give --username and --password-stdin, or leave it out")
	}
	return InvalidAll(ps)
}

// minHookSecret is the least length of a secret, in bytes.
const minHookSecret = 16

func (r Registry) validateURL(add func(field, value, message, remedy string)) {
	u, err := url.Parse(r.URL)
	switch {
	case err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Host == "":
		value := r.URL
		if strings.Contains(value, "@") { // what cannot be read may hold a password
			value = ""
		}
		add("url", value, "is not the address of a registry", "write https://HOST or https://HOST/PATH, e.g. https://ghcr.io/acme")
	case u.User != nil:
		add("url", "", "holds credentials", "give them with --username and --password-stdin")
	case u.RawQuery != "" || u.Fragment != "":
		add("url", u.Scheme+"://"+u.Host, "has a query or fragment behind it", "write the address alone")
	case u.Path != strings.ToLower(u.Path) || strings.Contains(u.Path, "//"):
		add("url", r.URL, "has a path that no image can have", "write it in lower case, as in the images' names")
	case u.Scheme == "http" && r.Password != "" && !isLoopback(u.Hostname()):
		add("url", r.URL, "would send your password in the clear", "write https://")
	}
}

func isLoopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// RegistryCondition is how the looks at a registry go.
type RegistryCondition string

// The conditions.
const (
	RegistryPending     RegistryCondition = "not looked at yet"
	RegistryWatched     RegistryCondition = "watched"           // the last look succeeded
	RegistryUnwatched   RegistryCondition = "not watched"       // nobody looks; notifications alone count
	RegistryBusy        RegistryCondition = "asked to wait"     // it answers 429 or 503
	RegistryUnreachable RegistryCondition = "unreachable"       // it does not answer
	RegistryRefuses     RegistryCondition = "refuses us"        // credentials or rights are missing
	RegistryContradicts RegistryCondition = "contradicted"      // its path is not the shipyard's
	RegistryFailing     RegistryCondition = "cannot be watched" // anything else
)

// RegistryState is how it stands with a registry. It holds no secret.
type RegistryState struct {
	Condition RegistryCondition `json:"condition"`
	Since     time.Time         `json:"since,omitzero"` // of the condition
	Reason    string            `json:"reason,omitempty"`
	Looked    time.Time         `json:"looked,omitzero"` // the last look that succeeded
	Next      time.Time         `json:"next,omitzero"`   // the next look
	// Repositories are those that are looked at, with what is known of them.
	Repositories []RepositoryState `json:"repositories,omitempty"`
	// Heard is when the last notification was taken, and Vendor who sent it.
	Heard  time.Time `json:"heard,omitzero"`
	Vendor string    `json:"vendor,omitempty"`
	// Refused counts the notifications since the start whose secret was wrong.
	Refused int `json:"refused,omitempty"`
}

// RepositoryState is what is known of one repository.
type RepositoryState struct {
	Image    string        `json:"image"` // with host, without tag
	Services []ServiceName `json:"services"`
	Tags     int           `json:"tags"` // there now
	Reason   string        `json:"reason,omitempty"`
}
