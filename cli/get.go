package cli

import (
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/fairwaycd/fairway"
	"github.com/fairwaycd/fairway/api"
)

func (c *cli) getCommand() *cobra.Command {
	return group("get", "Show projects, services, deliveries and what they did",
		long("Shows what Fairway knows. Every list can be printed as a table, as JSON or as YAML (-o).",
			"you want to know what runs where, what is under way, and why something was decided.",
			"`fairway get status` says whether the server answers and what does not work."),
		example(
			"fairway get services --project sockshop",
			"fairway get deliveries --open",
			"fairway get delivery 1a2b3c4d",
			"fairway get evaluation 4f1c2d9e0b7a8c35 -o json"),
		c.getProjects(), c.getProject(), c.getStages(), c.getServices(),
		c.getDeliveries(), c.getDelivery(), c.getEvaluations(), c.getEvaluation(), c.getReport(),
		c.getEvents(), c.getTargets(), c.getMonitoring(), c.getRoutes(), c.getDora(), c.getCommits(), c.getSystem(), c.getStatus())
}

// retrieve makes a command that asks for something and prints it.
func retrieve[T any](c *cli, cmd *cobra.Command, ask func(*cobra.Command, api.Backend, []string) (T, error), human func(io.Writer, T)) *cobra.Command {
	var out outputFlag
	out.bind(cmd.Flags())
	if cmd.Args == nil {
		cmd.Args = words()
	}
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		b, err := c.backend()
		if err != nil {
			return err
		}
		v, err := ask(cmd, b, args)
		if err != nil {
			return err
		}
		return c.print(out, v, func(w io.Writer) { human(w, v) })
	}
	return cmd
}

// listOf makes an empty list of a nil one, since JSON tells them apart.
func listOf[T any](v []T, err error) ([]T, error) {
	if v == nil {
		v = []T{}
	}
	return v, err
}

func (c *cli) getProjects() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "projects",
		Short: "List projects",
		Long: long("Lists the projects with their stages, their services, and the address that their configuration can be cloned from.",
			"to find a name, or what there is at all.",
			"`fairway get status` says whether the server answers."),
		Example: example("fairway get projects", "fairway get projects -o yaml"),
	}
	ask := func(cmd *cobra.Command, b api.Backend, _ []string) ([]api.Project, error) {
		return listOf(b.Projects(cmd.Context()))
	}
	return retrieve(c, cmd, ask, func(w io.Writer, list []api.Project) {
		t := c.table("PROJECT", "STAGES", "SERVICES", "COMMIT", "GIT")
		for _, p := range list {
			if p.Error != "" {
				t.add(string(p.Name), "", "", "", "cannot be read: "+p.Error)
				continue
			}
			t.add(string(p.Name), p.Shipyard.StageNames(), joinNames(p.Services), brief(p.Commit), p.Git)
		}
		t.write(w, "no projects; create one: fairway create project NAME SHIPYARD")
	})
}

// brief shortens a commit or digest.
func brief(id string) string {
	id = strings.TrimPrefix(id, "sha256:")
	if len(id) > 10 {
		return id[:10]
	}
	return id
}

// stageRow is a stage in the list of stages.
type stageRow struct {
	Project fairway.ProjectName `json:"project"`
	fairway.Stage
}

