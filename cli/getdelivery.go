package cli

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/fairwaycd/fairway"
	"github.com/fairwaycd/fairway/api"
)

// fields are named values, printed one a line.
type fields [][2]string

// add adds a field unless it is empty.
func (f *fields) add(name, value string) {
	if value != "" {
		*f = append(*f, [2]string{name, value})
	}
}

func (f fields) write(w io.Writer) {
	width := 0
	for _, p := range f {
		width = max(width, len(p[0]))
	}
	for _, p := range f {
		fmt.Fprintf(w, "%-*s  %s\n", width, p[0], p[1])
	}
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }

// stamp prints an instant in the local zone.
func stamp(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.Local().Format("2006-01-02 15:04:05")
}

// statuses are those that --status takes.
var statuses = []string{
	string(fairway.StatusRunning), string(fairway.StatusWaiting), string(fairway.StatusFinished), string(fairway.StatusFailed),
	string(fairway.StatusRejected), string(fairway.StatusSuperseded), string(fairway.StatusAborted),
}

func (c *cli) getDeliveries() *cobra.Command {
	var f api.DeliveryFilter
	status := oneOf{allowed: statuses}
	cmd := &cobra.Command{
		Use:   "deliveries [--project PROJECT] [--service SERVICE] [--stage STAGE] [--status STATUS] [--open]",
		Short: "List deliveries, the newest first",
		Long: long("Lists deliveries with where each is and the reason of the latest decision.",
			"to find a delivery's id, what is under way, or what was turned away.",
			"an unknown status, project or service is answered with those that exist."),
		Example: example("fairway get deliveries --open", "fairway get deliveries --project sockshop --service carts --status rejected", "fairway get deliveries --limit 100 -o json"),
	}
	fl := cmd.Flags()
	fl.StringVar((*string)(&f.Project), "project", "", "only this `project`'s")
	fl.StringVar((*string)(&f.Service), "service", "", "only this `service`'s")
	fl.StringVar((*string)(&f.Stage), "stage", "", "only those that are, or ended, in this `stage`")
	fl.Var(&status, "status", "only those of this `status`: "+strings.Join(statuses, ", "))
	fl.BoolVar(&f.Open, "open", false, "only those that have not ended")
	fl.IntVar(&f.Limit, "limit", 20, "at most this `number`")
	ask := func(cmd *cobra.Command, b api.Backend, _ []string) ([]fairway.Delivery, error) {
		f.Status = fairway.DeliveryStatus(status.value)
		if err := limit(f.Limit); err != nil {
			return nil, err
		}
		if err := known(cmd, b, f.Project, f.Service); err != nil {
			return nil, err
		}
		return listOf(b.Deliveries(cmd.Context(), f))
	}
	return retrieve(c, cmd, ask, func(w io.Writer, list []fairway.Delivery) {
		t := c.table("DELIVERY", "PROJECT", "SERVICE", "VERSION", "STATUS", "STAGE", "STEP", "AGE", "REASON")
		for _, d := range list {
			t.add(d.ID.Short(), string(d.Project), string(d.Service), d.Artifact.Tag, string(d.Status), string(d.Stage), string(d.Step), c.age(d.StartedAt), oneLine(d.Reason))
		}
		t.write(w, "no deliveries; push an image, or see: fairway send event new-artifact --help")
	})
}

func limit(n int) error {
	if n < 1 {
		return usageError(fairway.Invalid("--limit", strconv.Itoa(n), "is not a number of rows", "write 1 or more"))
	}
	return nil
}

func (c *cli) getDelivery() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "delivery ID",
		Short: "Show a delivery step by step",
		Long: long("Shows a delivery's steps in each stage, how long each took and why it ended as it did. The first eight characters of the id are enough.",
			"to see where a delivery is, or why it did not go on.",
			"`fairway get deliveries` lists the ids. The output of its processes is shown by `fairway logs ID`, a gate's reasons by `fairway get evaluation`."),
		Example: example("fairway get delivery 1a2b3c4d", "fairway get delivery 1a2b3c4d -o yaml"),
		Args:    words("ID"),
	}
	ask := func(cmd *cobra.Command, b api.Backend, args []string) (fairway.Delivery, error) {
		return b.Delivery(cmd.Context(), args[0])
	}
	return retrieve(c, cmd, ask, c.writeDelivery)
}

