package registries_test

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fairwaycd/fairway"
	"github.com/fairwaycd/fairway/registries"
)

const carts = "registry.example.com/shop/carts"

// hub is a registry with the tags of one repository, and what came of them.
type hub struct {
	store   *registries.Store
	tags    []string
	created map[string]time.Time
	fail    func(tag string) error // of a delivery
	down    error                  // of a list
	got     []string
	looks   int
	silent  bool // takes questions and does not answer
	forget  bool // deliver, and die before that is recorded
}

func newHub(t testing.TB, dir string, r fairway.Registry) (*hub, fairway.Registry) {
	t.Helper()
	store, err := registries.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	r.Project, r.Name, r.URL = "shop", "r", "https://registry.example.com/shop"
	if r.Poll == 0 {
		r.Poll = 30 * time.Second
	}
	if err := r.Validate(); err != nil {
		t.Fatal(err)
	}
	if err := store.Put(r); err != nil {
		t.Fatal(err)
	}
	return &hub{store: store, fail: func(string) error { return nil }}, r
}

// watch looks for the given time, which is not a real one.
func (h *hub) watch(t *testing.T, d time.Duration) *registries.Watcher {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), d)
	defer cancel()
	w := registries.NewWatcher(registries.WatcherOptions{
		Store: h.store, Logger: slog.New(slog.DiscardHandler),
		Repositories: func(context.Context, fairway.Registry) (map[string][]fairway.ServiceName, error) {
			return map[string][]fairway.ServiceName{carts: {"carts"}}, nil
		},
		Tags: func(ctx context.Context, _ fairway.Registry, _ string) ([]string, error) {
			h.looks++
			if h.silent {
				<-ctx.Done()
				return nil, fmt.Errorf("ask: %w", ctx.Err())
			}
			if h.tags == nil && h.down == nil {
				return nil, fairway.Errorf(fairway.KindNotFound, "no such repository")
			}
			return slices.Clone(h.tags), h.down
		},
		Created: func(_ context.Context, _ fairway.Registry, a fairway.Artifact) (time.Time, error) {
			return h.created[a.Tag], nil
		},
		Deliver: func(_ context.Context, r fairway.Registry, p registries.Push) error {
			if err := h.fail(p.Tag); err != nil {
				return err
			}
			h.got = append(h.got, p.Tag)
			if h.forget {
				return context.Canceled
			}
			return h.store.Mark(r, p.Image, map[string]string{p.Tag: "sha256:" + p.Tag}, false)
		},
	})
	w.Run(ctx)
	return w
}

func (h *hub) want(t *testing.T, when string, tags ...string) {
	t.Helper()
	if !slices.Equal(h.got, tags) {
		t.Errorf("%s: delivered %v, want %v", when, h.got, tags)
	}
	h.got = nil
}

func TestNewTagsInOrderAndOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		h, _ := newHub(t, dir, fairway.Registry{})
		h.tags = []string{"0.9.0", "0.10.0", "latest"}
		h.watch(t, time.Minute)
		h.want(t, "the first looks")
		h.tags = append(h.tags, "0.10.2", "0.10.10", "0.10.2-1")
		h.watch(t, time.Second)
		h.want(t, "after a restart", "0.10.2-1", "0.10.2", "0.10.10")
		again, _ := newHub(t, dir, fairway.Registry{})
		again.tags = h.tags
		again.watch(t, time.Minute)
		again.want(t, "after another")
		again.tags = append(again.tags, "nightly", "feature", "older")
		again.created = map[string]time.Time{"nightly": time.Unix(300, 0), "feature": time.Unix(200, 0), "older": time.Unix(100, 0)}
		again.watch(t, time.Second)
		again.want(t, "what has no version, by when it was built", "older", "feature", "nightly")
	})
}

func TestFirstTagOfARepository(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, _ := newHub(t, t.TempDir(), fairway.Registry{})
		h.watch(t, time.Second)
		h.tags = []string{"1"}
		h.watch(t, time.Second)
		h.want(t, "the first tag", "1")
	})
}

