package kubernetes

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net"
	"slices"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/util/workqueue"

	"github.com/fairwaycd/fairway"
)

// The indices of what is watched.
const (
	byPlace    = "place"    // workloads that are a version, by place
	byInstance = "instance" // the same, by instance
	byService  = "service"  // pods, by namespace and service
)

// prepareWatches makes the caches: of workloads and pods that carry our
// labels, without what nobody here reads.
func (p *Platform) prepareWatches() error {
	p.queue = workqueue.NewTypedRateLimitingQueue(workqueue.DefaultTypedControllerRateLimiter[fairway.Place]())
	mine := LabelManagedBy + "=" + manager + "," + LabelInstallation + "=" + p.o.Installation
	workloads := cache.Indexers{byPlace: indexPlace, byInstance: indexInstance}
	p.deployments = informer(p.c.apps, "deployments", &appsv1.Deployment{}, mine, workloads)
	p.statefulSets = informer(p.c.apps, "statefulsets", &appsv1.StatefulSet{}, mine, workloads)
	p.pods = informer(p.c.core, "pods", &corev1.Pod{}, LabelProject+","+LabelInstallation+"="+p.o.Installation, cache.Indexers{byService: indexService})
	for _, i := range p.watched() {
		if err := i.SetTransform(trim); err != nil {
			return fmt.Errorf("prepare to watch the cluster: %w", err)
		}
		err := i.SetWatchErrorHandlerWithContext(func(_ context.Context, _ *cache.Reflector, err error) {
			p.watchFailed(err)
		})
		if err != nil {
			return fmt.Errorf("prepare to watch the cluster: %w", err)
		}
		_, err = i.AddEventHandler(cache.ResourceEventHandlerFuncs{
			AddFunc: p.touched, DeleteFunc: p.deleted, UpdateFunc: func(_, now any) { p.touched(now) },
		})
		if err != nil {
			return fmt.Errorf("prepare to watch the cluster: %w", err)
		}
	}
	return nil
}

// watchFailed notes why what runs is not known, for whoever asks.
func (p *Platform) watchFailed(err error) {
	why := err.Error()
	p.mu.Lock()
	news := p.trouble != why
	p.trouble = why
	p.mu.Unlock()
	switch {
	case news && (apierrors.IsForbidden(err) || apierrors.IsUnauthorized(err)):
		p.log.Error("the cluster does not let Fairway watch what runs; it asks again all the time", "error", err)
	case news:
		p.log.Debug("a watch was interrupted and begins again", "error", err)
	}
}

func informer(c rest.Interface, resource string, of runtime.Object, selector string, by cache.Indexers) cache.SharedIndexInformer {
	lw := cache.NewFilteredListWatchFromClient(c, resource, metav1.NamespaceAll, func(o *metav1.ListOptions) { o.LabelSelector = selector })
	return cache.NewSharedIndexInformer(lw, of, 0, by)
}

func (p *Platform) watched() []cache.SharedIndexInformer {
	return []cache.SharedIndexInformer{p.deployments, p.statefulSets, p.pods}
}

func (p *Platform) synced() bool {
	for _, i := range p.watched() {
		if !i.HasSynced() {
			return false
		}
	}
	return true
}

// trim drops what is large and not read here.
func trim(o any) (any, error) {
	m, err := meta.Accessor(o)
	if err != nil {
		return o, nil //nolint:nilerr // a tombstone
	}
	m.SetManagedFields(nil)
	if pod, ok := o.(*corev1.Pod); ok {
		pod.Spec = corev1.PodSpec{NodeName: pod.Spec.NodeName, Volumes: claimsOf(pod.Spec.Volumes), Containers: names(pod.Spec.Containers), InitContainers: names(pod.Spec.InitContainers)}
	}
	return o, nil
}

func names(in []corev1.Container) []corev1.Container {
	var out []corev1.Container
	for _, c := range in {
		out = append(out, corev1.Container{Name: c.Name, Image: c.Image})
	}
	return out
}

func claimsOf(in []corev1.Volume) []corev1.Volume {
	return slices.DeleteFunc(slices.Clone(in), func(v corev1.Volume) bool { return v.PersistentVolumeClaim == nil })
}

func placeOf(m metav1.Object) (fairway.Place, bool) {
	l := m.GetLabels()
	c, ok := colourOf(l[LabelColour])
	if !ok || l[LabelService] == "" || l[LabelInstance] == "" {
		return fairway.Place{}, false
	}
	return fairway.Place{Namespace: fairway.Namespace(m.GetNamespace()), Service: fairway.ServiceName(l[LabelService]), Colour: c}, true
}

