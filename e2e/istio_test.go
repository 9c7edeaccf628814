package e2e

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"math"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/yaml"

	"github.com/fairwaycd/fairway"
	"github.com/fairwaycd/fairway/istio"
)

// meshTest is the traffic of the cluster, with a service carts in a namespace
// of its own.
type meshTest struct {
	*testing.T
	t       *istio.Traffic
	config  *rest.Config
	raw     dynamic.Interface
	ns      fairway.Namespace
	address string // of the gateway
	domain  string
}

var (
	deployments      = schema.GroupVersionResource{Group: "apps", Version: "v1", Resource: "deployments"}
	services         = schema.GroupVersionResource{Version: "v1", Resource: "services"}
	virtualServices  = schema.GroupVersionResource{Group: "networking.istio.io", Version: "v1", Resource: "virtualservices"}
	destinationRules = schema.GroupVersionResource{Group: "networking.istio.io", Version: "v1", Resource: "destinationrules"}
	webhooks         = schema.GroupVersionResource{Group: "admissionregistration.k8s.io", Version: "v1", Resource: "validatingwebhookconfigurations"}
	gateways         = schema.GroupVersionResource{Group: "networking.istio.io", Version: "v1", Resource: "gateways"}
)

func newMeshTest(t *testing.T) *meshTest {
	t.Helper()
	c := connected(t)
	raw, err := dynamic.NewForConfig(c)
	if err != nil {
		t.Fatal(err)
	}
	m := &meshTest{T: t, config: c, raw: raw, ns: fairway.Namespace(fmt.Sprintf("istio-%d", time.Now().UnixNano()%1_000_000_000))}
	ns := &unstructured.Unstructured{Object: map[string]any{"apiVersion": "v1", "kind": "Namespace"}}
	ns.SetName(string(m.ns))
	if _, err := raw.Resource(namespaces).Create(t.Context(), ns, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := raw.Resource(namespaces).Delete(context.Background(), string(m.ns), metav1.DeleteOptions{}); err != nil {
			t.Logf("namespace %s stays: %v", m.ns, err)
		}
	})
	m.t = m.start()
	if m.address, err = m.t.GatewayAddress(t.Context()); err != nil {
		t.Fatal(err)
	}
	if m.domain, err = m.t.Domain(t.Context()); err != nil {
		t.Fatal(err)
	}
	return m
}

func (m *meshTest) start(edit ...func(*istio.Options)) *istio.Traffic {
	m.Helper()
	o := istio.Options{Config: m.config, Logger: slog.New(slog.NewTextHandler(m.Output(), &slog.HandlerOptions{Level: slog.LevelDebug}))}
	for _, f := range edit {
		f(&o)
	}
	t, err := istio.New(o)
	if err != nil {
		m.Fatal(err)
	}
	if err := t.Start(m.Context()); err != nil {
		m.Fatal(err)
	}
	m.Cleanup(t.Stop)
	return t
}

func (m *meshTest) within(d time.Duration) context.Context {
	ctx, cancel := context.WithTimeout(m.Context(), d)
	m.Cleanup(cancel)
	return ctx
}

// shared are the objects as the default chart renders them, with a rule and a
// timeout of the user's.
func (m *meshTest) shared() [][]byte {
	text := strings.ReplaceAll(`apiVersion: v1
kind: Service
metadata: {name: carts, labels: {app: sockshop-selector-carts}}
spec:
  type: ClusterIP
  ports: [{name: http, port: 80, targetPort: 8080, protocol: TCP}]
  selector: {app: sockshop-selector-carts}
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: carts-production-destination}
spec:
  host: carts.NS.svc.cluster.local
  subsets:
  - {name: blue, labels: {deployment: carts-blue}}
  - {name: green, labels: {deployment: carts-green}}
---
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: sockshop-production-gateway}
spec:
  selector: {istio: ingressgateway}
  servers:
  - {port: {number: 80, name: http, protocol: HTTP}, hosts: ["*.NS.localhost"]}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: sockshop-production-carts}
spec:
  gateways: [sockshop-production-gateway, mesh]
  hosts: [carts.NS.localhost, carts.NS.svc.cluster.local]
  http:
  - match: [{headers: {x-canary: {exact: "1"}}}]
    route: [{destination: {host: carts.NS.svc.cluster.local, subset: green}}]
  - timeout: 30s
    route:
    - {destination: {host: carts.NS.svc.cluster.local, subset: blue}, weight: 100}
    - {destination: {host: carts.NS.svc.cluster.local, subset: green}, weight: 0}
`, "NS", string(m.ns))
	var docs [][]byte
	for _, d := range strings.Split(text, "---\n") {
		docs = append(docs, []byte(d))
	}
	return docs
}

