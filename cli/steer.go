package cli

import (
	"strings"

	"github.com/spf13/cobra"

	"github.com/fairwaycd/fairway/api"
)

func (c *cli) pauseCommand() *cobra.Command {
	return c.decision("pause", "paused", &cobra.Command{
		Short: "Let a delivery begin no further step",
		Long: long("Holds a delivery: the step under way ends, and none begins after it. It keeps its place in the stage, so that newer ones wait behind it.",
			"you want to look at something, or wait for somebody, before it goes on.",
			"the message says what the delivery is doing instead. One that is being rolled back is not paused."),
		Example: example(`fairway pause 1a2b3c4d --reason "the database is being moved"`),
	})
}

func (c *cli) resumeCommand() *cobra.Command {
	return c.decision("resume", "resumed", &cobra.Command{
		Short: "Let a paused delivery go on",
		Long: long("Lets a paused delivery begin its next step.",
			"what it was paused for is done.",
			"the message says why; `fairway get delivery ID` shows what the delivery is doing."),
		Example: example(`fairway resume 1a2b3c4d --reason "the database is back"`),
	})
}

func (c *cli) retryCommand() *cobra.Command {
	var r api.RetryRequest
	var wait waitFlags
	cmd := &cobra.Command{
		Use:   "retry DELIVERY --reason TEXT",
		Short: "Deliver a version again from the stage where it stopped",
		Long: long("Starts a new delivery of the same image, with the same digest, at the stage where a delivery stopped that failed, was rejected, aborted or superseded. What the stages before have proved is not proved again. A rollback is tried again in its stage only.",
			"the cause lay outside the version: a service that the tests need was down, a test was wrong and has been mended.",
			"the message says why: a delivery that is under way is to be aborted first, and one that has finished has nothing left to try."),
		Example: example(
			`fairway retry 1a2b3c4d --reason "the payment sandbox is back"`,
			`fairway retry 1a2b3c4d --reason "mended the test" --wait --timeout 10m`),
		Args: words("DELIVERY"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := required(cmd, "reason"); err != nil {
				return err
			}
			if err := wait.check(); err != nil {
				return err
			}
			b, err := c.backend()
			if err != nil {
				return err
			}
			r.Delivery = args[0]
			a, err := b.Retry(cmd.Context(), r)
			if err != nil {
				return err
			}
			c.remark("%s", a.Reason)
			return c.started(cmd, b, a.Delivery, wait)
		},
	}
	f := cmd.Flags()
	f.StringVar(&r.Reason, "reason", "", "the `text` that the new delivery's history keeps")
	f.StringVar(&r.ID, "id", "", "an `id` under which a repetition finds the same delivery")
	wait.bind(f, "the new delivery")
	return cmd
}

func (c *cli) rollbackCommand() *cobra.Command {
	var r api.Rollback
	var wait waitFlags
	cmd := &cobra.Command{
		Use:   "rollback SERVICE --project PROJECT --stage STAGE [--to TAG] --reason TEXT",
		Short: "Bring a version back that was released before",
		Long: long("Brings a released version back in one stage. While it still runs, the weights alone move, within a second. Else it is delivered again in that stage only, with the stage's tests, gate and approval. Without --to it is the latest version that was released there and has not the traffic now.",
			"the version that has the traffic turns out to be wrong. Other stages keep what they have.",
			"the message says which delivery holds the stage, or lists the versions that were released there."),
		Example: example(
			`fairway rollback carts --project sockshop --stage production --reason "basket is empty after login"`,
			`fairway rollback carts --project sockshop --stage production --to 0.6.0-1 --reason "memory leak in 0.6.1" --wait`),
		Args: words("SERVICE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := required(cmd, "project", "stage", "reason"); err != nil {
				return err
			}
			if err := wait.check(); err != nil {
				return err
			}
			b, err := c.backend()
			if err != nil {
				return err
			}
			setText(&r.Service, args[0])
			a, err := b.RollbackService(cmd.Context(), r)
			if err != nil {
				return err
			}
			c.remark("%s", a.Reason)
			return c.started(cmd, b, a.Delivery, wait)
		},
	}
	f := cmd.Flags()
	f.StringVar((*string)(&r.Project), "project", "", "the `project` that the service belongs to")
	f.StringVar((*string)(&r.Stage), "stage", "", "the `stage` to bring it back in")
	f.StringVar(&r.To, "to", "", "the version's `tag` (default the latest released one without traffic)")
	f.StringVar(&r.Reason, "reason", "", "the `text` that the history keeps")
	f.StringVar(&r.ID, "id", "", "an `id` under which a repetition finds the same delivery, where one is needed")
	wait.bind(f, "the rollback")
	return cmd
}

// setText sets a name of any of the types that names have.
func setText[T ~string](v *T, s string) { *v = T(s) }

func (c *cli) routeCommand() *cobra.Command {
	show := c.getRoutes()
	show.Use = "show"
	show.Example = strings.ReplaceAll(show.Example, "get routes", "route show")
	return group("route", "Show and set how traffic is split",
		long("Shows how the traffic of services is split between their versions, and splits it by hand.",
			"a version in a dark launch is to get some traffic before it is approved.",
			"the message says why the split makes no sense now."),
		example(
			`fairway route set carts --project sockshop --stage production blue=70,green=30 --reason "a look at the new basket"`,
			"fairway route show"),
		show, c.routeSetCommand())
}

func (c *cli) routeSetCommand() *cobra.Command {
	var r api.SetRoute
	cmd := &cobra.Command{
		Use:   "set SERVICE --project PROJECT --stage STAGE blue=PERCENT,green=PERCENT --reason TEXT",
		Short: "Split the traffic of a service by hand",
		Long: long("Sends so many percent of a service's requests to each colour. The weights are committed to the stage's branch and applied at once; the command ends when they are in force. A colour that is not named gets none. The next release or rollback in the stage replaces them.",
			"a new version waits for approval, and some real requests are to show whether it is good.",
			"nothing was changed, and the message says why: no version is ready in a colour, the one there was turned away (--force gives it traffic all the same), or a delivery moves the weights itself just now."),
		Example: example(
			`fairway route set carts --project sockshop --stage production blue=70,green=30 --reason "a look at the new basket"`,
			`fairway route set carts --project sockshop --stage production blue=100 --reason "enough seen"`),
		Args: words("SERVICE", "WEIGHTS"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := required(cmd, "project", "stage", "reason"); err != nil {
				return err
			}
			var err error
			if r.Weights, err = parseWeights(args[1]); err != nil {
				return err
			}
			b, err := c.backend()
			if err != nil {
				return err
			}
			setText(&r.Service, args[0])
			s, err := b.SetRoute(cmd.Context(), r)
			if err != nil {
				return err
			}
			c.remark("%s: weights %s", s.Host, weights(s.Weights))
			return nil
		},
	}
	f := cmd.Flags()
	f.StringVar((*string)(&r.Project), "project", "", "the `project` that the service belongs to")
	f.StringVar((*string)(&r.Stage), "stage", "", "the `stage` whose traffic is split")
	f.StringVar(&r.Reason, "reason", "", "the `text` that the history keeps")
	f.BoolVar(&r.Force, "force", false, "also for a version that was turned away")
	return cmd
}
