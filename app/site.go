package app

import (
	"context"
	"net/http"
	"time"

	"github.com/fairwaycd/fairway"
	"github.com/fairwaycd/fairway/controller"
)

// The platforms on which versions run.
const (
	PlatformLocal      = "local"      // processes of this machine, behind the gateway inside
	PlatformKubernetes = "kubernetes" // a cluster with Istio
)

// site is where versions run, how requests reach them, and what measures them:
// this machine, or a cluster.
type site interface {
	// connect finds what the platform needs beyond this process.
	connect(ctx context.Context, a *App) error
	// open makes the parts; nothing runs yet.
	open(ctx context.Context, a *App) error
	// runs reports why the platform cannot run a workload, as far as the
	// workload tells.
	runs(w fairway.Workload) error
	platform() fairway.Platform
	traffic() fairway.Traffic
	metrics() controller.Metrics
	// prometheus is asked by gates of projects that have connected none; nil
	// where nothing in this process scrapes versions.
	prometheus() fairway.MetricSource
	// transport reaches monitoring systems; nil means the usual way.
	transport() http.RoundTripper
	// install applies objects beside the services, and waits until they work.
	install(ctx context.Context, objects [][]byte) error
	// connected is told of a connection that was stored, and returns what a
	// person still has to do for it.
	connected(ctx context.Context, c fairway.Connection) (next []string, err error)
	// domain is what the hosts of delivered services end in.
	domain() string
	// address is where requests to them are sent, HOST:PORT.
	address() string
	// backends are what stands behind places now.
	backends(ctx context.Context) ([]fairway.Backend, error)
	// forget takes away what led requests to a service that is gone.
	forget(ctx context.Context, ns fairway.Namespace, s fairway.ServiceName) error
	// environ is the environment of test programs.
	environ() []string
	// start finds again what runs; serve begins to answer. Both register what
	// undoes them.
	start(ctx context.Context, a *App) error
	serve(ctx context.Context, a *App)
	// stopping is called before decisions stop.
	stopping()
}

// site returns that of the platform, which has been validated.
func (o Options) site() site {
	if o.Platform == PlatformKubernetes {
		return &cluster{}
	}
	return &local{}
}

// clusterScrapes is how long the Prometheus of a cluster may take to find pods
// under new labels, or to scrape all of them once more: as it looks once a
// minute at most.
const clusterScrapes = 75 * time.Second

// firstScrape and settle are the controller's limits; 0 means its defaults.
func (o Options) firstScrape() time.Duration { return o.settle() }

func (o Options) settle() time.Duration {
	if o.Platform == PlatformKubernetes {
		return clusterScrapes
	}
	return 0
}
