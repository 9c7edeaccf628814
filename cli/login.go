package cli

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"
)

// Login is a user's credentials at a server. When they are removed, Token is
// empty.
type Login struct {
	URL   string // of the server, e.g. http://127.0.0.1:8080
	Host  string // HOST:PORT
	User  string
	Token string
}

// loginStep is one place where credentials are kept.
type loginStep struct {
	whose string
	do    func(context.Context, Login) (string, error)
}

func (c *cli) loginCommand() *cobra.Command {
	var user string
	cmd := &cobra.Command{
		Use:   "login [--user NAME]",
		Short: "Give git and the image clients their credentials",
		Long: long("Writes the API token of the server to where git and the image clients (docker, podman, crane, …) look for it, so that plain `git clone` and `docker push` work. What was changed is printed. Everybody who can read these files can do with Fairway what you can.",
			"once on a machine, before you push images with other tools than fairway, or use the project's repository.",
			"the message names the file; nothing else in it was changed. `fairway logout` takes the credentials away again."),
		Example: example("fairway login", "fairway login --server http://127.0.0.1:9080 --user ci"),
		Args:    words(),
		RunE:    func(cmd *cobra.Command, _ []string) error { return c.login(cmd.Context(), user) },
	}
	cmd.Flags().StringVar(&user, "user", registryUser, "the `name` that goes with the token")
	return cmd
}

// login writes the credentials, after the server has accepted them.
func (c *cli) login(ctx context.Context, user string) error {
	server, err := c.serverURL()
	if err != nil {
		return err
	}
	token, err := c.apiToken(server)
	if err != nil {
		return err
	}
	if _, err := c.NewBackend(server.String(), token).Status(ctx); err != nil {
		return err
	}
	l := Login{URL: server.Scheme + "://" + server.Host, Host: server.Host, User: user, Token: token}
	steps := []loginStep{{"image clients", c.WriteImageLogin}, {"git", c.WriteGitLogin}}
	if err := c.takeSteps(ctx, l, steps, "wrote the credentials of %s for %s: %s"); err != nil {
		return err
	}
	c.remark("to undo: fairway logout --server %s --user %s", l.URL, user)
	return nil
}

func (c *cli) logoutCommand() *cobra.Command {
	var user string
	cmd := &cobra.Command{
		Use:   "logout [--user NAME]",
		Short: "Take away what login has written",
		Long: long("Removes the server's credentials from where git and the image clients look for them. What was changed is printed. The server need not run.",
			"the machine is not to be used with this server any more.",
			"the message names the file; remove the entry of the server by hand."),
		Example: example("fairway logout", "fairway logout --server http://127.0.0.1:9080 --user ci"),
		Args:    words(),
		RunE:    func(cmd *cobra.Command, _ []string) error { return c.logout(cmd.Context(), user) },
	}
	cmd.Flags().StringVar(&user, "user", registryUser, "the `name` that login was told")
	return cmd
}

func (c *cli) logout(ctx context.Context, user string) error {
	server, err := c.serverURL()
	if err != nil {
		return err
	}
	l := Login{URL: server.Scheme + "://" + server.Host, Host: server.Host, User: user}
	steps := []loginStep{{"image clients", c.RemoveImageLogin}, {"git", c.RemoveGitLogin}}
	return c.takeSteps(ctx, l, steps, "removed the credentials of %s for %s: %s")
}

// takeSteps takes all steps and says what each has changed; format takes
// whose credentials they are, the host and the change.
func (c *cli) takeSteps(ctx context.Context, l Login, steps []loginStep, format string) error {
	for _, s := range steps {
		changed, err := s.do(ctx, l)
		if err != nil {
			return fmt.Errorf("credentials of %s for %s: %w", s.whose, l.Host, err)
		}
		if changed == "" {
			c.remark("nothing to change for %s", s.whose)
			continue
		}
		c.remark(format, s.whose, l.Host, changed)
	}
	return nil
}
