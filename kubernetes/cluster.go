package kubernetes

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"sync"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/discovery/cached/memory"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/restmapper"

	"github.com/fairwaycd/fairway"
)

// cluster is what is asked of the API server, each request tried again while
// it may pass.
type cluster struct {
	dynamic    dynamic.Interface
	apps, core rest.Interface // typed and binary, for what is watched
	discovery  discovery.DiscoveryInterface

	mu     sync.Mutex // of the mapper's cache
	cache  discovery.CachedDiscoveryInterface
	mapper *restmapper.DeferredDiscoveryRESTMapper
	looked time.Time // when the cluster was last asked what it serves
}

func newCluster(config *rest.Config) (*cluster, error) {
	config = rest.CopyConfig(config)
	client, err := rest.HTTPClientFor(config)
	if err != nil {
		return nil, fmt.Errorf("prepare the connection to the cluster: %w", err)
	}
	c := &cluster{}
	if c.dynamic, err = dynamic.NewForConfigAndClient(config, client); err != nil {
		return nil, fmt.Errorf("prepare the connection to the cluster: %w", err)
	}
	if c.discovery, err = discovery.NewDiscoveryClientForConfigAndClient(config, client); err != nil {
		return nil, fmt.Errorf("prepare the connection to the cluster: %w", err)
	}
	if c.apps, err = typed(config, client, "/apis", schema.GroupVersion{Group: "apps", Version: "v1"}); err != nil {
		return nil, err
	}
	if c.core, err = typed(config, client, "/api", schema.GroupVersion{Version: "v1"}); err != nil {
		return nil, err
	}
	c.cache = memory.NewMemCacheClient(c.discovery)
	c.mapper = restmapper.NewDeferredDiscoveryRESTMapper(c.cache)
	return c, nil
}

// typed returns a client of one API group. The generated ones drag in their
// fakes.
func typed(config *rest.Config, client *http.Client, path string, gv schema.GroupVersion) (rest.Interface, error) {
	c := rest.CopyConfig(config)
	c.APIPath, c.GroupVersion, c.NegotiatedSerializer = path, &gv, scheme.Codecs.WithoutConversion()
	c.ContentType = "application/vnd.kubernetes.protobuf"
	c.AcceptContentTypes = "application/vnd.kubernetes.protobuf,application/json"
	r, err := rest.RESTClientForConfigAndClient(c, client)
	if err != nil {
		return nil, fmt.Errorf("prepare the connection to the cluster: %w", err)
	}
	return r, nil
}

// relook is how often at most the cluster is asked again what it serves.
const relook = 10 * time.Second

// mapping finds the resource of a kind. A kind that is not served now may be
// in a moment: the cluster is asked again, but not all the time.
func (c *cluster) mapping(ctx context.Context, gvk schema.GroupVersionKind) (*meta.RESTMapping, error) {
	var m *meta.RESTMapping
	err := call(ctx, "ask the cluster what it serves", func(context.Context) error {
		c.mu.Lock()
		defer c.mu.Unlock()
		var err error
		if m, err = c.mapper.RESTMapping(gvk.GroupKind(), gvk.Version); !meta.IsNoMatchError(err) {
			return err
		}
		if time.Since(c.looked) > relook {
			c.looked = time.Now()
			c.mapper.Reset()
			m, err = c.mapper.RESTMapping(gvk.GroupKind(), gvk.Version)
		}
		if meta.IsNoMatchError(err) {
			m = nil
			return nil
		}
		return err
	})
	return m, err
}

// forgetServed makes the next mapping ask the cluster: a definition came.
func (c *cluster) forgetServed() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.mapper.Reset()
}

// served reports for upgrade whether the cluster serves the kind. The error is
// that of the first question that had no answer.
func (c *cluster) served(ctx context.Context) (serves func(schema.GroupVersionKind) bool, failed func() error) {
	var first error
	return func(gvk schema.GroupVersionKind) bool {
		m, err := c.mapping(ctx, gvk)
		if err != nil && first == nil {
			first = err
		}
		return m != nil
	}, func() error { return first }
}

