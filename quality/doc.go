// Package quality is the engine behind the quality gate: it reads a perfspec
// (version 1.0) and judges what metric sources answered against it. It is
// pure: no clock, no input or output, no goroutines.
//
//	perfspec.json ── Parse ──► Perfspec ─┐
//	                                     ├─ Evaluate ──► Judgement: score and sentence
//	answers by indicator id ─────────────┘               per indicator, total, verdict, reason
//
// There are two readings of the same document. The default one is strict: what
// cannot be meant is an error with line and column, values that are no finite
// numbers fail, and a limit of 0 is a limit. The other one, switched on by the
// document's own key "compat": "pitometer" or by an option, gives the answers
// of Pitometer 1.0.4, comparisons of JavaScript included, for those who have to
// reproduce them. docs/reference/perfspec.md lists every difference.
package quality
