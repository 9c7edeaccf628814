package controller_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/fairwaycd/fairway"
	"github.com/fairwaycd/fairway/inmem"
	"github.com/fairwaycd/fairway/sequence"
)

// BenchmarkDeliveries runs deliveries through three stages with platform and
// tests that do nothing, every write of the log synced: what the engine and
// its log can carry.
func BenchmarkDeliveries(b *testing.B) {
	for _, services := range []int{8, 32} {
		b.Run(fmt.Sprintf("services=%d", services), func(b *testing.B) {
			s, send := benchSystem(b, services)
			defer s.stop()
			b.ResetTimer()
			for i := range b.N {
				send(i)
			}
			s.until(b, "the end", s.ended(b.N))
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "deliveries/s")
		})
	}
}

func benchSystem(b *testing.B, services int) (*system, func(int)) {
	b.Helper()
	stages := plan()
	for i := range stages {
		stages[i].Supersede = fairway.SupersedeNever
	}
	s := startSynced(b, b.TempDir(), inmem.NewWorld(stages), nil, nil, true)
	name := func(i int) fairway.ServiceName { return fairway.ServiceName(fmt.Sprintf("svc%d", i%services)) }
	for i := range services {
		s.onboard(b, name(i))
	}
	return s, func(i int) {
		tag := fmt.Sprint(i)
		in := sequence.Input{Artifact: &sequence.Artifact{Source: "bench", EventID: tag, Artifact: fairway.Artifact{Image: "r/x", Tag: tag, Digest: benchDigest(i)}}}
		if err := s.Store(b.Context(), "shop", name(i), tag, in); err != nil {
			b.Fatal(err)
		}
	}
}

func benchDigest(i int) string { return fmt.Sprintf("sha256:%064x", i) }

// BenchmarkNextAction sends 20 artifacts a second and measures the time from
// the request to store the event until its first effect begins.
func BenchmarkNextAction(b *testing.B) {
	const rate = 20
	w := inmem.NewWorld([]fairway.Stage{fairway.Stage{Name: "dev", Supersede: fairway.SupersedeNever}.WithDefaults()})
	s := startSynced(b, b.TempDir(), w, nil, nil, true)
	defer s.stop()
	const services = 40
	for i := range services {
		s.onboard(b, fairway.ServiceName(fmt.Sprintf("svc%d", i)))
	}
	began := make(chan string, b.N)
	w.OnConfigure = func(a fairway.Artifact) { began <- a.Tag }
	sent := map[string]time.Time{}
	var took []time.Duration
	tick := time.NewTicker(time.Second / rate)
	defer tick.Stop()
	for i := range b.N {
		<-tick.C
		tag := fmt.Sprint(i)
		sent[tag] = time.Now()
		in := sequence.Input{Artifact: &sequence.Artifact{Source: "bench", EventID: tag, Artifact: fairway.Artifact{Image: "r/x", Tag: tag, Digest: benchDigest(i)}}}
		if err := s.Store(b.Context(), "shop", fairway.ServiceName(fmt.Sprintf("svc%d", i%services)), tag, in); err != nil {
			b.Fatal(err)
		}
		got := <-began
		took = append(took, time.Since(sent[got]))
	}
	slices.Sort(took)
	b.ReportMetric(float64(took[len(took)/2].Microseconds())/1000, "p50-ms")
	b.ReportMetric(float64(took[len(took)*99/100].Microseconds())/1000, "p99-ms")
}
