package istio

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/fairwaycd/fairway"
)

// putBackLimit bounds the putting back of weights, which goes on when its
// caller has gone.
const putBackLimit = 2 * requestLimit

// SetWeights changes the split, and returns when every pod of the gateway
// follows it; nil weights take it away, as before the first release. It
// refuses ([fairway.KindRefused]) a weight above zero for a place without a
// ready endpoint, and with [fairway.KindInvalid] weights that do not sum to 100
// or name both a colour and the place of a direct stage; it changes nothing
// then. When the data plane does not follow by Options.Deadline the old weights
// are put back, and the error ([fairway.KindUnavailable], retryable) says which
// pod was seen to do what.
func (t *Traffic) SetWeights(ctx context.Context, r fairway.Route) error {
	k, unlock, err := t.begin(ctx, r)
	if err != nil {
		return err
	}
	defer unlock()
	live, s, err := t.read(ctx, k)
	switch {
	case err != nil:
		return err
	case live == nil && r.Weights == nil:
		return nil
	case live == nil:
		return fairway.Errorf(fairway.KindRefused, "%s in namespace %s has no VirtualService, so that there is nothing to give weights to; deliver a version first", r.Service, r.Namespace)
	}
	if err := t.fits(s, r); err != nil {
		return err
	}
	if err := t.refuseUnready(ctx, s, r); err != nil {
		return err
	}
	before := s.seen
	if err := t.move(ctx, k, r); err != nil {
		return t.putBack(ctx, k, r, before, err)
	}
	if !same(before, r.Weights) {
		t.o.Logger.Info("weights changed", "namespace", r.Namespace, "service", r.Service, "before", inForce(before), "weights", inForce(r.Weights))
	}
	return nil
}

// Restore puts back the split that was in force when the process ended. Unlike
// SetWeights it asks neither whether its endpoints are ready, nor whether the
// data plane follows: a change that was under way when the process ended, or
// that others have made since, is undone, and nothing else is written.
func (t *Traffic) Restore(ctx context.Context, r fairway.Route) error {
	k, unlock, err := t.begin(ctx, r)
	if err != nil {
		return err
	}
	defer unlock()
	if s, ok := t.listed(ctx, k); ok && same(s.written, r.Weights) && same(s.seen, r.Weights) {
		return nil
	}
	live, s, err := t.read(ctx, k)
	if err != nil {
		return err
	}
	if live == nil {
		if r.Weights == nil {
			return nil
		}
		return fairway.Errorf(fairway.KindNotFound, "%s in namespace %s has lost its VirtualService, so that its weights %s cannot be put back; deliver it again", r.Service, r.Namespace, r.Weights)
	}
	if same(s.written, r.Weights) && same(s.seen, r.Weights) {
		return nil
	}
	if err := t.fits(s, r); err != nil {
		return err
	}
	t.o.Logger.Warn("weights put back that were in force", "namespace", r.Namespace, "service", r.Service, "found", inForce(s.written), "seen", inForce(s.seen), "weights", inForce(r.Weights))
	return t.change(ctx, k, func(s *split) { s.written, s.seen = r.Weights, r.Weights })
}

// Route returns the split in force, which is the one that the data plane was
// last seen to follow; ok is false when none was set.
func (t *Traffic) Route(ctx context.Context, ns fairway.Namespace, name fairway.ServiceName) (fairway.Route, bool, error) {
	live, s, err := t.read(ctx, key{ns, name})
	if err != nil || live == nil || s.seen == nil {
		return fairway.Route{}, false, err
	}
	return fairway.Route{Namespace: ns, Service: name, Weights: s.seen}, true, nil
}

// begin checks the weights and takes the service's lock.
func (t *Traffic) begin(ctx context.Context, r fairway.Route) (key, func(), error) {
	k := key{r.Namespace, r.Service}
	if err := ctx.Err(); err != nil {
		return k, nil, err
	}
	if r.Weights != nil {
		if err := validate(r.Weights); err != nil {
			return k, nil, err
		}
	}
	unlock, err := t.lock(ctx, k)
	return k, unlock, err
}

