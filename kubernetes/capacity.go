package kubernetes

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/fairwaycd/fairway"
)

var (
	autoscalerResource = schema.GroupVersionResource{Group: "autoscaling", Version: "v2", Resource: "horizontalpodautoscalers"}
	sliceResource      = schema.GroupVersionResource{Group: "discovery.k8s.io", Version: "v1", Resource: "endpointslices"}
)

// needed says how many ready pods each colour must have before the weights
// move from now to next: its share of those that serve now, rounded up, and
// at least one.
func needed(now, next fairway.Weights, ready map[fairway.Colour]int) map[fairway.Colour]int {
	serving := 0
	for c, n := range ready {
		if now[c] > 0 {
			serving += n
		}
	}
	out := map[fairway.Colour]int{}
	for c, w := range next {
		if w > 0 {
			out[c] = max(1, (w*serving+99)/100)
		}
	}
	return out
}

// Reserve makes sure, before the weights move, that each colour has the ready
// pods for its share of what serves now, in its endpoints, too. now are the
// weights in force; nil where nothing serves.
//
// Where an autoscaler scales a colour, its minReplicas is raised until release
// is called; what was raised is put back by the next Start when Fairway has
// ended in between. Else the workload is scaled, and stays so: the number that
// serves moves along with the traffic, until the chart is applied again.
// After an error nothing stays raised.
func (p *Platform) Reserve(ctx context.Context, ns fairway.Namespace, s fairway.ServiceName, now, next fairway.Weights) (release func(context.Context) error, err error) {
	if err := p.ready(); err != nil {
		return nil, err
	}
	select {
	case <-p.healed:
	case <-ctx.Done():
		return nil, fairway.Errorf(fairway.KindUnavailable, "autoscalers that an interrupted switch had raised are not put back yet: %w", context.Cause(ctx))
	}
	held := &reservation{p: p, ns: string(ns)}
	if err := p.reserve(ctx, held, ns, s, now, next); err != nil {
		after, cancel := context.WithTimeout(context.WithoutCancel(ctx), callLimit)
		defer cancel()
		if back := held.release(after); back != nil {
			p.log.Warn("an autoscaler stays raised until the next start", "service", s, "namespace", ns, "error", back)
		}
		return nil, err
	}
	return held.release, nil
}

func (p *Platform) reserve(ctx context.Context, held *reservation, ns fairway.Namespace, s fairway.ServiceName, now, next fairway.Weights) error {
	ready := map[fairway.Colour]int{}
	for c := range now {
		if w, ok := p.at(fairway.Place{Namespace: ns, Service: s, Colour: c}); ok {
			ready[c] = int(w.status.available)
		}
	}
	need := needed(now, next, ready)
	autoscalers, err := p.autoscalers(ctx, string(ns), "")
	if err != nil {
		return err
	}
	for c, n := range need {
		place := fairway.Place{Namespace: ns, Service: s, Colour: c}
		w, ok := p.at(place)
		if !ok {
			return fairway.Errorf(fairway.KindRefused, "nothing runs as %s, so it gets no traffic", place)
		}
		if err := held.raise(ctx, w, autoscalers, n); err != nil {
			return err
		}
	}
	limit, cancel := p.limit(ctx)
	defer cancel()
	for c, n := range need {
		if err := p.awaitPods(limit, fairway.Place{Namespace: ns, Service: s, Colour: c}, n); err != nil {
			return err
		}
	}
	return nil
}

// limit is ctx with the platform's patience, where ctx has no deadline.
func (p *Platform) limit(ctx context.Context) (context.Context, context.CancelFunc) {
	if _, ok := ctx.Deadline(); ok {
		return context.WithCancel(ctx)
	}
	return context.WithTimeout(ctx, p.o.Patience)
}

// reservation is what has to be put back.
type reservation struct {
	p      *Platform
	ns     string
	raised []string // names of autoscalers
}