func indexPlace(o any) ([]string, error) {
	m, err := meta.Accessor(o)
	if err != nil {
		return nil, err
	}
	if place, ok := placeOf(m); ok {
		return []string{place.String()}, nil
	}
	return nil, nil
}

func indexInstance(o any) ([]string, error) {
	m, err := meta.Accessor(o)
	if err != nil {
		return nil, err
	}
	if _, ok := placeOf(m); ok {
		return []string{m.GetAnnotations()[annotationInstance]}, nil
	}
	return nil, nil
}

func indexService(o any) ([]string, error) {
	m, err := meta.Accessor(o)
	if err != nil {
		return nil, err
	}
	l := m.GetLabels()
	return []string{m.GetNamespace() + "/" + cmp.Or(l[LabelService], l[labelPart])}, nil
}

// touched notes that something of a place has changed.
func (p *Platform) touched(o any) {
	if t, ok := o.(cache.DeletedFinalStateUnknown); ok {
		o = t.Obj
	}
	m, err := meta.Accessor(o)
	if err != nil {
		return
	}
	if place, ok := placeOf(m); ok {
		p.queue.Add(place)
		return
	}
	// A part of a chart beside the version: whoever waits has a look.
	p.wake()
}

func (p *Platform) wake() {
	p.mu.Lock()
	defer p.mu.Unlock()
	close(p.changed)
	p.changed = make(chan struct{})
}

// change returns a channel that is closed at the next change.
func (p *Platform) change() <-chan struct{} {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.changed
}

// follow looks at each place that something has changed in, and tells those
// who listen, until ctx ends.
func (p *Platform) follow(ctx context.Context) {
	for {
		place, end := p.queue.Get()
		if end || ctx.Err() != nil {
			return
		}
		p.look(ctx, place)
		p.queue.Done(place)
	}
}

func (p *Platform) look(ctx context.Context, place fairway.Place) {
	now, runs := p.at(place)
	var view fairway.Instance
	if runs {
		view = p.view(now)
		p.labelPods(ctx, place, view.ID)
	}
	p.mu.Lock()
	before, known := p.seen[place]
	if runs {
		p.seen[place] = view
	} else {
		delete(p.seen, place)
	}
	if known && before.ID != view.ID {
		delete(p.rolled, before.ID)
		delete(p.runs, before.ID)
	}
	subs := slices.Collect(maps.Values(p.subs))
	p.mu.Unlock()
	p.wake()
	switch {
	case known && !runs:
		before.Ready, before.Reason = false, "its workload was deleted"
		view = before
	case !runs, known && before.ID == view.ID && before.Ready == view.Ready, !known && !view.Ready:
		return
	}
	if view.Ready {
		p.log.Info("instance is ready", "service", place.String(), "instance", view.ID, "delivery", string(view.Delivery))
	} else {
		p.log.Info("instance is not ready", "service", place.String(), "instance", view.ID, "delivery", string(view.Delivery), "reason", view.Reason)
	}
	for _, f := range subs {
		f(view)
	}
}

// running is what runs in a place: its Deployment or StatefulSet.
type workload struct {
	metav1.Object
	kind     string
	selector *metav1.LabelSelector
	template corev1.PodTemplateSpec
	status   progress
}

func (w workload) ref() ref { return ref{"apps/v1", w.kind, w.GetName()} }

func workloadOf(o any) (workload, bool) {
	switch o := o.(type) {
	case *appsv1.Deployment:
		return workload{o, "Deployment", o.Spec.Selector, o.Spec.Template, deploymentProgress(o)}, true
	case *appsv1.StatefulSet:
		return workload{o, "StatefulSet", o.Spec.Selector, o.Spec.Template, statefulProgress(o)}, true
	}
	return workload{}, false
}

// find returns the workloads that an index has under the value.
func (p *Platform) find(index, value string) []workload {
	var out []workload
	for _, i := range []cache.SharedIndexInformer{p.deployments, p.statefulSets} {
		found, err := i.GetIndexer().ByIndex(index, value)
		if err != nil { // only when there is no such index
			continue
		}
		for _, o := range found {
			if w, ok := workloadOf(o); ok {
				out = append(out, w)
			}
		}
	}
	return out
}

func (p *Platform) at(place fairway.Place) (workload, bool) {
	// Two stand there when the chart's kind has changed: the newer one counts.
	all := p.find(byPlace, place.String())
	slices.SortFunc(all, func(a, b workload) int { return b.record().StartedAt.Compare(a.record().StartedAt) })
	if len(all) == 0 {
		return workload{}, false
	}
	return all[0], true
}