func (m *meshTest) place(c fairway.Colour) fairway.Place {
	return fairway.Place{Namespace: m.ns, Service: "carts", Colour: c}
}

func (m *meshTest) prepare(t *istio.Traffic) error {
	return t.Prepare(m.within(30*time.Second), fairway.Workload{Project: "sockshop", Stage: "production", Place: m.place(fairway.Blue), Shared: m.shared()})
}

// run starts the colour's pods and waits for them.
func (m *meshTest) run(c fairway.Colour, replicas int, delay string) {
	m.Helper()
	text := fmt.Sprintf(`apiVersion: apps/v1
kind: Deployment
metadata: {name: carts-%[1]s, namespace: %[2]s}
spec:
  replicas: %[3]d
  selector: {matchLabels: {deployment: carts-%[1]s}}
  template:
    metadata: {labels: {app: sockshop-selector-carts, deployment: carts-%[1]s, fairway.dev/service: carts, fairway.dev/colour: %[1]s}}
    spec:
      terminationGracePeriodSeconds: 5
      containers:
      - name: carts
        image: 127.0.0.1:5000/hello:1
        env: [{name: VERSION, value: %[1]s}, {name: DELAY, value: %[4]s}]
        readinessProbe: {httpGet: {path: /readyz, port: 8080}, periodSeconds: 1}
`, c, m.ns, replicas, delay)
	o := &unstructured.Unstructured{}
	b, err := yaml.YAMLToJSON([]byte(text))
	if err == nil {
		err = o.UnmarshalJSON(b)
	}
	if err != nil {
		m.Fatal(err)
	}
	at := m.raw.Resource(deployments).Namespace(string(m.ns))
	if _, err := at.Apply(m.Context(), o.GetName(), o, metav1.ApplyOptions{FieldManager: "test", Force: true}); err != nil {
		m.Fatal(err)
	}
	m.until("pods of "+string(c), time.Minute, func() bool {
		live, err := at.Get(m.Context(), o.GetName(), metav1.GetOptions{})
		if err != nil {
			return false
		}
		n, _, _ := unstructured.NestedInt64(live.Object, "status", "readyReplicas")
		return int(n) == replicas
	})
}

func (m *meshTest) until(what string, limit time.Duration, done func() bool) {
	m.Helper()
	for end := time.Now().Add(limit); !done(); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(end) {
			m.Fatalf("%s: not within %s", what, limit)
		}
	}
}

// ask sends a request to the gateway under the host that begins so.
func (m *meshTest) ask(ctx context.Context, host string, header ...string) (status int, body string) {
	m.Helper()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+m.address+"/version", nil)
	if err != nil {
		m.Fatal(err)
	}
	req.Host = host + "." + string(m.ns) + "." + m.domain
	for i := 0; i+1 < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, err.Error()
	}
	defer resp.Body.Close()
	b, _ := io.ReadAll(resp.Body)
	return resp.StatusCode, string(b)
}

// counts asks n times and counts the answers' first words.
func (m *meshTest) counts(n int, host string) map[string]int {
	m.Helper()
	out := map[string]int{}
	for range n {
		status, body := m.ask(m.Context(), host)
		word, _, _ := strings.Cut(body, " ")
		if status != http.StatusOK {
			word = fmt.Sprint(status)
		}
		out[word]++
	}
	return out
}

