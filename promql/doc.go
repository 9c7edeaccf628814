// Package promql asks a Prometheus for the indicators of a quality gate, and
// sees to it that the answer is about the version under test and no other.
//
// A specification names a service by labels such as job='carts', but a colour
// is used by many versions one after another, and a range such as [3m] reaches
// back to the one before: two fast requests to an earlier occupant are enough
// to let a slow version pass. [Pin] therefore rewrites a query's selectors so
// that they match the samples of one test run of one version only, or says
// why it could not. [Source] pins, evaluates at the end of the test's window
// and returns the samples; it asks through a [Querier], which is either the
// Prometheus inside the process or any other by its HTTP API ([HTTP]).
package promql
