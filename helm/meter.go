package helm

import (
	"cmp"
	"context"
	"slices"
	"strings"
	"text/template/parse"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"

	"github.com/fairwaycd/fairway"
)

// Helm's engine cannot be interrupted, and a loop in a template could run for
// ever. Of all functions that a template can call only lookup leads out of the
// engine, so a call of it is put before every loop's body and every named
// template, and [meter] answers it with an error once time is up. The call
// prints nothing, trims nothing and adds no line.

const meterKind = "FairwayMeter"

const meterCall = ` $fairwayMeter := lookup "" "` + meterKind + `" "" "" }}`

// maxTurns bounds how many loop turns and named templates one rendering may
// take: far more than any chart needs, far less than fills the memory.
const maxTurns = 200_000

// metered returns the template with the calls. One that cannot be parsed is
// returned as it is, for the engine to say why.
func metered(name string, data []byte) []byte {
	text := string(data)
	trees := map[string]*parse.Tree{}
	t := parse.New(name)
	t.Mode = parse.SkipFuncCheck
	if _, err := t.Parse(text, "", "", trees); err != nil {
		return data
	}
	var at []int
	for _, tree := range trees {
		if tree.Root != nil {
			at = append(at, int(tree.Root.Pos))
			at = loops(tree.Root, at)
		}
	}
	slices.SortFunc(at, func(a, b int) int { return cmp.Compare(b, a) })
	for _, pos := range slices.Compact(at) {
		if pos > len(text) {
			continue
		}
		open := "{{"
		if strings.HasPrefix(text[pos:], "{{- ") { // it trims what stands before it
			open = "{{-"
		}
		text = text[:pos] + open + meterCall + text[pos:]
	}
	return []byte(text)
}

// loops appends where the bodies of loops begin.
func loops(list *parse.ListNode, at []int) []int {
	if list == nil {
		return at
	}
	for _, n := range list.Nodes {
		switch n := n.(type) {
		case *parse.RangeNode:
			at = append(at, int(n.List.Pos))
			at = loops(n.ElseList, loops(n.List, at))
		case *parse.IfNode:
			at = loops(n.ElseList, loops(n.List, at))
		case *parse.WithNode:
			at = loops(n.ElseList, loops(n.List, at))
		}
	}
	return at
}

// meter answers the calls of lookup: its own by whether the rendering may go
// on, a template's as a cluster would in which there is nothing yet.
type meter struct {
	ctx   context.Context // of the one rendering that the meter lives for
	turns int
	err   error
}

// GetClientFor implements engine.ClientProvider.
func (m *meter) GetClientFor(_, kind string) (dynamic.NamespaceableResourceInterface, bool, error) {
	if kind != meterKind {
		return nothing{}, true, nil
	}
	m.turns++
	switch {
	case m.ctx.Err() != nil:
		m.err = context.Cause(m.ctx)
	case m.turns > maxTurns:
		m.err = fairway.Errorf(fairway.KindInvalid, "rendering took more than %d loop turns; look for a loop or a named template that does not end", maxTurns)
	}
	return nothing{}, true, m.err
}

// nothing is a cluster's empty list of resources.
type nothing struct {
	dynamic.NamespaceableResourceInterface
}

// Namespace implements dynamic.NamespaceableResourceInterface.
func (nothing) Namespace(string) dynamic.ResourceInterface { return nothing{} }

// Get implements dynamic.ResourceInterface.
func (nothing) Get(_ context.Context, name string, _ metav1.GetOptions, _ ...string) (*unstructured.Unstructured, error) {
	return nil, apierrors.NewNotFound(schema.GroupResource{}, name)
}

// List implements dynamic.ResourceInterface.
func (nothing) List(context.Context, metav1.ListOptions) (*unstructured.UnstructuredList, error) {
	return nil, apierrors.NewNotFound(schema.GroupResource{}, "")
}
