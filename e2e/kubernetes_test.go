package e2e

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"

	"github.com/fairwaycd/fairway"
	"github.com/fairwaycd/fairway/kubernetes"
)

// platformTest is the adapter of the cluster, in a namespace of its own.
type platformTest struct {
	*testing.T
	p      *kubernetes.Platform
	config *rest.Config
	raw    dynamic.Interface
	ns     fairway.Namespace
	dir    string
}

func connected(t *testing.T) *rest.Config {
	t.Helper()
	file := os.Getenv("KUBECONFIG")
	if file == "" && os.Getenv("FAIRWAY_REQUIRE_ALL") != "" {
		t.Fatal("KUBECONFIG names no cluster, and everything is required")
	}
	if file == "" {
		t.Skip("KUBECONFIG names no cluster; make e2e brings one up")
	}
	c, err := kubernetes.Connect(file, "")
	if err != nil {
		t.Fatal(err)
	}
	return c
}

var namespaces = schema.GroupVersionResource{Version: "v1", Resource: "namespaces"}

func newPlatformTest(t *testing.T, edit ...func(*kubernetes.Options)) *platformTest {
	t.Helper()
	t.Parallel()
	c := connected(t)
	raw, err := dynamic.NewForConfig(c)
	if err != nil {
		t.Fatal(err)
	}
	ns := fairway.Namespace(fmt.Sprintf("kube-%d-%s", time.Now().UnixNano()%1_000_000, strings.ToLower(strings.NewReplacer("/", "-", "_", "-").Replace(t.Name()))))
	ns = fairway.Namespace(strings.Trim(string(ns[:min(len(ns), 40)]), "-"))
	pt := &platformTest{T: t, config: c, raw: raw, ns: ns, dir: t.TempDir()}
	t.Cleanup(func() {
		if err := raw.Resource(namespaces).Delete(context.Background(), string(ns), metav1.DeleteOptions{}); err != nil {
			t.Logf("namespace %s stays: %v", ns, err)
		}
	})
	pt.p = pt.start(edit...)
	return pt
}

func (pt *platformTest) start(edit ...func(*kubernetes.Options)) *kubernetes.Platform {
	pt.Helper()
	o := kubernetes.Options{Config: pt.config, Dir: pt.dir, Installation: string(pt.ns), WithoutMesh: true, Logger: slog.New(slog.NewTextHandler(pt.Output(), nil))}
	for _, f := range edit {
		f(&o)
	}
	p, err := kubernetes.New(o)
	if err != nil {
		pt.Fatal(err)
	}
	if err := p.Start(pt.Context()); err != nil {
		pt.Fatal(err)
	}
	pt.Cleanup(func() {
		if err := p.Shutdown(context.Background()); err != nil {
			pt.Error(err)
		}
	})
	return p
}

func (pt *platformTest) within(d time.Duration) context.Context {
	ctx, cancel := context.WithTimeout(pt.Context(), d)
	pt.Cleanup(cancel)
	return ctx
}

// image is what the cluster's registry has; see the cluster's scripts.
const image = "127.0.0.1:5000/hello"

func deployment(name, tag, extra string) string {
	return fmt.Sprintf(`apiVersion: apps/v1
kind: Deployment
metadata: {name: %[1]s}
spec:
  replicas: 1
  selector: {matchLabels: {app: sockshop-selector-carts, deployment: %[1]s}}
  template:
    metadata: {labels: {app: sockshop-selector-carts, deployment: %[1]s}}
    spec:
      terminationGracePeriodSeconds: 1
      containers:
      - name: carts
        image: %[2]s:%[3]s
        env: [{name: VERSION, value: %[3]q}]
        ports: [{name: http, containerPort: 8080}]
        readinessProbe: {httpGet: {path: /readyz, port: 8080}, periodSeconds: 1}
%[4]s`, name, image, tag, extra)
}

func (pt *platformTest) workload(colour fairway.Colour, instance string, manifests ...string) fairway.Workload {
	w := fairway.Workload{Project: "sockshop", Stage: "dev", Place: fairway.Place{Namespace: pt.ns, Service: "carts", Colour: colour},
		Delivery: "d-" + fairway.DeliveryID(instance), Artifact: fairway.Artifact{Image: image, Tag: "1"}, Commit: "c0ffee", Instance: instance}
	for _, m := range manifests {
		w.Manifests = append(w.Manifests, []byte(m))
	}
	return w
}

func (pt *platformTest) run(w fairway.Workload) fairway.Instance {
	pt.Helper()
	ctx := pt.within(2 * time.Minute)
	if err := pt.p.Apply(ctx, w); err != nil {
		pt.Fatal(err)
	}
	i, err := pt.p.AwaitReady(ctx, w.Instance)
	if err != nil {
		pt.Fatal(err)
	}
	return i
}

