package cli

import (
	"fmt"
	"io"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/fairwaycd/fairway"
	"github.com/fairwaycd/fairway/api"
)

// upstreamFlags are those of configure upstream.
type upstreamFlags struct {
	ask                       api.ConfigureUpstream
	password, token, remove   bool
	sshKey, knownHosts, caPEM string
}

func (c *cli) configureUpstreamCommand() *cobra.Command {
	var u upstreamFlags
	cmd := &cobra.Command{
		Use:   "upstream --project PROJECT --url URL [--username NAME --password-stdin | --token-stdin | --ssh-key FILE] [--ca FILE] | --remove",
		Short: "Keep a project's repository in step with a remote",
		Long: long("Gives a project an upstream, a git repository over HTTPS or SSH. Every commit of Fairway is pushed there after it was made; no delivery waits for it. Every commit there is fetched and treated as a push to Fairway: what would be refused there is not applied, and says why. The remote must be empty, or have the history of the project. Secrets are kept in the data directory, in a file that you alone can read.",
			"people work with a git server that they know, or want a copy of the configuration elsewhere. Do it again to change the address or the credentials.",
			"the message says what the remote answered, and nothing was changed."),
		Example: example(
			"fairway configure upstream --project sockshop --url https://git.example.com/shop/config.git --token-stdin < token",
			"fairway configure upstream --project sockshop --url git@git.example.com:shop/config.git --ssh-key ~/.ssh/fairway",
			"fairway configure upstream --project sockshop --remove"),
		Args: words(),
		RunE: func(cmd *cobra.Command, _ []string) error { return c.configureUpstream(cmd, u) },
	}
	f := cmd.Flags()
	f.StringVar((*string)(&u.ask.Project), "project", "", "the `project` whose repository it is")
	f.StringVar(&u.ask.URL, "url", "", "the `address` of the remote: https://…, ssh://USER@HOST/… or USER@HOST:PATH")
	f.StringVar(&u.ask.Username, "username", "", "the `name` to log in with over HTTPS (default git)")
	f.BoolVar(&u.password, "password-stdin", false, "read the password from the standard input")
	f.BoolVar(&u.token, "token-stdin", false, "read an access token from the standard input, which is sent as the password")
	f.StringVar(&u.sshKey, "ssh-key", "", "the `file` of the private key to log in with over SSH; it has no passphrase")
	f.StringVar(&u.knownHosts, "ssh-known-hosts", "", "the `file` of the host keys that are trusted (default ~/.ssh/known_hosts)")
	f.StringVar(&u.caPEM, "ca", "", "the `file` of certificates that are trusted beside the system's")
	f.IntVar(&u.ask.PollSeconds, "poll", 30, "the `seconds` between two looks at the remote")
	f.BoolVar(&u.remove, "remove", false, "forget the upstream and its secrets; the remote stays as it is")
	cmd.MarkFlagsMutuallyExclusive("password-stdin", "token-stdin", "ssh-key")
	cmd.MarkFlagsMutuallyExclusive("remove", "url")
	return cmd
}

func (c *cli) configureUpstream(cmd *cobra.Command, u upstreamFlags) error {
	names := []string{"project"}
	if !u.remove {
		names = append(names, "url")
	}
	if err := required(cmd, names...); err != nil {
		return err
	}
	if err := c.readSecrets(&u); err != nil {
		return err
	}
	b, err := c.backend()
	if err != nil {
		return err
	}
	if u.remove {
		p, err := b.RemoveUpstream(cmd.Context(), u.ask.Project)
		if err == nil {
			c.remark("project %s has no upstream any more", p.Name)
		}
		return err
	}
	state, err := b.ConfigureUpstream(cmd.Context(), u.ask)
	if err != nil {
		return err
	}
	c.remark("project %s is kept in step with %s", u.ask.Project, state.URL)
	showUpstream(c.Stdout, state)
	return nil
}

// readSecrets reads what the flags name.
func (c *cli) readSecrets(u *upstreamFlags) error {
	if u.password || u.token {
		body, err := c.readFile("--password-stdin", "-")
		if err != nil {
			return err
		}
		if u.ask.Password = strings.TrimRight(string(body), "\r\n"); u.ask.Password == "" {
			return usageError(fairway.Invalid("standard input", "", "is empty", "write the password or token to it"))
		}
	}
	known := u.knownHosts
	if home := c.Env("HOME"); known == "" && u.sshKey != "" && home != "" {
		known = filepath.Join(home, ".ssh", "known_hosts")
	}
	for _, f := range []struct {
		flag, file string
		into       *string
	}{{"--ssh-key", u.sshKey, &u.ask.SSHKey}, {"--ssh-known-hosts", known, &u.ask.KnownHosts}, {"--ca", u.caPEM, &u.ask.CA}} {
		if f.file == "" {
			continue
		}
		body, err := readPath(f.flag, f.file)
		if err != nil {
			return err
		}
		*f.into = string(body)
	}
	return nil
}

