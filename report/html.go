package report

import (
	"bytes"
	_ "embed"
	"fmt"
	"html/template"

	"github.com/fairwaycd/fairway"
)

//go:embed page.html
var pageText string

var page = template.Must(template.New("page").Funcs(template.FuncMap{
	"short": short, "window": window, "words": words, "why": why, "value": valueText,
	"of":    func(s fairway.Subject) string { return of(s, func(t string) string { return t }) },
	"state": func(r fairway.IndicatorResult) string { return stateOf(r) },
}).Parse(pageText))

// indicator is an indicator with what is drawn beside it.
type indicator struct {
	fairway.IndicatorResult
	Plot    template.HTML
	Earlier string
	Shown   []fairway.Sample
	More    int
}

const samplesShown = 100

// HTML returns an evaluation as a page that needs nothing else: no script, no
// request. earlier is as in [Markdown].
func HTML(e fairway.Evaluation, earlier []fairway.Evaluation) ([]byte, error) {
	data := struct {
		fairway.Evaluation
		Indicators []indicator
	}{Evaluation: e}
	for _, r := range e.IndicatorResults {
		i := indicator{IndicatorResult: r, Plot: Plot(r, e.Window, earlier), Earlier: earlierText(r, earlier), Shown: r.Samples[:min(len(r.Samples), samplesShown)]}
		i.More = len(r.Samples) - len(i.Shown)
		data.Indicators = append(data.Indicators, i)
	}
	var b bytes.Buffer
	if err := page.Execute(&b, data); err != nil {
		return nil, fmt.Errorf("write the report: %w", err)
	}
	return b.Bytes(), nil
}

func stateOf(r fairway.IndicatorResult) string {
	switch {
	case r.Error != "":
		return "error"
	case len(r.Violations) == 0:
		return "pass"
	case r.Score > 0:
		return "warning"
	}
	return "fail"
}
