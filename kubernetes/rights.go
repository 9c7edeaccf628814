package kubernetes

import (
	"context"
	"fmt"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// Right is something that Fairway's account in the cluster has to be allowed.
type Right struct {
	Group, Resource string // deployments, or pods/log
	Verbs           []string
	Why             string
	Namespace       string // empty means all
}

// String prints VERBS RESOURCE.GROUP.
func (r Right) String() string {
	name := r.Resource
	if r.Group != "" {
		name += "." + r.Group
	}
	return strings.Join(r.Verbs, ", ") + " " + name
}

// rights are those that versions in a cluster with Istio need, whatever else a
// chart has.
func rights(gateway string) []Right {
	all := []string{"get", "list", "watch", "create", "patch", "delete"}
	mesh := []string{"get", "list", "create", "update", "patch", "delete"}
	return []Right{
		{"apps", "deployments", all, "to run versions", ""},
		{"apps", "statefulsets", all, "to run versions", ""},
		{"apps", "deployments/scale", []string{"get", "patch"}, "to make room before traffic", ""},
		{"autoscaling", "horizontalpodautoscalers", []string{"list", "patch"}, "to make room before traffic", ""},
		{"", "pods", []string{"get", "list", "watch", "patch"}, "to see what is ready, and to mark test runs", ""},
		{"", "pods/log", []string{"get"}, "to keep logs", ""},
		{"", "services", all, "to lead traffic", ""},
		{"", "namespaces", []string{"get", "create"}, "for the stages", ""},
		{"", "events", []string{"list"}, "to say why something is not ready", ""},
		{"discovery.k8s.io", "endpointslices", []string{"list", "watch"}, "to know what is ready", ""},
		{"networking.istio.io", "virtualservices", mesh, "to move traffic", ""},
		{"networking.istio.io", "destinationrules", mesh, "to move traffic", ""},
		{"networking.istio.io", "gateways", mesh, "to let traffic in", ""},
		{"", "pods", []string{"list"}, "to find the ingress gateway", gateway},
		{"", "pods/portforward", []string{"create"}, "to ask the ingress gateway's Envoys", gateway},
	}
}

var accessReviews = schema.GroupVersionResource{Group: "authorization.k8s.io", Version: "v1", Resource: "selfsubjectaccessreviews"}

// Missing asks the cluster which rights Fairway's account lacks, of those that
// every project needs. gateway is the namespace of the ingress gateway.
func (p *Platform) Missing(ctx context.Context, gateway string) ([]Right, error) {
	var out []Right
	for _, r := range rights(gateway) {
		var lacks []string
		for _, verb := range r.Verbs {
			ok, err := p.may(ctx, r, verb)
			if err != nil {
				return out, err
			}
			if !ok {
				lacks = append(lacks, verb)
			}
		}
		if len(lacks) > 0 {
			r.Verbs = lacks
			out = append(out, r)
		}
	}
	return out, nil
}

func (p *Platform) may(ctx context.Context, r Right, verb string) (bool, error) {
	resource, sub, _ := strings.Cut(r.Resource, "/")
	review := &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectAccessReview",
		"spec": map[string]any{"resourceAttributes": map[string]any{
			"group": r.Group, "resource": resource, "subresource": sub, "verb": verb, "namespace": r.Namespace,
		}},
	}}
	allowed := false
	err := call(ctx, fmt.Sprintf("ask whether it may %s %s", verb, r.Resource), func(ctx context.Context) error {
		said, err := p.c.dynamic.Resource(accessReviews).Create(ctx, review, metav1.CreateOptions{})
		if err != nil {
			return err
		}
		allowed, _, err = unstructured.NestedBool(said.Object, "status", "allowed")
		return err
	})
	return allowed, err
}
