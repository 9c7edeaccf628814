package chart_test

import (
	"bytes"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/fairwaycd/fairway"
	"github.com/fairwaycd/fairway/chart"
)

var webChart = map[string][]byte{
	"Chart.yaml":          []byte("apiVersion: v2\nname: web\nversion: 0.1.0\n"),
	"values.yaml":         []byte("image: {registry: docker.io, repository: nginx, tag: ''}\nreplicaCount: 1\n"),
	"templates/main.yaml": []byte("kind: Deployment\n"),
}

// withOwn returns a branch with the service web, which has its own chart.
func withOwn(t *testing.T, values string) map[string][]byte {
	t.Helper()
	st := fairway.Stage{Name: "staging", DeploymentStrategy: fairway.BlueGreen}.WithDefaults()
	files := chart.Init("shop", st, "localhost")
	doc, err := chart.OwnRequest{Service: "web", Values: []byte(values), ValuesName: "my.yaml", ImageValues: []string{"image.repository", "image.tag"}}.Document()
	if err != nil {
		t.Fatal(err)
	}
	changes, _, err := chart.Onboard(files, chart.OnboardRequest{Project: "shop", Stage: st, Domain: "localhost", Values: doc, Own: webChart, OwnHost: "web-main"})
	if err != nil {
		t.Fatal(err)
	}
	return with(files, changes)
}

func with(files, changes map[string][]byte) map[string][]byte {
	files = maps.Clone(files)
	for name, body := range changes {
		if body == nil {
			delete(files, name)
			continue
		}
		files[name] = body
	}
	return files
}

// lines returns what a diff of both texts would show, by line number.
func lines(before, after []byte) (changed []string) {
	a, b := strings.Split(string(before), "\n"), strings.Split(string(after), "\n")
	for i := range max(len(a), len(b)) {
		if i >= len(a) || i >= len(b) || a[i] != b[i] {
			changed = append(changed, strings.TrimSpace(b[min(i, len(b)-1)]))
		}
	}
	return changed
}

// TestOwnDiffs says how little of the branch changes.
func TestOwnDiffs(t *testing.T) {
	t.Parallel()
	files := withOwn(t, "replicaCount: 2\n")
	for name, body := range webChart {
		if !bytes.Equal(files["web/chart/"+name], body) {
			t.Errorf("%s does not lie in the branch as it was given", name)
		}
	}
	a := fairway.Artifact{Image: "r/web", Tag: "1.0"}
	changes, err := chart.SetImage(files, "web", fairway.Blue, a)
	if err != nil || len(changes) != 1 {
		t.Fatalf("changes %v, error %v", changes, err)
	}
	files = with(files, changes)
	changes, err = chart.SetImage(files, "web", fairway.Blue, fairway.Artifact{Image: "r/web", Tag: "1.1"})
	if err != nil {
		t.Fatal(err)
	}
	if got := lines(files[chart.ValuesFile], changes[chart.ValuesFile]); !slices.Equal(got, []string{`tag: "1.1"`}) {
		t.Errorf("a new version changes %q", got)
	}
	changes, err = chart.SetWeights(files, "web", fairway.Full(fairway.Blue))
	if err != nil || len(changes) != 1 {
		t.Fatalf("changes %v, error %v", changes, err)
	}
	files = with(files, changes)
	changes, err = chart.SetWeights(files, "web", fairway.Weights{fairway.Blue: 0, fairway.Green: 100})
	file := chart.VirtualServiceFile("web")
	if got := lines(files[file], changes[file]); err != nil || !slices.Equal(got, []string{"weight: 0", "weight: 100"}) {
		t.Errorf("a switch changes %q, error %v", got, err)
	}
	if !strings.Contains(string(files[file]), "host: web-main.{{") {
		t.Errorf("the weights are not those of the chart's Kubernetes Service:\n%s", files[file])
	}
}

func TestOwnValues(t *testing.T) {
	t.Parallel()
	files := withOwn(t, "replicaCount: 2\n")
	own, ok, err := chart.OwnChart(files, "web", fairway.Blue)
	if err != nil || !ok || string(own.Values) != "replicaCount: 2\n" || own.Dir != "web/chart" {
		t.Errorf("got %+v with values %s, %v, error %v", own, own.Values, ok, err)
	}
	changes, err := chart.SetImage(files, "web", fairway.Blue, fairway.Artifact{Image: "r/web", Tag: "007"})
	if err != nil {
		t.Fatal(err)
	}
	files = with(files, changes)
	own, _, err = chart.OwnChart(files, "web", fairway.Blue)
	if want := "replicaCount: 2\nimage:\n  repository: \"r/web\"\n  tag: \"007\"\n  registry: \"\"\n"; err != nil || string(own.Values) != want {
		t.Errorf("got %s, error %v, want %s", own.Values, err, want)
	}
	if own, _, err = chart.OwnChart(files, "web", fairway.Green); err != nil || string(own.Values) != "replicaCount: 2\n" {
		t.Errorf("green got %s, error %v", own.Values, err)
	}
}

