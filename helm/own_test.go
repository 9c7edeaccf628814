package helm_test

import (
	"bytes"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"
	"helm.sh/helm/v3/pkg/chartutil"

	"github.com/fairwaycd/fairway"
	"github.com/fairwaycd/fairway/chart"
	"github.com/fairwaycd/fairway/helm"
)

var webArtifact = fairway.Artifact{Image: "127.0.0.1:8080/sockshop/web", Tag: "1.0", Digest: digest}

// withChart returns a branch in which the chart is that of the service web.
func withChart(t testing.TB, st fairway.Stage, files map[string][]byte, values string) map[string][]byte {
	t.Helper()
	paths, err := chart.FindImageValues(files["values.yaml"])
	if err != nil {
		t.Fatal(err)
	}
	doc, err := chart.OwnRequest{Service: "web", Values: []byte(values), ImageValues: paths}.Document()
	if err != nil {
		t.Fatal(err)
	}
	branch := chart.Init("sockshop", st, "localhost")
	changes, _, err := chart.Onboard(branch, chart.OnboardRequest{Project: "sockshop", Stage: st, Domain: "localhost", Values: doc, Own: files})
	if err != nil {
		t.Fatal(err)
	}
	maps.Copy(branch, changes)
	return branch
}

// created is the chart that helm create makes.
func created(t testing.TB, name string) map[string][]byte {
	t.Helper()
	dir, err := chartutil.Create(name, t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	files, err := helm.ReadChart(dir)
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// TestCorpus renders every chart of the corpus as before: a newer build must
// make the same pod templates, for else an upgrade would restart pods.
func TestCorpus(t *testing.T) {
	t.Parallel()
	dirs, err := filepath.Glob(filepath.Join("testdata", "corpus", "*", "chart"))
	if err != nil || len(dirs) < 5 {
		t.Fatalf("the corpus has %d charts, error %v", len(dirs), err)
	}
	for _, dir := range dirs {
		name := filepath.Base(filepath.Dir(dir))
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			files, err := helm.ReadChart(dir)
			if err != nil {
				t.Fatal(err)
			}
			golden(t, name, files)
		})
	}
	t.Run("created", func(t *testing.T) {
		t.Parallel()
		golden(t, "created", created(t, "shop"))
	})
}

