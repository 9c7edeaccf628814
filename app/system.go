package app

import (
	"context"
	"fmt"
	"runtime"
	"runtime/metrics"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/fairwaycd/fairway"
	"github.com/fairwaycd/fairway/api"
)

// measureEvery is how old the measured storage may be.
const measureEvery = time.Minute

// storage remembers what was measured, since measuring looks at every file.
type storage struct {
	mu    sync.Mutex
	parts []api.Storage
	at    time.Time
}

func (a *App) usage(ctx context.Context) ([]api.Storage, time.Time, error) {
	a.storage.mu.Lock()
	defer a.storage.mu.Unlock()
	if time.Since(a.storage.at) < measureEvery {
		return a.storage.parts, a.storage.at, nil
	}
	all, err := a.dir.Usage(ctx)
	if err != nil {
		return nil, time.Time{}, fmt.Errorf("measure the data directory: %w", err)
	}
	parts := make([]api.Storage, len(all))
	for i, u := range all {
		parts[i] = api.Storage{Name: u.Name, Bytes: u.Bytes, Files: u.Files}
	}
	a.storage.parts, a.storage.at = parts, time.Now()
	return parts, a.storage.at, nil
}

// trouble returns why Fairway is not ready, by part; it is empty when all is
// well.
func (a *App) trouble() map[string]error {
	trouble := a.view.Trouble()
	if err := a.space.Short(); err != nil {
		trouble["disk"] = err
	}
	if err := a.broken.Load(); err != nil && *err != nil {
		trouble["event store"] = *err
	}
	return trouble
}

// System implements [api.Backend].
func (b *backend) System(ctx context.Context) (api.System, error) {
	status, err := b.Status(ctx)
	if err != nil {
		return api.System{}, err
	}
	s := api.System{Status: status, Go: runtime.Version(), Memory: memory(), Sessions: b.guard.Sessions(), Counts: map[string]int{},
		Kept: api.Kept{Deliveries: b.o.Retention.Deliveries, Seconds: int64(b.o.Retention.For.Seconds()), Images: b.o.Retention.Images}}
	disk, err := b.space.Disk()
	if err != nil {
		return api.System{}, err
	}
	s.Disk = api.Disk(disk)
	if s.Storage, s.MeasuredAt, err = b.usage(ctx); err != nil {
		return api.System{}, err
	}
	b.addWork(&s)
	if err := b.addStreams(ctx, &s); err != nil {
		s.Parts = append(s.Parts, api.Part{Name: "streams", State: api.PartTrouble, Text: err.Error()})
	}
	projects, err := b.Projects(ctx)
	if err != nil {
		return api.System{}, err
	}
	s.Projects = len(projects)
	for _, p := range projects {
		s.Services += len(p.Services)
	}
	s.Parts = append(s.Parts, b.parts(projects, disk.Free)...)
	return s, nil
}

// addWork adds what is under way.
func (b *backend) addWork(s *api.System) {
	load := b.control.Load()
	s.Tests, s.Steps = api.Slots(load.Tests), api.Slots(load.Others)
	for i, x := range load.Shards {
		s.Shards = append(s.Shards, api.Shard{Shard: i, Services: x.Services, Deliveries: x.Deliveries, Steps: x.Steps})
	}
	for k, n := range b.view.Counts() {
		s.Counts[string(k.Status)] += n
	}
}

// addStreams adds what the event store holds. It does not answer while its
// disk is full, which must not keep the rest from being shown.
func (b *backend) addStreams(ctx context.Context, s *api.System) error {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	load, err := b.log.Load(ctx)
	if err != nil {
		return err
	}
	for _, x := range load.Streams {
		s.Streams = append(s.Streams, api.Stream{Name: x.Name, Messages: x.Messages, Bytes: x.Bytes})
		var shard int
		if x.Name == "IN" {
			s.Inputs = api.Queue{Messages: x.Messages, Bytes: x.Bytes, Limit: x.Limit}
		} else if n, err := fmt.Sscanf(x.Name, "LOG_%d", &shard); err == nil && n == 1 && shard < len(s.Shards) {
			s.Shards[shard].Sequence = x.Last
		}
	}
	for i, n := range load.Waiting {
		s.Shards[i].Inputs = n
	}
	return nil
}

