package examples_test

import (
	"bufio"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/fairwaycd/fairway"
	"github.com/fairwaycd/fairway/testrun"
)

// edit changes a file of a clone as the walk-through says.
func edit(t *testing.T, dir, file, from, to string) {
	t.Helper()
	path := filepath.Join(dir, file)
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(data), from) {
		t.Fatalf("%s does not contain %q", file, from)
	}
	if err := os.WriteFile(path, []byte(strings.Replace(string(data), from, to, 1)), 0o600); err != nil {
		t.Fatal(err)
	}
}

var servingAt = regexp.MustCompile(`address=\S*:(\d+)`)

// start starts a built sample on a free port and returns its address. At the
// test's end it gets SIGTERM and must end well.
func start(t *testing.T, binary string) string {
	t.Helper()
	cmd := exec.Command(binary)
	cmd.Env = []string{"PORT=0"}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewReader(out)
	t.Cleanup(func() {
		cmd.Process.Signal(syscall.SIGTERM)
		rest, _ := io.ReadAll(lines)
		if err := cmd.Wait(); err != nil {
			t.Errorf("%s after SIGTERM: %v\n%s", binary, err, rest)
		}
	})
	line, err := lines.ReadString('\n')
	m := servingAt.FindStringSubmatch(line)
	if m == nil {
		t.Fatalf("%s did not say where it serves: %q, %v", binary, line, err)
	}
	return "127.0.0.1:" + m[1]
}

func testFiles(t *testing.T, dir string) map[string][]byte {
	t.Helper()
	files := map[string][]byte{}
	for _, name := range []string{testrun.FunctionalFile, testrun.PerformanceFile} {
		data, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		files[name] = data
	}
	return files
}

// Both the version that is fast and the slow one of the walk-through do what
// carts must do; only a gate over latencies can tell them apart.
func TestTheWalkThroughsVersions(t *testing.T) {
	t.Parallel()
	for version, delay := range map[string]time.Duration{"v1": 0, "v2": time.Second} {
		t.Run(version, func(t *testing.T) {
			t.Parallel()
			dir := clone(t, "carts")
			if version == "v2" {
				edit(t, dir, "version", "0.6.0", "0.6.1")
				edit(t, dir, "src/main/resources/application.properties", "version=v1", "version=v2")
				edit(t, dir, "src/main/resources/application.properties", "delayInMillis=0", "delayInMillis=1000")
			}
			must(t, dir, nil, "make", "build")
			address := start(t, filepath.Join(dir, "bin/carts"))
			resp, err := http.Get("http://" + address + "/version")
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			if body, err := io.ReadAll(resp.Body); string(body) != "Version = "+version || err != nil {
				t.Errorf("%q, %v", body, err)
			}
			runner, err := testrun.New(testrun.Options{})
			if err != nil {
				t.Fatal(err)
			}
			report, err := runner.Run(t.Context(), testrun.Request{
				Strategy: fairway.FunctionalTests, Host: "carts.dev.localhost", Address: address, Files: testFiles(t, dir), RunID: "d/dev/1",
			})
			if err != nil || !report.Passed || report.Checks[1].Latency.Max < delay.Seconds() {
				t.Errorf("%+v, %v", report, err)
			}
		})
	}
}

// The load is short, and a version that takes a second to answer still gets
// the fifty requests that a mean can be trusted with.
func TestTheLoadIsShortAndLongEnough(t *testing.T) {
	t.Parallel()
	p, err := testrun.ParsePerformance(testrun.PerformanceFile, testFiles(t, "carts")[testrun.PerformanceFile])
	if err != nil {
		t.Fatal(err)
	}
	perUser := (p.Duration - p.RampUp) / (time.Second + p.Think)
	if samples := p.Users * int(perUser); p.Duration > 10*time.Second || samples < 50 {
		t.Errorf("%v, %d slow samples", p.Duration, samples)
	}
	if p.Limits.P95 <= time.Second {
		t.Errorf("p95 limit %v: the slow version is for the gate to turn away, not for the test", p.Limits.P95)
	}
}

// The objectives are the walk-through's, to the byte.
func TestObjectivesAreTheWalkThroughs(t *testing.T) {
	t.Parallel()
	for file, want := range map[string]string{
		"carts/perfspec/perfspec.json":           "da8cf1aba89f8e250ebd4888a6cda280ac3d9a92f04beea19d92efd433d8ad42",
		"carts/perfspec/perfspec_dynatrace.json": "27128d4b7ed51236fbddcc9c8153eacc60243fe6a077b06e796b72a1bcf22d2c",
	} {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if sum := sha256.Sum256(data); hex.EncodeToString(sum[:]) != want {
			t.Errorf("%s was changed", file)
		}
	}
}
