package kubernetes

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/client-go/kubernetes/scheme"

	"github.com/fairwaycd/fairway"
)

func (p *Platform) now() time.Time { return time.Now() }

// AwaitReady implements [fairway.Platform]. An unknown instance is
// KindNotFound. A context without a deadline is answered after
// [Options.Patience] with what keeps the instance, to be asked again: so the
// reason is known to whoever gives up.
func (p *Platform) AwaitReady(ctx context.Context, id string) (fairway.Instance, error) {
	if err := p.ready(); err != nil {
		return fairway.Instance{}, err
	}
	if err := p.exists(ctx, id); err != nil {
		return fairway.Instance{}, err
	}
	patience := p.patience(ctx)
	defer patience.Stop()
	// Time alone makes some reasons final.
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		changed := p.change()
		w, runs := p.instance(id)
		if !runs {
			return fairway.Instance{}, p.lost(ctx, id)
		}
		view := p.view(w)
		f := p.judgeAll(w, view)
		if f.reason == "" && view.Ready {
			return view, nil
		}
		if f.reason == "" {
			f.reason = "its controller has not called the rollout complete yet"
		}
		name := view.Place.String() + " (" + view.Artifact.String() + ")"
		if f.terminal {
			return view, fairway.Errorf(fairway.KindRefused, "%s cannot become ready: %s%s", name, f.reason, p.evidence(ctx, w, f))
		}
		select {
		case <-changed:
		case <-tick.C:
		case <-patience.C:
			return view, fairway.Retryable(fairway.Errorf(fairway.KindUnavailable, "%s is not ready: %s%s", name, f.reason, p.evidence(ctx, w, f)))
		case <-ctx.Done():
			late, cancel := context.WithTimeout(context.WithoutCancel(ctx), evidenceLimit)
			defer cancel()
			return view, fairway.Errorf(fairway.KindUnavailable, "%s is not ready: %s%s: %w", name, f.reason, p.evidence(late, w, f), ctx.Err())
		}
	}
}

// evidenceLimit bounds the search for reasons after a context has ended.
const evidenceLimit = 3 * time.Second

// patience fires when a context that has no deadline is to be answered.
func (p *Platform) patience(ctx context.Context) *time.Timer {
	if _, ok := ctx.Deadline(); ok {
		t := time.NewTimer(time.Hour)
		t.Stop()
		return t
	}
	return time.NewTimer(p.o.Patience)
}

// exists waits until the watch shows an instance that the cluster has: it may
// have been applied a moment ago.
func (p *Platform) exists(ctx context.Context, id string) error {
	limit, cancel := context.WithTimeout(ctx, requestLimit)
	defer cancel()
	asked := false
	for {
		changed := p.change()
		if _, ok := p.instance(id); ok {
			return nil
		}
		if !asked {
			if there, err := p.inCluster(limit, id); err != nil {
				return err
			} else if !there {
				return fairway.Errorf(fairway.KindNotFound, "there is no instance %s in the cluster; it was never applied, was stopped, or another has taken its place", id)
			}
			asked = true
		}
		select {
		case <-changed:
		case <-limit.Done():
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			return fairway.Retryable(fairway.Errorf(fairway.KindUnavailable, "the cluster's watch does not show instance %s, which is there", id))
		}
	}
}

func (p *Platform) inCluster(ctx context.Context, id string) (bool, error) {
	for _, kind := range []string{"Deployment", "StatefulSet"} {
		client, _, err := p.c.resource(ctx, ref{"apps/v1", kind, ""}, "")
		if err != nil {
			return false, err
		}
		found := false
		err = call(ctx, "look for instance "+id, func(ctx context.Context) error {
			list, err := client.List(ctx, metav1.ListOptions{LabelSelector: LabelInstance + "=" + labelValue(id) + "," + LabelInstallation + "=" + p.o.Installation})
			found = err == nil && slices.ContainsFunc(list.Items, func(o object) bool { return o.GetAnnotations()[annotationInstance] == id })
			return err
		})
		if found || err != nil {
			return found, err
		}
	}
	return false, nil
}

