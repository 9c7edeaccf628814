// Package inmem implements the world in memory.
//
// It is a second implementation of the interfaces that deliveries act
// through, complete enough to run deliveries against: for tests of the
// controller, and for benchmarks that measure the engine and its log alone.
package inmem
