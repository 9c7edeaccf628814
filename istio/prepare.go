package istio

import (
	"context"
	"errors"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/fairwaycd/fairway"
)

// attempts is how often a change is made again when others change the object
// at the same time.
const attempts = 5

// Prepare writes the objects that lead traffic to the workload's service: those
// of w.Shared that do so (Kubernetes Services and what belongs to Istio's
// networking), a Kubernetes Service and a VirtualService for each colour. What
// else w.Shared holds is left to the platform. The weights in force stay,
// whatever the rendered VirtualService says. The namespace has to be there.
//
// It fails with [fairway.KindInvalid] when the VirtualService is missing or
// does not fit the place, and with [fairway.KindConflict] when an object is
// somebody else's.
func (t *Traffic) Prepare(ctx context.Context, w fairway.Workload) error {
	objects, err := t.sortOut(ctx, w)
	if err != nil {
		return err
	}
	k := key{w.Place.Namespace, w.Place.Service}
	unlock, err := t.lock(ctx, k)
	if err != nil {
		return err
	}
	defer unlock()
	for _, o := range objects.before {
		if err := t.cluster.apply(ctx, resourceOf(o), o, false); err != nil {
			return err
		}
	}
	if err := t.prepareSplit(ctx, k, objects.split); err != nil {
		return err
	}
	for _, o := range objects.after {
		if err := t.cluster.apply(ctx, resourceOf(o), o, false); err != nil {
			return err
		}
	}
	return nil
}

// prepareSplit writes the VirtualService with the weights that are there.
func (t *Traffic) prepareSplit(ctx context.Context, k key, git *unstructured.Unstructured) error {
	for range attempts {
		live, err := t.cluster.get(ctx, virtualServices, git.GetNamespace(), git.GetName())
		if err != nil {
			return err
		}
		s := split{git: git}
		if live != nil && live.GetAnnotations()[annotationGit] != "" {
			was, err := readSplit(live)
			if err != nil {
				return err
			}
			if s.seen, err = carried(was, git); err != nil {
				return err
			}
			s.written = s.seen
		}
		if err := t.write(ctx, s, live, false); !errors.Is(err, errMoved) {
			if err == nil {
				t.remember(k, git.GetName())
			}
			return err
		}
	}
	return fairway.Retryable(fairway.Errorf(fairway.KindUnavailable, "VirtualService %s in namespace %s is changed by others all the time", git.GetName(), git.GetNamespace()))
}

// carried returns the weights in force for the rules of now. What is written
// and was never seen to be followed is not in force.
func carried(was split, git *unstructured.Unstructured) (fairway.Weights, error) {
	_, single := was.seen[fairway.Single]
	switch {
	case was.seen == nil, single != splits(git):
		return was.seen, nil
	case single:
		return nil, fairway.Errorf(fairway.KindRefused, "a version of the direct stage has all traffic of %s in namespace %s, and the rules of VirtualService %s know blue and green alone; delete the service in that stage, or keep strategy direct",
			git.GetLabels()[labelService], git.GetNamespace(), git.GetName())
	}
	return fairway.Full(fairway.Single), nil
}

// write applies the split on the version of the object that was read; live is
// nil when there is none.
func (t *Traffic) write(ctx context.Context, s split, live *unstructured.Unstructured, take bool) error {
	o, err := s.object()
	if err != nil {
		return err
	}
	if live != nil {
		o.SetResourceVersion(live.GetResourceVersion())
	}
	return t.cluster.apply(ctx, virtualServices, o, take)
}

// prepared are the objects of a service, in the order in which they are
// applied: a VirtualService may name only what is there.
type prepared struct {
	before []*unstructured.Unstructured
	split  *unstructured.Unstructured
	after  []*unstructured.Unstructured
}

func (t *Traffic) sortOut(ctx context.Context, w fairway.Workload) (prepared, error) {
	shared, err := decode(w, w.Shared)
	if err != nil {
		return prepared{}, err
	}
	domain, err := t.Domain(ctx)
	if err != nil {
		return prepared{}, err
	}
	var p prepared
	var routes []*unstructured.Unstructured
	for _, o := range shared {
		switch {
		case o.GetKind() == "VirtualService" && isIstio(o):
			routes = append(routes, o)
		case o.GetKind() == "Gateway" && isIstio(o):
			openGateway(o, domain)
			p.before = append(p.before, o)
		case isIstio(o), isService(o):
			p.before = append(p.before, o)
		}
	}
	if p.split, err = theSplit(routes, w.Place); err != nil {
		return prepared{}, err
	}
	for _, o := range routes {
		if o != p.split {
			p.after = append(p.after, o)
		}
	}
	p.split.SetLabels(with(p.split.GetLabels(), labelPart, partWeights))
	if spec, ok := p.split.Object["spec"].(map[string]any); ok && domain != "" {
		addHost(spec, string(w.Place.Service)+"."+string(w.Place.Namespace)+"."+domain)
	}
	if w.Place.Colour == fairway.Single {
		return p, nil
	}
	return p.withColours(w, append(shared, t.ownServices(w)...))
}

