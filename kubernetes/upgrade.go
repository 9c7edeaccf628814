package kubernetes

import (
	"errors"
	"fmt"
	"strconv"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/fairwaycd/fairway"
)

// errGone says that a kind has left Kubernetes without a successor.
var errGone = errors.New("the kind has left Kubernetes")

func gone(err error) bool { return errors.Is(err, errGone) }

// change brings an object from one version to another.
type change struct {
	to  string // API version
	do  func(o *object) error
	end string // of a kind without successor: why, and what to do
}

func same(*object) error { return nil }

// upgrades are the versions that clusters have ceased to serve, by group,
// version and kind.
var upgrades = map[string]change{
	"extensions/v1beta1 Deployment":                         {to: "apps/v1", do: workloadV1},
	"apps/v1beta1 Deployment":                               {to: "apps/v1", do: workloadV1},
	"apps/v1beta2 Deployment":                               {to: "apps/v1", do: workloadV1},
	"apps/v1beta1 StatefulSet":                              {to: "apps/v1", do: workloadV1},
	"apps/v1beta2 StatefulSet":                              {to: "apps/v1", do: workloadV1},
	"extensions/v1beta1 DaemonSet":                          {to: "apps/v1", do: workloadV1},
	"apps/v1beta2 DaemonSet":                                {to: "apps/v1", do: workloadV1},
	"extensions/v1beta1 ReplicaSet":                         {to: "apps/v1", do: workloadV1},
	"apps/v1beta2 ReplicaSet":                               {to: "apps/v1", do: workloadV1},
	"extensions/v1beta1 Ingress":                            {to: "networking.k8s.io/v1", do: ingressV1},
	"networking.k8s.io/v1beta1 Ingress":                     {to: "networking.k8s.io/v1", do: ingressV1},
	"networking.k8s.io/v1beta1 IngressClass":                {to: "networking.k8s.io/v1", do: same},
	"extensions/v1beta1 NetworkPolicy":                      {to: "networking.k8s.io/v1", do: same},
	"policy/v1beta1 PodDisruptionBudget":                    {to: "policy/v1", do: same},
	"batch/v1beta1 CronJob":                                 {to: "batch/v1", do: same},
	"batch/v2alpha1 CronJob":                                {to: "batch/v1", do: same},
	"autoscaling/v2beta1 HorizontalPodAutoscaler":           {to: "autoscaling/v2", do: autoscalerV2},
	"autoscaling/v2beta2 HorizontalPodAutoscaler":           {to: "autoscaling/v2", do: same},
	"rbac.authorization.k8s.io/v1alpha1 Role":               {to: "rbac.authorization.k8s.io/v1", do: same},
	"rbac.authorization.k8s.io/v1alpha1 RoleBinding":        {to: "rbac.authorization.k8s.io/v1", do: same},
	"rbac.authorization.k8s.io/v1alpha1 ClusterRole":        {to: "rbac.authorization.k8s.io/v1", do: same},
	"rbac.authorization.k8s.io/v1alpha1 ClusterRoleBinding": {to: "rbac.authorization.k8s.io/v1", do: same},
	"rbac.authorization.k8s.io/v1beta1 Role":                {to: "rbac.authorization.k8s.io/v1", do: same},
	"rbac.authorization.k8s.io/v1beta1 RoleBinding":         {to: "rbac.authorization.k8s.io/v1", do: same},
	"rbac.authorization.k8s.io/v1beta1 ClusterRole":         {to: "rbac.authorization.k8s.io/v1", do: same},
	"rbac.authorization.k8s.io/v1beta1 ClusterRoleBinding":  {to: "rbac.authorization.k8s.io/v1", do: same},
	"apiextensions.k8s.io/v1beta1 CustomResourceDefinition": {to: "apiextensions.k8s.io/v1", do: definitionV1},
	"scheduling.k8s.io/v1beta1 PriorityClass":               {to: "scheduling.k8s.io/v1", do: same},
	"storage.k8s.io/v1beta1 StorageClass":                   {to: "storage.k8s.io/v1", do: same},
	"coordination.k8s.io/v1beta1 Lease":                     {to: "coordination.k8s.io/v1", do: same},
	"policy/v1beta1 PodSecurityPolicy":                      {end: "PodSecurityPolicy has left Kubernetes; label the namespace for Pod Security Admission instead"},
	"extensions/v1beta1 PodSecurityPolicy":                  {end: "PodSecurityPolicy has left Kubernetes; label the namespace for Pod Security Admission instead"},
}

// upgrade brings the object to a version that the cluster serves; the note
// says so. What has no successor is errGone, and the note says that.
func upgrade(o *object, served func(schema.GroupVersionKind) bool) (note string, err error) {
	gvk := o.GroupVersionKind()
	if served(gvk) {
		return "", nil
	}
	old := o.GetAPIVersion()
	c, known := upgrades[old+" "+gvk.Kind]
	switch {
	case !known:
		return "", nil // a definition may come with the chart; the cluster has the last word
	case c.end != "":
		return fmt.Sprintf("not applied: %s; %s", refOf(o), c.end), errGone
	}
	o.SetAPIVersion(c.to)
	if err := c.do(o); err != nil {
		return "", fmt.Errorf("%s of %s: %w", refOf(o), old, err)
	}
	return fmt.Sprintf("%s is applied as %s, since the cluster no longer serves %s; write that in the template", refOf(o), c.to, old), nil
}

