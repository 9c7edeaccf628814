package kubernetes

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/fairwaycd/fairway"
)

// The annotations by which a chart says when an object is applied or run, in
// Helm's words.
const (
	hookAnnotation       = "helm.sh/hook"
	hookWeightAnnotation = "helm.sh/hook-weight"
	hookPolicyAnnotation = "helm.sh/hook-delete-policy"
)

// hook is an object that has its own time. A version is always started beside
// what runs, so that hooks of an installation and of an upgrade are the same
// here: both are run before.
type hook struct {
	*object
	when   string
	weight int
}

func (r *rendering) addHook(o *object) error {
	h := hook{object: o, when: o.GetAnnotations()[hookAnnotation]}
	if t := o.GetAnnotations()[hookWeightAnnotation]; t != "" {
		var err error
		if h.weight, err = strconv.Atoi(t); err != nil {
			return fairway.Invalid(refOf(o).String()+" annotation "+hookWeightAnnotation, t, "is not a number", "write a number in quotes")
		}
	}
	r.hooks = append(r.hooks, h)
	return nil
}

// before reports whether it has to be done before the version starts.
func (h hook) before() bool {
	return slices.ContainsFunc(strings.Split(h.when, ","), func(w string) bool {
		w = strings.TrimSpace(w)
		return w == "pre-install" || w == "pre-upgrade" || w == "crd-install"
	})
}

// runs reports whether it is a program, whose end is waited for.
func (h hook) runs() bool { return h.GetKind() == "Job" || h.GetKind() == "Pod" }

// passing reports whether the chart wants it removed when it has succeeded.
func (h hook) passing() bool {
	return strings.Contains(h.GetAnnotations()[hookPolicyAnnotation], "hook-succeeded")
}

func (h hook) String() string {
	return fmt.Sprintf("hook %s %s (%s)", h.GetKind(), h.GetName(), h.when)
}

func (r *rendering) hookObjects() []*object {
	var out []*object
	for _, h := range r.hooks {
		out = append(out, h.object)
	}
	return out
}
