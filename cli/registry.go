package cli

import (
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/fairwaycd/fairway"
	"github.com/fairwaycd/fairway/api"
)

func (c *cli) registryCommand() *cobra.Command {
	return group("registry", "Take images from registries elsewhere",
		long("Has projects take images from registries other than Fairway's own: it tells Fairway how to learn of a push there, and with which credentials images are resolved and pulled. Credentials are kept in the data directory of the server, readable by its owner alone; nothing shows them again.",
			"your images are in Docker Hub, GitHub, Harbor or any other registry.",
			"`fairway registry check` says what does not work."),
		example(
			"fairway registry add https://ghcr.io/acme --project sockshop --username bot --password-stdin < token",
			"fairway registry list"),
		c.registryAdd(), c.registryList(), c.registryRemove(), c.registryCheck())
}

// registryFlags are those of registry add.
type registryFlags struct {
	ask              api.AddRegistry
	poll             time.Duration
	password, secret bool
	ca               string
}

func (c *cli) registryAdd() *cobra.Command {
	var f registryFlags
	cmd := &cobra.Command{
		Use:   "add URL --project PROJECT [--username NAME --password-stdin] [--secret-stdin] [--ca FILE] [--poll TIME] [--filter RANGE | --filter-regexp REGEXP]",
		Short: "Have a project take images from a registry",
		Long: long("Has a project take the images of its services from a registry: for each service the repository that its values name there, else URL/SERVICE; without a path in the URL, HOST/REGISTRY/SERVICE with the registry of the shipyard. New tags start deliveries as pushes to Fairway's own registry do, if the filter and the shipyard's tags take them. They are learnt of by looking at the tags, and, with a secret, by notifications, for which the address is printed. The first look delivers nothing. It replaces the registry of the same name.",
			"images are pushed elsewhere, or are pulled from there with credentials. Do it again to change anything: give all secrets again then.",
			"the message names the flag, or says what the registry answered, and nothing was changed."),
		Example: example(
			"fairway registry add https://ghcr.io/acme --project sockshop --username bot --password-stdin < token",
			"fairway registry add https://harbor.example.com/shop --project sockshop --secret-stdin --poll 0s < secret",
			"cat password secret | fairway registry add https://docker.io/acme --project sockshop --username bot --password-stdin --secret-stdin",
			"fairway registry add https://registry.example.com/shop --project sockshop --ca ca.pem --filter '>=0.6.0-0 <0.7.0-0' --dry-run"),
		Args: words("URL"),
		RunE: func(cmd *cobra.Command, args []string) error {
			f.ask.URL = args[0]
			return c.addRegistry(cmd, f)
		},
	}
	x := cmd.Flags()
	x.StringVar((*string)(&f.ask.Project), "project", "", "the `project` whose services' images lie there")
	x.StringVar(&f.ask.Name, "name", "", "the registry's `name` within the project (default its host)")
	x.StringVar(&f.ask.Username, "username", "", "the `name` to log in with")
	x.BoolVar(&f.password, "password-stdin", false, "read the password or token from the standard input")
	x.BoolVar(&f.secret, "secret-stdin", false, "read the secret of notifications from the standard input; with --password-stdin it is the second line")
	x.StringVar(&f.ca, "ca", "", "the `file` of certificates that are trusted beside the system's")
	x.DurationVar(&f.poll, "poll", fairway.DefaultRegistryPoll, "the `time` between two looks at the tags; 0s never looks")
	x.StringVar(&f.ask.Filter, "filter", "", "the `range` of semantic versions that are delivered, such as '>=1.2.0 <2.0.0-0'; versions with a hyphen need one in the range")
	x.StringVar(&f.ask.FilterRegexp, "filter-regexp", "", "the `regexp` that the whole tag has to match to be delivered")
	x.StringVar(&f.ask.DeliverExisting, "deliver-existing", "", "what the first look delivers of the tags that are there: `newest` (default nothing)")
	x.BoolVar(&f.ask.CopyPullSecret, "copy-pull-secret", false, "put the credentials into the namespaces of the project's stages, as the Secret fairway-NAME, on a cluster")
	x.BoolVar(&f.ask.DryRun, "dry-run", false, "ask the registry and say what would be looked at; change nothing")
	cmd.MarkFlagsMutuallyExclusive("filter", "filter-regexp")
	return cmd
}

func (c *cli) addRegistry(cmd *cobra.Command, f registryFlags) error {
	if err := required(cmd, "project"); err != nil {
		return err
	}
	if err := c.readRegistrySecrets(&f); err != nil {
		return err
	}
	f.ask.Poll = f.poll.String()
	b, err := c.backend()
	if err != nil {
		return err
	}
	r, err := b.AddRegistry(cmd.Context(), f.ask)
	if err != nil {
		return err
	}
	if f.ask.DryRun {
		c.remark("nothing was changed; registry %s of project %s would be looked at like this:", r.Name, r.Project)
		return c.checked(r.Checked)
	}
	c.remark("project %s takes images from %s, as registry %s", r.Project, r.URL, r.Name)
	for _, w := range r.Warnings {
		c.remark("warning: %s", w)
	}
	if r.Hooks != "" {
		fmt.Fprintf(c.Stdout, "notifications are taken at\n")
		for _, v := range []string{"distribution", "harbor", "github", "dockerhub/SECRET"} {
			fmt.Fprintf(c.Stdout, "  %s/%s\n", r.Hooks, v)
		}
	}
	return nil
}