func (pt *platformTest) client(kind string) dynamic.ResourceInterface {
	at := map[string]schema.GroupVersionResource{
		"Deployment": {Group: "apps", Version: "v1", Resource: "deployments"}, "ConfigMap": {Version: "v1", Resource: "configmaps"},
		"Pod": {Version: "v1", Resource: "pods"}, "HorizontalPodAutoscaler": {Group: "autoscaling", Version: "v2", Resource: "horizontalpodautoscalers"},
		"Job": {Group: "batch", Version: "v1", Resource: "jobs"}, "PersistentVolumeClaim": {Version: "v1", Resource: "persistentvolumeclaims"},
		"ResourceQuota": {Version: "v1", Resource: "resourcequotas"}, "Service": {Version: "v1", Resource: "services"},
	}
	return pt.raw.Resource(at[kind]).Namespace(string(pt.ns))
}

func (pt *platformTest) get(kind, name string) *unstructured.Unstructured {
	pt.Helper()
	o, err := pt.client(kind).Get(pt.within(20*time.Second), name, metav1.GetOptions{})
	if err != nil {
		return nil
	}
	return o
}

func (pt *platformTest) patch(kind, name, body, as string, subresource ...string) {
	pt.Helper()
	if _, err := pt.client(kind).Patch(pt.within(20*time.Second), name, types.MergePatchType, []byte(body), metav1.PatchOptions{FieldManager: as}, subresource...); err != nil {
		pt.Fatal(err)
	}
}

func (pt *platformTest) pods() map[string]bool {
	pt.Helper()
	list, err := pt.client("Pod").List(pt.within(20*time.Second), metav1.ListOptions{})
	if err != nil {
		pt.Fatal(err)
	}
	out := map[string]bool{}
	for _, o := range list.Items {
		out[o.GetName()] = true
	}
	return out
}

func TestVersionsComeAndGo(t *testing.T) {
	pt := newPlatformTest(t)
	// A second container that writes: the service itself says nothing.
	noise := "      - {name: noise, image: '127.0.0.1:5000/coredns:1', args: [-conf, /etc/noise/Corefile], volumeMounts: [{name: noise, mountPath: /etc/noise}]}\n" +
		"      volumes: [{name: noise, configMap: {name: noise}}]\n"
	written := "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: noise}\ndata: {Corefile: '.:1053'}\n"
	w := pt.workload(fairway.Blue, "one", deployment("carts-blue", "1", noise), written, "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: carts-old}\ndata: {a: b}\n")
	i := pt.run(w)
	if i.Address != "carts-blue."+string(pt.ns)+".svc.cluster.local:8080" || !i.Ready || i.HealthPath != "/readyz" || i.Artifact.Tag != "1" {
		t.Errorf("instance %+v", i)
	}
	before := pt.pods()
	if err := pt.p.Apply(pt.within(time.Minute), w); err != nil {
		t.Fatal(err)
	}
	restarted := pt.start()
	if err := restarted.Apply(pt.within(time.Minute), w); err != nil {
		t.Fatal(err)
	}
	all, err := restarted.Instances(t.Context())
	if err != nil || len(all) == 0 {
		t.Fatalf("after a restart: %v, %v", all, err)
	}
	if after := pt.pods(); fmt.Sprint(after) != fmt.Sprint(before) {
		t.Errorf("applying again changed the pods from %v to %v", before, after)
	}
	w = pt.workload(fairway.Blue, "two", deployment("carts-blue", "1", noise), written)
	pt.run(w)
	if pt.get("ConfigMap", "carts-old") != nil {
		t.Error("what the chart no longer has is still there")
	}
	if err := pt.p.Stop(pt.within(time.Minute), "one"); err != nil {
		t.Fatal(err)
	}
	if pt.get("Deployment", "carts-blue") == nil {
		t.Error("stopping the former instance ended its successor")
	}
	if err := pt.p.Stop(pt.within(time.Minute), "two"); err != nil {
		t.Fatal(err)
	}
	if pt.get("Deployment", "carts-blue") != nil {
		t.Error("it was stopped and is there")
	}
	for _, id := range []fairway.DeliveryID{"d-one", "d-two"} {
		var logs bytes.Buffer
		if err := pt.p.Logs(pt.within(time.Minute), id, &logs, false); err != nil {
			t.Errorf("logs of %s: %v", id, err)
		}
		if text := logs.String(); !strings.Contains(text, "fairway: pod carts-blue-") || !strings.Contains(text, "CoreDNS-") {
			t.Errorf("logs of %s:\n%s", id, text)
		}
	}
}
