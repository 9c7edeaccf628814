package cli

import (
	"bytes"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// commands returns every command that a user can find, in the order of the
// help.
func commands(cmd *cobra.Command) []*cobra.Command {
	all := []*cobra.Command{cmd}
	for _, sub := range cmd.Commands() {
		if !sub.Hidden {
			all = append(all, commands(sub)...)
		}
	}
	return all
}

func TestEveryCommandIsExplained(t *testing.T) {
	t.Parallel()
	root := New(Options{})
	for _, cmd := range commands(root) {
		name := cmd.CommandPath()
		if cmd.Short == "" || cmd.Long == "" || cmd.Example == "" {
			t.Errorf("%s: Short, Long and Example must not be empty", name)
		}
		if own := !strings.HasPrefix(name, "fairway completion"); own && cmd.Name() != "exit-codes" {
			for _, part := range []string{"\n\nWhen: ", "\n\nIf it fails: "} {
				if !strings.Contains(cmd.Long, part) {
					t.Errorf("%s: its help does not say %q", name, strings.TrimSpace(part))
				}
			}
		}
		cmd.LocalFlags().VisitAll(func(f *pflag.Flag) {
			if f.Usage == "" {
				t.Errorf("%s: --%s is not explained", name, f.Name)
			}
			if kind, _ := pflag.UnquoteUsage(f); kind == "string" {
				t.Errorf("%s: --%s does not say what its value is", name, f.Name)
			}
		})
	}
}

// TestExamplesAreUnderstood holds every example of the help against the
// commands and flags that there are.
func TestExamplesAreUnderstood(t *testing.T) {
	t.Parallel()
	for _, cmd := range commands(New(Options{})) {
		for line := range strings.Lines(cmd.Example) {
			_, rest, ok := strings.Cut(strings.TrimSpace(line), "fairway ")
			if !ok || strings.HasPrefix(strings.TrimSpace(line), "#") || strings.HasPrefix(rest, "up") {
				continue
			}
			rest, _, _ = strings.Cut(rest, " || ")
			rest, _, _ = strings.Cut(strings.NewReplacer(";", " ; ", ")", " ; ", "<", ";", ">", ";").Replace(rest), ";")
			args := strings.Fields(unquote(rest))
			root := New(Options{})
			found, words, err := root.Find(args)
			if err != nil || found == root {
				t.Errorf("%s: example %q names no command", cmd.CommandPath(), line)
				continue
			}
			if err := found.ParseFlags(words); err != nil {
				t.Errorf("%s: example %q: %v", cmd.CommandPath(), line, err)
				continue
			}
			if found.Args == nil {
				continue
			}
			if err := found.Args(found, found.Flags().Args()); err != nil {
				t.Errorf("%s: example %q: %v", cmd.CommandPath(), line, err)
			}
		}
	}
}

// unquote makes one word of what stands in double quotes.
func unquote(s string) string {
	parts := strings.Split(s, `"`)
	for i := 1; i < len(parts); i += 2 {
		parts[i] = strings.ReplaceAll(parts[i], " ", "_")
	}
	return strings.Join(parts, "")
}

// TestReference keeps docs/reference/cli.md in step; go test ./cli -update
// writes it.
func TestReference(t *testing.T) {
	t.Parallel()
	const file = "../docs/reference/cli.md"
	want := reference(New(Options{}))
	if *update {
		if err := os.WriteFile(file, want, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%s is not what the commands say; run: go test ./cli -update", file)
	}
}

func reference(root *cobra.Command) []byte {
	var b bytes.Buffer
	b.WriteString("# The command line\n\n" +
		"`fairway COMMAND --help` says the same as this page. `fairway up` and `fairway demo`, which run a server, are explained by\n" +
		"their own help.\n\n" +
		"## Exit codes\n\n| code | meaning |\n|---|---|\n")
	for _, e := range ExitCodes() {
		fmt.Fprintf(&b, "| %d | %s |\n", e.Code, e.Meaning)
	}
	b.WriteString("\nCodes 3 to 5 come from commands that follow a delivery: those with `--wait`, and `fairway watch DELIVERY`. Errors go to\n" +
		"standard error, problems one a line: `FILE:LINE:COLUMN: FIELD \"VALUE\" MESSAGE; REMEDY`.\n\n" +
		"## Flags of all commands\n\n")
	flags(&b, root.PersistentFlags())
	for _, cmd := range commands(root)[1:] {
		if cmd.HasAvailableSubCommands() && cmd.LocalFlags().HasAvailableFlags() == false || strings.HasPrefix(cmd.CommandPath(), "fairway completion ") || cmd.Name() == "exit-codes" {
			continue
		}
		fmt.Fprintf(&b, "\n## %s\n\n    %s\n\n%s\n", cmd.CommandPath(), cmd.UseLine(), strings.ReplaceAll(cmd.Long, "*.", `\*.`))
		if local := cmd.LocalNonPersistentFlags(); local.HasAvailableFlags() {
			b.WriteString("\n")
			flags(&b, local)
		}
		b.WriteString("\n```console\n")
		for line := range strings.Lines(cmd.Example) {
			b.WriteString(strings.TrimSpace(line) + "\n")
		}
		b.WriteString("```\n")
	}
	return b.Bytes()
}

func flags(b *bytes.Buffer, set *pflag.FlagSet) {
	b.WriteString("| flag | value | meaning |\n|---|---|---|\n")
	set.VisitAll(func(f *pflag.Flag) {
		if f.Name == "help" {
			return
		}
		value, usage := pflag.UnquoteUsage(f)
		name := "--" + f.Name
		if f.Shorthand != "" {
			name = "-" + f.Shorthand + ", " + name
		}
		if value != "" {
			value = "`" + strings.ToUpper(value) + "`"
		}
		if f.DefValue != "" && f.DefValue != "false" && f.DefValue != "0" && f.DefValue != "0s" && f.DefValue != "[]" {
			usage += " (default " + f.DefValue + ")"
		}
		fmt.Fprintf(b, "| `%s` | %s | %s |\n", name, value, usage)
	})
}
