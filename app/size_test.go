package app_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/fairwaycd/fairway"
	"github.com/fairwaycd/fairway/api"
)

// BenchmarkSize runs Fairway on a data directory of 10 000 services and
// 100 000 ended deliveries, kills it, and prints what it costs. The directory
// is made first, or reused where FAIRWAY_SIZE_DIR names one. One iteration is
// enough: -benchtime 1x.
func BenchmarkSize(b *testing.B) {
	z := sizes{projects: 20, services: 500, deliveries: 10, logged: 1}
	dir := os.Getenv("FAIRWAY_SIZE_DIR")
	if dir == "" {
		dir = b.TempDir()
	}
	if _, err := os.Stat(filepath.Join(dir, "instances.json")); err != nil {
		makeData(b, dir, z)
	}
	for range b.N {
		c := startChild(b, dir)
		b.ReportMetric(c.ready.Seconds(), "s-start")
		b.ReportMetric(memory(b, c.pid(), "VmRSS"), "MB-at-ready")
		c.settle(b)
		b.ReportMetric(memory(b, c.pid(), "VmRSS"), "MB-resident")
		b.ReportMetric(memory(b, c.pid(), "VmHWM"), "MB-peak")
		c.lists(b)
		c.firstEffects(b, z, 20)
		c.kill(b)
		again := startChild(b, dir)
		b.ReportMetric(again.ready.Seconds(), "s-start-after-kill")
		again.kill(b)
	}
}

// child is Fairway in a process of its own.
type child struct {
	cmd   *exec.Cmd
	ready time.Duration // from its start
	api   *api.Client
	url   string
	token string
}

func (c *child) pid() int { return c.cmd.Process.Pid }

func startChild(tb testing.TB, dir string) *child {
	tb.Helper()
	exe, err := os.Executable()
	if err != nil {
		tb.Fatal(err)
	}
	if err := os.Remove(filepath.Join(dir, "listens")); err != nil && !os.IsNotExist(err) {
		tb.Fatal(err)
	}
	c := &child{cmd: exec.CommandContext(tb.Context(), exe)}
	c.cmd.Env = append(os.Environ(), childData+"="+dir)
	log, err := os.OpenFile(filepath.Join(dir, "log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		tb.Fatal(err)
	}
	defer log.Close()
	c.cmd.Stderr = log
	began := time.Now()
	if err := c.cmd.Start(); err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = c.cmd.Process.Kill(); _ = c.cmd.Wait() })
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(5 * time.Minute)
	for {
		select {
		case <-tick.C:
		case <-deadline:
			tb.Fatal("fairway did not get ready; see ", log.Name())
		}
		if c.url == "" {
			addr, err := os.ReadFile(filepath.Join(dir, "listens"))
			if err != nil {
				continue
			}
			c.url = "http://" + string(addr)
		}
		resp, err := http.Get(c.url + "/readyz")
		if err != nil {
			continue
		}
		resp.Body.Close()
		if resp.StatusCode == http.StatusOK {
			break
		}
	}
	c.ready = time.Since(began)
	token, err := os.ReadFile(filepath.Join(dir, "token"))
	if err != nil {
		tb.Fatal(err)
	}
	c.token = strings.TrimSpace(string(token))
	c.api = api.NewClient(api.ClientOptions{URL: c.url, Token: c.token})
	return c
}

func (c *child) kill(tb testing.TB) {
	tb.Helper()
	if err := c.cmd.Process.Kill(); err != nil {
		tb.Fatal(err)
	}
	_ = c.cmd.Wait()
}

// settle waits until the process does nothing more after its start.
func (c *child) settle(tb testing.TB) {
	tb.Helper()
	began := time.Now()
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for last := -1.0; time.Since(began) < 3*time.Minute; {
		<-tick.C
		now := cpuSeconds(tb, c.pid())
		if last >= 0 && now-last < 0.1 {
			break
		}
		last = now
	}
	fmt.Printf("  settled after %.1f s, %.1f s of CPU\n", time.Since(began).Seconds(), cpuSeconds(tb, c.pid()))
}

