package cli

import (
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"github.com/fairwaycd/fairway/api"
	"github.com/fairwaycd/fairway/dora"
)

func (c *cli) getDora() *cobra.Command {
	var f api.DoraFilter
	var since string
	cmd := &cobra.Command{
		Use:   "dora --project PROJECT [--service SERVICE] [--since WHEN]",
		Short: "Show how often, how fast and how safely a project delivers",
		Long: long("Shows the four figures of the DORA research: deployment frequency, lead time for changes, change failure rate and time to restore, all in the last stage of the project's shipyard.",
			"to see whether delivering becomes faster and safer.",
			"an unknown project or service is answered with those that exist."),
		Example: example("fairway get dora --project sockshop", "fairway get dora --project sockshop --service carts --since 90d", "fairway get dora --project sockshop --since 2026-01-01 -o json"),
	}
	fl := cmd.Flags()
	fl.StringVar((*string)(&f.Project), "project", "", "the `project`")
	fl.StringVar((*string)(&f.Service), "service", "", "only this `service`'s figures")
	fl.StringVar(&since, "since", "30d", "from `when` on: 90d, 12h, a day as 2026-05-04, or an instant as 2026-05-04T12:00:00Z")
	ask := func(cmd *cobra.Command, b api.Backend, _ []string) (dora.Figures, error) {
		if err := required(cmd, "project"); err != nil {
			return dora.Figures{}, err
		}
		var err error
		if f.Since, err = api.ParseSince(since, c.Now()); err != nil {
			return dora.Figures{}, err
		}
		return b.Dora(cmd.Context(), f)
	}
	return retrieve(c, cmd, ask, c.writeDora)
}

func (c *cli) writeDora(w io.Writer, d dora.Figures) {
	var f fields
	f.add("Window", fmt.Sprintf("%s to %s", stamp(d.Window.Start), stamp(d.Window.End)))
	f.add("Production", string(d.Production))
	f.add("Deployments", fmt.Sprintf("%d, %.3g a day", d.Deployments, d.PerDay))
	f.add("Lead time for changes", spreadText(d.LeadTime, "no change came into production"))
	switch {
	case d.FailureRate == nil:
		f.add("Change failure rate", "no deployment")
	default:
		f.add("Change failure rate", fmt.Sprintf("%.3g %%, %d of %d", 100**d.FailureRate, d.Failed, d.Deployments))
	}
	restore := spreadText(d.Restore, "none was restored")
	if d.Failed == 0 {
		restore = "no deployment failed"
	} else if d.Unrestored > 0 {
		restore += fmt.Sprintf("; %d not restored yet", d.Unrestored)
	}
	f.add("Time to restore", restore)
	f.write(w)
}

// spreadText says how durations are spread.
func spreadText(s dora.Spread, none string) string {
	if s.Count == 0 {
		return none
	}
	seconds := func(v float64) string { return short(time.Duration(v * float64(time.Second))) }
	return fmt.Sprintf("median %s, nine of ten within %s", seconds(s.Median), seconds(s.P90))
}

func (c *cli) getCommits() *cobra.Command {
	var f api.CommitFilter
	cmd := &cobra.Command{
		Use:   "commits --project PROJECT [--branch BRANCH]",
		Short: "List the commits of a project's configuration",
		Long: long("Lists the commits of one branch, the newest first: who made each, when, and for which delivery. The branch main holds the shipyard; every stage has a branch of its name.",
			"to see who changed what is configured, or what a delivery wrote.",
			"an unknown project or branch is answered with those that exist."),
		Example: example("fairway get commits --project sockshop", "fairway get commits --project sockshop --branch staging --limit 100 -o json"),
	}
	fl := cmd.Flags()
	fl.StringVar((*string)(&f.Project), "project", "", "the `project`")
	fl.StringVar(&f.Branch, "branch", "main", "the `branch`: main or a stage")
	fl.IntVar(&f.Limit, "limit", 20, "at most this `number`, up to 500")
	fl.StringVar(&f.Before, "before", "", "go on with a list: the value of `next` of the page before")
	ask := func(cmd *cobra.Command, b api.Backend, _ []string) (api.CommitPage, error) {
		if err := required(cmd, "project"); err != nil {
			return api.CommitPage{}, err
		}
		return b.Commits(cmd.Context(), f)
	}
	return retrieve(c, cmd, ask, func(w io.Writer, p api.CommitPage) {
		t := c.table("COMMIT", "AT", "AUTHOR", "DELIVERY", "SUBJECT")
		for _, x := range p.Items {
			t.add(brief(x.Hash), stamp(x.Time), x.Author, x.Delivery.Short(), x.Subject)
		}
		t.write(w, "no commits")
		if p.Next != "" {
			fmt.Fprintf(w, "There are more: add --before %s\n", p.Next)
		}
	})
}
