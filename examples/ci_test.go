package examples_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"github.com/fairwaycd/fairway/internal/testenv"
)

// run runs a program in dir and returns its output, with whether it
// succeeded.
func run(t *testing.T, dir string, env []string, name string, args ...string) (string, bool) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), name, args...)
	cmd.Dir = dir
	cmd.Env = append(cleanEnv(), env...)
	out, err := cmd.CombinedOutput()
	return string(out), err == nil
}

func must(t *testing.T, dir string, env []string, name string, args ...string) string {
	t.Helper()
	out, ok := run(t, dir, env, name, args...)
	if !ok {
		t.Fatalf("%s %s: %s", name, strings.Join(args, " "), out)
	}
	return out
}

// cleanEnv is what a build machine has: no variable of the Makefiles, no
// settings of the person who runs the tests, and nothing to download from.
func cleanEnv() []string {
	env := []string{"GOPROXY=off", "GOFLAGS=", "GOTOOLCHAIN=local", "GIT_CONFIG_GLOBAL=/dev/null", "GIT_CONFIG_NOSYSTEM=1"}
	for _, name := range []string{"PATH", "HOME", "GOCACHE", "GOROOT", "GOPATH", "TMPDIR"} {
		if v, ok := os.LookupEnv(name); ok {
			env = append(env, name+"="+v)
		}
	}
	return env
}

// clone makes a git repository of a sample's directory and returns a clean
// clone of it: what is not committed, or ignored, is not there.
func clone(t *testing.T, sample string) string {
	t.Helper()
	testenv.Need(t, "git")
	testenv.Need(t, "make")
	root := t.TempDir()
	origin, work := filepath.Join(root, "origin"), filepath.Join(root, sample)
	if err := os.CopyFS(origin, os.DirFS(sample)); err != nil {
		t.Fatal(err)
	}
	must(t, origin, nil, "git", "init", "--quiet")
	must(t, origin, nil, "git", "add", ".")
	must(t, origin, nil, "git", "-c", "user.name=t", "-c", "user.email=t@example.com", "commit", "--quiet", "-m", "sample")
	must(t, root, nil, "git", "clone", "--quiet", origin, work)
	return work
}

// recorder writes a script that stands for the command line: it notes its
// arguments, one call a line, and fails unless the files that it is given are
// there. With refuse, a call that contains it fails.
func recorder(t *testing.T, refuse string) (script string, calls func() []string) {
	t.Helper()
	dir := t.TempDir()
	script, record := filepath.Join(dir, "fairway"), filepath.Join(dir, "calls")
	text := `#!/bin/sh
echo "$*" >> "` + record + `"
case "$*" in *"` + refuse + `"*) [ -z "` + refuse + `" ] || exit 1 ;; esac
case "$1 $2" in
"add resource") [ -f perfspec/perfspec.json ] && [ -f tests/functional.yaml ] && [ -f tests/performance.yaml ] ;;
"image push") [ -x "$4" ] ;;
*) exit 1 ;;
esac
`
	if err := os.WriteFile(script, []byte(text), 0o700); err != nil {
		t.Fatal(err)
	}
	return script, func() []string {
		data, err := os.ReadFile(record)
		if err != nil {
			return nil
		}
		return strings.Split(strings.TrimSpace(string(data)), "\n")
	}
}

// job is what a CI file makes a build machine do.
type job struct {
	lines []string          // of shell
	env   map[string]string // that the file sets
}

var jenkinsLine = regexp.MustCompile(`(?m)^\s*(?:sh|bat|powershell)\b[\s(]*['"](.*)['"]`)

// jenkinsJob reads a Jenkinsfile. Jenkins sets BUILD_NUMBER by itself.
func jenkinsJob(t *testing.T, data string) job {
	j := job{env: map[string]string{"BUILD_NUMBER": "7"}}
	for _, m := range jenkinsLine.FindAllStringSubmatch(data, -1) {
		j.lines = append(j.lines, m[1])
	}
	return j
}

func githubJob(t *testing.T, data string) job {
	var file struct {
		Jobs map[string]struct {
			Steps []struct {
				Run string
				Env map[string]string
			}
		}
	}
	if err := yaml.Unmarshal([]byte(data), &file); err != nil {
		t.Fatal(err)
	}
	j := job{env: map[string]string{}}
	for _, jobs := range file.Jobs {
		for _, step := range jobs.Steps {
			if step.Run != "" {
				j.lines = append(j.lines, step.Run)
			}
			for k, v := range step.Env {
				j.env[k] = strings.ReplaceAll(v, "${{ github.run_number }}", "7")
			}
		}
	}
	return j
}

