package process

import (
	"strings"
	"testing"

	"github.com/fairwaycd/fairway"
)

// TestChoose says which of a chart's workloads, containers and ports is run.
func TestChoose(t *testing.T) {
	t.Parallel()
	deploy := func(name, app, containers string) string {
		return "{apiVersion: apps/v1, kind: Deployment, metadata: {name: " + name + "}, spec: {template: {metadata: {labels: {app: " + app + "}}, spec: {containers: [" + containers + "]}}}}"
	}
	service := func(name, app, ports string) string {
		return "{apiVersion: v1, kind: Service, metadata: {name: " + name + "}, spec: {selector: {app: " + app + "}, ports: [" + ports + "]}}"
	}
	ours := "{name: main, image: 'r/web:1', args: [ours], ports: [{name: http, containerPort: 8080}, {name: admin, containerPort: 9090}]}"
	other := "{name: other, image: 'redis:7', args: [other], ports: [{containerPort: 6379}]}"
	tests := []struct {
		name      string
		manifests []string
		args      string // of what is run
		notRun    []string
		err       []string
	}{
		{"one", []string{deploy("x", "x", ours)}, "ours", []string{"container port 9090, since only 8080 is mapped"}, nil},
		{"behind a Service", []string{deploy("cache", "cache", other), deploy("x", "x", ours), service("x", "x", "{port: 80, targetPort: http}")}, "ours", []string{"Deployment cache"}, nil},
		{"the image's", []string{deploy("cache", "cache", other), deploy("x", "x", ours), service("cache", "cache", "{port: 6379}"), service("x", "x", "{port: 80, targetPort: 8080}")}, "ours", []string{"Deployment cache"}, nil},
		{"port by name", []string{deploy("x", "x", other+", "+ours), service("x", "x", "{port: 80, targetPort: admin}")}, "ours", []string{"container other, since only main is", "container port 8080, since only 9090 is mapped"}, nil},
		{"port called http", []string{deploy("x", "x", ours), service("x", "x", "{name: admin, port: 9090}, {name: http, port: 8080}")}, "ours", []string{"container port 9090, since only 8080 is mapped"}, nil},
		{"undeclared port", []string{deploy("x", "x", other+", {name: main, image: 'r/web:1', args: [ours]}"), service("x", "x", "{port: 80, targetPort: 1}")}, "ours", []string{"container other, since only main is"}, nil},
		{"two alike", []string{deploy("x", "x", ours), deploy("z", "z", ours), service("x", "x", "{port: 80}"), service("z", "z", "{port: 80}")}, "", nil, []string{"Deployment x, Deployment z", "name it web-blue"}},
		{"two alike, one named", []string{deploy("web-blue", "x", ours), deploy("z", "z", ours), service("x", "x", "{port: 80}"), service("z", "z", "{port: 80}")}, "ours", []string{"Deployment z"}, nil},
		{"two without Service", []string{deploy("x", "x", other), deploy("z", "z", other)}, "", nil, []string{"more than one workload"}},
		{"none", []string{service("x", "x", "{port: 80}")}, "", nil, []string{"neither a Deployment nor a StatefulSet"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			w := fairway.Workload{Place: fairway.Place{Namespace: "staging", Service: "web", Colour: fairway.Blue}, Artifact: fairway.Artifact{Image: "r/web", Tag: "1"}}
			for _, m := range tt.manifests {
				w.Manifests = append(w.Manifests, []byte(m))
			}
			s, err := decode(w, "localhost")
			if tt.err != nil {
				if fairway.KindOf(err) != fairway.KindInvalid || fairway.KindOf(Check(w)) != fairway.KindInvalid {
					t.Fatalf("error %v", err)
				}
				contains(t, err.Error(), tt.err...)
				return
			}
			must(t, err)
			if strings.Join(s.args, " ") != tt.args || !s.hasPort {
				t.Errorf("runs %v, port %v", s.args, s.hasPort)
			}
			contains(t, strings.Join(s.notRun, "\n"), tt.notRun...)
		})
	}
}

const hookJob = `
apiVersion: batch/v1
kind: Job
metadata:
  name: NAME
  annotations: {helm.sh/hook: WHEN, helm.sh/hook-weight: "WEIGHT"}
spec:
  activeDeadlineSeconds: 30
  template:
    spec:
      containers:
      - {name: h, image: IMAGE, command: COMMAND, envFrom: [{configMapRef: {name: to}}]}
`

