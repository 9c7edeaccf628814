package helm_test

import (
	"bytes"
	"context"
	"flag"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"
	"pgregory.net/rapid"

	"github.com/fairwaycd/fairway"
	"github.com/fairwaycd/fairway/chart"
	"github.com/fairwaycd/fairway/helm"
)

var update = flag.Bool("update", false, "rewrite the golden files")

var (
	dev     = fairway.Stage{Name: "dev"}.WithDefaults()
	staging = fairway.Stage{Name: "staging", DeploymentStrategy: fairway.BlueGreen}.WithDefaults()
)

func example(t testing.TB, name string) []byte {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("..", "examples", "onboarding-carts", name))
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// shop returns a branch with carts and carts-db.
func shop(t testing.TB, st fairway.Stage) map[string][]byte {
	t.Helper()
	files := chart.Init("sockshop", st, "localhost")
	for _, req := range []chart.OnboardRequest{
		{Values: example(t, "values_carts.yaml")},
		{Values: example(t, "values_carts_db.yaml"), Deployment: example(t, "deployment_carts_db.yaml"), Service: example(t, "service_carts_db.yaml")},
	} {
		req.Project, req.Stage, req.Domain = "sockshop", st, "localhost"
		changes, _, err := chart.Onboard(files, req)
		if err != nil {
			t.Fatal(err)
		}
		maps.Copy(files, changes)
	}
	return files
}

func release(st fairway.Stage, s fairway.ServiceName, c fairway.Colour) helm.Release {
	return helm.Release{Project: "sockshop", Stage: st.Name, Namespace: st.Namespace, Service: s, Colour: c}
}

const digest = "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

func TestRenderGolden(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name string
		st   fairway.Stage
		r    helm.Release
	}{
		{"carts-dev", dev, release(dev, "carts", fairway.Single)},
		{"carts-staging-green", staging, release(staging, "carts", fairway.Green)},
		{"carts-db-dev", dev, release(dev, "carts-db", fairway.Single)},
		{"carts-db-staging-blue", staging, release(staging, "carts-db", fairway.Blue)},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			tt.r.Artifact = fairway.Artifact{Image: "127.0.0.1:8080/sockshop/" + string(tt.r.Service), Tag: "0.6.0-1", Digest: digest}
			out, err := helm.Render(t.Context(), shop(t, tt.st), tt.r)
			if err != nil {
				t.Fatal(err)
			}
			got := "# manifests\n" + join(out.Manifests) + "# shared\n" + join(out.Shared)
			file := filepath.Join("testdata", tt.name+".yaml")
			if *update {
				if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if got != string(want) {
				t.Errorf("got\n%s\nwant\n%s", got, want)
			}
		})
	}
}

func join(docs [][]byte) string {
	return "---\n" + string(bytes.Join(docs, []byte("---\n")))
}

func objects(out helm.Rendered) string {
	var list []string
	for _, o := range out.Objects {
		s := o.Kind + " " + o.Name
		if o.Shared {
			s += " shared"
		}
		list = append(list, s)
	}
	return strings.Join(list, ", ")
}

