package registries

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/fairwaycd/fairway"
)

// askLimit bounds one question to a registry.
const askLimit = time.Minute

// The longest times between two looks that fail: by our own back-off, and
// because the registry asks for it.
const (
	maxBackoff = 10 * time.Minute
	maxAsked   = time.Hour
)

// WatcherOptions are a watcher's collaborators. All functions are required.
type WatcherOptions struct {
	Store *Store
	// Repositories returns the repositories of a project's services in the
	// registry, by name. KindConflict when the registry contradicts the shipyard.
	Repositories func(ctx context.Context, r fairway.Registry) (map[string][]fairway.ServiceName, error)
	// Tags lists a repository's tags. KindNotFound: it does not exist yet. An
	// error with a method RetryAfter says how long to wait.
	Tags func(ctx context.Context, r fairway.Registry, image string) ([]string, error)
	// Created returns when a tag's image was built.
	Created func(ctx context.Context, r fairway.Registry, a fairway.Artifact) (time.Time, error)
	// Deliver returns once what the push causes is stored, and recorded with
	// [Store.Mark].
	Deliver func(ctx context.Context, r fairway.Registry, p Push) error
	Logger  *slog.Logger
}

// Watcher looks at the registries' tags. It is safe for concurrent use.
type Watcher struct {
	o WatcherOptions

	mu      sync.Mutex
	ctx     context.Context // while it runs
	watches map[key]*watch
	wg      sync.WaitGroup
}

type key struct {
	project fairway.ProjectName
	name    string
}

func keyOf(r fairway.Registry) key { return key{r.Project, r.Name} }

// watch is the looking at one registry.
type watch struct {
	w    *Watcher
	r    fairway.Registry
	stop context.CancelFunc // nil: nobody looks
	done chan struct{}

	mu    sync.Mutex
	state fairway.RegistryState
}

// NewWatcher returns a watcher of the store's registries, which looks at
// nothing yet.
func NewWatcher(o WatcherOptions) *Watcher {
	return &Watcher{o: o, watches: map[key]*watch{}}
}

// Run looks at all registries until ctx ends, and waits for what is under way.
func (w *Watcher) Run(ctx context.Context) {
	w.mu.Lock()
	w.ctx = ctx
	for _, r := range w.o.Store.All() {
		w.start(r)
	}
	w.mu.Unlock()
	<-ctx.Done()
	w.mu.Lock()
	w.ctx = nil
	w.mu.Unlock()
	w.wg.Wait()
}

// Changed begins to look at the registry as the store has it now, and forgets
// it if the store does not have it.
func (w *Watcher) Changed(p fairway.ProjectName, name string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if old := w.watches[key{p, name}]; old != nil {
		delete(w.watches, key{p, name})
		if old.stop != nil {
			old.stop()
			<-old.done
		}
	}
	if r, err := w.o.Store.Get(p, name); err == nil && w.ctx != nil {
		w.start(r)
	}
}

// start begins to look; the caller holds mu, and the watcher runs.
func (w *Watcher) start(r fairway.Registry) {
	x := &watch{w: w, r: r, done: make(chan struct{}), state: fairway.RegistryState{Condition: fairway.RegistryPending, Since: time.Now()}}
	w.watches[keyOf(r)] = x
	if r.Poll == 0 {
		x.state.Condition = fairway.RegistryUnwatched
		return
	}
	ctx, cancel := context.WithCancel(w.ctx)
	x.stop = cancel
	w.wg.Go(func() {
		defer close(x.done)
		defer cancel()
		x.run(ctx)
	})
}

