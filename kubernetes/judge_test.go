package kubernetes

import (
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/yaml"
)

func decoded[T any](t *testing.T, text string) *T {
	t.Helper()
	v := new(T)
	if err := yaml.Unmarshal([]byte(text), v); err != nil {
		t.Fatal(err)
	}
	return v
}

const healthy = `
metadata: {name: carts, generation: 2}
spec:
  replicas: 2
  selector: {matchLabels: {app: carts}}
  template: {metadata: {labels: {app: carts, fairway.dev/instance: new}}}
status: {observedGeneration: 2, replicas: 2, updatedReplicas: 2, availableReplicas: 2, conditions: [{type: Progressing, status: "True", reason: NewReplicaSetAvailable}]}
`

const readyPod = `
metadata: {name: p1, creationTimestamp: "2026-01-01T00:00:00Z", labels: {fairway.dev/instance: new}}
status: {phase: Running, conditions: [{type: PodScheduled, status: "True"}, {type: Ready, status: "True"}], containerStatuses: [{name: c, ready: true, state: {running: {}}}]}
`

func TestReadiness(t *testing.T) {
	t.Parallel()
	replaced := func(text string, pairs ...string) string { return strings.NewReplacer(pairs...).Replace(text) }
	waiting := func(container, extra string) string {
		return `
metadata: {name: p2, creationTimestamp: "2026-01-01T00:00:00Z", labels: {fairway.dev/instance: new}}
status: {phase: Pending, conditions: [{type: PodScheduled, status: "True"}, {type: Ready, status: "False"}], containerStatuses: [{name: c, image: 'r/i:1', ` + container + `}]` + extra + `}
`
	}
	short := replaced(healthy, "availableReplicas: 2", "availableReplicas: 1", "NewReplicaSetAvailable", "ReplicaSetUpdated")
	missing := `state: {waiting: {reason: ImagePullBackOff, message: 'Back-off pulling image "r/i:1": ErrImagePull: rpc error: code = NotFound desc = r/i:1: not found'}}`
	for _, c := range []struct {
		name, deployment string
		pods             []string
		after            time.Duration // since the pods were made; default a minute
		want             string        // of the reason; empty means ready
		terminal         bool
	}{
		{name: "ready", deployment: healthy, pods: []string{readyPod}},
		{name: "not seen", deployment: replaced(healthy, "generation: 2", "generation: 3", "observedGeneration: 3", "observedGeneration: 2"), pods: []string{readyPod}, want: "has not seen the change"},
		{name: "rolling", deployment: replaced(healthy, "updatedReplicas: 2", "updatedReplicas: 1"), want: "1 of 2 pods are of the new version"},
		{name: "old ones left", deployment: replaced(healthy, ", replicas: 2", ", replicas: 3"), want: "1 pods of before"},
		{name: "one is ending", deployment: healthy, pods: []string{readyPod, replaced(readyPod, "labels:", `deletionTimestamp: "2026-01-01T00:01:00Z", labels:`)}, want: "1 pods of before have not ended"},
		{name: "another instance", deployment: healthy, pods: []string{replaced(readyPod, "instance: new", "instance: old")}, want: "1 pods of before"},
		{name: "evicted pods do not matter", deployment: healthy, pods: []string{readyPod, replaced(readyPod, "Running", "Failed", `type: Ready, status: "True"`, `type: Ready, status: "False"`)}},
		{name: "scaled to nothing", deployment: replaced(healthy, "replicas: 2\n", "replicas: 0\n"), want: "scaled to 0"},
		{name: "missing image, soon", deployment: short, pods: []string{waiting(missing, "")}, after: 5 * time.Second, want: "its image r/i:1 cannot be pulled (ImagePullBackOff)"},
		{name: "missing image, late", deployment: short, pods: []string{waiting(missing, "")}, want: "not found", terminal: true},
		{name: "registry away", deployment: short, pods: []string{waiting(`state: {waiting: {reason: ErrImagePull, message: "dial tcp: i/o timeout"}}`, "")}, want: "i/o timeout"},
		{name: "no such name of an image", deployment: short, pods: []string{waiting(`state: {waiting: {reason: InvalidImageName, message: "bad"}}`, "")}, after: time.Second, want: "InvalidImageName", terminal: true},
		{name: "missing secret", deployment: short, pods: []string{waiting(`state: {waiting: {reason: CreateContainerConfigError, message: 'secret "s" not found'}}`, "")}, want: `cannot be configured: secret "s" not found`, terminal: true},
		{name: "first crash", deployment: short, pods: []string{waiting(`restartCount: 1, state: {waiting: {reason: CrashLoopBackOff}}, lastState: {terminated: {exitCode: 1, reason: Error}}`, "")}, want: "exit code 1, and was started again 1 times"},
		{name: "crash loop", deployment: short, pods: []string{waiting(`restartCount: 3, state: {waiting: {reason: CrashLoopBackOff}}, lastState: {terminated: {exitCode: 137, reason: OOMKilled}}`, "")}, want: "exit code 137 (OOMKilled)", terminal: true},
		{name: "crash loop between two crashes", deployment: short, pods: []string{waiting(`restartCount: 4, ready: false, state: {running: {}}, lastState: {terminated: {exitCode: 2}}`, "")}, want: "exit code 2", terminal: true},
		{name: "init container", deployment: short, pods: []string{waiting(`state: {waiting: {reason: PodInitializing}}`, `, initContainerStatuses: [{name: i, restartCount: 5, state: {waiting: {reason: CrashLoopBackOff}}, lastState: {terminated: {exitCode: 3}}}]`)}, want: "init container i ended with exit code 3", terminal: true},
		{name: "no node", deployment: short, pods: []string{`
metadata: {name: p3, creationTimestamp: "2026-01-01T00:00:00Z", labels: {fairway.dev/instance: new}}
status: {phase: Pending, conditions: [{type: PodScheduled, status: "False", reason: Unschedulable, message: "0/1 nodes are available: 1 Insufficient cpu."}]}`}, want: "cannot be placed on a node: 0/1 nodes"},
		{name: "quota", deployment: replaced(short, "conditions: [", `conditions: [{type: ReplicaFailure, status: "True", reason: FailedCreate, message: "exceeded quota: small"}, `), want: "pods cannot be made: exceeded quota: small"},
		{name: "its own deadline", deployment: replaced(short, `status: "True", reason: ReplicaSetUpdated`, `status: "False", reason: ProgressDeadlineExceeded, message: "has timed out progressing"`), want: "has timed out progressing", terminal: true},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			w, ok := workloadOf(decoded[appsv1.Deployment](t, c.deployment))
			if !ok {
				t.Fatal("is no workload")
			}
			var pods []*corev1.Pod
			for _, text := range c.pods {
				pods = append(pods, decoded[corev1.Pod](t, text))
			}
			after := c.after
			if after == 0 {
				after = time.Minute
			}
			got := w.judge(pods, time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC).Add(after), 25*time.Second)
			if c.want == "" && got.reason != "" || !strings.Contains(got.reason, c.want) || got.terminal != c.terminal {
				t.Errorf("got %+v, want %q, terminal %v", got, c.want, c.terminal)
			}
		})
	}
}