func hookOf(name, when, weight, image, command string) string {
	return strings.NewReplacer("NAME", name, "WHEN", when, "WEIGHT", weight, "IMAGE", image, "COMMAND", command).Replace(hookJob)
}

const hookConfig = "{apiVersion: v1, kind: ConfigMap, metadata: {name: to, annotations: {helm.sh/hook: pre-install}}, data: {TO: seven}}"

// TestHooksRunBefore runs them in the order of their weights, once, from
// their own image, and not those of other times.
func TestHooksRunBefore(t *testing.T) {
	t.Parallel()
	f := start(t, func(o *Options) { o.Images.(images)["tools"] = testImage(newRoot(t)) })
	f.apply("a", withPort, hookConfig,
		hookOf("second", "pre-install", "2", "tools:1", `[/app/child, -exit, "0", -say, "second to $(TO)"]`),
		hookOf("first", `"pre-upgrade,post-upgrade"`, "-1", "carts:1.0", `[/app/child, -exit, "0", -say, first]`),
		hookOf("test", "test", "0", "tools:1", `[/app/child, -exit, "0", -say, tested]`))
	i := f.ready("a")
	if got := strings.Join(i.NotRun, "|"); got != "not run here: hook Job test (test)" {
		t.Errorf("NotRun is %q", got)
	}
	f.shutdown()
	f.restart()
	f.ready("a")
	var log strings.Builder
	must(t, f.Logs(t.Context(), "d-a", &log, false))
	text := log.String()
	first, second := strings.Index(text, "\nfirst\n"), strings.Index(text, "\nsecond to seven\n")
	if first < 0 || second < first || second > strings.Index(text, "hello from") || strings.Count(text, "\nfirst\n") != 1 || strings.Contains(text, "tested") {
		t.Errorf("the log is\n%s", text)
	}
}

func TestHookThatFails(t *testing.T) {
	t.Parallel()
	f := start(t)
	f.apply("a", withPort, hookConfig, hookOf("migrate", "pre-upgrade", "0", "carts:1.0", `[/app/child, -exit, "3", -say, "table is locked"]`))
	f.never("a", "hook Job migrate (pre-upgrade) failed: exit status 3", "| table is locked")
	if i := f.instance("a"); i.PID != 0 || i.Ready {
		t.Errorf("the program runs all the same: %+v", i)
	}
	f.apply("b", withPort, hookConfig, hookOf("migrate", "pre-upgrade", "0", "nowhere:1", `[/app/child, -idle]`))
	f.never("b", "hook Job migrate", "there is no image nowhere")
	f.apply("c", withPort, hookConfig, strings.Replace(hookOf("slow", "pre-upgrade", "0", "carts:1.0", `[/app/child, -idle]`), "Seconds: 30", "Seconds: 1", 1))
	f.never("c", "hook Job slow (pre-upgrade) failed: it took longer than its activeDeadlineSeconds (1s)")
	must(t, f.Stop(t.Context(), "a"))
}

// TestHookIsEnded stops an instance whose hook does not end.
func TestHookIsEnded(t *testing.T) {
	t.Parallel()
	f := start(t)
	f.apply("a", withPort, hookConfig, hookOf("slow", "pre-install", "0", "carts:1.0", `[/app/child, -idle]`))
	eventually(t, "the hook runs", func() bool { return strings.Contains(f.instance("a").Reason, "hook Job slow (pre-install) is running") })
	must(t, f.Stop(t.Context(), "a"))
}

// TestHookAfterRestart runs a hook again that was under way, and none of its
// processes is left.
func TestHookAfterRestart(t *testing.T) {
	t.Parallel()
	f := start(t)
	f.apply("a", withPort, hookConfig,
		hookOf("done", "pre-install", "1", "carts:1.0", `[/app/child, -exit, "0", -say, done]`),
		hookOf("slow", "pre-install", "2", "carts:1.0", `[/app/child, -idle]`))
	running := func() bool { return strings.Contains(f.instance("a").Reason, "hook Job slow (pre-install) is running") }
	eventually(t, "the second hook runs", running)
	must(t, f.Detach(t.Context()))
	f.restart()
	eventually(t, "the second hook runs again", running)
	must(t, f.Stop(t.Context(), "a"))
	var log strings.Builder
	must(t, f.Logs(t.Context(), "d-a", &log, false))
	if n := strings.Count(log.String(), "\ndone\n"); n != 1 {
		t.Errorf("the first hook ran %d times:\n%s", n, log.String())
	}
}
