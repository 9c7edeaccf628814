package fairway

import (
	"context"
	"io"
	"time"
)

// Workload is one version of a service for one place, rendered.
type Workload struct {
	Project  ProjectName `json:"project"`
	Stage    StageName   `json:"stage"`
	Place    Place       `json:"place"`
	Delivery DeliveryID  `json:"delivery"`
	Artifact Artifact    `json:"artifact"` // with digest
	Commit   string      `json:"commit"`   // of the stage branch that it was rendered from
	// Instance identifies this run of the workload; Apply with an instance
	// that runs already changes nothing.
	Instance string `json:"instance"`
	// Manifests are the rendered Kubernetes objects of this colour, one YAML
	// document each; for a service with a chart of its own also those that
	// stand once for both colours, and Helm's hooks with their annotations.
	Manifests [][]byte `json:"-"`
	// Shared are the rendered objects that stand once for both colours and
	// lead traffic to them: Kubernetes Service, Gateway, DestinationRule,
	// VirtualService, one YAML document each.
	Shared [][]byte `json:"-"`
}

// Instance is what runs of a [Workload].
type Instance struct {
	ID       string      `json:"id"`
	Project  ProjectName `json:"project"`
	Stage    StageName   `json:"stage"`
	Place    Place       `json:"place"`
	Delivery DeliveryID  `json:"delivery"`
	Artifact Artifact    `json:"artifact"`
	Address  string      `json:"address"` // HOST:PORT that answers requests
	Ready    bool        `json:"ready"`
	Reason   string      `json:"reason,omitempty"` // why it is not ready
	// MetricsAddress and MetricsPath say where it is scraped; empty when its
	// pod template asks not to be.
	MetricsAddress string    `json:"metricsAddress,omitempty"`
	MetricsPath    string    `json:"metricsPath,omitempty"`
	HealthPath     string    `json:"healthPath,omitempty"` // of its readiness probe, if that is HTTP
	NotRun         []string  `json:"notRun,omitempty"`     // objects of the chart that this platform does not run
	StartedAt      time.Time `json:"startedAt"`
	Restarts       int       `json:"restarts,omitempty"`
	PID            int       `json:"pid,omitempty"`
}

// Platform runs workloads. Several instances may stand in one place for a
// short while: the new one starts beside the old one. Implementations are
// safe for concurrent use.
type Platform interface {
	// Apply starts the workload beside whatever runs in its place. It is
	// idempotent by Workload.Instance and returns once the instance is
	// recorded durably; it does not wait for readiness.
	Apply(ctx context.Context, w Workload) error
	// AwaitReady returns when the instance is ready, or an error that says
	// why it is not: terminal (KindRefused) when it cannot become ready, the
	// context's when time ran out (the reason so far is in the text).
	AwaitReady(ctx context.Context, id string) (Instance, error)
	// Stop ends the instance: SIGTERM, its grace period, SIGKILL. Its logs
	// are kept. Stopping what is not there is no error.
	Stop(ctx context.Context, id string) error
	// Instances lists all that runs.
	Instances(ctx context.Context) ([]Instance, error)
	// Subscribe calls f at every change of an instance's readiness until the
	// returned function is called. f must not block.
	Subscribe(f func(Instance)) (cancel func())
	// Logs copies the output of the delivery's instances to w, oldest first;
	// with follow it goes on until ctx ends.
	Logs(ctx context.Context, d DeliveryID, w io.Writer, follow bool) error
}
