package helm

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"pgregory.net/rapid"

	helmchart "helm.sh/helm/v3/pkg/chart"
	"helm.sh/helm/v3/pkg/chartutil"
	"helm.sh/helm/v3/pkg/engine"
)

// TestMeterIsUnseen renders templates with and without the meter's calls.
func TestMeterIsUnseen(t *testing.T) {
	t.Parallel()
	piece := rapid.SampledFrom([]string{"a", " ", "\n", "  \n ", "{{ . }}", "{{- . }}", "{{ . -}}", "{{- . -}}", "{{/* c */}}", "{{- /* c */ -}}", "{{ \"}}\" }}", "{{ break }}", "{{- continue -}}", "{{ $ }}", "é"})
	open := rapid.SampledFrom([]string{"{{ range $i, $_ := list 1 2 }}", "{{- range list 1 2 -}}", "{{ range list }}", "{{ range $x := list 1 2 -}}", "{{- range list 1 }}"})
	block := rapid.SampledFrom([]string{"{{ if . }}", "{{- with . -}}", "{{ with false }}"})
	end := rapid.SampledFrom([]string{"{{ end }}", "{{- end }}", "{{ end -}}", "{{- end -}}", "{{ else }}b{{ end }}", "{{- else -}} b{{ end }}"})
	rapid.Check(t, func(t *rapid.T) {
		pieces := func(label string) string {
			return strings.Join(rapid.SliceOfN(piece, 0, 4).Draw(t, label), "")
		}
		var b strings.Builder
		b.WriteString("{{ define \"d\" }}" + plainOnly(pieces("define")) + "{{ end }}")
		b.WriteString(plainOnly(pieces("before")))
		b.WriteString(open.Draw(t, "range") + pieces("body") + block.Draw(t, "block") + pieces("inner") + end.Draw(t, "inner end") + pieces("rest") + end.Draw(t, "end"))
		b.WriteString(plainOnly(pieces("after")) + "{{ include \"d\" 1 }}{{- template \"d\" 2 -}}\n")
		text := b.String()
		want, errWant := renderText([]byte(text))
		got, errGot := renderText(metered("templates/x.yaml", []byte(text)))
		if (errWant == nil) != (errGot == nil) || got != want {
			t.Fatalf("%q renders to %q (%v), with the meter %q (%v)", text, want, errWant, got, errGot)
		}
	})
}

// plainOnly takes out what is allowed in loops alone.
func plainOnly(s string) string {
	return strings.NewReplacer("{{ break }}", "", "{{- continue -}}", "").Replace(s)
}

func renderText(text []byte) (string, error) {
	c := &helmchart.Chart{Metadata: &helmchart.Metadata{Name: "shop"}, Templates: []*helmchart.File{{Name: "templates/x.yaml", Data: text}}}
	out, err := engine.RenderWithClientProvider(c, chartutil.Values{"Values": map[string]any{}}, &meter{ctx: context.Background()})
	return strings.ReplaceAll(out["shop/templates/x.yaml"], fmt.Sprint(map[string]any{}), "{}"), err
}

// TestLookupFindsNothing holds for templates that ask the cluster.
func TestLookupFindsNothing(t *testing.T) {
	t.Parallel()
	got, err := renderText([]byte(`{{ if lookup "v1" "Secret" "ns" "login" }}there{{ else }}none{{ end }} {{ len (lookup "v1" "Secret" "" "") }}`))
	if err != nil || got != "none 0" {
		t.Errorf("got %q, error %v", got, err)
	}
}
