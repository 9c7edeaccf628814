// Package sequence is the engine that moves deliveries through stages. It is
// pure: [Decide] takes the state of one service, one input and the time, and
// returns the new state, the events to store, and a reason. It performs
// nothing; what has to be performed stands in [State.Pending] and
// [State.Deadlines] of the new state, which is stored together with the events
// in a single record. A crash between any two lines therefore leaves either
// the old record or the new one, and whoever loads it knows what is left to do.
//
//	queue ─► configure ─► deploy ─┬──────────────► test ─► evaluate ─► approve ─► release ─► next stage
//	                              └► release (before_tests) ─┘            │
//	          any failure ─► rollback (what moved goes back) ─► retire ─► end
//
// All stages of a service live in one state, so that "one writer per project,
// stage and service", queueing and superseding need no second transaction.
package sequence
