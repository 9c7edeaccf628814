package cli

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/spf13/pflag"
)

// oneOf is a flag that has one of a few values.
type oneOf struct {
	value   string
	allowed []string
}

// Set takes an allowed value.
func (o *oneOf) Set(s string) error {
	if !slices.Contains(o.allowed, s) {
		return fmt.Errorf("use one of %s", strings.Join(o.allowed, ", "))
	}
	o.value = s
	return nil
}

// String returns the value.
func (o *oneOf) String() string { return o.value }

// Type is what the help calls the value.
func (o *oneOf) Type() string { return "string" }

// outputFlag is the format that a command prints in.
type outputFlag struct{ oneOf }

func (o *outputFlag) bind(f *pflag.FlagSet) {
	o.oneOf = oneOf{value: "table", allowed: []string{"table", "json", "yaml"}}
	f.VarP(&o.oneOf, "output", "o", "`format`: "+strings.Join(o.allowed, ", "))
}

// print writes value as JSON or YAML, or whatever human prints.
func (c *cli) print(o outputFlag, value any, human func(w io.Writer)) error {
	switch o.value {
	case "json":
		return writeJSON(c.Stdout, value)
	case "yaml":
		return writeYAML(c.Stdout, value)
	}
	var b bytes.Buffer
	human(&b)
	_, err := c.Stdout.Write(b.Bytes())
	return err
}

func writeJSON(w io.Writer, value any) error {
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	return e.Encode(value)
}

// table is rows of cells with aligned columns.
type table struct {
	c    *cli
	rows [][]string
}

func (c *cli) table(head ...string) *table { return &table{c: c, rows: [][]string{head}} }

func (t *table) add(cells ...string) { t.rows = append(t.rows, cells) }

// write prints the table; empty is what is said when it has no rows.
func (t *table) write(w io.Writer, empty string) {
	if len(t.rows) == 1 {
		fmt.Fprintln(w, empty)
		return
	}
	widths := make([]int, len(t.rows[0]))
	for _, row := range t.rows {
		for i, cell := range row {
			widths[i] = max(widths[i], utf8.RuneCountInString(cell))
		}
	}
	for _, row := range t.rows {
		var b strings.Builder
		for i, cell := range row {
			if cell == "" {
				cell = "-"
			}
			b.WriteString(t.c.paint(cell, cell))
			if i < len(row)-1 {
				b.WriteString(strings.Repeat(" ", widths[i]-utf8.RuneCountInString(cell)+2))
			}
		}
		fmt.Fprintln(w, b.String())
	}
}

// colours of words that say how something is.
var colours = map[string]string{
	"ok": "32", "finished": "32", "pass": "32", "up": "32", "ready": "32", "released": "32",
	"warning": "33", "waiting": "33", "waits": "33", "not_judged": "33", "superseded": "33", "aborted": "33",
	"failed": "31", "rejected": "31", "fail": "31", "error": "31", "down": "31", "trouble": "31",
}

// paint colours text as the word demands, on a terminal.
func (c *cli) paint(word, text string) string {
	code := colours[word]
	if code == "" || !c.coloured() {
		return text
	}
	return "\x1b[" + code + "m" + text + "\x1b[0m"
}

// age says how long ago t was, in the largest unit that fits.
func (c *cli) age(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return short(c.Now().Sub(t))
}

// short prints a duration with as much precision as a person wants to read.
func short(d time.Duration) string {
	switch {
	case d < 0:
		return "0s"
	case d < time.Second:
		return fmt.Sprintf("%dms", d.Milliseconds())
	case d < 10*time.Second:
		return fmt.Sprintf("%.1fs", d.Seconds())
	case d < 2*time.Minute:
		return fmt.Sprintf("%ds", int(d.Seconds()))
	case d < 10*time.Minute:
		return fmt.Sprintf("%dm%02ds", int(d.Minutes()), int(d.Seconds())%60)
	case d < 2*time.Hour:
		return fmt.Sprintf("%dm", int(d.Minutes()))
	case d < 48*time.Hour:
		return fmt.Sprintf("%dh", int(d.Hours()))
	}
	return fmt.Sprintf("%dd", int(d.Hours())/24)
}
