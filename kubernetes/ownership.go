package kubernetes

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/fairwaycd/fairway"
)

// foreignManager names the tool that manages the object, if it is one that
// would put back what Fairway changes.
func foreignManager(o *object) string {
	l, a := o.GetLabels(), o.GetAnnotations()
	if l[LabelManagedBy] == manager && l[LabelService] != "" && l["argocd.argoproj.io/instance"] == "" && a["argocd.argoproj.io/tracking-id"] == "" {
		return ""
	}
	switch {
	case a["meta.helm.sh/release-name"] != "":
		return fmt.Sprintf("Helm (release %s in namespace %s)", a["meta.helm.sh/release-name"], a["meta.helm.sh/release-namespace"])
	case a["argocd.argoproj.io/tracking-id"] != "":
		app, _, _ := strings.Cut(a["argocd.argoproj.io/tracking-id"], ":")
		return "Argo CD (application " + app + ")"
	case l["argocd.argoproj.io/instance"] != "":
		return "Argo CD (application " + l["argocd.argoproj.io/instance"] + ")"
	case l["helm.toolkit.fluxcd.io/name"] != "":
		return "Flux (Helm release " + l["helm.toolkit.fluxcd.io/name"] + ")"
	case l["kustomize.toolkit.fluxcd.io/name"] != "":
		return "Flux (kustomization " + l["kustomize.toolkit.fluxcd.io/name"] + ")"
	case l[LabelManagedBy] == "Helm":
		return "Helm"
	}
	for _, f := range o.GetManagedFields() {
		if strings.HasPrefix(f.Manager, "argocd-") {
			return "Argo CD"
		}
	}
	return ""
}

// claim is who applies.
type claim struct {
	installation string
	force        bool
}

func (p *Platform) mayTake(live *object, w fairway.Workload) error {
	return mayTake(live, w, claim{p.o.Installation, p.o.ForceConflicts})
}

// mayTake reports an error unless the workload's service may apply onto the
// object that stands there; nil stands for none. An object without a namespace
// belongs to a service in all its stages.
func mayTake(live *object, w fairway.Workload, by claim) error {
	if live == nil {
		return nil
	}
	name := fmt.Sprintf("%s in namespace %s", refOf(live), cmp.Or(live.GetNamespace(), "(none)"))
	if m := foreignManager(live); m != "" {
		return fairway.Errorf(fairway.KindRefused, "%s is managed by %s, which would undo what Fairway does; take it out of there first, deliver to another namespace, or name the service otherwise", name, m)
	}
	l := live.GetLabels()
	if l[LabelManagedBy] == manager && l[LabelService] != "" {
		if i := l[LabelInstallation]; i != "" && i != by.installation && !by.force {
			return fairway.Errorf(fairway.KindRefused, "%s was made by another Fairway, installation %s; deliver to another namespace, stop that one, or start Fairway with --force-conflicts to take it over", name, i)
		}
		if l[LabelService] == string(w.Place.Service) && l[LabelProject] == string(w.Project) && (l[LabelStage] == string(w.Stage) || live.GetNamespace() == "") {
			return nil
		}
		return fairway.Errorf(fairway.KindRefused, "%s belongs to service %s of project %s in stage %s; give the object another name in the chart of %s",
			name, l[LabelService], l[LabelProject], l[LabelStage], w.Place.Service)
	}
	if by.force {
		return nil
	}
	return fairway.Errorf(fairway.KindRefused, "%s exists already, and Fairway did not make it%s; delete it, name the one of the chart otherwise, or start Fairway with --force-conflicts to take it over",
		name, listed(" (it was written by ", managersOf(live), ")"))
}

// managersOf names who has written fields of the object.
func managersOf(o *object) []string {
	names := map[string]bool{}
	for _, f := range o.GetManagedFields() {
		if f.Subresource == "" {
			names[f.Manager] = true
		}
	}
	return slices.Sorted(maps.Keys(names))
}

func listed(before string, names []string, after string) string {
	if len(names) == 0 {
		return ""
	}
	return before + strings.Join(names, ", ") + after
}

// ourManagers write in Fairway's name, or as a part of the cluster that has
// no will of its own.
func isOurs(name string) bool {
	return name == manager || strings.HasPrefix(name, manager+"-")
}

// verdict says what to do about fields that others have set otherwise.
type verdict struct {
	force    bool // all of them are ours
	replicas bool // leave the number of replicas as it is
	refusal  string
}

// judgeConflicts decides about the conflicts of an apply. The number of
// replicas that a person or an autoscaler has set stays; what Fairway itself
// wrote in another way is overwritten.
func judgeConflicts(conflicts []fieldConflict, force bool) verdict {
	v := verdict{force: true}
	var foreign []string
	for _, c := range conflicts {
		switch {
		case isOurs(c.manager):
		case c.field == ".spec.replicas":
			v.replicas = true
		case !force:
			foreign = append(foreign, fmt.Sprintf("%s, which %s has set", c.field, c.manager))
		}
	}
	if len(foreign) > 0 {
		v.refusal = strings.Join(foreign, "; ")
	}
	return v
}