func share(blue, green int) fairway.Weights {
	return fairway.Weights{fairway.Blue: blue, fairway.Green: green}
}

func (m *meshTest) set(t *istio.Traffic, w fairway.Weights) error {
	return t.SetWeights(m.within(2*time.Minute), fairway.Route{Namespace: m.ns, Service: "carts", Weights: w})
}

func (m *meshTest) inForce(t *istio.Traffic, want fairway.Weights) {
	m.Helper()
	r, ok, err := t.Route(m.within(20*time.Second), m.ns, "carts")
	if err != nil || ok != (want != nil) || r.Weights.String() != want.String() {
		m.Errorf("in force are %s (%v, %v), want %s", r.Weights, ok, err, want)
	}
}

// written returns the weights of the VirtualService, as kubectl describe shows
// them.
func (m *meshTest) written() string {
	m.Helper()
	live, err := m.raw.Resource(virtualServices).Namespace(string(m.ns)).Get(m.within(20*time.Second), "sockshop-production-carts", metav1.GetOptions{})
	if err != nil {
		return err.Error()
	}
	rules, _, _ := unstructured.NestedSlice(live.Object, "spec", "http")
	last, _ := rules[len(rules)-1].(map[string]any)
	if last["directResponse"] != nil {
		return "none"
	}
	var all []string
	to, _ := last["route"].([]any)
	for _, d := range to {
		all = append(all, fmt.Sprint(d.(map[string]any)["weight"]))
	}
	return strings.Join(all, "/")
}

// both runs a service with two colours and all traffic at blue.
func (m *meshTest) both() {
	m.Helper()
	if err := m.prepare(m.t); err != nil {
		m.Fatal(err)
	}
	m.run(fairway.Blue, 1, "0s")
	m.run(fairway.Green, 1, "0s")
	m.reached(fairway.Green)
	m.reached(fairway.Blue)
	if err := m.set(m.t, share(100, 0)); err != nil {
		m.Fatal(err)
	}
}

// reached waits until the gateway leads to the colour; endpoints follow their
// pods a moment later.
func (m *meshTest) reached(c fairway.Colour) {
	m.Helper()
	b := fairway.Backend{Place: m.place(c), Project: "sockshop", Instance: "of-" + string(c), Address: "x:1", Run: "r1", Ready: true}
	if err := m.t.Attach(m.within(30*time.Second), b); err != nil {
		m.Fatal(err)
	}
}

func TestTrafficFollowsTheWeights(t *testing.T) {
	t.Parallel()
	m := newMeshTest(t)
	if err := m.prepare(m.t); err != nil {
		t.Fatal(err)
	}
	m.inForce(m.t, nil) // whatever the file says
	m.until("the sentence of a service without a version", 10*time.Second, func() bool {
		status, body := m.ask(t.Context(), "carts")
		return status == http.StatusServiceUnavailable && strings.Contains(body, "carts has no released version in "+string(m.ns))
	})
	if err := m.set(m.t, share(100, 0)); fairway.KindOf(err) != fairway.KindRefused || m.written() != "none" {
		t.Errorf("weight for a place where nothing runs: %v, written %s", err, m.written())
	}
	m.run(fairway.Blue, 2, "0s")
	m.reached(fairway.Blue)
	if err := m.set(m.t, share(100, 0)); err != nil {
		t.Fatal(err)
	}
	if got := m.counts(50, "carts"); got["blue"] != 50 {
		t.Errorf("at 100/0: %v", got)
	}
	if err := m.set(m.t, share(50, 50)); fairway.KindOf(err) != fairway.KindRefused || m.written() != "100/0" {
		t.Errorf("weight for green, which is not there: %v, written %s", err, m.written())
	}
	m.run(fairway.Green, 2, "0s")
	m.reached(fairway.Green)
	if got := m.counts(20, "carts-green"); got["green"] != 20 {
		t.Errorf("the host of green, without weight: %v", got)
	}
	if _, body := m.ask(t.Context(), "carts", "x-canary", "1"); !strings.HasPrefix(body, "green ") {
		t.Errorf("a rule of the user's is not obeyed: %s", body)
	}
	for _, w := range []fairway.Weights{share(10, 90), share(50, 50), share(0, 100)} {
		if err := m.set(m.t, w); err != nil {
			t.Fatal(err)
		}
		const n = 1000
		got := m.counts(n, "carts")
		p := float64(w[fairway.Blue]) / 100
		if d := math.Abs(float64(got["blue"]) - n*p); d > 5*math.Sqrt(n*p*(1-p)) || got["blue"]+got["green"] != n {
			t.Errorf("at %s: %v", w, got)
		}
		m.inForce(m.t, w)
	}
	// Another delivery, whose file says 100/0.
	if err := m.prepare(m.start()); err != nil {
		t.Fatal(err)
	}
	m.inForce(m.start(), share(0, 100))
	if got := m.counts(50, "carts"); got["green"] != 50 || m.written() != "0/100" {
		t.Errorf("after another delivery: %v, written %s", got, m.written())
	}
	m.forgotten()
}

