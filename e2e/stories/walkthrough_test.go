package stories

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/fairwaycd/fairway/e2e/cluster"
	"github.com/fairwaycd/fairway/e2e/harness"
)

// Three versions of carts, each started by its push alone. The second is too
// slow for the gate. Somebody is at the gateway all the time.
func TestWalkthrough(t *testing.T) {
	c := harness.Need(t)
	harness.Gone(t, c, "dev", "staging", "production")
	f := harness.Start(t, c)
	f.Run("configure", "monitoring", "prometheus", "--install", "--scrape-interval", "1s")
	root := harness.Root(t)
	onboarding := filepath.Join(root, "examples", "onboarding-carts")
	f.Run("create", "project", "sockshop", filepath.Join(onboarding, "shipyard.yaml"))
	listen(t, f, "sockshop")
	onboardDatabase(t, c, f, onboarding)

	carts := newSample(t, "carts")
	f.Run("onboard", "service", "carts", "--project", "sockshop", "--values", filepath.Join(onboarding, "values_carts.yaml"), "--resources", carts.resources(t))
	release := func(tag string) {
		t.Helper()
		push(t, c, cluster.Image{Ref: "sockshop/carts:" + tag, Program: carts.program(t), User: "65534"})
	}
	const properties = "src/main/resources/application.properties"
	release("0.6.0-1")
	f.Ends("sockshop", "carts", "0.6.0-1", "finished", 3*time.Minute)

	host := "carts.production." + harness.Domain
	users, stop := harness.Visit(t, c.IP, host, "/version", 60)
	carts.edit(t, "version", "0.6.0", "0.6.1")
	carts.edit(t, properties, "version=v1", "version=v2")
	carts.edit(t, properties, "delayInMillis=0", "delayInMillis=1000")
	release("0.6.1-2")
	slow := f.Ends("sockshop", "carts", "0.6.1-2", "rejected", 3*time.Minute)
	if slow.Stage != "staging" {
		t.Errorf("v2 ended in stage %s", slow.Stage)
	}
	carts.edit(t, "version", "0.6.1", "0.6.2")
	carts.edit(t, properties, "version=v2", "version=v3")
	carts.edit(t, properties, "delayInMillis=1000", "delayInMillis=0")
	release("0.6.2-3")
	f.Ends("sockshop", "carts", "0.6.2-3", "finished", 3*time.Minute)
	// Some answers of what was released last, before the client leaves.
	harness.Until(t, 20*time.Second, func() error {
		if users.Answers()["Version = v3"] < 60 {
			return fmt.Errorf("v3 has answered %d times", users.Answers()["Version = v3"])
		}
		return nil
	})
	stop()
	t.Logf("at the gateway:\n%s", users)
	if len(users.Failures()) > 0 {
		t.Error("requests failed")
	}
	if seen := slices.Sorted(maps.Keys(users.Answers())); !slices.Equal(seen, []string{"Version = v1", "Version = v3"}) {
		t.Errorf("in production answered %q", seen)
	}
	whatThePageShows(t, c)
	t.Run("weights", func(t *testing.T) { weightsAreTraffic(t, c, f, host) })
	t.Run("capacity", func(t *testing.T) { capacityFirst(t, c, f, host) })
}

