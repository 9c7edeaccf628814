package cli

import (
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"github.com/fairwaycd/fairway"
)

// maxReplays bounds how often one replay asks.
const maxReplays = 10_000

// replayed is a span of time and what the gate would have said of it.
type replayed struct {
	Window     fairway.Window  `json:"window"`
	Verdict    fairway.Verdict `json:"result"`
	TotalScore float64         `json:"totalScore"`
	Reason     string          `json:"reason"`
}

func (c *cli) gateReplay() *cobra.Command {
	var g gateFlags
	var from, to string
	var step, window time.Duration
	var out outputFlag
	cmd := &cobra.Command{
		Use:   "replay",
		Short: "Try objectives on the past",
		Long: long("Judges one span of time after the other, from --from to --to, and shows when the gate would have failed. Relative limits compare with the spans before.",
			"before objectives are made to decide.",
			"the exit code is 1 when a span could not be judged."),
		Example: example("fairway gate replay --perfspec perfspec.json --prometheus http://127.0.0.1:9090 --from -24h --step 10m",
			"fairway gate replay --slo slo.yaml --prometheus http://127.0.0.1:9090 --from 2026-03-01T00:00:00Z --to 2026-03-02T00:00:00Z --step 1h -o json"),
		Args: words(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			r, err := g.request(c, from, to)
			if err != nil {
				return err
			}
			if window == 0 {
				window = step
			}
			n := 0
			if step > 0 {
				n = int(r.Window.Duration() / step)
			}
			if step < time.Second || n < 1 || n > maxReplays {
				return fairway.Invalid("--step", step.String(), fmt.Sprintf("gives %d spans", n), fmt.Sprintf("write a step of at least 1s that gives 1 to %d", maxReplays))
			}
			judge, done, err := g.gate(c, &r, "")
			if err != nil {
				return err
			}
			defer done()
			begin, all := r.Window.Start, []replayed{}
			for i := 1; i <= n; i++ {
				end := begin.Add(time.Duration(i) * step)
				r.Window = fairway.Window{Start: end.Add(-window), End: end}
				e, err := judge.Evaluate(cmd.Context(), r)
				if err != nil {
					return err
				}
				e.ID = end.UTC().Format(time.RFC3339)
				r.Earlier = append([]fairway.Evaluation{e}, r.Earlier[:min(len(r.Earlier), 100)]...)
				all = append(all, replayed{r.Window, e.Verdict, e.TotalScore, e.Reason})
			}
			if err := c.print(out, all, func(w io.Writer) { c.writeReplay(w, all) }); err != nil {
				return err
			}
			for _, p := range all {
				if p.Verdict == fairway.VerdictError {
					return &ExitError{Code: ExitFailed}
				}
			}
			return nil
		},
	}
	g.bind(cmd.Flags())
	out.bind(cmd.Flags())
	cmd.Flags().StringVar(&from, "from", "-1h", "`time` at which the first span begins: RFC 3339, Unix seconds, or how long ago")
	cmd.Flags().StringVar(&to, "to", "now", "`time` at which the last one ends")
	cmd.Flags().DurationVar(&step, "step", 5*time.Minute, "from one span to the next")
	cmd.Flags().DurationVar(&window, "window", 0, "length of a span (default: the step)")
	return cmd
}

func (c *cli) writeReplay(w io.Writer, all []replayed) {
	t := c.table("FROM", "TO", "RESULT", "SCORE", "REASON")
	counts := map[fairway.Verdict]int{}
	for _, p := range all {
		counts[p.Verdict]++
		t.add(stamp(p.Window.Start), stamp(p.Window.End), string(p.Verdict), number(p.TotalScore), oneLine(p.Reason))
	}
	t.write(w, "nothing was judged")
	fmt.Fprintf(w, "\n%d judged: %d pass, %d warning, %d fail, %d error\n", len(all),
		counts[fairway.VerdictPass], counts[fairway.VerdictWarning], counts[fairway.VerdictFail], counts[fairway.VerdictError])
}
