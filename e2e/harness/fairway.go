package harness

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/fairwaycd/fairway/e2e/cluster"
)

// Domain is what hosts in the cluster end in: tests say the host in the
// request, so no name server has to know it.
const Domain = "e2e.test"

// Fairway is a fairway that runs on the cluster, with a data directory of its
// own that outlives its processes.
type Fairway struct {
	t       testing.TB
	Cluster *cluster.Cluster
	Address string // HOST:PORT of the API
	program string
	dir     string
	args    []string
	cmd     *exec.Cmd
	ended   chan error
}

// Start runs fairway up until the test ends. When the test fails, its log is
// told.
func Start(t testing.TB, c *cluster.Cluster, args ...string) *Fairway {
	t.Helper()
	b, err := build()
	if err != nil {
		t.Fatal(err)
	}
	f := &Fairway{t: t, Cluster: c, program: b.program, dir: t.TempDir(), Address: free(t)}
	f.args = append([]string{"--kubeconfig", c.Kubeconfig()}, args...)
	f.Again()
	t.Cleanup(func() {
		if t.Failed() {
			f.tell()
		}
		f.end(syscall.SIGTERM)
	})
	return f
}

func (f *Fairway) tell() {
	ds, _ := f.Try("get", "deliveries")
	f.t.Logf("deliveries:\n%s", ds)
	if log, err := os.ReadFile(filepath.Join(f.dir, "log")); err == nil {
		f.t.Logf("the log ends with:\n%s", log[max(0, len(log)-6000):])
	}
}

// free is an address that nobody listens at.
func free(t testing.TB) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// Again starts the process, at first or after its end, and waits until it
// answers.
func (f *Fairway) Again() {
	f.t.Helper()
	log, err := os.OpenFile(filepath.Join(f.dir, "log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		f.t.Fatal(err)
	}
	defer log.Close()
	ready := filepath.Join(f.dir, "ready")
	_ = os.Remove(ready) // of a process before
	args := append([]string{"up", "--platform", "kubernetes", "--data", f.data(), "--listen", f.Address, "--gateway", "127.0.0.1:0",
		"--domain", Domain, "--log-level", "info", "--durability", "process", "--ready-file", ready}, f.args...)
	f.cmd = exec.Command(f.program, args...)
	f.cmd.Stdout, f.cmd.Stderr = log, log
	if err := f.cmd.Start(); err != nil {
		f.t.Fatal(err)
	}
	f.ended = make(chan error, 1)
	go func(cmd *exec.Cmd, ended chan<- error) { ended <- cmd.Wait() }(f.cmd, f.ended)
	Until(f.t, 30*time.Second, func() error {
		select {
		case err := <-f.ended:
			f.tell()
			f.t.Fatalf("fairway up ended: %v", err)
		default:
		}
		_, err := os.Stat(ready)
		return err
	})
}

func (f *Fairway) data() string { return filepath.Join(f.dir, "data") }

// Kill ends the process as a power cut does.
func (f *Fairway) Kill() { f.end(syscall.SIGKILL) }

func (f *Fairway) end(by syscall.Signal) {
	if f.cmd == nil || f.cmd.Process.Signal(by) != nil {
		return
	}
	select {
	case <-f.ended:
	case <-time.After(90 * time.Second):
		_ = f.cmd.Process.Kill()
		<-f.ended
		f.t.Errorf("fairway up did not end within 90s of %s", by)
	}
	f.cmd = nil
}

// Run runs a command line, whose failure ends the test.
func (f *Fairway) Run(args ...string) string {
	f.t.Helper()
	out, err := f.Try(args...)
	if err != nil {
		f.t.Fatal(err)
	}
	return out
}

// Try runs a command line.
func (f *Fairway) Try(args ...string) (string, error) { return f.TryWith("", args...) }

// TryWith runs a command line with something on its standard input.
func (f *Fairway) TryWith(in string, args ...string) (string, error) {
	cmd := exec.Command(f.program, args...)
	cmd.Env = append(os.Environ(), "FAIRWAY_SERVER=http://"+f.Address)
	if token, err := os.ReadFile(filepath.Join(f.data(), "token")); err == nil {
		cmd.Env = append(cmd.Env, "FAIRWAY_TOKEN="+strings.TrimSpace(string(token)))
	}
	cmd.Stdin = strings.NewReader(in)
	var out, complaint bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &complaint
	if err := cmd.Run(); err != nil {
		return out.String(), fmt.Errorf("fairway %s: %w\n%s%s", strings.Join(args, " "), err, out.String(), complaint.String())
	}
	return out.String(), nil
}

// Write writes a file for command lines to read, and returns its path.
func (f *Fairway) Write(name, text string) string {
	f.t.Helper()
	path := filepath.Join(f.dir, name)
	if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(text), 0o644)); err != nil {
		f.t.Fatal(err)
	}
	return path
}

// Delivery is what tests look at of one.
type Delivery struct {
	ID, Status, Stage, Step, Reason string
	Artifact                        struct{ Tag string }
}

// Ended says whether nothing more happens in it.
func (d Delivery) Ended() bool {
	switch d.Status {
	case "finished", "failed", "rejected", "superseded", "aborted":
		return true
	}
	return false
}

// Delivery is the newest of a service's version. It waits until there is one.
func (f *Fairway) Delivery(project, service, tag string) Delivery {
	f.t.Helper()
	var found Delivery
	Until(f.t, 60*time.Second, func() error {
		out, err := f.Try("get", "deliveries", "--project", project, "--service", service, "-o", "json")
		if err != nil {
			return err
		}
		var all []Delivery
		if err := json.Unmarshal([]byte(out), &all); err != nil {
			return fmt.Errorf("get deliveries: %w in %s", err, out)
		}
		for _, d := range all {
			if d.Artifact.Tag == tag {
				found = d
				return nil
			}
		}
		return fmt.Errorf("there is no delivery of %s:%s", service, tag)
	})
	return found
}

// Ends follows a version's delivery to its end, which must be this one.
func (f *Fairway) Ends(project, service, tag, status string, limit time.Duration) Delivery {
	f.t.Helper()
	var d Delivery
	began := time.Now()
	Until(f.t, limit, func() error {
		if d = f.Delivery(project, service, tag); !d.Ended() {
			return fmt.Errorf("%s:%s is %s in stage %s, step %s: %s", service, tag, d.Status, d.Stage, d.Step, d.Reason)
		}
		return nil
	})
	f.t.Logf("%s:%s %s after %s: %s", service, tag, d.Status, time.Since(began).Round(100*time.Millisecond), d.Reason)
	if d.Status != status {
		f.t.Fatalf("%s:%s is %s and not %s: %s\n%s", service, tag, d.Status, status, d.Reason, f.Events(d.ID))
	}
	return d
}

// Events are the events of a delivery, a line for each.
func (f *Fairway) Events(delivery string) string {
	f.t.Helper()
	return f.Run("get", "events", "--delivery", delivery)
}
