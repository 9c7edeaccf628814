package app

import (
	"context"
	"fmt"

	"github.com/fairwaycd/fairway/api"
)

var _ checker = (*cluster)(nil)

// checks says whether Fairway's account may do in the cluster what it has to,
// and what of the namespaces is not as a mesh needs it.
func (c *cluster) checks(ctx context.Context) []api.Finding {
	const name = "rights in the cluster"
	missing, err := c.pods.Missing(ctx, c.gatewayNamespace)
	if err != nil {
		return []api.Finding{{Name: name, State: api.CheckFail, Text: err.Error(), Remedy: "see that the cluster answers: kubectl get --raw /readyz"}}
	}
	var out []api.Finding
	for _, r := range missing {
		out = append(out, api.Finding{Name: name, State: api.CheckFail,
			Text:   fmt.Sprintf("Fairway's account may not %s, which it needs %s", r, r.Why),
			Remedy: "give it a ClusterRole that allows this; docs/tasks/run-on-kubernetes.md lists all"})
	}
	if len(out) == 0 {
		out = append(out, api.Finding{Name: name, State: api.CheckOK, Text: "Fairway's account may do what every project needs"})
	}
	for _, note := range c.pods.Notes() {
		out = append(out, api.Finding{Name: "namespaces in the cluster", State: api.CheckWarn, Text: note, Remedy: "label it, or start Fairway with --label-namespaces"})
	}
	return out
}
