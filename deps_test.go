package fairway_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/fairwaycd/fairway"

// layers say who may import whom: a package imports only packages of lower
// layers, and of its own layer only what mayAlso lists.
var layers = map[string]int{
	"": 0,
	// Engines and pure formats: decide, never do.
	"sequence": 1, "quality": 1, "shipyard": 1, "chart": 1, "cloudevents": 1, "report": 1, "dora": 1, "scrapeconf": 1,
	// Adapters: each touches one thing of the world. They never import each other.
	"nats": 2, "git": 2, "registry": 2, "image": 2, "process": 2, "gateway": 2, "metrics": 2, "promql": 2, "dynatrace": 2,
	"istio": 2, "kubernetes": 2, "helm": 2, "testrun": 2, "blob": 2, "monitoring": 2, "subscription": 2, "trace": 2, "backup": 2, "registries": 2, "datadir": 2, "gate": 2, "history": 2, "access": 2,
	// Loops, edges, and what joins adapters for one purpose.
	"controller": 3, "api": 3,
	"project": 4, "inmem": 4, "web": 4, "cli": 4,
	"app": 5, "demo": 6, "cmd/fairway": 7, "internal/faults": 7, "internal/soak": 7,
	"internal/testenv": 0, "internal/durable": 0, "internal/outbound": 1, "dynatrace/simulator": 0, "internal/testcount": 0, "internal/yamlline": 0, "examples": 0,
}

type listed struct {
	ImportPath string
	Doc        string
	Imports    []string
	Deps       []string
	Standard   bool
}

func list(t *testing.T) []listed {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "go", "list", "-json=ImportPath,Doc,Imports,Deps,Standard", "./...")
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	var all []listed
	for dec := json.NewDecoder(bytes.NewReader(out)); ; {
		var p listed
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			return all
		} else if err != nil {
			t.Fatal(err)
		}
		all = append(all, p)
	}
}

func own(path string) (name string, ok bool) {
	if path == module {
		return "", true
	}
	return strings.CutPrefix(path, module+"/")
}

func TestArrowsPointInwards(t *testing.T) {
	t.Parallel()
	for _, p := range list(t) {
		name, _ := own(p.ImportPath)
		layer, known := layers[name]
		if !known {
			t.Errorf("package %s is in no layer: add it to the map with its reason", p.ImportPath)
			continue
		}
		if p.Doc == "" {
			t.Errorf("package %s has no doc comment", p.ImportPath)
		}
		for _, imp := range p.Imports {
			other, ours := own(imp)
			if !ours {
				if name == "" && strings.Contains(strings.Split(imp, "/")[0], ".") {
					t.Errorf("the vocabulary imports %s; it may import the standard library only", imp)
				}
				continue
			}
			if layers[other] >= layer {
				t.Errorf("%s (layer %d) imports %s (layer %d)", p.ImportPath, layer, imp, layers[other])
			}
		}
	}
}

// Each of these costs much or is easily spread; one package owns it.
func TestDependenciesHaveOneHome(t *testing.T) {
	t.Parallel()
	homes := map[string][]string{
		"github.com/nats-io/":                            {"nats"},
		"github.com/distribution/":                       {"registry"},
		"github.com/google/go-containerregistry/":        {"image"},
		"github.com/Masterminds/semver/":                 {"registries"},
		"github.com/prometheus/prometheus/":              {"metrics", "promql"},
		"helm.sh/helm/":                                  {"helm"},
		"github.com/go-git/go-git/":                      {"git", "demo"}, // demo: as a client
		"go.opentelemetry.io/":                           {"trace"},
		"github.com/spf13/cobra":                         {"cli", "cmd/fairway"},
		"k8s.io/api/":                                    {"process", "helm", "kubernetes"},
		"k8s.io/client-go/":                              {"helm", "kubernetes", "istio"},
		"github.com/HdrHistogram/":                       {"testrun"},
		"github.com/invopop/jsonschema":                  {"shipyard"},
		"github.com/prometheus/client_golang/prometheus": {"app", "gateway", "metrics", "access"},
	}
	for _, p := range list(t) {
		name, _ := own(p.ImportPath)
		for _, imp := range p.Imports {
			for dep, where := range homes {
				if strings.HasPrefix(imp, dep) && !slices.Contains(where, name) {
					t.Errorf("%s imports %s, which belongs to %v", p.ImportPath, imp, where)
				}
			}
		}
		if slices.Contains(p.Deps, "helm.sh/helm/v3/pkg/action") {
			t.Errorf("%s drags in helm/pkg/action, which costs 40 MB of memory", p.ImportPath)
		}
	}
}
