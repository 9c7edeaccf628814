package cli

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/fairwaycd/fairway"
	"github.com/fairwaycd/fairway/api"
)

func (c *cli) watchCommand() *cobra.Command {
	wait := waitFlags{wait: true}
	var only api.WatchFilter
	cmd := &cobra.Command{
		Use:   "watch [DELIVERY] [--project PROJECT] [--service SERVICE] [--type TYPE]",
		Short: "Follow a delivery to its end, or everything that happens",
		Long: long("Shows the steps of a delivery as they go by, until it has ended, and exits with the code of that end. Without a delivery, every event is shown until Ctrl-C.",
			"a delivery has been started by a push, and you or a script want to know how it ends.",
			"the delivery goes on whatever becomes of this command; run it again. `fairway help exit-codes` explains the exit codes."),
		Example: example("fairway watch", "fairway watch --project sockshop", "fairway watch 1a2b3c4d", "fairway watch 1a2b3c4d --timeout 10m || echo turned away"),
		Args:    words("[DELIVERY]"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := wait.check(); err != nil {
				return err
			}
			b, err := c.backend()
			if err != nil {
				return err
			}
			if len(args) == 1 && only != (api.WatchFilter{}) {
				return usageError(fairway.Invalid("DELIVERY", args[0], "is followed alone", "leave out --project, --service and --type"))
			}
			if len(args) == 1 {
				return c.follow(cmd.Context(), b, args[0], wait.timeout)
			}
			return c.watchAll(cmd.Context(), b, only, wait)
		},
	}
	fl := cmd.Flags()
	fl.StringVar((*string)(&only.Project), "project", "", "only events of this `project`")
	fl.StringVar((*string)(&only.Service), "service", "", "only events of this `service`")
	fl.StringVar(&only.Type, "type", "", "only events of this `type`")
	wait.bindTimeout(fl)
	return cmd
}

// watchAll prints events until the person has seen enough.
func (c *cli) watchAll(ctx context.Context, b api.Backend, only api.WatchFilter, wait waitFlags) error {
	limited := ctx
	if wait.timeout > 0 {
		var cancel context.CancelFunc
		limited, cancel = context.WithTimeoutCause(ctx, wait.timeout, errTimeout)
		defer cancel()
	}
	err := b.Watch(limited, func(ch api.Change) error {
		for _, e := range ch.Events {
			if !only.Selects(e.Event) {
				continue
			}
			if _, err := fmt.Fprintln(c.Stdout, c.eventLine(e.Event)); err != nil {
				return err
			}
		}
		return nil
	})
	switch {
	case ctx.Err() != nil:
		return nil
	case limited.Err() != nil:
		return &ExitError{Code: ExitTimeout, Err: fmt.Errorf("--timeout of %s reached while watching events", wait.timeout)}
	}
	return err
}

func (c *cli) eventLine(e fairway.Event) string {
	return fmt.Sprintf("%s  %-8s  %-40s  %s", e.Time.Local().Format("15:04:05"), e.Context.Short(), e.Type, oneLine(e.Reason))
}

func (c *cli) logsCommand() *cobra.Command {
	var follow bool
	cmd := &cobra.Command{
		Use:   "logs DELIVERY [-f]",
		Short: "Print the output of a delivery's processes",
		Long: long("Prints what the processes of the version have written, in all stages, also after they have ended.",
			"a version does not become ready, or its answers are wrong.",
			"logs are kept for seven days; `fairway get delivery ID` tells the delivery's own story."),
		Example: example("fairway logs 1a2b3c4d", "fairway logs 1a2b3c4d -f"),
		Args:    words("DELIVERY"),
		RunE: func(cmd *cobra.Command, args []string) error {
			b, err := c.backend()
			if err != nil {
				return err
			}
			d, err := b.Delivery(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			err = b.Logs(cmd.Context(), string(d.ID), c.Stdout, follow)
			if follow && cmd.Context().Err() != nil {
				return nil // the person has seen enough
			}
			return err
		},
	}
	cmd.Flags().BoolVarP(&follow, "follow", "f", false, "go on with what is written from now on")
	return cmd
}
