package controller

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/fairwaycd/fairway"
)

// places keeps traffic and scraping in step with what the platform runs: who
// answers for a place, under which labels, and whether it is ready.
type places struct {
	c      *Controller
	mu     sync.Mutex
	run    map[string]occupancy          // by instance
	stands map[fairway.Place]string      // the instance attached last
	gates  map[fairway.Place]*sync.Mutex // one change of a place at a time
	wg     sync.WaitGroup
	off    func()
}

type occupancy struct {
	instance fairway.Instance
	run      string
	news     uint64 // how often its readiness has changed
}

func newPlaces(c *Controller) *places {
	return &places{c: c, run: map[string]occupancy{}, stands: map[fairway.Place]string{}, gates: map[fairway.Place]*sync.Mutex{}}
}

// lock makes the caller the only one who changes the place. What is known of
// an instance, where it is attached and what is scraped belong together: two
// who change them at once would leave the labels of one with the other. It is
// taken before p.mu.
func (p *places) lock(place fairway.Place) (unlock func()) {
	p.mu.Lock()
	g := p.gates[place]
	if g == nil {
		g = &sync.Mutex{}
		p.gates[place] = g
	}
	p.mu.Unlock()
	g.Lock()
	return g.Unlock
}

func backend(o occupancy) fairway.Backend {
	i := o.instance
	return fairway.Backend{
		Place: i.Place, Project: i.Project, Instance: i.ID, Address: i.Address,
		Version: i.Artifact.Tag, Run: o.run, Ready: i.Ready,
	}
}

// put attaches the instance under the run label; the caller holds the place's
// lock.
func (p *places) put(ctx context.Context, i fairway.Instance, run string) error {
	p.mu.Lock()
	o := occupancy{i, run, p.run[i.ID].news}
	p.run[i.ID] = o
	p.stands[i.Place] = i.ID
	p.mu.Unlock()
	p.c.Failpoint("traffic.before-attach")
	if err := p.c.Traffic.Attach(ctx, backend(o)); err != nil {
		return fmt.Errorf("reach %s: %w", i.Place, err)
	}
	return nil
}

// confirm tells the traffic what the platform says of the instances now: the
// readiness of one may have been lost after it was awaited and before it was
// attached, when nobody listened. What has changed meanwhile was told then.
func (p *places) confirm(ctx context.Context, ids ...string) error {
	before := map[string]uint64{}
	p.mu.Lock()
	for _, id := range ids {
		before[id] = p.run[id].news
	}
	p.mu.Unlock()
	all, err := p.c.Platform.Instances(ctx)
	if err != nil {
		return fmt.Errorf("list what runs: %w", err)
	}
	ready := map[string]bool{}
	for _, i := range all {
		ready[i.ID] = i.Ready
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, id := range ids {
		if o, ok := p.run[id]; ok && o.news == before[id] {
			o.instance.Ready = ready[id]
			p.run[id] = o
			p.c.Traffic.SetReady(o.instance.Place, id, ready[id])
		}
	}
	return nil
}

// occupy puts the instance behind its place and stops what stood there
// before: attach first, then drain, then stop, so that no request fails. With
// serve it also has all traffic of its service, as a direct stage's version
// has.
func (p *places) occupy(ctx context.Context, i fairway.Instance, serve bool) (cut int, err error) {
	if err := p.stand(ctx, i); err != nil {
		return 0, err
	}
	if serve {
		p.c.Failpoint("route.before-change")
		r := fairway.Route{Namespace: i.Place.Namespace, Service: i.Place.Service, Weights: fairway.Full(i.Place.Colour)}
		if err := p.c.Traffic.SetWeights(ctx, r); err != nil {
			// What is not ready now may be in a moment: the step's deadline decides.
			return 0, fairway.Retryable(fmt.Errorf("send traffic to %s: %w", i.Place, err))
		}
		p.c.Failpoint("route.after-change")
	}
	all, err := p.c.Platform.Instances(ctx)
	if err != nil {
		return 0, fmt.Errorf("list what runs: %w", err)
	}
	for _, old := range all {
		if old.Place == i.Place && old.ID != i.ID {
			n, err := p.end(ctx, old.Place, old.ID)
			if err != nil {
				return cut, err
			}
			cut += n
		}
	}
	return cut, nil
}

// stand puts the instance behind its place and begins to scrape it, outside
// any test.
func (p *places) stand(ctx context.Context, i fairway.Instance) error {
	unlock := p.lock(i.Place)
	defer unlock()
	if err := p.put(ctx, i, ""); err != nil {
		return err
	}
	p.scrape(i, "")
	return p.confirm(ctx, i.ID)
}

// end drains and stops one instance.
func (p *places) end(ctx context.Context, place fairway.Place, id string) (int, error) {
	p.c.Failpoint("traffic.before-drain")
	cut, err := p.c.Traffic.Drain(ctx, place, id, p.c.Drain)
	if err != nil {
		return cut, fmt.Errorf("drain %s: %w", place, err)
	}
	p.mu.Lock()
	delete(p.run, id) // its end is no news from here on
	if p.stands[place] == id {
		delete(p.stands, place)
	}
	p.mu.Unlock()
	p.c.Failpoint("platform.before-stop")
	if err := p.c.Platform.Stop(ctx, id); err != nil {
		return cut, fmt.Errorf("stop %s: %w", place, err)
	}
	p.c.Failpoint("platform.after-stop")
	return cut, nil
}

// clear drains and stops the instance, and forgets the place's metrics unless
// another instance has it.
func (p *places) clear(ctx context.Context, place fairway.Place, id string) (int, error) {
	cut, err := p.end(ctx, place, id)
	if err != nil {
		return cut, err
	}
	unlock := p.lock(place)
	defer unlock()
	p.mu.Lock()
	_, taken := p.stands[place]
	p.mu.Unlock()
	if !taken {
		p.c.Metrics.Untrack(place)
	}
	return cut, nil
}

// observe labels the version's metrics and requests as those of the run, and
// waits for the first scrape under that label. The error says why there are
// no metrics; the test goes on without them.
func (p *places) observe(ctx context.Context, i fairway.Instance, run string) error {
	unlock := p.lock(i.Place)
	defer unlock()
	if err := p.put(ctx, i, run); err != nil {
		return err
	}
	if err := p.confirm(ctx, i.ID); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, p.c.FirstScrape)
	defer cancel()
	return p.track(ctx, i, run)
}

