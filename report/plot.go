package report

import (
	"cmp"
	"fmt"
	"html/template"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/fairwaycd/fairway"
)

// Size of a plot in user units, and how much of it is drawn at most.
const (
	width, height   = 640.0, 170.0
	left, right     = 62.0, 8.0
	top, bottom     = 10.0, 22.0
	earlierWidth    = 110.0
	maxSeries       = 12
	maxPoints       = 240
	maxEarlier      = 10
	axisText        = 11.0
	labelCollisions = 12.0 // user units between two labels
)

// Plot returns an SVG of an indicator's samples with its limits over the
// window of the test, and of the values that earlier evaluations had, oldest
// first. It is empty when there is nothing finite to draw.
func Plot(r fairway.IndicatorResult, win fairway.Window, earlier []fairway.Evaluation) template.HTML {
	p := newPlot(r, win, earlier)
	if !p.any {
		return ""
	}
	var b strings.Builder
	fmt.Fprintf(&b, `<svg class="plot" xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %g %g" role="img" aria-label=%s font-family="sans-serif" font-size="%g">`,
		width, height, attribute(p.label(r)), axisText)
	p.frame(&b, win)
	p.limits(&b, r.Limits)
	for i, key := range p.keys {
		p.series(&b, i, key)
	}
	p.before(&b)
	b.WriteString("</svg>")
	return template.HTML(b.String()) //nolint:gosec // all text went through attribute or text
}

type plot struct {
	start, end   time.Time
	low, high    float64
	any          bool
	points       map[string][]fairway.Sample // finite, by series, in time
	keys         []string                    // drawn, the worst first
	dropped      int
	earlier      []float64
	inner, total float64 // right edges of the samples' part and of the whole
}

// finite reports whether v can be drawn: sums and differences of two such
// values are numbers, too.
func finite(v float64) bool { return math.Abs(v) < 1e300 }

func newPlot(r fairway.IndicatorResult, win fairway.Window, earlier []fairway.Evaluation) *plot {
	p := &plot{start: win.Start, end: win.End, low: math.Inf(1), high: math.Inf(-1), points: map[string][]fairway.Sample{}}
	for _, s := range slices.Concat(r.Course, r.Samples) {
		v := s.Float()
		if !finite(v) {
			continue
		}
		p.points[s.Key] = append(p.points[s.Key], s)
		p.reach(v)
		if s.Time.Before(p.start) {
			p.start = s.Time
		}
		if s.Time.After(p.end) {
			p.end = s.Time
		}
	}
	for _, e := range earlier[max(0, len(earlier)-maxEarlier):] {
		if v, ok := valueOf(e, r); ok {
			p.earlier = append(p.earlier, v)
			p.reach(v)
		}
	}
	p.any = len(p.points) > 0 || len(p.earlier) > 0
	for _, v := range r.Limits {
		if finite(v) {
			p.reach(v)
		}
	}
	p.sortKeys(r)
	p.scale()
	return p
}

// sortKeys puts the series with the largest values first, or with the
// smallest if only those are limited, and keeps what can be told apart.
func (p *plot) sortKeys(r fairway.IndicatorResult) {
	lower := len(r.Limits) > 0
	for name := range r.Limits {
		lower = lower && strings.HasPrefix(name, "lower")
	}
	last := func(key string) float64 { s := p.points[key]; return s[len(s)-1].Float() }
	for key := range p.points {
		slices.SortStableFunc(p.points[key], func(a, b fairway.Sample) int { return a.Time.Compare(b.Time) })
	}
	p.keys = slices.SortedFunc(maps.Keys(p.points), func(a, b string) int {
		if lower {
			a, b = b, a
		}
		return cmp.Or(cmp.Compare(last(b), last(a)), cmp.Compare(a, b))
	})
	if len(p.keys) > maxSeries {
		p.dropped = len(p.keys) - maxSeries
		p.keys = p.keys[:maxSeries]
	}
}

func (p *plot) reach(v float64) { p.low, p.high = min(p.low, v), max(p.high, v) }

// scale leaves a margin, begins at zero where that is near, and gives a
// single value some room.
func (p *plot) scale() {
	span := p.high - p.low
	if span <= 0 || !finite(span) {
		span = max(math.Abs(p.high), 1)
	}
	if p.low >= 0 && p.low < span {
		p.low = 0
	} else {
		p.low -= 0.08 * span
	}
	p.high += 0.08 * span
	if !p.end.After(p.start) {
		p.end = p.start.Add(time.Second)
	}
	p.total = width - right
	p.inner = p.total
	if len(p.earlier) > 0 {
		p.inner -= earlierWidth
	}
}

func (p *plot) x(t time.Time) float64 {
	part := float64(t.Sub(p.start)) / float64(p.end.Sub(p.start))
	return left + part*(p.inner-left-6)
}

func (p *plot) y(v float64) float64 {
	part := (v - p.low) / (p.high - p.low)
	return height - bottom - part*(height-top-bottom)
}

