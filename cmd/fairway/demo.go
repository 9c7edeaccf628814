package main

import (
	"fmt"
	"os"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/fairwaycd/fairway/demo"
)

func demoCommand() *cobra.Command {
	var o demo.Options
	c := &cobra.Command{
		Use:   "demo",
		Short: "Watch three versions being delivered, tested and judged",
		Long: `Play the walk-through on this machine, and check it: a good version of a real
service is built, pushed, deployed, tested under load and released; one that
answers a second slower is turned away by the quality gate; the next good one
is released again. A client asks production all the time.

Everything runs in a temporary directory that is removed at the end. The demo
fails unless gateway, git and API agree that the story went as promised.

Run it in a clone of the project: it builds examples/carts from there.`,
		Example: `  fairway demo
  fairway demo --keep --listen 127.0.0.1:8080 --gateway 127.0.0.1:8000`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			self, err := os.Executable()
			if err != nil {
				return fmt.Errorf("find this program's file: %w", err)
			}
			o.Self, o.Out, o.Version = self, c.OutOrStdout(), version()
			o.Terminal = term.IsTerminal(int(os.Stdout.Fd())) && os.Getenv("NO_COLOR") == ""
			if f := c.Flags().Lookup("data"); f != nil {
				o.Data = f.Value.String()
			}
			return demo.Run(c.Context(), o)
		},
	}
	f := c.Flags()
	f.BoolVar(&o.Keep, "keep", false, "stay up after the story and print where to look")
	f.StringVar(&o.Source, "source", "", "clone of the project that holds examples/ (default: the working directory or above)")
	f.StringVar(&o.Listen, "listen", "", "address of console, API, git and registry (default: a free port)")
	f.StringVar(&o.Gateway, "gateway", "", "address of the delivered services (default: a free port)")
	return c
}
