package controller

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/fairwaycd/fairway"
	"github.com/fairwaycd/fairway/sequence"
)

// Configuration is the projects' configuration in git.
type Configuration interface {
	// Plan returns the stages that hold for a delivery of the service that
	// starts now, defaults filled in.
	Plan(ctx context.Context, p fairway.ProjectName, s fairway.ServiceName) ([]fairway.Stage, error)
	// SetImage commits the artifact to the colour and returns the commit that
	// the stage's work is done from. The same change key is never committed
	// twice.
	SetImage(ctx context.Context, c Change, a fairway.Artifact) (commit string, err error)
	// PutBack makes the branch say what runs from the commit Change.Live, which
	// a configuration that was turned away had changed; the change's colour
	// keeps what was turned away, except in a direct stage.
	PutBack(ctx context.Context, c Change) error
	// SetWeights commits the split; nil means that the service has none.
	SetWeights(ctx context.Context, c Change, w fairway.Weights) (commit string, err error)
	// Render returns the objects of one colour at a commit, or at the
	// branch's tip when commit is empty.
	Render(ctx context.Context, c Change, commit string, a fairway.Artifact) (Objects, error)
	// Objectives returns the files that say what the service has to keep to,
	// by path within its directory, at a commit; none when it has none.
	Objectives(ctx context.Context, c Change, commit string) (map[string][]byte, error)
	// Tests returns the service's test files at a commit.
	Tests(ctx context.Context, c Change, commit string) (map[string][]byte, error)
	// Services lists a project's services; none when there is no such project.
	Services(ctx context.Context, p fairway.ProjectName) ([]fairway.ServiceName, error)
	// Remove takes a service out of all branches. Without a service it moves
	// the project's repository away. What is not there is removed.
	Remove(ctx context.Context, c Change) error
}

// Objects are the rendered objects of one colour, one YAML document each.
type Objects struct {
	Manifests [][]byte // the colour's own
	Shared    [][]byte // what leads traffic to both colours
}

// Change says what a commit is for.
type Change struct {
	Project  fairway.ProjectName
	Service  fairway.ServiceName
	Stage    fairway.Stage
	Colour   fairway.Colour
	Delivery fairway.DeliveryID
	Key      string // sequence.Effect.Key
	Reason   string
	Carried  *fairway.Carried // the configuration that comes with an image
	Live     string           // commit that the version with the traffic runs from
	// Again says that the delivery's version ran before: what was rendered
	// for it then is wanted, where rendering anew would make something else.
	Again bool
}

// TestRequest asks for a stage's tests of one version.
type TestRequest struct {
	Subject    fairway.Subject
	Strategy   fairway.TestStrategy
	HealthPath string
	Files      map[string][]byte
	Progress   func(text string)
}

// Tester runs tests. An error means that they could not be run.
type Tester interface {
	Test(ctx context.Context, r TestRequest) (fairway.TestReport, error)
}

// GateRequest asks for a verdict.
type GateRequest struct {
	Subject    fairway.Subject
	Window     fairway.Window
	Commit     string
	Stage      fairway.Stage
	Objectives map[string][]byte // by path within the service's directory
}

// Gate judges a version. An error means that it could not be asked.
type Gate interface {
	Judge(ctx context.Context, r GateRequest) (fairway.Evaluation, error)
}

// Metrics scrapes the versions that run.
type Metrics interface {
	// Track begins to scrape the target, or relabels it, and returns the time
	// of the first scrape under its labels. When ctx ends first, even before
	// the call, the target is scraped all the same and the error wraps ctx's.
	Track(ctx context.Context, t fairway.Target) (time.Time, error)
	// Settle waits for a scrape newer than after and returns its time.
	Settle(ctx context.Context, p fairway.Place, after time.Time) (time.Time, error)
	Untrack(p fairway.Place)
}

// Blobs keeps what is too large for a record.
type Blobs interface {
	Put(ctx context.Context, name string, body []byte) error
}

// Evaluations keeps what gates said. Storing one again replaces it.
type Evaluations interface {
	Put(ctx context.Context, e fairway.Evaluation) error
}

