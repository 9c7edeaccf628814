// Package testenv gives tests real collaborators.
package testenv

import (
	"os"
	"os/exec"
	"testing"
)

// packages maps a program to the Debian package that brings it.
var packages = map[string]string{"nginx": "nginx-light", "prometheus": "prometheus", "chromium": "chromium", "git": "git", "curl": "curl", "sshd": "openssh-server", "ssh-keygen": "openssh-client"}

// Need returns the path of an installed program. Without it the test is
// skipped with what to install, or fails when FAIRWAY_REQUIRE_ALL is 1, so
// that a continuous-integration run never skips for want of a real part.
func Need(t testing.TB, program string) string {
	t.Helper()
	if path := Program(program); path != "" {
		return path
	}
	pkg := packages[program]
	if pkg == "" {
		pkg = program
	}
	if os.Getenv("FAIRWAY_REQUIRE_ALL") == "1" {
		t.Fatalf("%s is not installed; run: apt-get install %s", program, pkg)
	}
	t.Skipf("%s is not installed; run: apt-get install %s", program, pkg)
	return ""
}

// Program returns the path of a program, or nothing where it is not installed.
func Program(name string) string {
	for _, n := range []string{name, "/usr/sbin/" + name} {
		if path, err := exec.LookPath(n); err == nil {
			return path
		}
	}
	return ""
}