// attach puts the instance behind its place, with the run label it has.
func (p *places) attach(ctx context.Context, i fairway.Instance) error {
	unlock := p.lock(i.Place)
	defer unlock()
	if err := p.put(ctx, i, p.runOf(i.ID)); err != nil {
		return err
	}
	return p.confirm(ctx, i.ID)
}

func (p *places) runOf(id string) string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.run[id].run
}

func (p *places) track(ctx context.Context, i fairway.Instance, run string) error {
	if i.MetricsAddress == "" {
		p.c.Metrics.Untrack(i.Place)
		return errors.New("its pod template asks not to be scraped")
	}
	_, err := p.c.Metrics.Track(ctx, fairway.Target{
		Place: i.Place, Project: i.Project, Address: i.MetricsAddress, Path: i.MetricsPath,
		Version: i.Artifact.Tag, Run: run, Since: p.c.Now(),
	})
	return err
}

// scrape tracks the instance and does not wait for a scrape: with a context
// that has ended, Track only begins. Nothing depends on the outcome; a test
// asks again, and says then what is wrong.
func (p *places) scrape(i fairway.Instance, run string) {
	ctx, cancel := context.WithCancel(p.c.ctx)
	cancel()
	if err := p.track(ctx, i, run); err != nil && !errors.Is(err, context.Canceled) {
		p.c.Logger.Debug("a version is not scraped", "place", i.Place.String(), "reason", err)
	}
}

// changed follows an instance's readiness: what is not ready gets no traffic.
// An instance that was started again may have another address.
func (p *places) changed(i fairway.Instance) {
	if p.c.ctx.Err() != nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	o, ok := p.run[i.ID]
	if !ok {
		return
	}
	moved := i.Ready && i.Address != o.instance.Address
	o.instance = i
	o.news++
	p.run[i.ID] = o
	if !i.Ready {
		p.c.Logger.Warn("a version is not ready", "place", i.Place.String(), "version", i.Artifact.Tag, "reason", i.Reason)
	}
	if !moved {
		p.c.Traffic.SetReady(i.Place, i.ID, i.Ready)
		return
	}
	p.wg.Go(func() { p.moved(p.c.ctx, i.Place, i.ID) })
}

// moved attaches an instance anew that stands in its place still.
func (p *places) moved(ctx context.Context, place fairway.Place, id string) {
	unlock := p.lock(place)
	defer unlock()
	p.mu.Lock()
	o, ok := p.run[id]
	ok = ok && p.stands[place] == id
	p.mu.Unlock()
	if !ok {
		return
	}
	err := p.put(ctx, o.instance, o.run)
	if err == nil {
		err = p.confirm(ctx, id)
	}
	if err != nil {
		p.c.Logger.Error("a version that has moved cannot be reached", "place", place.String(), "error", err)
		return
	}
	p.scrape(o.instance, o.run)
}

func (p *places) stop() {
	if p.off != nil {
		p.off()
	}
	p.wg.Wait()
}