// TestRenderPicks says which objects belong to the blue carts.
func TestRenderPicks(t *testing.T) {
	t.Parallel()
	const standard = "Deployment carts-blue"
	tests := []struct{ name, file, text, want string }{ // want: first objects, before the standard ones
		{"nothing more", "carts-notes.txt", "", ""},
		{"own file", "carts-config.yaml", "{apiVersion: v1, kind: ConfigMap, metadata: {name: anything}}", "ConfigMap anything"},
		{"own directory", "carts/config.yaml", "{apiVersion: v1, kind: Secret, metadata: {name: anything}}", "Secret anything"},
		{"file of the other service", "carts-db-config.yaml", "{apiVersion: v1, kind: ConfigMap, metadata: {name: carts-config}}", ""},
		{"broken file of the other service", "carts-db-config.yaml", "{{ fail \"no\" }}", ""},
		{"nobody's, everybody's", "common.yaml", "{apiVersion: v1, kind: ServiceAccount, metadata: {name: shop}}", "ServiceAccount shop"},
		{"nobody's file, own name", "common.yaml", "{apiVersion: v1, kind: ConfigMap, metadata: {name: carts-x}}", "ConfigMap carts-x"},
		{"nobody's file, the other's name", "common.yaml", "{apiVersion: v1, kind: ConfigMap, metadata: {name: carts-db-x}}", ""},
		{"nobody's file, the other's label", "common.yaml", "{apiVersion: v1, kind: ConfigMap, metadata: {name: x, labels: {app: sockshop-selector-carts-db}}}", ""},
		{"the other colour's", "carts-config.yaml", "{apiVersion: v1, kind: ConfigMap, metadata: {name: carts-green-x}}\n---\n{apiVersion: v1, kind: ConfigMap, metadata: {name: carts-blue-x}}", "ConfigMap carts-blue-x"},
		{"left over from direct", "carts-deployment.yaml", "{apiVersion: apps/v1, kind: Deployment, metadata: {name: carts}}", ""},
		{"twice", "carts-config.yaml", "{apiVersion: v1, kind: ConfigMap, metadata: {name: x}}\n---\n{apiVersion: v1, kind: ConfigMap, metadata: {name: x}}", "ConfigMap x"},
		{"empty documents", "carts-config.yaml", "---\n# nothing\n---\n{{- if false }}x{{ end }}\n---", ""},
		{"notes", "NOTES.txt", "not: yaml: at all", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			files := shop(t, staging)
			files["helm-chart/templates/"+tt.file] = []byte(tt.text)
			out, err := helm.Render(t.Context(), files, release(staging, "carts", fairway.Blue))
			if err != nil {
				t.Fatal(err)
			}
			want := "Gateway sockshop-staging-gateway shared, DestinationRule carts-staging-destination shared, VirtualService sockshop-staging-carts shared, Service carts shared"
			got := objects(out)
			for _, one := range strings.Split(want+", "+standard, ", ") {
				if !strings.Contains(got, one) {
					t.Errorf("%s is missing in %s", one, got)
				}
			}
			rest := len(out.Objects) - 5
			if tt.want == "" && rest != 0 || tt.want != "" && (rest != 1 || !strings.HasPrefix(got, tt.want+", ")) {
				t.Errorf("got %s, want %q before the five of the layout", got, tt.want)
			}
		})
	}
}

// TestRenderReference picks what the pods name, whoever's it is.
func TestRenderReference(t *testing.T) {
	t.Parallel()
	files := shop(t, dev)
	files["helm-chart/templates/common.yaml"] = []byte("{apiVersion: v1, kind: Secret, metadata: {name: carts-db-login}}")
	deployment := chart.DeploymentFile("carts", fairway.Single)
	files[deployment] = bytes.Replace(files[deployment], []byte("        env:\n"), []byte("        envFrom: [{secretRef: {name: carts-db-login}}]\n        env:\n"), 1)
	out, err := helm.Render(t.Context(), files, release(dev, "carts", fairway.Single))
	if err != nil || !strings.HasPrefix(objects(out), "Secret carts-db-login, ") {
		t.Errorf("got %s, error %v", objects(out), err)
	}
}

