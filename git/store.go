package git

import (
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/fairwaycd/fairway"
)

// Options configure a [Store]. The zero value is a store that syncs every
// write and accepts every push.
type Options struct {
	// Logger is told of changes of state. Default: discard.
	Logger *slog.Logger
	// CheckPush is asked before a branch is pushed; its error refuses the
	// whole push, and its problems are what the pushing person reads. It is
	// called under the repository's lock: it may read from the store, but
	// must not write to the same project. Default: accept.
	CheckPush func(ctx context.Context, p Push) error
	// AfterPush is called for each branch once the push is stored and before
	// the client is told so. The branches can be written to again. When it
	// fails the client is told that, and the push stays among
	// [Store.Unhandled], as it does when the process ends in between.
	AfterPush func(ctx context.Context, p Push) error
	// Deciding is called before a push to these branches is checked, and what
	// it returns once the push is stored or refused: in between, what the
	// check sees of other projects must not change. Default: nothing.
	Deciding func(project fairway.ProjectName, branches []string) (decided func())
	// Upstreams is the directory of what is known of upstreams, secrets
	// included. Without it there are none.
	Upstreams string
	// NoSync leaves it to the operating system when to write to the disk:
	// after a power cut the last seconds may be missing. A crash of the
	// process loses nothing either way.
	NoSync bool
	// MaxPush is the most bytes that one push may send. Default: 64 MiB.
	// Inflated it may be eight times as much.
	MaxPush int64
	// CacheSize is the memory for objects used last, in bytes, for all
	// projects together. Default: 16 MiB.
	CacheSize int
	// Failpoint, when not nil, is called at "git.objects.written",
	// "git.ref.before-rename" and "git.ref.after-rename".
	Failpoint func(name string)
}

func (o Options) withDefaults() Options {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.CheckPush == nil {
		o.CheckPush = func(context.Context, Push) error { return nil }
	}
	if o.AfterPush == nil {
		o.AfterPush = func(context.Context, Push) error { return nil }
	}
	if o.Deciding == nil {
		o.Deciding = func(fairway.ProjectName, []string) func() { return func() {} }
	}
	if o.MaxPush <= 0 {
		o.MaxPush = 64 << 20
	}
	if o.CacheSize <= 0 {
		o.CacheSize = 16 << 20
	}
	if o.Failpoint == nil {
		o.Failpoint = func(string) {}
	}
	return o
}

// Store holds the repositories of all projects. It is safe for concurrent
// use by one process; a second one must be kept away by the caller.
type Store struct {
	dir   string
	o     Options
	log   *slog.Logger
	disk  disk
	cache *cache
	kick  chan struct{} // wakes Maintain

	mu     sync.Mutex
	closed bool
	repos  map[fairway.ProjectName]*repo
	making sync.Mutex // held by Create

	syncers map[fairway.ProjectName]*syncer // guarded by mu
	upMu    sync.Mutex                      // held while upstreams change
	upCtx   context.Context                 // of their loops; nil while none may run
	upWG    sync.WaitGroup
}

// Open opens the repositories in dir, which is made when it does not exist.
// What a crash left half-made is removed.
func Open(dir string, o Options) (*Store, error) {
	o = o.withDefaults()
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, fairway.Errorf(fairway.KindInternal, "open the configuration repositories: %w", err)
	}
	leftovers, err := filepath.Glob(filepath.Join(dir, tempPrefix+"*"))
	if err != nil {
		return nil, err
	}
	for _, path := range leftovers {
		if err := os.RemoveAll(path); err != nil {
			return nil, err
		}
	}
	return &Store{
		dir: dir, o: o, log: o.Logger,
		disk:  disk{sync: !o.NoSync, fail: o.Failpoint, temps: new(atomic.Uint64)},
		cache: newCache(o.CacheSize),
		kick:  make(chan struct{}, 1),
		repos: map[fairway.ProjectName]*repo{}, syncers: map[fairway.ProjectName]*syncer{},
	}, nil
}

// Close waits for the writes under way. Everything fails afterwards.
func (s *Store) Close() error {
	s.mu.Lock()
	s.closed = true
	repos := s.repos
	s.repos = map[fairway.ProjectName]*repo{}
	s.mu.Unlock()
	for _, r := range repos {
		r.lock <- struct{}{} // never released: later writers see closed first
		r.why = errClosed
		close(r.closed)
	}
	return nil
}

var errClosed = fairway.Errorf(fairway.KindUnavailable, "the configuration repositories are closed: Fairway is stopping")

// Projects lists the projects that have a repository, sorted by name.
func (s *Store) Projects(ctx context.Context) ([]fairway.ProjectName, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	entries, err := os.ReadDir(s.dir)
	if err != nil {
		return nil, fairway.Errorf(fairway.KindInternal, "list the projects: %w", err)
	}
	var names []fairway.ProjectName
	for _, e := range entries {
		name, ok := strings.CutSuffix(e.Name(), ".git")
		if p := fairway.ProjectName(name); ok && e.IsDir() && p.Validate() == nil {
			names = append(names, p)
		}
	}
	slices.Sort(names)
	return names, nil
}

// Exists reports whether the project has a repository.
func (s *Store) Exists(ctx context.Context, project fairway.ProjectName) (bool, error) {
	_, err := s.repo(ctx, project)
	if fairway.KindOf(err) == fairway.KindNotFound {
		return false, nil
	}
	return err == nil, err
}

func (s *Store) path(project fairway.ProjectName) string {
	return filepath.Join(s.dir, string(project)+".git")
}

// repo returns the project's repository, which is loaded at its first use.
func (s *Store) repo(ctx context.Context, project fairway.ProjectName) (*repo, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if err := project.Validate(); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil, errClosed
	}
	if r, ok := s.repos[project]; ok {
		return r, nil
	}
	if _, err := os.Stat(s.path(project)); errors.Is(err, fs.ErrNotExist) {
		return nil, s.unknown(ctx, project)
	}
	r, err := loadRepo(s, project)
	if err != nil {
		return nil, classify(err)
	}
	s.repos[project] = r
	return r, nil
}

// opened returns the repositories in use.
func (s *Store) opened() []*repo {
	s.mu.Lock()
	defer s.mu.Unlock()
	var list []*repo
	for _, r := range s.repos {
		list = append(list, r)
	}
	return list
}

func (s *Store) unknown(ctx context.Context, project fairway.ProjectName) error {
	names, err := s.Projects(ctx)
	if err != nil {
		return err
	}
	list := "there is none yet; create it with: fairway create project"
	if len(names) > 0 {
		texts := make([]string, len(names))
		for i, n := range names {
			texts[i] = string(n)
		}
		list = "these exist: " + strings.Join(texts, ", ")
	}
	return fairway.Errorf(fairway.KindNotFound, "there is no project %s; %s", project, list)
}
