package main

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/rogpeppe/go-internal/testscript"
)

// splitOf is how many requests measure a split, and splitOff how far a share
// may be from what it should be, in percent: four standard deviations of an
// even split.
const (
	splitOf  = 1000
	splitOff = 6.4
)

// cmdSplit measures how the requests to a service are split between its
// versions: split HOST VERSION=PERCENT.... A version that is not named gets
// none.
func cmdSplit(ts *testscript.TestScript, s *server, args []string) error {
	want := map[string]float64{}
	for _, a := range args[1:] {
		version, share, _ := strings.Cut(a, "=")
		n, err := strconv.Atoi(share)
		if err != nil {
			return fmt.Errorf("usage: split HOST VERSION=PERCENT...: %w", err)
		}
		want[version] = float64(n)
	}
	got := map[string]float64{}
	for range splitOf {
		status, body, err := s.ask(args[0], "/version")
		if err != nil {
			return err
		}
		version, ok := strings.CutPrefix(strings.TrimSpace(body), "Version = ")
		if status != 200 || !ok {
			return fmt.Errorf("%s answered %d %s", args[0], status, body)
		}
		got[version] += 100.0 / splitOf
	}
	fmt.Fprintln(ts.Stdout(), got)
	for version, share := range got {
		off := splitOff
		if want[version] == 100 || want[version] == 0 {
			off = 0.001
		}
		if d := share - want[version]; d > off || -d > off {
			return fmt.Errorf("%s: version %s got %.1f %%, want %v", args[0], version, share, want[version])
		}
	}
	for version := range want {
		if got[version] == 0 && want[version] > 0 {
			return fmt.Errorf("%s: version %s got no request of %d", args[0], version, splitOf)
		}
	}
	return nil
}
