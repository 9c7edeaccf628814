package image

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/fairwaycd/fairway"
	"github.com/fairwaycd/fairway/internal/durable"
)

// LocalRegistry is the registry inside this process.
type LocalRegistry struct {
	Host string // HOST:PORT under which it is served over plain HTTP
	// Former are addresses under which it was served before: images that are
	// named after them are in it still.
	Former []string
	Token  func() string // password of the user "fairway"; nil sends none
}

// Limits bound what an image may cost. Zero means the default.
type Limits struct {
	Size    int64         // bytes of all layers, decompressed; default 4 GiB
	Entries int           // files, directories and links of all layers; default 500 000
	Time    time.Duration // for fetching and unpacking; default 15 min
}

// StoreOptions configure a [Store].
type StoreOptions struct {
	Dir      string // of the unpacked images; one Store at a time
	Local    LocalRegistry
	Keychain authn.Keychain // for all other registries; default: Docker's configuration
	// Registry returns what a project has for the registry of an image; false
	// leaves it to the keychain. Nil: it has nothing.
	Registry func(p fairway.ProjectName, image string) (fairway.Registry, bool)
	Logger   *slog.Logger
	GOOS     string // default: this machine's
	GOARCH   string // default: this machine's
	Limits   Limits
	// Room, when set, refuses an image that is about to be unpacked into n
	// bytes or more.
	Room func(n int64) error
}

func (o *StoreOptions) setDefaults() {
	if o.Keychain == nil {
		o.Keychain = authn.DefaultKeychain
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.GOOS == "" {
		o.GOOS = runtime.GOOS
	}
	if o.GOARCH == "" {
		o.GOARCH = runtime.GOARCH
	}
	if o.Registry == nil {
		o.Registry = func(fairway.ProjectName, string) (fairway.Registry, bool) { return fairway.Registry{}, false }
	}
	if o.Room == nil {
		o.Room = func(int64) error { return nil }
	}
	if o.Limits.Size <= 0 {
		o.Limits.Size = 4 << 30
	}
	if o.Limits.Entries <= 0 {
		o.Limits.Entries = 500_000
	}
	if o.Limits.Time <= 0 {
		o.Limits.Time = 15 * time.Minute
	}
}

// Store implements [fairway.ImageStore]. An image name without a host means
// the local registry.
type Store struct {
	o   StoreOptions
	log *slog.Logger

	mu       sync.Mutex
	busy     map[string]chan struct{}     // digests being unpacked; closed when done
	ways     map[string]http.RoundTripper // to registries elsewhere, by the certificates that they need
	visitors map[visited]visitor
}

var _ fairway.ImageStore = (*Store)(nil)

// temporary is the prefix of directories in which an image is being unpacked.
const temporary = ".unpack-"

// NewStore opens the store in o.Dir and removes what a crash left unfinished.
func NewStore(o StoreOptions) (*Store, error) {
	o.setDefaults()
	if o.Dir == "" {
		return nil, fairway.Invalid("image directory", "", "is empty", "name a directory")
	}
	if err := os.MkdirAll(o.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("open the image directory: %w", err)
	}
	left, err := filepath.Glob(filepath.Join(o.Dir, temporary+"*"))
	if err != nil {
		return nil, fmt.Errorf("open the image directory: %w", err)
	}
	for _, dir := range left {
		if err := os.RemoveAll(dir); err != nil {
			return nil, fmt.Errorf("remove an unfinished image: %w", err)
		}
	}
	return &Store{o: o, log: o.Logger, busy: map[string]chan struct{}{}, ways: map[string]http.RoundTripper{}, visitors: map[visited]visitor{}}, nil
}

// Resolve returns a with the digest that its tag has now, whatever digest it
// had. Errors: KindInvalid for a malformed artifact, KindNotFound,
// KindUnauthorized, and retryable ones of KindUnavailable.
func (s *Store) Resolve(ctx context.Context, p fairway.ProjectName, a fairway.Artifact) (fairway.Artifact, error) {
	if err := a.Validate(); err != nil {
		return a, err
	}
	src, err := s.source(p, a)
	if err != nil {
		return a, err
	}
	if a.Digest, err = src.digest(ctx, a.Tag); err != nil {
		return a, src.explain(err)
	}
	return a, nil
}

// Unpack returns the unpacked image of a's digest, or of its tag now if it has
// none. Concurrent calls for one digest share one unpacking. What was unpacked
// before needs no registry. Errors beyond those of Resolve: KindRefused for an
// image that is not for this machine, is too large or would leave its
// directory; KindFull.
func (s *Store) Unpack(ctx context.Context, p fairway.ProjectName, a fairway.Artifact) (fairway.UnpackedImage, error) {
	if a.Digest == "" {
		var err error
		if a, err = s.Resolve(ctx, p, a); err != nil {
			return fairway.UnpackedImage{}, err
		}
	} else if err := a.Validate(); err != nil {
		return fairway.UnpackedImage{}, err
	}
	release, err := s.claim(ctx, a.Digest)
	if err != nil {
		return fairway.UnpackedImage{}, err
	}
	defer release()
	u, err := s.load(a.Digest)
	if !errors.Is(err, fs.ErrNotExist) {
		return u, err
	}
	return s.fetch(ctx, p, a)
}

// claim waits until nobody else unpacks the digest.
func (s *Store) claim(ctx context.Context, digest string) (release func(), err error) {
	for {
		s.mu.Lock()
		other, taken := s.busy[digest]
		if !taken {
			done := make(chan struct{})
			s.busy[digest] = done
			s.mu.Unlock()
			return func() {
				s.mu.Lock()
				delete(s.busy, digest)
				s.mu.Unlock()
				close(done)
			}, nil
		}
		s.mu.Unlock()
		select {
		case <-other:
		case <-ctx.Done():
			return nil, fmt.Errorf("wait for the image %s to be unpacked: %w", digest, context.Cause(ctx))
		}
	}
}

func (s *Store) dir(digest string) string {
	return filepath.Join(s.o.Dir, strings.Replace(digest, ":", "-", 1))
}

const metadata = "image.json"

// load returns what was unpacked before, or fs.ErrNotExist.
func (s *Store) load(digest string) (fairway.UnpackedImage, error) {
	dir := s.dir(digest)
	var u fairway.UnpackedImage
	b, err := os.ReadFile(filepath.Join(dir, metadata))
	if err != nil {
		return u, err
	}
	if err := json.Unmarshal(b, &u); err != nil {
		return u, fairway.Errorf(fairway.KindInternal, "%s is damaged; remove %s, it will be fetched again: %w", metadata, dir, err)
	}
	u.Root = filepath.Join(dir, "root") // the data directory may have moved
	return u, nil
}

// fetch pulls and unpacks the image beside its place, and moves it there once
// all of it is on the disk.
func (s *Store) fetch(ctx context.Context, p fairway.ProjectName, a fairway.Artifact) (u fairway.UnpackedImage, err error) {
	src, err := s.source(p, a)
	if err != nil {
		return u, err
	}
	slow := fairway.Retryable(fairway.Errorf(fairway.KindUnavailable, "the image %s was not fetched and unpacked within %v", a.Ref(), s.o.Limits.Time))
	ctx, cancel := context.WithTimeoutCause(ctx, s.o.Limits.Time, slow)
	defer cancel()
	defer func() {
		if err != nil && context.Cause(ctx) == slow {
			err = slow
		}
	}()
	start := time.Now()
	img, err := src.image(ctx, a.Digest, v1.Platform{OS: s.o.GOOS, Architecture: s.o.GOARCH})
	if err != nil {
		return u, src.explain(err)
	}
	if err := s.roomFor(img); err != nil {
		return u, src.explain(fmt.Errorf("unpack %s: %w", a.Ref(), err))
	}
	tmp, err := os.MkdirTemp(s.o.Dir, temporary)
	if err != nil {
		return u, diskError(fmt.Errorf("unpack %s: %w", a.Ref(), err))
	}
	defer os.RemoveAll(tmp) // in vain after the rename
	if u, err = describe(img); err != nil {
		return u, src.explain(err)
	}
	if err := s.unpack(ctx, img, filepath.Join(tmp, "root")); err != nil {
		return u, src.explain(fmt.Errorf("unpack %s: %w", a.Ref(), err))
	}
	if err := s.settle(tmp, s.dir(a.Digest), u); err != nil {
		return u, diskError(fmt.Errorf("unpack %s: %w", a.Ref(), err))
	}
	u.Root = filepath.Join(s.dir(a.Digest), "root")
	s.log.Info("image unpacked", "image", a.String(), "digest", a.Digest, "took", time.Since(start).Round(time.Millisecond))
	return u, nil
}

// roomFor asks for at least the room that the image's layers take packed.
func (s *Store) roomFor(img v1.Image) error {
	m, err := img.Manifest()
	if err != nil {
		return err
	}
	var n int64
	for _, l := range m.Layers {
		n += l.Size
	}
	return s.o.Room(n)
}

// settle writes the metadata, makes everything durable, and renames tmp.
func (s *Store) settle(tmp, dir string, u fairway.UnpackedImage) error {
	b, err := json.MarshalIndent(u, "", "  ")
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(tmp, metadata), b, 0o600); err != nil {
		return err
	}
	if err := syncTree(tmp); err != nil {
		return err
	}
	// A directory without metadata is a leftover of hand-made repairs.
	if err := os.RemoveAll(dir); err != nil {
		return err
	}
	if err := os.Rename(tmp, dir); err != nil {
		return err
	}
	return durable.Sync(s.o.Dir)
}

