package process

import (
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/fairwaycd/fairway"
)

// Options are the settings of a [Platform]. Zero values mean the defaults.
type Options struct {
	// Dir holds records and logs; it is created with mode 0700, since records
	// contain the secrets of charts. Required. One platform at a time may use
	// it; the caller holds the lock.
	Dir string
	// Images fetches and unpacks images. Required.
	Images fairway.ImageStore
	// Logger defaults to [slog.Default].
	Logger *slog.Logger
	// Host is the address that programs are reached under. Default 127.0.0.1.
	Host string
	// Env are more variables (NAME=VALUE) for every program. The image's and
	// the container's own win over them.
	Env []string
	// Grace is the time between SIGTERM and SIGKILL where the pod template
	// names none. Default 30 s, as in Kubernetes.
	Grace time.Duration
	// MaxRestartBackoff bounds the pause before a program that ended by itself
	// is started again; it begins at 100 ms and doubles. Default 10 s.
	MaxRestartBackoff time.Duration
	// CrashLimit is how often a program may end before it was ready until
	// AwaitReady gives up. Default 5.
	CrashLimit int
	// LogRetention is how long the logs of instances that no longer exist are
	// kept. Default 7 days.
	LogRetention time.Duration
	// Failpoint is called at "platform.apply.recorded" (the record is stored,
	// nothing runs), "platform.apply.started" (the process runs, its pid is not
	// stored) and "platform.stop" (the wish to stop is stored, the process
	// still runs). It is for tests of crashes; default nothing.
	Failpoint func(point string)
}

const firstBackoff = 100 * time.Millisecond

func (o Options) withDefaults() Options {
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	if o.Host == "" {
		o.Host = "127.0.0.1"
	}
	if o.Grace == 0 {
		o.Grace = 30 * time.Second
	}
	if o.MaxRestartBackoff == 0 {
		o.MaxRestartBackoff = 10 * time.Second
	}
	if o.CrashLimit == 0 {
		o.CrashLimit = 5
	}
	if o.LogRetention == 0 {
		o.LogRetention = 7 * 24 * time.Hour
	}
	if o.Failpoint == nil {
		o.Failpoint = func(string) {}
	}
	return o
}

func (o Options) validate() error {
	var ps []fairway.Problem
	if o.Dir == "" {
		ps = append(ps, fairway.Problem{Field: "Dir", Message: "is empty", Remedy: "name the directory for records and logs"})
	}
	if o.Images == nil {
		ps = append(ps, fairway.Problem{Field: "Images", Message: "is missing", Remedy: "give an image store"})
	}
	for field, d := range map[string]time.Duration{"Grace": o.Grace, "MaxRestartBackoff": o.MaxRestartBackoff, "LogRetention": o.LogRetention} {
		if d < 0 {
			ps = append(ps, fairway.Problem{Field: field, Value: d.String(), Message: "is negative", Remedy: "give a positive duration"})
		}
	}
	if o.CrashLimit < 0 {
		ps = append(ps, fairway.Problem{Field: "CrashLimit", Value: strconv.Itoa(o.CrashLimit), Message: "is negative", Remedy: "give a positive number"})
	}
	return fairway.InvalidAll(ps)
}

func (o Options) recordDir() string { return filepath.Join(o.Dir, "instances") }
func (o Options) logDir() string    { return filepath.Join(o.Dir, "logs") }

// passedOn are the only variables of Fairway's own environment that programs
// get: what a login gives, and nothing that could be a credential.
var passedOn = []string{"PATH", "HOME", "TMPDIR", "LANG", "LC_ALL", "TZ", "USER", "LOGNAME"}

func ownEnvironment() []string {
	var env []string
	for _, name := range passedOn {
		if v, ok := os.LookupEnv(name); ok {
			env = append(env, name+"="+v)
		}
	}
	return env
}