// Options are the controller's collaborators. All but Failpoint and the
// numbers are required.
type Options struct {
	Log           fairway.Log
	Configuration Configuration
	Platform      fairway.Platform
	Traffic       fairway.Traffic
	Images        fairway.ImageStore
	Metrics       Metrics
	Tester        Tester
	Gate          Gate
	Blobs         Blobs
	Evaluations   Evaluations
	View          *View
	Logger        *slog.Logger
	// Forget makes others forget a service that is deleted and of which, but
	// for keep, nothing runs any more, or a project of which nothing is left
	// but its repository. It may be called again. Default: nobody has to.
	Forget func(ctx context.Context, g Gone) error
	Now    func() time.Time
	// Failpoint is called at every durable write and effect, by name; a fault
	// harness kills the process there.
	Failpoint func(name string)
	// Hold reports that steps cannot do their work now, as on a full disk: their
	// time stands still meanwhile. Default never.
	Hold func() bool
	// Drain is how long requests under way may go on when their version is
	// stopped; default 30 s.
	Drain time.Duration
	// MaxTests is how many tests run at once; more wait. Default 2: load of
	// one test disturbs the measurement of another.
	MaxTests int
	// MaxEffects is how many other effects run at once; default 1024. Most of
	// their time they wait, for readiness or for a last request, and whoever
	// waits must not keep others from working.
	MaxEffects int
	// SnapshotEvery is how often changed states are saved; default 1 s.
	SnapshotEvery time.Duration
	// FirstScrape is how long a test waits for its version's first scrape
	// under its labels; default 5 s. A version without metrics costs no more.
	FirstScrape time.Duration
	// Settle is how long a test waits for the scrape that closes its window;
	// default 15 s.
	Settle time.Duration
}

func (o *Options) defaults() {
	set := func(d *time.Duration, v time.Duration) {
		if *d == 0 {
			*d = v
		}
	}
	set(&o.Drain, 30*time.Second)
	set(&o.SnapshotEvery, time.Second)
	set(&o.FirstScrape, 5*time.Second)
	set(&o.Settle, 15*time.Second)
	if o.MaxTests == 0 {
		o.MaxTests = 2
	}
	if o.MaxEffects == 0 {
		o.MaxEffects = 1024
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Forget == nil {
		o.Forget = func(context.Context, Gone) error { return nil }
	}
	if o.Hold == nil {
		o.Hold = func() bool { return false }
	}
	if o.Failpoint == nil {
		o.Failpoint = func(string) {}
	}
}

// Controller owns all shards of a log.
type Controller struct {
	Options
	shards  []*shard
	effects *effects
	places  *places
	waiters *waiters
	pulse   *pulse

	ctx    context.Context
	cancel context.CancelFunc
	wg     sync.WaitGroup
}

// New returns a controller that does nothing until [Controller.Start].
func New(o Options) *Controller {
	o.defaults()
	c := &Controller{Options: o, waiters: newWaiters(), pulse: &pulse{log: o.Logger}}
	c.places = newPlaces(c)
	c.effects = newEffects(c)
	return c
}

// Start takes over every shard: it loads snapshots, replays what is newer,
// puts back what serves traffic, and starts whatever is pending. It returns
// when the shards are owned; effects go on in the background.
func (c *Controller) Start(ctx context.Context) error {
	c.ctx, c.cancel = context.WithCancel(context.WithoutCancel(ctx))
	states := map[service]*snapshot{}
	if err := c.Log.LoadStates(ctx, func(b []byte) error { return loadSnapshot(states, b) }); err != nil {
		return fmt.Errorf("load the states of services: %w", err)
	}
	if err := c.Log.LoadEnded(ctx, c.View.loadEnded); err != nil {
		return fmt.Errorf("load the ended deliveries: %w", err)
	}
	for n := range c.Log.Shards() {
		s := newShard(c, n)
		if err := s.takeOver(ctx, states); err != nil {
			return fmt.Errorf("take over shard %d: %w", n, err)
		}
		c.shards = append(c.shards, s)
	}
	c.View.loaded()
	c.places.restore()
	for _, s := range c.shards {
		c.wg.Go(s.run)
		c.wg.Go(s.consume)
		c.wg.Go(s.keep)
	}
	c.wg.Go(c.keepBeating)
	return nil
}

// Stop ends all effects where they are and waits for them. What was under way
// goes on at the next start.
func (c *Controller) Stop() {
	if c.cancel == nil {
		return
	}
	c.cancel()
	c.wg.Wait()
	c.effects.wait()
	c.places.stop()
}

type service struct {
	project fairway.ProjectName
	name    fairway.ServiceName
}

func (c *Controller) shardOf(s service) *shard { return c.shards[c.Log.Shard(s.project, s.name)] }

// fromEffect hands an effect's result to its shard.
func (c *Controller) fromEffect(s service, r sequence.Result) {
	c.shardOf(s).post(s, sequence.Input{Result: &r})
}
