package web

import (
	"html/template"
	"net/http"

	"github.com/fairwaycd/fairway"
	"github.com/fairwaycd/fairway/report"
)

// samplesShown is how many samples of an indicator the page shows.
const samplesShown = 50

// evaluationPage is what the page of an evaluation shows.
type evaluationPage struct {
	fairway.Evaluation
	Took       string // the test's window
	Indicators []indicator
}

type indicator struct {
	fairway.IndicatorResult
	State string // ok, failed
	More  int    // samples that are not shown
	Plot  template.HTML
}

// judged prepares an evaluation for its page, and for that of its delivery.
func judged(e fairway.Evaluation) evaluationPage {
	page := evaluationPage{Evaluation: e, Took: span(e.Window.Duration())}
	for _, res := range e.IndicatorResults {
		i := indicator{IndicatorResult: res, State: "ok", Plot: report.Plot(res, e.Window, nil)}
		if res.Error != "" || len(res.Violations) > 0 {
			i.State = "failed"
		}
		if len(i.Samples) > samplesShown {
			i.More = len(i.Samples) - samplesShown
			i.Samples = i.Samples[:samplesShown]
		}
		page.Indicators = append(page.Indicators, i)
	}
	return page
}

func (c *console) evaluation(w http.ResponseWriter, r *http.Request) error {
	e, err := c.backend.Evaluation(r.Context(), r.PathValue("id"))
	if err != nil {
		return err
	}
	title := "Evaluation of " + string(e.Subject.Place.Service) + " " + e.Subject.Version
	return c.render(w, r, http.StatusOK, "evaluation", view{Title: title, Page: judged(e)})
}
