package app

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/fairwaycd/fairway"
	"github.com/fairwaycd/fairway/controller"
	"github.com/fairwaycd/fairway/istio"
	"github.com/fairwaycd/fairway/kubernetes"
	"github.com/fairwaycd/fairway/process"
)

// Cluster says which cluster versions run in, and how. The zero value is the
// default of each field.
type Cluster struct {
	Kubeconfig string // file; default the service account of the pod, $KUBECONFIG, ~/.kube/config
	Context    string // of the kubeconfig
	// Domain is what hosts end in; default one made of the ingress gateway's
	// address, which is kept from then on.
	Domain string
	// Ingress is the Kubernetes Service of Istio's ingress gateway,
	// NAMESPACE/NAME; default istio-system/istio-ingressgateway.
	Ingress string
	// ForceConflicts takes over objects and fields that others own.
	ForceConflicts bool
	// LabelNamespaces asks for sidecars in the stages' namespaces.
	LabelNamespaces bool
	// Installation tells what this Fairway applies from what another one does
	// in the same cluster; a valid label, default "default".
	Installation string
	// DataPlane is how long the ingress gateway may take to follow a change of
	// weights; default 20 s.
	DataPlane time.Duration
}

func (c Cluster) problems() []fairway.Problem {
	var ps []fairway.Problem
	if ns, name, ok := strings.Cut(c.Ingress, "/"); c.Ingress != "" && (!ok || ns == "" || name == "") {
		ps = append(ps, fairway.Problem{Field: "ingress", Value: c.Ingress, Message: "is not NAMESPACE/NAME", Remedy: "name the Kubernetes Service of Istio's ingress gateway, such as istio-system/istio-ingressgateway"})
	}
	if c.Domain != "" && strings.ContainsAny(c.Domain, "/: *") {
		ps = append(ps, fairway.Problem{Field: "domain", Value: c.Domain, Message: "is not a domain", Remedy: "write what hosts end in, such as apps.example.com"})
	}
	if c.DataPlane < 0 || c.DataPlane > maxDataPlane {
		ps = append(ps, fairway.Problem{Field: "data-plane", Value: c.DataPlane.String(), Message: "is not in 0s.." + maxDataPlane.String(), Remedy: "use 20s"})
	}
	return ps
}

// maxDataPlane leaves time to put the weights back within the step.
const maxDataPlane = time.Minute

// cluster is a Kubernetes cluster with Istio.
type cluster struct {
	pods     *kubernetes.Platform
	mesh     *istio.Traffic
	programs *process.Platform // ends what tests left
	scrapes  *clusterMetrics
	services http.RoundTripper
	ends, at string
	// gatewayNamespace is that of the ingress gateway.
	gatewayNamespace string
}

var _ site = (*cluster)(nil)

// connect asks the cluster where its gateway is: hosts are named after it.
func (c *cluster) connect(ctx context.Context, a *App) (err error) {
	o := a.o.Cluster
	config, err := kubernetes.Connect(o.Kubeconfig, o.Context)
	if err != nil {
		return err
	}
	if c.services, err = kubernetes.ServiceTransport(config); err != nil {
		return err
	}
	kept, err := a.keptDomain()
	if err != nil {
		return err
	}
	c.pods, err = kubernetes.New(kubernetes.Options{
		Config: config, Dir: a.dir.Path("run"), Logger: a.o.Logger.With("component", "kubernetes"),
		ForceConflicts: o.ForceConflicts, LabelNamespaces: o.LabelNamespaces, Vanished: a.vanished, Installation: o.Installation, Failpoint: a.o.Failpoint,
	})
	if err != nil {
		return err
	}
	a.putPullSecret = c.pods.PutPullSecret
	namespace, service, ok := strings.Cut(o.Ingress, "/")
	if !ok {
		namespace, service = "istio-system", "istio-ingressgateway"
	}
	c.gatewayNamespace = namespace
	c.mesh, err = istio.New(istio.Options{
		Config: config, Domain: cmp.Or(o.Domain, kept), Namespace: namespace, Service: service, Deadline: o.DataPlane, Drain: a.o.Drain,
		ForceConflicts: o.ForceConflicts, Logger: a.o.Logger.With("component", "istio"), Failpoint: a.o.Failpoint,
	})
	if err != nil {
		return err
	}
	if err := c.mesh.Start(ctx); err != nil {
		return err
	}
	a.later(func(context.Context) error { c.mesh.Stop(); return nil })
	if c.at, err = c.mesh.GatewayAddress(ctx); err != nil {
		return err
	}
	if c.ends, err = c.mesh.Domain(ctx); err != nil {
		return err
	}
	if made, err := istio.DefaultDomain(c.at); err == nil && o.Domain == "" && made != c.ends {
		a.o.Logger.Warn("the ingress gateway's address has changed; hosts keep the domain of the first start, unless --domain gives another", "domain", c.ends, "instead of", made)
	}
	if c.ends == kept {
		return nil
	}
	if err := os.WriteFile(a.domainFile(), []byte(c.ends+"\n"), 0o600); err != nil {
		return fmt.Errorf("keep the domain: %w", err)
	}
	return nil
}

