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

// mostSamples is how many samples of an indicator are printed for people;
// JSON and YAML have them all.
const mostSamples = 10

func (c *cli) getEvaluation() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "evaluation ID",
		Short: "Show why a gate decided as it did",
		Long: long("Shows a gate's verdict: the score against the objectives, and for each indicator the query as it was sent, the samples, the limits, and the sentence that says why.",
			"a gate turned a version away, or let one pass that you doubt.",
			"`fairway get delivery ID` names the evaluation of each stage."),
		Example: example("fairway get evaluation 4f1c2d9e0b7a8c35", "fairway get evaluation 4f1c2d9e0b7a8c35 -o json"),
		Args:    words("ID"),
	}
	ask := func(cmd *cobra.Command, b api.Backend, args []string) (fairway.Evaluation, error) {
		return b.Evaluation(cmd.Context(), args[0])
	}
	return retrieve(c, cmd, ask, c.writeEvaluation)
}

func (c *cli) writeEvaluation(w io.Writer, e fairway.Evaluation) {
	s := e.Subject
	var f fields
	f.add("Evaluation", e.ID)
	f.add("Result", c.paint(string(e.Verdict), verdictText(e.Verdict)))
	f.add("Score", fmt.Sprintf("%s; pass from %s, warning from %s", number(e.TotalScore), number(e.Objectives.Pass), number(e.Objectives.Warning)))
	f.add("Reason", e.Reason)
	if i := e.Invalidated; i != nil {
		f.add("Invalidated", fmt.Sprintf("by %s at %s: %s", first(i.Actor, "somebody"), stamp(i.At), oneLine(i.Reason)))
	}
	f.add("Compared", strings.Join(e.ComparedWith, ", "))
	f.add("Version", fmt.Sprintf("%s %s (%s) in %s of %s", s.Place.Service, s.Version, s.Place.Colour, s.Stage, s.Project))
	f.add("Delivery", fmt.Sprintf("%s, attempt %d", s.Delivery.Short(), s.Attempt))
	f.add("Window", fmt.Sprintf("%s to %s (%s)", stamp(e.Window.Start), stamp(e.Window.End), short(e.Window.Duration())))
	f.add("Tied", tied(e.Tied))
	f.add("Commit", e.Commit)
	f.write(w)
	for _, r := range e.IndicatorResults {
		fmt.Fprintf(w, "\nIndicator %s: %s of %s\n", r.ID, number(r.Score), number(r.MaxScore))
		writeIndicator(w, r)
	}
}

// tied says whether other versions' samples could have counted.
func tied(v bool) string {
	if v {
		return "every sample belongs to the version under test"
	}
	return "no: samples of other versions may have counted"
}

func writeIndicator(w io.Writer, r fairway.IndicatorResult) {
	var f fields
	f.add("  Why", r.Explanation)
	f.add("  Error", r.Error)
	var limits []string
	for _, name := range sortedKeys(r.Limits) {
		limits = append(limits, name+" "+number(r.Limits[name]))
	}
	f.add("  Limits", strings.Join(limits, ", "))
	for i, v := range r.Compared {
		if i == mostSamples {
			f.add("  Compared", fmt.Sprintf("and %d more", len(r.Compared)-i))
			break
		}
		f.add("  Compared", fmt.Sprintf("%s is %s after %s  %s", v.Limit, number(v.Threshold), number(v.Earlier), v.Key))
	}
	for _, v := range r.Violations {
		text := v.Breach
		if v.Threshold != nil {
			text += " " + number(*v.Threshold)
		}
		if len(v.Value) > 0 {
			text += " broken by " + string(v.Value)
		}
		f.add("  Violation", text)
	}
	for i, s := range r.Samples {
		if i == mostSamples {
			f.add("  Samples", fmt.Sprintf("and %d more", len(r.Samples)-i))
			break
		}
		f.add("  Sample", fmt.Sprintf("%s at %s  %s", s.Text, stamp(s.Time), s.Key))
	}
	f.add("  Source", r.Source)
	f.add("  Query", r.Query)
	if r.Written != r.Query {
		f.add("  Written", r.Written)
	}
	for _, n := range r.Notes {
		f.add("  Note", n)
	}
	f.write(w)
}

func (c *cli) getReport() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "report ID",
		Short: "Show what a stage's tests found",
		Long: long("Shows a test report: each check, how many requests it sent, how many failed, and how long the answers took.",
			"a test turned a version away, or to see what load it was under.",
			"the event "+fairway.TypeTestsFinished+" names the report as detail.report: `fairway get events --delivery ID -o yaml`."),
		Example: example("fairway get report test.1a2b3c4d5e6f.staging.1", "fairway get report test.1a2b3c4d5e6f.staging.1 -o json"),
		Args:    words("ID"),
	}
	ask := func(cmd *cobra.Command, b api.Backend, args []string) (fairway.TestReport, error) {
		return b.TestReport(cmd.Context(), args[0])
	}
	return retrieve(c, cmd, ask, c.writeReport)
}

func (c *cli) writeReport(w io.Writer, r fairway.TestReport) {
	outcome := "failed"
	if r.Passed {
		outcome = "ok"
	}
	var f fields
	f.add("Tests", first(string(r.Strategy), "none"))
	f.add("Outcome", c.paint(outcome, outcome))
	f.add("Reason", r.Reason)
	f.add("Window", fmt.Sprintf("%s to %s (%s)", stamp(r.Window.Start), stamp(r.Window.End), short(r.Window.Duration())))
	for _, n := range r.Notes {
		f.add("Note", n)
	}
	f.write(w)
	fmt.Fprintln(w)
	t := c.table("CHECK", "OUTCOME", "USERS", "REQUESTS", "ERRORS", "MEAN", "P95", "MAX", "REASON")
	for _, k := range r.Checks {
		outcome := "failed"
		if k.Passed {
			outcome = "ok"
		}
		var mean, p95, most string
		if l := k.Latency; l != nil {
			mean, p95, most = seconds(l.Mean), seconds(l.P95), seconds(l.Max)
		}
		users := ""
		if k.Users > 0 {
			users = fmt.Sprint(k.Users)
		}
		t.add(k.Name, outcome, users, fmt.Sprint(k.Requests), fmt.Sprint(k.Errors), mean, p95, most, oneLine(k.Reason))
	}
	t.write(w, "no checks")
	for _, k := range r.Checks {
		if k.Log != "" {
			fmt.Fprintf(w, "\nWhat the program of the %s test printed last:\n%s\n", k.Name, strings.TrimRight(clean(k.Log), "\n"))
		}
	}
}

// clean takes out what would steer a terminal.
func clean(text string) string {
	return strings.Map(func(r rune) rune {
		if r != '\n' && r != '\t' && (r < ' ' || r == 0x7f || r >= 0x80 && r < 0xa0) {
			return -1
		}
		return r
	}, text)
}

// seconds prints a response time, which short would cut too much of.
func seconds(v float64) string {
	switch d := time.Duration(v * float64(time.Second)); {
	case d < time.Millisecond:
		return fmt.Sprintf("%dµs", d.Microseconds())
	case d < time.Second:
		return fmt.Sprintf("%.1fms", v*1000)
	}
	return fmt.Sprintf("%.2fs", v)
}
