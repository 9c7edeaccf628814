package fairway_test

import (
	"strings"
	"testing"

	"github.com/fairwaycd/fairway"
)

func TestArtifactIsRef(t *testing.T) {
	t.Parallel()
	digest := "sha256:" + strings.Repeat("0", 64)
	a := fairway.Artifact{Image: "ghcr.io/acme/carts", Tag: "0.6.0-1", Digest: digest}
	if want := "ghcr.io/acme/carts:0.6.0-1@" + digest; a.Ref() != want {
		t.Errorf("Ref is %s, want %s", a.Ref(), want)
	}
	for image, want := range map[string]bool{
		"ghcr.io/acme/carts:0.6.0-1":                   true,
		"ghcr.io/acme/carts:0.6.0-1@" + digest:         true,
		"ghcr.io/acme/carts@" + digest:                 true,
		"ghcr.io/acme/carts":                           false,
		"ghcr.io/acme/carts:0.6.0-2@" + digest:         false,
		"ghcr.io/acme/carts:0.6.0-1@" + digest[:70]:    false,
		"ghcr.io/acme/other:0.6.0-1@" + digest:         false,
		"ghcr.io/acme/carts:0.6.0-1@sha512:0123456789": false,
	} {
		if got := a.IsRef(image); got != want {
			t.Errorf("IsRef(%s) is %t", image, got)
		}
	}
}
