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

func (c *cli) subscriptionCommand() *cobra.Command {
	return group("subscription", "Send events to a URL, and see how that goes",
		long("Sends events as CloudEvents 1.0 over HTTP to whoever wants to know: in order, signed, and again until they are taken.",
			"a chat, a dashboard or a pipeline is to react to what Fairway does.",
			"`fairway subscription list` says what the receiver answered."),
		example(
			"fairway subscription add https://ci.example.com/events --type delivery.* --project sockshop",
			"fairway subscription list"),
		c.subscriptionAdd(), c.subscriptionList(), c.subscriptionRemove(), c.subscriptionTest(), c.subscriptionReplay(), c.subscriptionRotate())
}

func (c *cli) subscriptionAdd() *cobra.Command {
	var s fairway.Subscription
	var projects, services, stages []string
	age := fairway.DefaultMaxAgeSeconds * time.Second
	cmd := &cobra.Command{
		Use:   "add URL [--type TYPE]… [--project PROJECT]… [--service SERVICE]… [--stage STAGE]… [--result RESULT]…",
		Short: "Send events to a URL from now on",
		Long: long("Sends every event that is stored from now on, and that fits, to the URL by POST, as a CloudEvent in structured mode. The secret that is printed is told only once: with it the receiver checks the header webhook-signature, in the form of Standard Webhooks. An event that is not taken is tried again, and those after it wait; after --tries or --max-age it is laid aside.",
			"somebody else is to know what happens here.",
			"the message names what is wrong with URL or filter. An address of this machine or of a private network, and a URL without TLS, need --private."),
		Example: example(
			"fairway subscription add https://ci.example.com/events",
			"fairway subscription add https://chat.example.com/hook --type 'delivery.*' --type approval.requested --project sockshop",
			"fairway subscription add http://127.0.0.1:9000/events --private --type evaluation-done --stage staging --result fail"),
		Args: words("URL"),
		RunE: func(cmd *cobra.Command, args []string) error {
			s.URL, s.MaxAgeSeconds = args[0], int(age/time.Second)
			s.Projects, s.Services, s.Stages = namesOf[fairway.ProjectName](projects), namesOf[fairway.ServiceName](services), namesOf[fairway.StageName](stages)
			b, err := c.backend()
			if err != nil {
				return err
			}
			made, err := b.AddSubscription(cmd.Context(), s)
			if err != nil {
				return err
			}
			c.remark("subscription %s sends events to %s", made.ID, made.URL)
			c.remark("  secret: %s", made.Secret)
			c.remark("  next: fairway subscription test %s", made.ID)
			return nil
		},
	}
	f := cmd.Flags()
	f.StringSliceVar(&s.Types, "type", nil, "only events of this `type`; * stands for anything, and sh.keptn.events. or dev.fairway. may be left out")
	f.StringSliceVar(&projects, "project", nil, "only this `project`'s")
	f.StringSliceVar(&services, "service", nil, "only this `service`'s")
	f.StringSliceVar(&stages, "stage", nil, "only this `stage`'s")
	f.StringSliceVar(&s.Results, "result", nil, "only with this `result`, such as fail or rejected")
	f.BoolVar(&s.Private, "private", false, "the URL may lead to this machine or a private network, also without TLS")
	f.IntVar(&s.Tries, "tries", fairway.DefaultTries, "how `often` an event is sent before it is laid aside")
	f.DurationVar(&age, "max-age", age, "how `long` that is tried")
	return cmd
}

func namesOf[T ~string](texts []string) []T {
	var names []T
	for _, t := range texts {
		names = append(names, T(t))
	}
	return names
}

func (c *cli) subscriptionList() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List subscriptions and how they do",
		Long: long("Lists who gets events, how many were sent since the start, how many wait or were laid aside, and what went wrong last.",
			"events do not arrive.",
			"`fairway get status` says whether the server answers."),
		Example: example("fairway subscription list", "fairway subscription list -o json"),
	}
	ask := func(cmd *cobra.Command, b api.Backend, _ []string) ([]fairway.SubscriptionState, error) {
		return listOf(b.Subscriptions(cmd.Context()))
	}
	return retrieve(c, cmd, ask, func(w io.Writer, list []fairway.SubscriptionState) {
		t := c.table("ID", "URL", "WANTS", "SENT", "WAITING", "LAID ASIDE", "TROUBLE")
		for _, s := range list {
			t.add(string(s.ID), s.URL, wants(s.Subscription), fmt.Sprint(s.Sent), fmt.Sprint(s.Waiting), fmt.Sprint(s.Dead), s.Error)
		}
		t.write(w, "no subscriptions; make one: fairway subscription add URL")
	})
}

