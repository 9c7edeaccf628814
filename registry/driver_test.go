package registry

import (
	"context"
	"errors"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/distribution/distribution/v3/registry/storage/driver"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"

	"github.com/fairwaycd/fairway/internal/durable"
)

func pushTo(t *testing.T, r *Registry, image string) error {
	t.Helper()
	srv := httptest.NewServer(r.Handler())
	defer srv.Close()
	ref, err := name.ParseReference(strings.TrimPrefix(srv.URL, "http://") + "/" + image)
	if err != nil {
		t.Fatal(err)
	}
	img, err := random.Image(3000, 2)
	if err != nil {
		t.Fatal(err)
	}
	return remote.Write(ref, img, remote.WithRetryBackoff(remote.Backoff{Duration: time.Millisecond, Factor: 1, Steps: 1}))
}

// TestEveryDirectoryIsDurableBeforeTheEvent: when OnPush is called, whatever
// directory there is has been synced into its parent, and every blob's file
// into its directory.
func TestEveryDirectoryIsDurableBeforeTheEvent(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	var mu sync.Mutex
	synced := map[string]bool{}
	var problems []string
	called := false
	r, err := New(Options{Dir: dir, OnPush: func(_ context.Context, p Push) error {
		mu.Lock()
		defer mu.Unlock()
		called = true
		manifest := strings.TrimPrefix(p.Digest, "sha256:") // synced by the library, which wrote it as a whole
		return filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
			switch {
			case err != nil:
				return err
			case e.Name() == "_uploads":
				return fs.SkipDir
			case path != dir && e.IsDir() && !synced[filepath.Dir(path)]:
				problems = append(problems, "directory "+path)
			case e.Name() == "data" && filepath.Base(filepath.Dir(path)) != manifest && !synced[filepath.Dir(path)]:
				problems = append(problems, "blob "+path)
			}
			return nil
		})
	}})
	if err != nil {
		t.Fatal(err)
	}
	r.disk.sync = func(d string) error {
		mu.Lock()
		synced[d] = true
		mu.Unlock()
		return durable.Sync(d)
	}
	if err := pushTo(t, r, "sockshop/carts:1"); err != nil {
		t.Fatal(err)
	}
	if !called || len(problems) > 0 {
		t.Fatalf("OnPush called: %v; not durable by then: %v", called, problems)
	}
}

// fullDisk is a driver that has no room where a path contains what.
type fullDisk struct {
	driver.StorageDriver
	what string
}

func (f fullDisk) Writer(ctx context.Context, path string, appending bool) (driver.FileWriter, error) {
	w, err := f.StorageDriver.Writer(ctx, path, appending)
	if err == nil && strings.Contains(path, f.what) {
		return fullWriter{w}, nil
	}
	return w, err
}

func (f fullDisk) PutContent(ctx context.Context, path string, b []byte) error {
	if strings.Contains(path, f.what) {
		return syscall.ENOSPC
	}
	return f.StorageDriver.PutContent(ctx, path, b)
}

type fullWriter struct{ driver.FileWriter }

func (fullWriter) Write([]byte) (int, error) { return 0, syscall.ENOSPC }

func TestDiskFull(t *testing.T) {
	t.Parallel()
	for _, what := range []string{"/data", "_layers", "revisions", "current/link"} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			d, err := openDisk(t.TempDir())
			if err != nil {
				t.Fatal(err)
			}
			o := Options{Secret: []byte("0123456789abcdef"), OnPush: func(context.Context, Push) error {
				t.Error("told of a push that failed")
				return nil
			}}
			o.setDefaults()
			drv := newDriver(d)
			drv.StorageDriver = fullDisk{drv.StorageDriver, what}
			r, err := open(o, d, drv)
			if err != nil {
				t.Fatal(err)
			}
			err = pushTo(t, r, "p/s:1")
			var refused *transport.Error
			if !errors.As(err, &refused) || refused.StatusCode != http.StatusInsufficientStorage || !strings.Contains(err.Error(), "data directory is full") {
				t.Fatalf("client saw: %v", err)
			}
		})
	}
}

func TestPurge(t *testing.T) {
	t.Parallel()
	r, err := New(Options{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	srv := httptest.NewServer(r.Handler())
	defer srv.Close()
	res, err := http.Post(srv.URL+"/v2/p/s/blobs/uploads/", "", nil)
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	for _, c := range []struct {
		before time.Time
		want   int
	}{{time.Now().Add(-purgeAge), 0}, {time.Now().Add(time.Hour), 1}} {
		if n, err := r.purge(t.Context(), c.before); err != nil || n != c.want {
			t.Errorf("purged %d of before %v (%v), want %d", n, c.before, err, c.want)
		}
	}
}
