package app_test

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	natsgo "github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/fairwaycd/fairway"
	"github.com/fairwaycd/fairway/chart"
	"github.com/fairwaycd/fairway/controller"
	"github.com/fairwaycd/fairway/git"
	"github.com/fairwaycd/fairway/inmem"
	"github.com/fairwaycd/fairway/nats"
	"github.com/fairwaycd/fairway/project"
	"github.com/fairwaycd/fairway/sequence"
)

// sizes says how much a data directory holds.
type sizes struct {
	projects, services, deliveries int // services of a project, deliveries of a service
	// logged is how many of a service's deliveries are in the log, the latest
	// ones; the states and the list have all. A start reads the log's end only.
	logged int
}

const sizeYard = `registry: shop00
stages:
- {name: dev, test_strategy: functional}
- {name: staging, deployment_strategy: blue_green_service, test_strategy: performance}
- {name: production, deployment_strategy: blue_green_service}
`

// Names have one length, so that what one service has led to can be written
// as another's by replacing them.
func sizeProject(p int) fairway.ProjectName { return fairway.ProjectName(fmt.Sprintf("shop%02d", p)) }

func sizeService(p, n int) fairway.ServiceName {
	return fairway.ServiceName(fmt.Sprintf("s%02dx%03d", p, n))
}

func sizeArtifact(p, s, n int) fairway.Artifact {
	a := fairway.Artifact{Image: fmt.Sprintf("127.0.0.1:8080/%s/%s", sizeProject(p), sizeService(p, s)), Tag: fmt.Sprintf("1.%d.0", n)}
	a.Digest = fmt.Sprintf("sha256:%064x", n)
	return a
}

func sizeDelivery(p, s, n int) fairway.DeliveryID {
	return sequence.NewID(sizeProject(p), sizeService(p, s), "/fairway/registry", sizeEvent(n))
}

func sizeEvent(n int) string { return fmt.Sprintf("size-%03d", n) }

// makeData writes a data directory of the size. The first service is really
// delivered, by a real controller over a platform that does nothing; all
// others get copies of what that has left, under their own names. It writes
// the instances that run then to instances.json.
func makeData(tb testing.TB, dir string, z sizes) {
	tb.Helper()
	makeRepositories(tb, filepath.Join(dir, "git"), z)
	quiet := slog.New(slog.DiscardHandler)
	srv, err := nats.StartServer(tb.Context(), nats.ServerOptions{Dir: filepath.Join(dir, "nats"), Logger: quiet})
	if err != nil {
		tb.Fatal(err)
	}
	defer srv.Stop()
	nc, err := srv.Connect()
	if err != nil {
		tb.Fatal(err)
	}
	log, err := nats.OpenStore(tb.Context(), nc, nats.StoreOptions{})
	if err != nil {
		tb.Fatal(err)
	}
	defer log.Close()
	w := deliverReally(tb, log, filepath.Join(dir, "git"), z.deliveries)
	m := readModel(tb, log, w, z.deliveries)
	m.copyAll(tb, nc, log, z)
	m.writeInstances(tb, filepath.Join(dir, "instances.json"), z)
	if err := os.WriteFile(filepath.Join(dir, "address"), []byte("127.0.0.1:8080\n"), 0o600); err != nil {
		tb.Fatal(err)
	}
}

// deliverReally runs the deliveries of the first service of the first project,
// one after the other.
func deliverReally(tb testing.TB, log fairway.Log, repos string, deliveries int) *inmem.World {
	tb.Helper()
	quiet := slog.New(slog.DiscardHandler)
	store, err := git.Open(repos, git.Options{Logger: quiet, NoSync: true})
	if err != nil {
		tb.Fatal(err)
	}
	defer store.Close()
	w := inmem.NewWorld(nil)
	view := controller.NewView()
	c := controller.New(controller.Options{
		Log: log, Configuration: project.New(project.Options{Git: store, Domain: "localhost", Logger: quiet}),
		Platform: w, Traffic: w, Images: w, Metrics: w, Tester: w, Gate: w, Blobs: w, Evaluations: w.Evaluations(), View: view, Logger: quiet,
	})
	if err := c.Start(tb.Context()); err != nil {
		tb.Fatal(err)
	}
	defer c.Stop()
	p, s := sizeProject(0), sizeService(0, 0)
	if _, err := c.Submit(tb.Context(), p, s, "onboard", sequence.Input{Onboard: &sequence.Onboard{Actor: "ann"}}); err != nil {
		tb.Fatal(err)
	}
	for n := range deliveries {
		in := sequence.Input{Artifact: &sequence.Artifact{Source: "/fairway/registry", EventID: sizeEvent(n), Artifact: sizeArtifact(0, 0, n), Actor: "a push to the registry"}}
		if _, err := c.Submit(tb.Context(), p, s, sizeEvent(n), in); err != nil {
			tb.Fatal(err)
		}
		untilEnded(tb, view, n+1)
	}
	return w
}