// raise makes the cluster want at least n pods of the workload.
func (r *reservation) raise(ctx context.Context, w workload, autoscalers []object, n int) error {
	i := slices.IndexFunc(autoscalers, func(o object) bool { return targetOf(&o).same(w.ref()) })
	if i < 0 {
		if int(w.status.desired) >= n {
			return nil
		}
		r.p.log.Info("scaling for the traffic to come", "object", w.ref().String(), "namespace", r.ns, "from", w.status.desired, "to", n)
		return r.p.c.patch(ctx, w.ref(), r.ns, map[string]any{"spec": map[string]any{"replicas": n}}, "scale")
	}
	a := &autoscalers[i]
	most, _, _ := unstructured.NestedInt64(a.Object, "spec", "maxReplicas")
	least, set, _ := unstructured.NestedInt64(a.Object, "spec", "minReplicas")
	if int64(n) > most {
		return fairway.Errorf(fairway.KindRefused, "%s needs %d pods for the traffic to come, and HorizontalPodAutoscaler %s in namespace %s allows %d; raise its maxReplicas in the chart", w.ref(), n, a.GetName(), r.ns, most)
	}
	if int64(n) <= max(least, 1) {
		return nil
	}
	original := ""
	if set {
		original = strconv.FormatInt(least, 10)
	}
	if was, ok := a.GetAnnotations()[annotationMin]; ok {
		original = was // of a switch that was interrupted
	}
	r.raised = append(r.raised, a.GetName())
	r.p.log.Info("raising an autoscaler for the traffic to come", "autoscaler", a.GetName(), "namespace", r.ns, "from", least, "to", n)
	return r.p.c.patch(ctx, refOf(a), r.ns, map[string]any{
		"metadata": map[string]any{"annotations": map[string]any{annotationMin: original}, "labels": map[string]any{labelRaised: "true"}},
		"spec":     map[string]any{"minReplicas": n},
	})
}

func (r *reservation) release(ctx context.Context) error {
	for _, name := range r.raised {
		live, err := r.p.c.get(ctx, ref{"autoscaling/v2", "HorizontalPodAutoscaler", name}, r.ns)
		if err != nil {
			return err
		}
		if live == nil {
			continue
		}
		if err := r.p.lower(ctx, live); err != nil {
			return err
		}
	}
	return nil
}

// lower puts minReplicas back to what it was before it was raised.
func (p *Platform) lower(ctx context.Context, o *object) error {
	original, raised := o.GetAnnotations()[annotationMin]
	if !raised {
		return nil
	}
	var least any // null: the default
	if n, err := strconv.ParseInt(original, 10, 32); err == nil {
		least = n
	}
	return p.c.patch(ctx, refOf(o), o.GetNamespace(), map[string]any{
		"metadata": map[string]any{"annotations": map[string]any{annotationMin: nil}, "labels": map[string]any{labelRaised: nil}},
		"spec":     map[string]any{"minReplicas": least},
	})
}

// autoscalers lists those of a namespace, "" meaning all.
func (p *Platform) autoscalers(ctx context.Context, ns, selector string) ([]object, error) {
	var out []object
	err := call(ctx, "list the autoscalers of namespace "+ns, func(ctx context.Context) error {
		list, err := p.c.dynamic.Resource(autoscalerResource).Namespace(ns).List(ctx, metav1.ListOptions{LabelSelector: selector})
		if err == nil {
			out = list.Items
		}
		return err
	})
	return out, err
}

// heal puts back what an interrupted switch has raised, and then lets switches
// begin.
func (p *Platform) heal(ctx context.Context) {
	for ctx.Err() == nil {
		err := p.lowerAll(ctx)
		if err == nil {
			close(p.healed)
			return
		}
		if ctx.Err() == nil {
			p.log.Warn("autoscalers that an interrupted switch may have raised are not put back yet; trying again", "error", err)
		}
		select {
		case <-ctx.Done():
		case <-time.After(mostBackoff):
		}
	}
}

func (p *Platform) lowerAll(ctx context.Context) error {
	raised, err := p.autoscalers(ctx, "", labelRaised)
	if err != nil {
		return err
	}
	for i := range raised {
		p.log.Warn("putting back an autoscaler that an interrupted switch had raised", "autoscaler", raised[i].GetName(), "namespace", raised[i].GetNamespace())
		if err := p.lower(ctx, &raised[i]); err != nil {
			return err
		}
	}
	return nil
}