// keptDomain returns the domain of earlier starts: hosts are written down in
// git, and do not move with the gateway's address.
func (a *App) keptDomain() (string, error) {
	b, err := os.ReadFile(a.domainFile())
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return "", fmt.Errorf("read the domain of earlier starts: %w", err)
	}
	return strings.TrimSpace(string(b)), nil
}

func (a *App) domainFile() string { return a.dir.Path("domain") }

func (c *cluster) open(_ context.Context, a *App) (err error) {
	c.scrapes = &clusterMetrics{a: a}
	c.programs, err = process.New(process.Options{
		Dir: a.dir.Path("programs"), Images: a.images, Logger: a.o.Logger.With("component", "process"),
		Env: []string{"FAIRWAY_GATEWAY=http://" + c.at},
	})
	return err
}

func (c *cluster) runs(w fairway.Workload) error { return kubernetes.Check(w) }
func (c *cluster) platform() fairway.Platform    { return clusterPlatform{c.pods, c.mesh} }
func (c *cluster) traffic() fairway.Traffic      { return clusterTraffic{c.mesh, c.pods} }
func (c *cluster) metrics() controller.Metrics   { return c.scrapes }
func (c *cluster) prometheus() fairway.MetricSource {
	return nil // nothing in this process scrapes the pods
}
func (c *cluster) domain() string               { return c.ends }
func (c *cluster) address() string              { return c.at }
func (c *cluster) environ() []string            { return c.programs.Environ() }
func (c *cluster) transport() http.RoundTripper { return c.services }

func (c *cluster) backends(ctx context.Context) ([]fairway.Backend, error) {
	all, err := c.pods.Instances(ctx)
	out := make([]fairway.Backend, len(all))
	for i, x := range all {
		out[i] = fairway.Backend{Place: x.Place, Project: x.Project, Instance: x.ID, Address: x.Address, Version: x.Artifact.Tag, Ready: x.Ready}
	}
	return out, err
}

func (c *cluster) forget(ctx context.Context, ns fairway.Namespace, s fairway.ServiceName) error {
	if err := c.pods.Forget(ctx, ns, s); err != nil {
		return err
	}
	return c.mesh.Forget(ctx, ns, s)
}

func (c *cluster) start(ctx context.Context, a *App) error {
	if err := c.programs.Start(ctx); err != nil {
		return fmt.Errorf("end what tests left: %w", err)
	}
	a.later(c.programs.Shutdown)
	if err := c.pods.Start(ctx); err != nil {
		return fmt.Errorf("find what runs in the cluster: %w", err)
	}
	a.later(c.pods.Shutdown)
	return nil
}

func (c *cluster) serve(context.Context, *App) {}
func (c *cluster) stopping()                   {}

func (c *cluster) install(ctx context.Context, objects [][]byte) error {
	return c.pods.ApplyObjects(ctx, objects)
}

// clusterPlatform makes what leads traffic to a version before the version.
type clusterPlatform struct {
	*kubernetes.Platform
	mesh *istio.Traffic
}

func (p clusterPlatform) Apply(ctx context.Context, w fairway.Workload) error {
	if err := p.EnsureNamespace(ctx, w); err != nil {
		return err
	}
	if err := p.mesh.Prepare(ctx, w); err != nil {
		return err
	}
	return p.Platform.Apply(ctx, w)
}

// clusterTraffic makes room before traffic, and tells pods their test run.
type clusterTraffic struct {
	*istio.Traffic
	pods *kubernetes.Platform
}

func (t clusterTraffic) Attach(ctx context.Context, b fairway.Backend) error {
	if err := t.pods.SetRun(ctx, b.Place, b.Instance, b.Run); err != nil {
		return err
	}
	return t.Traffic.Attach(ctx, b)
}

func (t clusterTraffic) SetWeights(ctx context.Context, r fairway.Route) error {
	now, _, err := t.Route(ctx, r.Namespace, r.Service)
	if err != nil {
		return err
	}
	release, err := t.pods.Reserve(ctx, r.Namespace, r.Service, now.Weights, r.Weights)
	if err != nil {
		return err
	}
	err = t.Traffic.SetWeights(ctx, r)
	// What was raised for the switch goes down again also when it failed.
	return errors.Join(err, release(context.WithoutCancel(ctx)))
}
