// Package gate is the quality gate: it asks metric sources about one version
// in one test's window, and has package quality judge what they answer.
//
//	specification ─► placeholders ─► quality.Parse ─► each indicator, concurrently ─► quality.Evaluate
//	                                                   source.Query, retried, timed        │
//	                                      fairway.Evaluation ◄── verdict, reason, queries ─┘
//
// Whatever goes wrong on the way is a verdict with a reason; only the end of
// the caller's context is an error. No verdict but pass and warning lets a
// version go on, so a gate that cannot ask never opens.
package gate
