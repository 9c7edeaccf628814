package app_test

import (
	"context"
	"encoding/json"
	"fmt"
	"runtime"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/fairwaycd/fairway"
	"github.com/fairwaycd/fairway/api"
	"github.com/fairwaycd/fairway/app"
	"github.com/fairwaycd/fairway/controller"
	"github.com/fairwaycd/fairway/inmem"
)

// More artifacts than can be delivered arrive at once, over HTTP, with real
// JetStream and git: each service takes one after the other, what is left out
// says so, and the newest of each service comes to the end.
func TestBurst(t *testing.T) {
	t.Parallel()
	burst(t, 20, 1, 10, app.DurabilityProcess)
}

// BenchmarkBurst is [TestBurst] with 1 000 artifacts for 100 services in 20
// projects, every write synced. One iteration is enough: -benchtime 1x.
func BenchmarkBurst(b *testing.B) {
	for range b.N {
		began := time.Now()
		taken, peak := burst(b, 20, 5, 10, app.DurabilityPower)
		b.ReportMetric(taken.Seconds(), "s-to-take")
		b.ReportMetric(time.Since(began).Seconds(), "s-to-end")
		b.ReportMetric(float64(peak)/(1<<20), "MB-heap-peak")
	}
}

func burst(tb testing.TB, projects, services, each int, durability string) (taken time.Duration, peak uint64) {
	tb.Helper()
	dir := tb.TempDir()
	makeRepositories(tb, dir+"/git", sizes{projects: projects, services: services})
	w, sent := inmem.NewWorld(nil), make(chan struct{})
	w.OnTest = func(r controller.TestRequest) (fairway.TestReport, error) {
		<-sent // the first of each service holds its stage until all have come
		now := time.Now()
		return fairway.TestReport{Strategy: r.Strategy, Passed: true, Reason: "the tests passed", Window: fairway.Window{Start: now, End: now}}, nil
	}
	ctx, cancel := context.WithTimeout(tb.Context(), 10*time.Minute)
	defer cancel()
	a, err := app.New(ctx, app.Options{Data: dir, Listen: "127.0.0.1:0", Gateway: "127.0.0.1:0", Durability: durability, Outside: outside(w)})
	if err != nil {
		tb.Fatal(err)
	}
	if err := a.Start(ctx); err != nil {
		tb.Fatal(err)
	}
	defer func() {
		if err := a.Stop(context.WithoutCancel(ctx)); err != nil {
			tb.Error(err)
		}
	}()
	c := api.NewClient(api.ClientOptions{URL: "http://" + a.Address(), Token: a.Token()})
	release := sync.OnceFunc(func() { close(sent) })
	defer release() // before the stop, which waits for tests
	began := time.Now()
	sendBurst(tb, ctx, c, projects, services, each)
	taken = time.Since(began)
	release()
	all := awaitBurst(tb, ctx, c, projects*services*each, &peak)
	checkBurst(tb, ctx, c, all, each)
	return taken, peak
}

// sendBurst sends each service's artifacts in order, all services at once.
func sendBurst(tb testing.TB, ctx context.Context, c *api.Client, projects, services, each int) {
	tb.Helper()
	var wg sync.WaitGroup
	for p := range projects {
		for s := range services {
			wg.Go(func() {
				for n := range each {
					data, err := json.Marshal(fairway.EventData{Project: sizeProject(p), Service: sizeService(p, s), Image: "127.0.0.1:8080/x/y", Tag: strconv.Itoa(n)})
					if err == nil {
						_, err = c.SendEvents(ctx, []fairway.Event{{SpecVersion: "1.0", ID: fmt.Sprintf("%d.%d.%d", p, s, n), Source: "ci", Type: fairway.TypeNewArtifact, ContentType: "application/json", Data: data}})
					}
					if err != nil {
						tb.Error(err)
						return
					}
				}
			})
		}
	}
	wg.Wait()
}

func awaitBurst(tb testing.TB, ctx context.Context, c *api.Client, want int, peak *uint64) []fairway.Delivery {
	tb.Helper()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		*peak = max(*peak, m.HeapInuse)
		open, err := c.Deliveries(ctx, api.DeliveryFilter{Open: true, Limit: 1})
		if err != nil {
			tb.Fatal(err)
		}
		if len(open) == 0 {
			all, err := c.Deliveries(ctx, api.DeliveryFilter{Limit: 2 * want})
			if err != nil || len(all) != want {
				tb.Fatalf("%d of %d deliveries: %v", len(all), want, err)
			}
			return all
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			tb.Fatal("the burst did not end: ", context.Cause(ctx))
		}
	}
}

