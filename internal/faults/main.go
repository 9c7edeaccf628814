// Command faults breaks Fairway while it delivers, and tells whether anything
// was lost. It starts the real program on a data directory of its own, pushes
// good and bad versions of three services, and lets one fault after another
// fall into that: kills, power cuts, torn writes, stopped processes, moved
// clocks. What is there in the end must be what a run without faults leaves:
// the same events in the same order, commits, digests, weights and programs;
// every event that was seen or acknowledged; and no answer of a version that
// had not been proved. See docs/reliability.md.
//
// Usage, in the repository:
//
//	go run ./internal/faults [--short] [--seed N] [--only FAULT] [--markdown FILE]
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"
)

type options struct {
	short    bool
	seed     uint64
	only     string
	markdown string
	keep     bool
	verbose  bool
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	var o options
	flag.BoolVar(&o.short, "short", false, "the form for continuous integration: fewer versions, each fault a few times")
	flag.Uint64Var(&o.seed, "seed", uint64(time.Now().UnixNano()), "of the random moments; printed, to try the same again")
	flag.StringVar(&o.only, "only", "", "only the faults whose names contain this")
	flag.StringVar(&o.markdown, "markdown", "", "also write the table into this `file`, between its marks")
	flag.BoolVar(&o.keep, "keep", false, "keep the data directories")
	flag.BoolVar(&o.verbose, "v", false, "print what the run without faults comes to")
	flag.Parse()
	if err := run(ctx, o, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "faults:", err)
		os.Exit(1)
	}
}

// harness is what all faults share.
type harness struct {
	o             options
	out           io.Writer
	dir           string // everything lies in it
	program, ware string
	rnd           *rand.Rand
	services      []service
	images        map[string]func(ctx context.Context, ref, token string) error // by PROJECT/SERVICE:TAG
	reference     outcome                                                       // of a run without faults
	typical       steps                                                         // how long steps took in it
	sets          int
}

// errLost says that the table has entries under "lost".
var errLost = errors.New("something was lost or differs; see the table")

func run(ctx context.Context, o options, out io.Writer) (err error) {
	h := &harness{o: o, out: out, rnd: rand.New(rand.NewPCG(o.seed, 0)), services: deliveries(o.short), images: map[string]func(context.Context, string, string) error{}}
	if h.dir, err = os.MkdirTemp("", "fairway-faults-"); err != nil {
		return err
	}
	if !o.keep {
		defer func() { err = errors.Join(err, os.RemoveAll(h.dir)) }()
	}
	fmt.Fprintf(out, "seed %d, in %s\n", o.seed, h.dir)
	if err := h.build(ctx); err != nil {
		return err
	}
	began := time.Now()
	if err := h.undisturbed(ctx); err != nil {
		return fmt.Errorf("the run without faults: %w", err)
	}
	if o.verbose {
		for _, k := range slices.Sorted(maps.Keys(h.reference)) {
			fmt.Fprintf(out, "%s\n    %s\n", k, strings.ReplaceAll(strings.TrimSpace(h.reference[k]), "\n", "\n    "))
		}
		fmt.Fprintln(out, h.typical)
	}
	fmt.Fprintf(out, "without faults: %s\n", time.Since(began).Round(100*time.Millisecond))
	table, err := h.tryAll(ctx)
	if err != nil {
		return err
	}
	return h.report(table)
}

// tryAll tries the faults that are asked for: one after another, but in the
// short form, which mostly waits, a few side by side.
func (h *harness) tryAll(ctx context.Context) (table []row, err error) {
	chosen := slices.DeleteFunc(slices.Clone(faults), func(f fault) bool {
		return !strings.Contains(f.name, h.o.only) || h.o.short && f.notShort
	})
	table = make([]row, len(chosen))
	slots := make(chan struct{}, 1)
	if h.o.short {
		slots = make(chan struct{}, sideBySide)
	}
	var wg sync.WaitGroup
	for i, f := range chosen {
		slots <- struct{}{}
		own := *h // with moments and directories that no other fault shares
		own.rnd = rand.New(rand.NewPCG(h.o.seed, uint64(i+1)))
		own.dir = filepath.Join(h.dir, fmt.Sprintf("fault-%d", i+1))
		wg.Go(func() {
			defer func() { <-slots }()
			began := time.Now()
			r := &table[i]
			r.fault = f.name
			if err := f.run(ctx, &own, r); err != nil {
				r.lost = append(r.lost, "it could not be tried to its end: "+err.Error())
			}
			r.print(h.out, time.Since(began))
		})
	}
	wg.Wait()
	return table, ctx.Err()
}

// sideBySide is how many faults the short form tries at the same time.
const sideBySide = 4

// build makes the program and what it delivers, as users get them.
func (h *harness) build(ctx context.Context) error {
	h.program, h.ware = filepath.Join(h.dir, "fairway"), filepath.Join(h.dir, "ware")
	for file, source := range map[string]string{h.program: "./cmd/fairway", h.ware: "./cmd/fairway/testdata/ware"} {
		c := exec.CommandContext(ctx, "go", "build", "-ldflags", "-s -w", "-o", file, source)
		c.Env = append(os.Environ(), "CGO_ENABLED=0")
		if out, err := c.CombinedOutput(); err != nil {
			return fmt.Errorf("build %s (run this in the repository): %w\n%s", source, err, out)
		}
	}
	for _, v := range h.services {
		for _, ver := range v.versions {
			push, err := pusher(h.ware, ver)
			if err != nil {
				return err
			}
			h.images[v.key(ver.tag)] = push
		}
	}
	return nil
}

// undisturbed makes the run that all others are compared with.
func (h *harness) undisturbed(ctx context.Context) (err error) {
	s, err := h.newSet(ctx, filepath.Join(h.dir, "undisturbed"))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.end(ctx)) }()
	if err := s.makeProjects(ctx); err != nil {
		return err
	}
	if err := s.play(ctx); err != nil {
		return err
	}
	var f facts
	if h.reference, f, err = s.quiet(ctx); err != nil {
		return err
	}
	h.typical = durations(f)
	for _, d := range f.deliveries {
		for _, v := range h.services {
			for _, ver := range v.versions {
				if v.project == d.Project && v.name == d.Service && ver.tag == d.Artifact.Tag && ver.end != d.Status {
					return fmt.Errorf("%s ended as %s, not %s: %s", v.key(ver.tag), d.Status, ver.end, d.Reason)
				}
			}
		}
	}
	if problems := s.check(f); len(problems) > 0 {
		return errors.New(strings.Join(problems, "\n"))
	}
	return nil
}