// untilEnded waits until n deliveries have finished.
func untilEnded(tb testing.TB, view *controller.View, n int) {
	tb.Helper()
	changed, cancel := view.Watch()
	defer cancel()
	deadline := time.After(time.Minute)
	for {
		ended, finished := 0, 0
		for k, v := range view.Counts() {
			if k.Status.Ended() {
				ended += v
			}
			if k.Status == fairway.StatusFinished {
				finished += v
			}
		}
		if ended >= n {
			if finished < n {
				tb.Fatalf("only %d of %d deliveries have finished: %+v", finished, n, view.Deliveries(controller.DeliveryFilter{}))
			}
			return
		}
		select {
		case <-changed:
		case <-deadline:
			tb.Fatalf("%d of %d deliveries have ended", ended, n)
		}
	}
}

// form is a text in which the names of one service can be replaced by
// another's: pieces, and which name stands between each two of them.
type form struct {
	pieces []string
	names  []int
}

func formOf(text string, names []string) form {
	var f form
	begin := 0
	for i := 0; i < len(text); i++ {
		n := slices.IndexFunc(names, func(name string) bool { return strings.HasPrefix(text[i:], name) })
		if n < 0 {
			continue
		}
		f.pieces, f.names = append(f.pieces, text[begin:i]), append(f.names, n)
		begin = i + len(names[n])
		i = begin - 1
	}
	f.pieces = append(f.pieces, text[begin:])
	return f
}

func (f form) with(names []string) []byte {
	var b []byte
	for i, n := range f.names {
		b = append(append(b, f.pieces[i]...), names[n]...)
	}
	return append(b, f.pieces[len(f.pieces)-1]...)
}

// model is what the really delivered service has left.
type model struct {
	deliveries int
	records    []form // subject without the shard, and body
	bodies     []form
	of         []int // which delivery the record is of, -1 for none
	state      form  // without the log's sequence
	ended      []form
	instances  form
}

// sizeNames are what stands in a service's texts: project, service, deliveries.
func sizeNames(p, s, deliveries int) []string {
	names := []string{string(sizeProject(p)), string(sizeService(p, s))}
	for n := range deliveries {
		names = append(names, string(sizeDelivery(p, s, n)))
	}
	return names
}

var ofCommit = regexp.MustCompile(`,"commit":"[0-9a-f]{40}"`)

func readModel(tb testing.TB, log *nats.Store, w *inmem.World, deliveries int) model {
	tb.Helper()
	m := model{deliveries: deliveries}
	names := sizeNames(0, 0, deliveries)
	ctx := tb.Context()
	p, s := sizeProject(0), sizeService(0, 0)
	err := log.Replay(ctx, log.Shard(p, s), 1, func(e fairway.LogEntry) error {
		if e.Service == s {
			m.records = append(m.records, formOf(fmt.Sprintf("%s.%s.%s", p, s, cmp.Or(string(e.Delivery), "_")), names))
			m.of = append(m.of, slices.Index(names, string(e.Delivery))-2)
			m.bodies = append(m.bodies, formOf(string(e.Body), names))
		}
		return nil
	})
	if err == nil {
		err = log.LoadStates(ctx, func(b []byte) error {
			var snap map[string]json.RawMessage
			err := json.Unmarshal(b, &snap)
			// Of another project's repository there is no such commit.
			m.state = formOf(string(ofCommit.ReplaceAll(snap["state"], nil)), names)
			return err
		})
	}
	if err == nil {
		err = log.LoadEnded(ctx, func(b []byte) error { m.ended = append(m.ended, formOf(string(b), names)); return nil })
	}
	if err != nil {
		tb.Fatal(err)
	}
	run, err := w.Instances(ctx)
	if err != nil {
		tb.Fatal(err)
	}
	one, err := json.Marshal(run)
	if err != nil {
		tb.Fatal(err)
	}
	m.instances = formOf(string(one), names)
	if len(m.ended) != deliveries {
		tb.Fatalf("the model has %d of %d deliveries", len(m.ended), deliveries)
	}
	return m
}

