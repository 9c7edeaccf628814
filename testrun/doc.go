// Package testrun asks a version under test: health, functional and
// performance tests over HTTP.
//
// Every request is sent to the gateway with the Host of one colour, so that
// the answers come from the version under test and from no other, and carries
// the header X-Fairway-Run, by which it can be told from other clients.
//
// The functional test sends a list of requests in order and compares the
// answers. The performance test is a closed model: a fixed number of users,
// each of which sends the list in order, waits for every answer and thinks
// before the next request. A slow service therefore gets fewer requests, not
// a queue of them.
//
//	user 1   ─ req ─ think ─ req ─ think ─ …
//	user 2       ─ req ─ think ─ req ─ …         users start evenly over rampUp
//	user 3           ─ req ─ think ─ …
//
// Both are described by YAML files of the service: see [ParseFunctional] and
// [ParsePerformance]. Instead of requests they may name a program, a command
// or a JMeter script, which is told by its environment or properties what to
// test, and judged by its exit code and what it leaves in a file.
package testrun