func (p *Platform) instance(id string) (workload, bool) {
	all := p.find(byInstance, id)
	if len(all) == 0 {
		return workload{}, false
	}
	return all[0], true
}

func (w workload) record() record { return recordOf(w.GetAnnotations()) }

// recordOf reads the record; what somebody has spoilt is an empty one.
func recordOf(annotations map[string]string) record {
	var r record
	if json.Unmarshal([]byte(annotations[annotationRecord]), &r) != nil {
		return record{}
	}
	return r
}

// podsOf returns the pods that the workload's selector means, oldest first.
func (p *Platform) podsOf(w workload, service fairway.ServiceName) []*corev1.Pod {
	found, err := p.pods.GetIndexer().ByIndex(byService, w.GetNamespace()+"/"+string(service))
	if err != nil {
		return nil
	}
	// Most selectors are a few labels, and parsing one costs more than asking it.
	matches := func(l map[string]string) bool { return selects(w.selector.MatchLabels, l) }
	if len(w.selector.MatchExpressions) > 0 {
		selector, err := metav1.LabelSelectorAsSelector(w.selector)
		if err != nil {
			return nil
		}
		matches = func(l map[string]string) bool { return selector.Matches(labelSet(l)) }
	}
	var out []*corev1.Pod
	for _, o := range found {
		if pod, ok := o.(*corev1.Pod); ok && matches(pod.Labels) {
			out = append(out, pod)
		}
	}
	slices.SortFunc(out, func(a, b *corev1.Pod) int {
		return cmp.Or(a.CreationTimestamp.Compare(b.CreationTimestamp.Time), cmp.Compare(a.Name, b.Name))
	})
	return out
}

// view is what others see of a workload.
func (p *Platform) view(w workload) fairway.Instance {
	a, l, r := w.GetAnnotations(), w.GetLabels(), w.record()
	place, _ := placeOf(w)
	image, tag := fairway.SplitImage(a[annotationArtifact])
	v := fairway.Instance{
		ID: a[annotationInstance], Project: fairway.ProjectName(l[LabelProject]), Stage: fairway.StageName(l[LabelStage]), Place: place,
		Delivery: fairway.DeliveryID(a[annotationDelivery]), Artifact: fairway.Artifact{Image: image, Tag: tag, Digest: a[annotationDigest]},
		HealthPath: r.HealthPath, NotRun: r.NotRun, StartedAt: r.StartedAt,
	}
	host := place.Workload() + "." + string(place.Namespace) + ".svc.cluster.local"
	if r.Port != "" {
		v.Address = net.JoinHostPort(host, r.Port)
	}
	if r.MetricsPort != "" {
		v.MetricsAddress, v.MetricsPath = net.JoinHostPort(host, r.MetricsPort), r.MetricsPath
	}
	pods := p.podsOf(w, place.Service)
	for _, pod := range pods {
		for _, c := range pod.Status.ContainerStatuses {
			v.Restarts += int(c.RestartCount)
		}
	}
	v.Ready = p.hasRolled(v.ID, w.status) && w.status.available > 0
	if !v.Ready {
		v.Reason = w.judge(pods, p.now(), p.o.Missing).reason
	}
	return v
}

// hasRolled reports whether the rollout of the instance was ever complete: from
// then on a pod that fails is the cluster's to mend.
func (p *Platform) hasRolled(id string, s progress) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if s.complete && s.available > 0 {
		p.rolled[id] = true
	}
	return p.rolled[id]
}

// Instances implements [fairway.Platform]: all that were applied and not
// stopped, ready or not, oldest first.
func (p *Platform) Instances(context.Context) ([]fairway.Instance, error) {
	if err := p.ready(); err != nil {
		return nil, err
	}
	var out []fairway.Instance
	for _, i := range []cache.SharedIndexInformer{p.deployments, p.statefulSets} {
		for _, o := range i.GetStore().List() {
			w, ok := workloadOf(o)
			if !ok || w.GetDeletionTimestamp() != nil {
				continue
			}
			if _, ok := placeOf(w); ok {
				out = append(out, p.view(w))
			}
		}
	}
	slices.SortFunc(out, func(a, b fairway.Instance) int {
		return cmp.Or(a.StartedAt.Compare(b.StartedAt), cmp.Compare(a.ID, b.ID))
	})
	return out, nil
}
