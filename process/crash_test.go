package process

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/fairwaycd/fairway"
)

// parent is a Fairway that will be killed: it runs one instance and ends by
// SIGKILL at the failpoint, or waits to be killed from outside.
func parent(dir, crashAt string) {
	p, err := New(Options{Dir: dir, Images: images{"carts": testImage(os.Getenv("FAIRWAY_TEST_ROOT"))}, Logger: slog.New(slog.DiscardHandler),
		Failpoint: func(point string) {
			if point == crashAt {
				_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
				select {}
			}
		}})
	if err == nil {
		err = p.Start(context.Background())
	}
	if err == nil {
		err = p.Apply(context.Background(), workload("a", withPort+`args: ["-spawn"]`))
	}
	var i fairway.Instance
	if err == nil {
		i, err = p.AwaitReady(context.Background(), "a")
	}
	if err == nil && crashAt == "platform.stop" {
		err = p.Stop(context.Background(), "a")
	}
	fmt.Println(i.PID, i.Address, err)
	select {}
}

// crash runs a parent on the fixture's directory until it is dead, and returns
// the pid of the instance's process as far as the parent told it.
func (f *fixture) crash(at string) (pid int) {
	f.t.Helper()
	f.shutdown()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), "FAIRWAY_TEST_PARENT="+f.o.Dir, "FAIRWAY_TEST_CRASH_AT="+at, "FAIRWAY_TEST_ROOT="+f.root)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	must(f.t, err)
	must(f.t, cmd.Start())
	if at == "" {
		line, err := bufio.NewReader(out).ReadString('\n')
		must(f.t, err)
		if _, err := fmt.Sscan(line, &pid); err != nil || !strings.HasSuffix(line, "<nil>\n") {
			f.t.Fatalf("the parent said %q", line)
		}
		must(f.t, cmd.Process.Kill())
	}
	_ = cmd.Wait() // killed, as wanted
	if got := cmd.ProcessState.Sys().(syscall.WaitStatus).Signal(); got != syscall.SIGKILL {
		f.t.Fatalf("the parent ended by %v", got)
	}
	return pid
}

func TestKilledFairwayFindsItsProcessAgain(t *testing.T) {
	t.Parallel()
	f := start(t)
	pid := f.crash("")
	f.restart()
	i := f.ready("a")
	if i.PID != pid || i.Restarts != 0 {
		t.Errorf("found %+v, want the process %d", i, pid)
	}
	// It is looked after like a child: its end is seen, and its children go.
	get(t, i.Address, "/die")
	eventually(t, "a new process", func() bool { v := f.instance("a"); return v.Ready && v.PID != pid })
	var log strings.Builder
	must(t, f.Logs(t.Context(), "d-a", &log, false))
	contains(t, log.String(), fmt.Sprintf("hello from %d", pid), "dying", "unknown exit code")
	eventually(t, "three processes", func() bool { all, err := ours(f.identity); must(t, err); return len(all) == 3 })
}

func TestCrashBetweenRecordAndStart(t *testing.T) {
	t.Parallel()
	f := start(t)
	f.crash("platform.apply.recorded")
	f.restart()
	f.ready("a")
}

func TestCrashBetweenStartAndPid(t *testing.T) {
	t.Parallel()
	f := start(t)
	f.crash("platform.apply.started")
	all, err := ours(f.identity)
	must(t, err)
	leader := 0
	for _, p := range all {
		if p.leads() && p.instance == "a" && leader == 0 {
			leader = p.pid
		}
	}
	f.restart()
	if i := f.ready("a"); i.PID != leader {
		t.Errorf("runs as %d, want the started %d to be adopted", i.PID, leader)
	}
}

func TestCrashWhileStopping(t *testing.T) {
	t.Parallel()
	f := start(t)
	f.crash("platform.stop")
	f.restart()
	eventually(t, "the end of the instance", func() bool { all, err := f.Instances(t.Context()); must(t, err); return len(all) == 0 })
	if all, err := ours(f.identity); err != nil || len(all) > 0 {
		t.Errorf("left are %v (%v)", all, err)
	}
}

func TestProcessWhoseRecordIsGoneIsEnded(t *testing.T) {
	t.Parallel()
	f := start(t)
	pid := f.crash("")
	must(t, os.WriteFile(f.records.path("a"), []byte("{"), 0o600))
	f.restart()
	if runs(pid) {
		t.Error("the process without a record runs")
	}
	if _, err := os.Stat(f.records.path("a") + ".damaged"); err != nil {
		t.Error(err)
	}
}

// A pid that another process has got meanwhile is not trusted: neither with
// the right start time but without the nonce, nor with a wrong start time.
func TestReusedPidIsNotTrusted(t *testing.T) {
	t.Parallel()
	f := start(t)
	f.apply("a", withPort)
	before := f.ready("a")
	f.shutdown()
	stranger := exec.Command(child, "-idle")
	must(t, stranger.Start())
	defer func() { _ = stranger.Process.Kill(); _ = stranger.Wait() }()
	startedAt, err := startTime(stranger.Process.Pid)
	must(t, err)
	for _, claimed := range []string{startedAt, "1"} {
		b, err := os.ReadFile(f.records.path("a"))
		must(t, err)
		var r record
		must(t, json.Unmarshal(b, &r))
		r.Run.PID, r.Run.Start = stranger.Process.Pid, claimed
		must(t, f.records.save(r))
		f.restart()
		if i := f.ready("a"); i.PID == stranger.Process.Pid || i.PID == before.PID {
			t.Errorf("adopted %d", i.PID)
		}
		f.shutdown()
		if !runs(stranger.Process.Pid) {
			t.Fatal("the stranger was ended")
		}
	}
}

func TestRecordsAreWholeFiles(t *testing.T) {
	t.Parallel()
	f := start(t)
	must(t, os.WriteFile(filepath.Join(f.o.recordDir(), "x.tmp"), []byte("{"), 0o600))
	f.apply("weird/../id", withPort)
	f.ready("weird/../id")
	f.shutdown()
	f.restart()
	f.ready("weird/../id")
	entries, err := os.ReadDir(f.o.recordDir())
	must(t, err)
	if len(entries) != 1 || entries[0].Name() != "weird%2F..%2Fid.json" {
		t.Errorf("records are %v", entries)
	}
	info, err := entries[0].Info()
	must(t, err)
	if info.Mode().Perm() != 0o600 || time.Since(info.ModTime()) > time.Minute {
		t.Errorf("record is %v", info.Mode())
	}
}
