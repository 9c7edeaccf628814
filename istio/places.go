package istio

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/fairwaycd/fairway"
)

// occupant is what stands in a place.
type occupant struct {
	project  fairway.ProjectName
	instance string
}

// drainEvery is how often a draining place is looked at.
const drainEvery = 200 * time.Millisecond

// Attach notes the backend that stands in the place. Requests reach it as soon
// as its pods are ready and its place has weight: that is the cluster's doing.
// For a backend whose test begins it waits, at most for Options.Deadline, until
// the gateway leads the place's own host there; weights are waited for where
// they are set. It fails with [fairway.KindConflict] when another project has
// the service's name in that namespace.
func (t *Traffic) Attach(ctx context.Context, b fairway.Backend) error {
	if err := t.stand(b); err != nil {
		return err
	}
	if b.Run == "" || !b.Ready {
		return ctx.Err()
	}
	return t.reach(ctx, b.Place)
}

func (t *Traffic) stand(b fairway.Backend) error {
	if b.Instance == "" {
		return fairway.Invalid("instance", "", "is empty", "give the id of the platform's instance")
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, c := range []fairway.Colour{fairway.Single, fairway.Blue, fairway.Green} {
		p := fairway.Place{Namespace: b.Place.Namespace, Service: b.Place.Service, Colour: c}
		if o, ok := t.stands[p]; ok && o.project != b.Project {
			return fairway.Errorf(fairway.KindConflict, "the service %s in namespace %s belongs to project %s; give the stage of project %s a namespace of its own, such as %s-%s",
				p.Service, p.Namespace, o.project, b.Project, b.Project, p.Namespace)
		}
	}
	t.stands[b.Place] = occupant{b.Project, b.Instance}
	return nil
}

// SetReady does nothing: the cluster takes pods that are not ready out of the
// endpoints by itself, and the data plane follows that.
func (*Traffic) SetReady(fairway.Place, string, bool) {}

// Drain takes the instance out of its place and waits until the gateway has no
// request under way there, or the limit has passed; then it returns how many
// are left, which end with their pods' grace period. A limit of zero or less
// means Options.Drain. When another instance stands in the place there is
// nothing to wait for: its pods have replaced those of this one. A gateway that
// cannot be asked is waited for until the limit.
func (t *Traffic) Drain(ctx context.Context, place fairway.Place, instance string, limit time.Duration) (int, error) {
	if !t.takeOut(place, instance) {
		return 0, nil
	}
	if limit <= 0 {
		limit = t.o.Drain
	}
	host := string(place.Service)
	if _, s, err := t.read(ctx, key{place.Namespace, place.Service}); err != nil {
		return 0, err
	} else if s.git != nil {
		host = target(s.git)
	}
	names := clustersOf(subset(place.Colour), qualified(host, string(place.Namespace)))
	limited, cancel := context.WithTimeoutCause(ctx, limit, errDrained)
	defer cancel()
	began := time.Now()
	left, err := t.awaitIdle(limited, names)
	if ctx.Err() != nil {
		return 0, fairway.Errorf(fairway.KindUnavailable, "%s is not drained: %w", place, context.Cause(ctx))
	}
	if err != nil {
		t.o.Logger.Warn("the gateway could not be asked for requests under way", "place", place.String(), "instance", instance, "waited", limit, "error", err)
		return 0, nil
	}
	t.o.Logger.Info("place drained", "place", place.String(), "instance", instance, "took", took(began), "left", left)
	return left, nil
}

var errDrained = errors.New("the drain's limit has passed")

func subset(c fairway.Colour) string {
	if c == fairway.Single {
		return ""
	}
	return string(c)
}

// takeOut reports whether there may be requests at the instance.
func (t *Traffic) takeOut(place fairway.Place, instance string) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if o, ok := t.stands[place]; ok && o.instance != instance {
		return false
	}
	delete(t.stands, place)
	return true
}

// awaitIdle waits until no gateway pod has a request under way in the
// clusters, and returns how many there are when the context ends.
func (t *Traffic) awaitIdle(ctx context.Context, names string) (int, error) {
	w := &watchers{t: t, open: map[string]*watcher{}}
	defer w.close()
	left, err := 0, error(nil)
	for {
		n, lookErr := t.underWay(ctx, w, names)
		if lookErr == nil && n == 0 {
			return 0, nil
		}
		if ctx.Err() == nil || lookErr == nil {
			left, err = n, lookErr
		}
		select {
		case <-ctx.Done():
			return left, err
		case <-time.After(drainEvery):
		}
	}
}

// underWay counts the requests of all gateway pods.
func (t *Traffic) underWay(ctx context.Context, w *watchers, names string) (int, error) {
	pods, err := t.gatewayPods(ctx)
	if err != nil {
		return 0, err
	}
	if err := w.follow(pods); err != nil {
		return 0, err
	}
	n := 0
	var failed []string
	for _, o := range w.open {
		clusters, err := o.envoy.clusters(ctx, names)
		if err != nil {
			failed = append(failed, fmt.Sprintf("gateway pod %s: %s", o.envoy.pod, err))
		}
		for _, members := range clusters {
			for _, m := range members {
				n += m.active
			}
		}
	}
	if len(failed) > 0 {
		return n, errors.New(strings.Join(failed, "; "))
	}
	return n, nil
}
