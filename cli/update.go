package cli

import (
	"github.com/spf13/cobra"

	"github.com/fairwaycd/fairway"
	"github.com/fairwaycd/fairway/api"
)

func (c *cli) updateCommand() *cobra.Command {
	return group("update", "Update a project or a service",
		long("Changes what was created before.",
			"the stages of a project, or what a service runs with, are to change.",
			"the message names file, line and remedy, and nothing was changed."),
		example("fairway update project sockshop shipyard.yaml --dry-run",
			"fairway update service carts --project sockshop --values values_carts.yaml"),
		c.updateProjectCommand(), c.updateServiceCommand())
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

func (c *cli) updateServiceCommand() *cobra.Command {
	var r api.UpdateService
	var files onboardFiles
	var wait waitFlags
	cmd := &cobra.Command{
		Use:   "service NAME --project PROJECT [--values FILE] [--chart DIR|TGZ] [--deployment FILE] [--service FILE]",
		Short: "Deliver new values, templates or another chart of a service",
		Long: long("Gives a service a new definition and delivers it, with the version that it has, through all stages: each of them tests and judges it as it does a new version, and a stage that turns it away keeps what it had. What is not given stays as each stage has it; values that are given replace all that the stage has, replicas too. Tests and objectives are changed with fairway add resource. An image that the values name is not delivered by it.",
			"a service is to run with other settings, probes, ports or another chart. For one stage alone, push to that stage's branch.",
			"every problem is listed with file, line and remedy, and nothing was changed; --dry-run shows the difference in each stage. A delivery that was turned away can be tried again with fairway retry."),
		Example: example(
			"fairway update service carts --project sockshop --values values_carts.yaml --dry-run",
			"fairway update service carts --project sockshop --values values_carts.yaml --reason 'more memory' --wait",
			"fairway update service web --project sockshop --chart web-1.3.0.tgz",
			"fairway update service carts-db --project sockshop --deployment deployment.yaml --service service.yaml"),
		Args: words("NAME"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := required(cmd, "project"); err != nil {
				return err
			}
			if err := wait.check(); err != nil {
				return err
			}
			r.Service = fairway.ServiceName(args[0])
			return c.updateService(cmd, r, files, wait)
		},
	}
	f := cmd.Flags()
	f.StringVar((*string)(&r.Project), "project", "", "the `project` that the service belongs to")
	f.StringVar(&r.ValuesFile, "values", "", "the `file` with the service's values; - reads the standard input")
	f.StringVar(&files.deployment, "deployment", "", "a `file` with the template of the Deployment")
	f.StringVar(&files.service, "service", "", "a `file` with the template of the Kubernetes Service")
	f.StringVar(&files.chart, "chart", "", "the `directory or archive` of the Helm chart that takes the place of the service's own")
	f.StringSliceVar(&r.ImageValues, "image-values", nil, "the `paths` of the chart's values that take the image and its tag, where they change")
	f.StringVar(&r.Reason, "reason", "", "why, for the history: a `text`")
	f.BoolVar(&r.DryRun, "dry-run", false, "check everything, show what would change in each stage, and change nothing")
	wait.bind(f, "the delivery")
	return cmd
}

func (c *cli) updateService(cmd *cobra.Command, r api.UpdateService, files onboardFiles, wait waitFlags) error {
	given := api.OnboardService{ValuesFile: r.ValuesFile}
	if err := c.readOnboarding(&given, files); err != nil {
		return err
	}
	r.Values, r.ValuesFile, r.Deployment, r.KService, r.Chart = given.Values, given.ValuesFile, given.Deployment, given.KService, given.Chart
	b, err := c.backend()
	if err != nil {
		return err
	}
	done, err := b.UpdateService(cmd.Context(), r)
	if err != nil {
		return err
	}
	for _, w := range done.Warnings {
		c.warn(w)
	}
	switch {
	case len(done.Stages) == 0:
		c.remark("service %s is so already in all stages; nothing was changed", r.Service)
		return nil
	case r.DryRun:
		c.remark("service %s could be updated; nothing was changed. It would change:", r.Service)
		for _, d := range done.Stages {
			c.remark("stage %s:", d.Stage)
			_, _ = c.Stdout.Write([]byte(d.Diff))
		}
		return nil
	case done.Delivery == "":
		c.remark("updated service %s; it has no version yet, and its first delivery brings this along", r.Service)
		return nil
	}
	c.remark("updated service %s; delivery %s brings it to the stages", r.Service, done.Delivery.Short())
	return c.started(cmd, b, done.Delivery, wait)
}