func (c *cli) syncCommand() *cobra.Command {
	return group("sync", "Bring a project and its upstream in step now",
		long("Looks at a project's upstream now, and joins what has diverged.",
			"you do not want to wait for the next look, or both have commits that the other lacks.",
			"the message says what the remote answered."),
		example("fairway sync upstream --project sockshop"),
		c.syncUpstreamCommand())
}

func (c *cli) syncUpstreamCommand() *cobra.Command {
	var r api.SyncUpstream
	take := oneOf{allowed: []string{"ours", "theirs"}}
	cmd := &cobra.Command{
		Use:   "upstream --project PROJECT [--take ours|theirs] [--reason TEXT]",
		Short: "Look at a project's upstream now, and join what has diverged",
		Long: long("Fetches and pushes now. With --take, each branch on which both sides have commits gets one commit more, with both as parents and the content of that side: ours is what Fairway has, theirs what the remote has. No history is lost, and nothing is forced. Theirs is checked as a push is. Ours also undoes a commit of the remote that is refused.",
			"a job in the remote's git server is to tell at once of a push, or the state says that branches have diverged.",
			"the message says what the remote answered, or what is wrong with the content."),
		Example: example(
			"fairway sync upstream --project sockshop",
			`fairway sync upstream --project sockshop --take ours --reason "the weights were changed there by mistake"`),
		Args: words(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := required(cmd, "project"); err != nil {
				return err
			}
			b, err := c.backend()
			if err != nil {
				return err
			}
			r.Take = take.value
			state, err := b.SyncUpstream(cmd.Context(), r)
			if err != nil {
				return err
			}
			showUpstream(c.Stdout, state)
			if state.Condition != fairway.UpstreamInStep {
				return fairway.Errorf(fairway.KindRefused, "project %s and its upstream are not in step", r.Project)
			}
			return nil
		},
	}
	f := cmd.Flags()
	f.StringVar((*string)(&r.Project), "project", "", "the `project` whose repository it is")
	f.Var(&take, "take", "whose content a branch gets that has diverged: `ours` or theirs")
	f.StringVar(&r.Reason, "reason", "", "the `text` that the commit keeps")
	return cmd
}

// showUpstream prints how an upstream stands, and every branch that is not in
// step.
func showUpstream(w io.Writer, s fairway.UpstreamState) {
	fmt.Fprintf(w, "upstream %s: %s\n", s.URL, s.Condition)
	if s.Condition == fairway.UpstreamUnreachable {
		fmt.Fprintf(w, "  since %s: %s\n", s.Since.UTC().Format("2006-01-02 15:04:05 UTC"), s.Reason)
	}
	for _, b := range s.Branches {
		if b.Condition == fairway.UpstreamInStep {
			continue
		}
		fmt.Fprintf(w, "  %s: %s, ahead %d, behind %d", b.Branch, b.Condition, b.Ahead, b.Behind)
		if b.Reason != "" {
			fmt.Fprintf(w, ": %s", b.Reason)
		}
		fmt.Fprintln(w)
	}
}

func (c *cli) getProject() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "project NAME",
		Short: "Show one project and how its upstream stands",
		Long: long("Shows a project: its stages, its services, the address that its configuration can be cloned from, and whether it is in step with its upstream.",
			"to see why commits do not come from there, or do not arrive.",
			"an unknown project is answered with those that exist."),
		Example: example("fairway get project sockshop", "fairway get project sockshop -o json"),
		Args:    words("NAME"),
	}
	ask := func(cmd *cobra.Command, b api.Backend, args []string) (api.Project, error) {
		return b.Project(cmd.Context(), fairway.ProjectName(args[0]))
	}
	return retrieve(c, cmd, ask, func(w io.Writer, p api.Project) {
		fmt.Fprintf(w, "project %s\nstages: %s\nservices: %s\ngit: %s at %s\n", p.Name, p.Shipyard.StageNames(), first(joinNames(p.Services), "none"), p.Git, brief(p.Commit))
		if p.Upstream != nil {
			showUpstream(w, *p.Upstream)
		}
	})
}
