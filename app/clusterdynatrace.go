package app

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/fairwaycd/fairway"
)

// dynatraceNamespace and dynatraceSecret are those that Dynatrace's operator
// looks for.
const (
	dynatraceNamespace = "dynatrace"
	dynatraceSecret    = "dynakube"
)

// connected keeps the token of Dynatrace as the Secret that its operator
// reads, and returns the steps by which that is installed.
func (c *cluster) connected(ctx context.Context, x fairway.Connection) ([]string, error) {
	if x.Kind != fairway.KindDynatrace {
		return nil, nil
	}
	objects, err := dynatraceObjects(x)
	if err != nil {
		return nil, err
	}
	if err := c.install(ctx, objects); err != nil {
		return nil, fmt.Errorf("the connection is stored, but not its Secret for Dynatrace's operator: %w", err)
	}
	return dynatraceSteps(x), nil
}

// dynatraceObjects are the namespace and the Secret; JSON is YAML.
func dynatraceObjects(x fairway.Connection) ([][]byte, error) {
	var out [][]byte
	for _, o := range []map[string]any{
		{"apiVersion": "v1", "kind": "Namespace", "metadata": map[string]any{"name": dynatraceNamespace}},
		{"apiVersion": "v1", "kind": "Secret", "metadata": map[string]any{"name": dynatraceSecret, "namespace": dynatraceNamespace},
			"stringData": map[string]any{"apiToken": string(x.Token), "apiUrl": dynatraceAPI(x)}},
	} {
		b, err := json.Marshal(o)
		if err != nil {
			return nil, fmt.Errorf("write the Secret: %w", err)
		}
		out = append(out, b)
	}
	return out, nil
}

func dynatraceAPI(x fairway.Connection) string { return strings.TrimSuffix(x.URL, "/") + "/api" }

// dynatraceSteps lead from the Secret to pods that Dynatrace sees.
func dynatraceSteps(x fairway.Connection) []string {
	return []string{
		fmt.Sprintf("install the operator: helm install dynatrace-operator oci://public.ecr.aws/dynatrace/dynatrace-operator --namespace %s", dynatraceNamespace),
		fmt.Sprintf("make a DynaKube named %s in namespace %s with apiUrl %s and oneAgent.cloudNativeFullStack: {}; it finds the token in the Secret %s, which needs the operator's scopes, too", dynatraceSecret, dynatraceNamespace, dynatraceAPI(x), dynatraceSecret),
		"in Dynatrace, add tag rules for service (container name), environment (Kubernetes namespace) and deployment (pod label deployment)",
		"see what works: fairway configure monitoring dynatrace --check",
	}
}
