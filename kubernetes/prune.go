package kubernetes

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/fairwaycd/fairway"
)

// keeps reports whether an object is never removed: it holds data, or objects
// of others.
func keeps(r ref) bool {
	switch r.Kind {
	case "PersistentVolumeClaim", "PersistentVolume", "CustomResourceDefinition", "Namespace":
		return true
	}
	return false
}

// prune removes what the workload says is obsolete, and then says so no more.
// What another place still has stays.
func (p *Platform) prune(ctx context.Context, w fairway.Workload, live *object) error {
	var obsolete []ref
	if err := json.Unmarshal([]byte(live.GetAnnotations()[annotationObsolete]), &obsolete); err != nil || len(obsolete) == 0 {
		return nil //nolint:nilerr // what somebody has spoilt is not ours to guess
	}
	for _, r := range obsolete {
		if err := p.removeOurs(ctx, w, r); err != nil {
			return fmt.Errorf("remove what the chart of %s no longer has: %w", w.Place, err)
		}
	}
	none := map[string]any{"metadata": map[string]any{"annotations": map[string]any{annotationObsolete: "[]"}}}
	return p.c.patch(ctx, refOf(live), string(w.Place.Namespace), none)
}

// removeOurs deletes the object if it carries the service's labels and no
// other place of the service has it.
func (p *Platform) removeOurs(ctx context.Context, w fairway.Workload, r ref) error {
	if keeps(r) || p.elsewhere(w.Place, r) {
		return nil
	}
	ns := string(w.Place.Namespace)
	for {
		o, err := p.c.get(ctx, r, ns)
		if fairway.KindOf(err) == fairway.KindInvalid {
			return nil // its kind has left the cluster, and the object with it
		}
		if err != nil || o == nil {
			return err
		}
		if foreignManager(o) != "" || mayTake(o, w, claim{installation: p.o.Installation}) != nil || o.GetDeletionTimestamp() != nil {
			return nil
		}
		p.log.Info("removing what no longer belongs to the service", "service", w.Place.String(), "object", r.String())
		if _, version := placeOf(o); version && isWorkload(o) {
			_, err := p.removeWorkload(ctx, r, ns, func(now *object) bool { return now.GetUID() == o.GetUID() })
			return err
		}
		err = p.c.remove(ctx, o, ns)
		if fairway.KindOf(err) == fairway.KindConflict {
			continue // it has changed since it was read
		}
		return err
	}
}

// elsewhere reports whether a workload in another place, or of another name in
// this one, was applied with the object.
func (p *Platform) elsewhere(place fairway.Place, r ref) bool {
	for _, c := range []fairway.Colour{fairway.Single, fairway.Blue, fairway.Green} {
		other := fairway.Place{Namespace: place.Namespace, Service: place.Service, Colour: c}
		if other == place {
			continue
		}
		for _, w := range p.find(byPlace, other.String()) {
			if contains(w.record().Objects, r) || r.same(w.ref()) {
				return true
			}
		}
	}
	return false
}