func (c *cli) writeDelivery(w io.Writer, d fairway.Delivery) {
	var f fields
	f.add("Delivery", string(d.ID))
	f.add("Service", fmt.Sprintf("%s in %s", d.Service, d.Project))
	f.add("Image", d.Artifact.String())
	f.add("Digest", d.Artifact.Digest)
	f.add("Status", c.paint(string(d.Status), endText(d)))
	if !d.Status.Ended() {
		f.add("Now", fmt.Sprintf("%s in %s", d.Step, d.Stage))
	}
	f.add("Reason", d.Reason)
	if d.EndedAt != nil {
		f.add("Took", short(d.EndedAt.Sub(d.StartedAt))+" from "+stamp(d.StartedAt))
	} else {
		f.add("Started", stamp(d.StartedAt)+" ("+c.age(d.StartedAt)+" ago)")
	}
	f.write(w)
	if len(d.Stages) == 0 {
		return
	}
	fmt.Fprintln(w)
	t := c.table("STAGE", "STEP", "OUTCOME", "TOOK", "REASON")
	for _, st := range d.Stages {
		for _, s := range st.Steps {
			t.add(c.stepRow(st, s)...)
		}
	}
	t.write(w, "")
	c.writeVerdicts(w, d)
}

// stepRow is a step in the table; a repeated one says which attempt it is.
func (c *cli) stepRow(st fairway.StageRecord, s fairway.StepRecord) []string {
	stage := string(st.Stage)
	if st.Colour != fairway.Single {
		stage += " " + string(st.Colour)
	}
	step := string(s.Step)
	if s.Attempt > 1 {
		step += fmt.Sprintf(" (attempt %d)", s.Attempt)
	}
	outcome, end := "running", c.Now()
	if s.EndedAt != nil {
		outcome, end = s.Outcome, *s.EndedAt
	}
	return []string{stage, step, outcome, short(end.Sub(s.StartedAt)), oneLine(s.Reason)}
}

func (c *cli) writeVerdicts(w io.Writer, d fairway.Delivery) {
	for _, st := range d.Stages {
		if st.Verdict == "" {
			continue
		}
		fmt.Fprintf(w, "\n%s gate: %s", st.Stage, c.paint(string(st.Verdict), verdictText(st.Verdict)))
		if st.Score != nil {
			fmt.Fprintf(w, ", score %s", number(*st.Score))
		}
		if st.Evaluation != "" {
			fmt.Fprintf(w, "; see: fairway get evaluation %s", st.Evaluation)
		}
		fmt.Fprintln(w)
	}
}

func verdictText(v fairway.Verdict) string { return strings.ReplaceAll(string(v), "_", " ") }

// number prints a measured value: as it is where it is short, else with six
// significant digits.
func number(v float64) string {
	if s := strconv.FormatFloat(v, 'g', -1, 64); len(s) <= 8 {
		return s
	}
	return strconv.FormatFloat(v, 'g', 6, 64)
}

func (c *cli) getEvents() *cobra.Command {
	var f api.EventFilter
	cmd := &cobra.Command{
		Use:   "events [--project PROJECT] [--service SERVICE] [--delivery ID] [--type TYPE]",
		Short: "List stored events",
		Long: long("Lists events with the reason that each carries.",
			"to see in what order things happened, or whether an event has arrived.",
			"an unknown project or service is answered with those that exist; `fairway get deliveries` lists the ids of deliveries."),
		Example: example("fairway get events --delivery 1a2b3c4d", "fairway get events --type "+fairway.TypeEvaluationDone+" -o json", "fairway get events --after 1200"),
	}
	fl := cmd.Flags()
	fl.StringVar((*string)(&f.Project), "project", "", "only this `project`'s")
	fl.StringVar((*string)(&f.Service), "service", "", "only this `service`'s")
	fl.StringVar((*string)(&f.Delivery), "delivery", "", "only those of the delivery with this `id`")
	fl.StringVar(&f.Type, "type", "", "only those of this `type`")
	fl.Uint64Var(&f.After, "after", 0, "only those after this `number`")
	fl.IntVar(&f.Limit, "limit", 50, "at most this `number`")
	ask := func(cmd *cobra.Command, b api.Backend, _ []string) ([]api.StoredEvent, error) {
		if err := limit(f.Limit); err != nil {
			return nil, err
		}
		if err := known(cmd, b, f.Project, f.Service); err != nil {
			return nil, err
		}
		if f.Delivery != "" {
			d, err := b.Delivery(cmd.Context(), string(f.Delivery))
			if err != nil {
				return nil, err
			}
			f.Delivery = d.ID
		}
		return listOf(b.Events(cmd.Context(), f))
	}
	return retrieve(c, cmd, ask, func(w io.Writer, list []api.StoredEvent) {
		t := c.table("NUMBER", "TIME", "TYPE", "DELIVERY", "REASON")
		for _, e := range list {
			t.add(strconv.FormatUint(e.Seq, 10), stamp(e.Time), e.Type, e.Context.Short(), oneLine(e.Reason))
		}
		t.write(w, "no such events")
	})
}
