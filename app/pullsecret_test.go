package app

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/fairwaycd/fairway"
	"github.com/fairwaycd/fairway/inmem"
	"github.com/fairwaycd/fairway/registries"
)

// The pull secret is in the namespace before a version starts there, or comes
// with the namespace; one that cannot be put there starts nothing.
func TestPullSecretsComeBeforeVersions(t *testing.T) {
	t.Parallel()
	store, err := registries.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range []fairway.Registry{
		{Project: "shop", Name: "hub", URL: "https://ghcr.io/acme", Username: "bot", Password: "pa55word", CopyPullSecret: true, Poll: time.Hour},
		{Project: "shop", Name: "other", URL: "https://quay.io/acme", Username: "bot", Password: "pa55word", Poll: time.Hour},
		{Project: "else", Name: "hub", URL: "https://ghcr.io/acme", Username: "bot", Password: "pa55word", CopyPullSecret: true, Poll: time.Hour},
	} {
		if err := store.Put(r); err != nil {
			t.Fatal(err)
		}
	}
	var done []string
	var refusal error // of the first secret
	a := &App{elsewhere: store, putPullSecret: func(_ context.Context, p fairway.ProjectName, ns fairway.Namespace, name string, config []byte) error {
		if !strings.Contains(string(config), `"ghcr.io"`) {
			t.Errorf("the secret holds %s", config)
		}
		done = append(done, strings.Join([]string{string(p), string(ns), name}, "/"))
		err := refusal
		refusal = nil
		return err
	}}
	world := inmem.NewWorld(nil)
	world.OnApply = func(context.Context, fairway.Workload) { done = append(done, "version") }
	p := withPullSecrets{world, a}
	w := fairway.Workload{Project: "shop", Stage: "dev", Place: fairway.Place{Namespace: "shop-dev", Service: "carts", Colour: fairway.Single}, Instance: "i"}
	const secret = "shop/shop-dev/fairway-hub"
	for _, tt := range []struct {
		refusal error
		want    []string
		fails   bool
	}{
		{nil, []string{secret, "version"}, false},
		{fairway.Errorf(fairway.KindNotFound, "no namespace"), []string{secret, "version", secret}, false},
		{fairway.Errorf(fairway.KindRefused, "somebody else's"), []string{secret}, true},
	} {
		done, refusal = nil, tt.refusal
		if err := p.Apply(t.Context(), w); (err != nil) != tt.fails || !slices.Equal(done, tt.want) {
			t.Errorf("after %v: %v, %v, want %v", tt.refusal, done, err, tt.want)
		}
	}
}