func golden(t *testing.T, name string, files map[string][]byte) {
	values, err := os.ReadFile(filepath.Join("testdata", "corpus", name, "values.yaml"))
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	for _, place := range []struct {
		st fairway.Stage
		c  fairway.Colour
	}{{dev, fairway.Single}, {staging, fairway.Green}} {
		r := release(place.st, "web", place.c)
		r.Artifact = webArtifact
		out, err := helm.Render(t.Context(), withChart(t, place.st, files, string(values)), r)
		if err != nil {
			t.Fatal(err)
		}
		got := "# what runs\n" + join(out.Manifests) + "# single\n" + join(out.Single)
		file := filepath.Join("testdata", "corpus", name, string(place.st.Name)+".golden")
		if *update {
			if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if got != string(want) {
			t.Errorf("%s: got\n%s\nwant\n%s", file, got, want)
		}
	}
}

const deploymentOf = `
apiVersion: apps/v1
kind: Deployment
metadata: {name: NAME}
spec:
  selector: {matchLabels: {app: NAME}}
  template:
    metadata: {labels: {app: NAME}}
    spec:
      containers:
      - name: main
        image: "{{ .Values.image.repository }}:{{ .Values.image.tag }}"
`

func smallChart(templates ...string) map[string][]byte {
	files := map[string][]byte{
		"Chart.yaml":  []byte("{apiVersion: v2, name: shop, version: 0.1.0}"),
		"values.yaml": []byte("image: {repository: nginx, tag: '1'}\n"),
	}
	for i, text := range templates {
		files["templates/"+string(rune('a'+i))+".yaml"] = []byte(text)
	}
	return files
}

func deployment(name string) string { return strings.ReplaceAll(deploymentOf, "NAME", name) }

func with(f map[string][]byte, name, body string) map[string][]byte {
	f = maps.Clone(f)
	f[name] = []byte(body)
	return f
}

// TestOwnSingle says which objects become the colour's and which stay.
func TestOwnSingle(t *testing.T) {
	t.Parallel()
	pod := func(spec string) string {
		return deployment("web") + "\n---\n{apiVersion: v1, kind: ConfigMap, metadata: {name: c}}\n---\n{apiVersion: v1, kind: Secret, metadata: {name: s}}\n---\n{apiVersion: v1, kind: PersistentVolumeClaim, metadata: {name: p}}\n---\n" +
			"apiVersion: batch/v1\nkind: Job\nmetadata: {name: job}\nspec: {template: {spec: {containers: [], " + spec + "}}}\n"
	}
	tests := []struct{ name, text, want string }{
		{"nothing refers", pod("x: y"), ""},
		{"volumes", pod("volumes: [{configMap: {name: c}}, {secret: {secretName: s}}, {persistentVolumeClaim: {claimName: p}}]"), "c s p"},
		{"projected", pod("volumes: [{projected: {sources: [{configMap: {name: c}}, {secret: {name: s}}]}}]"), "c s"},
		{"env", pod("initContainers: [{env: [{valueFrom: {configMapKeyRef: {name: c}}}], envFrom: [{secretRef: {name: s}}]}]"), "c s"},
		{"pull secret", pod("imagePullSecrets: [{name: s}], volumes: [{secret: {secretName: s}}, {configMap: {name: c}}]"), "c"},
		{"ingress too", pod("volumes: [{secret: {secretName: s}}]") + "---\n{apiVersion: networking.k8s.io/v1, kind: Ingress, metadata: {name: i}, spec: {tls: [{secretName: s}]}}", ""},
		{"role too", pod("volumes: [{secret: {secretName: s}}, {configMap: {name: c}}]") + "---\n{apiVersion: rbac.authorization.k8s.io/v1, kind: Role, metadata: {name: r}, rules: [{resourceNames: [c]}]}", "s"},
		{"custom resource too", pod("volumes: [{configMap: {name: c}}]") + "---\n{apiVersion: x.io/v1, kind: Thing, metadata: {name: t}, spec: {configMapRef: {name: c}}}", ""},
		{"autoscaler", pod("x: y") + "---\n{apiVersion: autoscaling/v2, kind: HorizontalPodAutoscaler, metadata: {name: h}, spec: {scaleTargetRef: {kind: Deployment, name: web}}}", "h"},
		{"autoscaler of another", pod("x: y") + "---\n{apiVersion: autoscaling/v2, kind: HorizontalPodAutoscaler, metadata: {name: h}, spec: {scaleTargetRef: {kind: Deployment, name: other}}}", ""},
		{"budget", pod("x: y") + "---\n{apiVersion: policy/v1, kind: PodDisruptionBudget, metadata: {name: b}, spec: {selector: {matchLabels: {app: web}}}}", "b"},
		{"budget of another", pod("x: y") + "---\n{apiVersion: policy/v1, kind: PodDisruptionBudget, metadata: {name: b}, spec: {selector: {matchLabels: {app: x}}}}", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			out, err := helm.Render(t.Context(), withChart(t, staging, smallChart(tt.text), ""), release(staging, "web", fairway.Blue))
			if err != nil {
				t.Fatal(err)
			}
			coloured := map[string]bool{}
			for _, o := range out.Objects {
				if name, ok := strings.CutSuffix(o.Name, "-blue"); ok && !o.Shared && o.Kind != "Deployment" && o.Kind != "Job" {
					coloured[name] = true
				}
			}
			for _, name := range strings.Fields(tt.want) {
				if !coloured[name] {
					t.Errorf("%s is not the colour's", name)
				}
				delete(coloured, name)
			}
			if len(coloured) > 0 {
				t.Errorf("%v are the colour's too", coloured)
			}
			consistent(t, slicesOf(out))
		})
	}
}

