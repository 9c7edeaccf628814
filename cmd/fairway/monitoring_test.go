package main

import (
	"bytes"
	"fmt"
	"io/fs"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/fairwaycd/fairway/dynatrace/simulator"
	"github.com/fairwaycd/fairway/internal/testenv"
)

// TestPrometheusStories plays those that need Debian's Prometheus.
func TestPrometheusStories(t *testing.T) {
	t.Parallel()
	testenv.Need(t, "prometheus")
	play(t, "prometheus/*.txtar")
}

// cmdPrometheus runs a Prometheus of somebody else, which asks for the name
// gate and the password and scrapes both colours of cart through the gateway:
// prometheus PASSWORD. The script's variables PROMETHEUS and CA are its
// address and its authority's certificate.
func cmdPrometheus(ts *testscript.TestScript, s *server, args []string) error {
	program := testenv.Program("prometheus")
	dir := ts.MkAbs("prometheus")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	config := fmt.Sprintf("- job_name: cart\n  proxy_url: http://%s\n  static_configs:\n", s.ready.Gateway)
	for _, colour := range []string{"blue", "green"} {
		config += fmt.Sprintf("  - {targets: ['cart-%s.staging.localhost:80'], labels: {pod: cart-%s-7d9f}}\n", colour, colour)
	}
	p, stop, err := testenv.StartPrometheus(program, dir, testenv.Scrape{Config: config, TLS: true, User: "gate", Password: args[0]})
	if err != nil {
		return err
	}
	ts.Defer(stop)
	ts.Setenv("PROMETHEUS", p.URL)
	ts.Setenv("CA", filepath.Join(dir, "ca.pem"))
	return os.WriteFile(filepath.Join(dir, "ca.pem"), []byte(p.CA), 0o600)
}

type dynatraceKey struct{}

// cmdDynatrace plays an environment in which both colours of cart answer all
// the time, each in so many milliseconds, and takes the token: dynatrace TOKEN
// BLUE GREEN. The script's variable DYNATRACE is its address. Again, with
// throttle N, it turns the next N requests away.
func cmdDynatrace(ts *testscript.TestScript, _ *server, args []string) error {
	if args[0] == "throttle" {
		n, err := strconv.Atoi(args[1])
		ts.Value(dynatraceKey{}).(*simulator.Server).Throttle(n, 1)
		return err
	}
	sim := ts.Value(dynatraceKey{}).(*simulator.Server)
	sim.Token(args[0], simulator.ScopeV1, simulator.ScopeV2)
	times := map[string]float64{}
	for i, colour := range []string{"blue", "green"} {
		ms, err := strconv.ParseFloat(args[1+i], 64)
		if err != nil {
			return err
		}
		times["SERVICE-"+colour] = 1000 * ms
		sim.Add(simulator.Entity{ID: "SERVICE-" + colour, Type: "SERVICE", Tags: []string{"service:cart", "environment:staging", "deployment:cart-" + colour}})
	}
	web := httptest.NewServer(sim)
	over := make(chan struct{})
	var running sync.WaitGroup
	running.Go(func() {
		tick := time.NewTicker(50 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case at := <-tick.C:
				for id, v := range times {
					sim.Record(id, "builtin:service.response.time", at, v)
				}
			case <-over:
				return
			}
		}
	})
	ts.Defer(func() {
		close(over)
		running.Wait()
		web.Close()
	})
	ts.Setenv("DYNATRACE", web.URL)
	return nil
}

// cmdNowhere looks for a secret in all that Fairway stored and printed, but
// for the file of connections: nowhere SECRET.
func cmdNowhere(ts *testscript.TestScript, s *server, args []string) error {
	secret, found := []byte(args[0]), false
	if bytes.Contains([]byte(s.out.String()), secret) {
		return fmt.Errorf("fairway printed %s", secret)
	}
	err := filepath.WalkDir(s.ready.Data, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return nil // what went away meanwhile holds nothing
		}
		text, err := os.ReadFile(path)
		if err != nil || !bytes.Contains(text, secret) {
			return nil
		}
		if d.Name() == "monitoring.json" {
			found = true
			if i, err := d.Info(); err != nil || i.Mode().Perm() != 0o600 {
				return fmt.Errorf("%s can be read by others", path)
			}
			return nil
		}
		return fmt.Errorf("%s holds the secret", path)
	})
	if err == nil && !found {
		return fmt.Errorf("the secret %s is not stored at all", secret)
	}
	return err
}
