package registry_test

import (
	"context"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/validate"

	"github.com/fairwaycd/fairway"
	"github.com/fairwaycd/fairway/registry"
)

// age makes everything in the registry look two hours old.
func (s *site) age(t testing.TB) {
	t.Helper()
	old := time.Now().Add(-2 * time.Hour)
	err := filepath.WalkDir(s.dir, func(path string, _ fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		return os.Chtimes(path, old, old)
	})
	if err != nil {
		t.Fatal(err)
	}
}

func (s *site) blobs(t testing.TB) int {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(s.dir, "docker/registry/v2/blobs/sha256/*/*/data"))
	if err != nil {
		t.Fatal(err)
	}
	return len(files)
}

func TestCollect(t *testing.T) {
	t.Parallel()
	s := serve(t, registry.Options{})
	kept, gone, over := newImage(t), newImage(t), newImage(t)
	// shared has a layer of gone's, in another repository.
	layers, err := gone.Layers()
	if err != nil {
		t.Fatal(err)
	}
	shared, err := mutate.AppendLayers(empty.Image, layers[0])
	if err != nil {
		t.Fatal(err)
	}
	index := mutate.AppendManifests(empty.Index, mutate.IndexAddendum{Add: newImage(t)}, mutate.IndexAddendum{Add: newImage(t)})
	s.mustPush("p/s:kept", kept)
	s.mustPush("p/s:gone", gone)
	s.mustPush("p/s:moved", over)
	s.mustPush("p/s:moved", kept)
	s.mustPush("p/t:kept", shared)
	if err := remote.WriteIndex(s.ref("p/s:index-kept"), index, quick); err != nil {
		t.Fatal(err)
	}
	signature := newImage(t)
	s.mustPush("p/s:"+strings.Replace(digestOf(t, kept), ":", "-", 1)+".sig", signature)
	s.mustPush("p/s:"+strings.Replace(digestOf(t, gone), ":", "-", 1)+".sig", newImage(t))
	s.age(t)
	s.mustPush("p/s:new", newImage(t)) // young: keep's no does not matter

	report, err := s.Collect(t.Context(), func(_, tag, digest string) bool {
		if strings.Contains(tag, ".sig") || !strings.HasPrefix(digest, "sha256:") {
			t.Errorf("asked about %s %s", tag, digest)
		}
		return strings.HasSuffix(tag, "kept") || tag == "moved"
	})
	if err != nil {
		t.Fatal(err)
	}
	// gone: manifest, config, one layer (the other is shared); over and gone's
	// signature: manifest, config, two layers.
	if report.Tags != 2 || report.Manifests != 3 || report.Blobs != 3+4+4 || report.Bytes == 0 {
		t.Errorf("report %+v", report)
	}
	if n := s.blobs(t); n != report.Kept {
		t.Errorf("%d blobs are left, the report says %d", n, report.Kept)
	}
	for _, image := range []string{"p/s:kept", "p/s:moved", "p/s:new", "p/t:kept"} {
		img, err := remote.Image(s.ref(image))
		if err != nil {
			t.Errorf("%s: %v", image, err)
		} else if err := validate.Image(img); err != nil {
			t.Errorf("%s: %v", image, err)
		}
	}
	idx, err := remote.Index(s.ref("p/s:index-kept"))
	if err != nil {
		t.Error(err)
	} else if err := validate.Index(idx); err != nil {
		t.Error(err)
	}
	for _, image := range []string{"p/s:gone", "p/s@" + digestOf(t, gone), "p/s@" + digestOf(t, over)} {
		if _, err := remote.Head(s.ref(image)); err == nil {
			t.Errorf("%s is still there", image)
		}
	}
	if err := s.push("p/s:gone", gone); err != nil {
		t.Errorf("what was collected cannot be pushed again: %v", err)
	}
}

