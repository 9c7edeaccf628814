package project_test

import (
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/fairwaycd/fairway"
	"github.com/fairwaycd/fairway/controller"
	"github.com/fairwaycd/fairway/git"
	"github.com/fairwaycd/fairway/inmem"
	"github.com/fairwaycd/fairway/nats"
	"github.com/fairwaycd/fairway/project"
	"github.com/fairwaycd/fairway/sequence"
)

// BenchmarkDeliveriesWithGit is controller's BenchmarkDeliveries with real
// commits: each delivery makes five of them (an image in each of three
// stages, weights in two), every write of log and git synced.
func BenchmarkDeliveriesWithGit(b *testing.B) {
	const services, projects = 32, 8
	quiet := slog.New(slog.DiscardHandler)
	ctx := b.Context()
	srv, err := nats.StartServer(ctx, nats.ServerOptions{Dir: b.TempDir(), Logger: quiet, Sync: true})
	if err != nil {
		b.Fatal(err)
	}
	defer srv.Stop()
	nc, err := srv.Connect()
	if err != nil {
		b.Fatal(err)
	}
	log, err := nats.OpenStore(ctx, nc, nats.StoreOptions{})
	if err != nil {
		b.Fatal(err)
	}
	defer log.Close()
	store, err := git.Open(b.TempDir(), git.Options{Logger: quiet})
	if err != nil {
		b.Fatal(err)
	}
	defer store.Close()
	keeper := project.New(project.Options{Git: store, Domain: "localhost", Logger: quiet})
	w := inmem.NewWorld(nil)
	view := controller.NewView()
	c := controller.New(controller.Options{
		Log: log, Configuration: keeper, Platform: w, Traffic: w, Images: w, Metrics: w, Tester: w, Gate: w, Blobs: w, Evaluations: w.Evaluations(),
		View: view, Logger: quiet, MaxTests: 64,
	})
	if err := c.Start(ctx); err != nil {
		b.Fatal(err)
	}
	defer c.Stop()
	name := func(i int) (fairway.ProjectName, fairway.ServiceName) {
		return fairway.ProjectName(fmt.Sprintf("shop%d", i%projects)), fairway.ServiceName(fmt.Sprintf("svc%d", i%services))
	}
	onboardAll(b, c, keeper, services, projects, name)
	b.ResetTimer()
	for i := range b.N {
		p, s := name(i)
		tag := fmt.Sprint(i)
		in := sequence.Input{Artifact: &sequence.Artifact{Source: "bench", EventID: tag, Artifact: fairway.Artifact{Image: "r/x", Tag: tag, Digest: fmt.Sprintf("sha256:%064x", i)}}}
		if err := c.Store(ctx, p, s, tag, in); err != nil {
			b.Fatal(err)
		}
	}
	changed, cancel := view.Watch()
	defer cancel()
	for {
		n := 0
		for k, v := range view.Counts() {
			if k.Status.Ended() {
				n += v
			}
		}
		if n == b.N {
			break
		}
		select {
		case <-changed:
		case <-time.After(time.Minute):
			b.Fatalf("%d of %d deliveries ended", n, b.N)
		}
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "deliveries/s")
}

func onboardAll(b *testing.B, c *controller.Controller, keeper *project.Keeper, services, projects int, name func(int) (fairway.ProjectName, fairway.ServiceName)) {
	b.Helper()
	yard, err := os.ReadFile(filepath.Join("..", "examples", "onboarding-carts", "shipyard.yaml"))
	if err != nil {
		b.Fatal(err)
	}
	for i := range projects {
		p, _ := name(i)
		doc := strings.Replace(string(yard), "registry: sockshop", "registry: "+string(p), 1)
		for _, s := range []string{"dev", "staging", "production"} {
			doc = strings.Replace(doc, "name: "+s+"\n", "name: "+s+"\n    namespace: "+string(p)+"-"+s+"\n    supersede: never\n", 1)
		}
		if _, err := keeper.Create(b.Context(), "bench", p, "shipyard.yaml", []byte(doc), false); err != nil {
			b.Fatal(err)
		}
	}
	for i := range services {
		p, s := name(i)
		values := fmt.Sprintf("service: {name: %s, internalPort: 8080, externalPort: 80}\nreplicaCount: 1\nimage: {repository: null, tag: null}\n", s)
		if _, err := keeper.Onboard(b.Context(), "bench", project.Onboard{Project: p, Service: s, Values: []byte(values)}); err != nil {
			b.Fatal(err)
		}
		if _, err := c.Submit(b.Context(), p, s, "onboard"+string(s), sequence.Input{Onboard: &sequence.Onboard{Actor: "bench"}}); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkPlan reads the plan of one of 100 services after a commit to every
// stage's branch, as each delivery makes them.
func BenchmarkPlan(b *testing.B) {
	quiet := slog.New(slog.DiscardHandler)
	store, err := git.Open(b.TempDir(), git.Options{Logger: quiet, NoSync: true})
	if err != nil {
		b.Fatal(err)
	}
	defer store.Close()
	k := project.New(project.Options{Git: store, Domain: "localhost", Logger: quiet})
	yard, err := os.ReadFile(filepath.Join("..", "examples", "onboarding-carts", "shipyard.yaml"))
	if err != nil {
		b.Fatal(err)
	}
	if _, err := k.Create(b.Context(), "bench", "shop", "shipyard.yaml", yard, false); err != nil {
		b.Fatal(err)
	}
	for i := range 100 {
		values := fmt.Sprintf("service: {name: svc%d}\n", i)
		if _, err := k.Onboard(b.Context(), "bench", project.Onboard{Project: "shop", Values: []byte(values)}); err != nil {
			b.Fatal(err)
		}
	}
	plan, err := k.Plan(b.Context(), "shop", "svc7")
	if err != nil {
		b.Fatal(err)
	}
	b.ResetTimer()
	for i := range b.N {
		b.StopTimer()
		for _, s := range plan {
			c := controller.Change{Project: "shop", Service: "svc3", Stage: s, Colour: s.Colours()[0], Key: fmt.Sprint(i, s.Name), Reason: "bench"}
			if _, err := k.SetImage(b.Context(), c, fairway.Artifact{Image: "r/x", Tag: fmt.Sprint(i)}); err != nil {
				b.Fatal(err)
			}
		}
		b.StartTimer()
		if _, err := k.Plan(b.Context(), "shop", "svc7"); err != nil {
			b.Fatal(err)
		}
	}
}
