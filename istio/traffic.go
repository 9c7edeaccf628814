package istio

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"

	"github.com/fairwaycd/fairway"
)

// Options are the parts and limits of a [Traffic].
type Options struct {
	Config *rest.Config // of the cluster; required
	// Domain is that of the hosts, such as 203.0.113.7.nip.io; by default it
	// is made from the gateway's address.
	Domain string
	// Namespace and Service name the Kubernetes Service of the ingress
	// gateway, by default istio-ingressgateway in istio-system; Selector is
	// that of its pods, by default istio=ingressgateway.
	Namespace, Service, Selector string
	AdminPort                    int           // of the gateway's Envoy; default 15000
	Deadline                     time.Duration // for the data plane to follow a change; default 20 s
	Drain                        time.Duration // default limit of Drain; default 30 s
	ForceConflicts               bool          // take objects and fields over from others
	Logger                       *slog.Logger  // default: none
	Failpoint                    func(name string)
}

func (o *Options) defaults() error {
	if o.Config == nil {
		return fairway.Invalid("config", "", "is missing", "give the connection to the cluster")
	}
	o.Namespace = cmp.Or(o.Namespace, "istio-system")
	o.Service = cmp.Or(o.Service, "istio-ingressgateway")
	o.Selector = cmp.Or(o.Selector, "istio=ingressgateway")
	o.AdminPort = cmp.Or(o.AdminPort, 15000)
	o.Deadline = cmp.Or(o.Deadline, 20*time.Second)
	o.Drain = cmp.Or(o.Drain, 30*time.Second)
	if o.Deadline < 0 || o.Drain < 0 {
		return fairway.Invalid("deadline", o.Deadline.String(), "is negative", "give a duration above zero")
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Failpoint == nil {
		o.Failpoint = func(string) {}
	}
	return nil
}

// key names a service in a namespace.
type key struct {
	ns   fairway.Namespace
	name fairway.ServiceName
}

// Traffic implements [fairway.Traffic] with Istio. It is safe for concurrent
// use.
type Traffic struct {
	o       Options
	cluster cluster
	envoys  *envoys

	mu       sync.Mutex
	locks    map[key]chan struct{} // one change of a service at a time
	names    map[key]string        // of the VirtualServices with the weights
	stands   map[fairway.Place]occupant
	restored map[fairway.Namespace]map[fairway.ServiceName]split // as listed at the first Restore
	domain   string
}

var _ fairway.Traffic = (*Traffic)(nil)

// New returns the traffic of the cluster. It asks the cluster nothing; see
// Start.
func New(o Options) (*Traffic, error) {
	if err := o.defaults(); err != nil {
		return nil, err
	}
	config := rest.CopyConfig(o.Config)
	config.QPS = -1 // the API server has its own fairness
	config.Timeout = requestLimit
	config.UserAgent = manager
	client, err := dynamic.NewForConfig(config)
	if err != nil {
		return nil, fmt.Errorf("connect to the cluster: %w", err)
	}
	t := &Traffic{
		o: o, cluster: cluster{client: client, force: o.ForceConflicts, owned: &sync.Map{}}, domain: o.Domain,
		locks: map[key]chan struct{}{}, names: map[key]string{}, stands: map[fairway.Place]occupant{},
		restored: map[fairway.Namespace]map[fairway.ServiceName]split{},
	}
	t.envoys = &envoys{config: rest.CopyConfig(o.Config), port: o.AdminPort, open: map[string]*envoy{}}
	return t, nil
}

// Start asks whether the cluster has what is needed: Istio's resources, the
// gateway's Kubernetes Service, and a pod behind it. An error says what is
// missing and how to get it.
func (t *Traffic) Start(ctx context.Context) error {
	if _, err := t.cluster.list(ctx, virtualServices, t.o.Namespace, "", 1); err != nil {
		if missing(err) {
			return fairway.Errorf(fairway.KindRefused, "the cluster does not know VirtualServices of networking.istio.io/v1: install Istio 1.22 or newer (istioctl install), or use a platform without it: %w", err)
		}
		return fmt.Errorf("ask the cluster for Istio; see that it answers: kubectl get virtualservices --all-namespaces: %w", err)
	}
	if _, err := t.gatewayService(ctx); err != nil {
		return err
	}
	pods, err := t.gatewayPods(ctx)
	if err != nil {
		return err
	}
	if len(pods) == 0 {
		t.o.Logger.Warn("no pod of the ingress gateway is ready; traffic cannot be moved before one is", "namespace", t.o.Namespace, "selector", t.o.Selector)
	}
	return nil
}

// Stop closes the connections to the gateway's pods. What still waits for the
// data plane fails.
func (t *Traffic) Stop() { t.envoys.stop() }

// lock makes the caller the only one who changes the service.
func (t *Traffic) lock(ctx context.Context, k key) (unlock func(), err error) {
	t.mu.Lock()
	l := t.locks[k]
	if l == nil {
		l = make(chan struct{}, 1)
		t.locks[k] = l
	}
	t.mu.Unlock()
	select {
	case l <- struct{}{}:
		return func() { <-l }, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// find returns the VirtualService that holds the weights, or nil.
func (t *Traffic) find(ctx context.Context, k key) (*unstructured.Unstructured, error) {
	t.mu.Lock()
	name := t.names[k]
	t.mu.Unlock()
	if name != "" {
		o, err := t.cluster.get(ctx, virtualServices, string(k.ns), name)
		if o != nil || err != nil {
			return o, err
		}
	}
	all, err := t.cluster.list(ctx, virtualServices, string(k.ns), selector(labelPart, partWeights, labelService, string(k.name)), 0)
	if err != nil {
		return nil, err
	}
	if len(all) == 0 {
		return nil, nil
	}
	slices.SortFunc(all, func(a, b unstructured.Unstructured) int { return strings.Compare(a.GetName(), b.GetName()) })
	t.remember(k, all[0].GetName())
	return &all[0], nil
}

func (t *Traffic) remember(k key, name string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.names[k] = name
}