// TestCollectSparesWhatAClientAskedFor: a client that found a blob leaves it
// out of its push.
func TestCollectSparesWhatAClientAskedFor(t *testing.T) {
	t.Parallel()
	s := serve(t, registry.Options{})
	img := newImage(t)
	s.mustPush("p/s:1", img)
	s.age(t)
	layers, err := img.Layers()
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range layers {
		if status, _ := s.do(t, http.MethodHead, "/v2/p/s/blobs/"+digestOf(t, l), "", nil); status != 200 {
			t.Fatalf("HEAD: %d", status)
		}
	}
	report, err := s.Collect(t.Context(), func(string, string, string) bool { return false })
	if err != nil || report.Blobs != 2 || report.Kept != 2 {
		t.Fatalf("report %+v, error %v; want manifest and config gone, layers kept", report, err)
	}
	s.mustPush("p/s:2", img)
	back, err := remote.Image(s.ref("p/s:2"))
	if err != nil {
		t.Fatal(err)
	}
	if err := validate.Image(back); err != nil {
		t.Fatal(err)
	}
}

func TestCollectRefusesWhatItCannotRead(t *testing.T) {
	t.Parallel()
	s := serve(t, registry.Options{})
	img := newImage(t)
	s.mustPush("p/s:1", img)
	s.mustPush("p/s:2", newImage(t))
	h := digestOf(t, img)[len("sha256:"):]
	if err := os.WriteFile(filepath.Join(s.dir, "docker/registry/v2/blobs/sha256", h[:2], h, "data"), []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	s.age(t)
	before := s.blobs(t)
	_, err := s.Collect(t.Context(), func(_, tag, _ string) bool { return tag == "1" })
	if fairway.KindOf(err) != fairway.KindRefused || !strings.Contains(err.Error(), h) {
		t.Errorf("error %v", err)
	}
	if n := s.blobs(t); n != before {
		t.Errorf("%d blobs of %d are left", n, before)
	}
}

// TestCollectBesidePushes collects all that is old while clients push images
// whose blobs are old and there; every image acknowledged is whole.
func TestCollectBesidePushes(t *testing.T) {
	t.Parallel()
	s := serve(t, registry.Options{})
	imgs := []v1.Image{newImage(t), newImage(t), newImage(t), newImage(t)}
	removed := 0
	for round := range 8 {
		for i, img := range imgs[:2] {
			s.mustPush(fmt.Sprintf("p/s:before-%d-%d", round, i), img)
		}
		s.age(t)
		var wg sync.WaitGroup
		for i, img := range imgs {
			wg.Go(func() {
				tag := fmt.Sprintf("p/s:%d-%d", round, i)
				// A blob may go right after the client has asked for it.
				if s.push(tag, img) != nil {
					if err := s.push(tag, img); err != nil {
						t.Error(err)
					}
				}
			})
		}
		wg.Go(func() {
			report, err := s.Collect(t.Context(), func(string, string, string) bool { return false })
			if err != nil {
				t.Error(err)
			}
			removed += report.Tags
		})
		wg.Wait()
		for i := range imgs {
			img, err := remote.Image(s.ref(fmt.Sprintf("p/s:%d-%d", round, i)))
			if err != nil {
				t.Fatal(err)
			}
			if err := validate.Image(img); err != nil {
				t.Error(err)
			}
		}
	}
	if removed == 0 {
		t.Error("nothing was ever collected")
	}
}

// TestCollectDoesNotWaitForEvents: while OnPush is out, the image's tag stays, and
// Collect does not wait for it.
func TestCollectDoesNotWaitForEvents(t *testing.T) {
	t.Parallel()
	called, goOn, pushed := make(chan struct{}), make(chan struct{}), make(chan error, 1)
	s := serve(t, registry.Options{OnPush: func(context.Context, registry.Push) error { close(called); <-goOn; return nil }})
	go func() { pushed <- s.push("p/s:1", newImage(t)) }()
	<-called
	report, err := s.Collect(t.Context(), func(string, string, string) bool { return false })
	if err != nil || report.Tags != 0 {
		t.Errorf("report %+v, error %v", report, err)
	}
	close(goOn)
	if err := <-pushed; err != nil {
		t.Error(err)
	}
}
