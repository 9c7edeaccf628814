package cli

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/fairwaycd/fairway"
)

func (c *cli) openCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "open",
		Short: "Print a link to the console",
		Long: long("Prints a link that logs a browser into the console. It works once, within ten minutes; the browser stays logged in for thirty days.",
			"the link that `fairway up` printed is used up or too old, or another browser is to be used.",
			"the message says whether the server does not answer or does not accept the token."),
		Example: example("fairway open", "xdg-open \"$(fairway open)\""),
		Args:    words(),
		RunE:    func(cmd *cobra.Command, _ []string) error { return c.open(cmd.Context()) },
	}
}

func (c *cli) open(ctx context.Context) error {
	server, err := c.serverURL()
	if err != nil {
		return err
	}
	token, err := c.apiToken(server)
	if err != nil {
		return err
	}
	// A server that cannot be asked, or does not know the token, is refused in
	// the words of the API.
	if _, err := c.NewBackend(server.String(), token).Status(ctx); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, server.JoinPath("login").String(), nil)
	if err != nil {
		return fmt.Errorf("ask for a link: %w", err)
	}
	req.Header.Set("Authorization", "Bearer "+token)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return fairway.Errorf(fairway.KindUnavailable, "ask for a link: %w", err)
	}
	defer resp.Body.Close()
	link, err := io.ReadAll(io.LimitReader(resp.Body, 1<<12))
	if err != nil || resp.StatusCode != http.StatusOK {
		return fairway.Errorf(fairway.KindUnavailable, "the server gave no link: %s", resp.Status)
	}
	fmt.Fprintln(c.Stdout, strings.TrimSpace(string(link)))
	return nil
}
