package metrics

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"sync"
	"time"

	"github.com/fairwaycd/fairway"
	"github.com/prometheus/client_golang/prometheus"
	config_util "github.com/prometheus/common/config"
	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/config"
	"github.com/prometheus/prometheus/discovery/targetgroup"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/parser"
	"github.com/prometheus/prometheus/scrape"
	"github.com/prometheus/prometheus/tsdb"
	"github.com/prometheus/prometheus/tsdb/chunks"
)

// The scrape pools. Places' labels win over what a process exports; endpoints'
// exported labels win, so that the gateway can speak of the versions it serves.
const (
	poolPlaces    = "fairway-places"
	poolEndpoints = "fairway-endpoints"
)

// Options configure [New].
type Options struct {
	// Dir holds the time series. Required; made when missing.
	Dir string
	// Logger is required.
	Logger *slog.Logger
	// ScrapeInterval is the time between two scrapes of a target, and the
	// longest that one may take. Default 1 s, at least 10 ms.
	ScrapeInterval time.Duration
	// Retention is how long samples are kept. Default 24 h.
	Retention time.Duration
	// MaxBytes bounds the blocks on disk, oldest first to go. Default 1 GiB.
	MaxBytes int64
	// QueryTimeout bounds one query. Default 30 s.
	QueryTimeout time.Duration
	// MaxSamples bounds what one query holds in memory at once, at 16 bytes
	// each. Default 2 000 000.
	MaxSamples int
	// MaxQueries bounds the queries that [Server.Handler] runs at once; more
	// wait. Queries by [Server.Instant] are not counted. Default 4.
	MaxQueries int
}

func (o Options) withDefaults() (Options, error) {
	setDefault(&o.ScrapeInterval, time.Second)
	setDefault(&o.Retention, 24*time.Hour)
	setDefault(&o.MaxBytes, 1<<30)
	setDefault(&o.QueryTimeout, 30*time.Second)
	setDefault(&o.MaxSamples, 2_000_000)
	setDefault(&o.MaxQueries, 4)
	switch {
	case o.Dir == "":
		return o, fairway.Invalid("metrics.dir", "", "is missing", "name the directory for the time series")
	case o.Logger == nil:
		return o, fairway.Errorf(fairway.KindInternal, "metrics: no logger")
	case o.ScrapeInterval < 10*time.Millisecond:
		return o, fairway.Invalid("metrics.scrapeInterval", o.ScrapeInterval.String(), "is too short", "use 10ms or more")
	case o.Retention < 0 || o.MaxBytes < 0 || o.QueryTimeout < 0 || o.MaxSamples < 0 || o.MaxQueries < 0:
		return o, fairway.Invalid("metrics", fmt.Sprintf("%+v", o), "has a negative limit", "leave it out for the default")
	}
	return o, nil
}

func setDefault[T comparable](v *T, def T) {
	var zero T
	if *v == zero {
		*v = def
	}
}

// Server scrapes targets, keeps their samples and answers queries. It is safe
// for concurrent use.
type Server struct {
	opts     Options
	log      *slog.Logger
	registry *prometheus.Registry
	parser   parser.Parser
	slots    chan struct{} // one for each query that the handler runs

	db      *tsdb.DB
	engine  *promql.Engine
	manager *scrape.Manager
	cancel  context.CancelFunc
	running sync.WaitGroup
	changed chan struct{} // holds one element when targets have to be published

	mu         sync.Mutex
	state      state
	done       chan struct{} // closed by Stop
	generation uint64
	targets    map[string]*target // by key
	current    map[string]*target // by generation
	handlers   map[string]*pipeListener
}

type state int

const (
	stateNew state = iota
	stateRunning
	stateStopped
)

// New returns a server that does nothing until Start.
func New(o Options) (*Server, error) {
	o, err := o.withDefaults()
	if err != nil {
		return nil, err
	}
	return &Server{
		opts: o, log: o.Logger.With("component", "metrics"),
		registry: prometheus.NewRegistry(),
		parser:   parser.NewParser(parser.Options{}),
		slots:    make(chan struct{}, o.MaxQueries),
		changed:  make(chan struct{}, 1),
		done:     make(chan struct{}),
		targets:  map[string]*target{}, current: map[string]*target{}, handlers: map[string]*pipeListener{},
	}, nil
}