// forgotten deletes the service's traffic and looks that nothing is left.
func (m *meshTest) forgotten() {
	m.Helper()
	if err := m.t.Forget(m.within(30*time.Second), m.ns, "carts"); err != nil {
		m.Fatal(err)
	}
	for _, r := range []schema.GroupVersionResource{services, virtualServices, destinationRules, gateways} {
		left, err := m.raw.Resource(r).Namespace(string(m.ns)).List(m.within(20*time.Second), metav1.ListOptions{})
		if err != nil || len(left.Items) > 0 {
			m.Errorf("of %s %d are left (%v)", r.Resource, len(left.Items), err)
		}
	}
	m.inForce(m.t, nil)
	m.until("a host that is not known", 10*time.Second, func() bool { status, _ := m.ask(m.Context(), "carts"); return status == http.StatusNotFound })
	if err := m.set(m.t, nil); err != nil {
		m.Errorf("no weights for what is not there: %v", err)
	}
}

// A process that ends between the write and what it would have seen leaves a
// trace: what was in force still counts as that, and the next heals it.
func TestACrashBetweenWriteAndSight(t *testing.T) {
	t.Parallel()
	m := newMeshTest(t)
	m.both()
	crash := func() {
		done := make(chan struct{})
		dies := m.start(func(o *istio.Options) {
			o.Failpoint = func(name string) {
				if name == "route.written" {
					runtime.Goexit()
				}
			}
		})
		go func() { defer close(done); _ = m.set(dies, share(0, 100)) }()
		<-done
		if got := m.written(); got != "0/100" {
			t.Fatalf("written are %s", got)
		}
	}
	crash()
	next := m.start()
	m.inForce(next, share(100, 0))
	if err := next.Restore(m.within(30*time.Second), fairway.Route{Namespace: m.ns, Service: "carts", Weights: share(100, 0)}); err != nil {
		t.Fatal(err)
	}
	if got := m.written(); got != "100/0" {
		t.Errorf("after the start %s are written", got)
	}
	crash()
	next = m.start()
	if err := m.set(next, share(0, 100)); err != nil {
		t.Fatal(err)
	}
	m.inForce(next, share(0, 100))
}

func TestADataPlaneThatCannotBeAsked(t *testing.T) {
	t.Parallel()
	m := newMeshTest(t)
	m.both()
	for says, edit := range map[string]func(*istio.Options){
		"no pod of the ingress gateway (istio=nowhere in namespace istio-system) is ready": func(o *istio.Options) { o.Selector = "istio=nowhere" },
		"connection refused": func(o *istio.Options) { o.AdminPort = 15999 },
	} {
		blind := m.start(edit, func(o *istio.Options) { o.Deadline = 2 * time.Second })
		err := m.set(blind, share(0, 100))
		if fairway.KindOf(err) != fairway.KindUnavailable || !fairway.IsRetryable(err) || !strings.Contains(err.Error(), says) || !strings.Contains(err.Error(), "could not be asked") {
			t.Errorf("%v, want %q", err, says)
		}
		if got := m.written(); got != "100/0" {
			t.Errorf("%s are written, and nobody saw them obeyed", got)
		}
		m.inForce(m.t, share(100, 0))
	}
}

