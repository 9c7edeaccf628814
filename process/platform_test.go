package process

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/fairwaycd/fairway"
)

func TestApplyReadyStop(t *testing.T) {
	t.Parallel()
	f := start(t)
	var mu sync.Mutex
	var seen []bool
	defer f.Subscribe(func(i fairway.Instance) {
		mu.Lock()
		defer mu.Unlock()
		seen = append(seen, i.Ready)
	})()
	f.apply("a", withPort+`readinessProbe: {httpGet: {path: health, port: 8080, httpHeaders: [{name: X-Probe, value: probed}]}}`,
		"kind: Service\napiVersion: v1\nmetadata: {name: carts}\n")
	i := f.ready("a")
	if !i.Ready || i.PID == 0 || i.HealthPath != "/health" || i.MetricsAddress != i.Address || i.MetricsPath != "/prometheus" || i.Delivery != "d-a" {
		t.Errorf("instance is %+v", i)
	}
	if got := strings.Join(i.NotRun, "|"); got != "not run here: Kubernetes Service carts" {
		t.Errorf("NotRun is %q", got)
	}
	env := "\n" + get(t, i.Address, "/env") + "\n"
	contains(t, env, "\nPORT="+i.Address[strings.LastIndex(i.Address, ":")+1:]+"\n", "\nFROM_IMAGE=yes\n", "\nFAIRWAY_INSTANCE=a\n")
	f.apply("a", withPort) // changes nothing
	if again := f.instance("a"); again.PID != i.PID {
		t.Errorf("the second Apply started another process: %d, %d", i.PID, again.PID)
	}
	must(t, f.Stop(t.Context(), "a"))
	must(t, f.Stop(t.Context(), "a"))
	if runs(i.PID) {
		t.Error("the process runs after Stop")
	}
	mu.Lock()
	defer mu.Unlock()
	if len(seen) != 2 || !seen[0] || seen[1] {
		t.Errorf("subscriber saw readiness %v, want true, false", seen)
	}
	var log strings.Builder
	must(t, f.Logs(t.Context(), "d-a", &log, false))
	contains(t, log.String(), "hello from "+strconv.Itoa(i.PID), "fairway: ", "staging/carts-blue carts:1.0 started")
	if _, err := f.AwaitReady(t.Context(), "a"); fairway.KindOf(err) != fairway.KindNotFound {
		t.Errorf("AwaitReady of a stopped instance: %v", err)
	}
}

func TestFairwaysOwnEnvironmentIsKept(t *testing.T) {
	t.Setenv("FAIRWAY_TEST_SECRET", "hush")
	f := start(t, func(o *Options) { o.Env = []string{"GATEWAY=here"} })
	f.apply("a", withPort)
	env := get(t, f.ready("a").Address, "/env")
	contains(t, env, "GATEWAY=here", "HOME=", "PATH=/bin:/app")
	if strings.Contains(env, "hush") {
		t.Error("the program got a variable of Fairway's")
	}
}

func TestPortIsHandedOver(t *testing.T) {
	t.Parallel()
	f := start(t)
	f.apply("a", `
command: [child, "-health=201", "--", "--listen=:{{port}}", "$(PORT)", "$$(PORT)", "$(NAME)"]
env: [{name: NAME, value: carts}]
ports: [{containerPort: 8080}]`)
	i := f.ready("a")
	port := i.Address[strings.LastIndex(i.Address, ":")+1:]
	want := strings.Join([]string{"child", "-health=201", "--", "--listen=:" + port, port, "$(PORT)", "carts"}, "\n")
	if got := get(t, i.Address, "/args"); got != want {
		t.Errorf("arguments are\n%s\nwant\n%s", got, want)
	}
}

func TestTwoInstancesInOnePlace(t *testing.T) {
	t.Parallel()
	f := start(t)
	f.apply("old", withPort)
	f.apply("new", withPort)
	a, b := f.ready("old"), f.ready("new")
	if a.Address == b.Address || a.PID == b.PID || a.Place != b.Place {
		t.Errorf("instances are %+v and %+v", a, b)
	}
	must(t, f.Stop(t.Context(), "old"))
	all, err := f.Instances(t.Context())
	must(t, err)
	if len(all) != 1 || all[0].ID != "new" || !all[0].Ready {
		t.Errorf("what runs is %+v", all)
	}
}

func TestApplyOfSomethingElseUnderTheSameInstance(t *testing.T) {
	t.Parallel()
	f := start(t)
	f.apply("a", withPort)
	w := workload("a", withPort)
	w.Artifact.Tag = "2.0"
	if err := f.Apply(t.Context(), w); fairway.KindOf(err) != fairway.KindConflict {
		t.Errorf("got %v", err)
	}
}

