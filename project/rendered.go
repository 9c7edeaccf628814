package project

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"

	"github.com/fairwaycd/fairway"
	"github.com/fairwaycd/fairway/controller"
)

// Rendered keeps bodies by name, durably. Get is of KindNotFound when there is
// none.
type Rendered interface {
	Put(ctx context.Context, name string, body []byte) error
	Get(ctx context.Context, name string) ([]byte, error)
}

// rendering is what a delivery's version was rendered to in a place.
type rendering struct {
	Delivery  fairway.DeliveryID `json:"delivery"`
	Commit    string             `json:"commit"`
	Artifact  fairway.Artifact   `json:"artifact"`
	Manifests []string           `json:"manifests"`
}

// keptRenderings is how many are kept of a place: what runs there and may have
// to come back, and those that failed since.
const keptRenderings = 10

// once returns what the delivery's version was rendered to in its place
// before: its next attempts, a restart of Fairway and a rollback to it run the
// same. If it was not, fresh is stored as that. Another commit is another
// rendering, unless the version is run again.
func (k *Keeper) once(ctx context.Context, c controller.Change, commit string, a fairway.Artifact, fresh [][]byte) ([][]byte, error) {
	if k.Rendered == nil {
		return fresh, nil
	}
	k.keeping.Lock()
	defer k.keeping.Unlock()
	name := fmt.Sprintf("%s.%s.%s.%s", c.Project, c.Stage.Name, c.Service, c.Colour)
	var all []rendering
	body, err := k.Rendered.Get(ctx, name)
	if err == nil {
		err = json.Unmarshal(body, &all)
	}
	if err != nil && fairway.KindOf(err) != fairway.KindNotFound {
		return nil, fmt.Errorf("read what was rendered for %s: %w", name, err)
	}
	for _, r := range all {
		if r.Delivery == c.Delivery && r.Artifact.Same(a) && (c.Again || r.Commit == commit) {
			return texts[[]byte](r.Manifests), nil
		}
	}
	all = slices.DeleteFunc(all, func(r rendering) bool { return r.Delivery == c.Delivery })
	all = append(all, rendering{Delivery: c.Delivery, Commit: commit, Artifact: a, Manifests: texts[string](fresh)})
	if body, err = json.Marshal(all[max(0, len(all)-keptRenderings):]); err != nil {
		return nil, fmt.Errorf("encode what was rendered for %s: %w", name, err)
	}
	return fresh, k.Rendered.Put(ctx, name, body)
}

func texts[T, F string | []byte](in []F) []T {
	out := make([]T, len(in))
	for i, t := range in {
		out[i] = T(t)
	}
	return out
}