func slicesOf(out helm.Rendered) [][]byte {
	return append(append([][]byte{}, out.Manifests...), out.Single...)
}

// consistent fails when an object that is there under its colour's name is
// still referred to under the old one.
func consistent(t *testing.T, docs [][]byte) {
	t.Helper()
	names := map[string]bool{}
	for _, doc := range docs {
		var o struct {
			Kind     string
			Metadata struct{ Name string }
		}
		if err := yaml.Unmarshal(doc, &o); err != nil {
			t.Fatal(err)
		}
		names[o.Metadata.Name] = true
	}
	for _, doc := range docs {
		for _, key := range []string{"claimName: ", "secretName: ", "name: "} {
			for _, line := range strings.FieldsFunc(string(doc), func(r rune) bool { return strings.ContainsRune("\n{},[]", r) }) {
				if name, ok := strings.CutPrefix(strings.TrimSpace(line), key); ok && names[name+"-blue"] && !names[name] {
					t.Errorf("refers to %s, which is %s-blue now:\n%s", name, name, doc)
				}
			}
		}
	}
}

func TestOwnErrors(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("x", 58)
	tests := []struct {
		name  string
		files map[string][]byte
		value string
		want  []string
	}{
		{"long name", smallChart(deployment(long)), "", []string{"web/chart/templates/a.yaml", "63 characters", "shorten it to 57"}},
		{"names meet", smallChart(deployment("web"), deployment("web-blue")), "", []string{"becomes web-blue in its colour"}},
		{"image not used", smallChart(strings.Replace(deployment("web"), "{{ .Values.image.repository }}", "nginx", 1)), "", []string{"no Deployment or StatefulSet runs it", "Deployment web runs nginx:1.0", "--image-values"}},
		{"registry in front", smallChart(strings.Replace(deployment("web"), "{{ .Values.image.repository }}", "docker.io/{{ .Values.image.repository }}", 1)), "", []string{"emptied in --values"}},
		{"no workload", smallChart("{apiVersion: v1, kind: ConfigMap, metadata: {name: x}}"), "", []string{"render no Deployment or StatefulSet"}},
		{"template", smallChart("a: b\nc: {{ .Values.no.such }}\n"), "", []string{"web/chart/templates/a.yaml:2: cannot be rendered"}},
		{"dependency", with(smallChart(deployment("web")), "Chart.yaml", "{apiVersion: v2, name: shop, version: 0.1.0, dependencies: [{name: redis, version: 1.0.0, repository: 'https://example.com'}]}"), "", []string{"redis", "helm dependency build"}},
		{"library", with(smallChart(deployment("web")), "Chart.yaml", "{apiVersion: v2, name: shop, version: 0.1.0, type: library}"), "", []string{"nothing can be installed from"}},
		{"schema", with(smallChart(deployment("web")), "values.schema.json", `{"properties": {"mode": {"type": "string"}}}`), "mode: 7", []string{"helm-chart/values.yaml: web.values", "do not fit the chart", "mode"}},
		{"schema elsewhere", with(smallChart(deployment("web")), "values.schema.json", `{"properties": {"mode": {"$ref": "file:///etc/passwd"}}}`), "", []string{"$ref", "leads out of the file"}},
		{"twice", smallChart(deployment("web"), deployment("web")), "", []string{"renders Deployment web"}},
		{"no name", smallChart("{apiVersion: batch/v1, kind: Job, metadata: {generateName: x}}"), "", []string{"without apiVersion, kind or metadata.name"}},
		{"subchart", with(with(smallChart(deployment("web")), "charts/sub/Chart.yaml", "{apiVersion: v2, name: sub, version: 1.0.0}"), "charts/sub/templates/x.yaml", "{{ range until 100000 }}{{ range until 100000 }}{{ end }}{{ end }}"), "", []string{"web/chart/charts/sub/templates/x.yaml:1: was interrupted"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			r := release(staging, "web", fairway.Blue)
			r.Artifact = webArtifact
			r.Timeout = time.Hour // the turns are to end it, however slow the machine
			_, err := helm.Render(t.Context(), withChart(t, staging, tt.files, tt.value), r)
			if fairway.KindOf(err) != fairway.KindInvalid {
				t.Fatalf("error %v of kind %s, want invalid", err, fairway.KindOf(err))
			}
			for _, want := range tt.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("error\n%v\ndoes not contain %q", err, want)
				}
			}
		})
	}
}

