package stories

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/fairwaycd/fairway/e2e/cluster"
	"github.com/fairwaycd/fairway/e2e/harness"
)

func TestMain(m *testing.M) { harness.Main(m) }

// secret is what the registry proves itself with when it tells of a push.
const secret = "told by the registry alone"

// listen has a project take its images from the cluster's registry, and the
// registry tell Fairway of pushes: nothing looks at tags.
func listen(t *testing.T, f *harness.Fairway, project string) {
	t.Helper()
	if _, err := f.TryWith(secret+"\n", "registry", "add", "http://"+cluster.Registry, "--project", project, "--secret-stdin", "--poll", "0s"); err != nil {
		t.Fatal(err)
	}
	hooks, err := f.Try("registry", "list", "--project", project, "-o", "json")
	if err != nil {
		t.Fatal(err)
	}
	var all []struct {
		Hooks string `json:"hooks"`
	}
	if err := json.Unmarshal([]byte(hooks), &all); err != nil || len(all) != 1 || all[0].Hooks == "" {
		t.Fatalf("registries of %s: %v: %s", project, err, hooks)
	}
	if err := f.Cluster.Notify(t.Context(), cluster.Endpoint{URL: all[0].Hooks + "/distribution", Secret: secret}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
		defer cancel()
		if err := f.Cluster.Notify(ctx); err != nil {
			t.Error(err)
		}
	})
}

// push packs a program and pushes it to the cluster's registry, which tells
// nobody of what it has already: each push of a test is of another image.
func push(t *testing.T, c *cluster.Cluster, i cluster.Image) {
	t.Helper()
	i.Labels = map[string]string{"dev.fairway.test": fmt.Sprint(t.Name(), " ", time.Now().UnixNano())}
	if _, err := c.Push(t.Context(), i); err != nil {
		t.Fatal(err)
	}
}

// sample is an edited copy of one of the repository's sample services.
type sample struct{ dir string }

func newSample(t *testing.T, name string) sample {
	t.Helper()
	s := sample{filepath.Join(t.TempDir(), name)}
	if err := os.CopyFS(s.dir, os.DirFS(filepath.Join(harness.Root(t), "examples", name))); err != nil {
		t.Fatal(err)
	}
	return s
}

func (s sample) edit(t *testing.T, file, from, to string) {
	t.Helper()
	path := filepath.Join(s.dir, file)
	b, err := os.ReadFile(path)
	if err != nil || !bytes.Contains(b, []byte(from)) {
		t.Fatalf("%s does not hold %q: %v", file, from, err)
	}
	if err := os.WriteFile(path, bytes.ReplaceAll(b, []byte(from), []byte(to)), 0o644); err != nil {
		t.Fatal(err)
	}
}

// resources is a directory with the sample's tests and objectives alone.
func (s sample) resources(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for _, name := range []string{"perfspec", "tests"} {
		if err := os.CopyFS(filepath.Join(dir, name), os.DirFS(filepath.Join(s.dir, name))); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// program builds the sample and returns the path.
func (s sample) program(t *testing.T) string {
	t.Helper()
	name := filepath.Base(s.dir)
	cmd := exec.CommandContext(t.Context(), "go", "build", "-buildvcs=false", "-ldflags", "-s -w", "-o", filepath.Join("bin", name), ".")
	cmd.Dir, cmd.Env = s.dir, append(os.Environ(), "CGO_ENABLED=0", "GOWORK=off", "GOFLAGS=")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("build %s: %v\n%s", name, err, out)
	}
	return filepath.Join(s.dir, "bin", name)
}

// weights are those that a service's VirtualService holds for its ingress host.
func weights(t *testing.T, c *cluster.Cluster, namespace, service string) string {
	t.Helper()
	var all struct {
		Items []struct {
			Spec struct {
				HTTP []struct {
					Route []struct {
						Destination struct{ Subset string }
						Weight      int
					}
				}
			}
		}
	}
	harness.Get(t, c, &all, "-n", namespace, "virtualservice", "-l", "fairway.dev/traffic=weights,fairway.dev/service="+service)
	if len(all.Items) != 1 || len(all.Items[0].Spec.HTTP) == 0 {
		t.Fatalf("namespace %s has %d VirtualServices with weights of %s", namespace, len(all.Items), service)
	}
	got := map[string]int{}
	for _, r := range all.Items[0].Spec.HTTP[0].Route {
		got[r.Destination.Subset] = r.Weight
	}
	return fmt.Sprintf("%d/%d", got["blue"], got["green"])
}

// deployment is what kubectl shows of one.
type deployment struct {
	Metadata struct{ Name string }
	Spec     struct {
		Replicas int
		Template struct {
			Metadata struct{ Labels map[string]string }
			Spec     struct{ Containers []struct{ Image string } }
		}
	}
	Status struct{ ReadyReplicas, AvailableReplicas int }
}

func deployments(t *testing.T, c *cluster.Cluster, namespace string) map[string]deployment {
	t.Helper()
	var all struct{ Items []deployment }
	harness.Get(t, c, &all, "-n", namespace, "deployments")
	by := map[string]deployment{}
	for _, d := range all.Items {
		by[d.Metadata.Name] = d
	}
	return by
}

// splits asks n times and wants the share of answers that hold text to be as
// likely as four standard deviations allow: one run in 16 000 fails by chance.
func splits(t *testing.T, gateway, host, path, text string, share float64, n int) {
	t.Helper()
	counts := harness.Ask(t, gateway, host, path, n)
	if bad := counts.Failures(); len(bad) > 0 {
		t.Errorf("of %d requests some failed:\n%s", n, counts)
	}
	got := 0
	for answer, times := range counts.Answers() {
		if strings.Contains(answer, text) {
			got += times
		}
	}
	want, most := share*float64(n), 4*math.Sqrt(float64(n)*share*(1-share))
	t.Logf("%q answered %d of %d, expected %.0f ± %.0f", text, got, n, want, most)
	if math.Abs(float64(got)-want) > most {
		t.Errorf("%q answered %d of %d requests, and not %.0f ± %.0f", text, got, n, want, most)
	}
}
