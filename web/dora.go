package web

import (
	"context"
	"fmt"
	"html"
	"html/template"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/fairwaycd/fairway/api"
	"github.com/fairwaycd/fairway/dora"
)

// doraPanel are the figures of a service or project, with a plot of each.
type doraPanel struct {
	dora.Figures
	Spans   []spanChoice
	Tiles   []doraTile
	From    string
	To      string
	Problem string // why there are none
}

// spanChoice is how far back figures can reach.
type spanChoice struct {
	Label, Path string
	Chosen      bool
}

// doraTile is one figure.
type doraTile struct {
	Name  string
	Value string
	Note  string
	Most  string // the highest bar
	Plot  template.HTML
}

// doraSpans are offered; the first is the default.
var doraSpans = []struct{ value, label string }{{"30d", "30 days"}, {"7d", "7 days"}, {"90d", "90 days"}}

// figures asks for the figures and draws them. Without them the page is shown
// all the same.
func (c *console) figures(ctx context.Context, f api.DoraFilter, since, path string) doraPanel {
	var p doraPanel
	chosen := doraSpans[0].value
	for _, s := range doraSpans {
		if s.value == since {
			chosen = since
		}
	}
	for _, s := range doraSpans {
		p.Spans = append(p.Spans, spanChoice{s.label, path + "?" + url.Values{"since": {s.value}}.Encode() + "#dora", s.value == chosen})
	}
	var err error
	if f.Since, err = api.ParseSince(chosen, c.now()); err == nil {
		p.Figures, err = c.backend.Dora(ctx, f)
	}
	if err != nil {
		p.Problem = c.told(ctx, err)
		return p
	}
	p.From, p.To = p.Window.Start.Format("2 Jan"), p.Window.End.Format("2 Jan")
	p.Tiles = tiles(p.Figures)
	return p
}

func tiles(f dora.Figures) []doraTile {
	rate, rateNote := "–", "no deployment"
	if f.FailureRate != nil {
		rate = strconv.FormatFloat(100**f.FailureRate, 'f', -1, 64)
		if len(rate) > 4 {
			rate = strconv.FormatFloat(100**f.FailureRate, 'f', 1, 64)
		}
		rate, rateNote = rate+" %", fmt.Sprintf("%d of %s", f.Failed, plural(f.Deployments, "deployment"))
	}
	lead, leadNote := "–", "no change came into "+string(f.Production)
	if f.LeadTime.Count > 0 {
		lead, leadNote = seconds(f.LeadTime.Median), "nine of ten within "+seconds(f.LeadTime.P90)
	}
	restore, restoreNote := "–", "nothing had to be restored"
	if f.Restore.Count > 0 {
		restore, restoreNote = seconds(f.Restore.Median), "nine of ten within "+seconds(f.Restore.P90)
	}
	if f.Unrestored > 0 {
		restoreNote = fmt.Sprintf("%d not restored yet", f.Unrestored)
	}
	often := plot(f.Series, func(b dora.Bucket) bar {
		return bar{value: float64(b.Deployments), part: float64(b.Failed), text: plural(b.Deployments, "deployment") + failedText(b.Failed)}
	})
	leads := plot(f.Series, func(b dora.Bucket) bar {
		return bar{value: b.LeadTime.Median, text: "median " + seconds(b.LeadTime.Median)}
	})
	fails := plot(f.Series, func(b dora.Bucket) bar {
		if b.Failed == 0 {
			return bar{}
		}
		share := float64(b.Failed) / float64(b.Deployments)
		return bar{value: share, part: share, text: fmt.Sprintf("%d of %d failed", b.Failed, b.Deployments)}
	})
	restores := plot(f.Series, func(b dora.Bucket) bar {
		return bar{value: b.Restore.Median, text: "median " + seconds(b.Restore.Median)}
	})
	return []doraTile{
		{"Deployment frequency", frequency(f.PerDay), plural(f.Deployments, "deployment") + " to " + string(f.Production), mostOf(often.most, number), often.svg},
		{"Lead time for changes", lead, leadNote, mostOf(leads.most, seconds), leads.svg},
		{"Change failure rate", rate, rateNote, mostOf(fails.most, func(v float64) string { return number(100*v) + " %" }), fails.svg},
		{"Time to restore", restore, restoreNote, mostOf(restores.most, seconds), restores.svg},
	}
}

