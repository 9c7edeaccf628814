// Package dynatrace asks a Dynatrace environment for the indicators of a
// quality gate, by its Timeseries API v1 and its Metrics API v2, and sees to
// it that the answer is about the version under test.
//
// Dynatrace does not know versions. It knows entities, which rules give tags:
// service, environment, and one that tells the two colours apart. So a query
// is narrowed to the entities that have all three, and to the minutes of the
// test:
//
//	query ─► narrow to service, environment, colour ─► wait until the last minute of the test is there ─► total over the window
//
// Entities of the other colour never count. A query that names entities or
// tags of its own is narrowed in the same way; only where nothing is left then
// is it put as written, without the entities of the other colour, and the
// answer is not tied to the version. Where no entity has data, there is an
// error and no answer.
//
// Dynatrace keeps one value for each minute. The first minute of a test may
// hold requests from before it, so it is left out, unless the test is too
// short for that; then the answer is not tied.
package dynatrace
