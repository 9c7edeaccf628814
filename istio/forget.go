package istio

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/fairwaycd/fairway"
)

// Forget deletes what leads traffic to the service in the namespace, and the
// Gateway when no other service of the project is left there. What is not there
// is forgotten.
func (t *Traffic) Forget(ctx context.Context, ns fairway.Namespace, s fairway.ServiceName) error {
	k := key{ns, s}
	unlock, err := t.lock(ctx, k)
	if err != nil {
		return err
	}
	defer unlock()
	// What others lead to goes last: the VirtualService before its subsets.
	kinds := slices.Concat([]schema.GroupVersionResource{virtualServices}, slices.Collect(maps.Values(istioKinds)), []schema.GroupVersionResource{services})
	project := ""
	for _, r := range kinds {
		all, err := t.cluster.list(ctx, r, string(ns), selector(labelService, string(s))+","+labelPart, 0)
		if err != nil {
			return err
		}
		for _, o := range all {
			project = o.GetLabels()[labelProject]
			if err := t.cluster.remove(ctx, r, &o); err != nil {
				return err
			}
		}
	}
	if err := t.forgetGateway(ctx, ns, project); err != nil {
		return err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.names, k)
	delete(t.restored[ns], s)
	for p := range t.stands {
		if p.Namespace == ns && p.Service == s {
			delete(t.stands, p)
		}
	}
	t.o.Logger.Info("service forgotten", "namespace", ns, "service", s)
	return nil
}

// forgetGateway deletes the project's Gateway when nothing of it is left.
func (t *Traffic) forgetGateway(ctx context.Context, ns fairway.Namespace, project string) error {
	if project == "" {
		return nil
	}
	left, err := t.cluster.list(ctx, virtualServices, string(ns), selector(labelProject, project), 1)
	if err != nil || len(left) > 0 {
		return err
	}
	all, err := t.cluster.list(ctx, gateways, string(ns), selector(labelProject, project)+","+labelPart, 0)
	if err != nil {
		return err
	}
	for _, o := range all {
		if err := t.cluster.remove(ctx, gateways, &o); err != nil {
			return fmt.Errorf("delete the gateway of project %s: %w", project, err)
		}
	}
	return nil
}
