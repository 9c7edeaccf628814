package istio

import (
	"context"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/fairwaycd/fairway"
)

const (
	lookEvery  = 100 * time.Millisecond // at the Envoys
	countEvery = time.Second            // the gateway's pods and the endpoints
)

// watchers are the gateway's pods while somebody waits for them.
type watchers struct {
	t    *Traffic
	open map[string]*watcher // by the pod's uid
}

type watcher struct {
	envoy *envoy
	done  func()
	state string // what it was seen to do, empty: all that is expected
}

// follow waits until every pod of the gateway splits traffic by the weights
// and knows the endpoints of each colour that has some. At the deadline the
// error says what every pod was seen to do.
func (t *Traffic) follow(ctx context.Context, s split, r fairway.Route) error {
	o, err := s.object()
	if err != nil {
		return err
	}
	want := expected{hosts: outsideHosts(o), rules: splitNames(o), weights: r.Weights, config: noteOf(o)}
	if len(want.hosts) == 0 {
		t.o.Logger.Warn("the VirtualService is bound to no gateway: whether the data plane follows cannot be seen", "namespace", r.Namespace, "virtualService", o.GetName())
		return nil
	}
	return t.await(ctx, want, s, r)
}

// reach waits until every pod of the gateway leads the hosts of the place to
// all endpoints that are ready there.
func (t *Traffic) reach(ctx context.Context, place fairway.Place) error {
	live, s, err := t.read(ctx, key{place.Namespace, place.Service})
	if err != nil || live == nil || place.Colour == fairway.Single {
		return err // a place without colour is reached when it has weight
	}
	o := pinned(s.git, place)
	if o == nil || len(outsideHosts(o)) == 0 {
		return nil
	}
	want := expected{hosts: outsideHosts(o), colour: place.Colour, config: noteOf(o)}
	return t.await(ctx, want, s, fairway.Route{Namespace: place.Namespace, Service: place.Service, Weights: fairway.Weights{place.Colour: 100}})
}

// noteOf is the end of the note by which Istio says from which VirtualService
// a route was made.
func noteOf(vs *unstructured.Unstructured) string {
	return "/namespaces/" + vs.GetNamespace() + "/virtual-service/" + vs.GetName()
}

// await waits until all is as expected, at most for Options.Deadline. The
// colours with weight in r are those whose endpoints have to be known.
func (t *Traffic) await(ctx context.Context, want expected, s split, r fairway.Route) error {
	began := time.Now()
	limited, cancel := context.WithTimeout(ctx, t.o.Deadline)
	defer cancel()
	w := &watchers{t: t, open: map[string]*watcher{}}
	defer w.close()
	seen := w.wait(limited, want, s, r)
	if seen == "" {
		t.o.Logger.Debug("the data plane follows", "namespace", r.Namespace, "service", r.Service, "weights", inForce(r.Weights), "took", took(began))
		return nil
	}
	if ctx.Err() != nil {
		return fairway.Errorf(fairway.KindUnavailable, "interrupted before the data plane had followed: %s: %w", seen, context.Cause(ctx))
	}
	return fairway.Errorf(fairway.KindUnavailable, "the data plane has not followed within %s: %s", t.o.Deadline, seen)
}

// wait returns nothing as soon as all is as expected, or what is not when the
// context ends.
func (w *watchers) wait(ctx context.Context, want expected, s split, r fairway.Route) string {
	var counted time.Time
	var need map[fairway.Colour]int
	problem := "it was not asked"
	for {
		if time.Since(counted) >= countEvery {
			n, p := w.count(ctx, s, r)
			if p == "" {
				need, counted = n, time.Now()
			} else if ctx.Err() == nil {
				problem = p
			}
		}
		if need != nil {
			if problem = w.look(ctx, want, need); problem == "" {
				return ""
			}
		}
		select {
		case <-ctx.Done():
			return problem
		case <-time.After(lookEvery):
		}
	}
}

