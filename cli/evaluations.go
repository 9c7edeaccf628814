package cli

import (
	"fmt"
	"io"
	"math"
	"slices"

	"github.com/spf13/cobra"

	"github.com/fairwaycd/fairway"
	"github.com/fairwaycd/fairway/api"
)

func (c *cli) getEvaluations() *cobra.Command {
	var f fairway.EvaluationFilter
	cmd := &cobra.Command{
		Use:   "evaluations [--project PROJECT] [--service SERVICE] [--stage STAGE]",
		Short: "List what the gates said",
		Long: long("Lists evaluations, the newest first, with their results and whether they were invalidated.",
			"you want to see how a service does from version to version, or to find an evaluation's id.",
			"an unknown project or service is answered with those that exist."),
		Example: example("fairway get evaluations --project sockshop --service carts --stage staging", "fairway get evaluations --result fail --limit 10 -o json"),
	}
	fl := cmd.Flags()
	fl.StringVar((*string)(&f.Project), "project", "", "only this `project`'s")
	fl.StringVar((*string)(&f.Service), "service", "", "only this `service`'s")
	fl.StringVar((*string)(&f.Stage), "stage", "", "only those in this `stage`")
	fl.StringVar((*string)(&f.Verdict), "result", "", "only with this `result`: pass, warning, fail, error or not_judged")
	fl.IntVar(&f.Limit, "limit", 20, "at most this `number`, up to 1000")
	fl.StringVar(&f.Before, "before", "", "go on with a list: the value of `next` of the page before")
	ask := func(cmd *cobra.Command, b api.Backend, _ []string) (fairway.EvaluationPage, error) {
		if f.Limit < 1 {
			return fairway.EvaluationPage{}, fairway.Invalid("--limit", fmt.Sprint(f.Limit), "is not a length of a list", "write a number from 1 to 1000")
		}
		if err := known(cmd, b, f.Project, f.Service); err != nil {
			return fairway.EvaluationPage{}, err
		}
		return b.Evaluations(cmd.Context(), f)
	}
	return retrieve(c, cmd, ask, c.writeEvaluations)
}

func (c *cli) writeEvaluations(w io.Writer, p fairway.EvaluationPage) {
	t := c.table("EVALUATION", "PROJECT", "STAGE", "SERVICE", "VERSION", "RESULT", "SCORE", "AT", "INVALIDATED")
	for _, e := range p.Items {
		invalid := ""
		if e.Invalidated != nil {
			invalid = oneLine(e.Invalidated.Reason)
		}
		t.add(e.ID, string(e.Project), string(e.Stage), string(e.Service), e.Version, c.paint(string(e.Verdict), verdictText(e.Verdict)), number(e.TotalScore), stamp(e.EvaluatedAt), invalid)
	}
	t.write(w, "no evaluations")
	if p.Next != "" {
		fmt.Fprintf(w, "There are more: add --before %s\n", p.Next)
	}
}

func (c *cli) invalidateCommand() *cobra.Command {
	text := long("Says that something Fairway recorded is not to be relied on.",
		"a measurement was wrong, whatever it said.",
		"the message lists what exists.")
	var r api.InvalidateEvaluation
	cmd := &cobra.Command{
		Use:   "evaluation ID --reason TEXT",
		Short: "Have later evaluations not compared with one",
		Long: long("Marks an evaluation: from now on none is compared with it. Its own result, and what came of it, stay as they are. The mark cannot be taken back; the first reason stays.",
			"a test measured the wrong thing, so that it is no measure for the versions after it.",
			"`fairway get evaluations` lists their ids."),
		Example: example(`fairway invalidate evaluation 4f1c2d9e0b7a8c35 --reason "the load generator was broken"`),
		Args:    words("ID"),
	}
	cmd.Flags().StringVar(&r.Reason, "reason", "", "the `text` that is kept with the evaluation")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if err := required(cmd, "reason"); err != nil {
			return err
		}
		b, err := c.backend()
		if err != nil {
			return err
		}
		r.Evaluation = args[0]
		e, err := b.InvalidateEvaluation(cmd.Context(), r)
		if err != nil {
			return err
		}
		c.remark("evaluation %s of %s %s is invalidated: %s", e.ID, e.Subject.Place.Service, e.Subject.Version, oneLine(e.Invalidated.Reason))
		return nil
	}
	return group("invalidate", "Say that an evaluation does not count", text, cmd.Example, cmd)
}

