package report

import (
	"fmt"
	"strings"

	"github.com/fairwaycd/fairway"
)

// Marks by which a verdict is seen before it is read.
var marks = map[fairway.Verdict]string{
	fairway.VerdictPass: "✅", fairway.VerdictWarning: "⚠️", fairway.VerdictFail: "❌", fairway.VerdictError: "🛑", fairway.VerdictNotJudged: "➖",
}

// Markdown returns an evaluation as a comment on a pull request would have
// it: the verdict with its reason, and a row for each indicator with what
// earlier evaluations, oldest first, had.
func Markdown(e fairway.Evaluation, earlier []fairway.Evaluation) string {
	var b strings.Builder
	fmt.Fprintf(&b, "### %s Gate%s: %s\n\n", marks[e.Verdict], of(e.Subject, cell), words(e.Verdict))
	fmt.Fprintf(&b, "%s\n\n", cell(e.Reason))
	fmt.Fprintf(&b, "**%s** points; pass from %s, warning from %s. Window %s.\n", short(e.TotalScore), short(e.Objectives.Pass), short(e.Objectives.Warning), window(e.Window))
	if len(e.IndicatorResults) > 0 {
		b.WriteString("\n| | indicator | value | points | earlier | why |\n|---|---|---|---|---|---|\n")
	}
	for _, r := range e.IndicatorResults {
		fmt.Fprintf(&b, "| %s | %s | %s | %s/%s | %s | %s |\n", mark(r), cell(r.ID), valueText(r), short(r.Score), short(r.MaxScore), earlierText(r, earlier), cell(why(r)))
	}
	if !e.Tied && e.Verdict != fairway.VerdictNotJudged {
		b.WriteString("\nNot tied to the version: samples of other versions may have counted.\n")
	}
	return b.String()
}

func mark(r fairway.IndicatorResult) string {
	switch {
	case r.Error != "":
		return marks[fairway.VerdictError]
	case len(r.Violations) == 0:
		return marks[fairway.VerdictPass]
	case r.Score > 0:
		return marks[fairway.VerdictWarning]
	}
	return marks[fairway.VerdictFail]
}

func why(r fairway.IndicatorResult) string {
	if r.Error != "" {
		return r.Error
	}
	return r.Explanation
}

// valueText is the worst value, and how many series there were.
func valueText(r fairway.IndicatorResult) string {
	v, ok := Value(r)
	switch {
	case !ok && len(r.Samples) > 0:
		return r.Samples[0].Text
	case !ok:
		return "none"
	case len(r.Samples) > 1:
		return fmt.Sprintf("%s (worst of %d)", short(v), len(r.Samples))
	}
	return short(v)
}

func earlierText(r fairway.IndicatorResult, earlier []fairway.Evaluation) string {
	var all []string
	for _, e := range earlier[max(0, len(earlier)-maxEarlier):] {
		if v, ok := valueOf(e, r); ok {
			all = append(all, short(v))
		}
	}
	return strings.Join(all, ", ")
}

func of(s fairway.Subject, write func(string) string) string {
	if s.Place.Service == "" {
		return ""
	}
	text := " for " + string(s.Place.Service)
	if s.Version != "" {
		text += " " + s.Version
	}
	if s.Stage != "" {
		text += " in " + string(s.Stage)
	}
	return write(text)
}

func words(v fairway.Verdict) string { return strings.ReplaceAll(string(v), "_", " ") }

func window(w fairway.Window) string {
	const layout = "2006-01-02 15:04:05"
	return fmt.Sprintf("%s to %s UTC", w.Start.UTC().Format(layout), w.End.UTC().Format("15:04:05"))
}

// cell makes a text that is one cell of a table, and no markup.
func cell(s string) string {
	return strings.NewReplacer("\\", "\\\\", "|", "\\|", "\r", " ", "\n", " ", "<", "&lt;", ">", "&gt;", "*", "\\*", "_", "\\_", "`", "\\`", "[", "\\[", "]", "\\]", "@", "@\u200b", "#", "\\#").Replace(s)
}
