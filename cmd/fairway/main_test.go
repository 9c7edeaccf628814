package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

// wareFile is the program that the stories deliver; see testdata/ware.
var wareFile string

func TestMain(m *testing.M) {
	testscript.Main(suite{m}, map[string]func(){"fairway": main, "oci-push": otherClient})
}

// suite builds what the tests need once.
type suite struct{ *testing.M }

func (s suite) Run() int {
	dir, err := os.MkdirTemp("", "fairway-ware-")
	if err == nil {
		defer os.RemoveAll(dir)
		wareFile = filepath.Join(dir, "ware")
		build := exec.Command("go", "build", "-ldflags", "-s -w", "-o", wareFile, "./testdata/ware")
		build.Env = append(os.Environ(), "CGO_ENABLED=0")
		var out []byte
		if out, err = build.CombinedOutput(); err != nil {
			err = fmt.Errorf("build ware: %w\n%s", err, out)
		}
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return s.M.Run()
}
