package e2e

import (
	"fmt"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"

	"github.com/fairwaycd/fairway"
	"github.com/fairwaycd/fairway/kubernetes"
)

func (pt *platformTest) create(kind, text, as string) {
	pt.Helper()
	o := &unstructured.Unstructured{}
	if err := yaml.Unmarshal([]byte(text), &o.Object); err != nil {
		pt.Fatal(err)
	}
	if _, err := pt.client(kind).Create(pt.within(20*time.Second), o, metav1.CreateOptions{FieldManager: as}); err != nil {
		pt.Fatal(err)
	}
}

// refused applies the workload, and wants a terminal error that says all of want.
func (pt *platformTest) refused(w fairway.Workload, kind fairway.Kind, want ...string) {
	pt.Helper()
	ctx := pt.within(100 * time.Second)
	err := pt.p.Apply(ctx, w)
	for err == nil {
		if _, err = pt.p.AwaitReady(ctx, w.Instance); err == nil {
			pt.Fatal("it became ready")
		}
		if kind == fairway.KindRefused && fairway.IsRetryable(err) && ctx.Err() == nil {
			pt.Logf("so far: %v", err)
			err = nil
		}
	}
	if fairway.KindOf(err) != kind {
		pt.Errorf("the error is of kind %s: %v", fairway.KindOf(err), err)
	}
	for _, text := range want {
		if !strings.Contains(err.Error(), text) {
			pt.Errorf("the error does not say %q: %v", text, err)
		}
	}
	pt.Logf("%v", err)
}

func with(name string, tag string, lines ...string) string {
	text := deployment(name, tag, "")
	for _, l := range lines {
		old, now, _ := strings.Cut(l, "=>")
		text = strings.ReplaceAll(text, old, now)
	}
	return text
}

func TestAnImageThatIsMissing(t *testing.T) {
	pt := newPlatformTest(t, func(o *kubernetes.Options) { o.Missing = 10 * time.Second })
	pt.run(pt.workload(fairway.Blue, "good", deployment("carts-blue", "1", "")))
	pt.refused(pt.workload(fairway.Green, "bad", deployment("carts-green", "no-such-tag", "")), fairway.KindRefused,
		"carts-green", "cannot be pulled", "no-such-tag")
	if i, err := pt.p.AwaitReady(pt.within(time.Minute), "good"); err != nil || !i.Ready {
		t.Errorf("the other colour: %+v, %v", i, err)
	}
}

func TestACrashLoop(t *testing.T) {
	pt := newPlatformTest(t)
	pt.refused(pt.workload(fairway.Single, "crash", with("carts", "1", `{name: VERSION, value: "1"}=>{name: PORT, value: "none"}`)), fairway.KindRefused,
		"exit code 1", "started again 3 times", "last lines of its log", "unknown port")
}

func TestAPodThatIsNeverReady(t *testing.T) {
	pt := newPlatformTest(t, func(o *kubernetes.Options) { o.Patience = 8 * time.Second })
	w := pt.workload(fairway.Single, "slow", with("carts", "1", `{name: VERSION, value: "1"}=>{name: START_DELAY, value: "1h"}`))
	if err := pt.p.Apply(pt.within(time.Minute), w); err != nil {
		t.Fatal(err)
	}
	_, err := pt.p.AwaitReady(t.Context(), "slow")
	if !fairway.IsRetryable(err) || !strings.Contains(err.Error(), "Readiness probe failed: HTTP probe failed with statuscode: 503") {
		t.Errorf("after its patience: %v", err)
	}
}

func TestAQuota(t *testing.T) {
	pt := newPlatformTest(t, func(o *kubernetes.Options) { o.Patience = 8 * time.Second })
	pt.run(pt.workload(fairway.Blue, "good", deployment("carts-blue", "1", "")))
	pt.create("ResourceQuota", "apiVersion: v1\nkind: ResourceQuota\nmetadata: {name: small}\nspec: {hard: {pods: 1}}\n", "kubectl")
	for deadline := time.Now().Add(20 * time.Second); pt.get("ResourceQuota", "small").Object["status"].(map[string]any)["used"] == nil; {
		if time.Now().After(deadline) {
			t.Fatal("the quota counts nothing")
		}
	}
	if err := pt.p.Apply(pt.within(time.Minute), pt.workload(fairway.Green, "more", deployment("carts-green", "1", ""))); err != nil {
		t.Fatal(err)
	}
	_, err := pt.p.AwaitReady(t.Context(), "more")
	if !fairway.IsRetryable(err) || !strings.Contains(err.Error(), "exceeded quota: small") {
		t.Errorf("after its patience: %v", err)
	}
}