// withColours adds what leads to one colour alone.
func (p prepared) withColours(w fairway.Workload, all []*unstructured.Unstructured) (prepared, error) {
	host := target(p.split)
	var service *unstructured.Unstructured
	for _, o := range all {
		if isService(o) && qualified(o.GetName(), o.GetNamespace()) == host {
			service = o
		}
	}
	if service == nil {
		return prepared{}, fairway.Errorf(fairway.KindInvalid, "VirtualService %s leads to %s, and no Kubernetes Service of that name is rendered; correct the host of its destinations", p.split.GetName(), host)
	}
	for _, c := range []fairway.Colour{fairway.Blue, fairway.Green} {
		place := fairway.Place{Namespace: w.Place.Namespace, Service: w.Place.Service, Colour: c}
		p.before = append(p.before, colourService(service, place, p.split.GetLabels()))
		if o := pinned(p.split, place); o != nil {
			o.SetLabels(with(o.GetLabels(), labelPart, partColour, labelColour, string(c)))
			p.after = append(p.after, o)
		}
	}
	return p, nil
}

// colourService is the Kubernetes Service of one colour: the same pods as the
// service's own, those of the colour alone.
func colourService(service *unstructured.Unstructured, place fairway.Place, labels map[string]string) *unstructured.Unstructured {
	sel, _, _ := unstructured.NestedStringMap(service.Object, "spec", "selector")
	ports := []any{}
	list, _, _ := unstructured.NestedSlice(service.Object, "spec", "ports")
	for _, p := range elements(list) {
		delete(p, "nodePort")
		ports = append(ports, p)
	}
	o := &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "v1", "kind": "Service",
		"metadata": map[string]any{"name": place.Workload(), "namespace": string(place.Namespace)},
		"spec": map[string]any{
			"ports":    ports,
			"selector": anyMap(with(sel, labelService, string(place.Service), labelColour, string(place.Colour))),
		},
	}}
	o.SetLabels(with(map[string]string{
		labelManaged: manager, labelProject: labels[labelProject], labelStage: labels[labelStage], labelService: labels[labelService],
	}, labelPart, partColour, labelColour, string(place.Colour)))
	return o
}

func anyMap(m map[string]string) map[string]any {
	out := map[string]any{}
	for k, v := range m {
		out[k] = v
	}
	return out
}

// with returns a copy of the map with the pairs set.
func with(m map[string]string, pairs ...string) map[string]string {
	out := map[string]string{}
	for k, v := range m {
		out[k] = v
	}
	for i := 0; i+1 < len(pairs); i += 2 {
		out[pairs[i]] = pairs[i+1]
	}
	return out
}

// ownServices are the Kubernetes Services of a chart of the service's own; the
// platform applies them.
func (t *Traffic) ownServices(w fairway.Workload) []*unstructured.Unstructured {
	all, err := decode(w, w.Manifests)
	if err != nil {
		return nil // the platform reports it
	}
	return all
}

// theSplit picks the VirtualService that holds the weights of the place.
func theSplit(all []*unstructured.Unstructured, place fairway.Place) (*unstructured.Unstructured, error) {
	for _, o := range all {
		if splits(o) == (place.Colour != fairway.Single) && target(o) != "" {
			return o, nil
		}
	}
	file := "istio-virtual-service-" + string(place.Service) + ".yaml"
	if place.Colour == fairway.Single {
		return nil, fairway.Errorf(fairway.KindInvalid, "%s renders to no VirtualService with a destination for service %s, so that no traffic can reach it; restore the file", file, place.Service)
	}
	return nil, fairway.Errorf(fairway.KindInvalid, "%s renders to no VirtualService with a rule for subsets blue and green of service %s; restore the two destinations, each with its weight", file, place.Service)
}

// openGateway lets the Gateway take the hosts of the namespace in the domain.
func openGateway(o *unstructured.Unstructured, domain string) {
	spec, _ := o.Object["spec"].(map[string]any)
	for _, s := range elements(spec["servers"]) {
		if tls, ok := s["tls"].(map[string]any); domain != "" && !(ok && tls["mode"] != nil) {
			addHost(s, "*."+o.GetNamespace()+"."+domain)
		}
	}
}
