package cli

import (
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/fairwaycd/fairway"
)

// long joins the three things that every help text says.
func long(purpose, when, onFailure string) string {
	return purpose + "\n\nWhen: " + when + "\n\nIf it fails: " + onFailure
}

// example lists command lines, or comments that start with #.
func example(lines ...string) string {
	return "  " + strings.Join(lines, "\n  ")
}

// group makes a command that only holds others.
func group(use, short, text string, examples string, sub ...*cobra.Command) *cobra.Command {
	cmd := &cobra.Command{Use: use, Short: short, Long: text, Example: examples, Args: cobra.ArbitraryArgs, RunE: groupRun}
	cmd.AddCommand(sub...)
	return cmd
}

// groupRun shows the help of a command that needs another after it, and
// refuses words that name none.
func groupRun(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return cmd.Help()
	}
	var names []string
	for _, sub := range cmd.Commands() {
		if sub.IsAvailableCommand() {
			names = append(names, sub.Name())
		}
	}
	slices.Sort(names)
	remedy := "use one of " + strings.Join(names, ", ")
	cmd.SuggestionsMinimumDistance = 2
	if near := cmd.SuggestionsFor(args[0]); len(near) > 0 {
		remedy = "did you mean " + strings.Join(near, " or ") + "? " + remedy
	}
	return usageError(fairway.Invalid(cmd.CommandPath(), args[0], "is not a command", remedy))
}

// words checks the number of arguments; names is what they are, such as NAME
// or [SHIPYARD].
func words(names ...string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		least := 0
		for _, n := range names {
			if !strings.HasPrefix(n, "[") {
				least++
			}
		}
		if len(args) < least {
			return usageError(fairway.Invalid(names[len(args)], "", "is missing", "write "+cmd.UseLine()))
		}
		if len(args) > len(names) {
			return usageError(fairway.Invalid("argument", args[len(names)], "is one too many", "write "+cmd.UseLine()))
		}
		return nil
	}
}

// required lists the named flags that were not given.
func required(cmd *cobra.Command, names ...string) error {
	var ps []fairway.Problem
	for _, n := range names {
		f := cmd.Flag(n)
		if f.Value.String() == "" || f.Value.String() == "[]" {
			placeholder, usage := pflag.UnquoteUsage(f)
			ps = append(ps, fairway.Problem{Field: "--" + n, Message: "is missing", Remedy: "write --" + n + " " + strings.ToUpper(placeholder) + ", " + usage})
		}
	}
	if err := fairway.InvalidAll(ps); err != nil {
		return usageError(err)
	}
	return nil
}

// helpCommand replaces cobra's, which takes a word that names nothing for a
// success.
func helpCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "help [COMMAND | exit-codes]",
		Short: "Explain a command",
		Long: long("Prints the help of a command, as --help does behind it.",
			"you know what you want to do, and not how to write it.",
			"the commands that there are are listed."),
		Example: example("fairway help", "fairway help send event new-artifact", "fairway help exit-codes"),
		Args:    cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			found, rest, err := cmd.Root().Find(args)
			if err != nil {
				return usageError(err)
			}
			if len(rest) > 0 {
				return groupRun(found, rest)
			}
			return found.Help()
		},
	}
}

func completion(root *cobra.Command) {
	root.InitDefaultCompletionCmd()
	for _, cmd := range root.Commands() {
		if cmd.Name() != "completion" {
			continue
		}
		for _, shell := range cmd.Commands() {
			shell.Example = example("fairway completion " + shell.Name())
		}
		cmd.Short = "Print what completes command lines in your shell"
		cmd.Long = long("Prints a script that lets a shell complete commands, flags, and also names and ids, for which it asks the server: projects, services, stages, deliveries, evaluations.",
			"you type commands by hand. Load it at the start of the shell, as in the examples; for zsh, compinit has to be called before.",
			"nothing is said while you type: without a server, commands and flags are completed all the same. What is offered shows: fairway __complete get delivery \"\"")
		cmd.Example = example("source <(fairway completion bash)", "source <(fairway completion zsh)", "fairway completion fish > ~/.config/fish/completions/fairway.fish", "fairway completion bash > ~/.local/share/bash-completion/completions/fairway")
	}
}

func (c *cli) versionCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Print the version of this program",
		Long: long("Prints the version of this program in one line.",
			"A report of a fault needs it. `fairway get status` says which version the server runs.",
			"it cannot."),
		Example: example("fairway version"),
		Args:    words(),
		RunE: func(*cobra.Command, []string) error {
			c.println("fairway " + c.Version)
			return nil
		},
	}
}