func TestObjectsOfOthersStay(t *testing.T) {
	pt := newPlatformTest(t)
	pt.run(pt.workload(fairway.Green, "first", deployment("carts-green", "1", ""))) // makes the namespace
	configMap := "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: %s\n%sdata: {a: theirs}\n"
	pt.create("ConfigMap", fmt.Sprintf(configMap, "plain", ""), "kubectl-create")
	pt.create("ConfigMap", fmt.Sprintf(configMap, "charted", "  labels: {app.kubernetes.io/managed-by: Helm}\n  annotations: {meta.helm.sh/release-name: shop, meta.helm.sh/release-namespace: dev}\n"), "helm")
	pt.create("ConfigMap", fmt.Sprintf(configMap, "synced", "  annotations: {argocd.argoproj.io/tracking-id: 'shop:/ConfigMap:dev/synced'}\n"), "argocd-controller")
	ours := "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: %s}\ndata: {a: ours}\n"
	for name, want := range map[string][]string{"plain": {"Fairway did not make it", "kubectl-create", "--force-conflicts"}, "charted": {"managed by Helm (release shop"}, "synced": {"managed by Argo CD (application shop)"}} {
		pt.refused(pt.workload(fairway.Blue, "other-"+name, deployment("carts-blue", "1", ""), fmt.Sprintf(ours, name)), fairway.KindRefused, append(want, "ConfigMap "+name)...)
		if got := pt.get("ConfigMap", name); got == nil || got.Object["data"].(map[string]any)["a"] != "theirs" {
			t.Errorf("%s was taken over: %v", name, got)
		}
	}
	forced := pt.start(func(o *kubernetes.Options) { o.ForceConflicts = true })
	if err := forced.Apply(pt.within(time.Minute), pt.workload(fairway.Blue, "forced", deployment("carts-blue", "1", ""), fmt.Sprintf(ours, "plain"))); err != nil {
		t.Fatal(err)
	}
	if got := pt.get("ConfigMap", "plain"); got.Object["data"].(map[string]any)["a"] != "ours" {
		t.Error("--force-conflicts did not take it over")
	}
}

func TestWhatAPersonHasScaledStays(t *testing.T) {
	pt := newPlatformTest(t)
	pt.run(pt.workload(fairway.Single, "one", deployment("carts", "1", "")))
	pt.patch("Deployment", "carts", `{"spec":{"replicas":2}}`, "kubectl", "scale")
	pt.run(pt.workload(fairway.Single, "two", deployment("carts", "1", "")))
	if n, _, _ := unstructured.NestedInt64(pt.get("Deployment", "carts").Object, "spec", "replicas"); n != 2 {
		t.Errorf("scaled to 2 by hand, and %d after the next delivery", n)
	}
	pt.patch("Deployment", "carts", `{"spec":{"minReadySeconds":1}}`, "kubectl-edit")
	pt.refused(pt.workload(fairway.Single, "three", strings.Replace(deployment("carts", "1", ""), "replicas: 1", "replicas: 1\n  minReadySeconds: 2", 1)), fairway.KindRefused,
		".spec.minReadySeconds, which kubectl-edit has set")
	pt.refused(pt.workload(fairway.Single, "four", strings.ReplaceAll(deployment("carts", "1", ""), "sockshop-selector", "other")), fairway.KindRefused,
		"has the selector", "kubectl delete deployment carts")
}

const hook = `apiVersion: batch/v1
kind: Job
metadata:
  name: migrate
  annotations: {helm.sh/hook: pre-upgrade}
spec:
  backoffLimit: 0
  template:
    spec:
      restartPolicy: Never
      containers:
      - {name: migrate, image: '127.0.0.1:5000/volume:1', args: [-p, /tmp/x, -a, %s]}
`

func TestHooksRunBefore(t *testing.T) {
	pt := newPlatformTest(t)
	pt.refused(pt.workload(fairway.Single, "bad", deployment("carts", "1", ""), fmt.Sprintf(hook, "migrate")), fairway.KindRefused,
		"hook Job migrate (pre-upgrade) has failed", `volume: -a is "migrate"; it is create or delete`)
	if pt.get("Deployment", "carts") != nil {
		t.Error("the version was started although its hook had failed")
	}
	pt.run(pt.workload(fairway.Single, "good", deployment("carts", "1", ""), fmt.Sprintf(hook, "create")))
	if err := pt.p.Stop(pt.within(time.Minute), "good"); err != nil {
		t.Fatal(err)
	}
	if pt.get("Job", "migrate") != nil {
		t.Error("the hook stays after its version was stopped")
	}
}