// describe reads what the image's configuration says about running it.
func describe(img v1.Image) (fairway.UnpackedImage, error) {
	digest, err := img.Digest()
	if err != nil {
		return fairway.UnpackedImage{}, err
	}
	c, err := img.ConfigFile()
	if err != nil {
		return fairway.UnpackedImage{}, err
	}
	return fairway.UnpackedImage{
		Digest:     digest.String(),
		Entrypoint: c.Config.Entrypoint,
		Cmd:        c.Config.Cmd,
		Env:        c.Config.Env,
		WorkingDir: c.Config.WorkingDir,
		OS:         c.OS,
		Arch:       c.Architecture,
	}, nil
}

// Prune removes the unpacked images whose digest (as passed to Unpack) keep
// says no to, and returns how many. One that is being unpacked stays.
func (s *Store) Prune(ctx context.Context, keep func(digest string) bool) (int, error) {
	dirs, err := filepath.Glob(filepath.Join(s.o.Dir, "sha256-*"))
	if err != nil {
		return 0, err
	}
	n := 0
	for _, dir := range dirs {
		digest := strings.Replace(filepath.Base(dir), "-", ":", 1)
		if keep(digest) {
			continue
		}
		release, err := s.claim(ctx, digest)
		if err != nil {
			return n, err
		}
		// Somebody may have come to need it while the claim was waited for.
		if keep(digest) {
			release()
			continue
		}
		err = os.RemoveAll(dir)
		release()
		if err != nil {
			return n, fmt.Errorf("remove an unpacked image: %w", err)
		}
		n++
	}
	return n, nil
}
