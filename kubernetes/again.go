package kubernetes

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"k8s.io/client-go/tools/cache"

	"github.com/fairwaycd/fairway"
)

// A workload that somebody else deletes is made again as it was last seen: a
// version that the state says runs has to run. What Fairway itself deletes says
// so before.

// deleted is told what the watch has seen deleted.
func (p *Platform) deleted(o any) {
	defer p.touched(o)
	if t, ok := o.(cache.DeletedFinalStateUnknown); ok {
		o = t.Obj
	}
	w, ok := workloadOf(o)
	if !ok {
		return
	}
	place, ok := placeOf(w)
	if !ok {
		return
	}
	base, err := p.running()
	if w.GetAnnotations()[annotationStopping] != "" || err != nil {
		return
	}
	again, err := blank(o, w.kind)
	if err != nil {
		p.log.Error("a workload was deleted and cannot be made again", "service", place.String(), "error", err)
		return
	}
	p.log.Warn("a workload was deleted by somebody else and is made again", "service", place.String(), "instance", w.GetAnnotations()[annotationInstance])
	was := p.view(w)
	p.wg.Go(func() {
		if reason := p.again(base, place, again); reason != "" {
			p.o.Vanished(base, was, reason)
		}
	})
}

// blank is the object as it can be made anew.
func blank(o any, kind string) (*object, error) {
	b, err := json.Marshal(o)
	if err != nil {
		return nil, err
	}
	out := &object{}
	if err := json.Unmarshal(b, &out.Object); err != nil {
		return nil, err
	}
	out.SetAPIVersion("apps/v1")
	out.SetKind(kind)
	delete(out.Object, "status")
	labels, annotations := out.GetLabels(), out.GetAnnotations()
	delete(annotations, "deployment.kubernetes.io/revision")
	out.Object["metadata"] = map[string]any{"name": out.GetName()}
	merge(out, labels, "metadata", "labels")
	merge(out, annotations, "metadata", "annotations")
	return out, nil
}

// remakes is how often a workload that was deleted is tried to be made again.
const remakes = 8

// again makes the workload anew, and says for people what became of it; nothing
// when Fairway is being stopped.
func (p *Platform) again(ctx context.Context, place fairway.Place, o *object) string {
	gone := fmt.Sprintf("somebody deleted %s %s in namespace %s", o.GetKind(), o.GetName(), place.Namespace)
	unlock := p.lock(place)
	defer unlock()
	wait := time.Second
	for range remakes {
		if _, ok := p.at(place); ok {
			return gone + "; it is there again, made by somebody else"
		}
		ns, err := p.c.get(ctx, ref{"v1", "Namespace", string(place.Namespace)}, "")
		if err == nil && (ns == nil || ns.GetDeletionTimestamp() != nil) {
			p.log.Error("a workload was deleted with its namespace; the next delivery makes both again", "service", place.String())
			return gone + " with its namespace; the next delivery makes both again, and until then nothing of it runs"
		}
		if err == nil {
			_, err = p.c.apply(ctx, o, string(place.Namespace), manager, true)
		}
		if err == nil {
			return gone + "; Fairway made it again, with the version that ran"
		}
		if ctx.Err() != nil {
			return ""
		}
		p.log.Warn("a workload that was deleted could not be made again", "service", place.String(), "error", err, "in", wait)
		select {
		case <-ctx.Done():
			return ""
		case <-time.After(wait):
		}
		wait *= 2
	}
	p.log.Error("a workload that was deleted is not there; the next start of Fairway makes it again", "service", place.String())
	return gone + ", and the cluster did not let Fairway make it again; the next start of Fairway tries once more"
}
