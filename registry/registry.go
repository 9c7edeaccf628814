package registry

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"hash/maphash"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/distribution/distribution/v3/configuration"
	v2 "github.com/distribution/distribution/v3/registry/api/v2"
	"github.com/distribution/distribution/v3/registry/handlers"
	"github.com/distribution/distribution/v3/registry/storage/driver"
	"github.com/gorilla/mux"
	"golang.org/x/sync/semaphore"

	"github.com/fairwaycd/fairway"
	"github.com/fairwaycd/fairway/internal/durable"
)

// Push says that a tag now names an image.
type Push struct {
	Repository string // e.g. sockshop/carts
	Tag        string
	Digest     string // sha256:… of the manifest or index
	MediaType  string // of the manifest or index; empty in the answer of Tags
	// At is when the tag was set, in the answer of Tags.
	At time.Time
}

// Options configure a [Registry].
type Options struct {
	// Dir holds everything that was pushed. It is created if need be, and
	// belongs to one Registry at a time.
	Dir    string
	Logger *slog.Logger
	// Secret signs the state that clients carry from one request of an upload
	// to the next. If empty it is made once and kept in Dir, so that an upload
	// can be resumed after a restart.
	Secret []byte
	// OnPush is called for every PUT of a tag that has succeeded, before the
	// client is told, also when the tag named that digest before. Its error
	// makes the client see 503, or 507 for [fairway.KindFull], and push again.
	// Calls for one tag come one at a time, in the order in which the tag was
	// set. The client's going away does not cancel it; 30 s do. Nil calls
	// nobody.
	OnPush func(context.Context, Push) error
	// Admit is asked before a tag is stored; its error refuses the PUT, and is
	// what the client shows. Default: every tag is admitted.
	Admit func(ctx context.Context, repository, tag string) error
	// Failpoint is called with a name at every point where a crash matters.
	// Nil calls nobody.
	Failpoint func(name string)
	// MaxManifest is the largest manifest in bytes, by default and at most
	// 4 MiB.
	MaxManifest int64
	// MaxBlob is the largest layer in bytes, by default 4 GiB.
	MaxBlob int64
	// Grace is how long Collect leaves alone what was pushed or asked for by
	// a client that may be about to push, by default one hour.
	Grace time.Duration
	// Room, when set, refuses a push that is about to write n more bytes; it is
	// asked before each part and after each MiB of it.
	Room func(n int64) error
}

const (
	defaultMaxManifest = 4 << 20 // the library reads no more
	defaultMaxBlob     = 4 << 30
	defaultGrace       = time.Hour
)

func (o *Options) setDefaults() {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.OnPush == nil {
		o.OnPush = func(context.Context, Push) error { return nil }
	}
	if o.Admit == nil {
		o.Admit = func(context.Context, string, string) error { return nil }
	}
	if o.Failpoint == nil {
		o.Failpoint = func(string) {}
	}
	if o.Room == nil {
		o.Room = func(int64) error { return nil }
	}
	if o.MaxManifest <= 0 || o.MaxManifest > defaultMaxManifest {
		o.MaxManifest = defaultMaxManifest
	}
	if o.MaxBlob <= 0 {
		o.MaxBlob = defaultMaxBlob
	}
	if o.Grace <= 0 {
		o.Grace = defaultGrace
	}
}

// Registry is an OCI registry over a directory.
type Registry struct {
	o      Options
	log    *slog.Logger
	disk   *disk
	app    *handlers.App
	routes *mux.Router // the library's, to see a request as the library does
	gate   *semaphore.Weighted
	tags   stripes

	mu   sync.Mutex // guards what follows
	stop context.CancelFunc
	done chan struct{}
	// untold are the tags, as REPOSITORY:TAG, whose last push was answered with
	// an error because its event could not be stored.
	untold map[string]struct{}
}

