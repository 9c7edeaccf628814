package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/fairwaycd/fairway"
	"github.com/fairwaycd/fairway/api"
)

// patience is how long a test waits for what should come at once or after a
// few seconds of load.
const patience = 60 * time.Second

// server is a real `fairway up`, a process of its own with a home of its own.
// Its zero value but for home has not been started.
type server struct {
	home  string
	ready struct {
		Listen, Gateway, Data, Login string
		PID                          int
	}
	cmd    *exec.Cmd
	out    output
	exited chan struct{} // closed when cmd has ended
	err    error         // of cmd; read after exited
}

// output gathers what a process prints.
type output struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.String()
}

// command prepares a run of the command line in the server's home.
func (s *server) command(args ...string) *exec.Cmd { return s.program("fairway", args...) }

func (s *server) program(name string, args ...string) *exec.Cmd {
	c := exec.Command(name, args...)
	c.Dir, c.Env = s.home, s.environ()
	return c
}

func (s *server) environ() []string {
	env := []string{"HOME=" + s.home, "PATH=" + os.Getenv("PATH"), "TMPDIR=" + os.TempDir(), "NO_COLOR=1", "GIT_CONFIG_NOSYSTEM=1"}
	if s.ready.Listen != "" {
		env = append(env, "FAIRWAY_SERVER=http://"+s.ready.Listen)
	}
	return env
}

// begin starts the server with more variables of the environment and returns
// once it is ready. A second start has the addresses of the first.
func (s *server) begin(env []string, args ...string) error {
	file := filepath.Join(s.home, "ready.json")
	if err := os.Remove(file); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	listen, gateway := "127.0.0.1:0", "127.0.0.1:0"
	if s.ready.Listen != "" {
		listen, gateway = s.ready.Listen, s.ready.Gateway
	}
	s.cmd = s.program("fairway-up", append([]string{"up", "--listen", listen, "--gateway", gateway, "--ready-file", file, "--drain", "5s"}, args...)...) // the last of a flag wins
	s.cmd.Env = append(s.cmd.Env, env...)
	s.cmd.Stdout, s.cmd.Stderr = &s.out, &s.out
	if err := s.cmd.Start(); err != nil {
		return err
	}
	s.exited = make(chan struct{})
	go func() {
		s.err = s.cmd.Wait()
		close(s.exited)
	}()
	return until("fairway up is ready", func() (bool, error) {
		b, err := os.ReadFile(file)
		if err == nil {
			return true, json.Unmarshal(b, &s.ready)
		}
		select {
		case <-s.exited:
			return false, fmt.Errorf("fairway up ended: %v\n%s", s.err, s.out.String())
		default:
			return false, nil
		}
	})
}

// end sends the signal and waits until the process has ended.
func (s *server) end(sig syscall.Signal) error {
	if err := s.cmd.Process.Signal(sig); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	return s.awaitExit()
}

func (s *server) awaitExit() error {
	select {
	case <-s.exited:
		return nil
	case <-time.After(patience):
		s.cmd.Process.Kill()
		<-s.exited
		return fmt.Errorf("fairway up did not end within %s:\n%s", patience, s.out.String())
	}
}

func (s *server) runs() bool {
	if s.exited == nil {
		return false
	}
	select {
	case <-s.exited:
		return false
	default:
		return true
	}
}

// stop stops the server as Ctrl-C does. Nothing that it ran may outlive it.
func (s *server) stop() error {
	if !s.runs() {
		return errors.New("fairway up does not run")
	}
	began := time.Now()
	if err := s.end(os.Interrupt.(syscall.Signal)); err != nil {
		return err
	}
	if took := time.Since(began); took > 20*time.Second {
		return fmt.Errorf("fairway up took %s to stop:\n%s", took, s.out.String())
	}
	if s.err != nil {
		return fmt.Errorf("fairway up ended with %w:\n%s", s.err, s.out.String())
	}
	left, err := s.children()
	if err != nil {
		return err
	}
	if len(left) > 0 {
		return fmt.Errorf("processes outlived fairway up: %v", left)
	}
	return nil
}

// cleanUp leaves nothing running, however a test has ended.
func (s *server) cleanUp() {
	if s.runs() {
		s.end(os.Interrupt.(syscall.Signal))
	}
	left, _ := s.children()
	for pid := range left {
		syscall.Kill(pid, syscall.SIGKILL)
	}
}

// children are the delivered programs that run, of any start of this server,
// by process id. They are known by FAIRWAY_INSTANCE in their environment and
// by their program, which lies in the data directory.
func (s *server) children() (map[int]string, error) {
	links, err := filepath.Glob("/proc/[0-9]*/exe")
	if err != nil {
		return nil, err
	}
	found := map[int]string{}
	for _, link := range links {
		exe, err := os.Readlink(link)
		if err != nil || !strings.HasPrefix(exe, s.home+"/") {
			continue
		}
		env, err := os.ReadFile(filepath.Join(filepath.Dir(link), "environ"))
		if err != nil {
			continue
		}
		for _, kv := range strings.Split(string(env), "\x00") {
			if instance, ok := strings.CutPrefix(kv, "FAIRWAY_INSTANCE="); ok {
				var pid int
				fmt.Sscan(filepath.Base(filepath.Dir(link)), &pid)
				found[pid] = instance
			}
		}
	}
	return found, nil
}

