package kubernetes

import (
	"context"
	"encoding/json"
	"fmt"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/cache"

	"github.com/fairwaycd/fairway"
)

// keeps reports whether an object is never removed: it holds data, or objects
// of others.
func keeps(r ref) bool {
	switch r.Kind {
	case "PersistentVolumeClaim", "PersistentVolume", "CustomResourceDefinition", "Namespace":
		return true
	}
	return false
}

// prune removes what the workload says is obsolete, and then says so no more.
// What another place still has stays.
func (p *Platform) prune(ctx context.Context, w fairway.Workload, live *object) error {
	var obsolete []ref
	if err := json.Unmarshal([]byte(live.GetAnnotations()[annotationObsolete]), &obsolete); err != nil || len(obsolete) == 0 {
		return nil //nolint:nilerr // what somebody has spoilt is not ours to guess
	}
	for _, r := range obsolete {
		if err := p.removeOurs(ctx, w, r); err != nil {
			return fmt.Errorf("remove what the chart of %s no longer has: %w", w.Place, err)
		}
	}
	none := map[string]any{"metadata": map[string]any{"annotations": map[string]any{annotationObsolete: "[]"}}}
	return p.c.patch(ctx, refOf(live), string(w.Place.Namespace), none)
}

// removeOurs deletes the object if it carries the service's labels and no
// other place of the service has it.
func (p *Platform) removeOurs(ctx context.Context, w fairway.Workload, r ref) error {
	if keeps(r) {
		return nil
	}
	ns := string(w.Place.Namespace)
	_, namespaced, err := p.c.resource(ctx, r, ns)
	if fairway.KindOf(err) == fairway.KindInvalid && err != nil {
		return nil // its kind has left the cluster, and the object with it
	}
	if err != nil || p.elsewhere(w, r, namespaced) {
		return err
	}
	for {
		o, err := p.c.get(ctx, r, ns)
		if err != nil || o == nil {
			return err
		}
		if foreignManager(o) != "" || mayTake(o, w, claim{installation: p.o.Installation}) != nil || o.GetDeletionTimestamp() != nil {
			return nil
		}
		p.log.Info("removing what no longer belongs to the service", "service", w.Place.String(), "object", r.String())
		if _, version := placeOf(o); version && isWorkload(o) {
			_, err := p.removeWorkload(ctx, r, ns, func(now *object) bool { return now.GetUID() == o.GetUID() })
			return err
		}
		err = p.c.remove(ctx, o, ns)
		if fairway.KindOf(err) == fairway.KindConflict {
			continue // it has changed since it was read
		}
		return err
	}
}

// elsewhere reports whether a workload in another place was applied with the
// object: the other colour's, or, for an object of no namespace, one in
// whatever stage.
func (p *Platform) elsewhere(w fairway.Workload, r ref, namespaced bool) bool {
	for _, i := range []cache.SharedIndexInformer{p.deployments, p.statefulSets} {
		for _, o := range i.GetStore().List() {
			other, _ := workloadOf(o)
			place, ok := placeOf(other)
			if !ok || place == w.Place || place.Service != w.Place.Service || namespaced && place.Namespace != w.Place.Namespace {
				continue
			}
			if contains(other.record().Objects, r) || r.same(other.ref()) {
				return true
			}
		}
	}
	return false
}

// forgettable are the kinds that a service without a workload may have left.
var forgettable = []ref{
	{"apps/v1", "Deployment", ""}, {"apps/v1", "StatefulSet", ""}, {"apps/v1", "DaemonSet", ""}, {"batch/v1", "Job", ""}, {"batch/v1", "CronJob", ""},
	{"autoscaling/v2", "HorizontalPodAutoscaler", ""}, {"policy/v1", "PodDisruptionBudget", ""}, {"networking.k8s.io/v1", "Ingress", ""},
	{"networking.k8s.io/v1", "NetworkPolicy", ""}, {"v1", "Service", ""}, {"v1", "ConfigMap", ""}, {"v1", "Secret", ""},
	{"rbac.authorization.k8s.io/v1", "RoleBinding", ""}, {"rbac.authorization.k8s.io/v1", "Role", ""}, {"v1", "ServiceAccount", ""},
}

// Forget removes what is left of a service that is deleted and whose versions
// are stopped: objects that carry its labels although no workload names them
// any more, for somebody has deleted that. Claims stay.
func (p *Platform) Forget(ctx context.Context, ns fairway.Namespace, s fairway.ServiceName) error {
	if err := p.ready(); err != nil {
		return err
	}
	for _, c := range []fairway.Colour{fairway.Single, fairway.Blue, fairway.Green} {
		if _, runs := p.at(fairway.Place{Namespace: ns, Service: s, Colour: c}); runs {
			return nil // it is to go on, and so is what it needs
		}
	}
	selector := LabelManagedBy + "=" + manager + "," + LabelInstallation + "=" + p.o.Installation + "," + LabelService + "=" + string(s)
	for _, kind := range forgettable {
		client, _, err := p.c.resource(ctx, kind, string(ns))
		if err != nil {
			return err
		}
		var left []object
		err = call(ctx, fmt.Sprintf("list what is left of %s in namespace %s", s, ns), func(ctx context.Context) error {
			list, err := client.List(ctx, metav1.ListOptions{LabelSelector: selector})
			if err == nil {
				left = list.Items
			}
			return err
		})
		if err != nil {
			return err
		}
		for i := range left {
			l := left[i].GetLabels()
			w := fairway.Workload{Project: fairway.ProjectName(l[LabelProject]), Stage: fairway.StageName(l[LabelStage]), Place: fairway.Place{Namespace: ns, Service: s}}
			if err := p.removeOurs(ctx, w, ref{kind.APIVersion, kind.Kind, left[i].GetName()}); err != nil {
				return err
			}
		}
	}
	return nil
}
