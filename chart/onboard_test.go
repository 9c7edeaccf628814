package chart_test

import (
	"bytes"
	"flag"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/fairwaycd/fairway"
	"github.com/fairwaycd/fairway/chart"
)

var update = flag.Bool("update", false, "rewrite the golden files")

func example(t testing.TB, name string) []byte {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("..", "examples", "onboarding-carts", name))
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func stage(name string, st fairway.DeploymentStrategy) fairway.Stage {
	return fairway.Stage{Name: fairway.StageName(name), DeploymentStrategy: st}.WithDefaults()
}

func cartsRequest(t testing.TB, st fairway.Stage) chart.OnboardRequest {
	return chart.OnboardRequest{Project: "sockshop", Stage: st, Domain: "localhost", Values: example(t, "values_carts.yaml"), ValuesName: "values_carts.yaml",
		Resources: map[string][]byte{"perfspec/perfspec.json": []byte("{}\n"), "tests/functional.yaml": []byte("requests: []\n")}}
}

func cartsDBRequest(t testing.TB, st fairway.Stage) chart.OnboardRequest {
	return chart.OnboardRequest{Project: "sockshop", Stage: st, Domain: "localhost", Values: example(t, "values_carts_db.yaml"),
		Deployment: example(t, "deployment_carts_db.yaml"), Service: example(t, "service_carts_db.yaml")}
}

// branch returns a new stage's branch with the requested services.
func branch(t testing.TB, st fairway.Stage, reqs ...chart.OnboardRequest) map[string][]byte {
	t.Helper()
	files := chart.Init("sockshop", st, "localhost")
	for _, req := range reqs {
		changes, _, err := chart.Onboard(files, req)
		if err != nil {
			t.Fatal(err)
		}
		maps.Copy(files, changes)
	}
	return files
}

