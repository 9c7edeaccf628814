// Command testcount reads go test -json, passes failures on, and counts tests
// by kind.
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
)

type event struct {
	Action  string
	Package string
	Test    string
	Output  string
}

// kind says what sort of test it is, by its package and name.
func kind(pkg, test string) string {
	name := pkg[strings.LastIndex(pkg, "/")+1:]
	switch {
	case strings.HasPrefix(test, "Fuzz"):
		return "fuzz seeds"
	case name == "cli" || name == "demo" || name == "fairway" && strings.Contains(pkg, "cmd/") || strings.HasPrefix(name, "examples"):
		return "stories"
	case slices.Contains([]string{"sequence", "quality", "shipyard", "chart", "cloudevents"}, name):
		return "engines"
	case slices.Contains([]string{"controller", "project", "app"}, name):
		return "whole parts"
	}
	return "adapters and edges"
}

func main() { os.Exit(run(os.Stdin, os.Stdout)) }

func run(in io.Reader, out io.Writer) int {
	passed, failed, skipped := 0, 0, 0
	by := map[string]int{}
	output := map[string][]string{}
	broken := false
	sc := bufio.NewScanner(in)
	sc.Buffer(nil, 16<<20)
	for sc.Scan() {
		var e event
		if json.Unmarshal(sc.Bytes(), &e) != nil {
			fmt.Fprintln(out, sc.Text())
			continue
		}
		key := e.Package + " " + e.Test
		switch e.Action {
		case "output", "build-output":
			output[key] = append(output[key], e.Output)
		case "pass":
			if e.Test != "" {
				passed++
				by[kind(e.Package, e.Test)]++
			} else {
				fmt.Fprint(out, strings.Join(last(output[key], 1), ""))
			}
			delete(output, key)
		case "skip":
			if e.Test != "" {
				skipped++
				fmt.Fprintf(out, "skipped %s: %s", key, strings.Join(last(output[key], 2), ""))
			}
			delete(output, key)
		case "fail", "build-fail":
			broken = true
			if e.Test != "" {
				failed++
			}
			fmt.Fprint(out, strings.Join(output[key], ""))
			delete(output, key)
		}
	}
	kinds := make([]string, 0, len(by))
	for k := range by {
		kinds = append(kinds, k)
	}
	slices.Sort(kinds)
	for _, k := range kinds {
		fmt.Fprintf(out, "%-20s %5d\n", k, by[k])
	}
	fmt.Fprintf(out, "%d passed, %d failed, %d skipped\n", passed, failed, skipped)
	if broken || passed == 0 {
		return 1
	}
	return 0
}

func last(lines []string, n int) []string { return lines[max(len(lines)-n, 0):] }
