package cli

import (
	"strings"

	"github.com/spf13/cobra"

	"github.com/fairwaycd/fairway"
	"github.com/fairwaycd/fairway/api"
	"github.com/fairwaycd/fairway/cloudevents"
)

func (c *cli) sendCommand() *cobra.Command {
	event := c.sendEventCommand()
	event.AddCommand(c.newArtifactCommand())
	return group("send", "Send an event",
		long("Sends an event to Fairway.",
			"something outside has to start a delivery: a build whose images are in a registry of its own, or a person.",
			"the message says what is wrong; nothing was stored then."),
		example("fairway send event new-artifact --project sockshop --service carts --image 127.0.0.1:8080/sockshop/carts:0.6.0-1"),
		event)
}

func (c *cli) sendEventCommand() *cobra.Command {
	var file string
	var wait waitFlags
	cmd := &cobra.Command{
		Use:   "event --file FILE",
		Short: "Send any CloudEvent",
		Long: long("Sends the CloudEvents of a file: one JSON object, or an array of them, of version 0.2, 0.3 or 1.0. They are stored when the command ends. An event of a type that Fairway does not know is stored and shown, and has no effect.",
			"an event comes from a tool that has no way of its own to post to "+api.DefaultURL+"/api/v1/events.",
			"every problem is listed with line and column, and none of the events was stored."),
		Example: example(
			"fairway send event --file new-artifact.json",
			"make-event | fairway send event --file - --wait --timeout 10m"),
		Args: cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 {
				return groupRun(cmd, args)
			}
			if err := required(cmd, "file"); err != nil {
				return err
			}
			if err := wait.check(); err != nil {
				return err
			}
			return c.sendEvents(cmd, file, wait)
		},
	}
	cmd.Flags().StringVar(&file, "file", "", "the `file` with the events; - reads the standard input")
	wait.bind(cmd.Flags(), "the delivery that the event starts")
	return cmd
}

func (c *cli) sendEvents(cmd *cobra.Command, file string, wait waitFlags) error {
	text, err := c.readFile("file", file)
	if err != nil {
		return err
	}
	events, err := cloudevents.Parse(text)
	if err != nil {
		return fairway.InFile(fileLabel(file), err)
	}
	if wait.wait && len(events) > 1 {
		return fairway.InFile(fileLabel(file), fairway.Invalid("--wait", "", "follows one delivery, but the file holds several events", "send them without --wait, or one by one"))
	}
	b, err := c.backend()
	if err != nil {
		return err
	}
	accepted, err := b.SendEvents(cmd.Context(), events)
	if err != nil {
		return err
	}
	for i, a := range accepted {
		c.remark("stored event %s: %s", a.ID, a.Reason)
		if a.Delivery == "" && !wait.wait {
			continue
		}
		if err := c.started(cmd, b, a.Delivery, wait); err != nil || i == len(accepted)-1 {
			return err
		}
	}
	return nil
}

func (c *cli) newArtifactCommand() *cobra.Command {
	var r api.SendArtifact
	var wait waitFlags
	cmd := &cobra.Command{
		Use:   "new-artifact --project PROJECT --service SERVICE --image IMAGE[:TAG]",
		Short: "Ask for the delivery of an image",
		Long: long("Tells Fairway that there is a new version of a service, and starts its delivery. The tag is --tag, or stands in the image.",
			"the image lies in a registry that does not tell Fairway about pushes, or an older version is to be delivered once more. A push to Fairway's own registry needs no such command.",
			"the message lists the projects, services or stages that exist. A delivery that fails later is shown by `fairway get delivery ID`, with the reason."),
		Example: example(
			"fairway send event new-artifact --project sockshop --service carts --image 127.0.0.1:8080/sockshop/carts:0.6.0-1",
			"fairway send event new-artifact --project sockshop --service carts --image ghcr.io/acme/carts --tag 0.6.0-1 --wait --timeout 10m",
			"# again, from staging on",
			"fairway send event new-artifact --project sockshop --service carts --image ghcr.io/acme/carts:0.6.0-1 --stage staging"),
		Args: words(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := required(cmd, "project", "service", "image"); err != nil {
				return err
			}
			if err := wait.check(); err != nil {
				return err
			}
			if err := splitTag(&r); err != nil {
				return err
			}
			return c.sendArtifact(cmd, r, wait)
		},
	}
	f := cmd.Flags()
	f.StringVar((*string)(&r.Project), "project", "", "the `project` that the service belongs to")
	f.StringVar((*string)(&r.Service), "service", "", "the `service` that the image is a version of")
	f.StringVar(&r.Image, "image", "", "the `image`, with or without its tag")
	f.StringVar(&r.Tag, "tag", "", "the image's `tag`, where --image has none")
	f.StringVar((*string)(&r.Stage), "stage", "", "the `stage` to start at (default the first)")
	f.StringVar(&r.ID, "id", "", "an `id` under which a repetition finds the same delivery")
	wait.bind(f, "the delivery")
	return cmd
}

// splitTag takes the tag out of the image where it stands there.
func splitTag(r *api.SendArtifact) error {
	written := r.Image
	if strings.Contains(written, "@") {
		return fairway.Invalid("image", written, "names a digest", "name the tag, --image IMAGE:TAG; its digest is looked up")
	}
	image, tag := fairway.SplitImage(written)
	switch {
	case tag == "" && r.Tag == "":
		return fairway.Invalid("image", written, "has no tag, and --tag names none", "write --image IMAGE:TAG, or --tag TAG; there is no default such as latest")
	case tag != "" && r.Tag != "" && tag != r.Tag:
		return fairway.Invalid("tag", r.Tag, "is not the tag that stands in the image, "+tag, "name the tag once")
	}
	r.Image, r.Tag = image, first(tag, r.Tag)
	return nil
}

func (c *cli) sendArtifact(cmd *cobra.Command, r api.SendArtifact, wait waitFlags) error {
	b, err := c.backend()
	if err != nil {
		return err
	}
	a, err := b.SendArtifact(cmd.Context(), r)
	if err != nil {
		return err
	}
	c.remark("stored event %s: %s", a.ID, a.Reason)
	return c.started(cmd, b, a.Delivery, wait)
}
