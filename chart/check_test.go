package chart_test

import (
	"bytes"
	"fmt"
	"maps"
	"strings"
	"testing"

	"github.com/fairwaycd/fairway"
	"github.com/fairwaycd/fairway/chart"
)

// released returns a blue/green branch with carts-db beside carts, whose blue
// has all the traffic.
func released(t testing.TB) map[string][]byte {
	t.Helper()
	st := stage("staging", fairway.BlueGreen)
	files := branch(t, st, cartsRequest(t, st), cartsDBRequest(t, st))
	changes, err := chart.SetImage(files, "carts", fairway.Blue, fairway.Artifact{Image: "r/carts", Tag: "1"})
	if err != nil {
		t.Fatal(err)
	}
	maps.Copy(files, changes)
	if changes, err = chart.SetWeights(files, "carts", fairway.Full(fairway.Blue)); err != nil {
		t.Fatal(err)
	}
	maps.Copy(files, changes)
	return files
}

// replace edits a file; the old text has to be there, and its first occurrence
// is replaced.
func replace(file, old, new string) func(testing.TB, map[string][]byte) {
	return func(t testing.TB, files map[string][]byte) {
		if !bytes.Contains(files[file], []byte(old)) {
			t.Fatalf("%s does not contain %q:\n%s", file, old, files[file])
		}
		files[file] = bytes.Replace(files[file], []byte(old), []byte(new), 1)
	}
}

func put(file, text string) func(testing.TB, map[string][]byte) {
	return func(_ testing.TB, files map[string][]byte) { files[file] = []byte(text) }
}

func remove(file string) func(testing.TB, map[string][]byte) {
	return func(_ testing.TB, files map[string][]byte) { delete(files, file) }
}

func summary(c chart.Change) string {
	var parts []string
	for _, s := range c.Services {
		p := string(s.Service)
		for name, set := range map[string]bool{"added": s.Added, "removed": s.Removed, "scale": s.Scale, "other": s.Other, "resources": s.Resources} {
			if set {
				p += " " + name
			}
		}
		if s.Weights != nil {
			p += " weights " + s.Weights.String()
		}
		for _, col := range []fairway.Colour{fairway.Single, fairway.Blue, fairway.Green} {
			if a, ok := s.Images[col]; ok {
				p += fmt.Sprintf(" %s=%s", col, a)
			}
		}
		parts = append(parts, p)
	}
	if c.Chart {
		parts = append(parts, "chart")
	}
	return strings.Join(parts, "; ")
}

func TestCheckChanges(t *testing.T) {
	t.Parallel()
	vs, values := chart.VirtualServiceFile("carts"), chart.ValuesFile
	blue := "cartsBlue:\n"
	tests := []struct {
		name string
		edit func(testing.TB, map[string][]byte)
		want string
	}{
		{"nothing", func(testing.TB, map[string][]byte) {}, ""},
		{"weights", func(t testing.TB, f map[string][]byte) {
			replace(vs, "weight: 100", "weight: 90")(t, f)
			replace(vs, "weight: 0", "weight: 10")(t, f)
		}, "carts weights 90/10"},
		{"image tag", replace(values, `tag: "1"`, "tag: 2.0"), "carts blue=r/carts:2.0"},
		{"onboarded image of a blue/green stage", replace(values, `repository: "mongo"`, "repository: redis"), ""},
		{"replicas", replace(values, "replicaCount: 1", "replicaCount: 2"), "carts scale"},
		{"resources", replace(values, "cpu: 500m", "cpu: 1"), "carts scale"},
		{"environment", replace(values, blue, blue+"  env: {A: b}\n"), "carts other"},
		{"template", replace(chart.DeploymentFile("carts", fairway.Green), "protocol: TCP", "protocol: UDP"), "carts other"},
		{"template of the VirtualService", replace(vs, "  - mesh\n", ""), "carts other"},
		{"own template", put("helm-chart/templates/carts-db-x.yaml", "x"), "carts-db other"},
		{"test", put("carts/tests/functional.yaml", "x"), "carts resources"},
		{"helper", put("helm-chart/templates/_x.tpl", "x"), "chart"},
		{"own value", replace(values, "domain: \"localhost\"", "domain: example.org"), "chart"},
		{"comment", replace(values, "# The services", "# All services"), ""},
		{"order of keys", replace(values, "global:\n  domain: \"localhost\"\n", "global: {domain: localhost}\n"), ""},
		{"elsewhere", put("README.md", "x"), ""},
		{"removed", func(t testing.TB, f map[string][]byte) {
			changes, err := chart.Remove(f, "carts-db")
			if err != nil {
				t.Fatal(err)
			}
			for file, data := range changes {
				if f[file] = data; data == nil {
					delete(f, file)
				}
			}
		}, "carts-db removed other"},
		{"added", func(t testing.TB, f map[string][]byte) {
			changes, _, err := chart.Onboard(f, chart.OnboardRequest{Project: "sockshop", Stage: stage("staging", fairway.Direct), Values: []byte("service: {name: user}\nimage: {repository: r/user, tag: 1e3}")})
			if err != nil {
				t.Fatal(err)
			}
			maps.Copy(f, changes)
		}, "user added scale other direct=r/user:1e3"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			before := released(t)
			after := maps.Clone(before)
			tt.edit(t, after)
			got, err := chart.Check(before, after)
			if err != nil {
				t.Fatal(err)
			}
			if sorted(summary(got)) != sorted(tt.want) {
				t.Errorf("got %q, want %q", summary(got), tt.want)
			}
			for file := range after {
				if bytes.Equal(before[file], after[file]) == strings.Contains(strings.Join(got.Files, " ")+" ", file+" ") {
					t.Errorf("files are %q, wrong about %s", got.Files, file)
				}
			}
		})
	}
}

