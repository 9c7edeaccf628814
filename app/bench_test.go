package app_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/fairwaycd/fairway/app"
)

// BenchmarkStart starts Fairway on an empty directory, every write synced,
// until it is ready. Stopping is not measured.
func BenchmarkStart(b *testing.B) {
	for range b.N {
		b.StopTimer()
		dir := b.TempDir()
		b.StartTimer()
		a, err := app.New(b.Context(), app.Options{Data: dir, Listen: "127.0.0.1:0", Gateway: "127.0.0.1:0"})
		if err != nil {
			b.Fatal(err)
		}
		if err := a.Start(b.Context()); err != nil {
			b.Fatal(err)
		}
		b.StopTimer()
		if err := a.Stop(context.WithoutCancel(b.Context())); err != nil {
			b.Fatal(err)
		}
		b.StartTimer()
	}
}

// BenchmarkIdleMemory runs the program on an empty directory and reports what
// it holds once it has been ready for two scrapes. One iteration is enough:
// -benchtime 1x.
func BenchmarkIdleMemory(b *testing.B) {
	bin := filepath.Join(b.TempDir(), "fairway")
	if out, err := exec.CommandContext(b.Context(), "go", "build", "-o", bin, "../cmd/fairway").CombinedOutput(); err != nil {
		b.Fatalf("%v\n%s", err, out)
	}
	var resident, anonymous float64
	b.ResetTimer()
	for range b.N {
		r, a := idle(b, bin)
		resident, anonymous = resident+r, anonymous+a
	}
	b.ReportMetric(resident/float64(b.N), "MB-resident")
	b.ReportMetric(anonymous/float64(b.N), "MB-anonymous")
}

// idle runs one fairway and returns its memory in MB.
func idle(b *testing.B, bin string) (resident, anonymous float64) {
	b.Helper()
	dir := b.TempDir()
	file := filepath.Join(dir, "ready")
	cmd := exec.CommandContext(b.Context(), bin, "up", "--data", filepath.Join(dir, "data"),
		"--listen", "127.0.0.1:0", "--gateway", "127.0.0.1:0", "--ready-file", file)
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	defer func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		if err := cmd.Wait(); err != nil {
			b.Error(err)
		}
	}()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(time.Minute)
	var settled <-chan time.Time
	for {
		select {
		case <-deadline:
			b.Fatal("fairway did not get ready")
		case <-settled:
			return memory(b, cmd.Process.Pid, "VmRSS"), memory(b, cmd.Process.Pid, "RssAnon")
		case <-tick.C:
			if text, err := os.ReadFile(file); err == nil && json.Valid(text) && settled == nil {
				settled = time.After(2 * time.Second)
			}
		}
	}
}

// memory reads one line of a process's status, in MB.
func memory(b *testing.B, pid int, key string) float64 {
	b.Helper()
	f, err := os.Open(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		b.Skip("the memory of a process is read from /proc: ", err)
	}
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		if value, ok := strings.CutPrefix(lines.Text(), key+":"); ok {
			var kb float64
			if _, err := fmt.Sscan(value, &kb); err != nil {
				b.Fatal(err)
			}
			return kb / 1000 * 1.024
		}
	}
	b.Fatalf("/proc/%d/status has no %s", pid, key)
	return 0
}
