package kubernetes

import (
	"encoding/json"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/yaml"
)

func parsed(t *testing.T, text string) *object {
	t.Helper()
	o, err := parse([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return o
}

func TestUpgrades(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ name, from, to string }{
		{"deployment without selector", `
apiVersion: extensions/v1beta1
kind: Deployment
metadata: {name: a}
spec: {rollbackTo: {revision: 1}, template: {metadata: {labels: {app: a}}}}`, `
apiVersion: apps/v1
kind: Deployment
metadata: {name: a}
spec: {selector: {matchLabels: {app: a}}, template: {metadata: {labels: {app: a}}}}`},
		{"stateful set", `
apiVersion: apps/v1beta2
kind: StatefulSet
metadata: {name: a}
spec: {selector: {matchLabels: {b: c}}, template: {metadata: {labels: {b: c}}}}`, `
apiVersion: apps/v1
kind: StatefulSet
metadata: {name: a}
spec: {selector: {matchLabels: {b: c}}, template: {metadata: {labels: {b: c}}}}`},
		{"ingress", `
apiVersion: extensions/v1beta1
kind: Ingress
metadata: {name: a}
spec:
  backend: {serviceName: d, servicePort: 80}
  rules:
  - host: h
    http: {paths: [{path: /x, backend: {serviceName: s, servicePort: http}}, {backend: {serviceName: s, servicePort: "81"}}]}`, `
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {name: a}
spec:
  defaultBackend: {service: {name: d, port: {number: 80}}}
  rules:
  - host: h
    http:
      paths:
      - {path: /x, pathType: ImplementationSpecific, backend: {service: {name: s, port: {name: http}}}}
      - {pathType: ImplementationSpecific, backend: {service: {name: s, port: {number: 81}}}}`},
		{"autoscaler", `
apiVersion: autoscaling/v2beta1
kind: HorizontalPodAutoscaler
metadata: {name: a}
spec:
  metrics:
  - {type: Resource, resource: {name: cpu, targetAverageUtilization: 80}}
  - {type: Pods, pods: {metricName: m, targetAverageValue: 3}}
  - {type: Object, object: {metricName: o, targetValue: 5, target: {kind: Service, name: s}}}
  - {type: External, external: {metricName: e, metricSelector: {matchLabels: {q: w}}, targetAverageValue: 7}}`, `
apiVersion: autoscaling/v2
kind: HorizontalPodAutoscaler
metadata: {name: a}
spec:
  metrics:
  - {type: Resource, resource: {name: cpu, target: {type: Utilization, averageUtilization: 80}}}
  - {type: Pods, pods: {metric: {name: m}, target: {type: AverageValue, averageValue: 3}}}
  - {type: Object, object: {metric: {name: o}, describedObject: {kind: Service, name: s}, target: {type: Value, value: 5}}}
  - {type: External, external: {metric: {name: e, selector: {matchLabels: {q: w}}}, target: {type: AverageValue, averageValue: 7}}}`},
		{"definition", `
apiVersion: apiextensions.k8s.io/v1beta1
kind: CustomResourceDefinition
metadata: {name: things.x.dev}
spec:
  group: x.dev
  version: v1
  preserveUnknownFields: true
  subresources: {status: {}}
  additionalPrinterColumns: [{name: n, type: string, JSONPath: .a}]
  names: {kind: Thing, plural: things}`, `
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: things.x.dev}
spec:
  group: x.dev
  names: {kind: Thing, plural: things}
  versions:
  - name: v1
    served: true
    storage: true
    subresources: {status: {}}
    additionalPrinterColumns: [{name: n, type: string, jsonPath: .a}]
    schema: {openAPIV3Schema: {type: object, x-kubernetes-preserve-unknown-fields: true}}`},
		{"cron job", "apiVersion: batch/v1beta1\nkind: CronJob\nmetadata: {name: a}", "apiVersion: batch/v1\nkind: CronJob\nmetadata: {name: a}"},
		{"budget", "apiVersion: policy/v1beta1\nkind: PodDisruptionBudget\nmetadata: {name: a}", "apiVersion: policy/v1\nkind: PodDisruptionBudget\nmetadata: {name: a}"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			o := parsed(t, c.from)
			old := o.GetAPIVersion()
			note, err := upgrade(o, func(gvk schema.GroupVersionKind) bool { return gvk.GroupVersion().String() != old })
			if err != nil || !strings.Contains(note, old) {
				t.Fatalf("note %q, error %v", note, err)
			}
			got, err := json.Marshal(o.Object)
			if err != nil {
				t.Fatal(err)
			}
			want, err := yaml.YAMLToJSON([]byte(c.to))
			if err != nil {
				t.Fatal(err)
			}
			if string(got) != string(want) {
				t.Errorf("got  %s\nwant %s", got, want)
			}
		})
	}
}

func TestWhatIsServedIsNotUpgraded(t *testing.T) {
	t.Parallel()
	all := func(schema.GroupVersionKind) bool { return true }
	o := parsed(t, "apiVersion: policy/v1beta1\nkind: PodDisruptionBudget\nmetadata: {name: a}")
	if note, err := upgrade(o, all); note != "" || err != nil || o.GetAPIVersion() != "policy/v1beta1" {
		t.Errorf("became %s: %q, %v", o.GetAPIVersion(), note, err)
	}
	o = parsed(t, "apiVersion: policy/v1beta1\nkind: PodSecurityPolicy\nmetadata: {name: a}")
	if note, err := upgrade(o, func(schema.GroupVersionKind) bool { return false }); !gone(err) || !strings.Contains(note, "Pod Security Admission") {
		t.Errorf("%q, %v", note, err)
	}
}