// workloadV1 gives a workload the selector that older versions took from the
// pod template, and drops what the new one does not know.
func workloadV1(o *object) error {
	for _, field := range []string{"rollbackTo", "templateGeneration"} {
		unstructured.RemoveNestedField(o.Object, "spec", field)
	}
	if _, ok, _ := unstructured.NestedMap(o.Object, "spec", "selector"); ok {
		return nil
	}
	labels, ok, _ := unstructured.NestedMap(o.Object, "spec", "template", "metadata", "labels")
	if !ok || len(labels) == 0 {
		return fairway.Invalid(refOf(o).String()+" spec.selector", "", "is missing, and so are labels of the pod template", "add both")
	}
	return unstructured.SetNestedMap(o.Object, map[string]any{"matchLabels": labels}, "spec", "selector")
}

// ingressV1 rewrites the backends, and says what a path means where that was
// not said.
func ingressV1(o *object) error {
	spec, ok, _ := unstructured.NestedMap(o.Object, "spec")
	if !ok {
		return nil
	}
	if b, ok := spec["backend"]; ok {
		spec["defaultBackend"] = backendV1(b)
		delete(spec, "backend")
	}
	rules, _ := spec["rules"].([]any)
	for _, r := range rules {
		rule, _ := r.(map[string]any)
		paths, _, _ := unstructured.NestedSlice(rule, "http", "paths")
		for _, p := range paths {
			if path, ok := p.(map[string]any); ok {
				path["backend"] = backendV1(path["backend"])
				if path["pathType"] == nil {
					path["pathType"] = "ImplementationSpecific"
				}
			}
		}
		if len(paths) > 0 {
			if err := unstructured.SetNestedSlice(rule, paths, "http", "paths"); err != nil {
				return err
			}
		}
	}
	o.Object["spec"] = spec
	return nil
}

func backendV1(b any) any {
	old, ok := b.(map[string]any)
	if !ok || old["serviceName"] == nil {
		return b
	}
	port := map[string]any{"number": old["servicePort"]}
	if name, ok := old["servicePort"].(string); ok {
		port = map[string]any{"name": name}
		if n, err := strconv.ParseInt(name, 10, 64); err == nil {
			port = map[string]any{"number": n}
		}
	}
	return map[string]any{"service": map[string]any{"name": old["serviceName"], "port": port}}
}

// autoscalerV2 moves the targets of the metrics into their own field.
func autoscalerV2(o *object) error {
	metrics, ok, _ := unstructured.NestedSlice(o.Object, "spec", "metrics")
	if !ok {
		return nil
	}
	for _, m := range metrics {
		metric, _ := m.(map[string]any)
		for _, kind := range []string{"resource", "pods", "object", "external"} {
			if source, ok := metric[kind].(map[string]any); ok {
				metricV2(source)
			}
		}
	}
	return unstructured.SetNestedSlice(o.Object, metrics, "spec", "metrics")
}

func metricV2(source map[string]any) {
	if object, ok := source["target"].(map[string]any); ok && object["kind"] != nil { // autoscaling/v2beta1's word for the object
		source["describedObject"] = object
		delete(source, "target")
	}
	if name, ok := source["metricName"]; ok {
		metric := map[string]any{"name": name}
		for _, selector := range []string{"selector", "metricSelector"} {
			if s, ok := source[selector]; ok {
				metric["selector"] = s
				delete(source, selector)
			}
		}
		source["metric"] = metric
		delete(source, "metricName")
	}
	for field, to := range map[string][2]string{
		"targetAverageUtilization": {"Utilization", "averageUtilization"}, "targetAverageValue": {"AverageValue", "averageValue"},
		"averageValue": {"AverageValue", "averageValue"}, "targetValue": {"Value", "value"},
	} {
		if v, ok := source[field]; ok {
			source["target"] = map[string]any{"type": to[0], to[1]: v}
			delete(source, field)
		}
	}
}

// definitionV1 moves what a definition said once to each of its versions. One
// without a schema keeps whatever fields its objects have.
func definitionV1(o *object) error {
	spec, ok, _ := unstructured.NestedMap(o.Object, "spec")
	if !ok {
		return nil
	}
	versions, _ := spec["versions"].([]any)
	if len(versions) == 0 {
		versions = []any{map[string]any{"name": spec["version"], "served": true, "storage": true}}
	}
	moved := map[string]string{"validation": "schema", "subresources": "subresources", "additionalPrinterColumns": "additionalPrinterColumns"}
	for _, v := range versions {
		version, _ := v.(map[string]any)
		for from, to := range moved {
			if spec[from] != nil && version[to] == nil {
				version[to] = spec[from]
			}
		}
		if version["schema"] == nil {
			version["schema"] = map[string]any{"openAPIV3Schema": map[string]any{"type": "object", "x-kubernetes-preserve-unknown-fields": true}}
		}
		columns, _ := version["additionalPrinterColumns"].([]any)
		for _, c := range columns {
			if column, ok := c.(map[string]any); ok && column["JSONPath"] != nil {
				column["jsonPath"] = column["JSONPath"]
				delete(column, "JSONPath")
			}
		}
	}
	spec["versions"] = versions
	for _, field := range []string{"version", "validation", "subresources", "additionalPrinterColumns", "preserveUnknownFields"} {
		delete(spec, field)
	}
	o.Object["spec"] = spec
	return nil
}
