package istio

import (
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/yaml"

	"github.com/fairwaycd/fairway"
)

// decode reads rendered documents and makes them the project's.
func decode(w fairway.Workload, docs [][]byte) ([]*unstructured.Unstructured, error) {
	var all []*unstructured.Unstructured
	for _, doc := range docs {
		text, err := yaml.YAMLToJSON(doc)
		if err != nil {
			return nil, fairway.Errorf(fairway.KindInvalid, "what is rendered for %s is no YAML: %w", w.Place, err)
		}
		o := &unstructured.Unstructured{}
		if err := o.UnmarshalJSON(text); err != nil {
			return nil, fairway.Errorf(fairway.KindInvalid, "what is rendered for %s is no Kubernetes object: %w", w.Place, err)
		}
		if o.GetName() == "" {
			return nil, fairway.Errorf(fairway.KindInvalid, "a %s that is rendered for %s has no metadata.name; name it", o.GetKind(), w.Place)
		}
		if ns := o.GetNamespace(); ns != "" && ns != string(w.Place.Namespace) {
			return nil, fairway.Invalid(o.GetKind()+" "+o.GetName()+" metadata.namespace", ns, "is not the stage's namespace "+string(w.Place.Namespace), "leave the namespace out, or write {{ .Release.Namespace }}")
		}
		o.SetNamespace(string(w.Place.Namespace))
		if isIstio(o) {
			r, ok := istioKinds[o.GetKind()]
			if !ok {
				return nil, fairway.Errorf(fairway.KindInvalid, "%s %s: Fairway does not know that kind of %s; apply it by other means", o.GetKind(), o.GetName(), istioGroup)
			}
			o.SetAPIVersion(r.GroupVersion().String()) // all versions have the same fields
		}
		labels := with(o.GetLabels(), labelManaged, manager, labelProject, string(w.Project), labelStage, string(w.Stage), labelPart, partShared)
		if o.GetKind() != "Gateway" { // all services of the stage share it
			labels[labelService] = string(w.Place.Service)
		}
		o.SetLabels(labels)
		all = append(all, o)
	}
	return all, nil
}

func isIstio(o *unstructured.Unstructured) bool {
	return strings.HasPrefix(o.GetAPIVersion(), istioGroup+"/")
}

func isService(o *unstructured.Unstructured) bool {
	return o.GetAPIVersion() == "v1" && o.GetKind() == "Service"
}

// istioKinds are what a service may have of Istio's networking.
var istioKinds = map[string]schema.GroupVersionResource{
	"VirtualService":  virtualServices,
	"DestinationRule": destinationRules,
	"Gateway":         gateways,
	"ServiceEntry":    {Group: istioGroup, Version: "v1", Resource: "serviceentries"},
	"Sidecar":         {Group: istioGroup, Version: "v1", Resource: "sidecars"},
	"WorkloadEntry":   {Group: istioGroup, Version: "v1", Resource: "workloadentries"},
	"WorkloadGroup":   {Group: istioGroup, Version: "v1", Resource: "workloadgroups"},
	"EnvoyFilter":     {Group: istioGroup, Version: "v1alpha3", Resource: "envoyfilters"},
}

// resourceOf returns under which path the API server has such objects.
func resourceOf(o *unstructured.Unstructured) schema.GroupVersionResource {
	if isService(o) {
		return services
	}
	return istioKinds[o.GetKind()]
}