func TestApplyBeforeStartAndAfterShutdown(t *testing.T) {
	t.Parallel()
	f := start(t)
	f.shutdown()
	if err := f.Apply(t.Context(), workload("a", withPort)); fairway.KindOf(err) != fairway.KindUnavailable || !fairway.IsRetryable(err) {
		t.Errorf("after Shutdown: %v", err)
	}
	p, err := New(f.o)
	must(t, err)
	if err := p.Apply(t.Context(), workload("a", withPort)); fairway.KindOf(err) != fairway.KindUnavailable {
		t.Errorf("before Start: %v", err)
	}
}

func TestCrashLoopIsRefused(t *testing.T) {
	t.Parallel()
	f := start(t, func(o *Options) { o.CrashLimit = 3 })
	f.apply("a", withPort+`args: ["-exit=3"]`)
	f.never("a", "staging/carts-blue (carts:1.0) was started 3 times", "ended with exit code 3", "| boom", "see: fairway logs d-a")
}

func TestRestartAfterExit(t *testing.T) {
	t.Parallel()
	f := start(t)
	changes := make(chan fairway.Instance, 10)
	defer f.Subscribe(func(i fairway.Instance) { changes <- i })()
	f.apply("a", withPort)
	i := f.ready("a")
	get(t, i.Address, "/die")
	<-changes // ready
	if v := <-changes; v.Ready || !strings.Contains(v.Reason, "exit code 4") {
		t.Errorf("announced %+v, want the end", v)
	}
	if v := <-changes; !v.Ready || v.Restarts != 1 || v.PID == i.PID || v.Address != i.Address {
		t.Errorf("announced %+v, want the restart on the same port as %+v", v, i)
	}
}

func TestIgnoredTermIsKilled(t *testing.T) {
	t.Parallel()
	f := start(t)
	w := workload("a", withPort+`args: ["-ignore-term"]`)
	w.Manifests[0] = []byte(strings.Replace(string(w.Manifests[0]), "PeriodSeconds: 3", "PeriodSeconds: 1", 1))
	must(t, f.Apply(t.Context(), w))
	i := f.ready("a")
	began := time.Now()
	must(t, f.Stop(t.Context(), "a"))
	if took := time.Since(began); took < time.Second || runs(i.PID) {
		t.Errorf("stopping took %s, process runs: %t; want SIGKILL after a second", took, runs(i.PID))
	}
}

func TestShutdownInAHurry(t *testing.T) {
	t.Parallel()
	f := start(t)
	f.apply("a", withPort+`args: ["-ignore-term"]`)
	f.ready("a")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	began := time.Now()
	must(t, f.Shutdown(ctx))
	if took := time.Since(began); took > 2*time.Second {
		t.Errorf("Shutdown took %s, want no grace period", took)
	}
}

func TestChildrenAreEnded(t *testing.T) {
	t.Parallel()
	f := start(t)
	f.apply("a", withPort+`args: ["-spawn"]`)
	f.ready("a")
	family := func() int { all, err := ours(f.identity); must(t, err); return len(all) }
	eventually(t, "a process and two children", func() bool { return family() == 3 })
	must(t, f.Stop(t.Context(), "a"))
	if n := family(); n != 0 {
		t.Errorf("%d processes are left", n)
	}
}

func TestStopGoesOnWithoutItsContext(t *testing.T) {
	t.Parallel()
	f := start(t)
	f.apply("a", withPort+`args: ["-ignore-term"]`)
	i := f.ready("a")
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	if err := f.Stop(ctx, "a"); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Stop returned %v", err)
	}
	if err := f.Apply(t.Context(), workload("a", withPort)); fairway.KindOf(err) != fairway.KindConflict || !fairway.IsRetryable(err) {
		t.Errorf("Apply during the stop returned %v", err)
	}
	must(t, f.Stop(t.Context(), "a"))
	if runs(i.PID) {
		t.Error("the process runs")
	}
}

func TestAwaitReadySaysWhyNot(t *testing.T) {
	t.Parallel()
	f := start(t)
	f.apply("a", withPort+"args: [\"-health=503\"]\nreadinessProbe: {httpGet: {path: /health, port: 8080}}")
	eventually(t, "an answer", func() bool { return strings.Contains(f.instance("a").Reason, "503") })
	ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	_, err := f.AwaitReady(ctx, "a")
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("the error is not the context's: %v", err)
	}
	contains(t, err.Error(), "its readiness probe GET http://127.0.0.1:", "/health answered 503 Service Unavailable", "feeling like", "| hello from")
}

