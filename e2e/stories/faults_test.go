package stories

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/fairwaycd/fairway/e2e/cluster"
	"github.com/fairwaycd/fairway/e2e/harness"
)

// shop is a project with one blue/green stage and one service, which is
// delivered in some seconds.
type shop struct {
	*harness.Fairway
	t     *testing.T
	c     *cluster.Cluster
	proxy *harness.Proxy // before the apiserver, if asked for
	host  string
	users *harness.Counts
}

const (
	shopSpace = "e2e-shop"
	shopYard  = `stages:
  - name: production
    namespace: e2e-shop
    deployment_strategy: blue_green_service
`
	shopValues = `service: {name: web, internalPort: 8080}
health: /readyz
`
)

// open starts a shop whose first version serves, with users at the gateway.
func open(t *testing.T, proxied bool, args ...string) *shop {
	t.Helper()
	c := harness.Need(t)
	s := &shop{t: t, c: c, host: "web." + shopSpace + "." + harness.Domain}
	harness.Gone(t, c, shopSpace)
	if proxied {
		s.proxy = harness.NewProxy(t, c)
		args = append(args, "--kubeconfig", s.proxy.Kubeconfig)
	}
	s.Fairway = harness.Start(t, c, args...)
	s.Run("create", "project", "shop", s.Write("shipyard.yaml", shopYard))
	listen(t, s.Fairway, "shop")
	s.Run("onboard", "service", "web", "--project", "shop", "--values", s.Write("values.yaml", shopValues))
	s.release("1")
	s.Ends("shop", "web", "1", "finished", 90*time.Second)
	s.users, _ = harness.Visit(t, c.IP, s.host, "/", 60)
	return s
}

// release pushes a version, which starts its delivery.
func (s *shop) release(tag string, env ...string) {
	s.t.Helper()
	push(s.t, s.c, cluster.Image{Ref: "shop/web:" + tag, Program: s.c.Bin("hello"), User: "65534", Env: append(env, "VERSION="+tag)})
}

// split sets the weights by hand.
func (s *shop) split(weights string) (string, error) {
	return s.Try("route", "set", "web", "--project", "shop", "--stage", "production", weights, "--reason", "a test")
}

// served wants nothing but answers of these versions so far.
func (s *shop) served(versions ...string) {
	s.t.Helper()
	if bad := s.users.Failures(); len(bad) > 0 {
		s.t.Errorf("requests failed: %v", bad)
	}
	s.onlyBy(versions...)
}

// onlyBy wants all answers so far to be of these versions.
func (s *shop) onlyBy(versions ...string) {
	s.t.Helper()
	for answer := range s.users.Answers() {
		version, _, _ := strings.Cut(answer, " ")
		ok := false
		for _, v := range versions {
			ok = ok || v == version
		}
		if !ok {
			s.t.Errorf("version %s answered", version)
			return
		}
	}
}

// isAll wants one version to answer all of 200 requests, soon.
func (s *shop) isAll(version string) {
	s.t.Helper()
	harness.Until(s.t, 20*time.Second, func() error {
		counts := harness.Ask(s.t, s.c.IP, s.host, "/", 200)
		for answer := range counts.Answers() {
			if !strings.HasPrefix(answer, version+" ") {
				return fmt.Errorf("answered: %s", answer)
			}
		}
		if len(counts.Failures()) > 0 {
			return fmt.Errorf("failed: %v", counts.Failures())
		}
		return nil
	})
}

// A version that ends by itself gets no traffic, and its delivery says why.
func TestACrashingVersionGetsNoTraffic(t *testing.T) {
	s := open(t, false)
	s.release("2", "EXIT_AFTER=10ms")
	d := s.Ends("shop", "web", "2", "failed", 2*time.Minute)
	for _, want := range []string{"web-green", "exit code 1", "EXIT_AFTER"} {
		if !strings.Contains(d.Reason, want) {
			t.Errorf("the reason does not say %q: %s", want, d.Reason)
		}
	}
	if got := weights(t, s.c, shopSpace, "web"); got != "100/0" {
		t.Errorf("the weights are %s", got)
	}
	s.served("1")
}

// While istiod stands still nobody knows whether the gateway follows: the
// weights are put back, and who asked is told.
func TestIstiodStandsStill(t *testing.T) {
	s := open(t, false, "--data-plane", "5s")
	s.release("2")
	s.Ends("shop", "web", "2", "finished", 90*time.Second)
	istiod := process(t, "pilot-discovery")
	if err := istiod.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = istiod.Signal(syscall.SIGCONT) })
	// Istio's webhooks would refuse every change for want of an answer. When
	// istiod goes on it sets right what a failure means, but not the time.
	webhooks := func(patch string) {
		for _, name := range []string{"istio-validator-istio-system", "istiod-default-validator"} {
			harness.Kubectl(t, s.c, "patch", "validatingwebhookconfiguration", name, "--type=json", "-p", patch)
		}
	}
	webhooks(`[{"op":"replace","path":"/webhooks/0/failurePolicy","value":"Ignore"},{"op":"add","path":"/webhooks/0/timeoutSeconds","value":1}]`)
	t.Cleanup(func() { webhooks(`[{"op":"add","path":"/webhooks/0/timeoutSeconds","value":10}]`) })
	if out, err := s.split("blue=50,green=50"); err == nil {
		t.Errorf("the weights are said to be in force: %s", out)
	}
	// The step tries again until its limit, and then says what became of it.
	var events string
	harness.Until(t, 150*time.Second, func() error {
		if events = s.Run("get", "events", "--project", "shop"); !strings.Contains(events, "data plane") {
			return fmt.Errorf("no event says that the data plane did not follow:\n%s", events)
		}
		return nil
	})
	t.Log(events[strings.LastIndex(strings.TrimSpace(events), "\n"):])
	if got := weights(t, s.c, shopSpace, "web"); got != "0/100" {
		t.Errorf("the weights are %s, and were not put back to 0/100", got)
	}
	if err := istiod.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	s.isAll("2")
	harness.Until(t, 40*time.Second, func() error { _, err := s.split("blue=50,green=50"); return err })
	splits(t, s.c.IP, s.host, "/", "1 ", .5, 2000)
	s.served("1", "2")
}

