// Package metrics is the Prometheus inside the process: its scrape manager,
// its time series database and its PromQL engine, for gates and for people.
//
// Every version under test is scraped as a series of its own. [Server.Track]
// gives a target the labels version and fairway_run, and returns the time of
// the first scrape under them, the baseline: what happened before it is in no
// difference between two samples. After the test [Server.Settle] waits for a
// scrape that is newer than the last answer, since at the instant of the
// test's end the last scrape misses up to one interval. The gate evaluates as
// of that scrape.
//
//	Track ─► baseline ─► test … last answer ─► Settle ─► window [baseline, settled]
//
// A series that first appears during the test starts with the value it has at
// its first scrape, as in any Prometheus; what it counted before is lost to
// rate and increase, and a test must last two scrapes after that.
package metrics
