// Package report writes evaluations for people: as Markdown for a pull
// request, as an HTML page that needs nothing else, and as SVG plots.
//
// A plot shows what was judged, with its limits, and beside it what earlier
// evaluations of the same service and stage saw:
//
//	┌──────────────────────────────┬──────────┐
//	│- - - - - - - - - - - - - - - │- - - - - │  upperSevere
//	│        ╭─────╮               │          │
//	│ ───────╯     ╰────────────── ●  · ·  ·  │
//	└──────────────────────────────┴──────────┘
//	 12:00:01               12:00:31  earlier
//
// Plots have no script and no style attribute, and their colours come from
// the page (classes plot-…), with presentation attributes as a fallback.
package report