func (c *cli) getStages() *cobra.Command {
	var project string
	cmd := &cobra.Command{
		Use:   "stages [--project PROJECT]",
		Short: "List the stages of projects",
		Long: long("Lists stages in promotion order, with every default made visible: how each deploys, tests, judges and releases.",
			"to see what a new version will have to pass.",
			"an unknown project is answered with those that exist."),
		Example: example("fairway get stages --project sockshop", "fairway get stages -o json"),
	}
	cmd.Flags().StringVar(&project, "project", "", "only this `project`'s")
	ask := func(cmd *cobra.Command, b api.Backend, _ []string) ([]stageRow, error) {
		ps, err := projects(cmd, b, project)
		rows := []stageRow{}
		for _, p := range ps {
			for _, s := range p.Shipyard.Stages {
				rows = append(rows, stageRow{p.Name, s.WithDefaults()})
			}
		}
		return rows, err
	}
	return retrieve(c, cmd, ask, func(w io.Writer, list []stageRow) {
		t := c.table("PROJECT", "STAGE", "NAMESPACE", "DEPLOYS", "TESTS", "GATE", "APPROVAL", "RELEASE")
		for _, s := range list {
			t.add(string(s.Project), string(s.Name), string(s.Namespace), string(s.DeploymentStrategy), string(s.TestStrategy), string(s.Gate), string(s.Approval), string(s.Stage.Release))
		}
		t.write(w, "no stages; create a project: fairway create project NAME SHIPYARD")
	})
}

// projects returns the named project, or all of them.
func projects(cmd *cobra.Command, b api.Backend, name string) ([]api.Project, error) {
	if name == "" {
		return b.Projects(cmd.Context())
	}
	p, err := b.Project(cmd.Context(), fairway.ProjectName(name))
	return []api.Project{p}, err
}

// known reports an error that lists what exists if the project or service of
// a filter does not: an empty list would say that nothing has happened there.
func known(cmd *cobra.Command, b api.Backend, project fairway.ProjectName, service fairway.ServiceName) error {
	if project == "" && service == "" {
		return nil
	}
	ps, err := projects(cmd, b, string(project))
	if err != nil || service == "" {
		return err
	}
	var names []fairway.ServiceName
	for _, p := range ps {
		names = append(names, p.Services...)
	}
	if slices.Contains(names, service) {
		return nil
	}
	return fairway.Errorf(fairway.KindNotFound, "there is no service %s; %s", service, fairway.Instead(service, "there are", names))
}

func (c *cli) getServices() *cobra.Command {
	var project string
	cmd := &cobra.Command{
		Use:   "services [--project PROJECT]",
		Short: "List services with what runs in each stage",
		Long: long("Lists each service's stages: the versions that live in each colour, the weights by which traffic is split, and the delivery that holds the stage or waits for it. An asterisk marks what gets the traffic.",
			"to see what runs where.",
			"an unknown project is answered with those that exist."),
		Example: example("fairway get services", "fairway get services --project sockshop -o json"),
	}
	cmd.Flags().StringVar(&project, "project", "", "only this `project`'s")
	ask := func(cmd *cobra.Command, b api.Backend, _ []string) ([]fairway.ServiceView, error) {
		return listOf(b.Services(cmd.Context(), fairway.ProjectName(project)))
	}
	return retrieve(c, cmd, ask, func(w io.Writer, list []fairway.ServiceView) {
		t := c.table("PROJECT", "SERVICE", "STAGE", "VERSIONS", "WEIGHTS", "DELIVERY", "WAITING")
		for _, v := range list {
			for _, s := range v.Stages {
				t.add(string(v.Project), string(v.Service), string(s.Stage), versions(s), weights(s.Weights), s.Holder.Short(), queue(s.Queue))
			}
		}
		t.write(w, "no services; onboard one: fairway onboard service NAME --project PROJECT --values FILE")
	})
}

// versions says what lives in a stage, e.g. "blue 0.6.0-1 stopped, green
// 0.6.2-3 released*".
func versions(s fairway.StageView) string {
	var texts []string
	for _, col := range []fairway.Colour{fairway.Single, fairway.Blue, fairway.Green} {
		o, ok := s.Occupants[col]
		if !ok {
			continue
		}
		text := o.Artifact.Tag + " " + o.State
		if col != fairway.Single {
			text = string(col) + " " + text
		}
		if s.Weights[col] > 0 {
			text += "*"
		}
		texts = append(texts, text)
	}
	return strings.Join(texts, ", ")
}

// weights prints a split; it is empty before the first release.
func weights(w fairway.Weights) string {
	if len(w) == 0 {
		return ""
	}
	if _, direct := w[fairway.Single]; direct {
		return w.String()
	}
	return "blue/green " + w.String()
}

