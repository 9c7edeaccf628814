package main

import (
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

// wareFile is the program that the stories deliver; see testdata/ware.
var wareFile string

// TestMain lets this binary be the programs of the stories. fairway-up is
// fairway as it is tested; fairway may be another build of it.
func TestMain(m *testing.M) {
	testscript.Main(suite{m}, map[string]func(){"fairway": main, "fairway-up": main, "oci-push": otherClient})
}

// suite builds what the tests need once.
type suite struct{ *testing.M }

func (s suite) Run() int {
	dir, err := os.MkdirTemp("", "fairway-stories-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	if err := build(dir); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	// Stories mostly wait for a test's load or a scrape.
	if err := flag.Set("test.parallel", strconv.Itoa(2*runtime.GOMAXPROCS(0))); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return s.M.Run()
}

// build makes ware, and in a race test also a command line without race
// detection: the stories start it some hundred times.
func build(dir string) error {
	wareFile = filepath.Join(dir, "ware")
	targets := map[string]string{wareFile: "./testdata/ware"}
	if raced {
		targets[filepath.Join(dir, "fairway")] = "."
		os.Setenv("PATH", dir+string(filepath.ListSeparator)+os.Getenv("PATH"))
	}
	for file, source := range targets {
		c := exec.Command("go", "build", "-ldflags", "-s -w", "-o", file, source)
		c.Env = append(os.Environ(), "CGO_ENABLED=0")
		if out, err := c.CombinedOutput(); err != nil {
			return fmt.Errorf("build %s: %w\n%s", source, err, out)
		}
	}
	return nil
}
