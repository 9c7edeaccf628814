package kubernetes

import (
	"context"

	"github.com/fairwaycd/fairway"
)

const annotationRun = LabelRun

// SetRun labels the instance's pods with the test under way, those that come
// later, too, and restarts none. The label is made valid, the annotation of
// the same name has the full id. An empty run takes both away. After a restart
// of Fairway a test is begun again and says so again.
func (p *Platform) SetRun(ctx context.Context, place fairway.Place, instance, run string) error {
	if err := p.ready(); err != nil {
		return err
	}
	p.mu.Lock()
	if run == "" {
		delete(p.runs, instance)
	} else {
		p.runs[instance] = run
	}
	p.mu.Unlock()
	for _, pod := range p.podsOfInstance(place, instance) {
		if pod.Annotations[annotationRun] == run {
			continue
		}
		if err := p.setRun(ctx, string(place.Namespace), pod.Name, run); err != nil && fairway.KindOf(err) != fairway.KindNotFound {
			return err
		}
	}
	return nil
}

func (p *Platform) setRun(ctx context.Context, ns, pod, run string) error {
	var label, annotation any // null removes
	if run != "" {
		label, annotation = labelValue(run), run
	}
	return p.c.patch(ctx, ref{"v1", "Pod", pod}, ns, map[string]any{"metadata": map[string]any{
		"labels": map[string]any{LabelRun: label}, "annotations": map[string]any{annotationRun: annotation}}})
}

// labelPods labels pods that came after SetRun.
func (p *Platform) labelPods(ctx context.Context, place fairway.Place, instance string) {
	p.mu.Lock()
	run, ok := p.runs[instance]
	p.mu.Unlock()
	if !ok {
		return
	}
	for _, pod := range p.podsOfInstance(place, instance) {
		if pod.Annotations[annotationRun] == run || pod.DeletionTimestamp != nil {
			continue
		}
		if err := p.setRun(ctx, string(place.Namespace), pod.Name, run); err != nil && ctx.Err() == nil && fairway.KindOf(err) != fairway.KindNotFound {
			p.log.Warn("a pod could not be labelled with the test under way; its metrics do not count", "pod", pod.Name, "namespace", place.Namespace, "error", err)
		}
	}
}
