package kubernetes

import (
	"context"
	"fmt"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/client-go/kubernetes/scheme"

	"github.com/fairwaycd/fairway"
)

// runHooks applies what has to be there before, and runs what has to succeed
// before, one after another. A Job that carries the instance has been begun
// already: it is waited for, and not run twice.
func (p *Platform) runHooks(ctx context.Context, r *rendering) error {
	for _, h := range r.hooks {
		if !h.runs() {
			if err := p.applyOne(ctx, r.w, h.object, nil); err != nil {
				return err
			}
			continue
		}
		if err := p.runHook(ctx, r.w, h); err != nil {
			return err
		}
	}
	return nil
}

func (p *Platform) runHook(ctx context.Context, w fairway.Workload, h hook) error {
	ns := string(w.Place.Namespace)
	live, err := p.c.get(ctx, refOf(h.object), ns)
	if err != nil {
		return err
	}
	if err := p.mayTake(live, w); err != nil {
		return err
	}
	if live != nil && live.GetLabels()[LabelInstance] != labelValue(w.Instance) {
		if err := p.replaceHook(ctx, live, ns); err != nil {
			return err
		}
		live = nil
	}
	if live == nil {
		p.log.Info("running a hook", "service", w.Place.String(), "hook", h.String())
		if _, err = p.send(ctx, h.object, ns); err != nil {
			return fmt.Errorf("%s: %w", h, err)
		}
	}
	return p.awaitHook(ctx, h, ns)
}

// replaceHook removes the hook of an earlier delivery and waits until its name
// is free.
func (p *Platform) replaceHook(ctx context.Context, live *object, ns string) error {
	if err := p.c.remove(ctx, live, ns); err != nil && fairway.KindOf(err) != fairway.KindConflict {
		return err
	}
	for {
		now, err := p.c.get(ctx, refOf(live), ns)
		if err != nil || now == nil || now.GetUID() != live.GetUID() {
			return err
		}
		if now.GetDeletionTimestamp() == nil {
			if err := p.c.remove(ctx, now, ns); err != nil && fairway.KindOf(err) != fairway.KindConflict {
				return err
			}
		}
		if err := p.watchOne(ctx, refOf(live), ns, now.GetResourceVersion()); err != nil {
			return err
		}
	}
}

// awaitHook waits until the hook has succeeded; its failure is KindRefused and
// tells what it wrote last.
func (p *Platform) awaitHook(ctx context.Context, h hook, ns string) error {
	for {
		live, err := p.c.get(ctx, refOf(h.object), ns)
		if err != nil {
			return err
		}
		if live == nil {
			return fairway.Errorf(fairway.KindRefused, "%s was deleted while it ran", h)
		}
		done, failed := jobFinding(live)
		if done {
			return nil
		}
		if failed != "" {
			return fairway.Errorf(fairway.KindRefused, "%s has failed: %s%s", h, failed, p.hookEvidence(ctx, live, ns))
		}
		if f := p.hookFinding(ctx, live, ns); f.terminal && !f.crashes {
			return fairway.Errorf(fairway.KindRefused, "%s cannot run: %s", h, f.reason)
		}
		err = p.watchOne(ctx, refOf(h.object), ns, live.GetResourceVersion())
		if ctx.Err() != nil {
			return fairway.Errorf(fairway.KindUnavailable, "%s has not ended: %w", h, context.Cause(ctx))
		}
		if err != nil {
			return err
		}
	}
}

// watchLimit is after what time an object is read again, whatever its watch says.
const watchLimit = 20 * time.Second

// watchOne waits for a change of the object after the given version, and no
// longer than watchLimit.
func (p *Platform) watchOne(ctx context.Context, r ref, ns, version string) error {
	client, _, err := p.c.resource(ctx, r, ns)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, watchLimit)
	defer cancel()
	w, err := client.Watch(ctx, metav1.ListOptions{FieldSelector: fields.OneTermEqualSelector("metadata.name", r.Name).String(), ResourceVersion: version})
	if err != nil {
		if ctx.Err() != nil || !passes(err) {
			return nil //nolint:nilerr // whoever waits reads the object again, and finds out
		}
		// An API server that is away is asked again after a moment.
		select {
		case <-ctx.Done():
		case <-time.After(time.Second):
		}
		return nil
	}
	defer w.Stop()
	<-w.ResultChan() // closed when ctx ends
	return nil
}

// hookPod returns the newest pod of a hook; nil where there is none, or it
// cannot be read.
func (p *Platform) hookPod(ctx context.Context, o *object, ns string) *corev1.Pod {
	query := metav1.ListOptions{LabelSelector: "job-name=" + o.GetName()}
	if o.GetKind() == "Pod" {
		query = metav1.ListOptions{FieldSelector: fields.OneTermEqualSelector("metadata.name", o.GetName()).String()}
	}
	var list corev1.PodList
	err := once(ctx, func(ctx context.Context) error {
		return p.c.core.Get().Namespace(ns).Resource("pods").VersionedParams(&query, scheme.ParameterCodec).Do(ctx).Into(&list)
	})
	if err != nil || len(list.Items) == 0 {
		return nil
	}
	last := &list.Items[0]
	for i := range list.Items {
		if list.Items[i].CreationTimestamp.After(last.CreationTimestamp.Time) {
			last = &list.Items[i]
		}
	}
	return last
}

// hookFinding says why a hook that has not ended does not run.
func (p *Platform) hookFinding(ctx context.Context, o *object, ns string) finding {
	pod := p.hookPod(ctx, o, ns)
	if pod == nil {
		return finding{}
	}
	return judgePod(pod, p.now(), p.o.Missing)
}

// hookEvidence says why a hook's pod failed, and what it wrote last.
func (p *Platform) hookEvidence(ctx context.Context, o *object, ns string) string {
	last := p.hookPod(ctx, o, ns)
	if last == nil {
		notes := p.events(ctx, ns, o.GetName())
		if len(notes) == 0 {
			return ""
		}
		return "; the cluster says: " + strings.Join(notes[max(0, len(notes)-3):], "; ")
	}
	out := ""
	if f := judgePod(last, p.now(), p.o.Missing); f.container != "" {
		out = "; " + f.reason
	}
	for _, c := range last.Spec.Containers {
		if lines := p.logTail(ctx, ns, last.Name, c.Name, false); lines != "" {
			return out + "; the last lines of its log:\n  | " + strings.ReplaceAll(lines, "\n", "\n  | ")
		}
	}
	return out
}

// passHooks removes the hooks that the chart wants gone after success. What
// cannot be removed now goes with the next delivery.
func (p *Platform) passHooks(ctx context.Context, r *rendering) {
	for _, h := range r.hooks {
		if !h.passing() {
			continue
		}
		if err := p.removeOurs(ctx, r.w, refOf(h.object)); err != nil {
			p.log.Warn("a hook that has succeeded could not be removed", "hook", h.String(), "error", err)
		}
	}
}

// awaitDefinition waits until the cluster serves what a definition defines.
func (p *Platform) awaitDefinition(ctx context.Context, o *object) error {
	defer p.c.forgetServed()
	for {
		live, err := p.c.get(ctx, refOf(o), "")
		if err != nil || live == nil {
			return err
		}
		conditions, _, _ := unstructured.NestedSlice(live.Object, "status", "conditions")
		for _, c := range conditions {
			if cond, ok := c.(map[string]any); ok && cond["type"] == "Established" && cond["status"] == "True" {
				return nil
			}
		}
		if err := p.watchOne(ctx, refOf(o), "", live.GetResourceVersion()); err != nil {
			return err
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
	}
}
