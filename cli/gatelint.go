package cli

import (
	"fmt"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/fairwaycd/fairway"
	"github.com/fairwaycd/fairway/gate"
)

func (c *cli) gateLint() *cobra.Command {
	var g gateFlags
	var window time.Duration
	cmd := &cobra.Command{
		Use:   "lint FILE",
		Short: "Check objectives, and whether their queries return anything",
		Long: long("Checks a perfspec (a JSON file) or an SLO (a YAML file, with its indicators) and reports everything that is wrong with it at once. With a source it also asks every query once about the last --window and says which return nothing.",
			"before objectives are given to a service.",
			"each line names file, line, column, what is wrong and what to do; the exit code is 2, or 4 when a query returns nothing."),
		Example: example("fairway gate lint perfspec.json", "fairway gate lint slo.yaml --sli sli.yaml --prometheus http://127.0.0.1:9090"),
		Args:    words("FILE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if strings.EqualFold(filepath.Ext(args[0]), ".json") {
				g.perfspec = args[0]
			} else {
				g.slo = args[0]
			}
			r, err := g.request(c, "-"+window.String(), "now")
			if err != nil {
				return err
			}
			// What is wrong is told before who could be asked.
			none := gate.New([]fairway.MetricSource{absent("Prometheus"), absent("Dynatrace")}, gate.Options{})
			if _, _, err := none.Read(r); err != nil {
				return g.named(err)
			}
			if g.prometheus == "" && g.dynatrace == "" {
				c.remark("%s: no problems", fileLabel(args[0]))
				return nil
			}
			judge, done, err := g.gate(c, &r, "")
			if err != nil {
				return err
			}
			defer done()
			e, err := judge.Evaluate(cmd.Context(), r)
			if err != nil {
				return err
			}
			return c.asked(e)
		},
	}
	g.bind(cmd.Flags())
	for _, hidden := range []string{"perfspec", "slo"} {
		_ = cmd.Flags().MarkHidden(hidden) // FILE names it
	}
	cmd.Flags().DurationVar(&window, "window", 5*time.Minute, "how far back the queries are asked about")
	return cmd
}

// asked says what became of each query.
func (c *cli) asked(e fairway.Evaluation) error {
	t := c.table("INDICATOR", "SERIES", "ANSWER")
	code := ExitOK
	for _, r := range e.IndicatorResults {
		answer := "ok"
		switch {
		case r.Error != "":
			answer, code = r.Error, ExitFailed
		case len(r.Samples) == 0:
			answer = "returns nothing: " + r.Query
			if code == ExitOK {
				code = ExitWarned
			}
		}
		t.add(r.ID, fmt.Sprint(len(r.Samples)), answer)
	}
	t.write(c.Stdout, "no indicators")
	if code != ExitOK {
		return &ExitError{Code: code}
	}
	return nil
}