// wants says in short what a subscription lets through.
func wants(s fairway.Subscription) string {
	parts := append([]string{}, s.Types...)
	for _, names := range []string{joinNames(s.Projects), joinNames(s.Services), joinNames(s.Stages), strings.Join(s.Results, ", ")} {
		if names != "" {
			parts = append(parts, names)
		}
	}
	if len(parts) == 0 {
		return "all"
	}
	return strings.Join(parts, "; ")
}

// subscriptionVerb makes a command that does something with one subscription.
func subscriptionVerb(c *cli, name, short, text string, do func(*cobra.Command, api.Backend, fairway.SubscriptionID) error) *cobra.Command {
	return &cobra.Command{
		Use: name + " ID", Short: short, Long: text, Example: example("fairway subscription " + name + " 3k5xq7zt2a"), Args: words("ID"),
		RunE: func(cmd *cobra.Command, args []string) error {
			b, err := c.backend()
			if err != nil {
				return err
			}
			return do(cmd, b, fairway.SubscriptionID(args[0]))
		},
	}
}

func (c *cli) subscriptionRemove() *cobra.Command {
	return subscriptionVerb(c, "remove", "Send no more events",
		long("Ends a subscription and forgets its secret and the events that were laid aside.", "nobody is to get these events any more.", "`fairway subscription list` has the ids."),
		func(cmd *cobra.Command, b api.Backend, id fairway.SubscriptionID) error {
			s, err := b.RemoveSubscription(cmd.Context(), id)
			if err == nil {
				c.remark("removed subscription %s; %s gets no more events", s.ID, s.URL)
			}
			return err
		})
}

func (c *cli) subscriptionTest() *cobra.Command {
	return subscriptionVerb(c, "test", "Send one event now",
		long("Sends an event of type dev.fairway.subscription.test at once, signed as all others, and says whether it was taken. It is not tried again.", "a receiver was set up or changed.", "the message is what the receiver answered, or why it cannot be reached."),
		func(cmd *cobra.Command, b api.Backend, id fairway.SubscriptionID) error {
			s, err := b.TestSubscription(cmd.Context(), id)
			if err == nil {
				c.remark("%s took the event", s.URL)
			}
			return err
		})
}

func (c *cli) subscriptionRotate() *cobra.Command {
	return subscriptionVerb(c, "rotate", "Make another secret",
		long("Makes another secret. For a day events are signed with the former one as well, so that the receiver can be changed in between.", "a secret may be known to others, or is old.", "`fairway subscription list` has the ids."),
		func(cmd *cobra.Command, b api.Backend, id fairway.SubscriptionID) error {
			s, err := b.RotateSubscription(cmd.Context(), id)
			if err == nil {
				c.remark("subscription %s has another secret; the former one signs too until this time tomorrow", s.ID)
				c.remark("  secret: %s", s.Secret)
			}
			return err
		})
}

func (c *cli) subscriptionReplay() *cobra.Command {
	var since time.Duration
	cmd := subscriptionVerb(c, "replay", "Send events again",
		long("Sends again what was laid aside, or, with --since, every stored event since then that the subscription wants. Ids are those of the first time, by which a receiver knows what it has.", "a receiver was down for long, or has lost events.", "`fairway subscription list` says what the receiver answers."),
		func(cmd *cobra.Command, b api.Backend, id fairway.SubscriptionID) error {
			r := api.ReplaySubscription{ID: id}
			if since > 0 {
				r.Since = time.Now().Add(-since)
			}
			s, err := b.ReplaySubscription(cmd.Context(), r)
			if err == nil {
				c.remark("events are sent to %s again; see: fairway subscription list", s.URL)
			}
			return err
		})
	cmd.Flags().DurationVar(&since, "since", 0, "send what was stored in this `time` up to now, such as 2h")
	return cmd
}
