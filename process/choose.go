package process

import (
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/fairwaycd/fairway"
)

// Check reports whether the workload's manifests can be run here, as
// [Platform.Apply] would, and starts nothing. What is wrong with its image is
// not looked at. An error is of KindInvalid.
func Check(w fairway.Workload) error {
	_, err := decode(w, "localhost")
	return err
}

// choose takes the object whose pods a Kubernetes Service asks, and the port at
// which it does; of several the one that runs the artifact. Without such a
// Service it takes the object that is named like the place, or the only one,
// and no port. It refuses what leaves a choice, since only one process stands
// for a version here.
func (o *objects) choose(w fairway.Workload) (runnable, *intstr.IntOrString, error) {
	name := w.Place.Workload()
	if len(o.runnable) == 0 {
		return runnable{}, nil, fairway.Invalid("manifests", "", "contain neither a Deployment nor a StatefulSet", "add a Deployment named "+name+" to the chart's templates")
	}
	asked := slices.DeleteFunc(slices.Clone(o.runnable), func(r runnable) bool { return o.askedAt(r) == nil })
	candidates := asked
	if len(asked) == 0 {
		candidates = o.runnable
	}
	for _, narrower := range []func(runnable) bool{
		func(r runnable) bool { return runsImage(r, w.Artifact) },
		func(r runnable) bool { return r.name == name },
	} {
		if some := slices.DeleteFunc(slices.Clone(candidates), func(r runnable) bool { return !narrower(r) }); len(some) > 0 {
			candidates = some
		}
	}
	if len(candidates) == 1 {
		return candidates[0], o.askedAt(candidates[0]), nil
	}
	var names []string
	for _, r := range candidates {
		names = append(names, r.kind+" "+r.name)
	}
	return runnable{}, nil, fairway.Invalid("manifests", "", "have more than one workload that could be the service here: "+strings.Join(names, ", ")+"; one process stands for a version on the local platform",
		"let only one of them run the service's image behind a Kubernetes Service, or name it "+name)
}

// askedAt returns the port of the pods that a Kubernetes Service leads to, or
// nil when none does.
func (o *objects) askedAt(r runnable) *intstr.IntOrString {
	for _, s := range o.services {
		if len(s.Spec.Selector) == 0 || len(s.Spec.Ports) == 0 || !selects(s.Spec.Selector, r.template.Labels) {
			continue
		}
		// Of several ports the one called http, or the first, is the service's.
		p := s.Spec.Ports[max(0, slices.IndexFunc(s.Spec.Ports, func(p corev1.ServicePort) bool { return p.Name == "http" }))]
		if p.TargetPort == (intstr.IntOrString{}) {
			return new(intstr.FromInt32(p.Port))
		}
		return new(p.TargetPort)
	}
	return nil
}

func selects(selector, labels map[string]string) bool {
	for k, v := range selector {
		if have, ok := labels[k]; !ok || have != v {
			return false
		}
	}
	return true
}

func runsImage(r runnable, a fairway.Artifact) bool {
	return slices.ContainsFunc(r.template.Spec.Containers, func(c corev1.Container) bool { return a.IsRef(c.Image) })
}

// container returns which one is run: the one that has the port, else the one
// that runs the artifact, else the first.
func container(all []corev1.Container, port *intstr.IntOrString, a fairway.Artifact) int {
	at := slices.IndexFunc(all, func(c corev1.Container) bool {
		return slices.ContainsFunc(c.Ports, func(p corev1.ContainerPort) bool { return leadsTo(port, p) })
	})
	if at < 0 {
		at = slices.IndexFunc(all, func(c corev1.Container) bool { return a.IsRef(c.Image) })
	}
	return max(at, 0)
}

func leadsTo(port *intstr.IntOrString, p corev1.ContainerPort) bool {
	switch {
	case port == nil:
		return false
	case port.Type == intstr.String:
		return p.Name == port.StrVal
	}
	return p.ContainerPort == port.IntVal
}