func (p *plot) frame(b *strings.Builder, win fairway.Window) {
	floor := height - bottom
	if !win.Start.IsZero() {
		fmt.Fprintf(b, `<rect class="plot-window" x="%.1f" y="%g" width="%.1f" height="%g" fill="#8881" />`, p.x(win.Start), top, max(p.x(win.End)-p.x(win.Start), 1), floor-top)
		fmt.Fprintf(b, `<text class="plot-text" x="%.1f" y="%g" fill="currentColor">%s</text>`, p.x(win.Start), height-6, win.Start.UTC().Format(time.TimeOnly))
		fmt.Fprintf(b, `<text class="plot-text" x="%.1f" y="%g" text-anchor="end" fill="currentColor">%s</text>`, p.inner-6, height-6, win.End.UTC().Format(time.TimeOnly))
	}
	for _, v := range []float64{p.low, p.high} {
		y := p.y(v)
		fmt.Fprintf(b, `<text class="plot-text" x="%g" y="%.1f" text-anchor="end" fill="currentColor">%s</text>`, left-6, min(max(y+4, top+8), floor), short(v))
	}
	fmt.Fprintf(b, `<path class="plot-axis" d="M%g %gV%gH%g" fill="none" stroke="currentColor" stroke-opacity=".4" />`, left, top, floor, p.total)
}

func (p *plot) limits(b *strings.Builder, limits map[string]float64) {
	used := -labelCollisions
	for _, name := range slices.SortedFunc(maps.Keys(limits), func(x, y string) int { return cmp.Compare(limits[y], limits[x]) }) {
		v := limits[name]
		if !finite(v) {
			continue
		}
		class, colour := "plot-severe", "#c0392b"
		if strings.Contains(strings.ToLower(name), "warning") {
			class, colour = "plot-warning", "#b7791f"
		}
		y := p.y(v)
		fmt.Fprintf(b, `<path class="%s" d="M%g %.1fH%g" stroke="%s" stroke-dasharray="5 3" fill="none" />`, class, left, y, p.total, colour)
		if y-used >= labelCollisions {
			fmt.Fprintf(b, `<text class="%s-text" x="%g" y="%.1f" fill="%s">%s %s</text>`, class, left+4, max(y-3, top+8), colour, text(name), short(v))
			used = y
		}
	}
}

func (p *plot) series(b *strings.Builder, i int, key string) {
	points := p.points[key]
	step := max(1, (len(points)+maxPoints-1)/maxPoints)
	hue := (210 + 47*i) % 360
	var d strings.Builder
	for n := 0; n < len(points); n += step {
		fmt.Fprintf(&d, "%c%.1f %.1f", "ML"[min(n, 1)], p.x(points[n].Time), p.y(points[n].Float()))
	}
	title := "<title>" + text(cmp.Or(key, "value")) + "</title>"
	if len(points) > 1 {
		fmt.Fprintf(b, `<path class="plot-line" d="%s" fill="none" stroke="hsl(%d 60%% 45%%)" stroke-width="1.5">%s</path>`, d.String(), hue, title)
	}
	last := points[len(points)-1]
	fmt.Fprintf(b, `<circle class="plot-point" cx="%.1f" cy="%.1f" r="4" fill="hsl(%d 60%% 45%%)">%s</circle>`, p.x(last.Time), p.y(last.Float()), hue, title)
}

// before draws the earlier evaluations, the oldest at the left.
func (p *plot) before(b *strings.Builder) {
	if len(p.earlier) == 0 {
		return
	}
	from := p.inner + 8
	step := (p.total - from) / maxEarlier
	fmt.Fprintf(b, `<path class="plot-axis" d="M%g %gV%g" stroke="currentColor" stroke-opacity=".4" />`, p.inner, top, height-bottom)
	fmt.Fprintf(b, `<text class="plot-text" x="%g" y="%g" fill="currentColor">%d earlier</text>`, from, height-6, len(p.earlier))
	for i, v := range p.earlier {
		fmt.Fprintf(b, `<circle class="plot-earlier" cx="%.1f" cy="%.1f" r="3" fill="currentColor" fill-opacity=".55"><title>%s</title></circle>`, from+(float64(i)+.5)*step, p.y(v), short(v))
	}
}

// label is the plot for who cannot see it.
func (p *plot) label(r fairway.IndicatorResult) string {
	s := fmt.Sprintf("Plot of %s: %d series", r.ID, len(p.points))
	if p.dropped > 0 {
		s += fmt.Sprintf(", of which %d are drawn", maxSeries)
	}
	if len(p.earlier) > 0 {
		s += fmt.Sprintf(", and %d earlier evaluations", len(p.earlier))
	}
	return s
}

// valueOf is the value by which an earlier evaluation is compared: of an
// indicator with several series, the one that is nearest to its limits' far
// side, i.e. the largest, or the smallest where only that is limited.
func valueOf(e fairway.Evaluation, like fairway.IndicatorResult) (float64, bool) {
	for _, r := range e.IndicatorResults {
		if r.ID == like.ID {
			return Value(r)
		}
	}
	return 0, false
}

// Value returns the one value that tells most about an indicator: the largest,
// or the smallest where only that is limited; ok is false when none is finite.
func Value(r fairway.IndicatorResult) (v float64, ok bool) {
	lower := len(r.Limits) > 0
	for name := range r.Limits {
		lower = lower && strings.HasPrefix(name, "lower")
	}
	for _, s := range r.Samples {
		f := s.Float()
		if finite(f) && (!ok || (f > v) != lower) {
			v, ok = f, true
		}
	}
	return v, ok
}

// short prints a number with four significant digits.
func short(v float64) string {
	if v == 0 || math.Abs(v) < 1e-12 {
		return "0"
	}
	return strconv.FormatFloat(mustParse(strconv.FormatFloat(v, 'g', 4, 64)), 'g', -1, 64)
}

func mustParse(s string) float64 {
	v, _ := strconv.ParseFloat(s, 64) // of a number just printed
	return v
}

func text(s string) string { return template.HTMLEscapeString(s) }

func attribute(s string) string { return `"` + template.HTMLEscapeString(s) + `"` }
