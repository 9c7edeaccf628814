package cli

import (
	"github.com/spf13/cobra"

	"github.com/fairwaycd/fairway/quality"
	"github.com/fairwaycd/fairway/shipyard"
)

func (c *cli) schemaCommand() *cobra.Command {
	text := long("Prints the JSON schema of a file that people write.",
		"an editor is to complete and check keys while you type.",
		"it cannot; the schema is part of this program.")
	sub := &cobra.Command{
		Use:     "shipyard",
		Short:   "Print the JSON schema of shipyard.yaml",
		Long:    text,
		Example: example("fairway schema shipyard > shipyard.schema.json"),
		Args:    words(),
		RunE: func(*cobra.Command, []string) error {
			b, err := shipyard.Schema()
			if err != nil {
				return err
			}
			_, err = c.Stdout.Write(b)
			return err
		},
	}
	return group("schema", "Print the JSON schema of a file", text, sub.Example, sub)
}

func (c *cli) lintCommand() *cobra.Command {
	return group("lint", "Check a file without a server",
		long("Checks a file and reports everything that is wrong with it at once.",
			"before it is committed, for instance in a build.",
			"each line names file, line, column, what is wrong and what to do; the exit code is 2."),
		example("fairway lint shipyard shipyard.yaml", "fairway lint perfspec perfspec/perfspec.json"),
		c.linter("shipyard", "shipyard.yaml", func(file string, b []byte) error {
			_, err := shipyard.Parse(file, b)
			return err
		}),
		c.linter("perfspec", "perfspec/perfspec.json", func(file string, b []byte) error {
			_, err := quality.ParsePerfspec(file, b)
			return err
		}))
}

func (c *cli) linter(what, file string, check func(file string, b []byte) error) *cobra.Command {
	return &cobra.Command{
		Use:   what + " FILE",
		Short: "Check a " + what,
		Long: long("Checks a "+what+" just as the server would, and reports everything that is wrong with it at once.",
			"before "+file+" is committed or sent.",
			"each line names file, line, column, what is wrong and what to do; the exit code is 2."),
		Example: example("fairway lint "+what+" "+file, "fairway lint "+what+" - < "+file),
		Args:    words("FILE"),
		RunE: func(_ *cobra.Command, args []string) error {
			b, err := c.readFile("FILE", args[0])
			if err != nil {
				return err
			}
			if err := check(fileLabel(args[0]), b); err != nil {
				return err
			}
			c.remark("%s: no problems", fileLabel(args[0]))
			return nil
		},
	}
}
