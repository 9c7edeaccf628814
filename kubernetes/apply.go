package kubernetes

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/fairwaycd/fairway"
)

// Check reports whether the workload's manifests can be read, as
// [Platform.Apply] would read them, and asks no cluster. An error is of
// KindInvalid, or of KindRefused for what a colour cannot be.
func Check(w fairway.Workload) error {
	r, err := read(w, func(schema.GroupVersionKind) bool { return true })
	if err != nil {
		return err
	}
	return r.suits()
}

// suits refuses a set of pods with identities and claims of their own where
// two versions stand beside each other.
func (r *rendering) suits() error {
	if r.workload.GetKind() == "StatefulSet" && r.w.Place.Colour != fairway.Single {
		return fairway.Errorf(fairway.KindRefused, "%s cannot be blue and green: each colour would have claims and names of its own, and data would not follow the traffic; give the service strategy: direct in its values", refOf(r.workload))
	}
	return nil
}

// Apply implements [fairway.Platform]. The workload itself is applied last: an
// instance that it names is applied whole, and applying that again changes
// nothing. Manifests that cannot be read, or that the cluster does not take,
// are KindInvalid; objects of others, and a selector that differs, KindRefused.
func (p *Platform) Apply(ctx context.Context, w fairway.Workload) error {
	if w.Instance == "" {
		return fairway.Invalid("instance", "", "is empty", "give the workload an instance id")
	}
	if err := p.ready(); err != nil {
		return err
	}
	unlock := p.lock(w.Place)
	defer unlock()
	served, failed := p.c.served(ctx)
	r, err := read(w, served)
	if err := failed(); err != nil {
		return err
	}
	if err != nil {
		return err
	}
	if err := r.suits(); err != nil {
		return err
	}
	note, err := p.namespace(ctx, w)
	if err != nil {
		return err
	}
	if note != "" {
		r.rec.NotRun = append(r.rec.NotRun, note)
	}
	live, err := p.c.get(ctx, refOf(r.workload), string(w.Place.Namespace))
	if err != nil {
		return err
	}
	if live != nil && live.GetAnnotations()[annotationInstance] == w.Instance && live.GetLabels()[LabelManagedBy] == manager {
		if live.GetAnnotations()[annotationStopping] != "" {
			return fairway.Retryable(fairway.Errorf(fairway.KindConflict, "instance %s is being stopped; try again when that is done", w.Instance))
		}
		return p.prune(ctx, w, live) // which may have been interrupted
	}
	return p.replace(ctx, r, live)
}

// replace applies the rendering in place of what live is; nil stands for
// nothing.
func (p *Platform) replace(ctx context.Context, r *rendering, live *object) error {
	ns := string(r.w.Place.Namespace)
	if err := p.mayTake(live, r.w); err != nil {
		return err
	}
	if err := sameSelector(live, r.workload); err != nil {
		return err
	}
	r.rec.StartedAt = p.now().UTC()
	if err := r.label(p.o.Installation); err != nil {
		return err
	}
	former := p.formerly(r.w.Place, live)
	if err := p.runHooks(ctx, r); err != nil {
		return err
	}
	p.o.Failpoint("platform.apply.hooks")
	for _, o := range r.objects {
		if err := p.applyOne(ctx, r.w, o, former); err != nil {
			return err
		}
	}
	p.o.Failpoint("platform.apply.before-workload")
	obsolete := slices.DeleteFunc(slices.Clone(former), func(f ref) bool {
		return contains(r.rec.Objects, f) || f.same(refOf(r.workload)) || keeps(f)
	})
	body, err := json.Marshal(obsolete)
	if err != nil {
		return fmt.Errorf("encode what is to be pruned: %w", err)
	}
	merge(r.workload, map[string]string{annotationObsolete: string(body)}, "metadata", "annotations")
	p.keepLogsOf(r.w.Place)
	if err := p.leaveReplicas(ctx, r, live); err != nil {
		return err
	}
	applied, err := p.send(ctx, r.workload, ns)
	if err != nil {
		return err
	}
	p.o.Failpoint("platform.apply.before-prune")
	p.passHooks(ctx, r)
	return p.prune(ctx, r.w, applied)
}

// formerly lists what stands in the place with the workload there: what its
// record says, and workloads of other names.
func (p *Platform) formerly(place fairway.Place, live *object) []ref {
	var out []ref
	if live != nil {
		out = recordOf(live.GetAnnotations()).Objects
	}
	for _, w := range p.find(byPlace, place.String()) {
		for _, r := range append(w.record().Objects, w.ref()) {
			if !contains(out, r) {
				out = append(out, r)
			}
		}
	}
	return out
}