// resource returns the client of the object's kind.
func (c *cluster) resource(ctx context.Context, r ref, ns string) (dynamic.ResourceInterface, bool, error) {
	gvk := schema.FromAPIVersionAndKind(r.APIVersion, r.Kind)
	m, err := c.mapping(ctx, gvk)
	if err != nil {
		return nil, false, err
	}
	if m == nil {
		return nil, false, fairway.Invalid(r.String()+" apiVersion", r.APIVersion, "is not served by the cluster", "install the custom resource definition first, or use a version from: kubectl api-resources")
	}
	if m.Scope.Name() == meta.RESTScopeNameNamespace {
		return c.dynamic.Resource(m.Resource).Namespace(ns), true, nil
	}
	return c.dynamic.Resource(m.Resource), false, nil
}

// get returns nil where there is no such object.
func (c *cluster) get(ctx context.Context, r ref, ns string) (*object, error) {
	client, _, err := c.resource(ctx, r, ns)
	if err != nil {
		return nil, err
	}
	var o *object
	err = call(ctx, fmt.Sprintf("read %s in namespace %s", r, ns), func(ctx context.Context) error {
		var err error
		if o, err = client.Get(ctx, r.Name, metav1.GetOptions{}); apierrors.IsNotFound(err) {
			o, err = nil, nil
		}
		return err
	})
	return o, err
}

// apply sends the object by server-side apply, as one of our managers.
func (c *cluster) apply(ctx context.Context, o *object, ns, as string, force bool) (*object, error) {
	r := refOf(o)
	client, _, err := c.resource(ctx, r, ns)
	if err != nil {
		return nil, err
	}
	body, err := json.Marshal(o.Object)
	if err != nil {
		return nil, fmt.Errorf("encode %s: %w", r, err)
	}
	var out *object
	err = call(ctx, fmt.Sprintf("apply %s in namespace %s", r, ns), func(ctx context.Context) error {
		var err error
		out, err = client.Patch(ctx, r.Name, types.ApplyPatchType, body, metav1.PatchOptions{FieldManager: as, Force: &force})
		return err
	})
	return out, err
}

// patch merges into the object; a subresource may be named.
func (c *cluster) patch(ctx context.Context, r ref, ns string, body map[string]any, subresource ...string) error {
	client, _, err := c.resource(ctx, r, ns)
	if err != nil {
		return err
	}
	b, err := json.Marshal(body)
	if err != nil {
		return fmt.Errorf("encode a patch of %s: %w", r, err)
	}
	return call(ctx, fmt.Sprintf("change %s in namespace %s", r, ns), func(ctx context.Context) error {
		_, err := client.Patch(ctx, r.Name, types.MergePatchType, b, metav1.PatchOptions{FieldManager: manager}, subresource...)
		return err
	})
}

// remove deletes the object as it was read, and no other of its name; what is
// gone is no error. One that has changed since is KindConflict.
func (c *cluster) remove(ctx context.Context, o *object, ns string) error {
	r := refOf(o)
	client, _, err := c.resource(ctx, r, ns)
	if err != nil {
		return err
	}
	uid, version, policy := o.GetUID(), o.GetResourceVersion(), metav1.DeletePropagationBackground
	return call(ctx, fmt.Sprintf("delete %s in namespace %s", r, ns), func(ctx context.Context) error {
		err := client.Delete(ctx, r.Name, metav1.DeleteOptions{
			PropagationPolicy: &policy, Preconditions: &metav1.Preconditions{UID: &uid, ResourceVersion: &version},
		})
		if apierrors.IsNotFound(err) {
			return nil
		}
		return err
	})
}

// version asks the API server for its version, once.
func (c *cluster) version(ctx context.Context) (string, error) {
	var v struct{ GitVersion string }
	err := once(ctx, func(ctx context.Context) error {
		b, err := c.core.Get().AbsPath("/version").DoRaw(ctx)
		if err != nil {
			return err
		}
		return json.Unmarshal(b, &v)
	})
	return v.GitVersion, err
}
