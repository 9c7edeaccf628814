package cli

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/fairwaycd/fairway"
	"github.com/fairwaycd/fairway/api"
)

func (c *cli) deleteCommand() *cobra.Command {
	return group("delete", "Delete a service or a project",
		long("Deletes what is no longer wanted: what runs is stopped, deliveries under way are aborted, and the configuration is removed. The name can be used again at once.",
			"a service or project is not needed any more.",
			"the message says why; what was begun goes on by itself, also after a restart."),
		example(
			"fairway delete service carts --project sockshop --dry-run",
			"fairway delete project sockshop --yes"),
		c.deleteServiceCommand(), c.deleteProjectCommand())
}

func (c *cli) deleteServiceCommand() *cobra.Command {
	var d deletion
	cmd := &cobra.Command{
		Use:   "service NAME --project PROJECT [--keep-running] [--yes] [--reason TEXT]",
		Short: "Delete a service",
		Long: long("Deletes a service from its project: deliveries under way are aborted, its traffic is taken away, its versions are stopped after their last request, its images are removed from the registry, and its files from every branch. Ended deliveries and their evaluations stay listed. It shows what goes and asks first; without a terminal it needs --yes.",
			"the service is not needed any more. With --keep-running its versions run on with the traffic that they have, and only nothing is delivered any more; onboarding it again takes them over, and deleting it again stops them.",
			"nothing was changed, and the message says why. A deletion that has begun goes on by itself, also after a restart; `fairway get events` shows it."),
		Example: example(
			"fairway delete service carts --project sockshop --dry-run",
			`fairway delete service carts --project sockshop --yes --reason "merged into orders"`,
			"fairway delete service carts --project sockshop --keep-running"),
		Args: words("NAME"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := required(cmd, "project"); err != nil {
				return err
			}
			setText(&d.ask.Service, args[0])
			return c.delete(cmd, d)
		},
	}
	cmd.Flags().StringVar((*string)(&d.ask.Project), "project", "", "the `project` that the service belongs to")
	d.bind(cmd)
	return cmd
}

func (c *cli) deleteProjectCommand() *cobra.Command {
	var d deletion
	cmd := &cobra.Command{
		Use:   "project NAME [--keep-running] [--yes] [--reason TEXT]",
		Short: "Delete a project with its services",
		Long: long("Deletes every service of a project, and then the project. Its git repository is moved away, into the directory git/deleted of the data directory. Ended deliveries and their evaluations stay listed. It shows what goes and asks first; without a terminal it needs --yes.",
			"nothing of the project is needed any more. With --keep-running what runs goes on with the traffic that it has.",
			"nothing was changed, and the message says why. A deletion that has begun goes on by itself, also after a restart; `fairway get events` shows it."),
		Example: example(
			"fairway delete project sockshop --dry-run",
			`fairway delete project sockshop --yes --reason "the demo is over"`),
		Args: words("NAME"),
		RunE: func(cmd *cobra.Command, args []string) error {
			setText(&d.ask.Project, args[0])
			return c.delete(cmd, d)
		},
	}
	d.bind(cmd)
	return cmd
}

// deletion is what a command line asks for.
type deletion struct {
	ask api.Delete
	yes bool
	out outputFlag
}

func (d *deletion) bind(cmd *cobra.Command) {
	f := cmd.Flags()
	f.BoolVar(&d.ask.KeepRunning, "keep-running", false, "let what runs go on with the traffic that it has")
	f.BoolVar(&d.ask.DryRun, "dry-run", false, "show what would go, and change nothing")
	f.BoolVarP(&d.yes, "yes", "y", false, "do not ask")
	f.StringVar(&d.ask.Reason, "reason", "", "the `text` that the events keep")
	d.out.bind(f)
}

// delete shows what goes, asks, and waits until it is gone.
func (c *cli) delete(cmd *cobra.Command, d deletion) error {
	b, err := c.backend()
	if err != nil {
		return err
	}
	look := d.ask
	look.DryRun = true
	plan, err := b.Delete(cmd.Context(), look)
	if err != nil {
		return err
	}
	if d.ask.DryRun {
		return c.print(d.out, plan, func(w io.Writer) { showDeletion(w, plan) })
	}
	name := deletionName(plan)
	if !d.yes {
		showDeletion(c.Stderr, plan)
		if err := c.confirm(name, cmd.Flags().Arg(0)); err != nil {
			return err
		}
		d.ask.Version = plan.Version
	}
	done, err := b.Delete(cmd.Context(), d.ask)
	for err == nil && !done.Done {
		c.remark("%s is not gone yet: %s", name, done.Reason)
		d.ask.Version = ""
		if done, err = b.Delete(cmd.Context(), d.ask); fairway.KindOf(err) == fairway.KindNotFound {
			done, err = plan, nil
			done.Done = true
		}
	}
	if err != nil {
		return err
	}
	if d.out.value != "table" {
		return c.print(d.out, done, nil)
	}
	c.remark("deleted %s", name)
	return nil
}

func deletionName(d api.Deletion) string {
	if d.Service != "" {
		return "service " + string(d.Service)
	}
	return "project " + string(d.Project)
}

// confirm asks on a terminal, for the name: a y comes too easily.
func (c *cli) confirm(what, name string) error {
	refused := errors.New("nothing was deleted")
	if c.terminal(c.Stderr) == 0 {
		return usageError(fairway.Invalid("--yes", "", "is missing, and there is no terminal to ask on", "look with --dry-run, then say --yes"))
	}
	fmt.Fprintf(c.Stderr, "Write %s to delete %s: ", name, what)
	line, err := bufio.NewReader(c.Stdin).ReadString('\n')
	if err != nil && line == "" {
		return refused
	}
	if strings.TrimSpace(line) != name {
		return refused
	}
	return nil
}

// showDeletion prints what goes.
func showDeletion(w io.Writer, d api.Deletion) {
	fmt.Fprintf(w, "This deletes %s", deletionName(d))
	if d.Service == "" {
		fmt.Fprintf(w, " with %d services and its repository %s", len(d.Services), d.Git)
	}
	fmt.Fprintln(w, ":")
	for _, s := range d.Services {
		showServiceDeletion(w, s, d.KeepRunning)
	}
}

func showServiceDeletion(w io.Writer, s api.ServiceDeletion, keep bool) {
	stop := "stopped"
	if keep {
		stop = "runs on"
	}
	fmt.Fprintf(w, "  service %s in the stages %s\n", s.Service, joinNames(s.Stages))
	for _, v := range s.Running {
		fmt.Fprintf(w, "    %s: %s in %s, %d %% of the traffic\n", stop, v.Tag, v.Place, v.Weight)
	}
	for _, x := range s.Deliveries {
		fmt.Fprintf(w, "    aborted: delivery %s of %s, at %s in %s\n", x.ID.Short(), x.Artifact.Tag, x.Step, x.Stage)
	}
	images := "removed"
	if keep {
		images = "kept, since they run"
	}
	fmt.Fprintf(w, "    %s: %d images in %s\n", images, s.Tags, s.Repository)
	if s.Ended > 0 {
		fmt.Fprintf(w, "    stay listed: %d ended deliveries and their evaluations\n", s.Ended)
	}
}