// copyAll writes the model as every other service's, without waiting for each
// write, and then the floors.
func (m model) copyAll(tb testing.TB, nc *natsgo.Conn, log *nats.Store, z sizes) {
	tb.Helper()
	js, err := jetstream.New(nc, jetstream.WithPublishAsyncMaxPending(2000), jetstream.WithPublishAsyncErrHandler(func(_ jetstream.JetStream, m *natsgo.Msg, err error) {
		tb.Errorf("%s: %v", m.Subject, err)
	}))
	if err != nil {
		tb.Fatal(err)
	}
	last := make([]uint64, log.Shards())
	for n := range last {
		if last[n], err = log.Last(tb.Context(), n); err != nil {
			tb.Fatal(err)
		}
	}
	put := func(subject string, body []byte) {
		if _, err := js.PublishAsync(subject, body); err != nil {
			tb.Fatal(err)
		}
	}
	for p := range z.projects {
		for s := range z.services {
			if p == 0 && s == 0 {
				continue
			}
			names, key := sizeNames(p, s, m.deliveries), fmt.Sprintf("%s.%s", sizeProject(p), sizeService(p, s))
			n := log.Shard(sizeProject(p), sizeService(p, s))
			for i, b := range m.bodies {
				if m.of[i] >= 0 && m.of[i] < m.deliveries-z.logged {
					continue
				}
				last[n]++
				put(fmt.Sprintf("log.%02d.%s", n, m.records[i].with(names)), b.with(names))
			}
			put("$KV.state."+key, fmt.Appendf(nil, `{"seq":%d,"state":%s}`, last[n], m.state.with(names)))
			for i, b := range m.ended {
				put("$KV.view.d."+key+"."+string(sizeDelivery(p, s, i)), b.with(names))
			}
		}
	}
	<-js.PublishAsyncComplete()
	for n := range last {
		if err := log.SaveFloor(tb.Context(), n, fmt.Appendf(nil, `{"seq":%d,"epoch":1}`, last[n])); err != nil {
			tb.Fatal(err)
		}
	}
}

func (m model) writeInstances(tb testing.TB, file string, z sizes) {
	tb.Helper()
	var all []byte
	for p := range z.projects {
		for s := range z.services {
			all = append(append(all, m.instances.with(sizeNames(p, s, m.deliveries))...), '\n')
		}
	}
	if err := os.WriteFile(file, all, 0o600); err != nil {
		tb.Fatal(err)
	}
}

// makeRepositories makes the projects with all their services: as onboarding
// does it, in one commit a stage.
func makeRepositories(tb testing.TB, dir string, z sizes) {
	tb.Helper()
	quiet := slog.New(slog.DiscardHandler)
	store, err := git.Open(dir, git.Options{Logger: quiet, NoSync: true})
	if err != nil {
		tb.Fatal(err)
	}
	defer store.Close()
	k := project.New(project.Options{Git: store, Domain: "localhost", Logger: quiet})
	var first map[string]map[string][]byte
	for p := range z.projects {
		doc := strings.ReplaceAll(sizeYard, "shop00", string(sizeProject(p)))
		info, err := k.Create(tb.Context(), "ann", sizeProject(p), "", []byte(doc), false)
		if err != nil {
			tb.Fatal(err)
		}
		if first == nil {
			first = onboarded(tb, store, info, z.services)
		}
		commits := map[string]git.CommitRequest{}
		for stage, files := range first {
			changes := map[string][]byte{}
			for name, body := range files {
				r := strings.NewReplacer("shop00", string(sizeProject(p)), "s00x", fmt.Sprintf("s%02dx", p))
				changes[r.Replace(name)] = []byte(r.Replace(string(body)))
			}
			commits[stage] = git.CommitRequest{
				Info: git.CommitInfo{Message: "Onboard services", When: time.Now()},
				Edit: func(*git.Snapshot) (map[string][]byte, error) { return changes, nil },
			}
		}
		if _, err := store.CommitAll(tb.Context(), info.Name, commits); err != nil {
			tb.Fatal(err)
		}
	}
}

// onboarded returns the files of each stage's branch with all services.
func onboarded(tb testing.TB, store *git.Store, info project.Info, services int) map[string]map[string][]byte {
	tb.Helper()
	out := map[string]map[string][]byte{}
	for _, stage := range info.Shipyard.Stages {
		snap, err := store.Read(tb.Context(), info.Name, string(stage.Name))
		if err != nil {
			tb.Fatal(err)
		}
		files, err := snap.Files("")
		if err != nil {
			tb.Fatal(err)
		}
		// Each is added to the empty chart, and what it adds put together: the
		// branch as a whole would be parsed for every one of them.
		all := maps.Clone(files)
		for n := range services {
			changes, _, err := chart.Onboard(files, chart.OnboardRequest{
				Project: info.Name, Stage: stage.WithDefaults(), Domain: "localhost", ValuesName: "values.yaml", Values: sizeValues(0, n),
			})
			if err != nil {
				tb.Fatal(err)
			}
			added := bytes.TrimPrefix(changes[chart.ValuesFile], files[chart.ValuesFile])
			changes[chart.ValuesFile] = append(bytes.Clone(all[chart.ValuesFile]), added...)
			maps.Copy(all, changes)
		}
		out[string(stage.Name)] = all
	}
	return out
}

func sizeValues(p, n int) []byte {
	return []byte(fmt.Sprintf("service: {name: %s}\n", sizeService(p, n)))
}
