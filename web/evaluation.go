package web

import (
	"context"
	"encoding/json"
	"errors"
	"html/template"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/fairwaycd/fairway"
	"github.com/fairwaycd/fairway/api"
	"github.com/fairwaycd/fairway/report"
)

const (
	// samplesShown is how many samples of an indicator the page shows.
	samplesShown = 50
	// runsShown is how many evaluations of the same service and stage the heat
	// map compares, this one among them.
	runsShown = 12
	// runsListed is how many of them are looked at to find it.
	runsListed = 100
)

// evaluationPage is what the page of an evaluation shows.
type evaluationPage struct {
	fairway.Evaluation
	Took       string // the test's window
	Indicators []indicator
	Runs       []run // of the same service and stage, the oldest first
	Heat       []heatRow
	Refused    *refusal
}

type indicator struct {
	fairway.IndicatorResult
	State string // ok, warning, failed or error
	Total int    // of samples
	More  int    // samples that are not shown
	Plot  template.HTML
}

// Name is what people call the indicator.
func (i indicator) Name() string {
	if i.Title != "" {
		return i.Title
	}
	return i.ID
}

// run is an evaluation beside others.
type run struct {
	fairway.EvaluationSummary
	Here bool // the page is about it
}

// heatRow is an indicator's line of the heat map, with a cell for each run.
type heatRow struct {
	Name  string
	Cells []heatCell
}

type heatCell struct {
	State string // as an indicator's, or empty where the run lacks it
	Value string
	Here  bool
}

// stateOf tells how an indicator did.
func stateOf(r fairway.IndicatorResult) string {
	switch {
	case r.Error != "":
		return "error"
	case len(r.Violations) == 0:
		return "ok"
	case r.Score > 0:
		return "warning"
	}
	return "failed"
}

// judged prepares an evaluation for its page, and for that of its delivery.
// The earlier ones, the oldest first, are drawn beside it.
func judged(e fairway.Evaluation, earlier []fairway.Evaluation) evaluationPage {
	page := evaluationPage{Evaluation: e, Took: span(e.Window.Duration())}
	for _, res := range e.IndicatorResults {
		i := indicator{IndicatorResult: res, State: stateOf(res), Total: len(res.Samples), Plot: report.Plot(res, e.Window, earlier)}
		if len(i.Samples) > samplesShown {
			i.More = len(i.Samples) - samplesShown
			i.Samples = i.Samples[:samplesShown]
		}
		page.Indicators = append(page.Indicators, i)
	}
	return page
}

func (c *console) evaluation(w http.ResponseWriter, r *http.Request) error {
	return c.showEvaluation(w, r, http.StatusOK, nil)
}

func (c *console) showEvaluation(w http.ResponseWriter, r *http.Request, status int, refused *refusal) error {
	ctx := r.Context()
	e, err := c.backend.Evaluation(ctx, r.PathValue("id"))
	if err != nil {
		return err
	}
	runs, all := c.runs(ctx, e)
	here := slices.IndexFunc(runs, func(x run) bool { return x.Here })
	page := judged(e, all[:here])
	page.Runs, page.Heat, page.Refused = runs, heat(e, runs, all), refused
	title := "Evaluation of " + string(e.Subject.Place.Service) + " " + e.Subject.Version
	return c.render(w, r, status, "evaluation", view{Title: title, Live: true, Page: page})
}