func gitlabJob(t *testing.T, data string) job {
	var file map[string]struct {
		Variables map[string]string
		Script    []string
	}
	if err := yaml.Unmarshal([]byte(data), &file); err != nil {
		t.Fatal(err)
	}
	j := job{env: map[string]string{}}
	for _, jobs := range file {
		j.lines = append(j.lines, jobs.Script...)
		for k, v := range jobs.Variables {
			j.env[k] = os.Expand(v, func(name string) string { return map[string]string{"CI_PIPELINE_IID": "7"}[name] })
		}
	}
	return j
}

const (
	addCall  = "add resource carts --project sockshop --all-stages perfspec tests"
	pushCall = "image push --binary bin/carts --port 8080 127.0.0.1:8080/sockshop/carts:0.6.0-7"
)

func TestCIFilesCallMakeReleaseAndNothingElse(t *testing.T) {
	t.Parallel()
	for file, read := range map[string]func(*testing.T, string) job{
		"Jenkinsfile": jenkinsJob, ".github/workflows/release.yml": githubJob, ".gitlab-ci.yml": gitlabJob,
	} {
		t.Run(file, func(t *testing.T) {
			t.Parallel()
			dir := clone(t, "carts")
			data, err := os.ReadFile(filepath.Join(dir, file))
			if err != nil {
				t.Fatal(err)
			}
			j := read(t, string(data))
			if !reflect.DeepEqual(j.lines, []string{"make release"}) {
				t.Fatalf("shell lines %q, want make release alone", j.lines)
			}
			script, calls := recorder(t, "")
			env := []string{"FAIRWAY=" + script}
			for k, v := range j.env {
				env = append(env, k+"="+v)
			}
			out := must(t, dir, env, "sh", "-e", "-c", strings.Join(j.lines, "\n"))
			if got := calls(); !reflect.DeepEqual(got, []string{addCall, pushCall}) {
				t.Errorf("calls %q\nwant %q\n%s", got, []string{addCall, pushCall}, out)
			}
			if left := must(t, dir, nil, "git", "status", "--porcelain"); left != "" {
				t.Errorf("the release left in the clone:\n%s", left)
			}
		})
	}
}

func TestAReleaseNeedsABuildNumber(t *testing.T) {
	t.Parallel()
	dir := clone(t, "carts")
	script, calls := recorder(t, "")
	out, ok := run(t, dir, []string{"FAIRWAY=" + script}, "make", "release")
	if ok || !strings.Contains(out, "BUILD_NUMBER is not set") || len(calls()) != 0 {
		t.Errorf("succeeded: %v, calls %q\n%s", ok, calls(), out)
	}
	if _, err := os.Stat(filepath.Join(dir, "bin")); err == nil {
		t.Error("built before the question was asked")
	}
}

// A delivery must not start with yesterday's tests.
func TestNothingIsPushedWhenTheFilesWereRefused(t *testing.T) {
	t.Parallel()
	dir := clone(t, "carts")
	script, calls := recorder(t, "add resource")
	if out, ok := run(t, dir, []string{"FAIRWAY=" + script, "BUILD_NUMBER=7"}, "make", "release"); ok || !reflect.DeepEqual(calls(), []string{addCall}) {
		t.Errorf("succeeded: %v, calls %q\n%s", ok, calls(), out)
	}
}

func TestReleaseVariables(t *testing.T) {
	t.Parallel()
	dir := clone(t, "carts")
	script, calls := recorder(t, "")
	env := []string{"FAIRWAY=" + script, "BUILD_NUMBER=1", "REGISTRY=registry.example.com", "PROJECT=hats"}
	must(t, dir, env, "make", "release")
	want := []string{
		"add resource carts --project hats --all-stages perfspec tests",
		"image push --binary bin/carts --port 8080 registry.example.com/hats/carts:0.6.0-1",
	}
	if !reflect.DeepEqual(calls(), want) {
		t.Errorf("calls %q", calls())
	}
}

func TestTheDatabaseIsReleasedAsMongo(t *testing.T) {
	t.Parallel()
	dir := clone(t, "carts-db")
	script, calls := recorder(t, "")
	must(t, dir, []string{"FAIRWAY=" + script}, "make", "release")
	if want := []string{"image push --binary bin/carts-db --port 27017 127.0.0.1:8080/mongo:latest"}; !reflect.DeepEqual(calls(), want) {
		t.Errorf("calls %q", calls())
	}
}

// The samples are modules of their own, which go test ./... passes over; here
// their tests run all the same, as a clone would run them.
func TestTheSamplesOwnTests(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("builds two modules")
	}
	for _, sample := range []string{"carts", "carts-db"} {
		t.Run(sample, func(t *testing.T) {
			t.Parallel()
			must(t, clone(t, sample), nil, "make", "test")
		})
	}
}