func golden(t *testing.T, dir string, files map[string][]byte) {
	t.Helper()
	dir = filepath.Join("testdata", dir)
	if *update {
		if err := os.RemoveAll(dir); err != nil {
			t.Fatal(err)
		}
		for file, data := range files {
			p := filepath.Join(dir, filepath.FromSlash(file))
			if err := os.MkdirAll(filepath.Dir(p), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(p, data, 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
	want := map[string][]byte{}
	err := filepath.WalkDir(dir, func(p string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		rel, err := filepath.Rel(dir, p)
		if err != nil {
			return err
		}
		want[filepath.ToSlash(rel)], err = os.ReadFile(p)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if got, want := slices.Sorted(maps.Keys(files)), slices.Sorted(maps.Keys(want)); !slices.Equal(got, want) {
		t.Fatalf("files are\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	for file, data := range want {
		if !bytes.Equal(files[file], data) {
			t.Errorf("%s is\n%s\nwant\n%s", file, files[file], data)
		}
	}
}

func TestOnboardLayout(t *testing.T) {
	t.Parallel()
	for _, st := range []fairway.Stage{stage("dev", fairway.Direct), stage("staging", fairway.BlueGreen)} {
		t.Run(string(st.Name), func(t *testing.T) {
			golden(t, string(st.Name), branch(t, st, cartsRequest(t, st), cartsDBRequest(t, st)))
		})
	}
}

func TestOnboardTwice(t *testing.T) {
	t.Parallel()
	st := stage("staging", fairway.BlueGreen)
	files := branch(t, st, cartsRequest(t, st))
	changes, warnings, err := chart.Onboard(files, cartsRequest(t, st))
	if err != nil || len(changes) != 0 || len(warnings) != 1 {
		t.Fatalf("got %d changes, warnings %q, error %v; want no change and one warning", len(changes), warnings, err)
	}
}

func TestOnboardWarnings(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name       string
		st         fairway.DeploymentStrategy
		deployment string // replaces the example's
		values     string // added to the example's
		want       []string
	}{
		{name: "stateful under blue/green", st: fairway.BlueGreen, want: []string{"strategy: direct"}},
		{name: "stateful, but its own strategy", st: fairway.BlueGreen, values: "strategy: direct\n"},
		{name: "stateful in a direct stage", st: fairway.Direct},
		{name: "old API", st: fairway.Direct, deployment: "apiVersion: extensions/v1beta1\nkind: Deployment\nmetadata:\n  name: SERVICE_PLACEHOLDER_DEC\n", want: []string{"apps/v1"}},
		{name: "no label", st: fairway.BlueGreen, deployment: "apiVersion: apps/v1\nkind: Deployment\nmetadata:\n  name: SERVICE_PLACEHOLDER_DEC\n", want: []string{"deployment: SERVICE_PLACEHOLDER_DEC"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			st := stage("staging", tt.st)
			req := cartsDBRequest(t, st)
			req.Values = append(req.Values, tt.values...)
			if tt.deployment != "" {
				req.Deployment = []byte(tt.deployment)
			}
			_, warnings, err := chart.Onboard(nil, req)
			if err != nil || len(warnings) != len(tt.want) {
				t.Fatalf("got warnings %q, error %v; want %q", warnings, err, tt.want)
			}
			for i, want := range tt.want {
				if !strings.Contains(warnings[i], want) {
					t.Errorf("warning %q does not contain %q", warnings[i], want)
				}
			}
		})
	}
}

func TestOnboardNames(t *testing.T) {
	t.Parallel()
	tests := []struct {
		first, second string
		refused       string // part of the message; empty: both fit
	}{
		{"carts", "carts-db", ""},
		{"carts-db", "carts", ""},
		{"svc-2", "svc-3", ""},
		{"svc2", "svc-2", "both would be called svc2"},
		{"svc-2", "svc2", "both would be called svc2"},
		{"a-bc", "a-b-c", "both would be called"},
		{"carts", "cartsblue", "both would be called cartsblue"},
		{"orders-db", "orders--db", "both would be called"},
		{"carts", "global", "uses itself"},
		{"carts", "helm-chart", "uses itself"},
		{"carts", "carts-blue", "ends like a colour"},
		{"istio-virtual", "a-service", ""},
		{"istio-virtual-service-a", "a-service", "both would be called istio-virtual-service-a-service.yaml"},
	}
	for _, tt := range tests {
		t.Run(tt.first+" "+tt.second, func(t *testing.T) {
			t.Parallel()
			st := stage("staging", fairway.BlueGreen)
			request := func(name string) chart.OnboardRequest {
				return chart.OnboardRequest{Project: "shop", Stage: st, Domain: "localhost", Values: []byte("service: {name: " + name + "}\n")}
			}
			files := branch(t, st, request(tt.first))
			changes, _, err := chart.Onboard(files, request(tt.second))
			if tt.refused != "" {
				if err == nil || !strings.Contains(err.Error(), tt.refused) {
					t.Fatalf("got error %v, want one that contains %q", err, tt.refused)
				}
				if p := fairway.Problems(err)[0]; p.File == "" || p.Remedy == "" {
					t.Errorf("problem %+v lacks file or remedy", p)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			for file := range changes {
				if file != chart.ValuesFile && files[file] != nil {
					t.Errorf("%s belongs to the first service and was changed", file)
				}
			}
			maps.Copy(files, changes)
			if got := len(chart.Services(files)); got != 2 {
				t.Errorf("the branch has %d services, want 2", got)
			}
		})
	}
}

// TestOnboardColours looks at what a template becomes for blue.
func TestOnboardColours(t *testing.T) {
	t.Parallel()
	const head = "metadata: {name: SERVICE_PLACEHOLDER_DEC, labels: {deployment: SERVICE_PLACEHOLDER_DEC}}\n"
	tests := []struct{ name, in, want string }{
		{"name", "name: SERVICE_PLACEHOLDER_DEC", "name: carts-blue"},
		{"quoted", `name: "SERVICE_PLACEHOLDER_DEC"`, `name: "carts-blue"`},
		{"comment", "name: carts # of it", "name: carts-blue # of it"},
		{"another service", "name: carts-db", "name: carts-db"},
		{"another service's claim", "claimName: carts-db-data", "claimName: carts-db-data"},
		{"other key", "app.kubernetes.io/name: carts", "app.kubernetes.io/name: carts"},
		{"claim", "claimName: carts-data", "claimName: carts-blue-data"},
		{"claim's own object", "claimName: carts-data\n---\n  name: carts-data", "claimName: carts-blue-data\n---\n  name: carts-blue-data"},
		{"name that is no claim", "name: carts-config", "name: carts-config"},
		{"values", "x: {{ .Values.SERVICE_PLACEHOLDER_C.a }}{{ .Values.cartsDb.b }}", "x: {{ .Values.cartsBlue.a }}{{ .Values.cartsDb.b }}"},
		{"values of a longer key", "x: {{ .Values.cartsX }}", "x: {{ .Values.cartsX }}"},
		{"index", `x: {{ index .Values "carts" "a" }}`, `x: {{ index .Values "cartsBlue" "a" }}`},
		{"label", "app: carts", "app: carts"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			st := stage("staging", fairway.BlueGreen)
			files := branch(t, st, cartsDBRequest(t, st))
			req := cartsRequest(t, st)
			req.Deployment = []byte(head + "  " + tt.in + "\n  name: SERVICE_PLACEHOLDER_DEC\n")
			changes, _, err := chart.Onboard(files, req)
			if err != nil {
				t.Fatal(err)
			}
			want := "metadata: {name: carts-blue, labels: {deployment: carts-blue}}\n  " + tt.want + "\n  name: carts-blue\n"
			if got := string(changes[chart.DeploymentFile("carts", fairway.Blue)]); got != want {
				t.Errorf("got\n%s\nwant\n%s", got, want)
			}
		})
	}
}

func TestOnboardRefusals(t *testing.T) {
	t.Parallel()
	st := stage("staging", fairway.BlueGreen)
	tests := []struct {
		name string
		edit func(*chart.OnboardRequest)
		want string
	}{
		{"both colours are one", func(r *chart.OnboardRequest) { r.Deployment = []byte("metadata:\n  name: fixed\n") }, "blue and green would be one"},
		{"env list for the default template", func(r *chart.OnboardRequest) {
			r.Values = []byte("service: {name: carts}\nenv:\n- name: A\n  value: b\n")
		}, "values_carts.yaml:3:1: env is not a mapping"},
		{"resource elsewhere", func(r *chart.OnboardRequest) { r.Resources = map[string][]byte{"src/main.go": nil} }, "put it under perfspec/"},
		{"resource outside", func(r *chart.OnboardRequest) { r.Resources = map[string][]byte{"tests/../../x": nil} }, "put it under perfspec/"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			req := cartsRequest(t, st)
			tt.edit(&req)
			changes, _, err := chart.Onboard(nil, req)
			if err == nil || !strings.Contains(err.Error(), tt.want) || changes != nil {
				t.Errorf("got %d changes and error %v, want one that contains %q", len(changes), err, tt.want)
			}
		})
	}
	files := chart.Init("sockshop", st, "localhost")
	files[chart.ValuesFile] = append(files[chart.ValuesFile], "carts: {mine: true}\n"...)
	if _, _, err := chart.Onboard(files, cartsRequest(t, st)); fairway.KindOf(err) != fairway.KindConflict {
		t.Errorf("a key of the user's own: got error %v, want a conflict", err)
	}
}

func TestRemove(t *testing.T) {
	t.Parallel()
	st := stage("staging", fairway.BlueGreen)
	files := branch(t, st, cartsRequest(t, st))
	want := maps.Clone(files)
	changes, _, err := chart.Onboard(files, cartsDBRequest(t, st))
	if err != nil {
		t.Fatal(err)
	}
	maps.Copy(files, changes)
	files["helm-chart/templates/carts-db-config.yaml"] = []byte("kind: ConfigMap\n")
	files["carts-db/tests/functional.yaml"] = []byte("requests: []\n")
	if changes, err = chart.Remove(files, "carts-db"); err != nil {
		t.Fatal(err)
	}
	for file, data := range changes {
		if files[file] = data; data == nil {
			delete(files, file)
		}
	}
	if !maps.EqualFunc(files, want, bytes.Equal) {
		t.Errorf("left over are\n%s\nvalues:\n%s", slices.Sorted(maps.Keys(files)), files[chart.ValuesFile])
	}
	if changes, err := chart.Remove(files, "carts-db"); err != nil || len(changes) != 0 {
		t.Errorf("removed twice: %d changes, error %v", len(changes), err)
	}
}

// TestRemoveFirst keeps the comment of the key that follows.
func TestRemoveFirst(t *testing.T) {
	t.Parallel()
	files := map[string][]byte{chart.ValuesFile: []byte("# of a\naa:\n  service: {name: aa} # x\n\n# of b\nbb:\n  service:\n    name: bb\n")}
	changes, err := chart.Remove(files, "aa")
	if err != nil {
		t.Fatal(err)
	}
	if got, want := string(changes[chart.ValuesFile]), "# of a\n\n# of b\nbb:\n  service:\n    name: bb\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}
