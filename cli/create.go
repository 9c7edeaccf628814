package cli

import (
	"strings"

	"github.com/spf13/cobra"

	"github.com/fairwaycd/fairway"
	"github.com/fairwaycd/fairway/api"
	"github.com/fairwaycd/fairway/helm"
)

func (c *cli) createCommand() *cobra.Command {
	return group("create", "Create a project",
		long("Creates what a service needs before it can be delivered.",
			"once for each project.",
			"the message names file, line and remedy, and nothing was changed."),
		example("fairway create project sockshop shipyard.yaml"),
		c.createProjectCommand())
}

func (c *cli) createProjectCommand() *cobra.Command {
	var r api.CreateProject
	cmd := &cobra.Command{
		Use:   "project NAME [SHIPYARD]",
		Short: "Create a project from a shipyard",
		Long: long("Creates a project: its git repository with the shipyard on main and a branch for each stage. The shipyard says which stages there are and how each of them deploys, tests and judges.",
			"once, before the first service is onboarded. The same command with the same shipyard again changes nothing. Later, the shipyard is changed by a push to the project's repository.",
			"every problem of the shipyard is listed with line and remedy, and nothing was created; `fairway lint shipyard FILE` checks without a server, and `fairway schema shipyard` helps an editor."),
		Example: example(
			"fairway create project sockshop shipyard.yaml",
			"fairway create project sockshop --shipyard shipyard.yaml --dry-run"),
		Args: words("NAME", "[SHIPYARD]"),
		RunE: func(cmd *cobra.Command, args []string) error {
			r.Name = fairway.ProjectName(args[0])
			if len(args) == 2 {
				if r.File != "" && r.File != args[1] {
					return usageError(fairway.Invalid("--shipyard", r.File, "and "+args[1]+" both name the shipyard", "name it once"))
				}
				r.File = args[1]
			}
			return c.createProject(cmd, r)
		},
	}
	cmd.Flags().StringVar(&r.File, "shipyard", "", "the `file` of the shipyard; - reads the standard input")
	cmd.Flags().BoolVar(&r.DryRun, "dry-run", false, "check everything and change nothing")
	return cmd
}

func (c *cli) createProject(cmd *cobra.Command, r api.CreateProject) error {
	if r.File == "" {
		return usageError(fairway.Invalid("SHIPYARD", "", "is missing", "write "+cmd.UseLine()+", or --shipyard FILE"))
	}
	text, err := c.readFile("shipyard", r.File)
	if err != nil {
		return err
	}
	r.Shipyard, r.File = string(text), fileLabel(r.File)
	b, err := c.backend()
	if err != nil {
		return err
	}
	p, err := b.CreateProject(cmd.Context(), r)
	if err != nil {
		return err
	}
	if r.DryRun {
		c.remark("project %s could be created with the stages %s; nothing was changed", r.Name, p.Shipyard.StageNames())
		return nil
	}
	c.remark("created project %s with the stages %s", p.Name, p.Shipyard.StageNames())
	if p.Git != "" {
		c.remark("  configuration: git clone %s", p.Git)
	}
	c.remark("  next: fairway onboard service NAME --project %s --values FILE", p.Name)
	return nil
}

func (c *cli) onboardCommand() *cobra.Command {
	return group("onboard", "Onboard a service to a project",
		long("Brings a service into a project, so that its versions can be delivered.",
			"once for each service.",
			"the message names file, line and remedy, and nothing was changed."),
		example("fairway onboard service carts --project sockshop --values values_carts.yaml"),
		c.onboardServiceCommand())
}

// onboardFiles are the files that onboarding takes.
type onboardFiles struct{ deployment, service, resources, chart string }