// comparison is two evaluations side by side.
type comparison struct {
	A          fairway.Evaluation `json:"a"`
	B          fairway.Evaluation `json:"b"`
	Indicators []compared         `json:"indicators"`
}

// compared is an indicator in both: its largest values, as far as it has any.
type compared struct {
	ID     string   `json:"id"`
	Same   bool     `json:"same"` // both asked the same
	A      *float64 `json:"a,omitempty"`
	B      *float64 `json:"b,omitempty"`
	ScoreA float64  `json:"scoreA"`
	ScoreB float64  `json:"scoreB"`
}

func (c *cli) compareCommand() *cobra.Command {
	text := long("Shows two of a kind side by side.",
		"one did well, the other did not, and you want to know what has changed.",
		"the message says what was not found.")
	cmd := &cobra.Command{
		Use:   "evaluations A B",
		Short: "Show two evaluations side by side",
		Long: long("Shows the indicators of two evaluations: the largest value of each, by how much it has changed, and the points. An indicator whose query is another one is marked.",
			"one version passed a gate, another did not, and you want to know what has changed.",
			"`fairway get evaluations` lists their ids."),
		Example: example("fairway compare evaluations 0a1b2c3d4e5f6071 4f1c2d9e0b7a8c35"),
		Args:    words("A", "B"),
	}
	ask := func(cmd *cobra.Command, b api.Backend, args []string) (v comparison, err error) {
		if v.A, err = b.Evaluation(cmd.Context(), args[0]); err != nil {
			return v, err
		}
		v.B, err = b.Evaluation(cmd.Context(), args[1])
		v.Indicators = sideBySide(v.A, v.B)
		return v, err
	}
	sub := retrieve(c, cmd, ask, c.writeComparison)
	return group("compare", "Show two evaluations side by side", text, sub.Example, sub)
}

func sideBySide(a, b fairway.Evaluation) []compared {
	out := []compared{}
	for _, r := range a.IndicatorResults {
		out = append(out, compared{ID: r.ID, A: extreme(r), ScoreA: r.Score})
	}
	for _, r := range b.IndicatorResults {
		i := slices.IndexFunc(out, func(x compared) bool { return x.ID == r.ID })
		if i < 0 {
			out, i = append(out, compared{ID: r.ID}), len(out)
		} else {
			j := slices.IndexFunc(a.IndicatorResults, func(x fairway.IndicatorResult) bool { return x.ID == r.ID })
			out[i].Same = a.IndicatorResults[j].Definition == r.Definition
		}
		out[i].B, out[i].ScoreB = extreme(r), r.Score
	}
	return out
}

// extreme returns the largest value of an indicator's series, nil without any.
func extreme(r fairway.IndicatorResult) *float64 {
	var most *float64
	for _, s := range r.Samples {
		if v := s.Float(); !math.IsNaN(v) && !math.IsInf(v, 0) && (most == nil || v > *most) {
			most = &v
		}
	}
	return most
}

func (c *cli) writeComparison(w io.Writer, v comparison) {
	head := func(e fairway.Evaluation) string { return e.Subject.Version + " " + string(e.Verdict) }
	t := c.table("INDICATOR", head(v.A), head(v.B), "CHANGE", "POINTS", "QUERY")
	for _, i := range v.Indicators {
		change, query := "", "another one"
		if i.A != nil && i.B != nil && *i.A != 0 {
			change = fmt.Sprintf("%+.1f %%", 100*(*i.B-*i.A)/math.Abs(*i.A))
		}
		if i.Same {
			query = "the same"
		}
		t.add(i.ID, valueText(i.A), valueText(i.B), change, number(i.ScoreA)+" → "+number(i.ScoreB), query)
	}
	t.write(w, "no indicators")
}

func valueText(v *float64) string {
	if v == nil {
		return "none"
	}
	return number(*v)
}
