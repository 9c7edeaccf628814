package demo

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// A demo that prints what it did not check is worth nothing: each mutation
// breaks the story at one place, and the demo must say so.
func TestTheDemoNoticesWhatIsWrong(t *testing.T) {
	if os.Getenv("FAIRWAY_REQUIRE_ALL") != "1" {
		t.Skip("plays the demo three times, which takes two minutes; run it with FAIRWAY_REQUIRE_ALL=1")
	}
	self := filepath.Join(t.TempDir(), "fairway")
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-o", self, "../cmd/fairway").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for m, want := range map[Mutation]string{
		GateOff:     "v2 (0.6.1-2) was turned away in staging: finished",
		FastV2:      "at least 1.0 s",
		DropRequest: "1 requests failed",
	} {
		t.Run(string(m), func(t *testing.T) {
			var out strings.Builder
			err := Run(t.Context(), Options{Self: self, Out: &out, Mutation: m})
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("the error is %v; want one that says %q\n%s", err, want, out.String())
			}
		})
	}
}

func TestTheRecipeIsTheMakefiles(t *testing.T) {
	t.Parallel()
	steps, err := recipe("../examples/carts", []string{"FAIRWAY=/bin/fairway", "REGISTRY=127.0.0.1:9", "BUILD_NUMBER=7", "PATH=/bin"})
	if err != nil {
		t.Fatal(err)
	}
	var lines []string
	for _, s := range steps {
		lines = append(lines, s[len(s)-1])
	}
	got := strings.Join(lines, "\n")
	for _, want := range []string{
		"go build", "/bin/fairway add resource carts --project sockshop --all-stages perfspec tests",
		"/bin/fairway image push --binary bin/carts --port 8080 127.0.0.1:9/sockshop/carts:0.6.0-7",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("the recipe lacks %q:\n%s", want, got)
		}
	}
}
