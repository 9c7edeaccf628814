package registry_test

import (
	"fmt"
	"testing"

	"github.com/google/go-containerregistry/pkg/v1/remote"

	"github.com/fairwaycd/fairway/registry"
)

// BenchmarkPutTag is one synced PUT of a tag whose blobs are there.
func BenchmarkPutTag(b *testing.B) {
	s := serve(b, registry.Options{})
	img := newImage(b)
	s.mustPush("p/s:first", img)
	pusher, err := remote.NewPusher()
	if err != nil {
		b.Fatal(err)
	}
	for i := 0; b.Loop(); i++ {
		if err := remote.Put(s.ref(fmt.Sprintf("p/s:%d", i)), img, remote.Reuse(pusher)); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkTags lists a thousand tags.
func BenchmarkTags(b *testing.B) {
	s := serve(b, registry.Options{})
	img := newImage(b)
	s.mustPush("p/s:first", img)
	pusher, err := remote.NewPusher()
	if err != nil {
		b.Fatal(err)
	}
	for i := range 999 {
		if err := remote.Put(s.ref(fmt.Sprintf("p/s:%d", i)), img, remote.Reuse(pusher)); err != nil {
			b.Fatal(err)
		}
	}
	for b.Loop() {
		if _, err := s.Tags(b.Context()); err != nil {
			b.Fatal(err)
		}
	}
}
