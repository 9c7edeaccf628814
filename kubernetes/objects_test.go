package kubernetes

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/yaml"

	"github.com/fairwaycd/fairway"
)

var update = flag.Bool("update", false, "rewrite the golden files")

func all(schema.GroupVersionKind) bool { return true }

const web = `
apiVersion: apps/v1
kind: Deployment
metadata: {name: NAME}
spec:
  selector: {matchLabels: {app: NAME}}
  template:
    metadata: {labels: {app: NAME}, annotations: {prometheus.io/scrape: "true", prometheus.io/port: "9000"}}
    spec:
      containers:
      - {name: side, image: other}
      - name: main
        image: r/web:1
        ports: [{containerPort: 8080}]
        readinessProbe: {httpGet: {path: /health, port: 8080}}
`

func workloadFor(c fairway.Colour, manifests ...string) fairway.Workload {
	w := fairway.Workload{Project: "sockshop", Stage: "dev", Place: fairway.Place{Namespace: "dev", Service: "web", Colour: c},
		Delivery: "d1", Artifact: fairway.Artifact{Image: "r/web", Tag: "1"}, Commit: "c0ffee", Instance: "d1.dev.1"}
	for _, m := range manifests {
		w.Manifests = append(w.Manifests, []byte(m))
	}
	return w
}

func named(name string) string { return strings.ReplaceAll(web, "NAME", name) }

func TestTheWorkloadIsFound(t *testing.T) {
	t.Parallel()
	service := "apiVersion: v1\nkind: Service\nmetadata: {name: web}\nspec: {selector: {app: web-green}, ports: [{port: 80}]}\n"
	other := strings.ReplaceAll(named("cache"), "r/web:1", "redis:7")
	for name, c := range map[string]struct {
		manifests  []string
		want, port string
	}{
		"by name":     {[]string{other, named("web-green"), named("web-extra")}, "web-green", "8080"},
		"by image":    {[]string{other, named("shop-web")}, "shop-web", "8080"},
		"the only":    {[]string{strings.ReplaceAll(named("x"), "r/web:1", "another")}, "x", ""},
		"with a port": {[]string{named("web-green"), service}, "web-green", "80"},
	} {
		r, err := read(workloadFor(fairway.Green, c.manifests...), all)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if r.workload.GetName() != c.want || r.rec.Port != c.port {
			t.Errorf("%s: %s at port %q, want %s at %q", name, r.workload.GetName(), r.rec.Port, c.want, c.port)
		}
	}
	r, err := read(workloadFor(fairway.Green, named("web-green")), all)
	if err != nil {
		t.Fatal(err)
	}
	if r.rec.HealthPath != "/health" || r.rec.MetricsPort != "9000" || r.rec.MetricsPath != "/metrics" {
		t.Errorf("%+v", r.rec)
	}
}

func TestWhatIsWrongWithManifests(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ manifest, want string }{
		"not YAML":          {"a: [", "manifest 1: is not valid YAML"},
		"no workload":       {"apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\n", "renders no Deployment or StatefulSet"},
		"another namespace": {"apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a, namespace: other}\n", "is not the stage's namespace dev"},
		"a number in env":   {strings.Replace(named("web"), "ports:", "env: [{name: A, value: 1}]\n        ports:", 1), "need quotes"},
		"no name":           {"apiVersion: v1\nkind: ConfigMap\nmetadata: {}\n", "has no metadata.name"},
		"weight of a hook":  {"apiVersion: batch/v1\nkind: Job\nmetadata: {name: a, annotations: {helm.sh/hook: pre-install, helm.sh/hook-weight: heavy}}\n", "is not a number"},
	} {
		err := Check(workloadFor(fairway.Single, c.manifest))
		if fairway.KindOf(err) != fairway.KindInvalid || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
	}
	stateful := strings.Replace(named("web-blue"), "kind: Deployment", "kind: StatefulSet", 1)
	if err := Check(workloadFor(fairway.Blue, stateful)); fairway.KindOf(err) != fairway.KindRefused || !strings.Contains(err.Error(), "strategy: direct") {
		t.Errorf("a StatefulSet under blue/green: %v", err)
	}
	if err := Check(workloadFor(fairway.Single, strings.Replace(named("web"), "kind: Deployment", "kind: StatefulSet", 1))); err != nil {
		t.Errorf("a StatefulSet in a direct stage: %v", err)
	}
}