func checkBurst(tb testing.TB, ctx context.Context, c *api.Client, all []fairway.Delivery, each int) {
	tb.Helper()
	ends := map[fairway.DeliveryStatus]int{}
	for _, d := range all {
		ends[d.Status]++
		newest := d.Artifact.Tag == strconv.Itoa(each-1)
		switch {
		case newest && d.Status != fairway.StatusFinished:
			tb.Errorf("the newest of %s has %s: %s", d.Service, d.Status, d.Reason)
		case d.Status == fairway.StatusFinished:
		case d.Status != fairway.StatusSuperseded:
			tb.Errorf("%s of %s has %s: %s", d.Artifact.Tag, d.Service, d.Status, d.Reason)
		case !saysSo(tb, ctx, c, d):
			tb.Errorf("%s of %s was superseded without an event", d.Artifact.Tag, d.Service)
		}
	}
	tb.Logf("ends: %v", ends)
	if ends[fairway.StatusSuperseded] == 0 {
		tb.Error("nothing was superseded")
	}
	checkTurns(tb, all)
}

// checkTurns complains of two deliveries of a service that worked in one stage
// at the same time: between the first step after the queue and the stage's end.
func checkTurns(tb testing.TB, all []fairway.Delivery) {
	tb.Helper()
	type turn struct{ from, to time.Time }
	turns := map[string][]turn{}
	for _, d := range all {
		for _, st := range d.Stages {
			i := slices.IndexFunc(st.Steps, func(s fairway.StepRecord) bool { return s.Step != fairway.StepQueue })
			if i >= 0 && st.EndedAt != nil {
				key := string(d.Service) + " in " + string(st.Stage)
				turns[key] = append(turns[key], turn{st.Steps[i].StartedAt, *st.EndedAt})
			}
		}
	}
	for key, ts := range turns {
		slices.SortFunc(ts, func(a, b turn) int { return a.from.Compare(b.from) })
		for i := 1; i < len(ts); i++ {
			if ts[i].from.Before(ts[i-1].to) {
				tb.Errorf("two versions of %s at once: one until %s, one from %s", key, ts[i-1].to, ts[i].from)
			}
		}
	}
	if len(turns) == 0 {
		tb.Error("no delivery tells of its stages")
	}
}

func saysSo(tb testing.TB, ctx context.Context, c *api.Client, d fairway.Delivery) bool {
	tb.Helper()
	es, err := c.DeliveryEvents(ctx, string(d.ID))
	if err != nil {
		tb.Fatal(err)
	}
	n := 0
	for _, e := range es {
		if e.Type == fairway.TypeDeliverySuperseded {
			n++
		}
	}
	return n == 1
}

// A directory that the generator has written goes on like one that was used.
func TestMadeDataIsTaken(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	makeData(t, dir, sizes{projects: 2, services: 2, deliveries: 2, logged: 1})
	w := inmem.NewWorld(nil)
	if err := runInstances(w, dir+"/instances.json"); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	a, err := app.New(ctx, app.Options{Data: dir, Listen: "127.0.0.1:0", Gateway: "127.0.0.1:0", Durability: app.DurabilityProcess, Outside: outside(w)})
	if err != nil {
		t.Fatal(err)
	}
	if err := a.Start(ctx); err != nil {
		t.Fatal(err)
	}
	defer stop(t, a)
	c := api.NewClient(api.ClientOptions{URL: "http://" + a.Address(), Token: a.Token()})
	real := map[string]int{} // what is true of the really delivered service
	for p := range 2 {
		for s := range 2 {
			got, err := c.SendArtifact(ctx, api.SendArtifact{Project: sizeProject(p), Service: sizeService(p, s), Image: "127.0.0.1:8080/x/y", Tag: "next"})
			if err != nil {
				t.Fatal(err)
			}
			d := waitEnded(t, ctx, c, string(got.Delivery))
			es, err := c.DeliveryEvents(ctx, string(sizeDelivery(p, s, 1)))
			if err != nil {
				t.Fatal(err)
			}
			n, err := c.Deliveries(ctx, api.DeliveryFilter{Project: sizeProject(p), Service: sizeService(p, s)})
			if err != nil {
				t.Fatal(err)
			}
			have := map[string]int{"events": len(es), "deliveries": len(n), string(d.Status): len(d.Stages)}
			if p == 0 && s == 0 {
				real = have
			} else if fmt.Sprint(have) != fmt.Sprint(real) {
				t.Errorf("%s has %v, the real one %v; it ended with: %s", sizeService(p, s), have, real, d.Reason)
			}
		}
	}
	if real["deliveries"] != 3 || real["finished"] != 3 {
		t.Errorf("the real one has %v", real)
	}
}

func waitEnded(t *testing.T, ctx context.Context, c *api.Client, id string) fairway.Delivery {
	t.Helper()
	var d fairway.Delivery
	err := c.Watch(ctx, func(api.Change) (err error) {
		if d, err = c.Delivery(ctx, id); err == nil && d.Status.Ended() {
			return errEnough
		}
		return err
	})
	if err != errEnough {
		t.Fatal(err)
	}
	return d
}
