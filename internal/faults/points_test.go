package main

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

var named = regexp.MustCompile(`(?:Failpoint|\.fail)\("([a-z.-]+)"\)`)

// A failpoint that the harness does not know is one that it does not try.
func TestPointsAreThoseOfTheSource(t *testing.T) {
	t.Parallel()
	found := map[string]bool{}
	err := filepath.WalkDir("../..", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return err
		}
		b, err := os.ReadFile(path)
		for _, m := range named.FindAllSubmatch(b, -1) {
			found[string(m[1])] = true
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range slices.Concat(points, shortPoints, elsewhere, inCluster) {
		if !found[p] {
			t.Errorf("%s is no failpoint", p)
		}
	}
	for p := range found {
		if !slices.Contains(points, p) && !slices.Contains(elsewhere, p) && !slices.Contains(inCluster, p) {
			t.Errorf("failpoint %s is not tried by the harness", p)
		}
	}
}
