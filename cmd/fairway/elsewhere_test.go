package main

import (
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/fairwaycd/fairway"
	"github.com/fairwaycd/fairway/image"
	"github.com/fairwaycd/fairway/registry"
)

// A tag of a registry elsewhere is delivered once, wherever the process dies
// between finding it and recording that it was found.
func TestKilledWhileATagElsewhereIsStored(t *testing.T) {
	t.Parallel()
	for _, point := range []string{"elsewhere.before-event:1", "elsewhere.after-event:1"} {
		t.Run(point, func(t *testing.T) {
			t.Parallel()
			there, err := registry.New(registry.Options{Dir: t.TempDir()})
			must(t, err)
			hub := httptest.NewServer(there.Handler())
			defer hub.Close()
			push := func(tag string) {
				t.Helper()
				img, err := image.Pack(image.PackRequest{Binary: "elsewhere_test.go", Name: "cart", Entrypoint: []string{"/none-" + tag}})
				must(t, err)
				_, err = image.Push(t.Context(), img, strings.TrimPrefix(hub.URL, "http://")+"/shop/cart:"+tag, image.Credentials{User: "any", Token: "any"})
				must(t, err)
			}

			s := start(t)
			s.shop(t, "stages:\n  - name: production\n", "1s")
			push("0")
			s.run(t, "registry", "add", hub.URL, "--project", "shop", "--name", "hub", "--poll", "1s")
			must(t, until("the registry was looked at", func() (bool, error) {
				return strings.Contains(s.run(t, "registry", "list", "--project", "shop"), " watched "), nil
			}))
			must(t, s.stop())
			must(t, s.begin([]string{"FAIRWAY_FAILPOINT=" + point}))
			push("1")
			must(t, s.awaitExit())
			must(t, s.begin(nil))
			push("2")
			for _, tag := range []string{"1", "2"} {
				if d, err := s.ended("cart", tag); err != nil || d.Status != fairway.StatusFailed && d.Status != fairway.StatusSuperseded {
					t.Errorf("tag %s: %+v, %v", tag, d, err)
				}
			}
			if out := s.run(t, "get", "deliveries"); strings.Count(out, "\n") != 3 {
				t.Errorf("there are other deliveries than two:\n%s", out)
			}
			must(t, s.stop())
		})
	}
}