func TestADrainWaitsForTheLastRequest(t *testing.T) {
	t.Parallel()
	m := newMeshTest(t)
	if err := m.prepare(m.t); err != nil {
		t.Fatal(err)
	}
	m.run(fairway.Blue, 1, "3s")
	answered := make(chan time.Time, 1)
	m.until("a request under way", 20*time.Second, func() bool {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		status, _ := m.ask(ctx, "carts-blue")
		return status == 0 // no quick answer: it is at the service
	})
	if cut, err := m.t.Drain(t.Context(), m.place(fairway.Blue), "one", 10*time.Second); cut != 0 || err != nil {
		t.Fatalf("a place without requests: %d, %v", cut, err)
	}
	go func() {
		status, body := m.ask(t.Context(), "carts-blue")
		if status != http.StatusOK {
			t.Errorf("the request under way: %d %s", status, body)
		}
		answered <- time.Now()
	}()
	m.until("a drain that is cut off", 3*time.Second, func() bool {
		cut, err := m.t.Drain(t.Context(), m.place(fairway.Blue), "one", 100*time.Millisecond)
		return cut == 1 && err == nil
	})
	cut, err := m.t.Drain(t.Context(), m.place(fairway.Blue), "one", 20*time.Second)
	ended := time.Now()
	if at := <-answered; cut != 0 || err != nil || ended.Before(at.Add(-500*time.Millisecond)) {
		t.Errorf("drained %s before the answer: %d, %v", at.Sub(ended), cut, err)
	}
	if err := m.t.Attach(t.Context(), fairway.Backend{Place: m.place(fairway.Blue), Project: "sockshop", Instance: "two", Address: "x:1"}); err != nil {
		t.Fatal(err)
	}
	if cut, err := m.t.Drain(t.Context(), m.place(fairway.Blue), "one", 20*time.Second); cut != 0 || err != nil {
		t.Errorf("an instance that another has replaced: %d, %v", cut, err)
	}
}