func validate(w fairway.Weights) error {
	for c := range w {
		if _, err := fairway.ParseColour(string(c)); err != nil {
			return err
		}
	}
	if _, single := w[fairway.Single]; single && len(w) > 1 {
		return fairway.Invalid("weights", w.String(), "name a colour and the place of a direct stage at once", "give weights to blue and green, or 100 to the direct place")
	}
	return w.Validate()
}

// fits refuses weights of colours where the rules know none, and the other way
// round.
func (t *Traffic) fits(s split, r fairway.Route) error {
	_, single := r.Weights[fairway.Single]
	if r.Weights == nil || single != splits(s.git) {
		return nil
	}
	return fairway.Errorf(fairway.KindRefused, "weights %s do not fit VirtualService %s in namespace %s, whose rules are those of another strategy; deliver a version in this stage first", r.Weights, s.git.GetName(), r.Namespace)
}

// read returns the VirtualService with the weights, nil when there is none.
func (t *Traffic) read(ctx context.Context, k key) (*unstructured.Unstructured, split, error) {
	live, err := t.find(ctx, k)
	if err != nil || live == nil {
		return nil, split{}, err
	}
	s, err := readSplit(live)
	return live, s, err
}

// change reads, edits and writes the VirtualService until nobody else has
// changed it in between. Fields that others have set by hand become ours:
// weights are nobody else's.
func (t *Traffic) change(ctx context.Context, k key, edit func(*split)) error {
	for range attempts {
		live, s, err := t.read(ctx, k)
		if err != nil {
			return err
		}
		if live == nil {
			return fairway.Errorf(fairway.KindNotFound, "the VirtualService of %s in namespace %s was deleted meanwhile; deliver the service again", k.name, k.ns)
		}
		edit(&s)
		if err := t.write(ctx, s, live, true); !errors.Is(err, errMoved) {
			return err
		}
	}
	return fairway.Retryable(fairway.Errorf(fairway.KindUnavailable, "the VirtualService of %s in namespace %s is changed by others all the time", k.name, k.ns))
}

// move writes the weights, waits until they are seen, and records that.
func (t *Traffic) move(ctx context.Context, k key, r fairway.Route) error {
	t.o.Failpoint("route.change")
	var now split
	if err := t.change(ctx, k, func(s *split) { s.written = r.Weights; now = *s }); err != nil {
		return err
	}
	t.o.Failpoint("route.written")
	if err := t.follow(ctx, now, r); err != nil {
		return err
	}
	t.o.Failpoint("route.seen")
	if same(now.seen, r.Weights) {
		return nil
	}
	return t.change(ctx, k, func(s *split) { s.written, s.seen = r.Weights, r.Weights })
}

// putBack writes the weights that were in force, since others cannot be had:
// why says the reason.
func (t *Traffic) putBack(ctx context.Context, k key, r fairway.Route, before fairway.Weights, why error) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), putBackLimit)
	defer cancel()
	live, s, err := t.read(ctx, k)
	if err == nil && (live == nil || same(s.written, before)) {
		return why // it was not written
	}
	if err == nil {
		err = t.change(ctx, k, func(s *split) { s.written, s.seen = before, before })
	}
	if err != nil {
		t.o.Logger.Error("weights could not be put back; the next change or start does it", "namespace", r.Namespace, "service", r.Service, "weights", inForce(before), "error", err)
		return fairway.Retryable(fairway.Errorf(fairway.KindUnavailable, "%w; the weights of %s in namespace %s could not be put back to %s either: %w", why, r.Service, r.Namespace, inForce(before), err))
	}
	t.o.Logger.Warn("weights put back", "namespace", r.Namespace, "service", r.Service, "refused", inForce(r.Weights), "weights", inForce(before), "reason", why)
	return fairway.Retryable(fairway.Errorf(fairway.KindUnavailable, "weights %s of %s in namespace %s are not in force and were put back to %s: %w", inForce(r.Weights), r.Service, r.Namespace, inForce(before), why))
}