func TestAWorkloadThatIsDeletedComesBack(t *testing.T) {
	pt := newPlatformTest(t)
	pt.run(pt.workload(fairway.Single, "one", deployment("carts", "1", "")))
	seen := make(chan fairway.Instance, 100)
	defer pt.p.Subscribe(func(i fairway.Instance) {
		if i.ID == "one" && i.Place.Namespace == pt.ns {
			seen <- i
		}
	})()
	if err := pt.client("Deployment").Delete(pt.within(20*time.Second), "carts", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	for _, want := range []bool{false, true} {
		select {
		case i := <-seen:
			if i.Ready != want {
				t.Errorf("told %+v, want ready %v", i, want)
			}
		case <-pt.within(time.Minute).Done():
			t.Fatalf("nobody says that ready is %v", want)
		}
	}
	if _, err := pt.p.AwaitReady(pt.within(time.Minute), "one"); err != nil {
		t.Error(err)
	}
}

func TestOldVersionsOfTheAPIAreUpgraded(t *testing.T) {
	pt := newPlatformTest(t)
	old := strings.Replace(deployment("carts", "1", ""), "apps/v1", "extensions/v1beta1", 1)
	old = strings.Replace(old, "  selector: {matchLabels: {app: sockshop-selector-carts, deployment: carts}}\n", "", 1)
	budget := "apiVersion: policy/v1beta1\nkind: PodDisruptionBudget\nmetadata: {name: carts}\nspec: {maxUnavailable: 1, selector: {matchLabels: {deployment: carts}}}\n"
	i := pt.run(pt.workload(fairway.Single, "old", old, budget))
	if notes := strings.Join(i.NotRun, "\n"); !strings.Contains(notes, "Deployment carts is applied as apps/v1") || !strings.Contains(notes, "PodDisruptionBudget carts is applied as policy/v1") {
		t.Errorf("notes: %s", notes)
	}
}

func TestTheRunIsOnThePods(t *testing.T) {
	pt := newPlatformTest(t)
	i := pt.run(pt.workload(fairway.Blue, "one", deployment("carts-blue", "1", "")))
	if err := pt.p.SetRun(pt.within(time.Minute), i.Place, i.ID, "d-one/dev/1"); err != nil {
		t.Fatal(err)
	}
	pt.patch("Deployment", "carts-blue", `{"spec":{"replicas":2}}`, "kubectl", "scale")
	labelled := func() int {
		list, err := pt.client("Pod").List(pt.within(20*time.Second), metav1.ListOptions{LabelSelector: "fairway.dev/run=d-one.dev.1,version=1"})
		if err != nil {
			t.Fatal(err)
		}
		return len(list.Items)
	}
	for deadline := time.Now().Add(time.Minute); labelled() != 2; {
		if time.Now().After(deadline) {
			t.Fatalf("%d of 2 pods carry the run", labelled())
		}
	}
	if err := pt.p.SetRun(pt.within(time.Minute), i.Place, i.ID, ""); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(time.Minute); labelled() != 0; {
		if time.Now().After(deadline) {
			t.Fatal("the run is still on the pods")
		}
	}
}

const autoscaler = `apiVersion: autoscaling/v2
kind: HorizontalPodAutoscaler
metadata: {name: carts-green}
spec:
  minReplicas: 1
  maxReplicas: 4
  scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: carts-green}
  metrics: [{type: Resource, resource: {name: cpu, target: {type: Utilization, averageUtilization: 80}}}]
`

func TestCapacityComesBeforeTraffic(t *testing.T) {
	pt := newPlatformTest(t)
	pt.run(pt.workload(fairway.Blue, "blue", deployment("carts-blue", "1", "")))
	pt.patch("Deployment", "carts-blue", `{"spec":{"replicas":3}}`, "kubectl", "scale")
	if _, err := pt.p.AwaitReady(pt.within(time.Minute), "blue"); err != nil {
		t.Fatal(err)
	}
	pt.create("Service", "apiVersion: v1\nkind: Service\nmetadata: {name: carts-green}\nspec: {selector: {deployment: carts-green}, ports: [{port: 80, targetPort: 8080}]}\n", "kubectl")
	pt.run(pt.workload(fairway.Green, "green", deployment("carts-green", "1", "")))
	all := func(c fairway.Colour) fairway.Weights { return fairway.Full(c) }
	for deadline := time.Now().Add(time.Minute); ; {
		release, err := pt.p.Reserve(pt.within(time.Minute), pt.ns, "carts", all(fairway.Blue), all(fairway.Green))
		if err != nil {
			t.Fatal(err)
		}
		n, _, _ := unstructured.NestedInt64(pt.get("Deployment", "carts-green").Object, "status", "availableReplicas")
		if err := release(t.Context()); err != nil {
			t.Fatal(err)
		}
		if n == 3 {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("green has %d of 3 pods", n)
		}
	}

	// With an autoscaler its minimum is raised, and put back: by release, or
	// by the next start.
	pt.run(pt.workload(fairway.Green, "scaled", deployment("carts-green", "1", ""), autoscaler))
	if n, _, _ := unstructured.NestedInt64(pt.get("Deployment", "carts-green").Object, "spec", "replicas"); n < 3 {
		t.Errorf("the autoscaler's workload was set to %d", n)
	}
	least := func() int64 {
		n, _, _ := unstructured.NestedInt64(pt.get("HorizontalPodAutoscaler", "carts-green").Object, "spec", "minReplicas")
		return n
	}
	release, err := pt.p.Reserve(pt.within(time.Minute), pt.ns, "carts", all(fairway.Blue), all(fairway.Green))
	if err != nil || least() != 3 {
		t.Fatalf("minReplicas is %d: %v", least(), err)
	}
	if err := release(t.Context()); err != nil || least() != 1 {
		t.Fatalf("after release minReplicas is %d: %v", least(), err)
	}
	if _, err = pt.p.Reserve(pt.within(time.Minute), pt.ns, "carts", all(fairway.Blue), all(fairway.Green)); err != nil {
		t.Fatal(err)
	}
	pt.start()
	for deadline := time.Now().Add(time.Minute); least() != 1; {
		if time.Now().After(deadline) {
			t.Fatalf("the next start leaves minReplicas at %d", least())
		}
	}
	pt.patch("Deployment", "carts-blue", `{"spec":{"replicas":5}}`, "kubectl", "scale")
	if _, err := pt.p.AwaitReady(pt.within(time.Minute), "blue"); err != nil {
		t.Fatal(err)
	}
	if _, err := pt.p.Reserve(pt.within(time.Minute), pt.ns, "carts", all(fairway.Blue), all(fairway.Green)); fairway.KindOf(err) != fairway.KindRefused || !strings.Contains(err.Error(), "allows 4") {
		t.Errorf("more than maxReplicas: %v", err)
	}
}

func TestAHookWhoseImageIsMissing(t *testing.T) {
	pt := newPlatformTest(t, func(o *kubernetes.Options) { o.Missing = 5 * time.Second })
	pt.refused(pt.workload(fairway.Single, "bad", deployment("carts", "1", ""), strings.Replace(fmt.Sprintf(hook, "create"), "volume:1", "nothing:1", 1)), fairway.KindRefused,
		"hook Job migrate (pre-upgrade) cannot run", "nothing:1 cannot be pulled")
}

func TestASetOfPodsWithIdentities(t *testing.T) {
	pt := newPlatformTest(t)
	set := strings.Replace(strings.Replace(deployment("carts", "1", ""), "kind: Deployment", "kind: StatefulSet", 1), "  replicas: 1\n", "  replicas: 2\n  serviceName: carts\n  podManagementPolicy: Parallel\n", 1)
	for _, instance := range []string{"one", "two"} {
		if i := pt.run(pt.workload(fairway.Single, instance, set)); i.ID != instance || !i.Ready {
			t.Errorf("%+v", i)
		}
		list, err := pt.client("Pod").List(pt.within(20*time.Second), metav1.ListOptions{LabelSelector: "fairway.dev/instance=" + instance})
		if err != nil || len(list.Items) != 2 {
			t.Errorf("%d of 2 pods are of %s: %v", len(list.Items), instance, err)
		}
	}
	if err := pt.p.Stop(pt.within(time.Minute), "two"); err != nil {
		t.Fatal(err)
	}
	if left := pt.pods(); len(left) > 0 {
		t.Errorf("pods are left: %v", left)
	}
}