// State returns how it stands with a registry.
func (w *Watcher) State(r fairway.Registry) fairway.RegistryState {
	x := w.watchOf(r)
	if x == nil {
		return fairway.RegistryState{Condition: fairway.RegistryPending}
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	s := x.state
	s.Repositories = slices.Clone(s.Repositories)
	return s
}

func (w *Watcher) watchOf(r fairway.Registry) *watch {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.watches[keyOf(r)]
}

// Heard notes that a notification was taken, or refused for its secret.
func (w *Watcher) Heard(r fairway.Registry, vendor string, taken bool) {
	x := w.watchOf(r)
	if x == nil {
		return
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	if !taken {
		x.state.Refused++
		return
	}
	x.state.Heard, x.state.Vendor = time.Now(), vendor
}

// run looks until ctx ends.
func (x *watch) run(ctx context.Context) {
	failed := 0
	for {
		repos, err := x.look(ctx)
		if ctx.Err() != nil {
			return
		}
		if failed++; err == nil {
			failed = 0
		}
		pause := x.pause(failed, err)
		x.note(ctx, repos, err, time.Now().Add(pause))
		timer := time.NewTimer(pause)
		select {
		case <-ctx.Done():
			timer.Stop()
			return
		case <-timer.C:
		}
	}
}

// pause is the time until the next look: the poll's, twice as long after each
// failure in a row, and never shorter than the registry asks for.
func (x *watch) pause(failed int, err error) time.Duration {
	pause := x.r.Poll
	for range min(failed, 16) {
		pause = min(2*pause, max(maxBackoff, x.r.Poll))
	}
	var busy interface{ RetryAfter() time.Duration }
	if errors.As(err, &busy) {
		pause = max(pause, min(busy.RetryAfter(), maxAsked))
	}
	return pause
}

// note keeps what came of a look.
func (x *watch) note(ctx context.Context, repos []fairway.RepositoryState, err error, next time.Time) {
	condition, reason := conditionOf(err)
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.state.Condition != condition {
		x.state.Condition, x.state.Since = condition, time.Now()
		level := slog.LevelInfo
		if err != nil {
			level = slog.LevelWarn
		}
		x.log().Log(ctx, level, "registry is "+string(condition), "reason", reason)
	}
	x.state.Reason, x.state.Next = reason, next
	if err == nil {
		x.state.Looked = time.Now()
	}
	if repos != nil {
		x.state.Repositories = repos
	}
}

func (x *watch) log() *slog.Logger {
	return x.w.o.Logger.With("project", x.r.Project, "registry", x.r.Name)
}

func conditionOf(err error) (fairway.RegistryCondition, string) {
	if err == nil {
		return fairway.RegistryWatched, ""
	}
	var busy interface{ RetryAfter() time.Duration }
	condition := fairway.RegistryFailing
	switch kind := fairway.KindOf(err); {
	case errors.As(err, &busy):
		condition = fairway.RegistryBusy
	case kind == fairway.KindUnavailable:
		condition = fairway.RegistryUnreachable
	case kind == fairway.KindUnauthorized:
		condition = fairway.RegistryRefuses
	case kind == fairway.KindConflict:
		condition = fairway.RegistryContradicts
	}
	return condition, err.Error()
}

// look looks at every repository once. One that fails does not keep it from
// the others, unless the registry has had enough of us; the first error is
// returned.
func (x *watch) look(ctx context.Context) ([]fairway.RepositoryState, error) {
	repos, err := x.w.o.Repositories(ctx, x.r)
	if err != nil {
		return nil, err
	}
	states := make([]fairway.RepositoryState, 0, len(repos))
	var first error
	for _, image := range slices.Sorted(maps.Keys(repos)) {
		s := fairway.RepositoryState{Image: image, Services: repos[image]}
		var err error
		if s.Tags, err = x.lookAt(ctx, image); err != nil {
			s.Reason = err.Error()
			if first == nil {
				first = err
			}
		}
		states = append(states, s)
		var busy interface{ RetryAfter() time.Duration }
		if ctx.Err() != nil || errors.As(err, &busy) {
			break
		}
	}
	return states, first
}

// lookAt hands on the tags of a repository that are new, and returns how many
// there are. A repository that does not exist yet has none: the first tag that
// it gets is new then.
func (x *watch) lookAt(ctx context.Context, image string) (int, error) {
	filter, err := FilterOf(x.r)
	if err != nil {
		return 0, err
	}
	tags, err := limited(ctx, x, func(ctx context.Context) ([]string, error) { return x.w.o.Tags(ctx, x.r, image) })
	if err != nil && fairway.KindOf(err) != fairway.KindNotFound {
		return 0, err
	}
	known, err := x.w.o.Store.Known(x.r, image)
	if err != nil {
		return 0, err
	}
	passed := map[string]string{}
	var fresh []string
	for _, tag := range tags {
		if _, ok := known.Tags[tag]; !ok {
			passed[tag] = ""
		}
		if filter.Takes(tag) {
			fresh = append(fresh, tag)
		}
	}
	if fresh, err = x.fresh(ctx, image, fresh, known); err != nil {
		return 0, err
	}
	for _, tag := range fresh {
		if err := x.deliver(ctx, image, tag); err != nil {
			return len(tags), err
		}
	}
	return len(tags), x.w.o.Store.Mark(x.r, image, passed, true)
}

// fresh returns which of the tags that fit are handed on, from the oldest to
// the newest: those that are not known. The first look takes the newest at
// most, whether others are known or not.
func (x *watch) fresh(ctx context.Context, image string, tags []string, known Known) ([]string, error) {
	isKnown := func(tag string) bool { _, ok := known.Tags[tag]; return ok }
	switch {
	case known.Looked:
		return x.inOrder(ctx, image, slices.DeleteFunc(tags, isKnown))
	case x.r.DeliverExisting != fairway.DeliverNewest || len(tags) == 0:
		return nil, nil
	}
	tags, err := x.inOrder(ctx, image, tags)
	if err != nil {
		return nil, err
	}
	return slices.DeleteFunc(tags[len(tags)-1:], isKnown), nil
}

// deliver hands a new tag on. One that is gone again, or names no image, is
// passed over, since it would keep all that come after it.
func (x *watch) deliver(ctx context.Context, image, tag string) error {
	err := x.w.o.Deliver(ctx, x.r, Push{Image: image, Tag: tag, Actor: "a look at the tags of " + x.r.Name})
	if kind := fairway.KindOf(err); err != nil && (kind == fairway.KindNotFound || kind == fairway.KindInvalid) {
		x.log().Warn("a new tag is passed over", "image", image, "tag", tag, "reason", err)
		return x.w.o.Store.Mark(x.r, image, map[string]string{tag: ""}, false)
	}
	return err
}

// limited asks a question that must not take for ever.
func limited[T any](ctx context.Context, x *watch, ask func(context.Context) (T, error)) (T, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, askLimit, fairway.Errorf(fairway.KindUnavailable, "the registry %s did not answer within %v", x.r.Host(), askLimit))
	defer cancel()
	v, err := ask(ctx)
	if errors.Is(err, context.DeadlineExceeded) && fairway.KindOf(context.Cause(ctx)) == fairway.KindUnavailable {
		err = context.Cause(ctx)
	}
	return v, err
}

// inOrder sorts new tags from the oldest to the newest.
func (x *watch) inOrder(ctx context.Context, image string, tags []string) ([]string, error) {
	if len(tags) < 2 {
		return tags, nil
	}
	all, ok := versioned(tags)
	if ok {
		return order(all), nil
	}
	for _, tag := range tags {
		at, err := limited(ctx, x, func(ctx context.Context) (time.Time, error) {
			return x.w.o.Created(ctx, x.r, fairway.Artifact{Image: image, Tag: tag})
		})
		if err != nil && fairway.KindOf(err) != fairway.KindNotFound {
			return nil, err
		}
		all = append(all, found{tag: tag, created: at})
	}
	return order(all), nil
}
