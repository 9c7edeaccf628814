package chart_test

import (
	"maps"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/fairwaycd/fairway"
	"github.com/fairwaycd/fairway/chart"
)

func TestWeightsOfASwitch(t *testing.T) {
	t.Parallel()
	st := stage("staging", fairway.BlueGreen)
	onboarded := branch(t, st, cartsRequest(t, st))
	if w, ok, err := chart.Weights(onboarded, "carts"); ok || err != nil {
		t.Fatalf("before the first release: %v, %v, %v", w, ok, err)
	}
	rapid.Check(t, func(t *rapid.T) {
		files := maps.Clone(onboarded)
		file := chart.VirtualServiceFile("carts")
		for _, blue := range rapid.SliceOfN(rapid.IntRange(0, 100), 1, 5).Draw(t, "blue") {
			want := fairway.Weights{fairway.Blue: blue, fairway.Green: 100 - blue}
			before := string(files[file])
			changes, err := chart.SetWeights(files, "carts", want)
			if err != nil {
				t.Fatal(err)
			}
			maps.Copy(files, changes)
			if got, ok, err := chart.Weights(files, "carts"); err != nil || !ok || !maps.Equal(got, want) {
				t.Fatalf("got %v, %v, %v; want %v", got, ok, err, want)
			}
			if n := diff(before, string(files[file])); n > 2 {
				t.Fatalf("%d lines changed, want at most 2", n)
			}
		}
	})
}

func TestWeightsDirect(t *testing.T) {
	t.Parallel()
	st := stage("dev", fairway.Direct)
	files := branch(t, st, cartsRequest(t, st))
	if _, ok, err := chart.Weights(files, "carts"); ok || err != nil {
		t.Errorf("without an image: %v, %v", ok, err)
	}
	changes, err := chart.SetImage(files, "carts", fairway.Single, fairway.Artifact{Image: "r", Tag: "1"})
	if err != nil {
		t.Fatal(err)
	}
	maps.Copy(files, changes)
	if w, ok, err := chart.Weights(files, "carts"); !ok || err != nil || w[fairway.Single] != 100 {
		t.Errorf("with an image: %v, %v, %v", w, ok, err)
	}
	if changes, err := chart.SetWeights(files, "carts", fairway.Full(fairway.Single)); len(changes) != 0 || err != nil {
		t.Errorf("setting them: %d changes, error %v", len(changes), err)
	}
	if _, err := chart.SetWeights(files, "carts", fairway.Full(fairway.Blue)); fairway.KindOf(err) != fairway.KindRefused {
		t.Errorf("weights of colours: error %v", err)
	}
	if _, err := chart.SetWeights(files, "carts", fairway.Weights{fairway.Single: 50}); fairway.KindOf(err) != fairway.KindInvalid {
		t.Errorf("half the traffic: error %v", err)
	}
}

const route = "spec:\n  http:\n  - route:\n"

