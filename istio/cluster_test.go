package istio

import (
	"errors"
	"net/http"
	"strings"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/fairwaycd/fairway"
)

func TestWhoseAnObjectIs(t *testing.T) {
	t.Parallel()
	made := map[string]string{labelManaged: manager, labelProject: "sockshop"}
	for name, tt := range map[string]struct {
		labels, notes map[string]string
		force         bool
		says          string
	}{
		"ours":              {labels: made},
		"another project's": {labels: map[string]string{labelManaged: manager, labelProject: "toys"}, force: true, says: "belongs to project toys; give the stage of project sockshop a namespace of its own, such as sockshop-production"},
		"somebody's":        {says: "exists already, and Fairway did not make it"},
		"taken over":        {force: true},
		"Helm's":            {labels: map[string]string{labelManaged: "Helm"}, notes: map[string]string{"meta.helm.sh/release-name": "shop"}, force: true, says: "managed by Helm (release shop)"},
		"Argo's, by now":    {labels: made, notes: map[string]string{"argocd.argoproj.io/tracking-id": "x"}, force: true, says: "managed by Argo CD"},
		"Flux's":            {labels: map[string]string{"kustomize.toolkit.fluxcd.io/name": "x"}, says: "managed by Flux"},
		"another tool's":    {labels: map[string]string{labelManaged: "pulumi"}, force: true, says: "managed by pulumi"},
	} {
		o := &unstructured.Unstructured{Object: map[string]any{"kind": "VirtualService"}}
		o.SetName("x")
		o.SetNamespace("production")
		o.SetLabels(tt.labels)
		o.SetAnnotations(tt.notes)
		err := ours(o, "sockshop", tt.force)
		if (err == nil) != (tt.says == "") || err != nil && !strings.Contains(err.Error(), tt.says) {
			t.Errorf("%s: %v, want %q", name, err, tt.says)
		}
	}
}

func TestErrorsOfTheClusterHaveKinds(t *testing.T) {
	t.Parallel()
	r := schema.GroupResource{Group: istioGroup, Resource: "virtualservices"}
	fields := apierrors.NewConflict(r, "x", errors.New("conflict"))
	fields.ErrStatus.Details.Causes = []metav1.StatusCause{{Type: metav1.CauseTypeFieldManagerConflict, Field: ".spec.http", Message: `conflict with "kubectl-edit"`}}
	for _, tt := range []struct {
		err   error
		kind  fairway.Kind
		again bool
		says  string
	}{
		{fields, fairway.KindConflict, false, `.spec.http (conflict with "kubectl-edit")`},
		{apierrors.NewConflict(r, "x", errors.New("changed")), fairway.KindUnavailable, true, "changed"},
		{apierrors.NewForbidden(r, "x", errors.New("no")), fairway.KindUnauthorized, false, "give its account the right"},
		{apierrors.NewForbidden(r, "x", errors.New(`admission webhook "policy" denied the request`)), fairway.KindInvalid, false, "the cluster refuses it"},
		{apierrors.NewInvalid(schema.GroupKind{Kind: "VirtualService"}, "x", nil), fairway.KindInvalid, false, "the cluster refuses it"},
		{apierrors.NewInternalError(errors.New(`failed calling webhook "validation.istio.io": context deadline exceeded`)), fairway.KindUnavailable, true, "istiod"},
		{apierrors.NewTooManyRequests("slow down", 1), fairway.KindUnavailable, true, "slow down"},
		{errors.New("connection refused"), fairway.KindUnavailable, true, "connection refused"},
		{apierrors.NewGenericServerResponse(http.StatusNotFound, "get", r, "", "", 0, true), fairway.KindNotFound, false, ""},
	} {
		err := classify("apply", "virtualservice", "production", "x", tt.err)
		if fairway.KindOf(err) != tt.kind || fairway.IsRetryable(err) != tt.again || !strings.Contains(err.Error(), tt.says) || !strings.Contains(err.Error(), "apply virtualservice x in namespace production") {
			t.Errorf("%v: %v (%s, retryable %v)", tt.err, err, fairway.KindOf(err), fairway.IsRetryable(err))
		}
	}
}

func TestReadyEndpointsAreCountedOnce(t *testing.T) {
	t.Parallel()
	endpoint := func(address, uid string, conditions map[string]any) any {
		return map[string]any{"addresses": []any{address}, "targetRef": map[string]any{"uid": uid}, "conditions": conditions}
	}
	ready := map[string]any{"ready": true}
	v4 := unstructured.Unstructured{Object: map[string]any{"endpoints": []any{
		endpoint("10.0.0.1", "a", ready),
		endpoint("10.0.0.2", "b", map[string]any{"ready": false}),
		endpoint("10.0.0.3", "c", map[string]any{"ready": true, "terminating": true}),
		endpoint("10.0.0.4", "d", nil), // unknown counts as ready
		map[string]any{"addresses": []any{"10.0.0.5"}},
		map[string]any{},
	}}}
	v6 := unstructured.Unstructured{Object: map[string]any{"endpoints": []any{endpoint("2001:db8::1", "a", ready)}}}
	if n := readyEndpoints([]unstructured.Unstructured{v4, v6}); n != 3 {
		t.Errorf("%d are ready, want 3: a once, d, and 10.0.0.5", n)
	}
	if n := readyEndpoints(nil); n != 0 {
		t.Errorf("%d of none are ready", n)
	}
}
