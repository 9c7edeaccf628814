package helm_test

import (
	"fmt"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
	"pgregory.net/rapid"

	"github.com/fairwaycd/fairway"
	"github.com/fairwaycd/fairway/chart"
	"github.com/fairwaycd/fairway/helm"
)

// thing is what the property looks at of an object.
type thing struct {
	Kind     string
	Metadata struct{ Name string }
	Data     struct{ ID string }
	Spec     struct {
		ID       string
		Selector struct {
			MatchLabels map[string]string `yaml:"matchLabels"`
		}
		TLS []struct {
			SecretName string `yaml:"secretName"`
		}
		ScaleTargetRef struct{ Name string } `yaml:"scaleTargetRef"`
		Template       struct {
			Metadata struct{ Labels map[string]string }
			Spec     struct {
				Volumes []struct {
					ConfigMap struct{ Name string } `yaml:"configMap"`
					Secret    struct {
						SecretName string `yaml:"secretName"`
					}
				}
			}
		}
	}
}

// TestReferencesHold makes charts of random references between objects whose
// names are beginnings of each other, and follows every reference in both
// colours to what it led to before.
func TestReferencesHold(t *testing.T) {
	t.Parallel()
	names := []string{"web", "web-a", "web-a-b", "web-b", "a", "web-bl"}
	rapid.Check(t, func(t *rapid.T) {
		var b strings.Builder
		for _, kind := range []string{"ConfigMap", "Secret"} {
			for _, name := range names {
				if rapid.Bool().Draw(t, kind+name) {
					fmt.Fprintf(&b, "---\n{apiVersion: v1, kind: %s, metadata: {name: %s}, data: {id: %s %s}}\n", kind, name, kind, name)
				}
			}
		}
		pick := func(what string) string { return rapid.SampledFrom(names).Draw(t, what) }
		for _, name := range names[:rapid.IntRange(1, 4).Draw(t, "workloads")] {
			fmt.Fprintf(&b, "---\n{apiVersion: apps/v1, kind: Deployment, metadata: {name: %[1]s}, spec: {id: Deployment %[1]s, selector: {matchLabels: {app: %[1]s}}, template: {metadata: {labels: {app: %[1]s}}, spec: {containers: [{name: c, image: x}], volumes: [{name: v, configMap: {name: %[2]s}}, {name: w, secret: {secretName: %[3]s}}]}}}}\n",
				name, pick("config"), pick("secret"))
		}
		fmt.Fprintf(&b, "---\n{apiVersion: networking.k8s.io/v1, kind: Ingress, metadata: {name: web}, spec: {tls: [{secretName: %s}]}}\n", pick("tls"))
		fmt.Fprintf(&b, "---\n{apiVersion: autoscaling/v2, kind: HorizontalPodAutoscaler, metadata: {name: web}, spec: {scaleTargetRef: {kind: Deployment, name: %s}}}\n", pick("scaled"))

		before := follow(t, b.String(), fairway.Single)
		blue, green := follow(t, b.String(), fairway.Blue), follow(t, b.String(), fairway.Green)
		for from, to := range before.refs {
			if blue.refs[from] != to || green.refs[from] != to {
				t.Fatalf("%s led to %q, in blue to %q, in green to %q\n%s", from, to, blue.refs[from], green.refs[from], b.String())
			}
		}
		for name := range blue.own {
			if green.own[name] || green.single[name] {
				t.Fatalf("%s belongs to blue, and green has it too\n%s", name, b.String())
			}
		}
		if fmt.Sprint(blue.single) != fmt.Sprint(green.single) {
			t.Fatalf("single are %v in blue and %v in green\n%s", blue.single, green.single, b.String())
		}
	})
}

type followed struct {
	refs        map[string]string // id of object and path → id of what is named, or the name
	own, single map[string]bool   // kind and name
}

func follow(t *rapid.T, text string, c fairway.Colour) followed {
	out, err := helm.Colourised(text, c)
	if err != nil {
		t.Fatal(err)
	}
	f := followed{refs: map[string]string{}, own: map[string]bool{}, single: map[string]bool{}}
	ids := map[string]string{}
	var all []thing
	for _, part := range []struct {
		docs [][]byte
		into map[string]bool
	}{{out.Manifests, f.own}, {out.Single, f.single}} {
		for _, doc := range part.docs {
			var o thing
			if err := yaml.Unmarshal(doc, &o); err != nil {
				t.Fatal(err)
			}
			part.into[o.Kind+" "+o.Metadata.Name] = true
			ids[o.Kind+" "+o.Metadata.Name] = o.Data.ID + o.Spec.ID
			all = append(all, o)
		}
	}
	to := func(kind, name string) string {
		if id, ok := ids[kind+" "+name]; ok {
			return id
		}
		return name
	}
	for _, o := range all {
		switch o.Kind {
		case "Deployment":
			v := o.Spec.Template.Spec.Volumes
			f.refs[o.Spec.ID+" config"] = to("ConfigMap", v[0].ConfigMap.Name)
			f.refs[o.Spec.ID+" secret"] = to("Secret", v[1].Secret.SecretName)
			for k, v := range o.Spec.Selector.MatchLabels {
				if o.Spec.Template.Metadata.Labels[k] != v {
					t.Fatalf("%s does not select its own pods", o.Metadata.Name)
				}
			}
			if c != fairway.Single && o.Spec.Selector.MatchLabels[chart.ColourLabel] != string(c) {
				t.Fatalf("%s selects pods of both colours", o.Metadata.Name)
			}
		case "Ingress":
			f.refs["tls"] = to("Secret", o.Spec.TLS[0].SecretName)
		case "HorizontalPodAutoscaler":
			f.refs["scaled"] = to("Deployment", o.Spec.ScaleTargetRef.Name)
		}
	}
	return f
}
