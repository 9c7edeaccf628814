package harness

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/fairwaycd/fairway/e2e/cluster"
)

// Need returns the machine's cluster. Without one the test is skipped, or
// fails where tests are told to need it.
func Need(t testing.TB) *cluster.Cluster {
	t.Helper()
	c, err := cluster.Open(io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	if _, up := c.Pid("kube-apiserver"); up {
		return c
	}
	const remedy = "the cluster is down; run: go run ./cmd/cluster up"
	if os.Getenv("FAIRWAY_E2E") != "" {
		t.Fatal(remedy)
	}
	t.Skip(remedy)
	return nil
}

// built is the program under test and the repository that it is of.
type built struct{ root, program string }

// build makes the program once for all tests of a package. FAIRWAY_E2E_PROGRAM
// names one that is there.
var build = sync.OnceValues(func() (built, error) {
	out, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "github.com/fairwaycd/fairway/e2e").Output()
	if err != nil {
		return built{}, fmt.Errorf("find the repository: %w", err)
	}
	b := built{root: filepath.Dir(strings.TrimSpace(string(out))), program: os.Getenv("FAIRWAY_E2E_PROGRAM")}
	if b.program != "" {
		return b, nil
	}
	dir, err := os.MkdirTemp("", "fairway-e2e-")
	if err != nil {
		return b, err
	}
	b.program = filepath.Join(dir, "fairway")
	cmd := exec.Command("go", "build", "-buildvcs=false", "-o", b.program, "./cmd/fairway")
	cmd.Dir = b.root
	if out, err := cmd.CombinedOutput(); err != nil {
		return b, fmt.Errorf("build fairway: %w\n%s", err, out)
	}
	made = dir
	return b, nil
})

// made is the directory of the program that build made.
var made string

// Main runs a package's tests and removes the program built for them.
func Main(m *testing.M) {
	code := m.Run()
	if made != "" {
		_ = os.RemoveAll(made)
	}
	os.Exit(code)
}

// Root is the root of the repository.
func Root(t testing.TB) string {
	t.Helper()
	b, err := build()
	if err != nil {
		t.Fatal(err)
	}
	return b.root
}

// Until asks until the answer is no error; after the limit the test fails with
// the last one.
func Until(t testing.TB, limit time.Duration, ask func() error) {
	t.Helper()
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	over := time.After(limit)
	for {
		err := ask()
		if err == nil {
			return
		}
		select {
		case <-over:
			t.Fatalf("not within %s: %v", limit, err)
		case <-t.Context().Done():
			t.Fatalf("the test ends: %v", err)
		case <-tick.C:
		}
	}
}

// Kubectl runs kubectl, whose failure ends the test.
func Kubectl(t testing.TB, c *cluster.Cluster, args ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), time.Minute)
	defer cancel()
	out, err := c.Kubectl(ctx, args...)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// Get reads one object, or a list of them, into out.
func Get(t testing.TB, c *cluster.Cluster, out any, args ...string) {
	t.Helper()
	text := Kubectl(t, c, append(append([]string{"get"}, args...), "-o", "json")...)
	if err := json.Unmarshal([]byte(text), out); err != nil {
		t.Fatalf("kubectl get %s: %v", strings.Join(args, " "), err)
	}
}

// Gone removes namespaces of former runs, and removes them when the test ends.
func Gone(t testing.TB, c *cluster.Cluster, namespaces ...string) {
	t.Helper()
	remove := func(wait string) {
		args := append([]string{"delete", "namespace", "--ignore-not-found", "--timeout=60s", "--wait=" + wait}, namespaces...)
		Kubectl(t, c, args...)
	}
	remove("true")
	t.Cleanup(func() { remove("false") })
}
