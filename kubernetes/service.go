package kubernetes

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/yaml"

	"github.com/fairwaycd/fairway"
)

// ServiceTransport carries HTTP requests to Kubernetes Services, whose hosts
// are NAME.NAMESPACE.svc, through the API server's proxy: from outside of the
// cluster, too, with Fairway's own credentials for the cluster. Requests to
// other hosts go their usual way. An Authorization header does not pass the
// proxy.
func ServiceTransport(config *rest.Config) (http.RoundTripper, error) {
	through, err := rest.TransportFor(config)
	if err != nil {
		return nil, fmt.Errorf("prepare the connection to the cluster: %w", err)
	}
	base, _, err := rest.DefaultServerUrlFor(config)
	if err != nil {
		return nil, fmt.Errorf("read the cluster's address: %w", err)
	}
	return &serviceTransport{base: base, through: through, usual: http.DefaultTransport}, nil
}

type serviceTransport struct {
	base           *url.URL
	through, usual http.RoundTripper
}

// RoundTrip implements [http.RoundTripper].
func (t *serviceTransport) RoundTrip(r *http.Request) (*http.Response, error) {
	name, ns, ok := serviceOf(r.URL.Hostname())
	if !ok {
		return t.usual.RoundTrip(r)
	}
	port := r.URL.Port()
	if port == "" {
		port = map[string]string{"http": "80", "https": "443"}[r.URL.Scheme]
	}
	if r.URL.Scheme == "https" {
		name = "https:" + name
	}
	to := r.Clone(r.Context())
	to.Header.Del("Authorization")
	to.Host = ""
	to.URL = t.base.JoinPath("api/v1/namespaces", ns, "services", name+":"+port, "proxy")
	to.URL.Path = "/" + strings.Trim(to.URL.Path, "/") + r.URL.Path
	to.URL.RawPath = ""
	to.URL.RawQuery = r.URL.RawQuery
	return t.through.RoundTrip(to)
}

// serviceOf reads NAME.NAMESPACE.svc, with or without the cluster's domain.
func serviceOf(host string) (name, ns string, ok bool) {
	parts := strings.Split(strings.TrimSuffix(host, ".cluster.local"), ".")
	if len(parts) != 3 || parts[2] != "svc" {
		return "", "", false
	}
	return parts[0], parts[1], true
}

// EnsureNamespace makes the workload's namespace if there is none. Apply does
// so, too; this is for what has to be there before.
func (p *Platform) EnsureNamespace(ctx context.Context, w fairway.Workload) error {
	if err := p.ready(); err != nil {
		return err
	}
	_, err := p.namespace(ctx, w)
	return err
}

// ApplyObjects applies YAML documents that are no service's, such as a
// Prometheus, in their order, and waits until their Deployments are available.
// An object that somebody else made is KindRefused, unless conflicts are
// forced. When ctx ends first, all are applied, and the error is
// KindUnavailable and says what their pods say.
func (p *Platform) ApplyObjects(ctx context.Context, docs [][]byte) error {
	if err := p.ready(); err != nil {
		return err
	}
	var all []*object
	for _, doc := range docs {
		o := &object{}
		if err := yaml.Unmarshal(doc, &o.Object); err != nil {
			return fmt.Errorf("read an object to apply: %w", err)
		}
		all = append(all, o)
	}
	for _, o := range all {
		if err := p.applyBeside(ctx, o); err != nil {
			return err
		}
	}
	for _, o := range all {
		if o.GetKind() == "Deployment" {
			if err := p.available(ctx, o); err != nil {
				return err
			}
		}
	}
	return nil
}

func (p *Platform) applyBeside(ctx context.Context, o *object) error {
	ns := o.GetNamespace()
	live, err := p.c.get(ctx, refOf(o), ns)
	if err != nil {
		return err
	}
	if live != nil && live.GetLabels()[LabelManagedBy] != manager && !p.o.ForceConflicts {
		if o.GetKind() == "Namespace" {
			return nil // used as it is
		}
		return fairway.Errorf(fairway.KindRefused, "%s in namespace %q exists already, and Fairway did not make it; choose another namespace, connect what is there instead, or start Fairway with --force-conflicts", refOf(o), ns)
	}
	merge(o, map[string]string{LabelManagedBy: manager}, "metadata", "labels")
	_, err = p.c.apply(ctx, o, ns, manager, p.o.ForceConflicts)
	return err
}

// available waits until a Deployment is, or says what its pods say.
func (p *Platform) available(ctx context.Context, o *object) error {
	tick := time.NewTicker(500 * time.Millisecond)
	defer tick.Stop()
	for {
		live, err := p.c.get(ctx, refOf(o), o.GetNamespace())
		if err != nil {
			return err
		}
		if live != nil && rolledOut(live.Object, live.GetGeneration()) {
			return nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fairway.Errorf(fairway.KindUnavailable, "%s in namespace %s is applied, and not available yet; see why: kubectl describe pods --namespace %s; kubectl logs deployment/%s --namespace %s", refOf(o), o.GetNamespace(), o.GetNamespace(), o.GetName(), o.GetNamespace())
		}
	}
}

// rolledOut reports whether all that is wanted runs in its newest form.
func rolledOut(deployment map[string]any, generation int64) bool {
	number := func(fields ...string) int64 {
		n, _, _ := unstructured.NestedInt64(deployment, fields...)
		return n
	}
	want := number("spec", "replicas")
	return number("status", "observedGeneration") >= generation && number("status", "updatedReplicas") >= want &&
		number("status", "availableReplicas") >= want && number("status", "replicas") == number("status", "updatedReplicas")
}
