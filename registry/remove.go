package registry

import (
	"context"
	"fmt"

	"github.com/fairwaycd/fairway"
)

// Remove deletes a repository with all its tags and uploads; repositories
// below it stay. The space is free after the next [Registry.Collect]. Pushes
// wait meanwhile. A repository that is not there is removed already.
func (r *Registry) Remove(ctx context.Context, repository string) error {
	wait, cancel := context.WithTimeout(ctx, collectPatience)
	defer cancel()
	if err := r.gate.Acquire(wait, gateSize); err != nil {
		return fairway.Errorf(fairway.KindUnavailable, "delete the images of %s: pushes are under way: %w", repository, err)
	}
	defer r.gate.Release(gateSize)
	parts, err := list(r.disk.repo(repository))
	if err != nil {
		return fmt.Errorf("delete the images of %s: %w", repository, err)
	}
	for _, p := range parts {
		if p[0] != '_' {
			continue
		}
		if err := r.disk.remove(r.disk.repo(repository, p)); err != nil {
			return fmt.Errorf("delete the images of %s: %w", repository, err)
		}
	}
	return nil
}