// TestOwnNames renders services whose names are traps elsewhere.
func TestOwnNames(t *testing.T) {
	t.Parallel()
	files := created(t, "shop")
	for _, s := range []fairway.ServiceName{"a-b-c", "svc-2", "web", "web-2", "shop", "blue-x"} {
		branch := chart.Init("sockshop", staging, "localhost")
		for _, one := range []fairway.ServiceName{s, s + "-db"} { // the first is a prefix of the second
			doc, err := chart.OwnRequest{Service: one, ImageValues: []string{"image.repository", "image.tag"}}.Document()
			if err != nil {
				t.Fatal(err)
			}
			changes, _, err := chart.Onboard(branch, chart.OnboardRequest{Project: "sockshop", Stage: staging, Values: doc, Own: files})
			if err != nil {
				t.Fatal(err)
			}
			maps.Copy(branch, changes)
		}
		r := release(staging, s, fairway.Green)
		r.Artifact = webArtifact
		out, err := helm.Render(t.Context(), branch, r)
		if err != nil {
			t.Errorf("%s: %v", s, err)
			continue
		}
		if all := string(bytes.Join(slicesOf(out), nil)); strings.Contains(all, string(s)+"-db") || !strings.Contains(all, "name: "+string(s)) {
			t.Errorf("%s: rendered\n%s", s, all)
		}
	}
}

func TestOwnCompare(t *testing.T) {
	t.Parallel()
	const secret = "{apiVersion: v1, kind: Secret, metadata: {name: s}, stringData: {p: {{ randAlphaNum 9 }}, q: {{ .Values.q | default \"x\" | quote }}}}"
	text := strings.Replace(deployment("web"), "\nspec:\n", "\nspec:\n  replicas: {{ .Values.replicaCount }}\n", 1) +
		"        resources: {{ .Values.resources | toJson }}\n        envFrom: [{secretRef: {name: s}}]\n        args: [{{ .Values.arg | default \"a\" | quote }}]\n"
	files := with(smallChart(text, secret, "{apiVersion: v1, kind: Service, metadata: {name: web}, spec: {type: {{ .Values.kind | default \"ClusterIP\" }}, selector: {app: web}}}"),
		"values.yaml", "image: {repository: nginx, tag: '1'}\nreplicaCount: 1\nresources: {}\n")
	before := withChart(t, staging, files, "")
	for values, want := range map[string]helm.Difference{
		"":                              {},
		"replicaCount: 2":               {Scale: true},
		"resources: {limits: {cpu: 1}}": {Scale: true},
		"arg: b":                        {Template: true},
		"q: y":                          {Template: true},
		"kind: NodePort":                {Single: true},
	} {
		got, err := helm.Compare(t.Context(), before, withChart(t, staging, files, values), release(staging, "web", fairway.Blue))
		if err != nil || got != want {
			t.Errorf("%s: got %+v, error %v, want %+v", values, got, err, want)
		}
	}
	out, err := helm.Render(t.Context(), before, release(staging, "web", fairway.Blue))
	if err != nil || !out.Random {
		t.Errorf("random %v, error %v", out.Random, err)
	}
	if hosts := out.Hosts(fairway.Artifact{Image: "nginx", Tag: "1"}); len(hosts) != 1 || hosts[0] != "web" {
		t.Errorf("hosts are %v", hosts)
	}
}