func queue(ids []fairway.DeliveryID) string {
	texts := make([]string, len(ids))
	for i, id := range ids {
		texts[i] = id.Short()
	}
	return strings.Join(texts, ", ")
}

func (c *cli) getTargets() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "targets",
		Short: "List what is scraped for metrics",
		Long: long("Lists the endpoints whose metrics are collected, and how the last attempt went.",
			"a gate says that it found no data.",
			"a target that is down says why; check `metrics` in the service's values, and that the service answers there."),
		Example: example("fairway get targets", "fairway get targets -o json"),
	}
	ask := func(cmd *cobra.Command, b api.Backend, _ []string) ([]api.TargetState, error) {
		return listOf(b.Targets(cmd.Context()))
	}
	return retrieve(c, cmd, ask, func(w io.Writer, list []api.TargetState) {
		t := c.table("JOB", "INSTANCE", "VERSION", "HEALTH", "SCRAPED", "URL", "ERROR")
		for _, s := range list {
			t.add(s.Job, s.Labels["instance"], s.Labels["version"], s.Health, c.age(s.LastScrape), s.URL, s.LastError)
		}
		t.write(w, "no targets; they appear when a service runs")
	})
}

func (c *cli) getRoutes() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "routes",
		Short: "List how traffic is split",
		Long: long("Lists the hosts under which services answer, the weights in force, and the versions that stand behind them.",
			"a service answers with another version than you expect, or not at all.",
			"`fairway get services` says which delivery changed it last."),
		Example: example("fairway get routes", "fairway get routes -o yaml"),
	}
	ask := func(cmd *cobra.Command, b api.Backend, _ []string) ([]api.RouteState, error) {
		return listOf(b.Routes(cmd.Context()))
	}
	return retrieve(c, cmd, ask, func(w io.Writer, list []api.RouteState) {
		t := c.table("HOST", "WEIGHTS", "COLOUR", "VERSION", "READY", "ADDRESS")
		for _, r := range list {
			if len(r.Backends) == 0 {
				t.add(r.Host, weights(r.Weights), "", "", "", "")
			}
			for _, b := range r.Backends {
				t.add(r.Host, weights(r.Weights), b.Place.Colour.String(), b.Version, yesNo(b.Ready), b.Address)
			}
		}
		t.write(w, "no routes; they appear when a version is released")
	})
}

func yesNo(v bool) string {
	if v {
		return "yes"
	}
	return "no"
}

// durability says what a person has to know about each way of storing.
var durability = map[string]string{
	"power":   ": what is stored survives a power cut",
	"process": ": a power cut may lose what was stored last",
}

func (c *cli) getStatus() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "status",
		Short: "Show whether the server works, and where it listens",
		Long: long("Shows the server's health, version, addresses and data directory, and why a part of it does not work.",
			"anything else fails.",
			"there is no server: start it with `fairway up`, or name where it runs with --server."),
		Example: example("fairway get status", "fairway get status --server http://127.0.0.1:9080 -o json"),
	}
	ask := func(cmd *cobra.Command, b api.Backend, _ []string) (api.Status, error) {
		return b.Status(cmd.Context())
	}
	return retrieve(c, cmd, ask, func(w io.Writer, s api.Status) {
		ready := "ready"
		if !s.Ready {
			ready = "not ready"
		}
		var f fields
		f.add("State", ready)
		for _, part := range sortedKeys(s.Trouble) {
			f.add("Trouble", part+": "+s.Trouble[part])
		}
		f.add("Version", s.Version)
		f.add("Started", stamp(s.StartedAt)+" ("+c.age(s.StartedAt)+" ago)")
		f.add("Console", s.Listen)
		f.add("Gateway", s.Gateway)
		f.add("Registry", s.Registry)
		f.add("Data", s.Data)
		f.add("Durability", s.Durability+durability[s.Durability])
		f.write(w)
	})
}