func TestDeliverExistingNewest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, r := newHub(t, t.TempDir(), fairway.Registry{DeliverExisting: fairway.DeliverNewest, Filter: "<2.0.0"})
		h.tags = []string{"1.1.0", "1.10.0", "2.0.0", "1.9.0"}
		h.forget = true
		h.watch(t, time.Second)
		h.want(t, "one that died before it was recorded", "1.10.0")
		h.forget = false
		h.watch(t, time.Minute)
		h.want(t, "the next", "1.10.0")
		h.tags = append(h.tags, "1.8.0")
		h.watch(t, time.Second)
		h.want(t, "a new one, though older", "1.8.0")
		k, err := h.store.Known(r, carts)
		if want := map[string]string{"1.1.0": "", "1.10.0": "sha256:1.10.0", "2.0.0": "", "1.9.0": "", "1.8.0": "sha256:1.8.0"}; err != nil || !reflect.DeepEqual(k.Tags, want) {
			t.Errorf("known are %v, %v, want %v", k.Tags, err, want)
		}
	})
}

// A tag that a notification told of before the first look is no reason to
// deliver an older one.
func TestNotifiedBeforeTheFirstLook(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, r := newHub(t, t.TempDir(), fairway.Registry{DeliverExisting: fairway.DeliverNewest})
		if err := h.store.Mark(r, carts, map[string]string{"2": "sha256:2"}, false); err != nil {
			t.Fatal(err)
		}
		h.tags = []string{"1", "2"}
		h.watch(t, time.Minute)
		h.want(t, "the first look")
	})
}

func TestNothingIsLost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, _ := newHub(t, t.TempDir(), fairway.Registry{FilterRegexp: `v\d+`})
		h.tags = []string{}
		h.watch(t, time.Second)
		h.tags = []string{"v1", "v2", "v3", "debug"}
		full := fairway.Errorf(fairway.KindUnavailable, "the event store takes nothing")
		h.fail = func(tag string) error {
			if tag == "v2" {
				return full
			}
			return nil
		}
		w := h.watch(t, time.Second)
		h.want(t, "up to one that could not be stored", "v1")
		r, _ := h.store.Get("shop", "r")
		if s := w.State(r); s.Condition != fairway.RegistryUnreachable || !strings.Contains(s.Reason, "takes nothing") || s.Repositories[0].Tags != 4 {
			t.Errorf("state %+v", s)
		}
		h.fail = func(string) error { return nil }
		h.forget = true
		h.watch(t, time.Second)
		h.want(t, "one that died between the two", "v2")
		h.forget = false
		h.watch(t, 5*time.Minute)
		h.want(t, "the rest, with that one again", "v2", "v3")
		h.tags = append(h.tags, "v4", "v5")
		h.fail = func(tag string) error {
			if tag == "v4" {
				return fairway.Errorf(fairway.KindNotFound, "it is gone again")
			}
			return nil
		}
		h.watch(t, 5*time.Minute)
		h.want(t, "past one that is gone", "v5")
	})
}

// busy is what the client of registries says of a 429.
type busy struct {
	error
	after time.Duration
}

func (b busy) RetryAfter() time.Duration { return b.after }

func TestBackOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, r := newHub(t, t.TempDir(), fairway.Registry{})
		h.down = busy{fairway.Errorf(fairway.KindUnavailable, "429"), 7 * time.Minute}
		w := h.watch(t, 21*time.Minute+time.Second)
		if h.looks != 4 {
			t.Errorf("%d looks in 21 minutes at a registry that wants 7 between them, want 4", h.looks)
		}
		if s := w.State(r); s.Condition != fairway.RegistryBusy {
			t.Errorf("state %+v", s)
		}
		h.looks, h.down = 0, fairway.Errorf(fairway.KindUnavailable, "no route to host")
		h.watch(t, time.Hour)
		// 30 s doubled to 1, 2, 4, 8 and then 10 minutes.
		if h.looks != 9 {
			t.Errorf("%d looks in an hour at one that does not answer, want 9", h.looks)
		}
	})
}