// sorted returns the words of a summary without regard to their order.
func sorted(s string) string {
	count := map[string]int{}
	for _, w := range strings.Fields(s) {
		count[w]++
	}
	return fmt.Sprint(count)
}

func TestCheckErrors(t *testing.T) {
	t.Parallel()
	vs, values := chart.VirtualServiceFile("carts"), chart.ValuesFile
	tests := []struct {
		name string
		edit func(testing.TB, map[string][]byte)
		want []string
	}{
		{"weights' sum", replace(vs, "weight: 100", "weight: 90"), []string{vs + ":17:15: weights \"90/0\" sum to 90; make them sum to 100"}},
		{"weights taken away", replace(vs, "weight: 100", "weight: 0"), []string{vs + ": weights are both 0"}},
		{"weight is no number", replace(vs, "weight: 100", "weight: all"), []string{vs + ":17:15: weight of blue \"all\""}},
		{"VirtualService is gone", remove(vs), []string{vs + ": is missing"}},
		{"values are no YAML", replace(values, "carts:\n", "carts: x: y\n"), []string{values + ":5: is not valid YAML"}},
		{"port", replace(values, "internalPort: 8080", "internalPort: many"), []string{values + ":", "carts.service.internalPort \"many\""}},
		{"a colour's values", replace(values, "tag: \"1\"", "tag: \"a b\""), []string{"cartsBlue.image.tag \"a b\" is not an image tag"}},
		{"Deployment is gone", remove(chart.DeploymentFile("carts", fairway.Green)), []string{"cartsGreen-deployment.yaml: is missing"}},
		{"strategy by hand", replace(values, "carts:\n", "carts:\n  strategy: direct\n"), []string{values + ":6:13: carts.strategy \"direct\" differs from the layout"}},
		{"a colour taken away", replace(values, "cartsGreen:\n", "cartsOther:\n"), []string{"was laid out for blue_green_service and is now for direct"}},
		{"short probe", replace(values, "httpGet:\n", "tcp: true\n    x:\n"), []string{"carts.readiness.tcp \"true\" is a short form"}},
		{"chart's name", replace(chart.ChartFile, "name: sockshop", "name: shop"), []string{chart.ChartFile + ":2:7: name \"shop\" was sockshop and cannot change"}},
		{"chart is gone", remove(chart.ChartFile), []string{chart.ChartFile + ":1:1: name is missing"}},
		{"values are gone", replace(values, "cartsDb:\n", "otherDb:\n"), []string{"cartsDbBlue-deployment.yaml: belongs to service carts-db, whose values are gone"}},
		{"two at once", func(t testing.TB, f map[string][]byte) {
			replace(vs, "weight: 100", "weight: 90")(t, f)
			replace(values, "replicaCount: 1", "replicaCount: none")(t, f)
		}, []string{vs, "replicaCount \"none\""}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			before := released(t)
			after := maps.Clone(before)
			tt.edit(t, after)
			_, err := chart.Check(before, after)
			if err == nil || fairway.KindOf(err) != fairway.KindInvalid {
				t.Fatalf("got error %v, want an invalid one", err)
			}
			for _, want := range tt.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("error\n%v\ndoes not contain %q", err, want)
				}
			}
			if _, err := chart.Check(after, before); err != nil && tt.name != "chart's name" && tt.name != "a colour taken away" {
				t.Errorf("the repair is refused: %v", err)
			}
		})
	}
}
