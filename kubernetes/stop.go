package kubernetes

import (
	"context"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/fairwaycd/fairway"
)

// Stop implements [fairway.Platform]: it deletes the place's objects while
// they still carry the instance, and waits until its pods have ended. Claims
// stay, and so does what the other colour has, too. The workload, whose record
// says what belongs to it, goes last: a Stop that was interrupted finds it.
func (p *Platform) Stop(ctx context.Context, id string) error {
	if err := p.ready(); err != nil {
		return err
	}
	w, runs := p.instance(id)
	if !runs {
		if err := p.exists(ctx, id); fairway.KindOf(err) == fairway.KindNotFound {
			return nil
		} else if err != nil {
			return err
		}
		if w, runs = p.instance(id); !runs {
			return nil
		}
	}
	place, _ := placeOf(w)
	unlock := p.lock(place)
	defer unlock()
	stands, err := p.stopAll(ctx, place, w.ref(), id)
	if err != nil || !stands {
		return err
	}
	return p.awaitEnd(ctx, place, id)
}

// stopAll deletes what belongs to the instance; stands is false when another
// one had taken its place.
func (p *Platform) stopAll(ctx context.Context, place fairway.Place, r ref, id string) (stands bool, err error) {
	ns := string(place.Namespace)
	live, err := p.c.get(ctx, r, ns)
	if err != nil || live == nil || live.GetAnnotations()[annotationInstance] != id {
		return live == nil, err
	}
	p.keepLogsOf(place)
	p.o.Failpoint("platform.stop")
	l := live.GetLabels()
	w := fairway.Workload{Project: fairway.ProjectName(l[LabelProject]), Stage: fairway.StageName(l[LabelStage]), Place: place}
	objects := recordOf(live.GetAnnotations()).Objects
	for i := len(objects) - 1; i >= 0; i-- {
		if err := p.removeOurs(ctx, w, objects[i]); err != nil {
			return true, fmt.Errorf("stop %s: %w", place, err)
		}
	}
	return p.removeWorkload(ctx, r, ns, func(o *object) bool { return o.GetAnnotations()[annotationInstance] == id })
}

// removeWorkload deletes a workload of ours while it still is what was meant,
// after it was told so: else whoever watches would make it again.
func (p *Platform) removeWorkload(ctx context.Context, r ref, ns string, meant func(*object) bool) (stands bool, err error) {
	for {
		live, err := p.c.get(ctx, r, ns)
		if err != nil || live == nil || !meant(live) {
			return live == nil, err
		}
		if live.GetAnnotations()[annotationStopping] == "" {
			note := map[string]any{"metadata": map[string]any{"annotations": map[string]any{annotationStopping: p.now().UTC().Format(time.RFC3339)}}}
			if err := p.c.patch(ctx, r, ns, note); err != nil && fairway.KindOf(err) != fairway.KindNotFound {
				return true, err
			}
			continue
		}
		if err = p.c.remove(ctx, live, ns); fairway.KindOf(err) != fairway.KindConflict {
			return true, err
		}
	}
}

// awaitEnd waits until the instance's workload and pods are gone.
func (p *Platform) awaitEnd(ctx context.Context, place fairway.Place, id string) error {
	for {
		changed := p.change()
		_, runs := p.instance(id)
		pods := p.podsOfInstance(place, id)
		if !runs && len(pods) == 0 {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return fmt.Errorf("%d pods of %s are still ending: %w", len(pods), place, context.Cause(ctx))
		}
	}
}

func (p *Platform) podsOfInstance(place fairway.Place, id string) []*corev1.Pod {
	found, err := p.pods.GetIndexer().ByIndex(byService, string(place.Namespace)+"/"+string(place.Service))
	if err != nil {
		return nil
	}
	var out []*corev1.Pod
	for _, o := range found {
		if pod, ok := o.(*corev1.Pod); ok && pod.Labels[LabelInstance] == labelValue(id) && pod.Labels[LabelService] != "" {
			out = append(out, pod)
		}
	}
	return out
}
