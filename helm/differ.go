package helm

import (
	"bytes"
	"reflect"
	"slices"

	"go.yaml.in/yaml/v3"
)

// Differ compares the objects of one colour in two states. Bare does not count
// replicas and the containers' resources, which take effect in place; whole
// does.
func Differ(a, b [][]byte) (whole, bare bool) {
	if slices.EqualFunc(a, b, bytes.Equal) {
		return false, false
	}
	if len(a) != len(b) {
		return true, true
	}
	for i := range a {
		var x, y map[string]any
		if yaml.Unmarshal(a[i], &x) != nil || yaml.Unmarshal(b[i], &y) != nil {
			return true, true
		}
		whole = whole || !reflect.DeepEqual(x, y)
		dropScale(x)
		dropScale(y)
		bare = bare || !reflect.DeepEqual(x, y)
	}
	return whole, bare
}

// dropScale takes replicas and resources out of a workload.
func dropScale(object map[string]any) {
	spec, ok := object["spec"].(map[string]any)
	if !ok {
		return
	}
	delete(spec, "replicas")
	template, _ := spec["template"].(map[string]any)
	pod, _ := template["spec"].(map[string]any)
	for _, kind := range []string{"containers", "initContainers"} {
		list, _ := pod[kind].([]any)
		for _, c := range list {
			if container, ok := c.(map[string]any); ok {
				delete(container, "resources")
			}
		}
	}
}