// Gatherer returns the server's own metrics: scrapes, database, engine.
func (s *Server) Gatherer() prometheus.Gatherer { return s.registry }

// Start opens the database and begins to scrape. ctx gives values only; Stop
// ends what Start began. A server starts once.
func (s *Server) Start(ctx context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.state != stateNew {
		return fairway.Errorf(fairway.KindRefused, "the metrics server was started before; make a new one")
	}
	if err := s.open(); err != nil {
		return err
	}
	ctx, s.cancel = context.WithCancel(context.WithoutCancel(ctx))
	sets := make(chan map[string][]*targetgroup.Group)
	s.running.Go(func() {
		if err := s.manager.Run(sets); err != nil {
			s.log.Error("scraping ended", "err", err)
		}
	})
	s.running.Go(func() { s.publish(ctx, sets) })
	s.state = stateRunning
	return nil
}

func (s *Server) open() (err error) {
	stampTrue()
	if err := os.MkdirAll(s.opts.Dir, 0o700); err != nil {
		return fairway.Errorf(fairway.KindUnavailable, "make the directory for metrics: %w", err)
	}
	log := s.log.With("part", "tsdb")
	s.db, err = tsdb.Open(s.opts.Dir, quiet(log), s.registry, s.databaseOptions(), nil)
	if err != nil {
		return fairway.Errorf(fairway.KindUnavailable, "open the time series in %s: %w; if they are damaged, move that directory away: only recent metrics are lost", s.opts.Dir, err)
	}
	s.engine = promql.NewEngine(promql.EngineOpts{
		Logger: quiet(s.log.With("part", "promql")), Reg: s.registry, Parser: s.parser,
		MaxSamples: s.opts.MaxSamples, Timeout: s.opts.QueryTimeout,
		// The usual five minutes would bring a value of before a crash back.
		LookbackDelta:            max(10*time.Second, 3*s.opts.ScrapeInterval),
		EnableAtModifier:         true,
		EnableNegativeOffset:     true,
		NoStepSubqueryIntervalFn: func(int64) int64 { return s.opts.ScrapeInterval.Milliseconds() },
	})
	s.manager, err = scrape.NewManager(&scrape.Options{
		// The reloader waits for work, not for ticks, so a short interval
		// costs nothing while no target changes.
		DiscoveryReloadInterval: model.Duration(10 * time.Millisecond),
		// The context tells the appender whose samples it gets.
		PassMetadataInContext: true,
		// Prometheus spreads first scrapes over an interval. A test waits for
		// its first scrape, so the spread is taken back.
		InitialScrapeOffset: -s.opts.ScrapeInterval,
		HTTPClientOptions:   []config_util.HTTPClientOption{config_util.WithDialContextFunc(s.dial)},
		// ParseST stays off, as does EnableSTAsZeroSample of the database: a
		// zero at a counter's creation would make all that it counted before
		// the baseline part of the test.
	}, quiet(s.log.With("part", "scrape")), nil, nil, &watchedStorage{db: s.db, report: s.scraped}, s.registry)
	if err != nil {
		return errors.Join(fairway.Errorf(fairway.KindInternal, "make the scrape manager: %w", err), s.engine.Close(), s.db.Close())
	}
	return nil
}

// stampTrue lets scrapes bear the time at which they were made. Prometheus
// would give them times of an even row, in which a clock that is set back does
// not occur: until it has caught up, all samples would lie in the future, and
// be refused. It is a variable of the whole process.
var stampTrue = sync.OnceFunc(func() { scrape.AlignScrapeTimestamps = false })