// process is the one that runs a program of this name, in a pod.
func process(t *testing.T, program string) *os.Process {
	t.Helper()
	lines, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range lines {
		b, err := os.ReadFile(l)
		if err != nil {
			continue // it has ended
		}
		name, _, _ := strings.Cut(string(b), "\x00")
		if filepath.Base(name) != program {
			continue
		}
		pid, err := strconv.Atoi(filepath.Base(filepath.Dir(l)))
		if err != nil {
			t.Fatal(err)
		}
		p, err := os.FindProcess(pid)
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	t.Fatalf("no process runs %s", program)
	return nil
}

// Fairway is killed in the middle of a delivery, wherever it is then. Users
// notice nothing, and the next process ends the delivery.
func TestFairwayIsKilled(t *testing.T) {
	s := open(t, false)
	for i, after := range []time.Duration{500 * time.Millisecond, 2 * time.Second, 4 * time.Second} {
		tag := strconv.Itoa(i + 2)
		s.release(tag, "START_DELAY=1s")
		s.Delivery("shop", "web", tag)
		select { // the moment is what the test is about
		case <-time.After(after):
		case <-t.Context().Done():
			return
		}
		s.Kill()
		s.Again()
		s.Ends("shop", "web", tag, "finished", 2*time.Minute)
		s.isAll(tag)
	}
	s.served("1", "2", "3", "4")
}

// The gateway's only pod is deleted while traffic moves. Afterwards the object
// and the traffic agree, whatever was answered.
func TestTheGatewayIsKilled(t *testing.T) {
	s := open(t, false)
	s.release("2")
	s.Ends("shop", "web", "2", "finished", 90*time.Second)
	harness.Kubectl(t, s.c, "-n", "istio-system", "delete", "pod", "-l", "istio=ingressgateway", "--grace-period=0", "--force", "--wait=false")
	out, err := s.split("blue=100,green=0")
	t.Logf("%s%v", out, err)
	harness.Kubectl(t, s.c, "-n", "istio-system", "rollout", "status", "deployment/istio-ingressgateway", "--timeout=60s")
	want := map[string]string{"100/0": "1", "0/100": "2"}[weights(t, s.c, shopSpace, "web")]
	if (err == nil) != (want == "1") {
		t.Errorf("the command ended with %v, and the weights are those of version %s", err, want)
	}
	s.isAll(want)
	s.onlyBy("1", "2")
}

// Somebody deletes what serves. It comes back, and an event says so.
func TestADeploymentIsDeleted(t *testing.T) {
	s := open(t, false)
	harness.Kubectl(t, s.c, "-n", shopSpace, "delete", "deployment", "web-blue")
	harness.Until(t, time.Minute, func() error {
		if d := deployments(t, s.c, shopSpace)["web-blue"]; d.Status.AvailableReplicas < 1 {
			return fmt.Errorf("web-blue has %d available", d.Status.AvailableReplicas)
		}
		return nil
	})
	harness.Until(t, 20*time.Second, func() error {
		if events := s.Run("get", "events", "--project", "shop"); !strings.Contains(events, "somebody deleted Deployment web-blue") {
			return fmt.Errorf("no event says that web-blue was deleted:\n%s", events)
		}
		return nil
	})
	s.isAll("1")
	s.onlyBy("1")
}

// The apiserver is ill while a version is delivered: it refuses for a while, or
// it hangs. The delivery ends all the same, and users notice nothing.
func TestTheApiserverIsIll(t *testing.T) {
	s := open(t, true)
	tag := 1
	for _, ill := range []struct {
		name  string
		fault func(*http.Request) int
	}{
		{"409", harness.Writes(4, http.StatusConflict)},
		{"429", harness.Writes(6, http.StatusTooManyRequests)},
		{"500", harness.Writes(6, http.StatusInternalServerError)},
	} {
		t.Run(ill.name, func(t *testing.T) {
			tag++
			s.proxy.Fail(ill.fault)
			s.release(strconv.Itoa(tag))
			s.Ends("shop", "web", strconv.Itoa(tag), "finished", 2*time.Minute)
			if s.proxy.Hits() == 0 {
				t.Error("no request met the fault")
			}
		})
	}
	t.Run("hangs", func(t *testing.T) {
		tag++
		ctx, cancel := context.WithTimeout(t.Context(), 8*time.Second)
		defer cancel()
		s.proxy.Fail(func(*http.Request) int { return harness.Hang })
		s.release(strconv.Itoa(tag))
		<-ctx.Done() // as long as it hangs
		s.proxy.Heal()
		s.Ends("shop", "web", strconv.Itoa(tag), "finished", 2*time.Minute)
	})
	s.isAll(strconv.Itoa(tag))
	s.served("1", "2", "3", "4", "5")
}