// runs returns the evaluations around e of the same service and stage, the
// oldest first, as summaries and whole. What cannot be had is left out.
func (c *console) runs(ctx context.Context, e fairway.Evaluation) (runs []run, all []fairway.Evaluation) {
	s := e.Subject
	list, err := c.backend.Evaluations(ctx, fairway.EvaluationFilter{Project: s.Project, Stage: s.Stage, Service: s.Place.Service, Limit: runsListed})
	if err != nil {
		c.told(ctx, err)
	}
	at := slices.IndexFunc(list.Items, func(x fairway.EvaluationSummary) bool { return x.ID == e.ID })
	if at < 0 { // too old for the list, or not in it yet
		return []run{{EvaluationSummary: summary(e), Here: true}}, []fairway.Evaluation{e}
	}
	// The newest first: two that came after it are told, too.
	from := max(0, min(at-2, len(list.Items)-runsShown))
	for _, x := range list.Items[from:min(from+runsShown, len(list.Items))] {
		whole := e
		if x.ID != e.ID {
			if whole, err = c.backend.Evaluation(ctx, x.ID); err != nil {
				continue
			}
		}
		runs, all = append(runs, run{x, x.ID == e.ID}), append(all, whole)
	}
	slices.Reverse(runs)
	slices.Reverse(all)
	return runs, all
}

func summary(e fairway.Evaluation) fairway.EvaluationSummary {
	s := e.Subject
	return fairway.EvaluationSummary{ID: e.ID, Project: s.Project, Stage: s.Stage, Service: s.Place.Service, Colour: s.Place.Colour, Delivery: s.Delivery, Version: s.Version,
		Verdict: e.Verdict, TotalScore: e.TotalScore, EvaluatedAt: e.EvaluatedAt, Invalidated: e.Invalidated}
}

// heat puts the runs side by side: the indicators of e in its order, then
// those that only others have.
func heat(e fairway.Evaluation, runs []run, all []fairway.Evaluation) []heatRow {
	var ids []string
	rows := map[string]*heatRow{}
	for _, x := range append([]fairway.Evaluation{e}, all...) {
		for _, res := range x.IndicatorResults {
			if rows[res.ID] == nil {
				rows[res.ID] = &heatRow{Name: indicator{IndicatorResult: res}.Name()}
				ids = append(ids, res.ID)
			}
		}
	}
	out := make([]heatRow, 0, len(ids))
	for _, id := range ids {
		row := rows[id]
		for n, x := range all {
			cell := heatCell{Here: runs[n].Here}
			if i := slices.IndexFunc(x.IndicatorResults, func(r fairway.IndicatorResult) bool { return r.ID == id }); i >= 0 {
				cell.State, cell.Value = stateOf(x.IndicatorResults[i]), "no value"
				if v, ok := report.Value(x.IndicatorResults[i]); ok {
					cell.Value = number(v)
				}
			}
			row.Cells = append(row.Cells, cell)
		}
		out = append(out, *row)
	}
	return out
}

// invalidate passes on that an evaluation is not to be relied on.
func (c *console) invalidate(w http.ResponseWriter, r *http.Request) error {
	reason := strings.TrimSpace(r.PostFormValue("reason"))
	err := fairway.Invalid("reason", "", "is missing", "say in a sentence why; it is kept with the evaluation")
	if reason != "" {
		_, err = c.backend.InvalidateEvaluation(r.Context(), api.InvalidateEvaluation{Evaluation: r.PathValue("id"), Reason: reason})
	}
	if err == nil {
		http.Redirect(w, r, "/evaluations/"+url.PathEscape(r.PathValue("id")), http.StatusSeeOther)
		return nil
	}
	status, told := statuses[fairway.KindOf(err)]
	if !told || status == http.StatusUnauthorized {
		return err
	}
	if fails := c.showEvaluation(w, r, status, refusalOf("invalidate", reason, err)); fails != nil {
		return errors.Join(err, fails)
	}
	return nil
}

// rawEvaluation sends an evaluation as it is stored.
func (c *console) rawEvaluation(w http.ResponseWriter, r *http.Request) error {
	e, err := c.backend.Evaluation(r.Context(), r.PathValue("id"))
	if err != nil {
		return err
	}
	body, err := json.MarshalIndent(e, "", "  ")
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "private, no-cache")
	w.Write(append(body, '\n')) // whoever asked may have gone
	return nil
}