// refuseUnready refuses weight for a place without a ready endpoint.
func (t *Traffic) refuseUnready(ctx context.Context, s split, r fairway.Route) error {
	for _, c := range slices.Sorted(maps.Keys(r.Weights)) {
		if r.Weights[c] == 0 {
			continue
		}
		n, err := t.ready(ctx, s, r, c)
		if err != nil {
			return err
		}
		if n == 0 {
			return fairway.Errorf(fairway.KindRefused, "%s in %s: %s cannot get %d %% of the requests: Kubernetes Service %s has no ready endpoint; the weights stay %s, wait until a version is ready there",
				r.Service, r.Namespace, c, r.Weights[c], serviceOf(s, r, c), inForce(s.seen))
		}
	}
	return nil
}

// serviceOf names the Kubernetes Service that has the endpoints of a place.
func serviceOf(s split, r fairway.Route, c fairway.Colour) string {
	if c == fairway.Single {
		name, _, _ := strings.Cut(target(s.git), ".")
		return name
	}
	return fairway.Place{Namespace: r.Namespace, Service: r.Service, Colour: c}.Workload()
}

// ready counts the place's ready endpoints.
func (t *Traffic) ready(ctx context.Context, s split, r fairway.Route, c fairway.Colour) (int, error) {
	slices, err := t.cluster.list(ctx, endpointSlices, string(r.Namespace), "kubernetes.io/service-name="+serviceOf(s, r, c), 0)
	if err != nil {
		return 0, err
	}
	return readyEndpoints(slices), nil
}

// readyEndpoints counts the pods that are ready and not about to end. A pod
// with addresses of two families counts once.
func readyEndpoints(slices []unstructured.Unstructured) int {
	pods := map[string]bool{}
	for _, s := range slices {
		list, _, _ := unstructured.NestedSlice(s.Object, "endpoints")
		for _, e := range elements(list) {
			conditions, _ := e["conditions"].(map[string]any)
			if conditions["ready"] == false || conditions["terminating"] == true {
				continue
			}
			addresses, _ := e["addresses"].([]any)
			if len(addresses) == 0 {
				continue
			}
			id := fmt.Sprint(addresses[0])
			if ref, ok := e["targetRef"].(map[string]any); ok && ref["uid"] != nil {
				id = fmt.Sprint(ref["uid"])
			}
			pods[id] = true
		}
	}
	return len(pods)
}

// listed returns the service's split as it was when the namespace's were first
// listed. It is good for one look, at a start, when every service is restored.
func (t *Traffic) listed(ctx context.Context, k key) (split, bool) {
	t.mu.Lock()
	_, known := t.restored[k.ns]
	t.mu.Unlock()
	if !known {
		all, err := t.cluster.list(ctx, virtualServices, string(k.ns), selector(labelPart, partWeights), 0)
		if err != nil {
			return split{}, false // the caller asks for its own and says why not
		}
		found := map[fairway.ServiceName]split{}
		t.mu.Lock()
		for _, live := range all {
			name := fairway.ServiceName(live.GetLabels()[labelService])
			t.names[key{k.ns, name}] = live.GetName()
			if s, err := readSplit(&live); err == nil {
				found[name] = split{written: s.written, seen: s.seen}
			}
		}
		t.restored[k.ns] = found
		t.mu.Unlock()
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	s, ok := t.restored[k.ns][k.name]
	delete(t.restored[k.ns], k.name)
	return s, ok
}

// took is how long something took, for people.
func took(since time.Time) time.Duration { return time.Since(since).Round(time.Millisecond) }
