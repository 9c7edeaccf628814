package cli

import (
	"github.com/spf13/cobra"

	"github.com/fairwaycd/fairway/api"
)

func (c *cli) approveCommand() *cobra.Command {
	return c.decision("approve", "approved", &cobra.Command{
		Short: "Let a waiting delivery go on",
		Long: long("Tells a delivery that waits for a person to go on: all traffic moves to the new version.",
			"a stage has `approval: manual`, and you have looked at the new version under its colour's own host.",
			"the message says what the delivery is doing instead; `fairway get delivery ID` shows all of it."),
		Example: example(`fairway approve 1a2b3c4d --reason "checked the new basket"`),
	})
}

func (c *cli) rejectCommand() *cobra.Command {
	return c.decision("reject", "rejected", &cobra.Command{
		Short: "Turn a waiting delivery away",
		Long: long("Turns the version of a delivery that waits for a person away: the old weights are put back, and the version is stopped.",
			"a stage has `approval: manual`, and you do not want the new version.",
			"the message says what the delivery is doing instead. One that does not wait is ended by `fairway abort`."),
		Example: example(`fairway reject 1a2b3c4d --reason "basket is empty after login"`),
	})
}

func (c *cli) abortCommand() *cobra.Command {
	return c.decision("abort", "aborted", &cobra.Command{
		Short: "End a delivery that is under way",
		Long: long("Ends a delivery wherever it is. What it had begun in its present stage is put back; stages that it has passed keep the version.",
			"a delivery is not wanted any more, or waits for something that will not come.",
			"the message says what the delivery is doing instead; one that has ended cannot be aborted."),
		Example: example(`fairway abort 1a2b3c4d --reason "wrong branch"`),
	})
}

// decision makes the command for a person's word on a delivery.
func (c *cli) decision(verb, done string, cmd *cobra.Command) *cobra.Command {
	r := api.Command{Verb: verb}
	cmd.Use = verb + " DELIVERY --reason TEXT"
	cmd.Args = words("DELIVERY")
	cmd.Flags().StringVar(&r.Reason, "reason", "", "the `text` that the delivery's history keeps")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if err := required(cmd, "reason"); err != nil {
			return err
		}
		b, err := c.backend()
		if err != nil {
			return err
		}
		d, err := b.Delivery(cmd.Context(), args[0])
		if err != nil {
			return err
		}
		r.Delivery = string(d.ID)
		if d, err = b.Command(cmd.Context(), r); err != nil {
			return err
		}
		c.remark("%s %s", done, describe(d))
		return nil
	}
	return cmd
}