func TestShutdownAndStartRunsTheSameAgain(t *testing.T) {
	t.Parallel()
	f := start(t)
	f.apply("a", withPort)
	before := f.ready("a")
	f.shutdown()
	if runs(before.PID) {
		t.Fatal("the process runs after Shutdown")
	}
	f.restart()
	after := f.ready("a")
	if after.PID == before.PID || after.Address != before.Address || after.Artifact != before.Artifact || after.Delivery != before.Delivery {
		t.Errorf("before %+v, after %+v", before, after)
	}
	var log strings.Builder
	must(t, f.Logs(t.Context(), "d-a", &log, false))
	contains(t, log.String(), "hello from "+strconv.Itoa(before.PID), "hello from "+strconv.Itoa(after.PID))
}

func TestDetachAndStartAdopts(t *testing.T) {
	t.Parallel()
	f := start(t)
	f.apply("a", withPort)
	before := f.ready("a")
	must(t, f.Detach(t.Context()))
	if !runs(before.PID) {
		t.Fatal("the process does not run after Detach")
	}
	f.restart()
	if after := f.ready("a"); after.PID != before.PID || after.Restarts != 0 {
		t.Errorf("before %+v, after %+v", before, after)
	}
	must(t, f.Stop(t.Context(), "a"))
}

func TestConcurrentUse(t *testing.T) {
	t.Parallel()
	f := start(t)
	defer f.Subscribe(func(fairway.Instance) { _, _ = f.Instances(t.Context()) })()
	var wg sync.WaitGroup
	for n := range 8 {
		wg.Go(func() {
			id := strconv.Itoa(n % 4)
			for range 5 {
				if err := f.Apply(t.Context(), workload(id, withPort)); err != nil && !fairway.IsRetryable(err) {
					t.Error(err)
				}
				if n%2 == 0 {
					if _, err := f.AwaitReady(t.Context(), id); err != nil && fairway.KindOf(err) != fairway.KindRefused && fairway.KindOf(err) != fairway.KindNotFound {
						t.Error(err)
					}
				}
				if err := f.Stop(t.Context(), id); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	all, err := f.Instances(t.Context())
	must(t, err)
	files, err := os.ReadDir(f.o.recordDir())
	must(t, err)
	if len(all) != 0 || len(files) != 0 {
		t.Errorf("left are %v and %v", all, files)
	}
}

func TestNoGoroutineIsLeft(t *testing.T) {
	f := start(t)
	f.apply("a", withPort+"livenessProbe: {tcpSocket: {port: 8080}}")
	f.apply("b", withPort+`args: ["-exit=1"]`)
	f.ready("a")
	f.shutdown()
	buf := make([]byte, 1<<20)
	stacks := string(buf[:runtime.Stack(buf, true)])
	for _, function := range []string{"process.(*instance)", "process.(*prober)", "process.(*handle)", "process.(*Platform)"} {
		if strings.Contains(stacks, function) {
			t.Errorf("%s still runs after Shutdown:\n%s", function, stacks)
		}
	}
}

func TestLogsFollow(t *testing.T) {
	t.Parallel()
	f := start(t)
	f.apply("a", withPort)
	i := f.ready("a")
	ctx, cancel := context.WithCancel(t.Context())
	var log syncBuilder
	done := make(chan error)
	go func() { done <- f.Logs(ctx, "d-a", &log, true) }()
	get(t, i.Address, "/say?text=first")
	eventually(t, "the first line", func() bool { return strings.Contains(log.String(), "first\n") })
	get(t, i.Address, "/say?text=second")
	eventually(t, "the second line", func() bool { return strings.Contains(log.String(), "second\n") })
	cancel()
	must(t, <-done)
	if err := f.Logs(t.Context(), "unknown", &log, false); fairway.KindOf(err) != fairway.KindNotFound {
		t.Errorf("logs of an unknown delivery: %v", err)
	}
}

func TestLogRetention(t *testing.T) {
	t.Parallel()
	f := start(t)
	f.apply("gone", withPort)
	f.apply("here", withPort)
	f.ready("gone")
	f.ready("here")
	must(t, f.Stop(t.Context(), "gone"))
	must(t, f.dropOldLogs(time.Now().Add(time.Hour)))
	logs, err := filepath.Glob(filepath.Join(f.o.logDir(), "*"))
	must(t, err)
	if len(logs) != 1 || filepath.Base(logs[0]) != "d-here" {
		t.Errorf("kept are %v, want d-here only", logs)
	}
}

type syncBuilder struct {
	mu sync.Mutex
	b  strings.Builder
}

func (s *syncBuilder) Write(b []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(b)
}

func (s *syncBuilder) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}