// New opens the registry in o.Dir. Errors are about that directory.
func New(o Options) (*Registry, error) {
	o.setDefaults()
	if o.Dir == "" {
		return nil, fairway.Invalid("registry directory", "", "is empty", "name a directory")
	}
	d, err := openDisk(o.Dir)
	if err != nil {
		return nil, fmt.Errorf("open the registry's directory: %w", err)
	}
	if len(o.Secret) == 0 {
		if o.Secret, err = d.secret(); err != nil {
			return nil, fmt.Errorf("keep the registry's upload secret: %w", err)
		}
	}
	bridgeLogs(o.Logger)
	return open(o, d, newDriver(d))
}

// open builds the registry over a driver.
func open(o Options, d *disk, drv driver.StorageDriver) (*Registry, error) {
	app, err := newApp(drv, o.Secret)
	if err != nil {
		return nil, err
	}
	return &Registry{
		o: o, log: o.Logger, disk: d, app: app,
		routes: v2.RouterWithPrefix(""),
		gate:   semaphore.NewWeighted(gateSize),
		tags:   newStripes(),
		untold: map[string]struct{}{},
	}, nil
}

// newApp builds the library's part; the library panics on what it dislikes.
func newApp(drv driver.StorageDriver, secret []byte) (app *handlers.App, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fairway.Errorf(fairway.KindInternal, "build the registry: %v", p)
		}
	}()
	registerDriver()
	c := &configuration.Configuration{
		Storage: configuration.Storage{
			driverName:    configuration.Parameters{driverParameter: drv},
			"redirect":    configuration.Parameters{"disable": true},
			"maintenance": configuration.Parameters{"uploadpurging": map[any]any{"enabled": false}},
		},
	}
	c.HTTP.Secret = string(secret)
	c.HTTP.RelativeURLs = true // a client may know us by a name that we do not
	// The library's context outlives every request; Stop ends it by Shutdown.
	return handlers.NewApp(context.Background(), c), nil
}

// Start runs the upkeep, which removes uploads that nobody has added to for
// 24 hours, until Stop is called or ctx ends.
func (r *Registry) Start(ctx context.Context) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.done != nil {
		return errors.New("the registry was started before")
	}
	ctx, r.stop = context.WithCancel(ctx)
	r.done = make(chan struct{})
	go func() {
		defer close(r.done)
		r.purgeLoop(ctx)
	}()
	return nil
}

// Stop ends the upkeep and waits for it, at most until ctx ends. Requests are
// the HTTP server's to drain beforehand.
func (r *Registry) Stop(ctx context.Context) error {
	r.mu.Lock()
	stop, done := r.stop, r.done
	r.mu.Unlock()
	err := r.app.Shutdown()
	if done == nil {
		return err
	}
	stop()
	select {
	case <-done:
		return err
	case <-ctx.Done():
		return fmt.Errorf("stop the registry: %w", context.Cause(ctx))
	}
}

// secretFile lies beside the library's own directory "docker".
const secretFile = "upload-secret"

// secret returns the secret kept in the directory, made at the first call.
func (d *disk) secret() ([]byte, error) {
	path := filepath.Join(d.root, secretFile)
	b, err := os.ReadFile(path)
	if err == nil {
		if s, err := hex.DecodeString(strings.TrimSpace(string(b))); err == nil && len(s) >= 16 {
			return s, nil
		}
		return nil, fairway.Errorf(fairway.KindRefused, "%s is not what was written there; remove it (uploads under way will begin again)", path)
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	s := make([]byte, 32)
	rand.Read(s)
	if err := durable.WriteFile(path, []byte(hex.EncodeToString(s)+"\n")); err != nil {
		return nil, err
	}
	return s, nil
}

// stripes are locks by name: two names may share one, the same name always
// does.
type stripes struct {
	seed  maphash.Seed
	locks [64]chan struct{}
}

func newStripes() stripes {
	s := stripes{seed: maphash.MakeSeed()}
	for i := range s.locks {
		s.locks[i] = make(chan struct{}, 1)
	}
	return s
}

// lock takes name's lock, or returns the context's error.
func (s *stripes) lock(ctx context.Context, name string) (unlock func(), err error) {
	c := s.locks[maphash.String(s.seed, name)%uint64(len(s.locks))]
	select {
	case c <- struct{}{}:
		return func() { <-c }, nil
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}
