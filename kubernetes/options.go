package kubernetes

import (
	"context"
	"log/slog"
	"time"

	"k8s.io/client-go/rest"

	"github.com/fairwaycd/fairway"
)

// Options are the settings of a [Platform]. Zero values mean the defaults.
type Options struct {
	// Config says how the cluster is reached, see [Connect]. Required.
	Config *rest.Config
	// Installation tells what this Fairway applies from what another one does
	// in the same cluster; a valid label. Default "default".
	Installation string
	// Dir keeps the logs of pods that no longer exist. Required.
	Dir string
	// Logger defaults to [slog.Default].
	Logger *slog.Logger
	// ForceConflicts takes over objects and fields that others own. What Helm,
	// Argo CD or Flux manages is refused all the same.
	ForceConflicts bool
	// LabelNamespaces gives a stage's namespace the label istio-injection when
	// it lacks one; else that is only reported.
	LabelNamespaces bool
	// WithoutMesh does not ask for sidecars: a missing label is no news.
	WithoutMesh bool
	// Patience is how long AwaitReady and Reserve wait for a context that has no deadline
	// before they say what keeps them, to be asked again. Default 20 s.
	Patience time.Duration
	// Missing is how long an image that its registry does not have, or a
	// Secret or ConfigMap that is not there, may be missing until the version
	// is given up. Default 25 s.
	Missing time.Duration
	// LogRetention is how long the logs of pods that no longer exist are kept.
	// Default 7 days.
	LogRetention time.Duration
	// Vanished is called when somebody else has deleted the workload of an
	// instance, once it is known what became of it: the reason says whether it
	// was made again. Default nothing.
	Vanished func(ctx context.Context, i fairway.Instance, reason string)
	// Failpoint is called at "platform.apply.hooks" (hooks have succeeded),
	// "platform.apply.before-workload" (all but the workload is applied),
	// "platform.apply.before-prune" and "platform.stop" (logs are being kept,
	// nothing is deleted yet). It is for tests of crashes; default nothing.
	Failpoint func(point string)
}

func (o Options) withDefaults() Options {
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	if o.Installation == "" {
		o.Installation = "default"
	}
	if o.Patience == 0 {
		o.Patience = 20 * time.Second
	}
	if o.Missing == 0 {
		o.Missing = 25 * time.Second
	}
	if o.LogRetention == 0 {
		o.LogRetention = 7 * 24 * time.Hour
	}
	if o.Vanished == nil {
		o.Vanished = func(context.Context, fairway.Instance, string) {}
	}
	if o.Failpoint == nil {
		o.Failpoint = func(string) {}
	}
	return o
}

func (o Options) validate() error {
	var ps []fairway.Problem
	if o.Config == nil {
		ps = append(ps, fairway.Problem{Field: "Config", Message: "is missing", Remedy: "connect to a cluster first"})
	}
	if o.Dir == "" {
		ps = append(ps, fairway.Problem{Field: "Dir", Message: "is empty", Remedy: "name the directory for logs"})
	}
	if o.Installation != "" && labelValue(o.Installation) != o.Installation {
		ps = append(ps, fairway.Problem{Field: "Installation", Value: o.Installation, Message: "is no value of a label", Remedy: "use up to 63 letters, digits, dots and hyphens"})
	}
	for field, d := range map[string]time.Duration{"Patience": o.Patience, "Missing": o.Missing, "LogRetention": o.LogRetention} {
		if d < 0 {
			ps = append(ps, fairway.Problem{Field: field, Value: d.String(), Message: "is negative", Remedy: "give a positive duration"})
		}
	}
	return fairway.InvalidAll(ps)
}