func onboardDatabase(t *testing.T, c *cluster.Cluster, f *harness.Fairway, onboarding string) {
	t.Helper()
	program := newSample(t, "carts-db").program(t)
	push(t, c, cluster.Image{Ref: "mongo:latest", Program: program, Env: []string{"DATA_DIR=/data/db"}})
	// A name without a host is one of Fairway's own registry.
	values, err := os.ReadFile(filepath.Join(onboarding, "values_carts_db.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	elsewhere := f.Write("values.yaml", strings.Replace(string(values), "repository: mongo", "repository: "+cluster.Registry+"/mongo", 1))
	f.Run("onboard", "service", "carts-db", "--project", "sockshop", "--values", elsewhere,
		"--deployment", filepath.Join(onboarding, "deployment_carts_db.yaml"), "--service", filepath.Join(onboarding, "service_carts_db.yaml"),
		"--wait", "--timeout", "3m")
	// The other colour gets its database with the next version of it.
	push(t, c, cluster.Image{Ref: "mongo:second", Program: program, Env: []string{"DATA_DIR=/data/db"}})
	f.Ends("sockshop", "carts-db", "second", "finished", 3*time.Minute)
}

// whatThePageShows is what kubectl shows at the end of the walk-through.
func whatThePageShows(t *testing.T, c *cluster.Cluster) {
	t.Helper()
	all := deployments(t, c, "production")
	names := slices.Sorted(maps.Keys(all))
	if want := []string{"carts-blue", "carts-db-blue", "carts-db-green", "carts-green"}; !slices.Equal(names, want) {
		t.Errorf("production has the Deployments %q and not %q", names, want)
	}
	for name, d := range all {
		if d.Status.AvailableReplicas < 1 || d.Status.AvailableReplicas != d.Spec.Replicas {
			t.Errorf("%s: %d of %d are available", name, d.Status.AvailableReplicas, d.Spec.Replicas)
		}
	}
	for name, tag := range map[string]string{"carts-blue": "0.6.0-1", "carts-green": "0.6.2-3"} {
		labels, image := all[name].Spec.Template.Metadata.Labels, all[name].Spec.Template.Spec.Containers[0].Image
		if labels["app"] != "sockshop-selector-carts" || labels["deployment"] != name {
			t.Errorf("%s has the labels %v", name, labels)
		}
		if want := cluster.Registry + "/sockshop/carts:" + tag + "@sha256:"; !strings.HasPrefix(image, want) {
			t.Errorf("%s runs %s and not %s…", name, image, want)
		}
	}
	if got := weights(t, c, "production", "carts"); got != "0/100" {
		t.Errorf("the weights in production are %s and not 0/100", got)
	}
}

// weightsAreTraffic sets weights by hand: what is written is what users get.
func weightsAreTraffic(t *testing.T, c *cluster.Cluster, f *harness.Fairway, host string) {
	for _, split := range []struct {
		set, wrote string
		blue       float64
	}{{"blue=10,green=90", "10/90", .1}, {"blue=50,green=50", "50/50", .5}} {
		f.Run("route", "set", "carts", "--project", "sockshop", "--stage", "production", split.set, "--reason", "a look at the split")
		if got := weights(t, c, "production", "carts"); got != split.wrote {
			t.Errorf("asked for %s, the VirtualService says %s", split.set, got)
		}
		splits(t, c.IP, host, "/version", "Version = v1", split.blue, 10_000)
	}
}

// capacityFirst scales the colour that serves, then moves the traffic: the
// other colour has as many ready before it gets any.
func capacityFirst(t *testing.T, c *cluster.Cluster, f *harness.Fairway, host string) {
	set := []string{"route", "set", "carts", "--project", "sockshop", "--stage", "production", "--reason", "a look at the capacity"}
	f.Run(append(set, "blue=100,green=0")...)
	users, stop := harness.Visit(t, c.IP, host, "/version", 60)
	harness.Kubectl(t, c, "-n", "production", "scale", "deployment/carts-blue", "--replicas=6")
	harness.Kubectl(t, c, "-n", "production", "rollout", "status", "deployment/carts-blue", "--timeout=60s")
	moved := make(chan error, 1)
	go func() {
		_, err := f.Try(append(set, "blue=0,green=100")...)
		moved <- err
	}()
	for over := false; !over; {
		select {
		case err := <-moved:
			if err != nil {
				t.Fatal(err)
			}
			over = true
		default:
		}
		// In this order: ready pods do not become fewer meanwhile.
		w := weights(t, c, "production", "carts")
		if ready := deployments(t, c, "production")["carts-green"].Status.ReadyReplicas; w != "100/0" && ready < 6 {
			t.Fatalf("the weights are %s while green has %d ready", w, ready)
		}
	}
	if got := weights(t, c, "production", "carts"); got != "0/100" {
		t.Errorf("the weights are %s", got)
	}
	stop()
	if len(users.Failures()) > 0 {
		t.Errorf("requests failed:\n%s", users)
	}
}