// databaseOptions are tuned for memory: the defaults, made for millions of
// series, cost several megabytes empty.
func (s *Server) databaseOptions() *tsdb.Options {
	o := tsdb.DefaultOptions()
	o.StripeSize = 512
	o.HeadChunksWriteQueueSize = 0
	o.HeadChunksWriteBufferSize = chunks.MinWriteBufferSize
	o.WALSegmentSize = 8 << 20
	// Every test run has series of its own. What is written as a block leaves
	// the memory, so blocks are short: in an hour of a delivery a second there
	// are 100 000 series and more.
	o.MinBlockDuration = (10 * time.Minute).Milliseconds()
	o.RetentionDuration = s.opts.Retention.Milliseconds()
	o.MaxBytes = s.opts.MaxBytes
	// A clock that is set back must not end all measuring until it has caught up
	// with the newest sample.
	o.OutOfOrderTimeWindow = s.opts.Retention.Milliseconds()
	return o
}

// publish configures the manager and hands it the targets whenever they have
// changed. It is a goroutine of its own because the configuration looks up
// the host's name, which may take seconds where no name server answers.
func (s *Server) publish(ctx context.Context, sets chan<- map[string][]*targetgroup.Group) {
	cfg, err := s.scrapeConfig()
	if err == nil {
		err = s.manager.ApplyConfig(cfg)
	}
	if err != nil {
		s.log.Error("nothing is scraped: the configuration was refused", "err", err)
		return
	}
	for {
		select {
		case sets <- s.groups():
		case <-ctx.Done():
			return
		}
		select {
		case <-s.changed:
		case <-ctx.Done():
			return
		}
	}
}

func (s *Server) scrapeConfig() (*config.Config, error) {
	every := model.Duration(s.opts.ScrapeInterval).String()
	text := fmt.Sprintf(`
global: {scrape_interval: %s, scrape_timeout: %s}
scrape_configs:
- {job_name: %s, honor_labels: false, honor_timestamps: false, body_size_limit: 16MB, sample_limit: 50000, fallback_scrape_protocol: PrometheusText0.0.4}
- {job_name: %s, honor_labels: true, honor_timestamps: false, body_size_limit: 64MB, fallback_scrape_protocol: PrometheusText0.0.4}
`, every, every, poolPlaces, poolEndpoints)
	return config.Load(text, quiet(s.log))
}

// Stop ends scraping, wakes all who wait, and closes the database. Stopping a
// server that does not run is no error.
func (s *Server) Stop() error {
	s.mu.Lock()
	was := s.state
	s.state = stateStopped
	if was != stateStopped {
		close(s.done)
	}
	handlers := s.handlers
	s.handlers = map[string]*pipeListener{}
	s.mu.Unlock()
	if was != stateRunning {
		return nil
	}
	s.cancel()
	s.manager.Stop()
	s.running.Wait()
	var errs []error
	for _, h := range handlers {
		errs = append(errs, h.stop())
	}
	errs = append(errs, s.engine.Close(), s.db.Close())
	if err := errors.Join(errs...); err != nil {
		return fairway.Errorf(fairway.KindInternal, "close the time series: %w", err)
	}
	return nil
}

// dial connects to handlers inside the process, and to everything else.
func (s *Server) dial(ctx context.Context, network, address string) (net.Conn, error) {
	s.mu.Lock()
	l := s.handlers[address]
	s.mu.Unlock()
	if l != nil {
		return l.dial(ctx)
	}
	var d net.Dialer
	return d.DialContext(ctx, network, address)
}

// quiet keeps Prometheus' chatter out of a log whose info level is for changes
// of state: its info becomes debug.
func quiet(l *slog.Logger) *slog.Logger { return slog.New(quietHandler{l.Handler()}) }

type quietHandler struct{ slog.Handler }

func (h quietHandler) Enabled(ctx context.Context, level slog.Level) bool {
	return h.Handler.Enabled(ctx, lower(level))
}

func (h quietHandler) Handle(ctx context.Context, r slog.Record) error {
	r.Level = lower(r.Level)
	return h.Handler.Handle(ctx, r)
}

func (h quietHandler) WithAttrs(a []slog.Attr) slog.Handler {
	return quietHandler{h.Handler.WithAttrs(a)}
}
func (h quietHandler) WithGroup(name string) slog.Handler {
	return quietHandler{h.Handler.WithGroup(name)}
}

func lower(level slog.Level) slog.Level {
	if level == slog.LevelInfo {
		return slog.LevelDebug
	}
	return level
}
