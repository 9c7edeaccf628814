package fairway

import (
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// Secret is a text that nobody should read. It prints and logs as …; files and
// requests carry it as it is.
type Secret string

const hidden = "…"

// String returns …, or nothing where there is no secret.
func (s Secret) String() string {
	if s == "" {
		return ""
	}
	return hidden
}

// GoString implements [fmt.GoStringer].
func (s Secret) GoString() string { return fmt.Sprintf("%q", s.String()) }

// LogValue implements [slog.LogValuer].
func (s Secret) LogValue() slog.Value { return slog.StringValue(s.String()) }

// The kinds of monitoring systems that can be connected.
const (
	KindPrometheus = "prometheus"
	KindDynatrace  = "dynatrace"
)

// Connection says where a monitoring system is and how it is asked. It holds
// credentials: it is kept in the data directory, and never in git, events or
// logs.
type Connection struct {
	Kind string `json:"kind"` // prometheus, dynatrace
	// Project whose gates ask it; empty means all that have none of their own.
	Project  ProjectName `json:"project,omitempty"`
	URL      string      `json:"url"` // base of its API, without credentials
	Username string      `json:"username,omitempty"`
	Password Secret      `json:"password,omitempty"`
	Token    Secret      `json:"token,omitempty"`
	CA       string      `json:"ca,omitempty"`         // PEM, trusted instead of the system's
	Cert     string      `json:"clientCert,omitempty"` // PEM
	Key      Secret      `json:"clientKey,omitempty"`  // PEM
	// Headers are sent with every request. Their values may be secrets.
	Headers map[string]Secret `json:"headers,omitempty"`
	// Tenant is sent as X-Scope-OrgID, by which Mimir, Thanos and Cortex tell
	// tenants apart.
	Tenant string `json:"tenant,omitempty"`
	// Labelled says that its series carry the labels version and fairway_run
	// of Fairway's pods, as those of a Prometheus do that Fairway configured.
	Labelled bool `json:"labelled,omitempty"`
	// ColourTag is the tag that tells the colours of a service apart in
	// Dynatrace, e.g. deployment:{{service}}-{{colour}}.
	ColourTag string `json:"colourTag,omitempty"`
}

// Validate reports everything that is wrong with the connection at once. What
// the certificates hold is not looked at.
func (c Connection) Validate() error {
	var ps []Problem
	add := func(field, value, message, remedy string) {
		ps = append(ps, Problem{Field: field, Value: value, Message: message, Remedy: remedy})
	}
	if c.Kind != KindPrometheus && c.Kind != KindDynatrace {
		add("kind", c.Kind, "is not a monitoring system that can be connected", "use prometheus or dynatrace")
	}
	if c.Project != "" {
		if err := c.Project.Validate(); err != nil {
			ps = append(ps, Problems(err)...)
		}
	}
	c.validateURL(add)
	switch {
	case c.Token != "" && (c.Username != "" || c.Password != ""):
		add("token", "", "and a user name are both there", "give one of them")
	case c.Username == "" && c.Password != "":
		add("username", "", "is missing, though there is a password", "give both, or neither")
	case c.Username != "" && c.Password == "":
		add("password", "", "is missing", "give it on the standard input: --password-stdin")
	case c.Kind == KindDynatrace && c.Token == "":
		add("token", "", "is missing", "give a Dynatrace API token on the standard input: --token-stdin")
	}
	if (c.Cert == "") != (c.Key == "") {
		add("clientCert", "", "and clientKey belong together", "give both, or neither")
	}
	c.validateHeaders(add)
	return InvalidAll(ps)
}

func (c Connection) validateURL(add func(field, value, message, remedy string)) {
	u, err := url.Parse(c.URL)
	switch {
	case err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Host == "":
		value := c.URL
		if strings.Contains(value, "@") { // what cannot be read may hold a password
			value = ""
		}
		add("url", value, "is not an http or https URL", "write the base of the API, e.g. https://prometheus.example.com")
	case u.User != nil:
		add("url", "", "holds credentials", "give them with --username and --password-stdin, or --token-stdin")
	case u.RawQuery != "" || u.Fragment != "":
		add("url", u.Scheme+"://"+u.Host, "has a query or fragment behind it", "write the base of the API alone")
	}
}

// validateHeaders refuses what would not be sent, or twice.
func (c Connection) validateHeaders(add func(field, value, message, remedy string)) {
	for _, name := range slices.Sorted(maps.Keys(c.Headers)) {
		switch {
		case name == "" || strings.Trim(strings.ToLower(name), "abcdefghijklmnopqrstuvwxyz0123456789-_") != "":
			add("headers", name, "is not the name of a header", "write NAME=VALUE, e.g. X-Scope-OrgID=shop")
		case slices.Contains([]string{"Host", "Content-Type", "Content-Length", "Connection", "Transfer-Encoding"}, http.CanonicalHeaderKey(name)):
			add("headers", name, "is set by Fairway itself", "leave it out")
		}
		if strings.ContainsAny(string(c.Headers[name]), "\r\n\x00") {
			add("headers", name, "has a value with a line break", "write it in one line")
		}
	}
	for _, s := range []struct {
		field string
		value string
	}{{"username", c.Username}, {"password", string(c.Password)}, {"token", string(c.Token)}, {"tenant", c.Tenant}} {
		if strings.ContainsAny(s.value, "\r\n\x00") {
			add(s.field, "", "has a line break in it", "give it in one line")
		}
	}
	if c.Kind == KindDynatrace && c.Tenant != "" {
		add("tenant", c.Tenant, "is no header of Dynatrace", "give the tenant as part of the URL: https://TENANT.live.dynatrace.com")
	}
	if c.Kind == KindDynatrace && c.Labelled {
		add("labelled", "true", "is for Prometheus", "leave it out")
	}
	if c.Kind == KindPrometheus && c.ColourTag != "" {
		add("colourTag", c.ColourTag, "is for Dynatrace", "say how pods are told apart in the service's values, metrics.select")
	}
}

// Secrets returns every secret text of the connection that is not empty.
func (c Connection) Secrets() []string {
	all := []string{string(c.Password), string(c.Token), string(c.Key)}
	for _, v := range c.Headers {
		all = append(all, string(v))
	}
	return slices.DeleteFunc(all, func(s string) bool { return s == "" })
}

// Checked is one finding about a connection: what was asked, and whether it
// works.
type Checked struct {
	What string `json:"what"`
	OK   bool   `json:"ok"`
	// Text says what was found, or why it does not work and what to do.
	Text string `json:"text"`
}
