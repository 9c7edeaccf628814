package demo

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
)

var (
	assignment = regexp.MustCompile(`^([A-Z_]+)\s*(\?|:)?=\s*(.*)$`)
	reference  = regexp.MustCompile(`\$\(([A-Z_]+)\)`)
)

// recipe returns the commands of the Makefile's build and release targets,
// for machines without make. It understands what the samples' Makefiles use
// and no more.
func recipe(dir string, env []string) ([][]string, error) {
	b, err := os.ReadFile(filepath.Join(dir, "Makefile"))
	if err != nil {
		return nil, fmt.Errorf("read the Makefile: %w", err)
	}
	vars := map[string]string{}
	for _, e := range env {
		k, v, _ := strings.Cut(e, "=")
		vars[k] = v
	}
	version, err := os.ReadFile(filepath.Join(dir, "version"))
	if err == nil {
		vars["VERSION"] = strings.TrimSpace(string(version))
	}
	byTarget := map[string][]string{}
	target := ""
	for _, line := range strings.Split(string(b), "\n") {
		switch m := assignment.FindStringSubmatch(line); {
		case m != nil:
			if _, set := vars[m[1]]; !set {
				vars[m[1]] = m[3]
			}
		case strings.HasPrefix(line, "\t"):
			byTarget[target] = append(byTarget[target], strings.TrimSpace(line))
		case strings.Contains(line, ":"):
			target, _, _ = strings.Cut(line, ":")
		}
	}
	var steps [][]string
	for _, line := range append(byTarget["build"], byTarget["release"]...) {
		steps = append(steps, []string{"sh", "-c", expand(line, vars)})
	}
	return steps, nil
}

func expand(s string, vars map[string]string) string {
	for range 5 {
		s = reference.ReplaceAllStringFunc(s, func(m string) string { return vars[m[2:len(m)-1]] })
	}
	return s
}
