package main

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"
)

// row is what is told of a fault.
type row struct {
	fault   string
	times   int             // it happened
	sets    int             // of deliveries that it happened in
	lost    []string        // what was lost, or differs from a run without it
	resumed []time.Duration // from the fault to the next decision or progress
	notes   []string
}

func (r *row) note(format string, args ...any) {
	r.notes = append(r.notes, fmt.Sprintf(format, args...))
}

func (r row) print(out io.Writer, took time.Duration) {
	var b strings.Builder
	fmt.Fprintf(&b, "%-40s %4d times, lost %d, %s, took %s\n", r.fault, r.times, len(r.lost), r.pace(), took.Round(100*time.Millisecond))
	for _, n := range r.notes {
		fmt.Fprintf(&b, "    %s\n", n)
	}
	for _, l := range r.lost {
		fmt.Fprintf(&b, "  LOST %s\n", strings.ReplaceAll(l, "\n", "\n       "))
	}
	fmt.Fprint(out, b.String()) // whole: others may print too
}

// pace says how long it took until deliveries went on.
func (r row) pace() string {
	if len(r.resumed) == 0 {
		return "–"
	}
	slices.Sort(r.resumed)
	round := func(d time.Duration) time.Duration { return d.Round(10 * time.Millisecond) }
	return fmt.Sprintf("%s / %s", round(r.resumed[len(r.resumed)/2]), round(r.resumed[len(r.resumed)-1]))
}

// The marks between which the table lies in a document.
const (
	tableBegins = "<!-- table of make faults begins -->\n"
	tableEnds   = "<!-- table of make faults ends -->\n"
)

func (h *harness) report(table []row) error {
	var b strings.Builder
	fmt.Fprintf(&b, "| fault | how often | lost | until deliveries went on, p50 / max |\n|---|---|---|---|\n")
	lost := 0
	for _, r := range table {
		lost += len(r.lost)
		what := "nothing"
		if len(r.lost) > 0 {
			what = fmt.Sprintf("**%d differences**", len(r.lost))
		}
		often := fmt.Sprintf("%d", r.times)
		if r.sets > 0 {
			often += fmt.Sprintf(" in %d sets", r.sets)
		}
		for _, n := range r.notes {
			often += "; " + n
		}
		fmt.Fprintf(&b, "| %s | %s | %s | %s |\n", r.fault, often, what, r.pace())
	}
	fmt.Fprintf(h.out, "\n%s\n", b.String())
	if h.o.markdown != "" {
		if err := between(h.o.markdown, b.String()); err != nil {
			return err
		}
	}
	if lost > 0 {
		return errLost
	}
	return nil
}

// between replaces what lies between the marks of the file.
func between(file, text string) error {
	old, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	head, rest, ok := bytes.Cut(old, []byte(tableBegins))
	_, tail, ends := bytes.Cut(rest, []byte(tableEnds))
	if !ok || !ends {
		return fmt.Errorf("%s does not have the marks of the table, %q and %q", file, tableBegins, tableEnds)
	}
	return os.WriteFile(file, slices.Concat(head, []byte(tableBegins+"\n"+text+"\n"+tableEnds), tail), 0o644)
}
