package cli

import (
	"github.com/spf13/cobra"

	"github.com/fairwaycd/fairway"
	"github.com/fairwaycd/fairway/api"
)

func (c *cli) updateCommand() *cobra.Command {
	return group("update", "Update a project",
		long("Changes what was created before.",
			"the stages of a project are to change.",
			"the message names file, line and remedy, and nothing was changed."),
		example("fairway update project sockshop shipyard.yaml --dry-run"),
		c.updateProjectCommand())
}

func (c *cli) updateProjectCommand() *cobra.Command {
	var r api.UpdateProject
	cmd := &cobra.Command{
		Use:   "project NAME SHIPYARD",
		Short: "Replace a project's shipyard",
		Long: long("Replaces the shipyard on the project's branch main, as a push of it would, and says what that changes. It holds for deliveries that start later; those under way end as they began. A new stage gets its branch from the stage before it, without images.",
			"the stages are to change and there is no clone of the project's repository at hand. Again with the same shipyard changes nothing.",
			"every problem is listed with file, line and remedy, and nothing was changed; --dry-run checks the same."),
		Example: example(
			"fairway update project sockshop shipyard.yaml --dry-run",
			`fairway update project sockshop shipyard.yaml --reason "production asks a person"`),
		Args: words("NAME", "SHIPYARD"),
		RunE: func(cmd *cobra.Command, args []string) error {
			r.Name, r.File = fairway.ProjectName(args[0]), args[1]
			return c.updateProject(cmd, r)
		},
	}
	cmd.Flags().StringVar(&r.Reason, "reason", "", "why, for the history: a `text`")
	cmd.Flags().BoolVar(&r.DryRun, "dry-run", false, "check everything, say what would change, and change nothing")
	return cmd
}

func (c *cli) updateProject(cmd *cobra.Command, r api.UpdateProject) error {
	text, err := c.readFile("SHIPYARD", r.File)
	if err != nil {
		return err
	}
	r.Shipyard, r.File = string(text), fileLabel(r.File)
	b, err := c.backend()
	if err != nil {
		return err
	}
	done, err := b.UpdateProject(cmd.Context(), r)
	if err != nil {
		return err
	}
	switch {
	case len(done.Changes) == 0:
		c.remark("project %s has this shipyard already; nothing was changed", r.Name)
		return nil
	case r.DryRun:
		c.remark("project %s could be updated; nothing was changed. It would change:", r.Name)
	default:
		c.remark("updated project %s; it holds for deliveries that start from now on:", r.Name)
	}
	for _, change := range done.Changes {
		c.remark("  %s", change)
	}
	return nil
}