// count reads which pods the gateway has, and how many endpoints each colour
// with weight has to have.
func (w *watchers) count(ctx context.Context, s split, r fairway.Route) (need map[fairway.Colour]int, problem string) {
	pods, err := w.t.gatewayPods(ctx)
	if err != nil {
		return nil, "the data plane could not be asked: " + err.Error()
	}
	if len(pods) == 0 && r.Weights != nil {
		return nil, fmt.Sprintf("the data plane could not be asked: no pod of the ingress gateway (%s in namespace %s) is ready", w.t.o.Selector, w.t.o.Namespace)
	}
	if err := w.follow(pods); err != nil {
		return nil, "the data plane could not be asked: " + err.Error()
	}
	need = map[fairway.Colour]int{}
	for c, share := range r.Weights {
		if share == 0 {
			continue
		}
		n, err := w.t.ready(ctx, s, r, c)
		if err != nil {
			return nil, err.Error()
		}
		need[c] = max(n, 1)
	}
	return need, ""
}

// follow makes the pods those that are asked.
func (w *watchers) follow(pods []unstructured.Unstructured) error {
	there := map[string]bool{}
	for _, p := range pods {
		uid := string(p.GetUID())
		there[uid] = true
		if w.open[uid] != nil {
			continue
		}
		e, done, err := w.t.envoys.use(p.GetNamespace(), p.GetName(), uid)
		if err != nil {
			return err
		}
		w.open[uid] = &watcher{envoy: e, done: done}
	}
	for uid, o := range w.open {
		if !there[uid] {
			o.done()
			delete(w.open, uid)
		}
	}
	return nil
}

func (w *watchers) close() {
	for _, o := range w.open {
		o.done()
	}
}

// look asks all pods at once and returns what is not as expected. Where the
// context's end kept a pod from an answer, the one before it counts.
func (w *watchers) look(ctx context.Context, want expected, need map[fairway.Colour]int) (problem string) {
	var wg sync.WaitGroup
	for _, o := range w.open {
		wg.Go(func() {
			state, err := o.envoy.follows(ctx, want, need)
			switch {
			case err == nil:
				o.state = state
			case ctx.Err() == nil || o.state == "":
				o.state = "could not be asked: " + err.Error()
			}
		})
	}
	wg.Wait()
	var all []string
	for _, o := range w.open {
		if o.state != "" {
			all = append(all, "gateway pod "+o.envoy.pod+" "+o.state)
		}
	}
	slices.Sort(all)
	if len(all) > 3 {
		all = append(all[:3], fmt.Sprintf("and %d more", len(all)-3))
	}
	return strings.Join(all, "; ")
}

// follows returns what the Envoy does otherwise than expected.
func (v *envoy) follows(ctx context.Context, want expected, need map[fairway.Colour]int) (string, error) {
	now, err := v.routes(ctx)
	if err != nil {
		return "", err
	}
	clusters, problem := want.check(now)
	if problem != "" {
		return now.since(problem), nil
	}
	names := slices.Concat(slices.Collect(maps.Values(clusters))...)
	if len(names) == 0 {
		return "", nil
	}
	for i, n := range names {
		names[i] = regexp.QuoteMeta(n)
	}
	members, err := v.clusters(ctx, "^("+strings.Join(names, "|")+")$")
	if err != nil {
		return "", err
	}
	for _, c := range slices.Sorted(maps.Keys(clusters)) {
		for _, name := range clusters[c] {
			if n := healthy(members[name]); n < need[c] {
				return fmt.Sprintf("knows %d of %d ready endpoints of %s (%s)", n, need[c], c, name), nil
			}
		}
	}
	return "", nil
}

// since adds how old the Envoy's configuration is, and what it refuses.
func (v view) since(problem string) string {
	if !v.updated.IsZero() {
		problem += ", as istiod told it at " + v.updated.UTC().Format(time.TimeOnly)
	}
	if v.refused != "" {
		problem += "; it refuses what istiod sends: " + v.refused
	}
	return problem
}