func (s *server) token() (string, error) {
	b, err := os.ReadFile(filepath.Join(s.ready.Data, "token"))
	return strings.TrimSpace(string(b)), err
}

func (s *server) client() (*api.Client, error) {
	token, err := s.token()
	return api.NewClient(api.ClientOptions{URL: "http://" + s.ready.Listen, Token: token}), err
}

// ask sends a request to the gateway under one of its hosts.
func (s *server) ask(host, path string) (status int, body string, err error) {
	req, err := http.NewRequest(http.MethodGet, "http://"+s.ready.Gateway+path, nil)
	if err != nil {
		return 0, "", err
	}
	req.Host = host
	return answer(req)
}

func answer(req *http.Request) (status int, body string, err error) {
	c := http.Client{Timeout: patience, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	resp, err := c.Do(req)
	if err != nil {
		return 0, "", err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	return resp.StatusCode, string(b), err
}

// push packs ware with the given variables and pushes it as
// REGISTRY/shop/SERVICE:TAG, as a build does.
func (s *server) push(service, tag string, env ...string) error {
	args := []string{"image", "push", "--binary", wareFile, "--port", "8080", "--env", "VERSION=" + tag}
	for _, kv := range env {
		args = append(args, "--env", kv)
	}
	out, err := s.command(append(args, s.ready.Listen+"/shop/"+service+":"+tag)...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("fairway image push: %w\n%s", err, out)
	}
	return nil
}

// delivery returns the newest delivery of the tag once ok says yes.
func (s *server) delivery(what, service, tag string, ok func(fairway.Delivery) bool) (last fairway.Delivery, err error) {
	c, err := s.client()
	if err != nil {
		return last, err
	}
	err = until(fmt.Sprintf("%s:%s %s", service, tag, what), func() (bool, error) {
		all, err := c.Deliveries(context.Background(), api.DeliveryFilter{Project: "shop", Service: fairway.ServiceName(service)})
		if fairway.KindOf(err) == fairway.KindUnavailable {
			return false, nil // it restarts
		}
		if err != nil {
			return false, err
		}
		for _, d := range all {
			if d.Artifact.Tag == tag {
				last, err = c.Delivery(context.Background(), string(d.ID)) // with how far its step is
				return err == nil && ok(last), nil
			}
		}
		return false, nil
	})
	if err != nil {
		err = fmt.Errorf("%w; it is %s at %s in stage %s: %s\n%s", err, last.Status, last.Step, last.Stage, last.Reason, s.out.String())
	}
	return last, err
}

// ended waits for the end of the tag's newest delivery.
func (s *server) ended(service, tag string) (fairway.Delivery, error) {
	return s.delivery("has ended", service, tag, func(d fairway.Delivery) bool { return d.Status.Ended() })
}

// at waits until the tag's newest delivery is at the step in the stage.
func (s *server) at(service, tag, stage, step string) (fairway.Delivery, error) {
	d, err := s.delivery("is at "+step+" in "+stage, service, tag, func(d fairway.Delivery) bool {
		return d.Status.Ended() || string(d.Stage) == stage && string(d.Step) == step
	})
	if err == nil && d.Status.Ended() {
		err = fmt.Errorf("%s:%s was to be at %s in %s, but has ended as %s: %s", service, tag, step, stage, d.Status, d.Reason)
	}
	return d, err
}

// awaitAnswer waits until the service answers, which must be with one of the
// versions.
func (s *server) awaitAnswer(host string, versions ...string) error {
	last := ""
	err := until(host+" answers", func() (bool, error) {
		status, body, err := s.ask(host, "/version")
		last = fmt.Sprint(status, " ", body)
		return err == nil && status == http.StatusOK, nil
	})
	if err != nil {
		return fmt.Errorf("%w; its last answer is %s\n%s", err, last, s.out.String())
	}
	if version := strings.TrimPrefix(last, "200 Version = "); !slices.Contains(versions, version) {
		return fmt.Errorf("%s answers %q, and not with version %s", host, last, strings.Join(versions, " or "))
	}
	return nil
}

// until polls a condition until it holds, fails, or patience ends.
func until(what string, ok func() (bool, error)) error {
	deadline := time.NewTimer(patience)
	defer deadline.Stop()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		done, err := ok()
		if err != nil {
			return fmt.Errorf("waiting until %s: %w", what, err)
		}
		if done {
			return nil
		}
		select {
		case <-deadline.C:
			return fmt.Errorf("%s not within %s", what, patience)
		case <-tick.C:
		}
	}
}

// start returns a server that runs, and ends it with the test.
func start(t *testing.T, args ...string) *server {
	t.Helper()
	s := &server{home: t.TempDir()}
	t.Cleanup(s.cleanUp)
	must(t, s.begin(nil, args...))
	return s
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// run runs the command line and returns what it printed on both outputs.
func (s *server) run(t *testing.T, args ...string) string {
	t.Helper()
	out, err := s.command(args...).CombinedOutput()
	if err != nil {
		t.Fatalf("fairway %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return string(out)
}