// A registry that takes a question and does not answer is one that cannot be
// reached, and the next look comes all the same.
func TestSilence(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, r := newHub(t, t.TempDir(), fairway.Registry{})
		h.silent = true
		w := h.watch(t, 5*time.Minute)
		if s := w.State(r); s.Condition != fairway.RegistryUnreachable || !strings.Contains(s.Reason, "did not answer within 1m0s") || h.looks < 2 {
			t.Errorf("after %d looks: %+v", h.looks, s)
		}
	})
}

func TestChanged(t *testing.T) {
	t.Parallel()
	h, r := newHub(t, t.TempDir(), fairway.Registry{Poll: time.Hour})
	h.tags = []string{"1"}
	looked := make(chan fairway.Registry, 9)
	w := registries.NewWatcher(registries.WatcherOptions{Store: h.store, Logger: slog.New(slog.DiscardHandler),
		Repositories: func(_ context.Context, r fairway.Registry) (map[string][]fairway.ServiceName, error) {
			looked <- r
			return nil, nil
		}})
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { defer close(done); w.Run(ctx) }()
	<-looked
	r.Filter = "1"
	if err := h.store.Put(r); err != nil {
		t.Fatal(err)
	}
	w.Changed("shop", "r")
	if got := <-looked; got.Filter != "1" {
		t.Errorf("looked with %+v", got)
	}
	w.Heard(r, "harbor", true)
	w.Heard(r, "", false)
	if s := w.State(r); s.Vendor != "harbor" || s.Refused != 1 {
		t.Errorf("state %+v", s)
	}
	if _, err := h.store.Remove("shop", "r"); err != nil {
		t.Fatal(err)
	}
	w.Changed("shop", "r")
	cancel()
	<-done
}

func TestStore(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	h, r := newHub(t, dir, fairway.Registry{Username: "bot", Password: "pa55word", Secret: secret})
	if err := h.store.Mark(r, carts, map[string]string{"1": ""}, true); err != nil {
		t.Fatal(err)
	}
	again, err := registries.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	if got := again.All(); len(got) != 1 || got[0] != r {
		t.Errorf("got %+v, want %+v", got, r)
	}
	if got, ok := again.For("shop", carts); !ok || got != r {
		t.Errorf("for %s: %+v", carts, got)
	}
	for _, image := range []string{"registry.example.com/shopping/carts", "other.example.com/shop/carts", "shop/carts"} {
		if got, ok := again.For("shop", image); ok {
			t.Errorf("for %s: %+v", image, got)
		}
	}
	if _, ok := again.For("other", carts); ok {
		t.Error("another project has it too")
	}
	info, err := os.Stat(filepath.Join(dir, "shop.json"))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	// Another address is another registry.
	r.URL = "https://registry.example.com/shop2"
	if err := again.Put(r); err != nil {
		t.Fatal(err)
	}
	if k, err := again.Known(r, carts); err != nil || k.Looked {
		t.Errorf("known %+v, %v", k, err)
	}
	if _, err := again.Remove("shop", "other"); fairway.KindOf(err) != fairway.KindNotFound || !strings.Contains(err.Error(), "it has: r") {
		t.Errorf("got %v", err)
	}
	if _, err := again.Remove("shop", "r"); err != nil {
		t.Fatal(err)
	}
	if left, err := filepath.Glob(filepath.Join(dir, "*.json")); len(left) > 0 || err != nil {
		t.Errorf("left %v, %v", left, err)
	}
	if err := os.WriteFile(filepath.Join(dir, "shop.json"), []byte(`[{"password":"pa55word"`), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := registries.Open(dir); err == nil || strings.Contains(err.Error(), "pa55word") {
		t.Errorf("a damaged file: %v", err)
	}
}