// memory returns what the Go runtime holds of the system's memory, in bytes.
func memory() int64 {
	samples := []metrics.Sample{{Name: "/memory/classes/total:bytes"}, {Name: "/memory/classes/heap/released:bytes"}}
	metrics.Read(samples)
	return int64(samples[0].Value.Uint64() - samples[1].Value.Uint64())
}

// parts says how each part does.
func (b *backend) parts(projects []api.Project, free int64) []api.Part {
	trouble := b.trouble()
	parts := []api.Part{
		partOf("event store", trouble["event store"], "takes every event, "+b.durability()),
		partOf("disk", trouble["disk"], fmt.Sprintf("%d MiB are free", free>>20)),
	}
	shards := "every shard decides"
	if !b.ready.Load() {
		parts = append(parts, api.Part{Name: "start", State: api.PartTrouble, Text: "Fairway is starting or stopping"})
		shards = "they decide from the end of the start on"
	}
	delete(trouble, "event store")
	delete(trouble, "disk")
	if len(trouble) == 0 {
		parts = append(parts, partOf("decisions", nil, shards))
	}
	for part, err := range trouble {
		parts = append(parts, partOf(part, err, ""))
	}
	var missed error
	if err := b.missed.Load(); err != nil {
		missed = *err
	}
	parts = append(parts, b.repositories(projects), b.upstreams(projects), b.scrapes())
	if missed != nil {
		parts = append(parts, api.Part{Name: "missed before the start", State: api.PartWarning, Text: missed.Error()})
	}
	slices.SortStableFunc(parts, func(a, b api.Part) int { return worse(b.State) - worse(a.State) })
	return parts
}

func worse(state string) int {
	return slices.Index([]string{api.PartOK, api.PartWarning, api.PartTrouble}, state)
}

func partOf(name string, err error, well string) api.Part {
	if err != nil {
		return api.Part{Name: name, State: api.PartTrouble, Text: err.Error()}
	}
	return api.Part{Name: name, State: api.PartOK, Text: well}
}

func (b *backend) repositories(projects []api.Project) api.Part {
	var bad []string
	for _, p := range projects {
		if p.Error != "" {
			bad = append(bad, fmt.Sprintf("project %s cannot be read: %s", p.Name, p.Error))
		}
	}
	if len(bad) > 0 {
		return api.Part{Name: "configuration", State: api.PartWarning, Text: strings.Join(bad, "; ")}
	}
	return api.Part{Name: "configuration", State: api.PartOK, Text: fmt.Sprintf("every repository can be read (%d)", len(projects))}
}

func (b *backend) upstreams(projects []api.Project) api.Part {
	n := 0
	var bad []string
	for _, p := range projects {
		if p.Upstream == nil {
			continue
		}
		n++
		if p.Upstream.Condition.Worse(fairway.UpstreamBehind) {
			bad = append(bad, fmt.Sprintf("%s is %s: %s", p.Name, p.Upstream.Condition, p.Upstream.Reason))
		}
	}
	switch {
	case len(bad) > 0:
		return api.Part{Name: "upstreams", State: api.PartWarning, Text: strings.Join(bad, "; ")}
	case n == 0:
		return api.Part{Name: "upstreams", State: api.PartOK, Text: "no project has one"}
	}
	return api.Part{Name: "upstreams", State: api.PartOK, Text: fmt.Sprintf("%d are kept in step", n)}
}

func (b *backend) scrapes() api.Part {
	all, down := b.metrics.Targets(), 0
	first := ""
	for _, t := range all {
		if t.Health == "down" {
			down++
			first = t.URL + ": " + t.LastError
		}
	}
	if down > 0 {
		return api.Part{Name: "metrics", State: api.PartWarning, Text: fmt.Sprintf("%d of %d targets do not answer, such as %s", down, len(all), first)}
	}
	return api.Part{Name: "metrics", State: api.PartOK, Text: fmt.Sprintf("%d targets are scraped", len(all))}
}
