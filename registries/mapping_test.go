package registries_test

import (
	"reflect"
	"strings"
	"testing"

	"github.com/fairwaycd/fairway"
	"github.com/fairwaycd/fairway/registries"
)

func TestBase(t *testing.T) {
	t.Parallel()
	tests := []struct{ url, shipyard, want string }{
		{"https://ghcr.io/acme", "shop", "ghcr.io/acme"}, // the project's name says nothing
		{"https://ghcr.io/acme", "acme", "ghcr.io/acme"},
		{"https://Registry.Example.com:5000", "team/shop", "registry.example.com:5000/team/shop"},
		{"https://index.docker.io/acme/", "shop", "docker.io/acme"},
		{"http://127.0.0.1:5000", "shop", "127.0.0.1:5000/shop"},
		{"https://ghcr.io/acme", "team/shop", "has the path acme, and the shipyard of project shop says registry: team/shop; write https://ghcr.io, or change"},
	}
	for _, tt := range tests {
		got, err := registries.Base(fairway.Registry{Project: "shop", URL: tt.url}, fairway.Shipyard{Registry: tt.shipyard})
		if err != nil {
			got = err.Error()
		}
		if err == nil && got != tt.want || err != nil && (!strings.Contains(got, tt.want) || fairway.KindOf(err) != fairway.KindConflict) {
			t.Errorf("%s, %s: %s, want %s", tt.url, tt.shipyard, got, tt.want)
		}
	}
}

func TestRepositories(t *testing.T) {
	t.Parallel()
	r := fairway.Registry{Project: "shop", URL: "https://docker.io/acme"}
	got := registries.Repositories(r, "docker.io/acme", map[fairway.ServiceName][]string{
		"carts":  nil,
		"orders": {"127.0.0.1:8080/shop/orders"},                              // delivered from Fairway's own so far
		"front":  {"index.docker.io/acme/web/front-end", "mongo"},             // has another name there
		"canary": {"docker.io/acme/carts"},                                    // the same image as carts
		"login":  {"docker.io/acme/login", "registry-1.docker.io/acme/login"}, // one by two names
		"db":     {"docker.io/other/db"},                                      // not the project's part
	})
	want := map[string][]fairway.ServiceName{
		"docker.io/acme/carts": {"canary", "carts"}, "docker.io/acme/orders": {"orders"}, "docker.io/acme/web/front-end": {"front"},
		"docker.io/acme/login": {"login"}, "docker.io/acme/db": {"db"},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %v\nwant %v", got, want)
	}
}

func TestFilters(t *testing.T) {
	t.Parallel()
	tests := []struct{ versions, pattern, takes, leaves string }{
		{"", "", "latest 1.0.0 nightly", ""},
		{">=0.6.0-0 <0.7.0-0", "", "0.6.0 0.6.0-1 v0.6.9 0.6", "0.7.0 0.7.0-1 0.5.9 latest"},
		{">=0.6.0", "", "0.6.0 1.0.0", "0.6.0-1 0.7.0-1"},
		{"^1.2", "", "1.2.0 1.9.9", "2.0.0 1.1.0 nightly"},
		{"", `release-\d+|hotfix`, "release-7 hotfix", "release-7-rc prerelease-7 hotfix2 release-"},
	}
	for _, tt := range tests {
		f, err := registries.FilterOf(fairway.Registry{Filter: tt.versions, FilterRegexp: tt.pattern})
		if err != nil {
			t.Fatal(err)
		}
		for _, tag := range strings.Fields(tt.takes) {
			if !f.Takes(tag) {
				t.Errorf("%s%s leaves %s", tt.versions, tt.pattern, tag)
			}
		}
		for _, tag := range strings.Fields(tt.leaves) {
			if f.Takes(tag) {
				t.Errorf("%s%s takes %s", tt.versions, tt.pattern, tag)
			}
		}
	}
	for _, r := range []fairway.Registry{{Filter: "newest"}, {FilterRegexp: "("}, {Filter: strings.Repeat("1", 2000)}} {
		if _, err := registries.FilterOf(r); fairway.KindOf(err) != fairway.KindInvalid {
			t.Errorf("%v: %v", r, err)
		}
	}
}
