package kubernetes

import (
	"strings"
	"testing"

	"github.com/fairwaycd/fairway"
)

func head(metadata string) string {
	return "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a, namespace: dev, " + metadata + "}\n"
}

func TestWhoseAnObjectIs(t *testing.T) {
	t.Parallel()
	w := fairway.Workload{Project: "sockshop", Stage: "dev", Place: fairway.Place{Namespace: "dev", Service: "carts"}}
	const ours = "app.kubernetes.io/managed-by: fairway, fairway.dev/project: sockshop, fairway.dev/installation: default, "
	for _, c := range []struct {
		name, metadata string
		refusal        string // empty: may be taken
		forced         string
	}{
		{name: "ours", metadata: "labels: {" + ours + "fairway.dev/stage: dev, fairway.dev/service: carts}"},
		{name: "another service's", metadata: "labels: {" + ours + "fairway.dev/stage: dev, fairway.dev/service: orders}", refusal: "belongs to service orders of project sockshop", forced: "belongs to service orders"},
		{name: "another stage's", metadata: "labels: {" + ours + "fairway.dev/stage: prod, fairway.dev/service: carts}", refusal: "in stage prod", forced: "in stage prod"},
		{name: "another Fairway's", metadata: "labels: {app.kubernetes.io/managed-by: fairway, fairway.dev/installation: east, fairway.dev/project: sockshop, fairway.dev/stage: dev, fairway.dev/service: carts}", refusal: "another Fairway, installation east"},
		{name: "somebody's", metadata: "managedFields: [{manager: kubectl, operation: Update}]", refusal: "it was written by kubectl"},
		{name: "Helm's", metadata: "annotations: {meta.helm.sh/release-name: shop, meta.helm.sh/release-namespace: prod}", refusal: "managed by Helm (release shop in namespace prod)", forced: "Helm"},
		{name: "Helm's by label", metadata: "labels: {app.kubernetes.io/managed-by: Helm}", refusal: "managed by Helm", forced: "Helm"},
		{name: "Argo's by tracking id", metadata: "annotations: {argocd.argoproj.io/tracking-id: 'shop:v1/ConfigMap:dev/a'}", refusal: "managed by Argo CD (application shop)", forced: "Argo"},
		{name: "Argo's by label", metadata: "labels: {argocd.argoproj.io/instance: shop}", refusal: "managed by Argo CD (application shop)", forced: "Argo"},
		{name: "Argo's by manager", metadata: "managedFields: [{manager: argocd-controller, operation: Apply}]", refusal: "managed by Argo CD", forced: "Argo"},
		{name: "Flux's", metadata: "labels: {kustomize.toolkit.fluxcd.io/name: apps}", refusal: "managed by Flux (kustomization apps)", forced: "Flux"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			live := parsed(t, head(c.metadata))
			check(t, "", mayTake(live, w, claim{installation: "default"}), c.refusal)
			check(t, "with force: ", mayTake(live, w, claim{installation: "default", force: true}), c.forced)
		})
	}
	if err := mayTake(nil, w, claim{}); err != nil {
		t.Errorf("what is not there: %v", err)
	}
}

func check(t *testing.T, when string, err error, want string) {
	t.Helper()
	switch {
	case want == "" && err != nil:
		t.Errorf("%srefused: %v", when, err)
	case want != "" && (err == nil || !strings.Contains(err.Error(), want) || fairway.KindOf(err) != fairway.KindRefused):
		t.Errorf("%s%v, want %q", when, err, want)
	}
}

func TestFieldsOfOthers(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name      string
		conflicts []fieldConflict
		force     bool
		want      verdict
	}{
		{"ours in another way", []fieldConflict{{"fairway", ".spec.minReplicas"}, {"fairway-replicas", ".spec.replicas"}}, false, verdict{force: true}},
		{"scaled by a person", []fieldConflict{{"kubectl", ".spec.replicas"}}, false, verdict{force: true, replicas: true}},
		{"changed by a person", []fieldConflict{{"kubectl", ".spec.replicas"}, {"kubectl-edit", ".spec.paused"}}, false, verdict{force: true, replicas: true, refusal: ".spec.paused, which kubectl-edit has set"}},
		{"forced", []fieldConflict{{"kubectl-edit", ".spec.paused"}}, true, verdict{force: true}},
	} {
		if got := judgeConflicts(c.conflicts, c.force); got != c.want {
			t.Errorf("%s: got %+v, want %+v", c.name, got, c.want)
		}
	}
}

func TestWhatIsNeverRemoved(t *testing.T) {
	t.Parallel()
	for kind, want := range map[string]bool{"PersistentVolumeClaim": true, "CustomResourceDefinition": true, "Namespace": true, "ConfigMap": false, "Deployment": false} {
		if got := keeps(ref{Kind: kind}); got != want {
			t.Errorf("%s: %v", kind, got)
		}
	}
}