// lost explains that an instance vanished while it was waited for.
func (p *Platform) lost(ctx context.Context, id string) error {
	if there, err := p.inCluster(ctx, id); err != nil || there {
		return fairway.Retryable(fairway.Errorf(fairway.KindUnavailable, "the workload of instance %s has vanished and is made again", id))
	}
	return fairway.Errorf(fairway.KindNotFound, "instance %s is no longer in the cluster: it was stopped, another has taken its place, or somebody has deleted its workload", id)
}

// judgeAll judges the version, and then what else the chart runs.
func (p *Platform) judgeAll(w workload, view fairway.Instance) finding {
	f := w.judge(p.podsOf(w, view.Place.Service), p.now(), p.o.Missing)
	if f.reason != "" {
		return f
	}
	for _, r := range w.record().Objects {
		part, ok := p.part(w.GetNamespace(), r)
		if !ok {
			continue
		}
		if f := part.judge(p.podsOf(part, view.Place.Service), p.now(), p.o.Missing); f.reason != "" {
			f.reason = r.String() + " of its chart: " + f.reason
			return f
		}
	}
	return finding{}
}

// part returns a workload of a chart beside the version.
func (p *Platform) part(ns string, r ref) (workload, bool) {
	store := p.deployments.GetStore()
	switch r.Kind {
	case "Deployment":
	case "StatefulSet":
		store = p.statefulSets.GetStore()
	default:
		return workload{}, false
	}
	o, ok, err := store.GetByKey(ns + "/" + r.Name)
	if err != nil || !ok {
		return workload{}, false
	}
	return workloadOf(o)
}

// evidence adds what the container wrote last, or what the cluster's events
// say. It is a search: what cannot be read is left out.
func (p *Platform) evidence(ctx context.Context, w workload, f finding) string {
	if f.container != "" && f.pod != "" {
		if lines := p.logTail(ctx, w.GetNamespace(), f.pod, f.container, f.previous); lines != "" {
			return "; the last lines of its log:\n  | " + strings.ReplaceAll(lines, "\n", "\n  | ")
		}
	}
	subject := f.pod
	if subject == "" {
		subject = w.GetName()
	}
	notes := p.events(ctx, w.GetNamespace(), subject)
	if place, ok := placeOf(w); ok {
		for _, pod := range p.podsOf(w, place.Service) {
			if pod.Name != f.pod {
				continue
			}
			for _, v := range pod.Spec.Volumes {
				notes = append(notes, p.events(ctx, w.GetNamespace(), v.PersistentVolumeClaim.ClaimName)...)
			}
		}
	}
	notes = slices.DeleteFunc(slices.Compact(notes), func(n string) bool { return strings.Contains(f.reason, n) })
	if len(notes) == 0 {
		return ""
	}
	return "; the cluster says: " + strings.Join(notes[max(0, len(notes)-3):], "; ")
}

// events returns the warnings about an object, oldest first.
func (p *Platform) events(ctx context.Context, ns, name string) []string {
	var list corev1.EventList
	err := once(ctx, func(ctx context.Context) error {
		return p.c.core.Get().Namespace(ns).Resource("events").VersionedParams(&metav1.ListOptions{
			FieldSelector: fields.Set{"involvedObject.name": name, "type": corev1.EventTypeWarning}.String(), Limit: 100,
		}, scheme.ParameterCodec).Do(ctx).Into(&list)
	})
	if err != nil {
		p.log.Debug("events cannot be read", "namespace", ns, "object", name, "error", err)
		return nil
	}
	slices.SortStableFunc(list.Items, func(a, b corev1.Event) int { return lastTime(a).Compare(lastTime(b)) })
	var out []string
	for _, e := range list.Items {
		out = append(out, fmt.Sprintf("%s: %s", e.Reason, strings.TrimSpace(e.Message)))
	}
	return out
}

func lastTime(e corev1.Event) time.Time {
	if !e.LastTimestamp.IsZero() {
		return e.LastTimestamp.Time
	}
	if e.Series != nil {
		return e.Series.LastObservedTime.Time
	}
	return e.EventTime.Time
}