// readRegistrySecrets reads what the flags name. Of two secrets on the
// standard input each has a line.
func (c *cli) readRegistrySecrets(f *registryFlags) error {
	if f.ca != "" {
		body, err := readPath("--ca", f.ca)
		if err != nil {
			return err
		}
		f.ask.CA = string(body)
	}
	if !f.password && !f.secret {
		return nil
	}
	text, err := c.readFile("standard input", "-")
	if err != nil {
		return err
	}
	lines := strings.FieldsFunc(string(text), func(r rune) bool { return r == '\n' || r == '\r' })
	var into []*fairway.Secret
	if f.password {
		into = append(into, &f.ask.Password)
	}
	if f.secret {
		into = append(into, &f.ask.Secret)
	}
	if len(lines) != len(into) {
		return usageError(fairway.Invalid("standard input", fmt.Sprintf("%d lines", len(lines)), "is not what the flags say", "write one line for each: the password, then the secret of notifications"))
	}
	for i, line := range lines {
		*into[i] = fairway.Secret(line)
	}
	return nil
}

func (c *cli) registryList() *cobra.Command {
	var project string
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List registries elsewhere and how it stands with them",
		Long: long("Lists the registries that projects take images from, how the looks at their tags go, and when the last notification came. Secrets are not shown.",
			"a push elsewhere started nothing.",
			"`fairway get status` says whether the server answers."),
		Example: example("fairway registry list", "fairway registry list --project sockshop -o json"),
	}
	cmd.Flags().StringVar(&project, "project", "", "the `project` whose registries are listed (default all)")
	ask := func(cmd *cobra.Command, b api.Backend, _ []string) ([]api.Registry, error) {
		return listOf(b.Registries(cmd.Context(), fairway.ProjectName(project)))
	}
	return retrieve(c, cmd, ask, c.showRegistries)
}

func (c *cli) showRegistries(w io.Writer, list []api.Registry) {
	t := c.table("PROJECT", "NAME", "URL", "USER", "POLL", "FILTER", "STATE", "LOOKED", "HEARD")
	for _, r := range list {
		heard := "-"
		switch {
		case r.Hooks == "":
			heard = "no secret"
		case !r.State.Heard.IsZero():
			heard = r.State.Vendor + " " + utc(r.State.Heard)
		}
		t.add(string(r.Project), r.Name, r.URL, first(r.Username, "-"), r.Poll, first(r.Filter+r.FilterRegexp, "-"), string(r.State.Condition), utc(r.State.Looked), heard)
	}
	t.write(w, "no project takes images from a registry elsewhere")
	for _, r := range list {
		if r.State.Reason != "" {
			fmt.Fprintf(w, "%s of %s, %s since %s: %s; the next look is at %s\n", r.Name, r.Project, r.State.Condition, utc(r.State.Since), r.State.Reason, utc(r.State.Next))
		}
		if r.State.Refused > 0 {
			fmt.Fprintf(w, "%s of %s: %d notifications came with a wrong secret\n", r.Name, r.Project, r.State.Refused)
		}
	}
}

// utc writes a time for people, or - where there is none.
func utc(t time.Time) string {
	if t.IsZero() {
		return "-"
	}
	return t.UTC().Format("2006-01-02 15:04:05 UTC")
}

func (c *cli) registryRemove() *cobra.Command {
	var project string
	cmd := &cobra.Command{
		Use:   "remove NAME --project PROJECT",
		Short: "Have a project take no more images from a registry",
		Long: long("Forgets a registry, its secrets, and which of its tags are known. Nothing changes there. What runs goes on; an image that has to be pulled again is pulled with Docker's configuration. A pull secret in a cluster stays.",
			"the images are pushed to another place.",
			"an unknown name is answered with those that there are."),
		Example: example("fairway registry remove ghcr.io --project sockshop"),
		Args:    words("NAME"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := required(cmd, "project"); err != nil {
				return err
			}
			b, err := c.backend()
			if err != nil {
				return err
			}
			r, err := b.RemoveRegistry(cmd.Context(), api.RegistryName{Project: fairway.ProjectName(project), Name: args[0]})
			if err == nil {
				c.remark("project %s no longer takes images from %s", r.Project, r.URL)
			}
			return err
		},
	}
	cmd.Flags().StringVar(&project, "project", "", "the `project` that it belongs to")
	return cmd
}

func (c *cli) registryCheck() *cobra.Command {
	var project string
	cmd := &cobra.Command{
		Use:   "check NAME --project PROJECT",
		Short: "Ask a registry once and say what works",
		Long: long("Asks a registry whether it answers, takes the credentials, and shows the tags of each service's repository. Nothing is delivered.",
			"a push there started nothing, or the credentials have changed.",
			"each line says what fails and what to do."),
		Example: example("fairway registry check ghcr.io --project sockshop"),
		Args:    words("NAME"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := required(cmd, "project"); err != nil {
				return err
			}
			b, err := c.backend()
			if err != nil {
				return err
			}
			found, err := b.CheckRegistry(cmd.Context(), api.RegistryName{Project: fairway.ProjectName(project), Name: args[0]})
			if err != nil {
				return err
			}
			return c.checked(found)
		},
	}
	cmd.Flags().StringVar(&project, "project", "", "the `project` that it belongs to")
	return cmd
}