func TestTrafficObjectsOfOthersStay(t *testing.T) {
	t.Parallel()
	m := newMeshTest(t)
	if err := m.prepare(m.t); err != nil {
		t.Fatal(err)
	}
	edited := []byte(`{"spec":{"http":[{"timeout":"1s","route":[{"destination":{"host":"carts"}}]}]}}`)
	if _, err := m.raw.Resource(virtualServices).Namespace(string(m.ns)).Patch(t.Context(), "sockshop-production-carts", types.MergePatchType, edited, metav1.PatchOptions{FieldManager: "kubectl-edit"}); err != nil {
		t.Fatal(err)
	}
	if err := m.prepare(m.t); fairway.KindOf(err) != fairway.KindConflict || !strings.Contains(err.Error(), "kubectl-edit") || !strings.Contains(err.Error(), ".spec.http") {
		t.Errorf("rules that somebody has edited: %v", err)
	}
	m.forgotten()
	theirs := &unstructured.Unstructured{Object: map[string]any{"apiVersion": "v1", "kind": "Service", "spec": map[string]any{"ports": []any{map[string]any{"name": "old", "port": int64(80)}}}}}
	theirs.SetName("carts")
	at := m.raw.Resource(services).Namespace(string(m.ns))
	if _, err := at.Create(t.Context(), theirs, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	if err := m.prepare(m.start()); fairway.KindOf(err) != fairway.KindRefused || !strings.Contains(err.Error(), "Service carts in namespace "+string(m.ns)+" exists already") {
		t.Errorf("somebody's object: %v", err)
	}
	taking := func(o *istio.Options) { o.ForceConflicts = true }
	if err := m.prepare(m.start(taking)); err != nil {
		t.Errorf("somebody's object, taken over: %v", err)
	}
	patch := []byte(`{"metadata":{"annotations":{"argocd.argoproj.io/tracking-id":"shop"}}}`)
	if _, err := at.Patch(t.Context(), "carts", types.MergePatchType, patch, metav1.PatchOptions{FieldManager: "argocd-controller"}); err != nil {
		t.Fatal(err)
	}
	if err := m.prepare(m.start(taking)); fairway.KindOf(err) != fairway.KindRefused || !strings.Contains(err.Error(), "Argo CD") {
		t.Errorf("Argo's object: %v", err)
	}
}

func TestAClusterWithoutAGateway(t *testing.T) {
	t.Parallel()
	c := connected(t)
	tr, err := istio.New(istio.Options{Config: c, Service: "no-gateway"})
	if err != nil {
		t.Fatal(err)
	}
	if err := tr.Start(t.Context()); fairway.KindOf(err) != fairway.KindNotFound || !strings.Contains(err.Error(), "no Kubernetes Service no-gateway in namespace istio-system") {
		t.Error(err)
	}
	elsewhere := rest.CopyConfig(c)
	elsewhere.Host = "https://127.0.0.1:1"
	if tr, err = istio.New(istio.Options{Config: elsewhere}); err != nil {
		t.Fatal(err)
	}
	if err := tr.Start(t.Context()); fairway.KindOf(err) != fairway.KindUnavailable || !fairway.IsRetryable(err) {
		t.Error(err)
	}
}

// istiod stands still, as when its machine does. Where the API server does not
// ask it whether a VirtualService is valid, the write succeeds, nobody follows,
// and the weights go back; else the write fails. Either way object and data
// plane agree afterwards. Not parallel: nobody else's weights may move now.
func TestAnIstiodThatStandsStill(t *testing.T) {
	m := newMeshTest(t)
	m.both()
	out, err := exec.Command("pgrep", "-x", "pilot-discovery").Output()
	pid, _ := strconv.Atoi(strings.TrimSpace(string(out)))
	if err != nil || pid == 0 {
		t.Fatal("istiod does not run on this machine; make e2e brings a cluster up here")
	}
	unasked := m.withoutValidation()
	if err := syscall.Kill(pid, syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	goOn := func() { _ = syscall.Kill(pid, syscall.SIGCONT) }
	defer goOn()
	hasty := m.start(func(o *istio.Options) { o.Deadline = 3 * time.Second })
	err = m.set(hasty, share(0, 100))
	if fairway.KindOf(err) != fairway.KindUnavailable || !fairway.IsRetryable(err) || !strings.Contains(err.Error(), "the data plane has not followed within 3s: gateway pod istio-ingressgateway-") ||
		!strings.Contains(err.Error(), "still has 100/0") || !strings.Contains(err.Error(), "were put back to 100/0") {
		t.Errorf("nobody follows: %v", err)
	}
	if got := m.counts(20, "carts"); got["blue"] != 20 || m.written() != "100/0" {
		t.Errorf("%v, written %s", got, m.written())
	}
	m.inForce(m.t, share(100, 0))
	goOn()
	unasked()
	if err := m.set(m.t, share(0, 100)); err != nil {
		t.Error(err)
	}
	if got := m.counts(20, "carts"); got["green"] != 20 || m.written() != "0/100" {
		t.Errorf("afterwards: %v, written %s", got, m.written())
	}
}

// withoutValidation has the API server not ask istiod; back undoes that.
func (m *meshTest) withoutValidation() (back func()) {
	m.Helper()
	at := m.raw.Resource(webhooks)
	all, err := at.List(m.Context(), metav1.ListOptions{LabelSelector: "app=istiod"})
	if err != nil || len(all.Items) == 0 {
		m.Fatalf("istiod's webhooks: %v, %v", all, err)
	}
	for _, o := range all.Items {
		if err := at.Delete(m.Context(), o.GetName(), metav1.DeleteOptions{}); err != nil {
			m.Fatal(err)
		}
	}
	back = sync.OnceFunc(func() {
		for _, o := range all.Items {
			for _, field := range []string{"resourceVersion", "uid", "creationTimestamp", "generation", "managedFields"} {
				unstructured.RemoveNestedField(o.Object, "metadata", field)
			}
			if _, err := at.Create(context.Background(), &o, metav1.CreateOptions{}); err != nil {
				m.Errorf("webhook %s did not come back: %v", o.GetName(), err)
			}
		}
	})
	m.Cleanup(back)
	return back
}

// An API server that is busy, ill, or silent for a while: no change is half
// made, and the next attempt succeeds.
func TestAnAPIServerThatFails(t *testing.T) {
	t.Parallel()
	m := newMeshTest(t)
	m.both()
	through, fail := m.proxy()
	tr := m.start(func(o *istio.Options) { o.Config = through; o.Deadline = 5 * time.Second })
	for _, answer := range []int{http.StatusInternalServerError, http.StatusConflict, http.StatusServiceUnavailable, 0} {
		fail(1, answer)
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		err := tr.SetWeights(ctx, fairway.Route{Namespace: m.ns, Service: "carts", Weights: share(0, 100)})
		cancel()
		if answer == http.StatusConflict { // somebody was faster; it is read and written again
			if err != nil {
				t.Errorf("%d: %v", answer, err)
			}
			if err := m.set(tr, share(100, 0)); err != nil {
				t.Fatal(err)
			}
			continue
		}
		if err == nil || fairway.KindOf(err) != fairway.KindUnavailable || !fairway.IsRetryable(err) || m.written() != "100/0" {
			t.Errorf("%d: %v (%s), written %s", answer, err, fairway.KindOf(err), m.written())
		}
	}
	fail(2, http.StatusTooManyRequests)
	if err := m.set(tr, share(0, 100)); err != nil {
		t.Errorf("busy: %v", err)
	}
	fail(0, 0)
	m.inForce(tr, share(0, 100))
}

// proxy stands before the API server. fail has it answer the next n changes of
// VirtualServices so; 0 is no answer.
func (m *meshTest) proxy() (config *rest.Config, fail func(n, answer int)) {
	m.Helper()
	plain := rest.CopyConfig(m.config)
	plain.NextProtos = []string{"http/1.1"} // a port-forward is an upgrade
	transport, err := rest.TransportFor(plain)
	if err != nil {
		m.Fatal(err)
	}
	target, err := url.Parse(m.config.Host)
	if err != nil {
		m.Fatal(err)
	}
	var left, status atomic.Int64
	forward := httputil.NewSingleHostReverseProxy(target)
	forward.Transport = transport
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodPatch || !strings.Contains(r.URL.Path, "/virtualservices/") || left.Add(-1) < 0 {
			forward.ServeHTTP(w, r)
			return
		}
		_, _ = io.Copy(io.Discard, r.Body) // only then the server sees that the client has gone
		if status.Load() == 0 {
			<-r.Context().Done()
			return
		}
		w.Header().Set("Content-Type", "application/json")
		if status.Load() == http.StatusTooManyRequests {
			w.Header().Set("Retry-After", "1")
		}
		w.WriteHeader(int(status.Load()))
		reason := map[int64]string{409: "Conflict", 429: "TooManyRequests", 500: "InternalError", 503: "ServiceUnavailable"}[status.Load()]
		fmt.Fprintf(w, `{"kind":"Status","apiVersion":"v1","status":"Failure","reason":%q,"message":"the test says so","code":%d}`, reason, status.Load())
	}))
	m.Cleanup(server.Close)
	return &rest.Config{Host: server.URL}, func(n, answer int) { status.Store(int64(answer)); left.Store(int64(n)) }
}