func TestRenderErrors(t *testing.T) {
	t.Parallel()
	deployment := chart.DeploymentFile("carts", fairway.Blue)
	tests := []struct {
		name string
		edit func(files map[string][]byte)
		want []string
	}{
		{"unclosed action", func(f map[string][]byte) { f[deployment] = []byte("a: b\nc: {{ .Values.x\n") }, []string{"helm-chart/templates/cartsBlue-deployment.yaml:2: cannot be rendered", "unclosed action"}},
		{"unknown function", func(f map[string][]byte) { f[deployment] = []byte("a: b\n\nc: {{ nosuch 1 }}\n") }, []string{"cartsBlue-deployment.yaml:3: ", `function "nosuch" not defined`}},
		{"nil value", func(f map[string][]byte) { f[deployment] = []byte("c: {{ .Values.no.such.key }}\n") }, []string{"cartsBlue-deployment.yaml:1: ", "nil pointer"}},
		{"required", func(f map[string][]byte) { f[deployment] = []byte("c: {{ required \"give x\" .Values.x }}\n") }, []string{"cartsBlue-deployment.yaml:1: ", "give x"}},
		{"in a helper", func(f map[string][]byte) {
			f["helm-chart/templates/_helpers.tpl"] = []byte("{{ define \"h\" }}\n\n{{ .no.such }}{{ end }}")
			f[deployment] = []byte("c: {{ include \"h\" . }}\n")
		}, []string{"helm-chart/templates/_helpers.tpl:3: ", "nil pointer"}},
		{"not YAML", func(f map[string][]byte) { f[deployment] = []byte("a: b\n  c: {{ .Chart.Name }}\n") }, []string{"cartsBlue-deployment.yaml: renders to what is not valid YAML", "c: sockshop"}},
		{"no kind", func(f map[string][]byte) { f[deployment] = []byte("a: b\n") }, []string{"without apiVersion, kind"}},
		{"another name", func(f map[string][]byte) {
			f[deployment] = []byte("{apiVersion: apps/v1, kind: Deployment, metadata: {name: shop}}")
		}, []string{"renders no Deployment or StatefulSet named carts-blue, but Deployment shop"}},
		{"no chart", func(f map[string][]byte) { delete(f, chart.ChartFile) }, []string{"helm-chart/Chart.yaml: Helm cannot load the chart"}},
		{"kubeVersion", func(f map[string][]byte) {
			f[chart.ChartFile] = append(f[chart.ChartFile], "kubeVersion: '<1.20'\n"...)
		}, []string{"kubeVersion \"<1.20\" does not allow"}},
		{"schema", func(f map[string][]byte) { f["helm-chart/values.schema.json"] = []byte(`{"required": ["x"]}`) }, []string{"helm-chart/values.yaml: does not fit the chart"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			files := shop(t, staging)
			tt.edit(files)
			_, err := helm.Render(t.Context(), files, release(staging, "carts", fairway.Blue))
			if err == nil || fairway.KindOf(err) != fairway.KindInvalid {
				t.Fatalf("error %v of kind %s, want invalid", err, fairway.KindOf(err))
			}
			for _, want := range tt.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("error\n%v\ndoes not contain %q", err, want)
				}
			}
			if strings.Contains(err.Error(), "Meter") {
				t.Errorf("error %v shows what the user did not write", err)
			}
		})
	}
}

// TestRenderServiceIstio keeps the gateway everybody's beside a service whose
// name its file begins with.
func TestRenderServiceIstio(t *testing.T) {
	t.Parallel()
	files := shop(t, dev)
	changes, _, err := chart.Onboard(files, chart.OnboardRequest{Project: "sockshop", Stage: dev, Domain: "localhost", Values: []byte("service: {name: istio}")})
	if err != nil {
		t.Fatal(err)
	}
	maps.Copy(files, changes)
	out, err := helm.Render(t.Context(), files, release(dev, "carts", fairway.Single))
	if err != nil || !strings.Contains(objects(out), "Gateway sockshop-dev-gateway shared") || strings.Contains(objects(out), "Deployment istio") {
		t.Errorf("got %s, error %v", objects(out), err)
	}
}

func TestRenderUnknown(t *testing.T) {
	t.Parallel()
	files := shop(t, staging)
	if _, err := helm.Render(t.Context(), files, release(staging, "cart", fairway.Blue)); fairway.KindOf(err) != fairway.KindNotFound {
		t.Errorf("unknown service: error %v", err)
	}
	if _, err := helm.Render(t.Context(), files, release(staging, "carts", fairway.Single)); fairway.KindOf(err) != fairway.KindRefused {
		t.Errorf("no colour: error %v", err)
	}
}

// TestRenderEnds interrupts what would not end by itself.
func TestRenderEnds(t *testing.T) {
	t.Parallel()
	const helper = "{{ define \"h\" }}{{ if lt (len .) 60 }}{{ include \"h\" (printf \"%sx\" .) }}{{ include \"h\" (printf \"%sy\" .) }}{{ end }}{{ end }}"
	tests := []struct {
		name, text string
		limit      func(*helm.Release)
		want       string
	}{
		{"loop in loop", "{{ range until 100000 }}{{ range until 100000 }}{{ end }}{{ end }}", nil, "more than 200000 loop turns"},
		{"recursion", helper + "c: {{ include \"h\" \"\" }}", nil, "more than 200000 loop turns"},
		{"time", "a: b\n{{ range until 1000000 }}\n{{ end }}", func(r *helm.Release) { r.Timeout = time.Nanosecond }, "rendering took longer than 1ns"},
		{"size", "{{ repeat 2000 \"#\" }}", func(r *helm.Release) { r.MaxOutput = 1000 }, "beyond 1000 bytes"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			files := shop(t, dev)
			files[chart.DeploymentFile("carts", fairway.Single)] = []byte(tt.text)
			r := release(dev, "carts", fairway.Single)
			r.Timeout = time.Hour // the turns are to end it, however slow the machine
			if tt.limit != nil {
				tt.limit(&r)
			}
			_, err := helm.Render(t.Context(), files, r)
			if err == nil || !strings.Contains(err.Error(), tt.want) || !strings.Contains(err.Error(), "carts") || fairway.KindOf(err) != fairway.KindInvalid {
				t.Errorf("got error %v (%s), want %q", err, fairway.KindOf(err), tt.want)
			}
		})
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := helm.Render(ctx, shop(t, dev), release(dev, "carts", fairway.Single)); err == nil || !strings.Contains(err.Error(), context.Canceled.Error()) {
		t.Errorf("cancelled: error %v", err)
	}
}

