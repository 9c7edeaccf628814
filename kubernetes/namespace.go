package kubernetes

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/fairwaycd/fairway"
)

// The labels by which a namespace asks for, or declines, the mesh.
var meshLabels = []string{"istio-injection", "istio.io/rev", "istio.io/dataplane-mode"}

// namespace makes the place's namespace if there is none, and uses one that
// exists as it is. The note says that its pods get no sidecar.
func (p *Platform) namespace(ctx context.Context, w fairway.Workload) (note string, err error) {
	r := ref{"v1", "Namespace", string(w.Place.Namespace)}
	live, err := p.c.get(ctx, r, "")
	if err != nil {
		return "", err
	}
	if live != nil && live.GetDeletionTimestamp() != nil {
		return "", fairway.Retryable(fairway.Errorf(fairway.KindUnavailable, "namespace %s is being deleted; Fairway makes it again when that is done", w.Place.Namespace))
	}
	want := &object{Object: map[string]any{"apiVersion": "v1", "kind": "Namespace", "metadata": map[string]any{"name": string(w.Place.Namespace)}}}
	switch {
	case live == nil:
		labels := map[string]string{LabelManagedBy: manager, LabelProject: string(w.Project), LabelStage: string(w.Stage)}
		if p.o.LabelNamespaces && !p.o.WithoutMesh {
			labels["istio-injection"] = "enabled"
		}
		merge(want, labels, "metadata", "labels")
		if live, err = p.c.apply(ctx, want, "", manager, false); err != nil {
			return "", err
		}
		p.log.Info("made a namespace", "namespace", w.Place.Namespace)
	case p.o.LabelNamespaces && !p.o.WithoutMesh && !inMesh(live.GetLabels()):
		patch := map[string]any{"metadata": map[string]any{"labels": map[string]any{"istio-injection": "enabled"}}}
		if err := p.c.patch(ctx, r, "", patch); err != nil {
			return "", err
		}
		p.log.Info("labelled a namespace for sidecars", "namespace", w.Place.Namespace)
		return p.noteNamespace(w.Place.Namespace, ""), nil
	}
	if p.o.WithoutMesh || inMesh(live.GetLabels()) {
		return p.noteNamespace(w.Place.Namespace, ""), nil
	}
	return p.noteNamespace(w.Place.Namespace, fmt.Sprintf("namespace %s has no label istio-injection: its pods get no sidecar, and callers inside the mesh do not obey the weights; set it with kubectl label namespace %s istio-injection=enabled, or start Fairway with --label-namespaces",
		w.Place.Namespace, w.Place.Namespace)), nil
}

// inMesh reports whether somebody has decided about the mesh, either way.
func inMesh(labels map[string]string) bool {
	return slices.ContainsFunc(meshLabels, func(l string) bool { return labels[l] != "" })
}

// noteNamespace remembers the note, and logs it once.
func (p *Platform) noteNamespace(ns fairway.Namespace, note string) string {
	p.mu.Lock()
	before := p.namespaces[ns]
	p.namespaces[ns] = note
	p.mu.Unlock()
	if note != "" && note != before {
		p.log.Warn(note)
	}
	return note
}

// Notes says what of the namespaces used since the start is not as a mesh
// needs it, a sentence each.
func (p *Platform) Notes() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	out := slices.Collect(maps.Values(p.namespaces))
	out = slices.DeleteFunc(out, func(n string) bool { return n == "" })
	slices.Sort(out)
	return out
}

// PutPullSecret stores credentials for pulling images, as ~/.docker/config.json
// has them, as a Secret of the namespace that pods can name in
// imagePullSecrets. A Secret of this name that somebody else made is
// KindRefused.
func (p *Platform) PutPullSecret(ctx context.Context, project fairway.ProjectName, ns fairway.Namespace, name string, dockerConfig []byte) error {
	if _, err := p.running(); err != nil {
		return err
	}
	o := &object{Object: map[string]any{"apiVersion": "v1", "kind": "Secret", "type": "kubernetes.io/dockerconfigjson",
		"metadata": map[string]any{"name": name}, "stringData": map[string]any{".dockerconfigjson": string(dockerConfig)}}}
	live, err := p.c.get(ctx, refOf(o), string(ns))
	if err != nil {
		return err
	}
	if live != nil && live.GetLabels()[LabelManagedBy] != manager && !p.o.ForceConflicts {
		return fairway.Errorf(fairway.KindRefused, "Secret %s in namespace %s exists already, and Fairway did not make it; delete it, or name the one for the registry otherwise", name, ns)
	}
	merge(o, map[string]string{LabelManagedBy: manager, LabelProject: string(project)}, "metadata", "labels")
	_, err = p.c.apply(ctx, o, string(ns), manager, true)
	return err
}
