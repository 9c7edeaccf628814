package chart_test

import (
	"maps"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/fairwaycd/fairway"
	"github.com/fairwaycd/fairway/chart"
)

// oddTags look like something that is no text.
var oddTags = []string{"1.0", "007", "1e3", "true", "2019-01-01", "null", "yes", "0x1F", "1_000", "_", "0o17", "12", "nan", "0.6.0-1"}

func TestTagsKeepTheirText(t *testing.T) {
	t.Parallel()
	st := stage("staging", fairway.BlueGreen)
	files := branch(t, st, cartsRequest(t, st), cartsDBRequest(t, st))
	rapid.Check(t, func(t *rapid.T) {
		tag := rapid.OneOf(rapid.SampledFrom(oddTags), rapid.StringMatching(`[A-Za-z0-9_][A-Za-z0-9._-]{0,20}`)).Draw(t, "tag")
		c := rapid.SampledFrom([]fairway.Colour{fairway.Blue, fairway.Green}).Draw(t, "colour")
		want := fairway.Artifact{Image: rapid.StringMatching(`[a-z0-9]{1,8}(:[0-9]{4}/[a-z0-9]{1,5})?`).Draw(t, "image"), Tag: tag}
		changes, err := chart.SetImage(files, "carts", c, want)
		if err != nil {
			t.Fatal(err)
		}
		after := maps.Clone(files)
		maps.Copy(after, changes)
		got, ok, err := chart.Image(after, "carts", c)
		if err != nil || !ok || got != want {
			t.Fatalf("got %+v, %v, %v; want %+v", got, ok, err, want)
		}
		if _, ok, _ := chart.Image(after, "carts", c.Other()); ok {
			t.Fatal("the other colour got an image too")
		}
		if n := diff(string(files[chart.ValuesFile]), string(after[chart.ValuesFile])); n != 2 {
			t.Fatalf("%d lines changed, want 2", n)
		}
		if again, err := chart.SetImage(after, "carts", c, want); err != nil || len(again) != 0 {
			t.Fatalf("the same image again: %d changes, error %v", len(again), err)
		}
	})
}

// diff counts the lines that differ; texts of unlike length differ in all.
func diff(a, b string) int {
	x, y := strings.Split(a, "\n"), strings.Split(b, "\n")
	if len(x) != len(y) {
		return len(x) + len(y)
	}
	n := 0
	for i := range x {
		if x[i] != y[i] {
			n++
		}
	}
	return n
}

// TestSetImageForms writes a tag into every form that YAML has for its place.
func TestSetImageForms(t *testing.T) {
	t.Parallel()
	const keep = "# mine\naa:\n  service: {name: aa} # é\n"
	tests := []struct{ name, in, want string }{
		{"plain", "  image:\n    repository: r\n    tag: 1.0 # old\n", "  image:\n    repository: \"n\"\n    tag: \"2.0\" # old\n"},
		{"single quotes", "  image:\n    repository: 'it''s'\n    tag: '1'\n", "  image:\n    repository: \"n\"\n    tag: \"2.0\"\n"},
		{"empty", "  image:\n    repository:\n    tag:\n", "  image:\n    repository: \"n\"\n    tag: \"2.0\"\n"},
		{"empty with a comment", "  image:\n    repository: # none\n    tag: null # none\n", "  image:\n    repository: \"n\" # none\n    tag: \"2.0\" # none\n"},
		{"flow", "  image: {repository: null, tag: , pullPolicy: Always}\n", "  image: {repository: \"n\", tag: \"2.0\", pullPolicy: Always}\n"},
		{"no image", "", "  image:\n    repository: \"n\"\n    tag: \"2.0\"\n"},
		{"image is null", "  image: null\n", "  image:\n    repository: \"n\"\n    tag: \"2.0\"\n"},
		{"folded", "  image:\n    repository: >-\n      r\n    tag: 1\n", "  image:\n    repository: \"n\"\n    tag: \"2.0\"\n"},
		{"same already", "  image:\n    repository: n\n    tag: '2.0'\n", "  image:\n    repository: n\n    tag: '2.0'\n"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			files := map[string][]byte{chart.ValuesFile: []byte(keep + tt.in)}
			want := fairway.Artifact{Image: "n", Tag: "2.0"}
			changes, err := chart.SetImage(files, "aa", fairway.Single, want)
			if err != nil {
				t.Fatal(err)
			}
			after := maps.Clone(files)
			maps.Copy(after, changes)
			if got := string(after[chart.ValuesFile]); got != keep+tt.want {
				t.Errorf("got\n%s\nwant\n%s", got, keep+tt.want)
			}
			if a, ok, err := chart.Image(after, "aa", fairway.Single); err != nil || !ok || a != want {
				t.Errorf("reads back as %v, %v, %v", a, ok, err)
			}
		})
	}
}

func TestSetImageRefusals(t *testing.T) {
	t.Parallel()
	direct, bg := stage("dev", fairway.Direct), stage("staging", fairway.BlueGreen)
	a := fairway.Artifact{Image: "r", Tag: "1"}
	tests := []struct {
		name    string
		files   map[string][]byte
		service fairway.ServiceName
		colour  fairway.Colour
		a       fairway.Artifact
		want    fairway.Kind
	}{
		{"unknown service", branch(t, direct, cartsRequest(t, direct)), "cart", fairway.Single, a, fairway.KindNotFound},
		{"colour in a direct stage", branch(t, direct, cartsRequest(t, direct)), "carts", fairway.Blue, a, fairway.KindRefused},
		{"no colour in a blue/green stage", branch(t, bg, cartsRequest(t, bg)), "carts", fairway.Single, a, fairway.KindRefused},
		{"bad tag", branch(t, direct, cartsRequest(t, direct)), "carts", fairway.Single, fairway.Artifact{Image: "r", Tag: "a b"}, fairway.KindInvalid},
		{"broken values", map[string][]byte{chart.ValuesFile: []byte("a: b: c")}, "carts", fairway.Single, a, fairway.KindInvalid},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			if _, err := chart.SetImage(tt.files, tt.service, tt.colour, tt.a); fairway.KindOf(err) != tt.want {
				t.Errorf("got error %v of kind %s, want %s", err, fairway.KindOf(err), tt.want)
			}
		})
	}
	if _, _, err := chart.Image(tests[0].files, "cart", fairway.Single); err == nil || !strings.Contains(err.Error(), "it has carts") {
		t.Errorf("error %v does not list what exists", err)
	}
}

func TestImageBeforeAnyDelivery(t *testing.T) {
	t.Parallel()
	st := stage("staging", fairway.BlueGreen)
	files := branch(t, st, cartsRequest(t, st), cartsDBRequest(t, st))
	for _, s := range []fairway.ServiceName{"carts", "carts-db"} {
		for _, c := range []fairway.Colour{fairway.Blue, fairway.Green} {
			if a, ok, err := chart.Image(files, s, c); ok || err != nil {
				t.Errorf("%s %s has image %v, error %v", s, c, a, err)
			}
		}
	}
	if a, ok, err := chart.Image(files, "carts-db", fairway.Single); !ok || err != nil || a.String() != "mongo:latest" {
		t.Errorf("the onboarded image is %v, %v, %v", a, ok, err)
	}
}