func mostOf(v float64, write func(float64) string) string {
	if v == 0 {
		return ""
	}
	return write(v)
}

func failedText(n int) string {
	if n == 0 {
		return ""
	}
	return fmt.Sprintf(", %d failed", n)
}

// frequency writes how often something happens with the unit that suits it.
func frequency(perDay float64) string {
	switch {
	case perDay == 0:
		return "none"
	case perDay >= 1:
		return oneDigit(perDay) + " a day"
	case perDay*7 >= 1:
		return oneDigit(perDay*7) + " a week"
	}
	return oneDigit(perDay*30) + " a month"
}

// seconds writes how long something took, as exactly as a figure has to be.
func seconds(v float64) string {
	d := time.Duration(v * float64(time.Second))
	if d >= time.Minute && d < time.Hour {
		return fmt.Sprintf("%d min", int(d.Round(time.Minute).Minutes()))
	}
	return strings.TrimSuffix(span(d), " 00 min")
}

// plural writes a number of things.
func plural(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	if stem, ok := strings.CutSuffix(what, "ry"); ok {
		what = stem + "rie"
	}
	return count(n) + " " + what + "s"
}

// bar is one bar of a plot; the part of it is drawn as failed.
type bar struct {
	value, part float64
	text        string
}

type plotted struct {
	svg  template.HTML
	most float64
}

// plotHeight is the height of a plot in its own units; its width is 10 for each
// bar. It is stretched to the room that there is.
const plotHeight = 48

// plot draws a bar for each part of the window, with its text for whoever
// points at it.
func plot(series []dora.Bucket, of func(dora.Bucket) bar) plotted {
	var p plotted
	bars := make([]bar, len(series))
	for i, b := range series {
		bars[i] = of(b)
		p.most = max(p.most, bars[i].value)
	}
	var s strings.Builder
	fmt.Fprintf(&s, `<svg class="figure" viewBox="0 0 %d %d" preserveAspectRatio="none" aria-hidden="true">`, max(10*len(bars), 10), plotHeight)
	for i, b := range bars {
		if b.value == 0 {
			continue
		}
		height := max(b.value/p.most*plotHeight, 1.5)
		fmt.Fprintf(&s, `<g><title>%s: %s</title>`, html.EscapeString(bucketName(series[i])), html.EscapeString(b.text))
		fmt.Fprintf(&s, `<rect x="%d" y="%.1f" width="8" height="%.1f"/>`, 10*i+1, plotHeight-height, height)
		if b.part > 0 {
			part := max(b.part/p.most*plotHeight, 1.5)
			fmt.Fprintf(&s, `<rect class="failed" x="%d" y="%.1f" width="8" height="%.1f"/>`, 10*i+1, plotHeight-part, part)
		}
		s.WriteString(`</g>`)
	}
	s.WriteString(`</svg>`)
	p.svg = template.HTML(s.String())
	return p
}

// bucketName says which part of the window it is.
func bucketName(b dora.Bucket) string {
	switch length := b.Duration(); {
	case length <= time.Hour:
		return b.Start.Format("2 Jan 15:04")
	case length <= 24*time.Hour:
		return b.Start.Format("Mon 2 Jan")
	}
	return b.Start.Format("2 Jan") + " to " + b.End.Add(-time.Second).Format("2 Jan")
}

// Filled are the parts in which something happened, the latest first.
func (p doraPanel) Filled() []doraRow {
	var out []doraRow
	for i := len(p.Series) - 1; i >= 0; i-- {
		if b := p.Series[i]; b.Deployments > 0 {
			row := doraRow{Name: bucketName(b), Bucket: b, Lead: "–", Restored: "–"}
			if b.LeadTime.Count > 0 {
				row.Lead = seconds(b.LeadTime.Median)
			}
			if b.Restore.Count > 0 {
				row.Restored = seconds(b.Restore.Median)
			}
			out = append(out, row)
		}
	}
	return out
}

// doraRow is a part of the window in the table of figures.
type doraRow struct {
	dora.Bucket
	Name, Lead, Restored string
}