func (c *cli) onboardServiceCommand() *cobra.Command {
	var r api.OnboardService
	var files onboardFiles
	var wait waitFlags
	cmd := &cobra.Command{
		Use:   "service [NAME] --project PROJECT (--values FILE | --chart DIR|TGZ)",
		Short: "Onboard a service from its values and templates, or from any Helm chart",
		Long: long("Writes the service's configuration into the branch of every stage of the project: its values, templates, traffic rules, and the tests and objectives of --resources. Without --deployment and --service, templates are made from the values. NAME may be left out where the values say service.name. Values that name an image have it delivered at once.\n\nWith --chart the service is what a Helm chart renders, once for each colour: NAME is required then, and --values are the chart's values that differ from its own. The chart is written into the branches as it is.",
			"once for each service, after `fairway create project`. Again with the same files changes nothing.",
			"every problem is listed with file, line and remedy, and no branch was changed; --dry-run shows what would be written."),
		Example: example(
			"fairway onboard service carts --project sockshop --values values_carts.yaml",
			"fairway onboard service carts-db --project sockshop --values values.yaml --deployment deployment.yaml --service service.yaml --wait",
			"fairway onboard service carts --project sockshop --values values_carts.yaml --resources . --dry-run",
			"fairway onboard service web --project sockshop --chart ./web --values values.yaml",
			"fairway onboard service web --project sockshop --chart web-1.2.0.tgz --image-values app.image,app.version --strategy direct"),
		Args: words("[NAME]"),
		RunE: func(cmd *cobra.Command, args []string) error {
			need := []string{"project", "values"}
			if files.chart != "" {
				need = need[:1]
			}
			if err := required(cmd, need...); err != nil {
				return err
			}
			if err := files.check(cmd, len(args) == 1); err != nil {
				return err
			}
			if err := wait.check(); err != nil {
				return err
			}
			if len(args) == 1 {
				r.Service = fairway.ServiceName(args[0])
			}
			return c.onboardService(cmd, r, files, wait)
		},
	}
	f := cmd.Flags()
	f.StringVar((*string)(&r.Project), "project", "", "the `project` that the service belongs to")
	f.StringVar(&r.ValuesFile, "values", "", "the `file` with the service's values; - reads the standard input")
	f.StringVar(&files.deployment, "deployment", "", "a `file` with the template of the Deployment")
	f.StringVar(&files.service, "service", "", "a `file` with the template of the Kubernetes Service")
	f.StringVar(&files.resources, "resources", "", "a `directory` that holds "+resourceDirs)
	f.StringVar(&files.chart, "chart", "", "the `directory or archive` of a Helm chart, in place of templates")
	f.StringSliceVar(&r.ImageValues, "image-values", nil, "with --chart: the `paths` of the values that take the image and its tag, or the one that takes IMAGE:TAG (default: image.repository,image.tag where the chart has them)")
	f.StringVar((*string)(&r.Strategy), "strategy", "", "with --chart: the service's own deployment `strategy` in all stages")
	f.BoolVar(&r.DryRun, "dry-run", false, "check everything and change nothing")
	wait.bind(f, "the delivery of the image that the values name")
	return cmd
}

// check refuses flags that mean nothing beside each other.
func (f onboardFiles) check(cmd *cobra.Command, named bool) error {
	with, beside := []string{"image-values", "strategy"}, []string{"deployment", "service"}
	if f.chart == "" {
		with, beside = nil, with
	}
	for _, name := range beside {
		if !cmd.Flags().Changed(name) {
			continue
		}
		if with == nil {
			return usageError(fairway.Invalid("--"+name, "", "means something only with --chart", "name the chart, or write it into the values"))
		}
		return usageError(fairway.Invalid("--"+name, "", "is a template beside --chart, which has its own", "leave it out"))
	}
	if f.chart != "" && !named {
		return usageError(fairway.Invalid("NAME", "", "is missing", "write "+cmd.UseLine()))
	}
	return nil
}

func (c *cli) onboardService(cmd *cobra.Command, r api.OnboardService, files onboardFiles, wait waitFlags) error {
	if err := c.readOnboarding(&r, files); err != nil {
		return err
	}
	b, err := c.backend()
	if err != nil {
		return err
	}
	done, err := b.OnboardService(cmd.Context(), r)
	if err != nil {
		return err
	}
	name := "service " + string(r.Service)
	if r.Service == "" {
		name = "the service of " + r.ValuesFile
	}
	stages := joinNames(done.Stages)
	for _, w := range done.Warnings {
		c.warn(w)
	}
	if r.DryRun {
		c.remark("%s could be onboarded to %s in %s; nothing was changed", name, stages, r.Project)
		for _, f := range done.Files {
			c.remark("  %s", f)
		}
		return nil
	}
	c.remark("onboarded %s to %s in %s", name, stages, r.Project)
	if done.Delivery != "" {
		c.remark("the image that the values name is being delivered")
		return c.started(cmd, b, done.Delivery, wait)
	}
	c.remark("  next: push an image of it, for instance with fairway image push")
	return nil
}

// readOnboarding reads the files, and reports everything that is wrong with
// them at once.
func (c *cli) readOnboarding(r *api.OnboardService, files onboardFiles) error {
	var ps problems
	read := func(flag, name string) string {
		if name == "" {
			return ""
		}
		b, err := c.readFile(flag, name)
		ps.add(err)
		return string(b)
	}
	if files.chart != "" {
		var err error
		r.Chart, err = helm.ReadChart(files.chart)
		ps.add(err)
	}
	if r.ValuesFile != "" {
		r.Values = read("values", r.ValuesFile)
	}
	r.ValuesFile = fileLabel(r.ValuesFile)
	r.Deployment = read("deployment", files.deployment)
	r.KService = read("service", files.service)
	if files.resources != "" {
		var err error
		r.Resources, err = resourceTree(files.resources)
		ps.add(err)
	}
	return ps.err()
}

func joinNames[T ~string](names []T) string {
	texts := make([]string, len(names))
	for i, n := range names {
		texts[i] = string(n)
	}
	return strings.Join(texts, ", ")
}