// lists asks for every list as the command line and the console do.
func (c *child) lists(b *testing.B) {
	b.Helper()
	for _, q := range []string{
		"/api/v1/deliveries", "/api/v1/deliveries?limit=500", "/api/v1/deliveries?project=shop07", "/api/v1/deliveries?service=s19x499",
		"/api/v1/deliveries?status=failed", "/api/v1/deliveries?open=true", "/api/v1/projects", "/api/v1/projects/shop07/services", "/api/v1/services",
		"/api/v1/events", "/api/v1/events?project=shop07", "/api/v1/routes",
		"/api/v1/board", "/api/v1/board?search=x4+1.9&state=moving", "/", "/?project=shop07", "/?q=s13", "/?after=shop11%2Fs11x200", "/deliveries", "/deliveries?project=shop07&state=finished",
	} {
		var took []time.Duration
		size, used := 0, cpuSeconds(b, c.pid())
		for range 100 {
			began := time.Now()
			size = c.get(b, q)
			took = append(took, time.Since(began))
		}
		slices.Sort(took)
		used = cpuSeconds(b, c.pid()) - used // of a hundred calls; what else the process does is in it
		fmt.Printf("  %-40s p50 %6.1f ms  p99 %6.1f ms  cpu %5.1f ms  %8d bytes\n", q, ms(took[49]), ms(took[98]), 10*used, size)
	}
}

func (c *child) get(b *testing.B, path string) int {
	b.Helper()
	r, err := http.NewRequestWithContext(b.Context(), http.MethodGet, c.url+path, nil)
	if err != nil {
		b.Fatal(err)
	}
	r.SetBasicAuth("bench", c.token)
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		b.Fatal(err)
	}
	defer resp.Body.Close()
	n, err := io.Copy(io.Discard, resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		b.Fatalf("%s: %s, %v", path, resp.Status, err)
	}
	return int(n)
}

func ms(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

// firstEffects sends artifacts and measures the time until the event of their
// first commit is stored.
func (c *child) firstEffects(b *testing.B, z sizes, n int) {
	b.Helper()
	ctx, cancel := context.WithTimeout(b.Context(), 5*time.Minute)
	defer cancel()
	var took, sent []time.Duration
	for i := range n {
		p, s := i%z.projects, (i*37)%z.services
		began := time.Now()
		got, err := c.api.SendArtifact(ctx, api.SendArtifact{Project: sizeProject(p), Service: sizeService(p, s), Image: "127.0.0.1:8080/x/y", Tag: fmt.Sprint("new-", time.Now().UnixNano())})
		if err != nil {
			b.Fatal(err)
		}
		sent = append(sent, time.Since(began))
		for {
			es, err := c.api.DeliveryEvents(ctx, string(got.Delivery))
			if err != nil {
				b.Fatal(err)
			}
			if slices.ContainsFunc(es, func(e fairway.Event) bool { return e.Type == fairway.TypeConfigurationChanged }) {
				break
			}
		}
		took = append(took, time.Since(began))
	}
	slices.Sort(took)
	slices.Sort(sent)
	fmt.Printf("  new artifact to its stored decision: p50 %.1f ms, max %.1f ms; to its first commit: p50 %.1f ms, max %.1f ms\n", ms(sent[n/2]), ms(sent[n-1]), ms(took[n/2]), ms(took[n-1]))
}

// cpuSeconds is what the process has used so far.
func cpuSeconds(tb testing.TB, pid int) float64 {
	tb.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		tb.Skip("the processor time of a process is read from /proc: ", err)
	}
	fields := strings.Fields(string(text[bytes.LastIndexByte(text, ')')+1:]))
	var ticks [2]float64 // in user and system mode, a hundred a second
	for i := range ticks {
		if ticks[i], err = strconv.ParseFloat(fields[11+i], 64); err != nil {
			tb.Fatal(err)
		}
	}
	return (ticks[0] + ticks[1]) / 100
}
