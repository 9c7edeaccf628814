// Package trace tells an OpenTelemetry collector about deliveries: one
// delivery is one trace, whose id comes from the delivery's.
//
// Spans are made of what the log says about steps that ended, with the times
// that are stored, and their ids are computed. So the exporter is one more
// reader of the log: it holds nobody up, goes on after a restart where it was,
// and what it sends twice is the same span twice.
//
//	delivery ─┬─ stage dev ─┬─ configure
//	          │             ├─ deploy
//	          │             └─ test ── what the tests cause (traceparent)
//	          └─ stage production ─ …
package trace