// TestTagsKeepTheirText renders tags and variables that look like something
// else, set by Fairway or edited into the file without quotes.
func TestTagsKeepTheirText(t *testing.T) {
	t.Parallel()
	files := shop(t, staging)
	rapid.Check(t, func(t *rapid.T) {
		tag := rapid.OneOf(rapid.SampledFrom([]string{"1.0", "007", "1e3", "true", "2019-01-01", "yes", "0x1F", "1_000"}), rapid.StringMatching(`[A-Za-z0-9_][A-Za-z0-9._-]{0,10}`)).Draw(t, "tag")
		changes, err := chart.SetImage(files, "carts", fairway.Blue, fairway.Artifact{Image: "r/carts", Tag: tag})
		if err != nil {
			t.Fatal(err)
		}
		after := maps.Clone(files)
		maps.Copy(after, changes)
		values := string(after[chart.ValuesFile])
		if rapid.Bool().Draw(t, "edited") && tag != "null" && tag != "Null" && tag != "NULL" {
			values = strings.Replace(values, `"`+tag+`"`, tag, 1)
		}
		at := strings.Index(values, "cartsBlue:\n") + len("cartsBlue:\n")
		after[chart.ValuesFile] = []byte(values[:at] + "  env: {ODD: " + tag + "}\n" + values[at:])
		out, err := helm.Render(context.Background(), after, release(staging, "carts", fairway.Blue))
		if err != nil {
			t.Fatal(err)
		}
		var d struct {
			Spec struct {
				Template struct {
					Spec struct {
						Containers []struct {
							Image string
							Env   []struct{ Name, Value string }
						}
					}
				}
			}
		}
		if err := yaml.Unmarshal(out.Manifests[len(out.Manifests)-1], &d); err != nil {
			t.Fatal(err)
		}
		c := d.Spec.Template.Spec.Containers[0]
		if c.Image != "r/carts:"+tag {
			t.Fatalf("image is %s, want tag %s", c.Image, tag)
		}
		if got := c.Env[len(c.Env)-1]; got.Name != "ODD" || got.Value != tag && !strings.EqualFold(tag, "null") {
			t.Fatalf("variable is %+v, want %s", got, tag)
		}
	})
}

func TestImagePullSecrets(t *testing.T) {
	t.Parallel()
	files := chart.Init("sockshop", dev, "localhost")
	changes, _, err := chart.Onboard(files, chart.OnboardRequest{Project: "sockshop", Stage: dev, Domain: "localhost",
		Values: []byte("service: {name: carts}\nimagePullSecrets: [fairway-ghcr.io, {name: hub}]\n")})
	if err != nil {
		t.Fatal(err)
	}
	maps.Copy(files, changes)
	r := release(dev, "carts", fairway.Single)
	r.Artifact = fairway.Artifact{Image: "ghcr.io/acme/carts", Tag: "1.0", Digest: digest}
	out, err := helm.Render(t.Context(), files, r)
	if err != nil {
		t.Fatal(err)
	}
	var d struct {
		Spec struct {
			Template struct {
				Spec struct {
					ImagePullSecrets []struct{ Name string } `yaml:"imagePullSecrets"`
					Containers       []struct{ Image string }
				}
			}
		}
	}
	if err := yaml.Unmarshal(out.Manifests[0], &d); err != nil {
		t.Fatal(err)
	}
	pod := d.Spec.Template.Spec
	if len(pod.ImagePullSecrets) != 2 || pod.ImagePullSecrets[0].Name != "fairway-ghcr.io" || pod.ImagePullSecrets[1].Name != "hub" {
		t.Errorf("pull secrets %v\n%s", pod.ImagePullSecrets, out.Manifests[0])
	}
	if want := "ghcr.io/acme/carts:1.0@" + digest; pod.Containers[0].Image != want {
		t.Errorf("image %s, want %s", pod.Containers[0].Image, want)
	}
}