// applyOne applies an object that stands beside the workload. What was not
// applied before is looked at first: it may be somebody else's.
func (p *Platform) applyOne(ctx context.Context, w fairway.Workload, o *object, former []ref) error {
	ns := string(w.Place.Namespace)
	if !contains(former, refOf(o)) {
		live, err := p.c.get(ctx, refOf(o), ns)
		if err != nil {
			return err
		}
		if err := p.mayTake(live, w); err != nil {
			return err
		}
		if err := sameSelector(live, o); err != nil {
			return err
		}
	}
	if _, err := p.send(ctx, o, ns); err != nil {
		return err
	}
	if o.GetKind() == "CustomResourceDefinition" {
		return p.awaitDefinition(ctx, o)
	}
	return nil
}

// send applies the object, and decides about fields that others have set.
func (p *Platform) send(ctx context.Context, o *object, ns string) (*object, error) {
	applied, err := p.c.apply(ctx, o, ns, manager, p.o.ForceConflicts)
	conflicts := fieldConflicts(err)
	if len(conflicts) == 0 {
		return applied, err
	}
	v := judgeConflicts(conflicts, p.o.ForceConflicts)
	if v.refusal != "" {
		return nil, fairway.Errorf(fairway.KindRefused, "%s in namespace %s has other values than the chart, and they are not Fairway's to change: %s; write their value into the chart, undo their change, or start Fairway with --force-conflicts", refOf(o), ns, v.refusal)
	}
	if v.replicas {
		p.log.Warn("the number of replicas was set by somebody else and stays", "object", refOf(o).String(), "namespace", ns)
		unstructured.RemoveNestedField(o.Object, "spec", "replicas")
	}
	return p.c.apply(ctx, o, ns, manager, v.force)
}

// sameSelector refuses a selector that differs: it cannot be changed.
func sameSelector(live, o *object) error {
	if live == nil || !isWorkload(o) {
		return nil
	}
	was, _, _ := unstructured.NestedMap(live.Object, "spec", "selector")
	is, _, _ := unstructured.NestedMap(o.Object, "spec", "selector")
	if equality.Semantic.DeepEqual(was, is) {
		return nil
	}
	a, _ := json.Marshal(was)
	b, _ := json.Marshal(is)
	return fairway.Errorf(fairway.KindRefused, "%s in namespace %s has the selector %s, which cannot become %s: the cluster allows no change of it; put the former labels back into the chart, give the object another name, or delete it first, which ends its pods: kubectl delete %s %s --namespace %s",
		refOf(o), live.GetNamespace(), a, b, strings.ToLower(o.GetKind()), o.GetName(), live.GetNamespace())
}

// leaveReplicas takes the number of replicas out of a workload that an
// autoscaler scales. A number that Fairway has set before is handed over
// first, for a field that nobody applies any more would fall back to 1.
func (p *Platform) leaveReplicas(ctx context.Context, r *rendering, live *object) error {
	ns := string(r.w.Place.Namespace)
	targets, err := p.scaled(ctx, r)
	if err != nil {
		return err
	}
	for _, o := range append(slices.Clone(r.objects), r.workload) {
		if isWorkload(o) && contains(targets, refOf(o)) {
			unstructured.RemoveNestedField(o.Object, "spec", "replicas")
		}
	}
	if live == nil || !contains(targets, refOf(r.workload)) || !appliesReplicas(live) {
		return nil
	}
	n, ok, _ := unstructured.NestedInt64(live.Object, "spec", "replicas")
	if !ok {
		return nil
	}
	held := &object{Object: map[string]any{"apiVersion": "apps/v1", "kind": r.workload.GetKind(),
		"metadata": map[string]any{"name": r.workload.GetName()}, "spec": map[string]any{"replicas": n}}}
	_, err = p.c.apply(ctx, held, ns, manager+"-replicas", true)
	return err
}

// appliesReplicas reports whether our manager owns the number of replicas.
func appliesReplicas(o *object) bool {
	for _, f := range o.GetManagedFields() {
		if f.Manager != manager || f.Operation != metav1.ManagedFieldsOperationApply || f.FieldsV1 == nil {
			continue
		}
		var owned struct {
			Spec map[string]any `json:"f:spec"`
		}
		if json.Unmarshal(f.FieldsV1.GetRawBytes(), &owned) == nil {
			_, ok := owned.Spec["f:replicas"]
			return ok
		}
	}
	return false
}

// scaled lists the workloads that an autoscaler scales: one of the chart, or
// one that somebody has made in the namespace.
func (p *Platform) scaled(ctx context.Context, r *rendering) ([]ref, error) {
	var out []ref
	for _, o := range r.objects {
		if o.GetKind() == "HorizontalPodAutoscaler" {
			out = append(out, targetOf(o))
		}
	}
	all, err := p.autoscalers(ctx, string(r.w.Place.Namespace), "")
	for i := range all {
		out = append(out, targetOf(&all[i]))
	}
	return out, err
}

func targetOf(autoscaler *object) ref {
	target, _, _ := unstructured.NestedMap(autoscaler.Object, "spec", "scaleTargetRef")
	r := ref{text(target, "apiVersion"), text(target, "kind"), text(target, "name")}
	if r.Kind == "Deployment" || r.Kind == "StatefulSet" {
		r.APIVersion = "apps/v1" // whatever old group it names
	}
	return r
}