func TestReadWeights(t *testing.T) {
	t.Parallel()
	tests := []struct{ name, in, want string }{ // want: weights, or a part of the error
		{"by line", route + "    - destination: {subset: blue}\n      weight: 10\n    - destination: {subset: green}\n      weight: 90\n", "10/90"},
		{"in one line", "spec: {http: [{route: [{destination: {subset: green}, weight: 90}, {weight: 10, destination: {subset: blue}}]}]}", "10/90"},
		{"with templates", "{{- if .Values.x }}\nkind: {{ .Values.kind }}\n{{ end }}\n" + route + "    {{- /* weights */}}\n    - destination: {subset: blue, host: \"{{ .Release.Name }}\"}\n      weight: 1\n    - destination: {subset: green}\n      weight: 99\n", "1/99"},
		{"second document", "kind: X\n---\n" + route + "    - {destination: {subset: blue}, weight: 0}\n    - {destination: {subset: green}, weight: 100}\n", "0/100"},
		{"a rule for one colour beside it", "spec:\n  http:\n  - match: [{headers: {x: {exact: y}}}]\n    route: [{destination: {subset: green}}]\n  - route: [{destination: {subset: blue}, weight: 100}, {destination: {subset: green}, weight: 0}]\n", "100/0"},
		{"neither", route + "    - {destination: {subset: blue}, weight: 0}\n    - {destination: {subset: green}, weight: 0}\n", ""},
		{"sum", route + "    - {destination: {subset: blue}, weight: 50}\n    - {destination: {subset: green}, weight: 49}\n", "f.yaml:4:45: weights \"50/49\" sum to 99"},
		{"out of range", route + "    - {destination: {subset: blue}, weight: -1}\n    - {destination: {subset: green}, weight: 101}\n", "is not in 0..100"},
		{"no number", route + "    - {destination: {subset: blue}, weight: \"{{ .Values.w }}\"}\n    - {destination: {subset: green}, weight: 0}\n", "f.yaml:4:45: weight of blue"},
		{"no weight", route + "    - {destination: {subset: blue}}\n    - {destination: {subset: green}, weight: 100}\n", "f.yaml:4:7: weight is missing in 1 of 2 destinations"},
		{"twice", route + "    - {destination: {subset: blue}, weight: 1}\n    - {destination: {subset: blue}, weight: 99}\n", "f.yaml:5:30: subset \"blue\" stands twice"},
		{"rules that differ", "spec:\n  http:\n  - route: [{destination: {subset: blue}, weight: 1}, {destination: {subset: green}, weight: 99}]\n  - route: [{destination: {subset: blue}, weight: 2}, {destination: {subset: green}, weight: 98}]\n", "f.yaml:4:51: weights \"2/98\" differ from 1/99"},
		{"no rule", "spec: {}\n", "has no rule"},
		{"broken", "spec:\n  http: [\n", "is not valid YAML"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			w, ok, err := chart.ReadWeights("f.yaml", []byte(tt.in))
			switch {
			case err != nil:
				if tt.want == "" || !strings.Contains(err.Error(), tt.want) {
					t.Errorf("got error %v, want %q", err, tt.want)
				}
			case ok != (tt.want != ""), ok && w.String() != tt.want:
				t.Errorf("got %v, %v; want %q", w, ok, tt.want)
			}
		})
	}
	if _, _, err := chart.ReadWeights("f.yaml", nil); err == nil || !strings.Contains(err.Error(), "f.yaml: is missing") {
		t.Errorf("a file that is not there: error %v", err)
	}
}

func FuzzWeights(f *testing.F) {
	f.Add([]byte(route+"    - {destination: {subset: blue}, weight: 0}\n    - {destination: {subset: green}, weight: 0}\n"), 30)
	f.Add([]byte("spec: {http: [{route: [{destination: {subset: green}, weight: 90}, {weight: 0x0A, destination: {subset: blue}}]}]}"), 0)
	f.Add([]byte(route+"    - destination: {subset: blue}\n      weight: '10'\n    - destination: {subset: green}\n      weight: +90\n{{ x"), 100)
	f.Add([]byte("a: &x {subset: blue}\nspec: {http: [{route: [{destination: *x, weight: 1}]}]}"), 1)
	st := stage("staging", fairway.BlueGreen)
	files := branch(f, st, chart.OnboardRequest{Project: "shop", Stage: st, Values: []byte("service: {name: carts}")})
	f.Fuzz(func(t *testing.T, data []byte, blue int) {
		want := fairway.Weights{fairway.Blue: blue, fairway.Green: 100 - blue}
		if want.Validate() != nil {
			return
		}
		after := maps.Clone(files)
		after[chart.VirtualServiceFile("carts")] = data
		changes, err := chart.SetWeights(after, "carts", want)
		if err != nil {
			if fairway.KindOf(err) != fairway.KindInvalid {
				t.Fatalf("error %v is of kind %s", err, fairway.KindOf(err))
			}
			return
		}
		maps.Copy(after, changes)
		if got, ok, err := chart.Weights(after, "carts"); err != nil || !ok || !maps.Equal(got, want) {
			t.Fatalf("got %v, %v, %v; want %v in\n%s", got, ok, err, want, after[chart.VirtualServiceFile("carts")])
		}
	})
}