func TestWhatLeadsTrafficIsLeftToOthers(t *testing.T) {
	t.Parallel()
	w := workloadFor(fairway.Single, named("web"))
	for _, text := range []string{
		"apiVersion: v1\nkind: Service\nmetadata: {name: web}\nspec: {selector: {app: web}, ports: [{port: 80}]}\n",
		"apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {name: web}\n",
		"apiVersion: networking.k8s.io/v1\nkind: Ingress\nmetadata: {name: web}\n",
	} {
		w.Shared = append(w.Shared, []byte(text))
	}
	r, err := read(w, all)
	if err != nil {
		t.Fatal(err)
	}
	if len(r.objects) != 1 || r.objects[0].GetKind() != "Ingress" || r.rec.Port != "80" {
		t.Errorf("applies %v, port %s", r.objects, r.rec.Port)
	}
}

func TestLabelsOfPods(t *testing.T) {
	t.Parallel()
	own := strings.NewReplacer("{app: NAME}}\n", "{app: NAME, version: v9}}\n", "labels: {app: NAME}", "labels: {app: NAME, version: v9}", "NAME", "web-blue").Replace(web)
	cache := strings.ReplaceAll(named("cache"), "r/web:1", "redis:7")
	r, err := read(workloadFor(fairway.Blue, own, cache), all)
	if err != nil {
		t.Fatal(err)
	}
	if err := r.label("default"); err != nil {
		t.Fatal(err)
	}
	labels, _, _ := unstructured.NestedStringMap(r.workload.Object, "spec", "template", "metadata", "labels")
	if labels["version"] != "v9" {
		t.Errorf("the selector names version v9, and the pods have %s", labels["version"])
	}
	if labels[LabelColour] != "blue" || labels[LabelInstance] != "d1.dev.1" || labels[LabelService] != "web" {
		t.Errorf("labels %v", labels)
	}
	beside, _, _ := unstructured.NestedStringMap(r.objects[0].Object, "spec", "template", "metadata", "labels")
	if beside[LabelService] != "" || beside[LabelInstance] != "" || beside[labelPart] != "web" {
		t.Errorf("pods beside the version would get its requests, or restart with it: %v", beside)
	}
	if !contains(r.rec.Objects, ref{"apps/v1", "Deployment", "cache"}) {
		t.Errorf("the record has %v", r.rec.Objects)
	}
}

var sections = regexp.MustCompile(`(?m)^# (.*)$`)

// TestTheSameIsAppliedAsBefore keeps what this release applies for the charts
// of the renderer's corpus. A pod template that differs would restart every pod
// of every service when Fairway is upgraded.
func TestTheSameIsAppliedAsBefore(t *testing.T) {
	t.Parallel()
	var files []string
	for _, pattern := range []string{"../helm/testdata/*.yaml", "../helm/testdata/corpus/*/*.golden"} {
		found, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, found...)
	}
	if len(files) < 10 {
		t.Fatalf("the corpus has %d files", len(files))
	}
	for _, file := range files {
		name := strings.ReplaceAll(strings.TrimSuffix(strings.TrimPrefix(strings.TrimPrefix(file, "../helm/testdata/"), "corpus/"), filepath.Ext(file)), "/", "-")
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := applied(t, file)
			golden := filepath.Join("testdata", "rendered", name+".yaml")
			if *update {
				if err := os.WriteFile(golden, got, 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(got, want) {
				t.Errorf("%s: got\n%s\nwant\n%s", golden, got, want)
			}
		})
	}
}

var imageLine = regexp.MustCompile(`image: "?([^\s"@]+):([^\s"@:]+)(@\S+?)?"?\n`)

// applied is what is sent to the cluster for a file of rendered objects.
func applied(t *testing.T, file string) []byte {
	t.Helper()
	body, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	w := workloadFor(fairway.Single)
	switch base := filepath.Base(file); {
	case strings.Contains(base, "green"), base == "staging.golden":
		w.Place.Colour = fairway.Green
	case strings.Contains(base, "blue"):
		w.Place.Colour = fairway.Blue
	}
	if m := imageLine.FindSubmatch(body); m != nil {
		w.Artifact.Image, w.Artifact.Tag = string(m[1]), string(m[2])
		w.Place.Service = fairway.ServiceName(filepath.Base(w.Artifact.Image))
	}
	section := ""
	for _, doc := range strings.Split(string(body), "---\n") {
		text := sections.ReplaceAllString(doc, "")
		if strings.TrimSpace(text) != "" {
			if section == "shared" {
				w.Shared = append(w.Shared, []byte(text))
			} else {
				w.Manifests = append(w.Manifests, []byte(text))
			}
		}
		if m := sections.FindStringSubmatch(doc); m != nil {
			section = m[1]
		}
	}
	r, err := read(w, all)
	if err != nil {
		t.Fatal(err)
	}
	if err := r.label("default"); err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	for _, o := range append(append(r.hookObjects(), r.objects...), r.workload) {
		b, err := yaml.Marshal(o.Object)
		if err != nil {
			t.Fatal(err)
		}
		out.WriteString("---\n")
		out.Write(b)
	}
	return out.Bytes()
}
