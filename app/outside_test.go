package app_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"runtime/debug"
	"runtime/pprof"
	"syscall"
	"testing"

	"github.com/fairwaycd/fairway"
	"github.com/fairwaycd/fairway/app"
	"github.com/fairwaycd/fairway/inmem"
)

// childData is the environment variable that makes this binary Fairway over a
// world in memory, on the data directory that it names.
const childData = "FAIRWAY_TEST_DATA"

func TestMain(m *testing.M) {
	if dir := os.Getenv(childData); dir != "" {
		if err := beFairway(dir); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

func outside(w *inmem.World) *app.Outside {
	return &app.Outside{Platform: w, Images: w, Metrics: w, Tester: w, Gate: w}
}

// beFairway runs until it is told to stop. The world's instances are those of
// instances.json; every other part is real and every write is synced.
func beFairway(dir string) error {
	debug.SetMemoryLimit(400 << 20) // as fairway up does
	if file := os.Getenv("FAIRWAY_TEST_PROFILE"); file != "" {
		f, err := os.Create(file)
		if err != nil {
			return err
		}
		if err := pprof.StartCPUProfile(f); err != nil {
			return err
		}
	}
	w := inmem.NewWorld(nil)
	if err := runInstances(w, filepath.Join(dir, "instances.json")); err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	a, err := app.New(ctx, app.Options{Data: dir, Listen: "127.0.0.1:0", Gateway: "127.0.0.1:0", Outside: outside(w), LogOutput: os.Stderr})
	if err != nil {
		return err
	}
	file := filepath.Join(dir, "listens")
	if err := os.WriteFile(file+".new", []byte(a.Address()), 0o600); err != nil {
		return err
	}
	if err := os.Rename(file+".new", file); err != nil {
		return err
	}
	if err := a.Start(ctx); err != nil {
		return err
	}
	pprof.StopCPUProfile() // of the start, where FAIRWAY_TEST_PROFILE names a file
	<-ctx.Done()
	return a.Stop(context.WithoutCancel(ctx))
}

func runInstances(w *inmem.World, file string) error {
	f, err := os.Open(file)
	if os.IsNotExist(err) {
		return nil
	}
	if err != nil {
		return err
	}
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		var all []fairway.Instance
		if err := json.Unmarshal(lines.Bytes(), &all); err != nil {
			return err
		}
		w.Run(all)
	}
	return nil
}
