package app

import (
	"io"
	"log/slog"
	"net"
	"os"
	"time"

	"github.com/fairwaycd/fairway"
	"github.com/fairwaycd/fairway/controller"
	"github.com/fairwaycd/fairway/datadir"
)

// Durabilities: what a stored event survives.
const (
	DurabilityPower   = "power"   // every write is synced: kill, crash of the system and power cut
	DurabilityProcess = "process" // synced once a second: kill; a power cut may lose the last second
)

// MaxDrain is the longest drain: a step that ends a version has to end within
// its own limit.
const MaxDrain = 2 * time.Minute

// Options say how Fairway runs. The zero value is the default of every field.
type Options struct {
	Data     string  // directory; default datadir.Default
	Listen   string  // console, API, git, registry; default 127.0.0.1:8080
	Gateway  string  // delivered services; default 127.0.0.1:8000
	Platform string  // default local
	Cluster  Cluster // of the platform kubernetes
	// Hosts are further names that requests to Listen may use, HOST:PORT or HOST.
	Hosts      []string
	Durability string // default power
	Version    string
	Logger     *slog.Logger
	// Getenv reads the environment, of which the standard variables OTEL_* say
	// where traces go. Default: os.Getenv.
	Getenv func(string) string
	// ScrapeInterval of metrics; default 1 s.
	ScrapeInterval time.Duration
	// Drain is how long requests under way may go on when their version is
	// stopped; default 30 s, at most [MaxDrain].
	Drain     time.Duration
	Retention Retention
	// Failpoint is called by name at every durable write and effect.
	Failpoint func(name string)
	// NoGate judges nothing: every gate passes. It exists to show that the
	// demo notices.
	NoGate bool
	// Outside, when set, stands for what deliveries start, ask and measure. It
	// exists to see what Fairway itself costs.
	Outside *Outside
	// LogOutput, when set, receives the JSON log when Logger is nil.
	LogOutput io.Writer
}

// Outside is what deliveries touch beyond Fairway's own storage and gateway.
type Outside struct {
	Platform fairway.Platform
	Images   fairway.ImageStore
	Metrics  controller.Metrics
	Tester   controller.Tester
	Gate     controller.Gate
}

// in puts the outside in the place of the real parts.
func (o *Outside) in(c controller.Options) controller.Options {
	if o != nil {
		c.Platform, c.Images, c.Metrics, c.Tester, c.Gate = o.Platform, o.Images, o.Metrics, o.Tester, o.Gate
	}
	return c
}

func (o Options) withDefaults() (Options, error) {
	if o.Getenv == nil {
		o.Getenv = os.Getenv
	}
	set := func(s *string, def string) {
		if *s == "" {
			*s = def
		}
	}
	set(&o.Listen, "127.0.0.1:8080")
	set(&o.Gateway, "127.0.0.1:8000")
	set(&o.Durability, DurabilityPower)
	set(&o.Platform, PlatformLocal)
	set(&o.Version, "dev")
	if o.Drain == 0 {
		o.Drain = 30 * time.Second
	}
	o.Retention = o.Retention.withDefaults()
	if o.Data == "" {
		d, err := datadir.Default()
		if err != nil {
			return o, err
		}
		o.Data = d
	}
	if o.Logger == nil {
		out := o.LogOutput
		if out == nil {
			out = io.Discard
		}
		o.Logger = slog.New(slog.NewJSONHandler(out, nil))
	}
	if o.Failpoint == nil {
		o.Failpoint = func(string) {}
	}
	return o, o.validate()
}

func (o Options) validate() error {
	var ps []fairway.Problem
	if o.Durability != DurabilityPower && o.Durability != DurabilityProcess {
		ps = append(ps, fairway.Problem{Field: "durability", Value: o.Durability, Message: "is not a durability", Remedy: "use power or process"})
	}
	if o.Drain < 0 || o.Drain > MaxDrain {
		ps = append(ps, fairway.Problem{Field: "drain", Value: o.Drain.String(), Message: "is not a time that requests can be given", Remedy: "use more than 0s and at most " + MaxDrain.String() + ", such as 30s"})
	}
	if o.Platform != PlatformLocal && o.Platform != PlatformKubernetes {
		ps = append(ps, fairway.Problem{Field: "platform", Value: o.Platform, Message: "is not a platform", Remedy: "use local or kubernetes"})
	}
	ps = append(ps, o.Retention.problems()...)
	ps = append(ps, o.Cluster.problems()...)
	for _, a := range []struct{ field, value string }{{"listen", o.Listen}, {"gateway", o.Gateway}} {
		host, _, err := net.SplitHostPort(a.value)
		if err != nil {
			ps = append(ps, fairway.Problem{Field: a.field, Value: a.value, Message: "is not HOST:PORT", Remedy: "write an address such as 127.0.0.1:8080"})
			continue
		}
		if !loopback(host) && o.Platform != PlatformKubernetes {
			ps = append(ps, fairway.Problem{Field: a.field, Value: a.value, Message: "is not a loopback address; the local platform runs pushed programs as you, without isolation, and must not be reachable from elsewhere", Remedy: "use 127.0.0.1, or [::1]"})
		}
	}
	return fairway.InvalidAll(ps)
}

func loopback(host string) bool {
	if host == "localhost" {
		return true
	}
	ip := net.ParseIP(host)
	return ip != nil && ip.IsLoopback()
}
