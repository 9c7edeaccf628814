package project_test

import (
	"bytes"
	"context"
	"log/slog"
	"strings"
	"sync"
	"testing"

	"github.com/fairwaycd/fairway"
	"github.com/fairwaycd/fairway/controller"
	"github.com/fairwaycd/fairway/git"
	"github.com/fairwaycd/fairway/process"
	"github.com/fairwaycd/fairway/project"
)

// shelf keeps bodies in memory.
type shelf struct {
	mu     sync.Mutex
	bodies map[string][]byte
}

func (s *shelf) Put(_ context.Context, name string, body []byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.bodies[name] = bytes.Clone(body)
	return nil
}

func (s *shelf) Get(_ context.Context, name string) ([]byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	body, ok := s.bodies[name]
	if !ok {
		return nil, fairway.Errorf(fairway.KindNotFound, "there is no %s", name)
	}
	return body, nil
}

func ownKeeper(t *testing.T) (*project.Keeper, func() *project.Keeper) {
	t.Helper()
	quiet := slog.New(slog.DiscardHandler)
	store, err := git.Open(t.TempDir(), git.Options{Logger: quiet, NoSync: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { store.Close() })
	kept := &shelf{bodies: map[string][]byte{}}
	again := func() *project.Keeper {
		return project.New(project.Options{Git: store, Domain: "localhost", Logger: quiet, Rendered: kept, Runs: process.Check})
	}
	k := again()
	if _, err := k.Create(t.Context(), "ann", "shop", "", []byte("stages: [{name: dev}, {name: production, deployment_strategy: blue_green_service}]"), false); err != nil {
		t.Fatal(err)
	}
	return k, again
}

// randomChart makes a password of its own at each rendering.
func randomChart() map[string][]byte {
	return map[string][]byte{
		"Chart.yaml":  []byte("{apiVersion: v2, name: shop, version: 0.1.0}"),
		"values.yaml": []byte("image: {repository: nginx, tag: '1'}\n"),
		"templates/a.yaml": []byte(`
apiVersion: apps/v1
kind: Deployment
metadata: {name: "{{ .Release.Name }}-main"}
spec:
  template:
    metadata: {labels: {app: main}}
    spec:
      containers:
      - {name: main, image: "{{ .Values.image.repository }}:{{ .Values.image.tag }}", env: [{name: PASSWORD, value: "{{ randAlphaNum 20 }}"}]}
---
{apiVersion: v1, kind: Service, metadata: {name: "{{ .Release.Name }}-main"}, spec: {selector: {app: main}, ports: [{port: 80, targetPort: 8080}]}}
`),
	}
}

// TestRenderedOnce renders a chart with a random password once per delivery:
// attempts, restarts and a way back run the same.
func TestRenderedOnce(t *testing.T) {
	t.Parallel()
	k, restarted := ownKeeper(t)
	if _, err := k.Onboard(t.Context(), "ann", project.Onboard{Project: "shop", Service: "web", Chart: randomChart()}); err != nil {
		t.Fatal(err)
	}
	render := func(k *project.Keeper, d fairway.DeliveryID, tag, commit string, again bool) string {
		t.Helper()
		c := controller.Change{Project: "shop", Service: "web", Stage: fairway.Stage{Name: "dev"}.WithDefaults(), Delivery: d, Again: again, Key: string(d) + tag, Reason: "Use it"}
		a := fairway.Artifact{Image: "r/web", Tag: tag, Digest: "sha256:" + strings.Repeat(tag, 64)}
		if commit == "" && !again {
			var err error
			if commit, err = k.SetImage(t.Context(), c, a); err != nil {
				t.Fatal(err)
			}
		}
		out, err := k.Render(t.Context(), c, commit, a)
		if err != nil {
			t.Fatal(err)
		}
		text := string(bytes.Join(out.Manifests, nil))
		if !strings.Contains(text, "kind: Service") || !strings.Contains(text, a.Ref()) {
			t.Fatalf("rendered\n%s", text)
		}
		return text
	}
	first := render(k, "d1", "1", "", false)
	second := render(k, "d2", "2", "", false)
	switch {
	case first == second:
		t.Error("two deliveries have the same password")
	case render(k, "d2", "2", "", false) != second:
		t.Error("the next attempt has another password")
	case render(restarted(), "d2", "2", "", false) != second:
		t.Error("after a restart there is another password")
	case render(restarted(), "d1", "1", "", true) != first:
		t.Error("on the way back there is another password")
	case render(k, "d3", "1", "", true) == first:
		t.Error("a delivery of which nothing is known took another's")
	}
}

func TestOnboardChart(t *testing.T) {
	t.Parallel()
	k, _ := ownKeeper(t)
	two := randomChart()
	two["templates/b.yaml"] = bytes.ReplaceAll(bytes.ReplaceAll(two["templates/a.yaml"], []byte("-main"), []byte("-b")), []byte("app: main"), []byte("app: b"))
	missing := randomChart()
	missing["values.yaml"] = []byte("app: {image: nginx, version: 1}\n")
	tests := []struct {
		name string
		r    project.Onboard
		want []string
	}{
		{"no image values", project.Onboard{Service: "web", Chart: missing}, []string{"values.yaml", "--image-values"}},
		{"wrong image values", project.Onboard{Service: "web", Chart: randomChart(), ImageValues: []string{"img.repository", "img.tag"}}, []string{"no Deployment or StatefulSet runs it", "web-main runs nginx:1"}},
		{"two workloads", project.Onboard{Service: "web", Chart: two}, []string{"more than one workload", "Deployment web-b"}},
		{"strategy", project.Onboard{Service: "web", Chart: randomChart(), Strategy: "rolling"}, []string{"rolling", "use one of direct"}},
		{"name", project.Onboard{Service: "Web", Chart: randomChart()}, []string{"Web"}},
		{"values", project.Onboard{Service: "web", Chart: randomChart(), Values: []byte("a: {"), ValuesFile: "my.yaml"}, []string{"my.yaml:1", "is not valid YAML"}},
		{"template beside", project.Onboard{Service: "web", Chart: randomChart(), KService: []byte("x")}, []string{"beside a chart"}},
		{"path", project.Onboard{Service: "web", Chart: map[string][]byte{"Chart.yaml": nil, "values.yaml": []byte("image: x"), "../../x": nil}}, []string{"is not a path within a chart"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			tt.r.Project = "shop"
			_, err := k.Onboard(t.Context(), "ann", tt.r)
			if fairway.KindOf(err) != fairway.KindInvalid {
				t.Fatalf("error %v of kind %s", err, fairway.KindOf(err))
			}
			for _, want := range tt.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("error %v does not contain %q", err, want)
				}
			}
		})
	}
	t.Run("warnings", func(t *testing.T) {
		t.Parallel()
		files := randomChart()
		files["templates/b.yaml"] = []byte(`{apiVersion: batch/v1, kind: CronJob, metadata: {name: nightly}, spec: {jobTemplate: {spec: {template: {spec: {
			containers: [{name: c, image: busybox}], volumes: [{name: v, persistentVolumeClaim: {claimName: p}}]}}}}}}
---
{apiVersion: v1, kind: PersistentVolumeClaim, metadata: {name: p}}
`)
		files["templates/a.yaml"] = bytes.Replace(files["templates/a.yaml"], []byte("selector: {app: main}"), []byte("selector: {app: x}"), 1)
		done, err := k.Onboard(t.Context(), "ann", project.Onboard{Project: "shop", Service: "web", Chart: files, DryRun: true})
		text := strings.Join(done.Warnings, "\n")
		if err != nil || len(done.Warnings) != 3 {
			t.Fatalf("warnings %q, error %v", done.Warnings, err)
		}
		for _, want := range []string{"in stage production blue and green each get a state", "it runs for each colour", "no Kubernetes Service that leads to its image"} {
			if !strings.Contains(text, want) {
				t.Errorf("warnings\n%s\ndo not contain %q", text, want)
			}
		}
	})
	t.Run("image to deliver", func(t *testing.T) {
		t.Parallel()
		done, err := k.Onboard(t.Context(), "ann", project.Onboard{Project: "shop", Service: "web", Chart: randomChart(), Values: []byte("image: {repository: r/web, tag: 1.0}"), DryRun: true})
		if err != nil || done.Artifact.String() != "r/web:1.0" || len(done.Warnings) > 0 {
			t.Errorf("got %+v, error %v", done, err)
		}
	})
}