func TestOwnCheck(t *testing.T) {
	t.Parallel()
	before := withOwn(t, "replicaCount: 2\n")
	replace := func(file, old, to string) func(map[string][]byte) {
		return func(f map[string][]byte) { f[file] = bytes.Replace(f[file], []byte(old), []byte(to), 1) }
	}
	tests := []struct {
		name string
		edit func(map[string][]byte)
		want chart.ServiceChange
		err  string
	}{
		{"template", replace("web/chart/templates/main.yaml", "Deployment", "StatefulSet"), chart.ServiceChange{Chart: true}, ""},
		{"file gone", func(f map[string][]byte) { delete(f, "web/chart/values.yaml") }, chart.ServiceChange{Chart: true}, ""},
		{"values", replace(chart.ValuesFile, "replicaCount: 2", "replicaCount: 3"), chart.ServiceChange{Chart: true}, ""},
		{"image values", replace(chart.ValuesFile, "image.repository, image.tag", "image"), chart.ServiceChange{Other: true}, ""},
		{"weights", replace(chart.VirtualServiceFile("web"), "weight: 0", "weight: 100"), chart.ServiceChange{Weights: fairway.Full(fairway.Blue)}, ""},
		{"no chart", func(f map[string][]byte) { delete(f, "web/chart/Chart.yaml") }, chart.ServiceChange{}, "web/chart/Chart.yaml: is missing"},
		{"bad paths", replace(chart.ValuesFile, "image.repository, image.tag", "a, b, c"), chart.ServiceChange{}, "are not one or two paths"},
		{"marker removed", replace(chart.ValuesFile, "imageValues", "other"), chart.ServiceChange{}, "was added or removed by hand"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			after := maps.Clone(before)
			tt.edit(after)
			change, err := chart.Check(before, after)
			if tt.err != "" {
				if err == nil || !strings.Contains(err.Error(), tt.err) {
					t.Errorf("error %v, want %q", err, tt.err)
				}
				return
			}
			if err != nil || len(change.Services) != 1 || change.Chart {
				t.Fatalf("got %+v, error %v", change, err)
			}
			got := change.Services[0]
			if got.Chart != tt.want.Chart || got.Other != tt.want.Other || got.Weights.String() != tt.want.Weights.String() || got.Resources || got.Scale {
				t.Errorf("got %+v, want %+v", got, tt.want)
			}
		})
	}
}

func TestOwnReplaceAndRemove(t *testing.T) {
	t.Parallel()
	files := withOwn(t, "")
	next := maps.Clone(webChart)
	delete(next, "templates/main.yaml")
	next["templates/other.yaml"] = []byte("x")
	changes, err := chart.ReplaceOwn(files, "web", next)
	if err != nil || len(changes) != 2 || changes["web/chart/templates/main.yaml"] != nil || string(changes["web/chart/templates/other.yaml"]) != "x" {
		t.Errorf("changes %v, error %v", changes, err)
	}
	if _, err := chart.ReplaceOwn(files, "web", map[string][]byte{"../Chart.yaml": nil}); err == nil {
		t.Error("a path out of the chart was taken")
	}
	changes, err = chart.Remove(files, "web")
	if err != nil {
		t.Fatal(err)
	}
	for file := range with(files, changes) {
		if strings.Contains(file, "web") {
			t.Errorf("%s is left", file)
		}
	}
}

func TestFindImageValues(t *testing.T) {
	t.Parallel()
	for values, want := range map[string]string{
		"image: {repository: nginx}":   "image.repository image.tag",
		"image: {name: nginx, tag: 1}": "image.name image.tag",
		"image: nginx:1":               "image",
		"app: {image: nginx}":          "",
		"":                             "",
	} {
		got, err := chart.FindImageValues([]byte(values))
		if strings.Join(got, " ") != want || (err == nil) != (want != "") {
			t.Errorf("%s: got %v, error %v", values, got, err)
		}
		if err != nil && !strings.Contains(err.Error(), "--image-values") {
			t.Errorf("%s: error %v names no remedy", values, err)
		}
	}
}