// awaitPods waits until the place has n ready pods, and its endpoints name as
// many.
func (p *Platform) awaitPods(ctx context.Context, place fairway.Place, n int) error {
	for {
		changed := p.change()
		w, ok := p.at(place)
		if !ok {
			return fairway.Errorf(fairway.KindRefused, "%s was stopped, so it gets no traffic", place)
		}
		if int(w.status.available) >= n {
			break
		}
		select {
		case <-changed:
		case <-ctx.Done():
			f := w.judge(p.podsOf(w, place.Service), p.now(), p.o.Missing)
			late, cancel := context.WithTimeout(context.WithoutCancel(ctx), evidenceLimit)
			defer cancel()
			return fairway.Retryable(fairway.Errorf(fairway.KindUnavailable, "%s has %d of the %d ready pods that its traffic needs: %s%s", place, w.status.available, n, f.reason, p.evidence(late, w, f)))
		}
	}
	return p.awaitEndpoints(ctx, place, n)
}

// awaitEndpoints waits until the Kubernetes Service of the place leads to n of
// its ready pods. Where there is none yet, nothing leads to them.
func (p *Platform) awaitEndpoints(ctx context.Context, place fairway.Place, n int) error {
	ns := string(place.Namespace)
	for _, name := range []string{place.Workload(), string(place.Service)} {
		ready, version, any, err := p.endpoints(ctx, place, name)
		for err == nil && any && ready < n {
			if err = p.watchSlices(ctx, ns, name, version); err == nil {
				ready, version, any, err = p.endpoints(ctx, place, name)
			}
		}
		if err != nil {
			return fmt.Errorf("the Kubernetes Service %s in namespace %s leads to %d of %d pods: %w", name, ns, ready, n, err)
		}
		if any {
			return nil
		}
	}
	return nil
}

// endpoints counts the ready pods of the place that a Kubernetes Service leads
// to; any is false when it has no endpoints at all.
func (p *Platform) endpoints(ctx context.Context, place fairway.Place, name string) (ready int, version string, any bool, err error) {
	mine := map[string]bool{}
	if w, ok := p.at(place); ok {
		for _, pod := range p.podsOf(w, place.Service) {
			mine[pod.Name] = true
		}
	}
	counted := map[string]bool{}
	err = call(ctx, "read the endpoints of "+name, func(ctx context.Context) error {
		list, err := p.c.dynamic.Resource(sliceResource).Namespace(string(place.Namespace)).List(ctx, metav1.ListOptions{LabelSelector: sliceSelector(name)})
		if err != nil {
			return err
		}
		version, any = list.GetResourceVersion(), len(list.Items) > 0
		for _, slice := range list.Items {
			for _, pod := range readyPods(slice) {
				counted[pod] = mine[pod]
			}
		}
		return nil
	})
	for _, ours := range counted {
		if ours {
			ready++
		}
	}
	return ready, version, any, err
}

func sliceSelector(service string) string { return "kubernetes.io/service-name=" + service }

// readyPods names the pods of an EndpointSlice that get requests.
func readyPods(slice object) []string {
	endpoints, _, _ := unstructured.NestedSlice(slice.Object, "endpoints")
	var out []string
	for _, e := range endpoints {
		endpoint, _ := e.(map[string]any)
		ready, set, _ := unstructured.NestedBool(endpoint, "conditions", "ready")
		if name := text(endpoint, "targetRef", "name"); name != "" && (ready || !set) {
			out = append(out, name)
		}
	}
	return out
}

// watchSlices waits for a change of a Kubernetes Service's endpoints.
func (p *Platform) watchSlices(ctx context.Context, ns, service, version string) error {
	watching, cancel := context.WithTimeout(ctx, watchLimit)
	defer cancel()
	w, err := p.c.dynamic.Resource(sliceResource).Namespace(ns).Watch(watching, metav1.ListOptions{LabelSelector: sliceSelector(service), ResourceVersion: version})
	if err == nil {
		defer w.Stop()
		select {
		case <-w.ResultChan():
		case <-watching.Done():
		}
	}
	if ctx.Err() != nil {
		return fairway.Retryable(fairway.Errorf(fairway.KindUnavailable, "the endpoints have not followed: %w", context.Cause(ctx)))
	}
	if err != nil && !passes(err) {
		return explain("watch the endpoints of "+service, err)
	}
	return nil
}