func TestARolloutStaysComplete(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		text string
		want bool
	}{
		"complete":             {healthy, true},
		"a pod failed later":   {strings.Replace(healthy, "availableReplicas: 2", "availableReplicas: 1", 1), true},
		"under way":            {strings.Replace(healthy, "NewReplicaSetAvailable", "ReplicaSetUpdated", 1), false},
		"a new specification":  {strings.Replace(healthy, "observedGeneration: 2", "observedGeneration: 1", 1), false},
		"without its deadline": {strings.Replace(healthy, `{type: Progressing, status: "True", reason: NewReplicaSetAvailable}`, "", 1), true},
	} {
		if got := deploymentProgress(decoded[appsv1.Deployment](t, c.text)).complete; got != c.want {
			t.Errorf("%s: %v", name, got)
		}
	}
	set := decoded[appsv1.StatefulSet](t, `
metadata: {generation: 1}
spec: {replicas: 3}
status: {observedGeneration: 1, replicas: 3, updatedReplicas: 2, availableReplicas: 3, currentRevision: a, updateRevision: b}`)
	if p := statefulProgress(set); p.complete {
		t.Error("two of three pods are updated")
	}
	set.Status.UpdatedReplicas, set.Status.CurrentRevision = 3, "b"
	if p := statefulProgress(set); !p.complete {
		t.Error("all pods are updated")
	}
}

func TestHooksEnd(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"kind: Job\nstatus: {active: 1}":                                                       "runs",
		"kind: Job\nstatus: {conditions: [{type: Complete, status: 'True'}]}":                  "done",
		"kind: Job\nstatus: {conditions: [{type: Failed, status: 'True', message: too many}]}": "too many",
		"kind: Pod\nstatus: {phase: Succeeded}":                                                "done",
		"kind: Pod\nstatus: {phase: Failed, message: evicted}":                                 "evicted",
		"kind: Pod\nstatus: {phase: Running}":                                                  "runs",
	} {
		done, failed := jobFinding(parsed(t, "apiVersion: v1\nmetadata: {name: a}\n"+text))
		got := failed
		if done {
			got = "done"
		} else if failed == "" {
			got = "runs"
		}
		if got != want {
			t.Errorf("%s: %s, want %s", text, got, want)
		}
	}
}
